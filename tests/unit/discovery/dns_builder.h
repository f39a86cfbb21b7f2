// Writes DNS messages byte by byte, right and wrong ones.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "discovery/dns_message.h"

namespace icon::discovery {

using Bytes = std::vector<std::uint8_t>;

inline void put_u16(Bytes& to, unsigned value) {
  to.push_back(static_cast<std::uint8_t>(value >> 8));
  to.push_back(static_cast<std::uint8_t>(value));
}
inline void put_u32(Bytes& to, std::uint32_t value) {
  put_u16(to, value >> 16);
  put_u16(to, value & 0xffff);
}
inline void put_name(Bytes& to, std::string_view name) {
  while (!name.empty()) {
    const auto label = name.substr(0, name.find('.'));
    to.push_back(static_cast<std::uint8_t>(label.size()));
    to.insert(to.end(), label.begin(), label.end());
    name.remove_prefix(std::min(name.size(), label.size() + 1));
  }
  to.push_back(0);
}

class DnsBuilder {
 public:
  static constexpr unsigned kCname = 5;
  static constexpr unsigned kSoa = 6;
  static constexpr std::uint8_t kQuestionOffset = 12;

  DnsBuilder(std::string_view name, RecordType type, unsigned response_code = 0) {
    put_u16(bytes_, 0x1234);
    put_u16(bytes_, 0x8180 | response_code);
    put_u16(bytes_, 1);
    for (int i = 0; i < 3; ++i) put_u16(bytes_, 0);
    put_name(bytes_, name);
    put_u16(bytes_, static_cast<unsigned>(type));
    put_u16(bytes_, 1);
  }
  // Empty owner: a pointer to the question's name.
  DnsBuilder& record(std::string_view owner, unsigned type, std::uint32_t ttl_s, const Bytes& data,
                     bool authority = false) {
    if (owner.empty()) {
      put_u16(bytes_, 0xc000 | kQuestionOffset);
    } else {
      put_name(bytes_, owner);
    }
    put_u16(bytes_, type);
    put_u16(bytes_, 1);
    put_u32(bytes_, ttl_s);
    put_u16(bytes_, static_cast<unsigned>(data.size()));
    bytes_.insert(bytes_.end(), data.begin(), data.end());
    const std::size_t at = authority ? 8 : 6;
    const unsigned count = (bytes_[at] << 8 | bytes_[at + 1]) + 1u;
    bytes_[at] = static_cast<std::uint8_t>(count >> 8);
    bytes_[at + 1] = static_cast<std::uint8_t>(count);
    return *this;
  }
  DnsBuilder& cname(std::string_view owner, std::string_view target, std::uint32_t ttl_s = 300) {
    return record(owner, kCname, ttl_s, name_data(target));
  }
  DnsBuilder& a(std::string_view owner, const char* address, std::uint32_t ttl_s = 300) {
    const auto parsed = *Address::parse(address);
    return record(owner, parsed.is_v4() ? 1 : 28, ttl_s,
                  Bytes(parsed.bytes().begin(), parsed.bytes().end()));
  }
  DnsBuilder& srv(std::string_view owner, unsigned priority, unsigned weight, unsigned port,
                  std::string_view target, std::uint32_t ttl_s = 300) {
    Bytes data;
    put_u16(data, priority);
    put_u16(data, weight);
    put_u16(data, port);
    put_name(data, target);
    return record(owner, 33, ttl_s, data);
  }
  DnsBuilder& txt(std::string_view owner, const std::vector<std::string>& strings,
                  std::uint32_t ttl_s = 300) {
    Bytes data;
    for (const auto& text : strings) {
      data.push_back(static_cast<std::uint8_t>(text.size()));
      data.insert(data.end(), text.begin(), text.end());
    }
    return record(owner, 16, ttl_s, data);
  }
  DnsBuilder& soa(std::uint32_t ttl_s, std::uint32_t minimum_s) {
    Bytes data = name_data("ns.example");
    const Bytes mailbox = name_data("host.example");
    data.insert(data.end(), mailbox.begin(), mailbox.end());
    for (int i = 0; i < 4; ++i) put_u32(data, 1);
    put_u32(data, minimum_s);
    return record("example", kSoa, ttl_s, data, true);
  }
  static Bytes name_data(std::string_view name) {
    Bytes data;
    put_name(data, name);
    return data;
  }
  Bytes& bytes() { return bytes_; }

 private:
  Bytes bytes_;
};

}  // namespace icon::discovery
