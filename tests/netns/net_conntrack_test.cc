// Connection tracking's table thinned out, by listing everything and by the kernel's filter.
#include <gtest/gtest.h>

#include <optional>

#include "supervisor/net/conntrack.h"
#include "supervisor/net/flow_sweeper.h"
#include "supervisor/net/netns_files.h"
#include "tests/netns/net_sockets.h"

namespace icon::net::test {
namespace {

constexpr const char* kOverlay = "100.64.0.1";
constexpr const char* kOverlay6 = "fd49:636f:6e31::1";

// Whether everything is listed, or the kernel chooses.
class NetConntrack : public ::testing::TestWithParam<std::size_t> {
 protected:
  void SetUp() override {
    ASSERT_TRUE(ensure_netns(name_));
    thread_ = std::make_unique<NetnsThread>(name_);
  }
  void TearDown() override {
    thread_.reset();
    EXPECT_TRUE(remove_netns(name_));
  }
  // A user's connection to the overlay address by a public one, or to somebody else.
  void insert(const std::string& client, const std::string& dialled, const std::string& answers,
              const std::string& state) {
    must(name_, "conntrack -I -p tcp --timeout 100 --state " + state + " -s " + client + " -d " +
                    dialled + " --sport 40000 --dport 80 -r " + answers + " -q " + client +
                    " --reply-port-src 80 --reply-port-dst 40000 2>/dev/null");
  }
  int count(const std::string& pattern) {
    return std::stoi(
        shell(name_, "{ conntrack -L -f ipv4; conntrack -L -f ipv6; } 2>/dev/null | grep -c '" +
                         pattern + "'")
            .output);
  }
  std::size_t erase(Conntrack::Side side, const Conntrack::Condition& gone) {
    return thread_->run([&]() -> std::size_t {
      auto conntrack = Conntrack::open(GetParam());
      const auto erased =
          conntrack->erase({*Address::parse(kOverlay), *Address::parse(kOverlay6)}, side, gone);
      EXPECT_TRUE(erased) << erased.error().message;
      return erased.value_or(0);
    });
  }
  const std::string name_ = prefix() + "conntrack";
  std::unique_ptr<NetnsThread> thread_;
};
INSTANTIATE_TEST_SUITE_P(Listed, NetConntrack, ::testing::Values(0, SIZE_MAX));

TEST_P(NetConntrack, ErasesWhatHasEndedOfTheseAddressesAndNothingElse) {
  insert("198.51.100.1", "192.0.2.1", kOverlay, "TIME_WAIT");
  insert("198.51.100.2", "192.0.2.1", kOverlay, "CLOSE");
  insert("198.51.100.3", "192.0.2.1", kOverlay, "ESTABLISHED");
  insert("198.51.100.4", "192.0.2.1", kOverlay, "CLOSE_WAIT");
  insert("198.51.100.5", "192.0.2.1", "100.64.0.2", "TIME_WAIT");
  insert(kOverlay, "198.51.100.6", "198.51.100.6", "TIME_WAIT");
  insert("2001:db8::1", "2001:db8::2", kOverlay6, "TIME_WAIT");
  insert("2001:db8::3", "2001:db8::2", kOverlay6, "ESTABLISHED");
  insert("2001:db8::4", "2001:db8::2", "fd49:636f:6e31::2", "TIME_WAIT");
  ASSERT_EQ(count("src"), 9);
  const auto ended = [](const TrackedConnection& connection) { return connection.has_ended(); };
  EXPECT_EQ(erase(Conntrack::Side::kAnswers, ended), 3u);
  EXPECT_EQ(count("198.51.100.6"), 1) << "the ICON's own";
  EXPECT_EQ(erase(Conntrack::Side::kBoth, ended), 1u);
  EXPECT_EQ(erase(Conntrack::Side::kBoth, ended), 0u);
  for (const char* client : {"198.51.100.3", "198.51.100.4", "198.51.100.5", "db8::3", "db8::4"})
    EXPECT_EQ(count(client), 1) << client;
  EXPECT_EQ(erase(Conntrack::Side::kBoth, [](const TrackedConnection&) { return true; }), 3u);
  EXPECT_EQ(count("src"), 2);
}

TEST_P(NetConntrack, ReadsAConnectionAsItIs) {
  insert("198.51.100.1", "192.0.2.1", kOverlay, "ESTABLISHED");
  must(name_, "conntrack -U -p tcp --mark 0x49430001 -s 198.51.100.1 2>/dev/null");
  std::vector<TrackedConnection> seen;
  erase(Conntrack::Side::kAnswers, [&](const TrackedConnection& connection) {
    seen.push_back(connection);
    return false;
  });
  ASSERT_EQ(seen.size(), 1u);
  EXPECT_EQ(seen[0].from, endpoint("198.51.100.1:40000"));
  EXPECT_EQ(seen[0].to, endpoint("192.0.2.1:80"));
  EXPECT_EQ(seen[0].answer_from, endpoint("100.64.0.1:80"));
  EXPECT_EQ(seen[0].answer_to, endpoint("198.51.100.1:40000"));
  EXPECT_EQ(seen[0].mark, 0x4943'0001u);
  EXPECT_TRUE(seen[0].is_established());
  EXPECT_FALSE(seen[0].has_ended());
}

// Whoever releases an ICON waits for its sweeps for a moment only. From then on its connections
// live.
class NetSweep : public NetConntrack {};
INSTANTIATE_TEST_SUITE_P(AsItIs, NetSweep, ::testing::Values(Conntrack::kListedMax));

TEST_P(NetSweep, WhatComesTooLateTakesNothing) {
  std::optional<FlowSweeper> sweeper;
  thread_->run([&] { sweeper.emplace(std::nullopt); });
  std::vector<FlowSweeper::Sweep> before;  // as a host that is busy
  for (int i = 0; i < 20; ++i)
    before.push_back(sweeper->sweep({*Address::parse("100.64.0.9")}, FlowSweeper::Which::kAll));
  const auto late = sweeper->sweep({*Address::parse(kOverlay)}, FlowSweeper::Which::kAll);
  const auto in_time = sweeper->sweep({*Address::parse("100.64.0.2")}, FlowSweeper::Which::kAll);
  *late.is_void = true;
  insert("198.51.100.1", "192.0.2.1", kOverlay, "ESTABLISHED");
  insert("198.51.100.2", "192.0.2.1", "100.64.0.2", "ESTABLISHED");
  late.done.wait();
  in_time.done.wait();
  EXPECT_EQ(count("198.51.100.1"), 1);
  EXPECT_EQ(count("198.51.100.2"), 0);
}

}  // namespace
}  // namespace icon::net::test
