#include "cli/auction.h"

#include <boost/json/serialize.hpp>
#include <filesystem>
#include <fstream>

#include "tests/unit/budget_auction/sample_record.h"
#include "tests/unit/cli/cli_fixture.h"

namespace icon::cli {
namespace {

using ::testing::HasSubstr;

class AuctionTest : public CliTest {
 protected:
  void SetUp() override {
    char path[] = "/tmp/iccli-auction.XXXXXX";
    directory_ = mkdtemp(path);
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }
  std::string write(const std::string& name, const std::vector<wire::Envelope>& documents) {
    std::ofstream file(directory_ + "/" + name);
    for (const auto& each : documents) file << boost::json::serialize(each.to_json()) << "\n";
    return directory_ + "/" + name;
  }
  std::string directory_;
};

TEST_F(AuctionTest, AnybodyVerifies) {
  const auto sample = budget::auction::make_sample_record();
  const auto file = write("all", sample.documents);
  EXPECT_EQ(icon({"auction", "verify", file}), kOk) << err();
  EXPECT_THAT(out(), HasSubstr("7 committed, 6 revealed, 2 slots traded"));
  EXPECT_THAT(out(), HasSubstr("kept silent and owes 0.001 credits"));
  EXPECT_EQ(icon({"auction", "verify", "-o", "json", file}), kOk) << err();
  EXPECT_THAT(out(), HasSubstr("\"trade_count\":2"));
}

// The auctioneer left a bid out; who made it holds the acknowledgement.
TEST_F(AuctionTest, APartyAddsItsOwnDocuments) {
  const auto sample = budget::auction::make_sample_record();
  std::vector<wire::Envelope> theirs;
  std::vector<wire::Envelope> mine;
  for (const auto& each : sample.documents) {
    const bool ack = each.type == "auction_ack" &&
                     each.body.at("bid_digest").as_string() == sample.bid_digests[0];
    if (each.type == "auction_outcome") continue;
    (ack || each.digest() == sample.bid_digests[0] ? mine : theirs).push_back(each);
  }
  theirs.push_back(*budget::auction::settle_auction(sample.auctioneer, theirs, sample.settled_ms));
  const auto record = write("theirs", theirs);
  EXPECT_EQ(icon({"auction", "verify", record}), kOk) << err();
  EXPECT_EQ(icon({"auction", "verify", record, write("mine", mine)}), kRefused);
  EXPECT_THAT(err(), HasSubstr("not what follows from the documents"));
}

TEST_F(AuctionTest, WhatCannotBeRead) {
  EXPECT_EQ(icon({"auction", "verify", directory_ + "/none"}), kNotFound);
  std::ofstream(directory_ + "/bad") << "{}\n";
  EXPECT_EQ(icon({"auction", "verify", directory_ + "/bad"}), kUsage);
  EXPECT_THAT(err(), HasSubstr("line 1"));
  auto sample = budget::auction::make_sample_record();
  sample.documents.pop_back();
  EXPECT_EQ(icon({"auction", "verify", write("open", sample.documents)}), kRefused);
}

}  // namespace
}  // namespace icon::cli
