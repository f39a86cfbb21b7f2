// The world of a whole life: a service far from its users, two groups of them who pull apart, hosts
// near each that sell slots, and visitors who go where they are led.
//
//  origin --30 ms-- t1 ------ t2 --8 ms-- x1 ------ a1 ------ a2 --2 ms-- users-a (8 at a time)
//                              |                     |
//                            23 ms                 edge-a
//                              |
//                              b1 --2 ms-- users-b (8, later 1)
//                              |
//                            edge-b
#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <atomic>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/file.h"
#include "base/http_client.h"
#include "base/netns.h"
#include "tests/lab/world_fixture.h"

namespace icon::lab {

inline constexpr std::uint16_t kPort = 8080;
inline constexpr Millis kChangeMax{30'000};  // until the world looks as awaited
inline constexpr int kRequestsPerVisit = 20;
inline constexpr int kBetweenRequestsMs = 15;
inline constexpr int kHopsMax = 5;
inline constexpr int kVisitors = 8;
inline constexpr std::int64_t kPriceUcredits = 80'000;
inline constexpr const char* kPolicy =
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

inline std::int64_t median(std::vector<std::int64_t> values) {
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
    change(options);
    bring_up("lt", std::move(options));
    if (HasFatalFailure()) return;
    const auto said = run("life", kPort, policy_text());
    ASSERT_TRUE(said) << said.error().message;
    const Visitor first(world_->lab().netns("users-a"),
                        world_->lab().users("users-a").value().front());
    // It tells nobody when it is ready.
    ASSERT_TRUE(
        icon::test::eventually([&] { return !first.visit(address("origin")).host.empty(); }));
  }

  // For worlds that differ.
  virtual void change(DemoWorldOptions&) {}
  virtual std::string policy_text() { return kPolicy; }
  virtual std::vector<std::string> more_words() { return {}; }  // of `icon run`

  Result<std::string> run(const std::string& name, std::uint16_t port, const std::string& policy) {
    const std::string file = world_->lab().host_directory("origin") + "/" + name + ".yaml";
    ICON_CHECK(write_file_atomic(file, policy, 0644));
    const auto number = std::to_string(port);
    std::vector<std::string> words{"run",      "--name", name, "--rootfs", ICON_PYTHON_ROOT,
                                   "--policy", file,     "-p", number};
    for (auto& word : more_words()) words.push_back(std::move(word));
    for (const char* word : {"--", "/usr/bin/python3", "-m", "http.server", number.c_str(),
                             "--protocol", "HTTP/1.1", "--directory", "/srv"})
      words.emplace_back(word);
    return world_->run_icon("origin", words);
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
  static bool eventually(const std::function<bool()>& condition, Millis limit = kChangeMax) {
    return icon::test::eventually(condition, limit);
  }
};

}  // namespace icon::lab
