#include "discovery/probe.h"

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <time.h>
// After <time.h>: the kernel header wants struct timespec.
#include <linux/errqueue.h>

#include <cstring>
#include <random>
#include <vector>

namespace icon::discovery {
namespace {

using Bytes = std::vector<std::uint8_t>;

constexpr std::uint64_t kCookie = 0x1122334455667788;

template <class Struct>
Bytes bytes_of(const Struct& value) {
  const auto* first = reinterpret_cast<const std::uint8_t*>(&value);
  return Bytes(first, first + sizeof value);
}

Bytes sockaddr_bytes(const char* address) {
  sockaddr_storage storage{};
  const auto length = Address::parse(address)->to_sockaddr(0, storage);
  const auto* first = reinterpret_cast<const std::uint8_t*>(&storage);
  return Bytes(first, first + length);
}

void add_control(Bytes& control, int level, int type, const Bytes& data) {
  cmsghdr header{};
  header.cmsg_len = CMSG_LEN(data.size());
  header.cmsg_level = level;
  header.cmsg_type = type;
  const std::size_t at = control.size();
  control.resize(at + CMSG_SPACE(data.size()));
  std::memcpy(control.data() + at, &header, sizeof header);
  std::memcpy(control.data() + at + CMSG_LEN(0), data.data(), data.size());
}

// What the kernel hands over when `from` has answered a probe to `target`.
struct Message {
  Bytes name;
  Bytes control;
  Bytes payload;

  static Message error(bool v6, const char* target, const char* from, int type, int code,
                       std::span<const std::uint8_t> payload) {
    Message message;
    message.name = sockaddr_bytes(target);
    sock_extended_err extended{};
    extended.ee_origin = v6 ? SO_EE_ORIGIN_ICMP6 : SO_EE_ORIGIN_ICMP;
    extended.ee_type = static_cast<std::uint8_t>(type);
    extended.ee_code = static_cast<std::uint8_t>(code);
    Bytes data = bytes_of(extended);
    const Bytes offender = sockaddr_bytes(from);
    data.insert(data.end(), offender.begin(), offender.end());
    add_control(message.control, SOL_SOCKET, SCM_TIMESTAMPNS, bytes_of(timespec{1'700'000'000, 5}));
    add_control(message.control, v6 ? int{IPPROTO_IPV6} : int{IPPROTO_IP},
                v6 ? IPV6_RECVERR : IP_RECVERR, data);
    message.payload.assign(payload.begin(), payload.end());
    return message;
  }
  RawMessage raw() const { return {name, control, payload}; }
};

std::uint16_t checksum(std::span<const std::uint8_t> bytes) {
  std::uint32_t sum = 0;
  for (std::size_t i = 0; i + 1 < bytes.size(); i += 2) sum += bytes[i] << 8 | bytes[i + 1];
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<std::uint16_t>(~sum);
}

TEST(MakeProbe, ChecksumAndLengthAreTheSameForAllTtls) {
  for (const auto kind : {ProbeKind::kUdp, ProbeKind::kPing}) {
    const auto first = make_probe(kind, false, {1, 1}, kCookie);
    for (int ttl = 1; ttl <= kTtlMax; ++ttl) {
      for (int attempt = 1; attempt <= kAttemptsMax; ++attempt) {
        const auto probe = make_probe(kind, false, {ttl, attempt}, kCookie);
        EXPECT_EQ(probe.size, first.size);
        EXPECT_EQ(checksum(probe.view()), checksum(first.view()));
      }
    }
  }
}

TEST(ParseErrorMessage, UdpTimeExceeded) {
  const auto probe = make_probe(ProbeKind::kUdp, false, {7, 2}, kCookie);
  const auto message = Message::error(false, "192.0.2.1", "198.51.100.7", 11, 0, probe.view());
  const auto reply = parse_error_message(ProbeKind::kUdp, false, message.raw());
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->kind, ProbeReply::Kind::kTimeExceeded);
  EXPECT_EQ(reply->target.to_string(), "192.0.2.1");
  EXPECT_EQ(reply->from.to_string(), "198.51.100.7");
  EXPECT_EQ(reply->tag, (ProbeTag{7, 2}));
  EXPECT_EQ(reply->cookie, kCookie);
  EXPECT_EQ(reply->received_ns, 1'700'000'000'000'000'005);
}

TEST(ParseErrorMessage, Ipv6AndPing) {
  const auto udp = make_probe(ProbeKind::kUdp, true, {30, 1}, kCookie);
  auto message = Message::error(true, "2001:db8::1", "2001:db8::7", 1, 4, udp.view());
  auto reply = parse_error_message(ProbeKind::kUdp, true, message.raw());
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->kind, ProbeReply::Kind::kUnreachable);
  EXPECT_EQ(reply->code, 4);
  for (const bool v6 : {false, true}) {
    const auto ping = make_probe(ProbeKind::kPing, v6, {5, 3}, kCookie);
    message = Message::error(v6, v6 ? "2001:db8::1" : "192.0.2.1", v6 ? "2001:db8::7" : "192.0.2.7",
                             v6 ? 3 : 11, 0, ping.view());
    reply = parse_error_message(ProbeKind::kPing, v6, message.raw());
    ASSERT_TRUE(reply) << v6;
    EXPECT_EQ(reply->tag, (ProbeTag{5, 3}));
    EXPECT_EQ(reply->cookie, kCookie);
    // UDP's parser must not take it for its own.
    EXPECT_FALSE(parse_error_message(ProbeKind::kUdp, v6, message.raw()));
  }
}

TEST(ParseErrorMessage, QuoteOfEightBytes) {
  // UDP: the header alone, our payload is gone. Also with the zeros of RFC 4884 behind it.
  for (const std::size_t padding : {0u, 3u, 12u, 100u}) {
    const auto message =
        Message::error(false, "192.0.2.1", "198.51.100.7", 11, 0, Bytes(padding, 0));
    const auto reply = parse_error_message(ProbeKind::kUdp, false, message.raw());
    ASSERT_TRUE(reply) << padding;
    EXPECT_FALSE(reply->tag);
    EXPECT_FALSE(reply->cookie);
  }
  // Ping: the sequence number is among the eight.
  const auto ping = make_probe(ProbeKind::kPing, false, {9, 1}, kCookie);
  for (const std::size_t padding : {0u, 100u}) {
    Bytes quote(ping.view().begin(), ping.view().begin() + 8);
    quote.resize(8 + padding);
    const auto message = Message::error(false, "192.0.2.1", "198.51.100.7", 11, 0, quote);
    const auto reply = parse_error_message(ProbeKind::kPing, false, message.raw());
    ASSERT_TRUE(reply);
    EXPECT_EQ(reply->tag, (ProbeTag{9, 1}));
    EXPECT_FALSE(reply->cookie);
  }
}

TEST(ParseErrorMessage, WhatIsNotOursIsNothing) {
  auto probe = make_probe(ProbeKind::kUdp, false, {7, 2}, kCookie);
  const auto parses = [&](int type, std::span<const std::uint8_t> payload) {
    const auto message = Message::error(false, "192.0.2.1", "198.51.100.7", type, 0, payload);
    return parse_error_message(ProbeKind::kUdp, false, message.raw()).has_value();
  };
  EXPECT_TRUE(parses(11, probe.view()));
  EXPECT_FALSE(parses(12, probe.view()));  // parameter problem
  EXPECT_FALSE(parses(5, probe.view()));   // redirect
  probe.data[2] ^= 1;                      // the complement is wrong
  EXPECT_FALSE(parses(11, probe.view()));
  for (const ProbeTag tag :
       {ProbeTag{0, 1}, ProbeTag{kTtlMax + 1, 1}, ProbeTag{1, 0}, ProbeTag{1, kAttemptsMax + 1}})
    EXPECT_FALSE(parses(11, make_probe(ProbeKind::kUdp, false, tag, kCookie).view()));

  // A local error (no route, too big) says nothing about a hop.
  auto message = Message::error(false, "192.0.2.1", "198.51.100.7", 11, 0, {});
  message.control[CMSG_SPACE(sizeof(timespec)) + CMSG_LEN(0) +
                  offsetof(sock_extended_err, ee_origin)] = SO_EE_ORIGIN_LOCAL;
  EXPECT_FALSE(parse_error_message(ProbeKind::kUdp, false, message.raw()));
}

TEST(ParseEchoReply, NeedsTheWholePayload) {
  auto echo = make_probe(ProbeKind::kPing, false, {12, 1}, kCookie);
  echo.data[0] = 0;
  Message message;
  message.name = sockaddr_bytes("192.0.2.1");
  message.payload.assign(echo.view().begin(), echo.view().end());
  const auto reply = parse_echo_reply(false, message.raw());
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->kind, ProbeReply::Kind::kEchoReply);
  EXPECT_EQ(reply->from, reply->target);
  EXPECT_EQ(reply->tag, (ProbeTag{12, 1}));
  EXPECT_EQ(reply->cookie, kCookie);
  EXPECT_EQ(reply->received_ns, 0);
  message.payload.pop_back();
  EXPECT_FALSE(parse_echo_reply(false, message.raw()));
  EXPECT_FALSE(parse_echo_reply(true, message.raw()));
}

TEST(ParseErrorMessage, EveryTruncationIsSurvived) {
  for (const bool v6 : {false, true}) {
    for (const auto kind : {ProbeKind::kUdp, ProbeKind::kPing}) {
      const auto probe = make_probe(kind, v6, {7, 2}, kCookie);
      const auto whole =
          Message::error(v6, v6 ? "2001:db8::1" : "192.0.2.1", v6 ? "2001:db8::7" : "192.0.2.7",
                         v6 ? 3 : 11, 0, probe.view());
      for (std::size_t length = 0; length < whole.control.size(); ++length) {
        auto cut = whole;
        cut.control.resize(length);
        const auto reply = parse_error_message(kind, v6, cut.raw());
        if (reply) {
          EXPECT_EQ(reply->from.to_string(), v6 ? "2001:db8::7" : "192.0.2.7");
        }
      }
      for (std::size_t length = 0; length < whole.name.size(); ++length) {
        auto cut = whole;
        cut.name.resize(length);
        EXPECT_FALSE(parse_error_message(kind, v6, cut.raw()));
      }
      for (std::size_t length = 0; length < whole.payload.size(); ++length) {
        auto cut = whole;
        cut.payload.resize(length);
        const auto reply = parse_error_message(kind, v6, cut.raw());
        if (reply && reply->tag) {
          EXPECT_EQ(*reply->tag, (ProbeTag{7, 2}));
        }
      }
    }
  }
}

TEST(ParseErrorMessage, ManyMutationsAreSurvived) {
  const unsigned seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  const auto probe = make_probe(ProbeKind::kUdp, false, {7, 2}, kCookie);
  const auto whole = Message::error(false, "192.0.2.1", "192.0.2.7", 11, 0, probe.view());
  for (int round = 0; round < 50'000; ++round) {
    auto message = whole;
    for (Bytes* part : {&message.name, &message.control, &message.payload}) {
      if (random() % 2 == 0) (*part)[random() % part->size()] = static_cast<std::uint8_t>(random());
      if (random() % 8 == 0) part->resize(random() % (part->size() + 1));
    }
    for (const bool v6 : {false, true}) {
      (void)parse_error_message(ProbeKind::kUdp, v6, message.raw());
      (void)parse_error_message(ProbeKind::kPing, v6, message.raw());
      (void)parse_echo_reply(v6, message.raw());
    }
  }
}

TEST(BackHops, SendersBeginWithOneOfThree) {
  EXPECT_EQ(back_hops(64), 1);
  EXPECT_EQ(back_hops(61), 4);
  EXPECT_EQ(back_hops(125), 4);
  EXPECT_EQ(back_hops(252), 4);
  EXPECT_EQ(back_hops(1), 64);
  for (const int none : {0, -1, 256, 1 << 30}) EXPECT_EQ(back_hops(none), 0);
}

TEST(BackHops, AreReadFromEveryAnswer) {
  for (const bool v6 : {false, true}) {
    const auto probe = make_probe(ProbeKind::kUdp, v6, {4, 1}, kCookie);
    auto message =
        Message::error(v6, v6 ? "2001:db8::9" : "203.0.113.9", v6 ? "2001:db8::1" : "198.51.100.1",
                       v6 ? 3 : 11, 0, probe.view());
    EXPECT_EQ(parse_error_message(ProbeKind::kUdp, v6, message.raw())->back_hops, 0);
    add_control(message.control, v6 ? int{IPPROTO_IPV6} : int{IPPROTO_IP},
                v6 ? IPV6_HOPLIMIT : IP_TTL, bytes_of(int{58}));
    EXPECT_EQ(parse_error_message(ProbeKind::kUdp, v6, message.raw())->back_hops, 7);
  }
}

}  // namespace
}  // namespace icon::discovery
