// The animals of the zoo: each function makes one kind of thing that a process may hold, and keeps
// it. The tests of what can be moved ask CRIU about every one of them.
#pragma once

#include <cstdlib>
#include <functional>
#include <map>
#include <string>

namespace icon::zoo {

using Animals = std::map<std::string, std::function<void()>>;

Animals descriptors();
Animals sockets();
Animals processes();
Animals files();

// Ends the program when the kernel refused; errno says why.
[[noreturn]] void give_up(const char* what);
inline int must(int result, const char* what) {
  if (result < 0) give_up(what);
  return result;
}

// Comes over a socket at /run/icon/give.sock: descriptors from outside the container.
int receive_descriptor();

}  // namespace icon::zoo
