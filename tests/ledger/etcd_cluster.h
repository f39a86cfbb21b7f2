// Three etcd on loopback, as Debian ships it, for as long as a test lasts.
#pragma once

#include <arpa/inet.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>

#include <filesystem>
#include <string>
#include <vector>

#include "base/subprocess.h"
#include "budget/ledger/etcd_gateway.h"
#include "tests/eventually.h"

namespace icon::test {

inline constexpr int kNodes = 3;

// Ports that nobody listens on; held until all are known, so that they differ.
inline std::vector<int> free_ports(int count) {
  std::vector<UniqueFd> held;
  std::vector<int> ports;
  for (int i = 0; i < count; ++i) {
    UniqueFd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    if (bind(fd.get(), reinterpret_cast<sockaddr*>(&address), size) != 0 ||
        getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0)
      abort();
    ports.push_back(ntohs(address.sin_port));
    held.push_back(std::move(fd));
  }
  return ports;
}

class EtcdCluster : public testing::Test {
 protected:
  void SetUp() override {
    char directory[] = "/tmp/icledger-etcd.XXXXXX";
    directory_ = mkdtemp(directory);
    const auto ports = free_ports(2 * kNodes);
    std::string cluster;
    for (int i = 0; i < kNodes; ++i) {
      clients_.push_back(fmt::format("http://127.0.0.1:{}", ports[static_cast<std::size_t>(i)]));
      peers_.push_back(
          fmt::format("http://127.0.0.1:{}", ports[static_cast<std::size_t>(kNodes + i)]));
      cluster += fmt::format("{}n{}={}", i == 0 ? "" : ",", i, peers_.back());
    }
    for (std::size_t i = 0; i < kNodes; ++i) {
      const auto name = fmt::format("n{}", i);
      ChildProcess::Options process;
      process.argv = {ICON_ETCD,
                      "--name",
                      name,
                      "--data-dir",
                      directory_ + '/' + name,
                      "--listen-client-urls",
                      clients_[i],
                      "--advertise-client-urls",
                      clients_[i],
                      "--listen-peer-urls",
                      peers_[i],
                      "--initial-advertise-peer-urls",
                      peers_[i],
                      "--initial-cluster",
                      cluster,
                      "--unsafe-no-fsync",
                      "--heartbeat-interval",
                      "50",
                      "--election-timeout",
                      "500"};
      auto started = ChildProcess::start(std::move(process));
      ASSERT_TRUE(started) << started.error().message;
      nodes_.push_back(std::move(*started));
    }
    auto probe = std::move(*budget::ledger::EtcdGateway::create(options("/probe/")));
    ASSERT_TRUE(eventually(
        [&] {
          return probe.call("/v3/kv/range", {{"key", "AA=="}}).has_value();
        },
        Millis(40'000)));
  }
  void TearDown() override {
    nodes_.clear();
    std::filesystem::remove_all(directory_);
  }
  budget::ledger::EtcdOptions options(const std::string& prefix) const {
    budget::ledger::EtcdOptions options;
    options.endpoints = clients_;
    options.prefix = prefix;
    return options;
  }

  std::string directory_;
  std::vector<std::string> clients_;
  std::vector<std::string> peers_;
  std::vector<ChildProcess> nodes_;
};

}  // namespace icon::test
