// An update and every answer to it that a healthy server does not give; what knot itself says is
// in tests/netns/agent_dns_test.cc.
#include "agent/dns_update.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>

#include "base/file.h"
#include "tests/unit/agent/scripted_dns.h"

namespace icon::agent {
namespace {

using test::ScriptedAnswer;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr UtcMillis kNow = 1'800'000'000'000;

class DnsUpdateTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char directory[] = "/tmp/icon-dns-update.XXXXXX";
    ASSERT_NE(mkdtemp(directory), nullptr);
    directory_ = directory;
    key_file_ = write_key(std::string("icon.key:") + test::kScriptedSecret + "\n");
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  std::string write_key(const std::string& content, unsigned mode = 0600) {
    const std::string path = directory_ + "/key";
    EXPECT_TRUE(write_file_atomic(path, content, mode));
    return path;
  }
  DnsOutcome update() const {
    return update_dns({server_.endpoint(),
                       "dyn.test",
                       "www.dyn.test",
                       key_file_,
                       30,
                       "me",
                       {*Address::parse("192.0.2.1")},
                       kNow});
  }
  // How the update ends when this is the answer to it.
  DnsOutcome told(const ScriptedAnswer& answer) {
    server_.answer({}, {answer});
    return update();
  }
  static ScriptedAnswer saying(ldns_pkt_rcode rcode, bool is_signed = true) {
    ScriptedAnswer answer;
    answer.rcode = rcode;
    if (!is_signed) answer.secret.reset();
    return answer;
  }

  std::string directory_;
  std::string key_file_;
  test::ScriptedDns server_;
};

TEST_F(DnsUpdateTest, ASignedYesIsBelieved) {
  const auto outcome = told({});
  EXPECT_EQ(outcome.code, "") << outcome.message;
  EXPECT_EQ(outcome.added.size(), 1U);
  EXPECT_EQ(server_.updates_seen(), 1);
}

TEST_F(DnsUpdateTest, AYesThatIsNotSignedWithTheKeyIsNot) {
  ScriptedAnswer bare;
  bare.secret.reset();
  EXPECT_EQ(told(bare).code, "unsigned");
  ScriptedAnswer another;
  another.secret = "YW5vdGhlci1zZWNyZXQtb2YtMzItYnl0ZXMtMDEyMzQ=";
  const auto outcome = told(another);
  EXPECT_EQ(outcome.code, "unsigned");
  EXPECT_TRUE(outcome.added.empty());
  EXPECT_THAT(outcome.message, Not(HasSubstr(test::kScriptedSecret)));
}

TEST_F(DnsUpdateTest, ANoIsBelievedSignedOrNot) {
  for (const bool is_signed : {true, false}) {
    EXPECT_EQ(told(saying(LDNS_RCODE_REFUSED, is_signed)).code, "refused");
    EXPECT_EQ(told(saying(LDNS_RCODE_NOTAUTH, is_signed)).code, "notauth");
    EXPECT_EQ(told(saying(LDNS_RCODE_NOTZONE, is_signed)).code, "notauth");
    EXPECT_EQ(told(saying(LDNS_RCODE_NOTIMPL, is_signed)).code, "notimpl");
    EXPECT_THAT(told(saying(LDNS_RCODE_SERVFAIL, is_signed)).message, HasSubstr("SERVFAIL"));
  }
  auto refused = saying(LDNS_RCODE_NOTAUTH);
  for (const auto& [error, code] : {std::pair<std::uint16_t, const char*>{16, "badsig"},
                                    {17, "badkey"},
                                    {18, "badtime"},
                                    {22, "failed"}}) {
    refused.tsig_error = error;
    EXPECT_EQ(told(refused).code, code);
  }
}

TEST_F(DnsUpdateTest, WhoIsOvertakenLooksAgain) {
  for (const auto rcode :
       {LDNS_RCODE_NXRRSET, LDNS_RCODE_YXRRSET, LDNS_RCODE_NXDOMAIN, LDNS_RCODE_YXDOMAIN}) {
    server_.answer({}, {saying(rcode), {}});
    EXPECT_EQ(update().code, "");
    EXPECT_EQ(server_.updates_seen(), 2);
    EXPECT_EQ(told(saying(rcode)).code, "contended");
    EXPECT_EQ(server_.updates_seen(), kDnsAttemptsMax);
  }
}

TEST_F(DnsUpdateTest, ABrokenAnswerChangesNothing) {
  ScriptedAnswer answer;
  answer.is_truncated = true;
  EXPECT_EQ(told(answer).code, "truncated");
  answer = {};
  answer.is_cut_off = true;
  EXPECT_EQ(told(answer).code, "unreachable");
  answer = {};
  answer.is_garbage = true;
  EXPECT_EQ(told(answer).code, "failed");
  answer = {};
  answer.has_another_id = true;
  EXPECT_THAT(told(answer).message, HasSubstr("another question"));
  answer = {};
  answer.is_silent = true;
  EXPECT_EQ(told(answer).code, "unreachable");
  EXPECT_EQ(server_.updates_seen(), 1);
}

TEST_F(DnsUpdateTest, WhatItCannotReadItDoesNotChange) {
  const auto seen = [&](const ScriptedAnswer& answer) {
    server_.answer({answer}, {});
    const auto outcome = update();
    EXPECT_EQ(server_.updates_seen(), 0);
    return outcome;
  };
  ScriptedAnswer answer;
  answer.is_truncated = true;
  EXPECT_EQ(seen(answer).code, "truncated");
  EXPECT_EQ(seen(saying(LDNS_RCODE_REFUSED)).code, "refused");
  EXPECT_EQ(seen(saying(LDNS_RCODE_SERVFAIL)).code, "failed");
  answer = {};
  answer.records = {"www.dyn.test. CNAME elsewhere.test."};
  EXPECT_EQ(seen(answer).code, "alias");
  answer.records.clear();
  for (std::size_t i = 0; i <= kDnsAddressesMax; ++i)
    answer.records.push_back("www.dyn.test. A 192.0.2." + std::to_string(i));
  EXPECT_THAT(seen(answer).message, HasSubstr("more than 64"));
}

TEST_F(DnsUpdateTest, AnothersRecordsInTheAnswerAreNotTheNames) {
  ScriptedAnswer answer;
  answer.records = {"else.dyn.test. A 192.0.2.1",
                    // Of two strings, so it is no mark, whatever they make together.
                    "_icon.www.dyn.test. TXT \"v=icon1 id=me\" \" a=192.0.2.9\""};
  server_.answer({answer}, {{}});
  const auto outcome = update();
  EXPECT_EQ(outcome.code, "") << outcome.message;
  EXPECT_EQ(outcome.added.size(), 1U);
  EXPECT_TRUE(outcome.foreign.empty() && outcome.removed.empty());
}

TEST_F(DnsUpdateTest, AKeyFileMustBeOurs) {
  const std::string good = std::string("icon.key:") + test::kScriptedSecret + "\n";
  const auto code = [&] {
    const auto key = load_tsig_key(key_file_);
    if (!key) {
      EXPECT_THAT(key.error().message, Not(HasSubstr(test::kScriptedSecret)));
    }
    return key ? std::optional<Code>() : key.error().code;
  };
  EXPECT_EQ(code(), std::nullopt);
  write_key(good, 0604);
  EXPECT_EQ(code(), Code::kRefused);
  // One that goes on where reading ends would be another key, or half of one.
  write_key("#" + std::string(kDnsKeyBytesMax - good.size() - 2, 'c') + "\n" + good);
  EXPECT_EQ(code(), std::nullopt);
  write_key("#" + std::string(kDnsKeyBytesMax - good.size() - 1, 'c') + "\n" + good);
  EXPECT_EQ(code(), Code::kLimit);
  EXPECT_EQ(update().code, "key_file");
  std::filesystem::remove(key_file_);
  EXPECT_EQ(code(), Code::kNotFound);
  std::filesystem::create_directory(key_file_);
  EXPECT_EQ(code(), Code::kRefused);
  std::filesystem::remove(key_file_);
  ASSERT_EQ(mkfifo(key_file_.c_str(), 0600), 0);
  EXPECT_EQ(code(), Code::kRefused);
  EXPECT_EQ(server_.updates_seen(), 0);
}

}  // namespace
}  // namespace icon::agent
