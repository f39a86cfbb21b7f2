#include "supervisor/net/tunnel_kernel_messages.h"

#include <libmnl/libmnl.h>
#include <linux/genetlink.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/wireguard.h>
#include <netinet/in.h>

#include <algorithm>
#include <cstring>

namespace icon::net {
namespace {

constexpr std::size_t kMessageBytesMax = 32 << 10;
constexpr std::size_t kPeersReadMax = 65'536;
constexpr std::size_t kAllowedReadMax = 131'072;
constexpr const char* kKind = "wireguard";

// A message under construction; put() and nest() fail together when it is full.
class Builder {
 public:
  Builder(std::uint16_t type, std::uint16_t flags) : buffer_(kMessageBytesMax) {
    header_ = mnl_nlmsg_put_header(buffer_.data());
    header_->nlmsg_type = type;
    header_->nlmsg_flags = static_cast<std::uint16_t>(NLM_F_REQUEST | NLM_F_ACK | flags);
  }
  ~Builder() { tunnel::wg::wipe(buffer_); }  // it may have held a private key
  Builder(const Builder&) = delete;
  Builder& operator=(const Builder&) = delete;

  template <class Family>
  Family& family() {
    return *static_cast<Family*>(mnl_nlmsg_put_extra_header(header_, sizeof(Family)));
  }
  void put(std::uint16_t type, const void* data, std::size_t bytes) {
    full_ = full_ || !mnl_attr_put_check(header_, buffer_.size(), type, bytes, data);
  }
  void put(std::uint16_t type, const std::string& text) {
    put(type, text.c_str(), text.size() + 1);
  }
  template <class Number>
  void put_number(std::uint16_t type, Number value) {
    put(type, &value, sizeof value);
  }
  nlattr* nest(std::uint16_t type) {
    nlattr* nested = mnl_attr_nest_start_check(header_, buffer_.size(), type);
    full_ = full_ || nested == nullptr;
    return nested;
  }
  void end(nlattr* nested) {
    if (nested != nullptr) mnl_attr_nest_end(header_, nested);
  }
  bool is_full() const { return full_; }
  NetlinkMessage finish() const {
    return {buffer_.begin(), buffer_.begin() + static_cast<std::ptrdiff_t>(header_->nlmsg_len)};
  }

 private:
  NetlinkMessage buffer_;
  nlmsghdr* header_;
  bool full_ = false;
};

void put_command(Builder& message, std::uint8_t command, std::uint8_t version) {
  auto& generic = message.family<genlmsghdr>();
  generic.cmd = command;
  generic.version = version;
}

void put_allowed_ip(Builder& message, const Prefix& prefix) {
  nlattr* nested = message.nest(0);
  message.put_number(WGALLOWEDIP_A_FAMILY,
                     static_cast<std::uint16_t>(prefix.address.is_v4() ? AF_INET : AF_INET6));
  message.put(WGALLOWEDIP_A_IPADDR, prefix.address.bytes().data(), prefix.address.bytes().size());
  message.put_number(WGALLOWEDIP_A_CIDR_MASK, static_cast<std::uint8_t>(prefix.length));
  message.end(nested);
}

void put_peer(Builder& message, const tunnel::PeerSettings& peer) {
  nlattr* nested = message.nest(0);
  message.put(WGPEER_A_PUBLIC_KEY, peer.public_key.data(), peer.public_key.size());
  std::uint32_t flags = 0;
  if (peer.remove) flags |= WGPEER_F_REMOVE_ME;
  if (peer.replace_allowed_ips) flags |= WGPEER_F_REPLACE_ALLOWEDIPS;
  if (peer.update_only) flags |= WGPEER_F_UPDATE_ONLY;
  if (flags != 0) message.put_number(WGPEER_A_FLAGS, flags);
  if (peer.preshared_key)
    message.put(WGPEER_A_PRESHARED_KEY, peer.preshared_key->data(),
                peer.preshared_key->bytes().size());
  if (peer.endpoint) {
    sockaddr_storage address{};
    const auto bytes = peer.endpoint->address.to_sockaddr(peer.endpoint->port, address);
    message.put(WGPEER_A_ENDPOINT, &address, bytes);
  }
  if (peer.persistent_keepalive_s)
    message.put_number(WGPEER_A_PERSISTENT_KEEPALIVE_INTERVAL,
                       static_cast<std::uint16_t>(*peer.persistent_keepalive_s));
  if (!peer.allowed_ips.empty()) {
    nlattr* all = message.nest(WGPEER_A_ALLOWEDIPS);
    for (const auto& allowed : peer.allowed_ips) put_allowed_ip(message, allowed.prefix);
    message.end(all);
  }
  message.end(nested);
}

// Attributes from `begin` on, each checked to lie inside; false when one does not.
template <class Visit>
bool visit_attributes(const void* begin, std::size_t bytes, const Visit& visit) {
  const auto* attribute = static_cast<const nlattr*>(begin);
  auto left = static_cast<int>(bytes);
  while (mnl_attr_ok(attribute, left)) {
    if (!visit(mnl_attr_get_type(attribute), attribute)) return false;
    left -= MNL_ALIGN(attribute->nla_len);
    attribute = mnl_attr_next(attribute);
  }
  return left <= 0;
}

template <class Visit>
bool visit_nested(const nlattr* attribute, const Visit& visit) {
  return visit_attributes(mnl_attr_get_payload(attribute), mnl_attr_get_payload_len(attribute),
                          visit);
}

template <class Value>
bool read_value(const nlattr* attribute, Value& value) {
  if (mnl_attr_get_payload_len(attribute) != sizeof value) return false;
  std::memcpy(&value, mnl_attr_get_payload(attribute), sizeof value);
  return true;
}

bool read_allowed_ip(const nlattr* attribute, tunnel::TunnelPeer& peer) {
  std::uint8_t mask = 0;
  std::span<const std::uint8_t> bytes;
  const bool fine = visit_nested(attribute, [&](int type, const nlattr* part) {
    if (type == WGALLOWEDIP_A_CIDR_MASK) return read_value(part, mask);
    if (type == WGALLOWEDIP_A_IPADDR)
      bytes = {static_cast<const std::uint8_t*>(mnl_attr_get_payload(part)),
               mnl_attr_get_payload_len(part)};
    return true;
  });
  Address address;
  if (bytes.size() == 4) {
    std::array<std::uint8_t, 4> v4{};
    std::ranges::copy(bytes, v4.begin());
    address = Address::v4(v4);
  } else if (bytes.size() == 16) {
    std::array<std::uint8_t, 16> v6{};
    std::ranges::copy(bytes, v6.begin());
    address = Address::v6(v6);
  }
  if (!fine || bytes.size() != address.bytes().size() || mask > bytes.size() * 8 ||
      peer.allowed_ips.size() >= kAllowedReadMax)
    return false;
  peer.allowed_ips.push_back(Prefix::of(address, mask));
  return true;
}

bool read_endpoint(const nlattr* attribute, tunnel::TunnelPeer& peer) {
  sockaddr_storage address{};
  const std::size_t bytes = mnl_attr_get_payload_len(attribute);
  if (bytes != sizeof(sockaddr_in) && bytes != sizeof(sockaddr_in6)) return false;
  std::memcpy(&address, mnl_attr_get_payload(attribute), bytes);
  if ((address.ss_family == AF_INET6) != (bytes == sizeof(sockaddr_in6))) return false;
  const auto parsed = Address::from_sockaddr(reinterpret_cast<const sockaddr*>(&address));
  if (!parsed) return false;
  sockaddr_in port{};  // at the same place in both
  std::memcpy(&port, &address, sizeof port);
  peer.endpoint = Endpoint{*parsed, ntohs(port.sin_port)};
  return true;
}

struct HandshakeTime {
  std::int64_t seconds = 0;
  std::int64_t nanoseconds = 0;
};

bool read_peer(const nlattr* attribute, tunnel::TunnelState& state) {
  if (state.peers.size() >= kPeersReadMax) return false;
  tunnel::TunnelPeer peer;
  bool has_key = false;
  const bool fine = visit_nested(attribute, [&](int type, const nlattr* part) {
    HandshakeTime time;
    std::uint16_t keepalive = 0;
    switch (type) {
      case WGPEER_A_PUBLIC_KEY:
        return has_key = read_value(part, peer.public_key);
      case WGPEER_A_PRESHARED_KEY:
        return read_value(part, peer.preshared_key.bytes());
      case WGPEER_A_ENDPOINT:
        return read_endpoint(part, peer);
      case WGPEER_A_PERSISTENT_KEEPALIVE_INTERVAL:
        if (!read_value(part, keepalive)) return false;
        peer.persistent_keepalive_s = keepalive;
        return true;
      case WGPEER_A_LAST_HANDSHAKE_TIME:
        if (!read_value(part, time) || time.seconds < 0 || time.seconds > INT64_MAX / 2000)
          return false;
        peer.last_handshake_ms = time.seconds * 1000 + time.nanoseconds / 1'000'000;
        return true;
      case WGPEER_A_RX_BYTES:
        return read_value(part, peer.rx_bytes);
      case WGPEER_A_TX_BYTES:
        return read_value(part, peer.tx_bytes);
      case WGPEER_A_ALLOWEDIPS:
        return visit_nested(part,
                            [&](int, const nlattr* each) { return read_allowed_ip(each, peer); });
      default:
        return true;
    }
  });
  if (!fine || !has_key) return false;
  // A peer with many prefixes goes on in the next message.
  if (!state.peers.empty() && state.peers.back().public_key == peer.public_key) {
    auto& before = state.peers.back().allowed_ips;
    before.insert(before.end(), peer.allowed_ips.begin(), peer.allowed_ips.end());
  } else {
    state.peers.push_back(std::move(peer));
  }
  return true;
}

// The generic message inside, or null.
const nlmsghdr* checked(std::span<const std::uint8_t> message, std::size_t family_bytes) {
  const auto* header = reinterpret_cast<const nlmsghdr*>(message.data());
  if (message.size() < sizeof(nlmsghdr) ||
      !mnl_nlmsg_ok(header, static_cast<int>(message.size())) ||
      mnl_nlmsg_get_payload_len(header) < family_bytes)
    return nullptr;
  return header;
}

template <class Visit>
bool visit_message(const nlmsghdr* header, std::size_t family_bytes, const Visit& visit) {
  const auto* begin = static_cast<const std::uint8_t*>(mnl_nlmsg_get_payload(header));
  return visit_attributes(begin + family_bytes, mnl_nlmsg_get_payload_len(header) - family_bytes,
                          visit);
}

}  // namespace

NetlinkMessage new_wireguard_link(const std::string& interface) {
  Builder message(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL);
  message.family<ifinfomsg>().ifi_family = AF_UNSPEC;
  message.put(IFLA_IFNAME, interface);
  nlattr* info = message.nest(IFLA_LINKINFO);
  message.put(IFLA_INFO_KIND, kKind, std::strlen(kKind));
  message.end(info);
  return message.finish();
}

NetlinkMessage delete_link(const std::string& interface) {
  Builder message(RTM_DELLINK, 0);
  message.family<ifinfomsg>().ifi_family = AF_UNSPEC;
  message.put(IFLA_IFNAME, interface);
  return message.finish();
}

NetlinkMessage ask_wireguard_family() {
  Builder message(GENL_ID_CTRL, 0);
  put_command(message, CTRL_CMD_GETFAMILY, 1);
  message.put(CTRL_ATTR_FAMILY_NAME, std::string(WG_GENL_NAME));
  return message.finish();
}

Result<std::uint16_t> read_family(std::span<const std::uint8_t> message) {
  const auto* header = checked(message, sizeof(genlmsghdr));
  std::uint16_t family = 0;
  const bool fine =
      header != nullptr &&
      visit_message(header, sizeof(genlmsghdr), [&](int type, const nlattr* attribute) {
        return type != CTRL_ATTR_FAMILY_ID || read_value(attribute, family);
      });
  if (!fine || family == 0) return fail(Code::kInvalid, "netlink does not name its family");
  return family;
}

Result<NetlinkMessage> set_wireguard(std::uint16_t family, const std::string& interface,
                                     const tunnel::Settings& settings) {
  Builder message(family, 0);
  put_command(message, WG_CMD_SET_DEVICE, WG_GENL_VERSION);
  message.put(WGDEVICE_A_IFNAME, interface);
  if (settings.private_key)
    message.put(WGDEVICE_A_PRIVATE_KEY, settings.private_key->data(),
                settings.private_key->bytes().size());
  if (settings.listen_port) message.put_number(WGDEVICE_A_LISTEN_PORT, *settings.listen_port);
  if (settings.fwmark) message.put_number(WGDEVICE_A_FWMARK, *settings.fwmark);
  if (settings.replace_peers)
    message.put_number(WGDEVICE_A_FLAGS, std::uint32_t{WGDEVICE_F_REPLACE_PEERS});
  if (!settings.peers.empty()) {
    nlattr* peers = message.nest(WGDEVICE_A_PEERS);
    for (const auto& peer : settings.peers) put_peer(message, peer);
    message.end(peers);
  }
  if (message.is_full())
    return fail(Code::kLimit, "too many peers of " + interface + " for one netlink message");
  return message.finish();
}

NetlinkMessage get_wireguard(std::uint16_t family, const std::string& interface) {
  Builder message(family, NLM_F_DUMP);
  put_command(message, WG_CMD_GET_DEVICE, WG_GENL_VERSION);
  message.put(WGDEVICE_A_IFNAME, interface);
  return message.finish();
}

Status read_wireguard(std::span<const std::uint8_t> message, tunnel::TunnelState& state) {
  const auto* header = checked(message, sizeof(genlmsghdr));
  const bool fine =
      header != nullptr &&
      visit_message(header, sizeof(genlmsghdr), [&](int type, const nlattr* attribute) {
        switch (type) {
          case WGDEVICE_A_PRIVATE_KEY:
            return read_value(attribute, state.private_key.bytes());
          case WGDEVICE_A_LISTEN_PORT:
            return read_value(attribute, state.listen_port);
          case WGDEVICE_A_FWMARK:
            return read_value(attribute, state.fwmark);
          case WGDEVICE_A_PEERS:
            return visit_nested(attribute,
                                [&](int, const nlattr* each) { return read_peer(each, state); });
          default:
            return true;
        }
      });
  if (!fine) return fail(Code::kInvalid, "the kernel's answer about WireGuard makes no sense");
  return {};
}

}  // namespace icon::net
