// A bad wire: two UDP sockets in a namespace, one per side, and what happens to the datagrams in
// between: lost, repeated, late. Both sides take it for their peer.
#pragma once

#include <poll.h>
#include <sys/eventfd.h>

#include <atomic>
#include <random>
#include <vector>

#include "tunnel_support.h"

namespace icon::tunnel::test {

class Relay {
 public:
  struct Faults {
    double lost = 0;
    double repeated = 0;  // behind the next datagram either way, or kQuietMs of none
    double late = 0;      // behind the next kLateBy datagrams
  };
  static constexpr std::size_t kLateBy = 7;
  // Never at once: wireguard-go's workers may take both of two initiations that come together, and
  // then holds the keys of the second when its peer has those of the first.
  static constexpr int kQuietMs = 10;

  // Listens on `port` in both directions: what comes from `left` goes to `right`, and back.
  Relay(const std::string& netns, Endpoint left, Endpoint right, std::uint16_t port, Faults faults)
      : faults_(faults), stop_(eventfd(0, EFD_CLOEXEC)) {
    left_length_ = left.address.to_sockaddr(left.port, left_);
    right_length_ = right.address.to_sockaddr(right.port, right_);
    InNetns(netns, [&] {
      socket_.reset(socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
      const int bytes = 8 << 20;
      setsockopt(socket_.get(), SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes);
      setsockopt(socket_.get(), SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof bytes);
      sockaddr_storage any{};
      const socklen_t length = Address{}.to_sockaddr(port, any);
      if (bind(socket_.get(), reinterpret_cast<sockaddr*>(&any), length) != 0) abort();
    });
    thread_ = std::thread([this] { run(); });
  }
  ~Relay() {
    (void)eventfd_write(stop_.get(), 1);
    thread_.join();
  }
  std::size_t repeated() const { return repeated_; }
  std::size_t lost() const { return lost_; }

 private:
  struct Direction {
    std::vector<std::uint8_t> copy;
    std::vector<std::uint8_t> late;
    std::size_t late_for = 0;
  };
  bool chance(double probability) {
    return std::uniform_real_distribution<>(0, 1)(random_) < probability;
  }
  void send(const std::vector<std::uint8_t>& datagram, bool to_right) {
    const auto* target = reinterpret_cast<const sockaddr*>(to_right ? &right_ : &left_);
    (void)!sendto(socket_.get(), datagram.data(), datagram.size(), 0, target,
                  to_right ? right_length_ : left_length_);
  }
  void pass(const std::vector<std::uint8_t>& datagram, bool to_right) {
    Direction& direction = directions_[to_right ? 1 : 0];
    if (chance(faults_.lost)) return (void)++lost_;
    if (direction.late.empty() && chance(faults_.late)) {
      direction.late = datagram;
      direction.late_for = kLateBy;
      return;
    }
    send(datagram, to_right);
    send_copies();
    if (chance(faults_.repeated)) {
      ++repeated_;
      direction.copy = datagram;
    }
    if (!direction.late.empty() && --direction.late_for == 0) {
      send(direction.late, to_right);
      direction.late.clear();
    }
  }
  void send_copies() {
    for (const bool to_right : {false, true}) {
      auto& copy = directions_[to_right ? 1 : 0].copy;
      if (!copy.empty()) send(copy, to_right);
      copy.clear();
    }
  }
  bool holds_copies() const { return !directions_[0].copy.empty() || !directions_[1].copy.empty(); }
  void run() {
    pollfd waits[] = {{socket_.get(), POLLIN, 0}, {stop_.get(), POLLIN, 0}};
    std::vector<std::uint8_t> datagram(65'536);
    while (poll(waits, 2, holds_copies() ? kQuietMs : -1) >= 0 && waits[1].revents == 0) {
      if (waits[0].revents == 0) send_copies();
      for (;;) {
        datagram.resize(65'536);
        sockaddr_storage from{};
        socklen_t length = sizeof from;
        const ssize_t count = recvfrom(socket_.get(), datagram.data(), datagram.size(), 0,
                                       reinterpret_cast<sockaddr*>(&from), &length);
        if (count < 0 && errno != EAGAIN) continue;  // an ICMP error of an earlier one
        if (count < 0) break;
        datagram.resize(static_cast<std::size_t>(count));
        const auto source = Address::from_sockaddr(reinterpret_cast<sockaddr*>(&from));
        const auto right = Address::from_sockaddr(reinterpret_cast<sockaddr*>(&right_));
        pass(datagram, *source != *right);
      }
    }
  }

  const Faults faults_;
  UniqueFd socket_;
  UniqueFd stop_;
  sockaddr_storage left_{};
  sockaddr_storage right_{};
  socklen_t left_length_ = 0;
  socklen_t right_length_ = 0;
  std::mt19937 random_{1};
  Direction directions_[2];
  std::atomic<std::size_t> repeated_{0};
  std::atomic<std::size_t> lost_{0};
  std::thread thread_;
};

}  // namespace icon::tunnel::test
