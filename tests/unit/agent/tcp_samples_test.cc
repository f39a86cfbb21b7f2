#include "agent/tcp_samples.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/tcp.h>

#include <cstring>
#include <random>

namespace icon::agent {
namespace {

using Buffer = std::vector<std::byte>;

void append(Buffer& buffer, const void* data, std::size_t bytes) {
  const auto* first = static_cast<const std::byte*>(data);
  buffer.insert(buffer.end(), first, first + bytes);
  buffer.resize(NLMSG_ALIGN(buffer.size()));
}

struct Connection {
  int family = AF_INET;
  std::string user = "192.0.2.7";
  std::uint16_t local_port = 6379;
  std::uint32_t rtt_us = 12'000;
  std::uint32_t min_rtt_us = 10'000;
  std::uint32_t last_data_recv_ms = 40;
  std::uint32_t last_ack_recv_ms = 20;
  std::size_t info_bytes = sizeof(tcp_info);
};

void append_message(Buffer& buffer, const Connection& connection) {
  inet_diag_msg message{};
  message.idiag_family = static_cast<std::uint8_t>(connection.family);
  message.id.idiag_sport = htons(connection.local_port);
  message.id.idiag_dport = htons(40000);
  inet_pton(connection.family, connection.user.c_str(), message.id.idiag_dst);
  tcp_info info{};
  info.tcpi_rtt = connection.rtt_us;
  info.tcpi_min_rtt = connection.min_rtt_us;
  info.tcpi_last_data_recv = connection.last_data_recv_ms;
  info.tcpi_last_ack_recv = connection.last_ack_recv_ms;
  std::vector<std::byte> info_bytes(connection.info_bytes);
  std::memcpy(info_bytes.data(), &info, std::min(info_bytes.size(), sizeof info));

  Buffer attributes;
  const rtattr other{sizeof(rtattr) + 1, INET_DIAG_SHUTDOWN};
  attributes.resize(RTA_ALIGN(sizeof other + 1));
  std::memcpy(attributes.data(), &other, sizeof other);
  const rtattr header{static_cast<unsigned short>(sizeof(rtattr) + info_bytes.size()),
                      INET_DIAG_INFO};
  append(attributes, &header, sizeof header);
  append(attributes, info_bytes.data(), info_bytes.size());

  nlmsghdr top{};
  top.nlmsg_type = SOCK_DIAG_BY_FAMILY;
  top.nlmsg_len =
      static_cast<std::uint32_t>(sizeof top + NLMSG_ALIGN(sizeof message) + attributes.size());
  append(buffer, &top, sizeof top);
  append(buffer, &message, sizeof message);
  append(buffer, attributes.data(), attributes.size());
}

void append_done(Buffer& buffer) {
  nlmsghdr top{};
  top.nlmsg_type = NLMSG_DONE;
  top.nlmsg_len = sizeof top + sizeof(int);
  const int status = 0;
  append(buffer, &top, sizeof top);
  append(buffer, &status, sizeof status);
}

struct Parsed {
  DiagOutcome outcome;
  std::vector<TcpSample> samples;
};

Parsed parse(const Buffer& buffer, bool ended = false) {
  Parsed parsed;
  parsed.outcome =
      parse_diag(buffer, ended, [&](const TcpSample& sample) { parsed.samples.push_back(sample); });
  return parsed;
}

TEST(TcpSamples, ReadsADumpToItsEnd) {
  Buffer buffer;
  append_message(buffer, {});
  append_message(buffer, {.family = AF_INET6, .user = "2001:db8::9", .local_port = 80});
  append_message(buffer, {.family = AF_INET6, .user = "::ffff:198.51.100.3"});
  append_done(buffer);
  const auto parsed = parse(buffer);
  EXPECT_TRUE(parsed.outcome.done);
  EXPECT_EQ(parsed.outcome.error, 0);
  ASSERT_EQ(parsed.samples.size(), 3U);
  EXPECT_EQ(parsed.samples[0].user.to_string(), "192.0.2.7");
  EXPECT_EQ(parsed.samples[0].local_port, 6379);
  EXPECT_EQ(parsed.samples[0].user_port, 40000);
  EXPECT_EQ(parsed.samples[0].rtt_us, 12'000U);
  EXPECT_EQ(parsed.samples[0].min_rtt_us, 10'000U);
  EXPECT_EQ(parsed.samples[0].idle, Millis(20));
  EXPECT_FALSE(parsed.samples[0].ended);
  EXPECT_EQ(parsed.samples[1].user.to_string(), "2001:db8::9");
  EXPECT_EQ(parsed.samples[2].user.to_string(), "198.51.100.3");
}

TEST(TcpSamples, NothingMeasuredYetIsNoMeasurement) {
  Buffer buffer;
  append_message(buffer, {.rtt_us = 0, .min_rtt_us = 0xffffffff});
  append_message(buffer, {.rtt_us = 0xfffffff0, .min_rtt_us = 0xfffffff0});
  const auto parsed = parse(buffer, true);
  ASSERT_EQ(parsed.samples.size(), 2U);
  for (const auto& sample : parsed.samples) {
    EXPECT_TRUE(sample.ended);
    EXPECT_EQ(sample.rtt_us, 0U);
    EXPECT_EQ(sample.min_rtt_us, 0U);
  }
}

TEST(TcpSamples, OlderAndNewerKernels) {
  Buffer buffer;
  append_message(buffer, {.info_bytes = offsetof(tcp_info, tcpi_pacing_rate)});
  append_message(buffer, {.info_bytes = sizeof(tcp_info) + 64});
  append_message(buffer, {.info_bytes = offsetof(tcp_info, tcpi_rtt)});
  const auto parsed = parse(buffer);
  ASSERT_EQ(parsed.samples.size(), 2U);
  EXPECT_EQ(parsed.samples[0].rtt_us, 12'000U);
  EXPECT_EQ(parsed.samples[0].min_rtt_us, 0U);
  EXPECT_EQ(parsed.samples[1].min_rtt_us, 10'000U);
}

TEST(TcpSamples, RefusalsAreSeen) {
  Buffer buffer;
  nlmsghdr top{};
  top.nlmsg_type = NLMSG_ERROR;
  top.nlmsg_len = sizeof top + sizeof(nlmsgerr);
  nlmsgerr error{};
  error.error = -ENOENT;
  append(buffer, &top, sizeof top);
  append(buffer, &error, sizeof error);
  EXPECT_EQ(parse(buffer).outcome.error, ENOENT);
  buffer.resize(sizeof top);
  EXPECT_EQ(parse(buffer).outcome.error, 0);  // shorter than it says: not a message
}

TEST(TcpSamples, EveryTruncationIsSafe) {
  Buffer buffer;
  append_message(buffer, {});
  append_message(buffer, {.family = AF_INET6, .user = "2001:db8::9"});
  append_done(buffer);
  for (std::size_t bytes = 0; bytes < buffer.size(); ++bytes) {
    const Buffer part(buffer.begin(), buffer.begin() + static_cast<std::ptrdiff_t>(bytes));
    EXPECT_LE(parse(part).samples.size(), 2U);
  }
}

TEST(TcpSamples, EveryChangedByteIsSafe) {
  Buffer original;
  append_message(original, {});
  append_message(original, {.family = AF_INET6, .user = "2001:db8::9"});
  append_done(original);
  std::mt19937 random(7);
  for (int round = 0; round < 20'000; ++round) {
    // A vector of its own, so that a sanitizer sees a read behind the end.
    Buffer buffer(original);
    for (int change = 0; change < 3; ++change)
      buffer[random() % buffer.size()] = static_cast<std::byte>(random());
    EXPECT_LE(parse(buffer).samples.size(), 32U);
  }
}

TEST(TcpSamples, HeadersThatClaimNothingEnd) {
  Buffer buffer(4096);  // nlmsg_len 0
  EXPECT_TRUE(parse(buffer).samples.empty());
}

}  // namespace
}  // namespace icon::agent
