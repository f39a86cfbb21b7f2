// Three etcd on loopback, as Debian ships it; one of them is killed under way.
#include <arpa/inet.h>
#include <fmt/format.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>

#include <filesystem>
#include <thread>

#include "base/subprocess.h"
#include "budget/ledger/etcd_ledger_store.h"
#include "tests/eventually.h"
#include "tests/unit/budget_ledger/store_rules.h"

namespace icon::budget::ledger {
namespace {

constexpr int kNodes = 3;

// Ports that nobody listens on; held until all are known, so that they differ.
std::vector<int> free_ports(int count) {
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

class EtcdTest : public testing::Test {
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
      ChildProcess::Options options;
      options.argv = {ICON_ETCD,
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
      auto started = ChildProcess::start(std::move(options));
      ASSERT_TRUE(started) << started.error().message;
      nodes_.push_back(std::move(*started));
    }
    auto probe = store("/probe/");
    ASSERT_TRUE(test::eventually([&] { return probe.last().has_value(); }, Millis(40'000)));
  }
  void TearDown() override {
    nodes_.clear();
    std::filesystem::remove_all(directory_);
  }
  EtcdLedgerStore store(const std::string& prefix) {
    EtcdOptions options;
    options.endpoints = clients_;
    options.prefix = prefix;
    return std::move(*EtcdLedgerStore::create(std::move(options)));
  }

  std::string directory_;
  std::vector<std::string> clients_;
  std::vector<std::string> peers_;
  std::vector<ChildProcess> nodes_;
};

TEST_F(EtcdTest, ALedgerThatPartiesShare) {
  auto rules = store("/icon/ledger/life/");
  follows_the_rules(rules);

  // Several append at once: each entry is there once, in one chain.
  constexpr int kWriters = 4;
  constexpr int kEach = 10;
  const SampleLife life;
  std::vector<std::thread> writers;
  std::atomic<int> recorded{0};
  for (int i = 0; i < kWriters; ++i)
    writers.emplace_back([&, i] {
      const auto key = KeyPair::generate();
      auto shared = store("/icon/ledger/shared/");
      Ledger ledger(shared, key, "shared");
      for (int n = 0; n < kEach; ++n) {
        const auto note = *wire::seal(key, "note", {{"writer", i}, {"n", n}});
        // Others may be faster too often: then once more.
        Result<std::string> digest = fail(Code::kLimit, "");
        while (!digest && digest.error().code == Code::kLimit) digest = ledger.append(note, 1);
        recorded += digest.has_value();
      }
    });
  for (auto& writer : writers) writer.join();
  EXPECT_EQ(recorded, kWriters * kEach);
  auto shared = store("/icon/ledger/shared/");
  Report report;
  ASSERT_TRUE(verified_entries(shared, report));
  EXPECT_EQ(report.entries, kWriters * kEach);
  EXPECT_EQ(report.writers.size(), static_cast<std::size_t>(kWriters));

  // One node is gone: the others go on. Two are gone: nothing is promised.
  Ledger ledger(shared, life.icon, "shared");
  nodes_[0].signal(SIGKILL);
  ASSERT_TRUE(nodes_[0].wait(Millis(5'000)));
  ASSERT_TRUE(test::eventually([&] { return ledger.append(life.documents[0], 1).has_value(); }));
  nodes_[1].signal(SIGKILL);
  ASSERT_TRUE(nodes_[1].wait(Millis(5'000)));
  EXPECT_FALSE(ledger.append(life.documents[1], 1));
}

}  // namespace
}  // namespace icon::budget::ledger
