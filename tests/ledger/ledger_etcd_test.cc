// Three etcd on loopback, as Debian ships it; one of them is killed under way.
#include <signal.h>

#include <atomic>
#include <thread>

#include "budget/ledger/etcd_ledger_store.h"
#include "tests/ledger/etcd_cluster.h"
#include "tests/unit/budget_ledger/store_rules.h"

namespace icon::budget::ledger {
namespace {

class EtcdTest : public test::EtcdCluster {
 protected:
  EtcdLedgerStore store(const std::string& prefix) {
    return std::move(*EtcdLedgerStore::create(options(prefix)));
  }
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
