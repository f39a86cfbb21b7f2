// Between the agent and libicon-reseed.so, which includes nothing else of ours.
#pragma once

namespace icon::agent {

// The name of the library's thread, by which its process is found, and the signal to that thread.
inline constexpr const char* kReseedThread = "icon-reseed";
inline constexpr int kReseedSignal = 62;
// A FIFO in the run directory, there while the agent waits: "PID\n" for each process.
inline constexpr const char* kReseedFifo = "/reseeded";

}  // namespace icon::agent
