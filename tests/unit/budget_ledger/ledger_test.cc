#include "budget/ledger/ledger.h"

#include "tests/unit/budget_ledger/store_rules.h"

namespace icon::budget::ledger {
namespace {

using ::testing::HasSubstr;

class LedgerTest : public testing::Test {
 protected:
  LedgerTest() {
    Ledger ledger(store_, life_.origin, "life");
    for (const auto& document : life_.documents)
      EXPECT_TRUE(ledger.append(document, SampleLife::kStart));
  }
  std::string refused() {
    Report report;
    const auto entries = verified_entries(store_, report);
    return entries ? "accepted" : entries.error().message;
  }
  SampleLife life_;
  MemoryLedgerStore store_;
};

TEST(LedgerStoreTest, InMemory) {
  MemoryLedgerStore store;
  follows_the_rules(store);
}

TEST_F(LedgerTest, NoEntryCanBeLeftOut) {
  for (std::size_t i = 0; i + 1 < life_.documents.size(); ++i) {
    const auto kept = store_.texts();
    store_.texts().erase(store_.texts().begin() + static_cast<std::ptrdiff_t>(i));
    EXPECT_THAT(refused(), HasSubstr("one is missing or was changed"));
    store_.texts() = kept;
  }
}

TEST_F(LedgerTest, NoEntryCanBeChanged) {
  const auto kept = store_.texts();
  for (std::size_t i = 0; i < kept.size(); ++i)
    for (std::size_t at = 7; at < kept[i].size(); at += 101) {
      store_.texts()[i][at] ^= 1;
      EXPECT_NE(refused(), "accepted") << i << " at " << at;
      store_.texts()[i] = kept[i];
    }
}

TEST_F(LedgerTest, NoEntryCanBeSwappedOrRepeated) {
  auto& texts = store_.texts();
  std::swap(texts[2], texts[3]);
  EXPECT_NE(refused(), "accepted");
  std::swap(texts[2], texts[3]);
  texts.insert(texts.begin() + 2, texts[2]);
  EXPECT_NE(refused(), "accepted");
}

TEST_F(LedgerTest, AnAnswerThatIsLostIsNoSecondEntry) {
  Ledger ledger(store_, life_.icon, "life");
  for (const bool written : {true, false}) {
    const auto before = store_.texts().size();
    store_.lose_next_answer(written);
    EXPECT_TRUE(ledger.append(life_.documents[0], SampleLife::kStart));
    EXPECT_EQ(store_.texts().size(), before + 1);
  }
  EXPECT_EQ(refused(), "accepted");
}

TEST_F(LedgerTest, OnlyGoodDocumentsAreRecorded) {
  Ledger ledger(store_, life_.icon, "life");
  auto forged = life_.documents[0];
  forged.body["finished_ms"] = SampleLife::kStart + 999'999;
  EXPECT_EQ(ledger.append(forged, 0).error().code, Code::kUnauthenticated);
  auto lease = *wire::Lease::from_json(life_.documents[3].body);
  lease.bid.body["price_ucredits"] = 1;
  EXPECT_FALSE(ledger.append(*wire::seal(life_.edge, lease), 0)) << "the bid inside is forged";
  const auto not_mine =
      *wire::seal(life_.child, ended({"x", life_.icon.public_key(), 1, 2}, {}, 1));
  EXPECT_EQ(ledger.append(not_mine, 0).error().code, Code::kUnauthenticated);
  const auto large =
      *wire::seal(life_.icon, "note", {{"text", std::string(wire::kLedgerDocumentBytesMax, 'x')}});
  EXPECT_EQ(ledger.append(large, 0).error().code, Code::kLimit);
  EXPECT_TRUE(ledger.append(*wire::seal(life_.icon, "note", {{"text", "of a later version"}}), 0));
}

TEST_F(LedgerTest, AnotherLedgersEntriesDoNotFit) {
  MemoryLedgerStore other;
  Ledger ledger(other, life_.origin, "other");
  for (const auto& document : life_.documents) ASSERT_TRUE(ledger.append(document, 0));
  store_.texts().resize(3);
  store_.texts().push_back(other.texts()[3]);
  EXPECT_NE(refused(), "accepted");
}

}  // namespace
}  // namespace icon::budget::ledger
