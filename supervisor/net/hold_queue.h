// A queue in front of an ICON during its move: a TUN device that the route to the ICON points to,
// whose packets are kept here and written back in order. What is written enters the kernel again as
// if it came from this device, and the rules send it past connection tracking.
//
// Owner: Network. Loop thread only. The device goes with this object.
#pragma once

#include <boost/asio/posix/stream_descriptor.hpp>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/task.h"
#include "supervisor/net/network.h"

namespace icon::net {

// In the kernel, while the loop is busy elsewhere.
inline constexpr int kQueueDevicePackets = 2048;

class HoldQueue {
 public:
  // Errors: as open_tun().
  static Result<std::shared_ptr<HoldQueue>> create(IoContext& loop, const std::string& interface,
                                                   HoldLimits limits);
  // From now on packets stay; counters begin anew.
  void hold();
  // Writes everything back, in order, and from now on each packet as it comes. Where it goes is the
  // routes' business: they must not lead here. Call again after the route has been switched: what
  // came in between is written too.
  void release();
  // Forgets what is queued.
  void discard();
  HoldState state() const { return state_; }
  const std::string& interface() const { return interface_; }
  // Ends the reading; the object must not be used afterwards.
  void close();

 private:
  HoldQueue(IoContext& loop, std::string interface, int fd, HoldLimits limits);
  static void arm(const std::shared_ptr<HoldQueue>& self);
  // Takes what the device has, at most `packets_max`; false when it had less.
  bool take(std::size_t packets_max);
  void deliver(const std::uint8_t* packet, std::size_t bytes);

  boost::asio::posix::stream_descriptor device_;
  std::string interface_;
  HoldLimits limits_;
  HoldState state_;
  std::deque<std::vector<std::uint8_t>> packets_;
  std::vector<std::uint8_t> buffer_;
};

}  // namespace icon::net
