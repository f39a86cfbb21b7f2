// The process that carries a lab's links with delay, jitter, rate or loss: this kernel has no
// netem, so each end is a TAP in its namespace and user space holds the packets back. One process
// and one thread for all links of a lab; segmentation offload is passed through, so that a packet
// here is up to 64 kB of the sender's stream.
#pragma once

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "lab/delay_line.h"
#include "lab/relay_message.h"

namespace icon::lab {

// Below this rate, or with loss, the kernel hands over single packets: a burst of 64 kB would be
// lost or delayed as a whole.
inline constexpr double kOffloadRateMbitMin = 1000;

class Relay {
 public:
  // Opens the TAPs and the socket. Errors: kUnavailable (no /dev/net/tun), kNotFound (namespace),
  // kRefused, kIo.
  static Result<std::unique_ptr<Relay>> create(const RelayStart& start);
  // Until `stop_fd` becomes readable.
  Status run(int stop_fd);

 private:
  struct Direction {
    int in = -1;
    int out = -1;
    std::unique_ptr<DelayLine> line;
  };
  struct CarriedLink {
    RelayLink spec;
    UniqueFd tap_a;
    UniqueFd tap_b;
    std::size_t first_direction = 0;  // a to b; the next one is b to a
  };

  Relay() = default;
  Status add_link(const RelayLink& link);
  Status listen(const std::string& path);
  Status watch(int fd, std::uint64_t tag);
  void receive(Direction& direction);
  void deliver(std::int64_t now_ns);
  std::int64_t next_due_ns() const;
  void accept_client();
  void serve_client(int fd);
  std::string answer(std::string_view request);
  Result<std::string> set_link(const json::Object& request);
  Result<std::string> status_page(const json::Object& request) const;

  ChunkPool pool_;
  std::vector<CarriedLink> links_;
  std::vector<Direction> directions_;
  UniqueFd epoll_;
  UniqueFd listener_;
  std::vector<UniqueFd> clients_;
  std::array<std::uint8_t, kFrameBytesMax> scratch_{};
};

}  // namespace icon::lab
