// A netlink request, and what its answer means: for rtnetlink*.cc and conntrack.cc alone.
#pragma once

#include <libmnl/libmnl.h>
#include <linux/netlink.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <string>

#include "base/address.h"
#include "base/result.h"

namespace icon::net {

inline constexpr std::uint8_t kFamilies[] = {AF_INET, AF_INET6};
inline constexpr std::size_t kMessageBytes = 1024;
inline constexpr std::size_t kReceiveBytes = 32 << 10;

// A request with room for its attributes.
class Message {
 public:
  Message(const Message&) = delete;
  Message& operator=(const Message&) = delete;
  Message(std::uint16_t type, std::uint16_t flags) : header_(mnl_nlmsg_put_header(buffer_)) {
    header_->nlmsg_type = type;
    header_->nlmsg_flags = static_cast<std::uint16_t>(NLM_F_REQUEST | NLM_F_ACK | flags);
  }
  template <class Family>
  Family& family() {
    return *static_cast<Family*>(mnl_nlmsg_put_extra_header(header_, sizeof(Family)));
  }
  void put(std::uint16_t type, std::uint32_t value) { mnl_attr_put_u32(header_, type, value); }
  void put(std::uint16_t type, const void* data, std::size_t bytes) {
    mnl_attr_put(header_, type, bytes, data);
  }
  void put(std::uint16_t type, const std::string& text) {
    mnl_attr_put_strz(header_, type, text.c_str());
  }
  void put(std::uint16_t type, const Address& address) {
    put(type, address.bytes().data(), address.bytes().size());
  }
  // Whole attributes, aligned, as the kernel sent them.
  void append(const std::string& attributes) {
    std::memcpy(mnl_nlmsg_get_payload_tail(header_), attributes.data(), attributes.size());
    header_->nlmsg_len += static_cast<std::uint32_t>(attributes.size());
  }
  nlattr* nest(std::uint16_t type) { return mnl_attr_nest_start(header_, type); }
  void end(nlattr* nest) { mnl_attr_nest_end(header_, nest); }
  nlmsghdr* get() { return header_; }

 private:
  alignas(nlmsghdr) char buffer_[kMessageBytes]{};
  nlmsghdr* header_;
};

inline std::uint8_t family_of(const Address& address) {
  return address.is_v4() ? AF_INET : AF_INET6;
}

// libmnl's own macro for this is C only.
template <class Visit>
void for_each_attribute(const nlmsghdr* header, std::size_t offset, const Visit& visit) {
  const auto* end = static_cast<const char*>(mnl_nlmsg_get_payload_tail(header));
  const auto* attribute = static_cast<const nlattr*>(mnl_nlmsg_get_payload_offset(header, offset));
  while (mnl_attr_ok(attribute, static_cast<int>(end - reinterpret_cast<const char*>(attribute)))) {
    visit(attribute);
    attribute = mnl_attr_next(attribute);
  }
}

inline Status outcome_of(int error, const std::string& what, std::initializer_list<int> harmless) {
  if (error == 0 || std::find(harmless.begin(), harmless.end(), error) != harmless.end()) return {};
  if (error == EEXIST) return fail(Code::kConflict, what + ": it exists already");
  if (error == ENODEV) return fail(Code::kNotFound, what + ": no such interface");
  return fail_errno(what, error);
}

}  // namespace icon::net
