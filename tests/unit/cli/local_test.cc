#include "cli/local.h"

#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "base/keys.h"
#include "tests/unit/cli/cli_fixture.h"

namespace icon::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class LocalTest : public CliTest {
 protected:
  void SetUp() override {
    char path[] = "/tmp/iccli-local.XXXXXX";
    directory_ = mkdtemp(path);
    key_ = directory_ + "/key";
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }
  std::string directory_;
  std::string key_;
};

TEST_F(LocalTest, KeygenMakesAPrivateKeyAndNeverOverwrites) {
  EXPECT_EQ(icon({"keygen", key_}), kOk) << err();
  const auto id = out().substr(0, out().size() - 1);
  EXPECT_EQ(KeyPair::load(key_, false)->id(), id);
  struct stat info {};
  ASSERT_EQ(stat(key_.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  EXPECT_EQ(icon({"keygen", key_}), kRefused);
  EXPECT_EQ(KeyPair::load(key_, false)->id(), id);
  ASSERT_EQ(symlink("/nonexistent/x", (directory_ + "/link").c_str()), 0);
  EXPECT_EQ(icon({"keygen", directory_ + "/link"}), kRefused);
  EXPECT_EQ(icon({"keygen", "/nonexistent/directory/key"}), kFailed);
}

TEST_F(LocalTest, DnsRecordsForAnAddress) {
  ASSERT_EQ(icon({"keygen", key_}), kOk);
  const auto id = out().substr(0, out().size() - 1);
  EXPECT_EQ(icon({"provider", "dns-records", "--domain", "Example.net.", "--host", "192.0.2.1",
                  "--port", "7000", "--key", key_, "--location", "de-berlin"}),
            kOk)
      << err();
  EXPECT_THAT(out(), HasSubstr("_icon._tcp.example.net. 3600 IN SRV 10 10 7000 icon.example.net.\n"
                               "_icon._tcp.example.net. 3600 IN TXT \"v=icon1 id=" +
                               id +
                               " loc=de-berlin\"\n"
                               "icon.example.net. 3600 IN A 192.0.2.1\n"));
  EXPECT_EQ(icon({"provider", "dns-records", "--domain", "example.net", "--host", "2001:db8::1",
                  "--id", id, "--format", "nsd"}),
            kOk);
  EXPECT_THAT(out(), HasSubstr("IN AAAA 2001:db8::1\n"));
  EXPECT_THAT(out(), HasSubstr("nsd-control reload example.net"));
}

TEST_F(LocalTest, DnsRecordsForAName) {
  ASSERT_EQ(icon({"keygen", key_}), kOk);
  EXPECT_EQ(icon({"provider", "dns-records", "--domain", "example.net", "--host",
                  "edge.example.com", "--key", key_}),
            kOk);
  EXPECT_THAT(out(), HasSubstr("SRV 10 10 7946 edge.example.com.\n"));
  EXPECT_THAT(out(), Not(HasSubstr("IN A ")));
  EXPECT_EQ(icon({"provider", "dns-records", "--domain", "example.net", "--host",
                  "edge.example.com", "--address", "192.0.2.1", "--key", key_}),
            kUsage)
      << "that address belongs to another zone";
  EXPECT_EQ(icon({"provider", "dns-records", "--domain", "example.net", "--host", "e.example.net",
                  "--address", "192.0.2.1", "--key", key_, "--format", "knot"}),
            kOk);
  EXPECT_THAT(out(), HasSubstr("knotc zone-set example.net. e.example.net. 3600 A 192.0.2.1\n"));
  EXPECT_THAT(out(), HasSubstr("TXT '\"v=icon1 id="));
}

TEST_F(LocalTest, DnsRecordsRefuseWhatNoZoneMayHold) {
  ASSERT_EQ(icon({"keygen", key_}), kOk);
  const std::vector<std::vector<std::string>> wrong = {
      {"--domain", "a b", "--host", "h.example", "--key", key_},
      {"--domain", "example.net", "--host", "h;rm", "--key", key_},
      {"--domain", "example.net", "--host", "h.example"},
      {"--domain", "example.net", "--host", "h.example", "--id", "abc"},
      {"--domain", "example.net", "--host", "h.example", "--key", "/nonexistent"},
      {"--domain", "example.net", "--host", "h.example", "--key", key_, "--location", "a\" b"},
      {"--domain", "example.net", "--host", "h.example", "--key", key_, "--port", "0"},
      {"--domain", "example.net", "--host", "h.example", "--key", key_, "--format", "x"}};
  for (auto line : wrong) {
    line.insert(line.begin(), {"provider", "dns-records"});
    EXPECT_EQ(icon(line), kUsage) << ::testing::PrintToString(line);
  }
}

}  // namespace
}  // namespace icon::cli
