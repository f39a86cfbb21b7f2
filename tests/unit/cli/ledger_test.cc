#include "cli/ledger.h"

#include <filesystem>
#include <fstream>

#include "budget/ledger/sqlite_ledger_store.h"
#include "tests/unit/budget_ledger/sample_life.h"
#include "tests/unit/cli/cli_fixture.h"

namespace icon::cli {
namespace {

using ::testing::HasSubstr;

class LedgerTest : public CliTest {
 protected:
  void SetUp() override {
    char path[] = "/tmp/iccli-ledger.XXXXXX";
    directory_ = mkdtemp(path);
    file_ = directory_ + "/ledger.db";
    auto store = *budget::ledger::SqliteLedgerStore::create(file_);
    budget::ledger::Ledger ledger(store, life_.origin, "life");
    for (const auto& document : life_.documents)
      heads_.push_back(*ledger.append(document, life_.kStart));
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }
  std::string directory_;
  std::string file_;
  budget::ledger::SampleLife life_;
  std::vector<std::string> heads_;
};

TEST_F(LedgerTest, VerifiesOffline) {
  EXPECT_EQ(icon({"ledger", "verify", file_}), kOk) << err();
  EXPECT_THAT(out(), HasSubstr("life: 10 entries, every link and signature is right; 1 writers"));
  EXPECT_THAT(out(), HasSubstr("head " + heads_.back()));
  EXPECT_EQ(icon({"ledger", "verify", file_, "--head", heads_[4]}), kOk) << err();
  EXPECT_EQ(icon({"ledger", "verify", file_, "--head", std::string(64, 'a')}), kRefused);
  EXPECT_EQ(icon({"ledger", "verify", "-o", "json", file_}), kOk);
  EXPECT_THAT(out(), HasSubstr("\"documents\":{\"lease\":1,\"life\":9}"));
}

TEST_F(LedgerTest, ADirectoryOfTheNameIsNotTheLedger) {
  EXPECT_NE(icon({"ledger", "verify", directory_}), kOk);  // asks the supervisor for that ICON
  EXPECT_THAT(err(), testing::Not(HasSubstr("directory")));
}

TEST_F(LedgerTest, WhatIsExportedVerifiesToo) {
  ASSERT_EQ(icon({"ledger", "export", file_}), kOk) << err();
  const auto lines = out();
  const auto file = directory_ + "/lines";
  std::ofstream(file) << lines;
  EXPECT_EQ(icon({"ledger", "verify", file}), kOk) << err();
  std::ofstream(file) << lines.substr(lines.find('\n') + 1);
  EXPECT_EQ(icon({"ledger", "verify", file}), kRefused);
  EXPECT_THAT(err(), HasSubstr("entry 1 does not follow"));
}

TEST_F(LedgerTest, ExportsProvenance) {
  ASSERT_EQ(icon({"ledger", "export", "--prov", file_}), kOk) << err();
  EXPECT_THAT(out(), HasSubstr("\"wasAssociatedWith\""));
  auto store = *budget::ledger::SqliteLedgerStore::open(file_);
  budget::ledger::Ledger ledger(store, life_.origin, "life");
  // An end before the beginning: signed, chained, and impossible.
  const auto early =
      budget::ledger::ended({"early", life_.edge.public_key(), 1, 2}, life_.edge.public_key(), 7);
  ASSERT_TRUE(ledger.append(*wire::seal(life_.edge, early), life_.kStart));
  EXPECT_EQ(icon({"ledger", "verify", file_}), kOk);
  EXPECT_EQ(icon({"ledger", "export", "--prov", file_}), kRefused);
  EXPECT_THAT(err(), HasSubstr("nobody made it"));
}

TEST_F(LedgerTest, WhatCannotBeRead) {
  EXPECT_EQ(icon({"ledger", "verify"}), kUsage);
  EXPECT_EQ(icon({"ledger", "verify", directory_ + "/none"}), kNotFound);
  EXPECT_EQ(icon({"ledger", "verify", "--etcd", "http://127.0.0.1:1"}), kUsage) << "no prefix";
  EXPECT_NE(icon({"ledger", "verify", "--etcd", "http://127.0.0.1:1", "--prefix", "/x/"}), kOk);
  EXPECT_THAT(err(), HasSubstr("none of 1 nodes answers"));
}

}  // namespace
}  // namespace icon::cli
