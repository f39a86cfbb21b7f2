// What an ICON does with its relatives' words, on its own disk; nobody answers what it says.
#include "agent/kinship.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <memory>
#include <utility>

#include "base/file.h"
#include "tests/unit/base/http_rig.h"

namespace icon::agent {
namespace {

constexpr wire::MicroCredits kBudget = 1'000;

// One process of an ICON; another one finds what this one has left on the disk.
struct Process {
  Process(const Clock& clock, const std::string& directory, Identity who, wire::MicroCredits budget)
      : table(clock), monitor(loop, table), identity(std::move(who)) {
    wallet.emplace(*Wallet::open(directory + "/purse.db", budget, clock.utc_ms()));
    self.emplace();
    self->icon = identity.key->public_key();
    self->supervisor = KeyPair::generate().public_key();
    self->api = *Endpoint::parse("192.0.2.1:7946");
    self->public_address = *Address::parse("192.0.2.1");
    kinship.emplace(KinshipParts{clock, link, tasks, table, monitor, policy, identity, self, wallet,
                                 chronicle, purchase, directory + "/family.json", [](Event) {},
                                 [](const std::string&) {}, [](const PublicKey&) {}});
    kinship->arrived();
  }

  IoContext loop;
  SupervisorLink link{"/nonexistent/supervisor.sock"};
  TaskGroup tasks{loop};
  LatencyTable table;
  LatencyMonitor monitor;
  Policy policy;
  Identity identity;
  std::optional<Self> self;
  std::optional<Wallet> wallet;
  std::optional<Chronicle> chronicle;
  Purchase purchase;
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
  std::unique_ptr<Process> parent() {
    return std::make_unique<Process>(clock_, directory_ / "parent",
                                     Identity{copy(parent_), {}, {}, false}, kBudget);
  }
  std::unique_ptr<Process> child() {
    return std::make_unique<Process>(clock_, directory_ / "child",
                                     Identity{copy(child_), birth_, birth_document_, true}, 0);
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
  wire::Envelope report() {
    wire::KinReport report;
    report.child = place(child_.public_key());
    report.to = parent_.public_key();
    report.issued_ms = clock_.utc_ms();
    report.expires_ms = report.issued_ms + 60'000;
    return *wire::seal(child_, report);
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

  test::TempDir directory_;
  FakeClock clock_;
  KeyPair parent_ = KeyPair::generate();
  KeyPair child_ = KeyPair::generate();
  wire::Birth birth_;
  wire::Envelope birth_document_;
};

// Without the paper nothing could go back at the end: it is on the disk as soon as the money is in
// the purse.
TEST_F(KinshipTest, AShareIsKeptWhateverComesOfTheWordBesideIt) {
  auto process = child();
  process->kinship->hear({share(400)});
  EXPECT_EQ(process->wallet->totals().budget_ucredits, 400);
  EXPECT_TRUE(has_share_on_disk());
  // Where its elders are nobody has said yet: the next process reads that, too.
  child()->kinship->hear({word()});
  EXPECT_TRUE(has_share_on_disk());
}

TEST_F(KinshipTest, AShareThatADeadProcessTookIsKeptByTheNext) {
  child()->kinship->hear({share(400)});
  std::filesystem::remove(directory_ / "child/family.json");  // it died in between
  auto next = child();
  next->kinship->hear({share(400), word()});
  EXPECT_EQ(next->wallet->totals().budget_ucredits, 400) << "the same money";
  EXPECT_TRUE(has_share_on_disk());
}

// Its parent hears for the first time after more than the hold's life that it runs.
TEST_F(KinshipTest, AChildThatIsHeardOfLateIsPaidFor) {
  {
    auto process = parent();
    ASSERT_TRUE(process->wallet->hold("m1", 300, clock_.utc_ms()));
    Purchase purchase;
    purchase.migration = "m1";
    purchase.provider = KeyPair::generate().public_key();
    purchase.price_ucredits = 300;
    purchase.replica = Replica{child_.public_key(), wire::Birth::Mode::kClone, birth_document_, {}};
    KnownProvider provider;
    provider.view.api = *Endpoint::parse("192.0.2.2:7946");
    ASSERT_TRUE(process->kinship->ordered(purchase, provider, {}, false));
  }
  auto next = parent();
  clock_.advance(kHoldLifetime + Millis(1'000));
  next->wallet->expire(clock_.utc_ms());
  EXPECT_EQ(next->wallet->available(), kBudget);
  next->policy.replicate.max = 1;
  EXPECT_EQ(next->kinship->replicas().running, 0) << "another may be made in its place";
  next->kinship->hear({report()});
  EXPECT_EQ(next->wallet->totals().spent_ucredits, 300);
  EXPECT_EQ(next->wallet->totals().held_ucredits, 0);
  EXPECT_EQ(next->kinship->replicas().running, 1);
  clock_.advance(Millis(1'000));
  next->kinship->hear({report()});
  EXPECT_EQ(next->wallet->totals().spent_ucredits, 300) << "once";
}

}  // namespace
}  // namespace icon::agent
