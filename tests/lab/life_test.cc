// A whole life on the real kernel: users of two networks pull apart, a replica appears near those
// whom no single place serves together with the others, demand vanishes, the replica ends, and its
// last user is back at the parent.
//
//  origin --30 ms-- t1 ------ t2 --8 ms-- x1 ------ a1 ------ a2 --2 ms-- users-a (8 at a time)
//                              |                     |
//                            23 ms                 edge-a
//                              |
//                              b1 --2 ms-- users-b (8, later 1)
//                              |
//                            edge-b
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <atomic>
#include <iostream>
#include <map>
#include <mutex>
#include <optional>
#include <thread>

#include "base/file.h"
#include "base/http_client.h"
#include "base/netns.h"
#include "tests/lab/proved_ledger.h"
#include "tests/lab/world_fixture.h"

namespace icon::lab {
namespace {

constexpr std::uint16_t kPort = 8080;
constexpr Millis kChangeMax{30'000};  // until the world looks as awaited
constexpr int kRequestsPerVisit = 20;
constexpr int kBetweenRequestsMs = 15;
constexpr int kHopsMax = 5;
constexpr int kVisitors = 8;
constexpr std::int64_t kPriceUcredits = 80'000;
constexpr const char* kPolicy =
    "name: life\n"
    "latency: {objective: 20ms, window: 2s}\n"
    "budget: 5\n"
    "value: 0.05\n"
    "margin: 0.005\n"
    "horizon: 1h\n"
    "interval: 300ms\n"
    "rounds: 2\n"
    "cooldown: 5s\n"
    "redirect: redirect\n"
    "replicate: {max: 1, share: 20, remember: 1s, drain: 20s}\n"
    "slot: {cpu: 0.2, memory: 128MiB, bandwidth: 10Mbit, duration: 1h}\n";

// One visit of a user: dials, follows redirections, asks some things, goes.
struct Visit {
  std::string host;  // who served him in the end; empty: nobody
  std::int64_t rtt_us = 0;
};

class Visitor {
 public:
  Visitor(std::string netns, Address source) : netns_(std::move(netns)), source_(source) {}

  Visit visit(Address to) const {
    for (int hop = 0; hop < kHopsMax; ++hop) {
      UniqueFd fd = dial(to);
      if (!fd) return {};
      const auto answer = ask(fd);
      if (answer.starts_with("HTTP/1.1 307")) {
        constexpr std::string_view kLocation = "Location: http://";
        const auto at = answer.find(kLocation);
        if (at == std::string::npos) return {};
        const auto begin = at + kLocation.size();
        const auto next = Address::parse(answer.substr(begin, answer.find(':', begin) - begin));
        if (!next) return {};
        to = *next;
        continue;
      }
      if (!answer.starts_with("HTTP/1.1 200")) return {};
      for (int i = 1; i < kRequestsPerVisit; ++i) {
        poll(nullptr, 0, kBetweenRequestsMs);  // a user reads
        if (!ask(fd).starts_with("HTTP/1.1 200")) return {};
      }
      tcp_info info{};
      socklen_t size = sizeof info;
      getsockopt(fd.get(), IPPROTO_TCP, TCP_INFO, &info, &size);
      return {to.to_string(), info.tcpi_rtt};
    }
    return {};
  }

 private:
  UniqueFd dial(const Address& to) const {
    UniqueFd fd;
    const auto there = open_netns(netns_);
    if (!there) return fd;
    (void)in_netns(*there, [&]() -> Status {
      fd = UniqueFd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
      return {};
    });
    const timeval limit{5, 0};
    const int on = 1;
    setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    const auto at = [](const Address& address, std::uint16_t port) {
      sockaddr_in raw{};
      raw.sin_family = AF_INET;
      raw.sin_port = htons(port);
      inet_pton(AF_INET, address.to_string().c_str(), &raw.sin_addr);
      return raw;
    };
    const auto from = at(source_, 0);
    const auto target = at(to, kPort);
    if (bind(fd.get(), reinterpret_cast<const sockaddr*>(&from), sizeof from) != 0 ||
        connect(fd.get(), reinterpret_cast<const sockaddr*>(&target), sizeof target) != 0)
      fd.reset();
    return fd;
  }

  static std::string ask(const UniqueFd& fd) {
    static constexpr std::string_view kRequest = "GET /index.html HTTP/1.1\r\nHost: life\r\n\r\n";
    if (send(fd.get(), kRequest.data(), kRequest.size(), MSG_NOSIGNAL) < 0) return {};
    std::string answer;
    std::size_t whole = 0;
    char buffer[4096];
    while (whole == 0 || answer.size() < whole) {
      const ssize_t count = recv(fd.get(), buffer, sizeof buffer, 0);
      if (count <= 0) return {};
      answer.append(buffer, static_cast<std::size_t>(count));
      const auto end = answer.find("\r\n\r\n");
      const auto length = answer.find("Content-Length: ");
      if (end != std::string::npos && length != std::string::npos)
        whole = end + 4 + static_cast<std::size_t>(std::stoul(answer.substr(length + 16)));
    }
    return answer;
  }

  std::string netns_;
  Address source_;
};

// Users of one network who come again and again, each time from the address they know.
class Group {
 public:
  Group(const Lab& lab, const std::string& node, Address home) {
    const auto sources = lab.users(node).value();
    for (int i = 0; i < kVisitors; ++i)
      threads_.emplace_back([this, i, home, netns = lab.netns(node),
                             source = sources[static_cast<std::size_t>(i) % sources.size()]] {
        const Visitor visitor(netns, source);
        while (i < active_) note(visitor.visit(home));
      });
  }
  ~Group() { keep(0); }
  Group(const Group&) = delete;
  Group& operator=(const Group&) = delete;

  // So many go on; the others leave after their visit. Waits for them.
  void keep(int count) {
    active_ = count;
    while (threads_.size() > static_cast<std::size_t>(count)) {
      threads_.back().join();
      threads_.pop_back();
    }
  }
  void forget() {
    const std::lock_guard lock(mutex_);
    visits_.clear();
  }
  // Of those whom `host` served.
  std::vector<std::int64_t> rtts_at(const std::string& host) const {
    const std::lock_guard lock(mutex_);
    std::vector<std::int64_t> rtts;
    for (const auto& visit : visits_)
      if (visit.host == host) rtts.push_back(visit.rtt_us);
    return rtts;
  }
  std::string told() const {
    const std::lock_guard lock(mutex_);
    std::map<std::string, int> counts;
    for (const auto& visit : visits_) ++counts[visit.host];
    std::string text;
    for (const auto& [host, count] : counts) text += host + ":" + std::to_string(count) + " ";
    return text;
  }

 private:
  void note(Visit visit) {
    const std::lock_guard lock(mutex_);
    visits_.push_back(std::move(visit));
  }

  std::atomic<int> active_ = kVisitors;
  mutable std::mutex mutex_;
  std::vector<Visit> visits_;
  std::vector<std::thread> threads_;
};

std::int64_t median(std::vector<std::int64_t> values) {
  if (values.empty()) return -1;
  std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2),
                   values.end());
  return values[values.size() / 2];
}

class LifeTest : public WorldTest {
 protected:
  void SetUp() override {
    DemoWorldOptions options;
    options.topology_text = read_file(ICON_SOURCE_DIR "/lab/topologies/demo.yaml", 1 << 16).value();
    options.rootfs = ICON_PYTHON_ROOT;
    options.prices_ucredits = {{"dear", 4'000'000}};
    bring_up("lt", std::move(options));
    if (HasFatalFailure()) return;
    const std::string policy = world_->lab().host_directory("origin") + "/life.yaml";
    ASSERT_TRUE(write_file_atomic(policy, kPolicy, 0644));
    const auto said = world_->run_icon(
        "origin", {"run", "--name", "life", "--rootfs", ICON_PYTHON_ROOT, "--policy", policy, "-p",
                   std::to_string(kPort), "--", "/usr/bin/python3", "-m", "http.server",
                   std::to_string(kPort), "--protocol", "HTTP/1.1", "--directory", "/srv"});
    ASSERT_TRUE(said) << said.error().message;
    const Visitor first(world_->lab().netns("users-a"),
                        world_->lab().users("users-a").value().front());
    // It tells nobody when it is ready.
    ASSERT_TRUE(
        icon::test::eventually([&] { return !first.visit(address("origin")).host.empty(); }));
  }

  std::string served_at(const std::string& node) const { return address(node).to_string(); }

  json::Object life_at(const std::string& host) const { return icon_at(host, "life"); }
  std::string state_at(const std::string& host) const {
    const auto icon = life_at(host);
    return icon.contains("state") ? std::string(icon.at("state").as_string()) : "";
  }
  json::Object status_at(const std::string& host) const { return status_of(host, "life"); }
  // The only child that the ICON at `host` knows.
  json::Object child_at(const std::string& host) const {
    const auto status = status_at(host);
    if (!status.contains("family")) return {};
    const auto& children = status.at("family").as_object().at("children").as_array();
    return children.size() == 1 ? children.front().as_object() : json::Object{};
  }
  // By the closing receipt of the only lease that `host` has sold; 0: there is none yet.
  std::int64_t charged_at(const std::string& host) const {
    const auto body = world_->get(host, "/v1/leases");
    if (!body) return 0;
    for (const auto& value : body->at("leases").as_array()) {
      const auto& lease = value.as_object();
      const auto* receipt = lease.if_contains("receipt");
      if (lease.at("role").as_string() == "sold" && receipt != nullptr && receipt->is_object())
        return receipt->at("body").at("charged_ucredits").as_int64();
    }
    return 0;
  }
  static bool eventually(const std::function<bool()>& condition) {
    return icon::test::eventually(condition, kChangeMax);
  }
};

TEST_F(LifeTest, AReplicaComesWithItsUsersAndGoesWithThem) {
  const auto id = std::string(life_at("origin").at("id").as_string());
  Group near_a(world_->lab(), "users-a", address("origin"));
  Group near_b(world_->lab(), "users-b", address("origin"));

  // The first group is most of all: the ICON moves to it. The second one stays far, wherever it is.
  ASSERT_TRUE(eventually([&] { return near_a.rtts_at(served_at("edge-a")).size() >= 8; }))
      << near_a.told();
  ASSERT_TRUE(eventually([&] { return near_b.rtts_at(served_at("edge-b")).size() >= 16; }))
      << near_b.told();
  EXPECT_EQ(state_at("edge-a"), "running");
  const auto before_a = median(near_a.rtts_at(served_at("origin")));
  const auto before_b = median(near_b.rtts_at(served_at("origin")));
  near_a.forget();
  near_b.forget();
  ASSERT_TRUE(eventually([&] {
    return near_a.rtts_at(served_at("edge-a")).size() >= 16 &&
           near_b.rtts_at(served_at("edge-b")).size() >= 16;
  }));
  const auto after_a = median(near_a.rtts_at(served_at("edge-a")));
  const auto after_b = median(near_b.rtts_at(served_at("edge-b")));
  std::cout << "median RTT in us: users-a " << before_a << " -> " << after_a << ", users-b "
            << before_b << " -> " << after_b << "\n";
  EXPECT_LT(2 * after_a, before_a);
  EXPECT_LT(2 * after_b, before_b);

  // The replica has its share, and `icon explain` the reason.
  const auto replica = life_at("edge-b");
  const auto child_id = std::string(replica.at("id").as_string());
  EXPECT_NE(child_id, id);
  ASSERT_TRUE(eventually([&] {
    const auto child = child_at("edge-a");
    return child.contains("left_ucredits") && child.at("left_ucredits").as_int64() > 0 &&
           child.at("connections").as_int64() > 0;
  }));
  const auto explained = world_->run_icon("edge-a", {"explain", "life", "-o", "json"});
  ASSERT_TRUE(explained) << explained.error().message;
  EXPECT_NE(explained->find("\"replicate\""), std::string::npos) << *explained;

  // Demand vanishes but for one user, who alone is not worth a slot.
  near_b.keep(1);
  ASSERT_TRUE(eventually([&] { return state_at("edge-b") == "stopped"; })) << state_at("edge-b");
  near_b.forget();
  ASSERT_TRUE(eventually([&] { return near_b.rtts_at(served_at("edge-a")).size() >= 2; }))
      << near_b.told();
  EXPECT_TRUE(near_b.rtts_at(served_at("edge-b")).empty()) << near_b.told();

  // Money: two slots were paid for, nothing is held, and the share is back, and so is what the
  // replica has not used of its slot.
  ASSERT_TRUE(eventually([&] { return child_at("edge-a").at("state").as_string() == "ended"; }));
  ASSERT_TRUE(eventually([&] { return charged_at("edge-b") > 0; }));
  const auto spent = kPriceUcredits + charged_at("edge-b");
  EXPECT_LT(spent, 2 * kPriceUcredits);
  ASSERT_TRUE(eventually([&] {
    return status_at("edge-a").at("purse").as_object().at("spent_ucredits").as_int64() == spent;
  }));
  const auto purse = status_at("edge-a").at("purse").as_object();
  EXPECT_EQ(purse.at("held_ucredits").as_int64(), 0);
  EXPECT_EQ(purse.at("shared_ucredits").as_int64(), 0);
  EXPECT_GT(child_at("edge-a").at("share_ucredits").as_int64(), 0);

  // Slots: the replica's is over and free again, the parent's is held.
  const auto free_at = [&](const std::string& host) {
    const auto status = world_->get(host, "/v1/status");
    return status && status->at("free") == status->at("capacity");
  };
  EXPECT_TRUE(eventually([&] { return free_at("edge-b"); }));
  EXPECT_FALSE(free_at("edge-a"));

  // Ledgers.
  auto told = proved_ledger(run_dir("edge-a", id));
  EXPECT_EQ(told["birth"], 1);
  EXPECT_EQ(told["replica"], 1);
  EXPECT_EQ(told["share"], 1);
  EXPECT_EQ(told["share_return"], 1);
  EXPECT_EQ(told["move"], 1);
  auto childs = proved_ledger(run_dir("edge-b", child_id));
  EXPECT_EQ(childs["share"], 1);
  EXPECT_EQ(childs["share_return"], 1);
}

}  // namespace
}  // namespace icon::lab
