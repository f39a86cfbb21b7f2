// A parent and its replica in the hands of a test: their processes on disks of their own, the words
// that they say.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "agent/kinship.h"
#include "base/file.h"
#include "tests/unit/agent/scripted_host.h"
#include "tests/unit/base/http_rig.h"

namespace icon::agent {

inline constexpr wire::MicroCredits kKinBudget = 1'000;

// One process of an ICON; another one finds what this one has left on the disk. Its host is at
// DIRECTORY/supervisor.sock, if anybody serves there.
struct KinProcess {
  KinProcess(IoContext& loop, const Clock& clock, const std::string& directory, Identity who,
             wire::MicroCredits budget)
      : loop(loop),
        link(directory + "/supervisor.sock"),
        tasks(loop),
        table(clock),
        monitor(loop, table),
        identity(std::move(who)) {
    wallet.emplace(*Wallet::open(directory + "/purse.db", budget, clock.utc_ms()));
    self.emplace();
    self->icon = identity.key->public_key();
    self->supervisor = KeyPair::generate().public_key();
    self->api = *Endpoint::parse("192.0.2.1:7946");
    self->public_address = *Address::parse("192.0.2.1");
    kinship.emplace(KinshipParts{clock, link, tasks, table, monitor, policy, identity, self, wallet,
                                 chronicle, purchase, directory + "/family.json",
                                 [this](const Event& event) { told.push_back(event); },
                                 [](const std::string&) {}, [](const PublicKey&) {}});
  }
  ~KinProcess() { end_tasks(loop, tasks); }

  IoContext& loop;
  SupervisorLink link;
  TaskGroup tasks;
  LatencyTable table;
  LatencyMonitor monitor;
  Policy policy;
  Identity identity;
  std::optional<Self> self;
  std::optional<Wallet> wallet;
  std::optional<Chronicle> chronicle;
  Purchase purchase;
  std::vector<Event> told;  // to the lifecycle
  std::optional<Kinship> kinship;
};

class KinshipTest : public ::testing::Test {
 protected:
  KinshipTest() {
    std::filesystem::create_directories(directory_ / "parent");
    std::filesystem::create_directories(directory_ / "child");
    birth_.parent = parent_.public_key();
    birth_.child = child_.public_key();
    birth_.migration_id = "m1";
    birth_.parent_epoch = 1;
    birth_.issued_ms = clock_.utc_ms();
    birth_.expires_ms = birth_.issued_ms + 60'000;
    birth_document_ = *wire::seal(parent_, birth_);
  }
  std::unique_ptr<KinProcess> parent() {
    return begin("parent", Identity{copy(parent_), {}, {}, false}, kKinBudget);
  }
  std::unique_ptr<KinProcess> child() {
    return begin("child", Identity{copy(child_), birth_, birth_document_, true}, 0);
  }
  std::unique_ptr<KinProcess> begin(const std::string& name, Identity who,
                                    wire::MicroCredits budget) {
    auto process =
        std::make_unique<KinProcess>(loop_, clock_, directory_ / name, std::move(who), budget);
    process->kinship->arrived();
    return process;
  }
  // Its slot costs 300, which are held.
  void order_child(KinProcess& process, bool may_end) {
    order(process, child_.public_key(), "m1", may_end);
  }
  void order(KinProcess& process, const PublicKey& child, const std::string& migration,
             bool may_end) {
    ASSERT_TRUE(process.wallet->hold(migration, 300, clock_.utc_ms()));
    Purchase purchase;
    purchase.migration = migration;
    purchase.provider = KeyPair::generate().public_key();
    purchase.price_ucredits = 300;
    purchase.replica = Replica{child, wire::Birth::Mode::kClone, birth_document_, {}};
    KnownProvider provider;
    provider.view.api = *Endpoint::parse("192.0.2.2:7946");
    ASSERT_TRUE(process.kinship->ordered(purchase, provider, {}, may_end));
  }
  static KeyPair copy(const KeyPair& key) {
    std::array<std::uint8_t, 32> seed{};
    std::copy(key.seed().begin(), key.seed().end(), seed.begin());
    return KeyPair::from_seed(seed);
  }
  wire::Envelope share(wire::MicroCredits total) {
    return *wire::seal(
        parent_,
        wire::Share{parent_.public_key(), child_.public_key(), total, {}, clock_.utc_ms()});
  }
  wire::Envelope word() {
    wire::KinWord word;
    word.parent = place(parent_.public_key());
    word.child = child_.public_key();
    word.issued_ms = clock_.utc_ms();
    word.expires_ms = word.issued_ms + 60'000;
    return *wire::seal(parent_, word);
  }
  wire::Envelope report() { return report_of(child_); }
  wire::Envelope report_of(const KeyPair& child) {
    wire::KinReport report;
    report.child = place(child.public_key());
    report.to = parent_.public_key();
    report.issued_ms = clock_.utc_ms();
    report.expires_ms = report.issued_ms + 60'000;
    return *wire::seal(child, report);
  }
  static wire::KinPlace place(const PublicKey& icon) {
    return {icon, KeyPair::generate().public_key(), *Endpoint::parse("192.0.2.2:7946"),
            *Address::parse("192.0.2.2")};
  }
  bool has_share_on_disk() {
    const auto text = read_file(directory_ / "child/family.json", kFamilyBytesMax);
    if (!text) return false;
    const auto family = json::parse_object(*text, kFamilyBytesMax);
    return family && !family->at("elders").at("share").is_null();
  }

  IoContext loop_;
  test::TempDir directory_;
  FakeClock clock_;
  KeyPair parent_ = KeyPair::generate();
  KeyPair child_ = KeyPair::generate();
  wire::Birth birth_;
  wire::Envelope birth_document_;
};

}  // namespace icon::agent
