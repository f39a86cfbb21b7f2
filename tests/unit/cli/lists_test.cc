#include "cli/lists.h"

#include "base/json.h"
#include "tests/unit/cli/cli_fixture.h"

namespace icon::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::MatchesRegex;
using ::testing::Not;

constexpr const char* kIcons =
    R"({"icons":[{"id":"abcdefghijklmnop","name":"cache","state":"running",
"epoch":2,"overlay":"100.64.0.1","ports":[{"proto":"tcp","container":80,"public":8080},
{"proto":"udp","container":53,"public":53}],"pid":7,"started_ms":1,
"status":{"lifecycle":"ACTIVE","held":true,
"prefixes":[{"prefix":"10.0.1.0/24","connections":3,"rtt_us_p50":10000},
{"prefix":"10.0.2.0/24","connections":1,"rtt_us_p50":50000},{"prefix":"10.0.3.0/24","connections":2}],
"providers":[{"name":"edge-a","id":"qrstuvwxyz234567","source":"srv","dnssec":"secure","state":"offered","reason":"",
"message":"","price_ucredits":250000,"rtt_us_estimate":4000},
{"name":"liar\u001b[2J","id":"","source":"srv","state":"rejected","reason":"key_mismatch",
"message":"the key is another than the TXT record names"}],
"purse":{"budget_ucredits":5000000,"held_ucredits":0,"spent_ucredits":250000}}}]})";

TEST_F(CliTest, PsShowsWhatMattersInUnitsOfPeople) {
  supervisor_.on("GET /v1/icons", kIcons);
  EXPECT_EQ(icon({"ps"}), kOk);
  EXPECT_EQ(out(),
            "NAME   ID        STATE    LIFECYCLE    EPOCH  PORTS           CONNECTIONS  RTT p50  "
            "SPENT (credits)\n"
            "cache  abcdefgh  running  ACTIVE held      2  8080>80 53/udp            6  20.0 ms  "
            "0.25 of 5\n");
  EXPECT_EQ(err(), "");
}

TEST_F(CliTest, PsAsJsonIsTheApisAnswerUnchanged) {
  supervisor_.on("GET /v1/icons", kIcons);
  EXPECT_EQ(icon({"ps", "-o", "json"}), kOk);
  EXPECT_EQ(out(), kIcons);
}

TEST_F(CliTest, PsAsNamesIsForCompletion) {
  supervisor_.on("GET /v1/icons", kIcons);
  EXPECT_EQ(icon({"ps", "-o", "names"}), kOk);
  EXPECT_EQ(out(), "cache\n");
}

TEST_F(CliTest, AnEmptyListSaysWhatToDo) {
  supervisor_.on("GET /v1/icons", R"({"icons":[]})");
  EXPECT_EQ(icon({"ps"}), kOk);
  EXPECT_THAT(out(), HasSubstr("icon run --rootfs"));
}

TEST_F(CliTest, ProvidersShowsWhoWasRejectedAndWhy) {
  supervisor_.on("GET /v1/icons", kIcons);
  EXPECT_EQ(icon({"providers"}), kOk);
  EXPECT_THAT(out(), HasSubstr("edge-a"));
  EXPECT_THAT(out(), HasSubstr("4.00 ms"));
  EXPECT_THAT(out(), HasSubstr("secure"));
  EXPECT_THAT(out(), HasSubstr("the key is another than the TXT record names"));
  EXPECT_THAT(out(), Not(HasSubstr("\033"))) << "a provider's name must not steer the terminal";
  EXPECT_EQ(icon({"providers", "cache", "-o", "json"}), kOk);
  EXPECT_THAT(out(), HasSubstr("\"icon_name\":\"cache\""));
  EXPECT_EQ(icon({"providers", "nobody"}), kNotFound);
}

constexpr const char* kRecord =
    R"({"icons":[{"id":"abcdefghijklmnop","name":"cache","state":"running","status":{"record":[
{"id":"qrstuvwxyz234567","name":"edge-a","here":true,"trust":61,"stays":2,"kept":1,"broken":1,
"state":"broken","rtt_before_us":80000,"rtt_promised_us":2000,"rtt_delivered_us":79000,
"price_promised_ucredits":250000,"price_paid_ucredits":300000,"cpu_promised_millis":500,
"cpu_wanted_us":1000,"cpu_got_us":500,"bandwidth_promised_bps":100000000,
"bandwidth_seen_bps":2000000,"up_ms":90000,"down_ms":10000,"since_ms":5},
{"id":"","name":"x\u001b[2J","here":false,"trust":100,"kept":0,"broken":0,"state":"open",
"price_promised_ucredits":0,"price_paid_ucredits":0,"cpu_wanted_us":0,"cpu_got_us":0,
"bandwidth_promised_bps":0,"bandwidth_seen_bps":0,"up_ms":0,"down_ms":0}]}},
{"id":"zzzzzzzzzzzzzzzz","name":"web","state":"running","status":{}}]})";

TEST_F(CliTest, ProvidersRecordShowsPromisedAgainstDelivered) {
  supervisor_.on("GET /v1/icons", kRecord);
  EXPECT_EQ(icon({"providers", "--record"}), kOk) << err();
  EXPECT_THAT(out(),
              MatchesRegex("ICON .*PROVIDER .*\n"
                           "cache +edge-a \\(here\\) +qrstuvwx +broken +61 % +1/1 +80.0 ms +"
                           "2.00 ms +79.0 ms +50 % +2 Mbit/s of 100 Mbit/s +90 % +"
                           "0.3 of 0.25\n"
                           "cache +x\\?\\[2J +- +open +100 % +0/0 +- +- +- +- .*- +0 of 0\n"));
  EXPECT_EQ(icon({"providers", "cache", "--record", "-o", "json"}), kOk);
  const auto answer = json::parse_object(out(), 1 << 16);
  ASSERT_TRUE(answer) << out();
  const auto& rows = answer->at("record").as_array();
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(rows[0].at("icon_name"), "cache");
  EXPECT_EQ(rows[0].at("rtt_delivered_us"), 79'000);
  EXPECT_EQ(icon({"providers", "web", "--record"}), kOk);
  EXPECT_THAT(out(), Not(HasSubstr("edge-a")));
  EXPECT_EQ(icon({"providers", "nobody", "--record"}), kNotFound);
}

TEST_F(CliTest, HistoryLeasesStubsTunnels) {
  supervisor_.on(
      "GET /v1/migrations",
      R"({"migrations":[{"id":"m1","icon":"abc","name":"cache","from":"origin","to":"edge-a",
                 "epoch":2,"state":"done","reason":"latency","started_ms":1,"gap_us":61000,
                 "bytes":70000000}]})");
  supervisor_.on("GET /v1/leases", R"({"leases":[{"lease_id":"l1","icon":"abc","provider":"p",
                 "role":"bought","price_ucredits":250000,"start_ms":1,"expires_ms":0,"state":"active",
                 "resources":{"cpu_millis":500,"memory_bytes":1000,"bandwidth_bps":0},
                 "renewals":2,"usages":3,"charged_ucredits":1000,"receipt":{}}]})");
  supervisor_.on("GET /v1/stubs", R"({"stubs":[{"icon":"abc","name":"cache","next_host":"h",
                 "next_api":"192.0.2.2:7946","next_public":"192.0.2.2","mode":"redirect","epoch":2,
                 "until_ms":0}]})");
  supervisor_.on("GET /v1/tunnels", R"({"tunnels":[{"peer":"abc","interface":"ictun0",
                 "remote":"192.0.2.2:7947","connected":true,"last_handshake_ms":0,"rx_bytes":1000,
                 "tx_bytes":5,"icons":["abc"]}]})");
  EXPECT_EQ(icon({"history"}), kOk);
  EXPECT_THAT(out(), HasSubstr("61.0 ms  70.0 MB"));
  EXPECT_EQ(icon({"history", "other"}), kOk);
  EXPECT_EQ(out(), "No migrations yet.\n");
  EXPECT_EQ(icon({"leases"}), kOk);
  EXPECT_THAT(out(), HasSubstr("bought"));
  EXPECT_THAT(out(), HasSubstr("3 usages"));
  EXPECT_EQ(icon({"stubs"}), kOk);
  EXPECT_THAT(out(), HasSubstr("cache  abc  redirect         192.0.2.2      2  -\n"));
  EXPECT_EQ(icon({"tunnels"}), kOk);
  EXPECT_THAT(out(), HasSubstr("192.0.2.2:7947  up     -              1   1.00 kB   5 B\n"));
}

TEST_F(CliTest, LeasesOfAnIconShowWhatItPaidAndWhatItContests) {
  supervisor_.on("GET /v1/icons", R"({"icons":[{"name":"cache","id":"abc","status":{"leases":[
      {"lease_id":"l1","state":"settled","provider":"p","provider_name":"edge-a","start_ms":1,
       "expires_ms":2,"renewals":2,"paid_ucredits":3000,"charged_ucredits":1250,
       "refunded_ucredits":1750,"usages":4,"receipt":true,"dispute":"500 s are charged"},
      {"lease_id":"l2","state":"here","provider_name":"edge-b","paid_ucredits":500,"usages":1,
       "receipt":false,"dispute":""}]}}]})");
  EXPECT_EQ(icon({"leases", "cache"}), kOk);
  EXPECT_THAT(out(), HasSubstr("edge-a"));
  EXPECT_THAT(out(), HasSubstr("closed    500 s are charged"));
  EXPECT_THAT(out(), HasSubstr("1 usages  right so far"));
  EXPECT_EQ(icon({"leases", "cache", "-o", "json"}), kOk);
  EXPECT_THAT(out(), HasSubstr("\"refunded_ucredits\":1750"));
  EXPECT_EQ(icon({"leases", "nobody"}), kNotFound);
}

TEST_F(CliTest, BidsShowTheirOutcomeAndSalesTheirPrice) {
  supervisor_.on("GET /v1/icons", R"({"icons":[{"name":"cache","id":"abc","status":{"bids":[
      {"sale":"0123456789abcdef","provider_name":"edge-a","state":"lost","reason":"others bid more",
       "slots":1,"price_ucredits":300,"clearing_ucredits":500,"due_ucredits":2000000,
       "reveal_until_ms":1}]}}]})");
  supervisor_.on("GET /v1/sales",
                 R"({"deposits":{"due_ucredits":3000000,"owed_ucredits":0},
      "sales":[{"sale":"0123456789abcdef","state":"over","commits":3,
      "revealed":2,"winners":1,"price_ucredits":500,
      "call":{"body":{"commit_until_ms":1,"reveal_until_ms":2}}}]})");
  EXPECT_EQ(icon({"bids"}), kOk);
  EXPECT_THAT(out(), HasSubstr("0123456789ab  edge-a    lost"));
  EXPECT_THAT(out(), HasSubstr("others bid more"));
  EXPECT_THAT(out(), HasSubstr("+2"));
  EXPECT_EQ(icon({"bids", "cache", "-o", "json"}), kOk);
  EXPECT_THAT(out(), HasSubstr("\"clearing_ucredits\":500"));
  EXPECT_EQ(icon({"bids", "nobody"}), kNotFound);
  EXPECT_EQ(icon({"bids", "--sales"}), kOk);
  EXPECT_THAT(out(), HasSubstr("over      3         2    1"));
  EXPECT_THAT(out(), HasSubstr("3 credits due to this host, 0 owed by it"));
}

TEST_F(CliTest, StatusSaysWhoThisHostIs) {
  supervisor_.on("GET /v1/status", R"({"id":"abc","provider_name":"origin","version":"0.1.0",
    "api":"192.0.2.1:7946","public_address":"192.0.2.1","uptime_ms":65000,"icons":1,"stubs":0,
    "tunnels":2,"capacity":{"cpu_millis":2000,"memory_bytes":4000000000,"bandwidth_bps":1000000000},
    "free":{"cpu_millis":1500,"memory_bytes":3000000000,"bandwidth_bps":1000000000}})");
  supervisor_.on("GET /v1/icons", R"({"icons":[{"name":"cache","status":{
      "purse":{"budget_ucredits":1000000,"held_ucredits":0,"spent_ucredits":600000,
               "alert_percent":50},
      "decision":{"outcome":"move","best_name":"edge-a","saved_us":75000,
                  "cost_per_ms_ucredits":1333,"payback_ms":720000},
      "dns":{"name":"www.example.com","server":"192.0.2.53:53","state":"failing","code":"badkey",
             "message":"the server does not know the key icon.","failures":3,
             "wanted":["192.0.2.1"],"present":[]},
      "family":{"children":[{"icon":"abcdefghijkl","provider":"edge-b","state":"serving",
                             "public_address":"192.0.2.9","connections":8}]},
      "warnings":["its clones cannot be reseeded"]}},
      {"name":"other","status":{"purse":{"budget_ucredits":1},
       "dns":{"name":"o.example","state":"ok","wanted":["192.0.2.1"],"present":["192.0.2.1"]}}},
      {"name":"young","status":{}}]})");
  EXPECT_EQ(icon({"status"}), kOk);
  EXPECT_THAT(out(), HasSubstr("cache      0.6 of 1 credits (50 % are gone or promised); moved to "
                               "edge-a 75.0 ms nearer at 0.001333 credits a millisecond, paid "
                               "back after 12 min\n"
                               "           www.example.com is not kept at 192.0.2.53:53: badkey: "
                               "the server does not know the key icon. (3 attempts, it goes on)\n"
                               "           replica abcdefgh at edge-b (192.0.2.9): serving, 8 "
                               "connections\n"
                               "           warning: its clones cannot be reseeded\n"));
  EXPECT_THAT(out(), HasSubstr("o.example leads to 192.0.2.1\n"));
  EXPECT_THAT(out(), HasSubstr("provider   origin\n"));
  EXPECT_THAT(out(), HasSubstr("free       1.5 cores, 3.00 GB, 1 Gbit/s\n"));
}

TEST_F(CliTest, NoSupervisorIsClearAndSaysTheNextStep) {
  EXPECT_EQ(icon({"ps", "--socket", "/nonexistent/s"}), kNoSupervisor);
  EXPECT_THAT(err(), HasSubstr("no supervisor on this host: /nonexistent/s does not exist"));
  EXPECT_THAT(err(), HasSubstr("icon-supervisor --config"));
  EXPECT_EQ(icon({"ps", "--socket", "/dev/null"}), kNoSupervisor);
  EXPECT_THAT(err(), HasSubstr("no supervisor answers at /dev/null"));
}

TEST_F(CliTest, TheSupervisorsErrorsBecomeExitCodes) {
  const std::pair<const char*, int> cases[] = {{"invalid", kUsage},    {"not_found", kNotFound},
                                               {"refused", kRefused},  {"conflict", kRefused},
                                               {"timeout", kTimedOut}, {"io", kFailed}};
  for (const auto& [code, expected] : cases) {
    supervisor_.on("POST /v1/icons/x/hold",
                   std::string(R"({"error":{"code":")") + code + R"(","message":"because"}})", 500);
    // The first answer of a queue is consumed once another waits behind it.
    icon({"hold", "x"});
    EXPECT_EQ(icon({"hold", "x"}), expected) << code;
    EXPECT_EQ(err(), "icon: because\n");
  }
}

TEST_F(CliTest, AnAnswerThatIsNoJsonIsAFailure) {
  supervisor_.on("GET /v1/icons", "<html>");
  EXPECT_EQ(icon({"ps"}), kFailed);
  EXPECT_THAT(err(), HasSubstr("cannot be read"));
}

TEST_F(CliTest, WrongArgumentsAreUsageErrors) {
  EXPECT_EQ(icon({"nonsense"}), kUsage);
  EXPECT_EQ(icon({"ps", "-o", "xml"}), kUsage);
  EXPECT_EQ(icon({"hold"}), kUsage);
  EXPECT_EQ(icon({"migrate", "x"}), kUsage);
  EXPECT_EQ(icon({"stop", "x", "--grace-ms", "-1"}), kUsage);
  EXPECT_THAT(err(), HasSubstr("icon help"));
  EXPECT_TRUE(supervisor_.asked().empty()) << "nothing may happen on a wrong line";
}

TEST_F(CliTest, HelpExplains) {
  EXPECT_EQ(icon({}), kOk);
  EXPECT_THAT(out(), HasSubstr("Usage: icon"));
  EXPECT_EQ(icon({"help", "exit-codes"}), kOk);
  EXPECT_THAT(out(), HasSubstr("3  no supervisor"));
  EXPECT_EQ(icon({"help", "provider", "dns-records"}), kOk);
  EXPECT_THAT(out(), HasSubstr("Usage: icon provider dns-records"));
  EXPECT_EQ(icon({"help", "nothing"}), kUsage);
  EXPECT_EQ(icon({"ps", "--help"}), kOk);
}

}  // namespace
}  // namespace icon::cli
