#include "supervisor/net/nft_watch.h"

#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <sys/socket.h>

#include <cerrno>

#include "base/fd.h"

namespace icon::net {
namespace {

constexpr std::size_t kEventBytes = 64 << 10;

bool is_deletion(std::uint16_t type) {
  return type == (NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_DELTABLE) ||
         type == (NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_DELRULE);
}

}  // namespace

Result<std::unique_ptr<NftWatch>> NftWatch::create(IoContext& loop, std::function<void()> lost) {
  UniqueFd fd(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_NETFILTER));
  sockaddr_nl address{};
  address.nl_family = AF_NETLINK;
  address.nl_groups = 1u << (NFNLGRP_NFTABLES - 1);
  if (!fd || bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
    return fail_errno("watch nftables");
  std::unique_ptr<NftWatch> watch(new NftWatch(loop, fd.release(), std::move(lost)));
  watch->arm();
  return watch;
}

void NftWatch::arm() {
  socket_.async_wait(boost::asio::posix::stream_descriptor::wait_read,
                     [this](boost::system::error_code error) {
                       if (error) return;  // cancelled: `this` may be gone
                       const bool look = deleted();
                       arm();
                       if (look) lost_();
                     });
}

// All that is there to be read, so that a whole transaction is one call.
bool NftWatch::deleted() {
  bool found = false;
  alignas(nlmsghdr) static thread_local char buffer[kEventBytes];
  for (;;) {
    const ssize_t count = recv(socket_.native_handle(), buffer, sizeof buffer, 0);
    // More than the kernel could keep for us: anything may have happened.
    if (count < 0 && errno == ENOBUFS) {
      found = true;
      continue;
    }
    if (count <= 0) return found;
    auto left = static_cast<unsigned>(count);
    for (auto* message = reinterpret_cast<nlmsghdr*>(buffer); NLMSG_OK(message, left);
         message = NLMSG_NEXT(message, left))
      found = found || is_deletion(message->nlmsg_type);
  }
}

}  // namespace icon::net
