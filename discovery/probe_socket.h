// The sockets behind a trace: UDP or ping, IPv4 or IPv6, unprivileged. No decisions here.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "base/address.h"
#include "base/fd.h"
#include "base/result.h"
#include "discovery/probe.h"

namespace icon::discovery {

struct OutgoingProbe {
  Address target;
  ProbeTag tag;
};

// Owned by one run of a trace; closed with it. Loop thread only.
class ProbeSocket {
 public:
  // Errors: kRefused (no permission: for ping sockets see net.ipv4.ping_group_range), kUnavailable
  // (no such address family here), kIo.
  static Result<ProbeSocket> open(ProbeKind kind, bool v6);

  int fd() const { return fd_.get(); }
  bool v6() const { return v6_; }

  using OnReply = std::function<void(const ProbeReply&)>;
  // Sends all, without waiting. The kernel reports ICMP errors about earlier probes as errors of
  // the present call: those are collected (into `on_reply`) and the call is repeated. What the
  // kernel will really not send goes to `on_refused` (index, reason); what finds the buffer full is
  // lost like a packet on the way.
  void send(std::span<const OutgoingProbe> probes, std::uint64_t cookie, const OnReply& on_reply,
            const std::function<void(std::size_t, std::string)>& on_refused);
  // Takes everything that has arrived. Returns how many messages were no answers to probes.
  std::size_t receive(const OnReply& on_reply);

 private:
  ProbeSocket(UniqueFd fd, ProbeKind kind, bool v6) : fd_(std::move(fd)), kind_(kind), v6_(v6) {}
  std::size_t receive_queue(int flags, const OnReply& on_reply);

  UniqueFd fd_;
  ProbeKind kind_;
  bool v6_;
  std::size_t ignored_ = 0;
};

}  // namespace icon::discovery
