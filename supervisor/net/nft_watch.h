// Tells when somebody deletes our nftables table or its rules (a firewall's restart, "nft flush
// ruleset"), so that they are back before a connection notices: a packet that arrives untranslated
// is answered with a reset.
#pragma once

#include <boost/asio/posix/stream_descriptor.hpp>
#include <functional>
#include <memory>

#include "base/result.h"
#include "base/task.h"

namespace icon::net {

class NftWatch {
 public:
  // `lost` may be called without reason: it looks for itself. On the loop; never after the
  // destructor. Errors: kIo.
  static Result<std::unique_ptr<NftWatch>> create(IoContext& loop, std::function<void()> lost);

 private:
  NftWatch(IoContext& loop, int fd, std::function<void()> lost)
      : socket_(loop, fd), lost_(std::move(lost)) {}
  void arm();
  bool deleted();
  boost::asio::posix::stream_descriptor socket_;
  std::function<void()> lost_;
};

}  // namespace icon::net
