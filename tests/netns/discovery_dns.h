// A real authoritative server (knotd, in n4 of discovery_chain.h), and a resolver in n0 that asks
// it.
#pragma once

#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/keys.h"
#include "discovery/resolver.h"
#include "tests/netns/discovery_chain.h"

namespace icon::discovery {

inline const std::string kServer = "198.51.100.7";  // n4
inline const std::string kSoa =
    "$TTL 300\n@ SOA ns.example. host.example. 1 3600 600 86400 60\n@ NS ns.example.\n";

inline std::string provider_id(std::uint8_t seed) { return KeyPair::from_seed({seed}).id(); }

class DnsChain : public Chain {
 protected:
  // Adds the zones and starts the server; `ready_name` has an A record in one of them.
  virtual void write_zones() = 0;
  virtual std::string ready_name() const = 0;

  void SetUp() override {
    Chain::SetUp();
    if (HasFatalFailure()) return;
    write_zones();
    start_knot();
  }
  void TearDown() override {
    if (knot_) knot_->stop();
    Chain::TearDown();
  }

  void add_zone(const std::string& zone, const std::string& records) {
    ASSERT_TRUE(write_file_atomic(directory() + "/" + zone + ".zone", kSoa + records, 0644));
    zones_.push_back(zone);
  }

  void start_knot() {
    std::string config = "server:\n    rundir: " + directory() + "\n    listen: " + kServer +
                         "@53\n    user: root\n    udp-workers: 1\n    tcp-workers: 1\n"
                         "    background-workers: 1\ndatabase:\n    storage: " +
                         directory() +
                         "\n    timer-db-max-size: 16M\n    journal-db-max-size: 32M\n"
                         "    kasp-db-max-size: 16M\nlog:\n  - target: " +
                         directory() +
                         "/knot.log\n    any: warning\ntemplate:\n  - id: default\n"
                         "    storage: " +
                         directory() +
                         "\n    zonefile-load: whole\n    journal-content: none\nzone:\n";
    for (const auto& zone : zones_)
      config += "  - domain: " + zone + "\n    file: " + zone + ".zone\n";
    ASSERT_TRUE(write_file_atomic(directory() + "/knot.conf", config, 0644));
    ChildProcess::Options options;
    options.argv = {"nsenter", "--net=/run/netns/" + name(4), "knotd", "-c",
                    directory() + "/knot.conf"};
    auto started = ChildProcess::start(std::move(options));
    ASSERT_TRUE(started) << started.error().message;
    knot_.emplace(std::move(*started));
    wait_for_knot();
  }

  // Asks until it answers: there is no other sign that it has read its zones.
  void wait_for_knot() {
    for (int attempt = 0; attempt < 100; ++attempt) {
      const auto answer = ask({.try_timeout = Millis(100), .tries = 1, .dead_after = 1'000},
                              ready_name(), RecordType::kA);
      if (answer && !answer->empty()) return;
      ASSERT_FALSE(knot_->wait(Millis(50))) << "knotd ended";
    }
    FAIL() << "knotd does not answer";
  }

  // Runs `work` with a resolver in n0.
  void with_resolver(ResolverOptions options, const std::function<Task<void>(Resolver&)>& work) {
    if (options.servers.empty()) options.servers = {kServer};
    const auto status = inside(0, [&]() -> Status {
      IoContext loop(1);
      ICON_TRY(const auto resolver, make_cares_resolver(loop, options));
      boost::asio::co_spawn(loop, work(*resolver), [&](std::exception_ptr failure) {
        resolver->close();
        if (failure) std::rethrow_exception(failure);
      });
      loop.run();
      return {};
    });
    ASSERT_TRUE(status) << status.error().message;
  }
  Result<Answer> ask(ResolverOptions options, const std::string& name, RecordType type) {
    std::optional<Result<Answer>> answer;
    with_resolver(options, [&](Resolver& resolver) -> Task<void> {
      answer = co_await resolver.query(name, type);
    });
    return std::move(*answer);
  }

 private:
  std::vector<std::string> zones_;
  std::optional<ChildProcess> knot_;
};

}  // namespace icon::discovery
