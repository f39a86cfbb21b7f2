#include "agent/policy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

namespace icon::agent {
namespace {

using testing::AllOf;
using testing::Contains;
using testing::Field;
using testing::HasSubstr;

constexpr std::string_view kId = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

std::vector<PolicyProblem> problems(std::string_view yaml) { return read_policy(yaml).problems; }

auto problem(int line, const std::string& key, const std::string& part) {
  return AllOf(Field(&PolicyProblem::line, line), Field(&PolicyProblem::key, key),
               Field(&PolicyProblem::message, HasSubstr(part)),
               Field(&PolicyProblem::hint, testing::Not("")));
}

TEST(Policy, EmptyIsTheDefaults) {
  for (const char* text : {"", "\n", "# nothing\n", "---\n", "{}"}) {
    const auto policy = parse_policy(text);
    ASSERT_TRUE(policy) << text << ": " << policy.error().message;
    EXPECT_EQ(policy->to_json(), Policy().to_json());
  }
  EXPECT_EQ(Policy().budget_ucredits, 0);  // watch only
}

TEST(Policy, WhichNameIsKeptWhere) {
  const auto policy = parse_policy(
      "dns_update: {server: 192.0.2.53, zone: Example.com, name: www.example.com, ttl: 5s, own: "
      "add}");
  ASSERT_TRUE(policy) << policy.error().message;
  ASSERT_TRUE(policy->dns_update);
  EXPECT_EQ(policy->dns_update->server.to_string(), "192.0.2.53:53");
  EXPECT_EQ(policy->dns_update->ttl_s, 5);
  EXPECT_EQ(policy->dns_update->own, DnsUpdatePolicy::Own::kAdd);
  EXPECT_EQ(policy->dns_update->key_file, "/run/icon/state/dns.key");
  EXPECT_THAT(problems("dns_update:\n  server: ns.example\n  key_file: dns.key\n  own: mine\n"
                       "  zone: example.com\n  name: example.com."),
              testing::ElementsAre(problem(2, "dns_update.server", "'ns.example' does not do"),
                                   problem(3, "dns_update.key_file", "'dns.key' does not do"),
                                   problem(4, "dns_update.own", "'mine' does not do"),
                                   problem(6, "dns_update.name", "is no domain name"),
                                   problem(2, "dns_update", "lacks one of")));
  EXPECT_THAT(
      problems("dns_update: {server: 192.0.2.53:53, zone: example.com, name: wwwexample.com}"),
      testing::ElementsAre(problem(1, "dns_update", "is not in the zone")));
}

TEST(Policy, MistakesAboutTheDns) {
  EXPECT_THAT(problems("dns: {dnssec: yes, anchors: [nonsense], servers: [dns.example]}"),
              testing::ElementsAre(problem(1, "dns.dnssec", "'yes' does not do"),
                                   problem(1, "dns.anchors[0]", "is no trust anchor"),
                                   problem(1, "dns.servers[0]", "is no DNS server")));
}

TEST(Policy, FurtherSourcesAreAskedForByName) {
  EXPECT_FALSE(parse_policy("")->sources.reverse_tree);
  EXPECT_TRUE(parse_policy("sources: {reverse_tree: true}")->sources.reverse_tree);
  EXPECT_FALSE(parse_policy("sources: {reverse_tree: true}")->sources.dht);
  EXPECT_TRUE(parse_policy("sources: {dht: true}")->sources.dht);
  EXPECT_THAT(problems("sources: {reverse_tree: yes, revers_tree: true}"),
              ElementsAre(problem(1, "sources.reverse_tree", "'yes' does not do"),
                          problem(1, "sources.revers_tree", "unknown key")));
}

TEST(Policy, Promises) {
  const auto policy = parse_policy("promise: {window: 30s, keep: 80, pings: false}");
  ASSERT_TRUE(policy);
  EXPECT_EQ(policy->promise_window_ms, 30'000);
  EXPECT_EQ(policy->promise_keep, 80);
  EXPECT_FALSE(policy->ask_pings);
  EXPECT_THAT(problems("promise: {window: 1ms, keep: 0, pings: on}"),
              testing::ElementsAre(testing::Field(&PolicyProblem::key, "promise.window"),
                                   testing::Field(&PolicyProblem::key, "promise.keep"),
                                   problem(1, "promise.pings", "'on' does not do")));
}

TEST(Policy, MistakesAboutReplicas) {
  EXPECT_THAT(
      problems("replicate: {mode: twin, signal: KILL, limit: 11s, command: [[a]], hook: x}"),
      testing::UnorderedElementsAre(
          problem(1, "replicate.mode", "'twin' does not do"),
          problem(1, "replicate.signal", "'KILL' does not do"), problem(1, "replicate.limit", ""),
          problem(1, "replicate.command[0]", ""), problem(1, "replicate.hook", "")));
  std::string many = "replicate: {command: [a";
  for (std::size_t i = 0; i < kPolicyArgumentsMax; ++i) many += ", a";
  EXPECT_THAT(problems(many + "]}"), testing::ElementsAre(problem(1, "replicate.command", "")));
}

TEST(Policy, ReadsEveryKey) {
  const auto policy = parse_policy(R"(
name: redis-users
version: 7
latency: {objective: 20ms, percentile: 95}
budget: 5.0
value: 0.02
margin: 0.001
max_price: 0.4
horizon: 90m
interval: 500ms
cooldown: 0s
rounds: 2
allow: ["*.example.org", edge-2]
deny: [bad.test]
residency: {countries: [DE, FR], kinds: [campus]}
redirect: redirect
slot: {cpu: 0.25, memory: 64MiB, bandwidth: 10Mbit, duration: 30m}
providers:
  - {name: edge-1, api: "198.51.100.7:7946", id: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa, rtt: 5ms, near: [198.51.100.0/24]}
  - {name: edge-2, api: "[2001:db8::7]:7946"}
dns: {dnssec: require, anchors: ["test. DS 1 13 2 ab"], servers: [192.0.2.53, "192.0.2.54:5353"]}
replicate: {mode: fresh, command: [/bin/reseed, --all], signal: USR2, limit: 800ms}
watch: [6379, 80, 6379]
)");
  ASSERT_TRUE(policy) << policy.error().message;
  EXPECT_EQ(policy->name, "redis-users");
  EXPECT_EQ(policy->version, 7);
  EXPECT_EQ(policy->replicate.mode, wire::Birth::Mode::kFresh);
  EXPECT_THAT(policy->replicate.command, testing::ElementsAre("/bin/reseed", "--all"));
  EXPECT_EQ(policy->replicate.signal, SIGUSR2);
  EXPECT_EQ(policy->replicate.limit_ms, 800);
  EXPECT_EQ(policy->dns.dnssec, DnssecMode::kRequire);
  EXPECT_THAT(policy->dns.anchors, testing::ElementsAre("test. DS 1 13 2 ab"));
  EXPECT_THAT(policy->dns.servers, testing::ElementsAre("192.0.2.53", "192.0.2.54:5353"));
  EXPECT_EQ(policy->objective_us, 20'000);
  EXPECT_EQ(policy->percentile, 95);
  EXPECT_EQ(policy->budget_ucredits, 5'000'000);
  EXPECT_EQ(policy->value_ucredits, 20'000);
  EXPECT_EQ(policy->margin_ucredits, 1'000);
  EXPECT_EQ(policy->max_price_ucredits, 400'000);
  EXPECT_EQ(policy->horizon_ms, 5'400'000);
  EXPECT_EQ(policy->interval_ms, 500);
  EXPECT_EQ(policy->cooldown_ms, 0);
  EXPECT_EQ(policy->rounds, 2);
  EXPECT_THAT(policy->allow, testing::ElementsAre("*.example.org", "edge-2"));
  EXPECT_THAT(policy->deny, testing::ElementsAre("bad.test"));
  EXPECT_THAT(policy->residency.countries, testing::ElementsAre("DE", "FR"));
  EXPECT_THAT(policy->residency.kinds, testing::ElementsAre("campus"));
  EXPECT_FALSE(read_policy("residency: {countries: [de]}\n").policy);
  EXPECT_FALSE(read_policy("residency: {kinds: [Big Cloud]}\n").policy);
  EXPECT_FALSE(read_policy("residency: [DE]\n").policy);
  EXPECT_EQ(policy->redirect, RedirectMode::kRedirect);
  EXPECT_EQ(policy->slot, (wire::Resources{250, 64 << 20, 10'000'000}));
  EXPECT_EQ(policy->slot_seconds, 1800);
  ASSERT_EQ(policy->providers.size(), 2u);
  EXPECT_EQ(policy->providers[0].id, kId);
  EXPECT_EQ(policy->providers[0].api.to_string(), "198.51.100.7:7946");
  EXPECT_EQ(policy->providers[0].rtt_us, 5'000);
  EXPECT_EQ(policy->providers[0].near.at(0).to_string(), "198.51.100.0/24");
  EXPECT_EQ(policy->providers[1].api.address.to_string(), "2001:db8::7");
  EXPECT_THAT(policy->watch, testing::ElementsAre(6379, 80));
  const auto decision = policy->decision_policy();
  EXPECT_EQ(decision.objective_us, 20'000);
  EXPECT_EQ(decision.providers.deny.at(0), "bad.test");
  EXPECT_TRUE(json::canonical(policy->to_json()));
}

TEST(Policy, EveryMistakeWithItsLineKeyAndHint) {
  const auto found = problems(R"(name: has spaces
budgett: 5
latency:
  objective: 20
  percentile: 60
rounds: 0
budget: -1
horizon: 1w
redirect: maybe
slot: {cpu: a lot, memory: 5 parsecs, bandwidth: 10, duration: 400d}
watch: [0, 70000, x]
providers:
  - {name: p, api: example.org}
  - {name: q, id: short, api: "192.0.2.1:1", near: [nowhere]}
  - plain
allow: edge
deny: [[nested]]
)");
  EXPECT_THAT(found, Contains(problem(1, "name", "is no name")));
  EXPECT_THAT(found, Contains(problem(2, "budgett", "unknown key")));
  EXPECT_THAT(found, Contains(Field(&PolicyProblem::hint, "Did you mean 'budget'?")));
  EXPECT_THAT(found, Contains(problem(4, "latency.objective", "not a duration: '20'")));
  EXPECT_THAT(found, Contains(problem(5, "latency.percentile", "neither 50 nor 95")));
  EXPECT_THAT(found, Contains(problem(6, "rounds", "'0'")));
  EXPECT_THAT(found, Contains(problem(7, "budget", "'-1'")));
  EXPECT_THAT(found, Contains(problem(8, "horizon", "'1w'")));
  EXPECT_THAT(found, Contains(problem(9, "redirect", "'maybe'")));
  EXPECT_THAT(found, Contains(problem(10, "slot.cpu", "'a lot'")));
  EXPECT_THAT(found, Contains(problem(10, "slot.memory", "'5 parsecs'")));
  EXPECT_THAT(found, Contains(problem(10, "slot.bandwidth", "'10'")));
  EXPECT_THAT(found, Contains(problem(10, "slot.duration", "out of range")));
  EXPECT_THAT(found, Contains(problem(11, "watch[0]", "'0'")));
  EXPECT_THAT(found, Contains(problem(11, "watch[1]", "'70000'")));
  EXPECT_THAT(found, Contains(problem(11, "watch[2]", "'x'")));
  EXPECT_THAT(found, Contains(problem(13, "providers[0].api", "'example.org'")));
  EXPECT_THAT(found, Contains(problem(14, "providers[1].id", "no provider id")));
  EXPECT_THAT(found, Contains(problem(14, "providers[1].near[0]", "'nowhere'")));
  EXPECT_THAT(found, Contains(problem(15, "providers[2]", "must be a map")));
  EXPECT_THAT(found, Contains(problem(16, "allow", "must be a list")));
  EXPECT_THAT(found, Contains(problem(17, "deny[0]", "no value")));
}

TEST(Policy, ProblemsReadLikeSentences) {
  const auto error = parse_policy("latency: {objective: 20}").error();
  EXPECT_EQ(error.code, Code::kInvalid);
  EXPECT_EQ(error.message,
            "line 1: latency.objective: not a duration: '20'. Write a number and a unit (us, ms, "
            "s, m, h, d), like 20ms.");
}

TEST(Policy, UnknownKeysFarFromAllNameThemAll) {
  const auto found = problems("slot: {zzzzzz: 1}");
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].hint, "Known here: cpu, memory, bandwidth, duration, bids, renew.");
}

TEST(Policy, TwiceIsAMistake) {
  EXPECT_THAT(problems("rounds: 1\nrounds: 2\n"), Contains(problem(2, "rounds", "twice")));
}

TEST(Policy, WhatCannotBeMeant) {
  EXPECT_THAT(problems("budget: 1\nmax_price: 2\n"),
              Contains(problem(2, "max_price", "more than the whole budget")));
  EXPECT_THAT(problems("providers:\n- {name: a, api: '192.0.2.1:1'}\n- {name: a, api: "
                       "'192.0.2.2:1'}\n"),
              Contains(problem(1, "providers", "two are called 'a'")));
  EXPECT_THAT(problems("providers: [{name: a, api: '192.0.2.1:1', near: [192.0.2.0/24]}]"),
              Contains(problem(1, "providers[0]", "no 'rtt'")));
  EXPECT_THAT(problems("providers: [{}]"), Contains(problem(1, "providers[0]", "no api")));
  EXPECT_THAT(problems("providers: [{api: '192.0.2.1:0', name: a}]"),
              Contains(problem(1, "providers[0].api", "no API address")));
}

TEST(Policy, WhatIsNoYamlOrNoMap) {
  EXPECT_THAT(problems("a: [1, 2"),
              Contains(Field(&PolicyProblem::message, HasSubstr("not YAML"))));
  EXPECT_THAT(problems("\n\nx: 'open"), Contains(Field(&PolicyProblem::line, testing::Gt(1))));
  EXPECT_THAT(problems("just text"), Contains(problem(1, "", "must be a map")));
  EXPECT_THAT(problems("- a\n- b\n"), Contains(problem(1, "", "must be a map")));
  EXPECT_THAT(problems("? [a, b]\n: c\n"), Contains(problem(1, "", "plain text")));
  EXPECT_THAT(problems("rounds: 1\n---\nrounds: 2\n"),
              Contains(Field(&PolicyProblem::message, HasSubstr("second document"))));
  EXPECT_THAT(problems("rounds:\n"), Contains(problem(1, "rounds", "no value")));
}

TEST(Policy, TooMuch) {
  EXPECT_THAT(problems(std::string(kPolicyBytesMax + 1, '#')),
              Contains(Field(&PolicyProblem::message, HasSubstr("more than 65536 bytes"))));
  std::string deep;
  for (int i = 0; i < 20'000; ++i) deep += "[";
  EXPECT_FALSE(read_policy(deep).policy);
  std::string many = "allow: [a";
  for (std::size_t i = 0; i < kPolicyListMax; ++i) many += ",a";
  EXPECT_THAT(problems(many + "]"), Contains(problem(1, "allow", "more than 256")));
  std::string wrong;
  for (int i = 0; i < 500; ++i) wrong += "k" + std::to_string(i) + ": 1\n";
  EXPECT_EQ(problems(wrong).size(), kPolicyProblemsMax);
}

// yaml-cpp 0.7 finds empty documents without end behind a stray bracket.
TEST(Policy, AStrayBracketEnds) {
  for (const char* text : {"rounds: 1]\n?[a, b]\n", "]", "a: 1\n]", "}", "rounds: 1\n---\n]"})
    EXPECT_FALSE(problems(text).empty()) << text;
}

// A few lines of aliases that would be a long list if they were written out.
TEST(Policy, AliasesDoNotMultiply) {
  std::string yaml = "allow: &a0 [x,x,x,x,x,x,x,x,x,x]\n";
  for (int i = 1; i < 30; ++i) {
    yaml += "k" + std::to_string(i) + ": &a" + std::to_string(i) + " [";
    for (int j = 0; j < 10; ++j) yaml += (j ? ",*a" : "*a") + std::to_string(i - 1);
    yaml += "]\n";
  }
  EXPECT_EQ(problems(yaml).size(), 29u);
}

TEST(PolicyUnits, Durations) {
  EXPECT_EQ(*parse_duration_us("250us"), 250);
  EXPECT_EQ(*parse_duration_us("20ms"), 20'000);
  EXPECT_EQ(*parse_duration_us("1.5s"), 1'500'000);
  EXPECT_EQ(*parse_duration_us("10m"), 600'000'000);
  EXPECT_EQ(*parse_duration_us("1h"), 3'600'000'000);
  EXPECT_EQ(*parse_duration_us("2d"), 172'800'000'000);
  for (const char* text : {"", "ms", "20", "20 ms", "-1s", "1.s", ".5s", "1..5s", "1.5.5s", "1e3s",
                           "99999999999999999999s", "9223372036854775807d", "1S", "0.0000001s"})
    EXPECT_FALSE(parse_duration_us(text)) << text;
}

TEST(PolicyUnits, BytesAndBandwidth) {
  EXPECT_EQ(*parse_bytes("512"), 512);
  EXPECT_EQ(*parse_bytes("256MiB"), 256LL << 20);
  EXPECT_EQ(*parse_bytes("1.5GiB"), 3LL << 29);
  EXPECT_EQ(*parse_bytes("1GB"), 1'000'000'000);
  EXPECT_FALSE(parse_bytes("1mb"));
  EXPECT_FALSE(parse_bytes("9223372036854775807GiB"));
  EXPECT_EQ(*parse_bandwidth_bps("100Mbit"), 100'000'000);
  EXPECT_EQ(*parse_bandwidth_bps("0.5Gbit"), 500'000'000);
  EXPECT_FALSE(parse_bandwidth_bps("100"));
}

}  // namespace
}  // namespace icon::agent
