#include "cli/receipts.h"

#include <boost/json/serialize.hpp>
#include <filesystem>
#include <fstream>

#include "tests/unit/budget_lease/sample_tenancy.h"
#include "tests/unit/cli/cli_fixture.h"

namespace icon::cli {
namespace {

using ::testing::HasSubstr;

class ReceiptsTest : public CliTest {
 protected:
  void SetUp() override {
    char path[] = "/tmp/iccli-receipts.XXXXXX";
    directory_ = mkdtemp(path);
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }
  std::string write(const std::vector<wire::Envelope>& documents) {
    std::ofstream file(directory_ + "/documents");
    for (const auto& each : documents) file << boost::json::serialize(each.to_json()) << "\n";
    return directory_ + "/documents";
  }
  std::string directory_;
};

TEST_F(ReceiptsTest, RightAndWrongBills) {
  budget::lease::SampleTenancy sample;
  EXPECT_EQ(icon({"receipts", "verify", write(sample.documents)}), kOk) << err();
  EXPECT_THAT(out(), HasSubstr("right so far"));
  sample.receipt(250, 250'000, 750'000);
  EXPECT_EQ(icon({"receipts", "verify", write(sample.documents)}), kOk) << err();
  EXPECT_THAT(out(), HasSubstr("lease-1"));
  EXPECT_EQ(icon({"receipts", "verify", "-o", "json", write(sample.documents)}), kOk);
  EXPECT_THAT(out(), HasSubstr("\"charged_ucredits\":250000"));
  sample.documents.pop_back();
  sample.receipt(250, 260'000, 740'000);
  EXPECT_EQ(icon({"receipts", "verify", write(sample.documents)}), kRefused);
  EXPECT_THAT(out(), HasSubstr("the receipt charges 0.26 credits, the time costs 0.25"));
  EXPECT_THAT(err(), HasSubstr("1 of 1 bills are wrong"));
}

TEST_F(ReceiptsTest, ForgedDocuments) {
  budget::lease::SampleTenancy sample;
  sample.documents[0].signature[0] ^= 1;
  EXPECT_EQ(icon({"receipts", "verify", write(sample.documents)}), kRefused);
  EXPECT_EQ(icon({"receipts", "verify", directory_ + "/none"}), kNotFound);
}

}  // namespace
}  // namespace icon::cli
