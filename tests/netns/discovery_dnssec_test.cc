// Proof of what leads to payment, and zones that mean harm. knotd serves a signed parent, test.,
// and below it: one signed zone, one not signed, and several that are wrong in a way of their own.
//
//   test. (anchor) -- DS --> good.test, forged.test, old.test, bare.test (its signatures are gone)
//                  -- no DS, and NSEC says so --> plain.test
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <regex>

#include "discovery/dns_stack.h"
#include "discovery/provider_source.h"
#include "discovery/reverse_tree_source.h"
#include "tests/netns/discovery_dns.h"

namespace icon::discovery {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class DnssecTest : public DnsChain {
 protected:
  std::string ready_name() const override { return "host.plain.test"; }

  static std::string provider(std::uint8_t seed) {
    return "_icon._tcp SRV 10 10 7946 host\nhost A 203.0.113." + std::to_string(70 + seed) +
           "\n_icon._tcp TXT \"v=icon1 id=" + provider_id(seed) + "\"\n";
  }

  std::string run_in_directory(const std::string& script) {
    Command command;
    command.argv = {"sh", "-ec", "cd '" + directory() + "' && " + script};
    auto outcome = run_command_blocking(std::move(command));
    EXPECT_TRUE(outcome && outcome->ok()) << (outcome ? outcome->error_output : "");
    return outcome ? outcome->output : "";
  }

  // Signs a zone with a key of its own; returns its DS record. `more`: options of ldns-signzone.
  std::string add_signed(const std::string& zone, const std::string& records,
                         const std::string& more = "") {
    add_zone(zone, records);
    const auto file = zone + ".zone";
    const auto key = "$(cat " + zone + ".keyname)";
    run_in_directory("ldns-keygen -a ECDSAP256SHA256 -k " + zone + " > " + zone +
                     ".keyname && ldns-signzone -o " + zone + " " + more + " -f " + file +
                     ".signed " + file + " " + key + " && mv " + file + ".signed " + file);
    return run_in_directory("ldns-key2ds -n -2 " + key + ".key");
  }
  void change(const std::string& zone, const std::string& pattern, const std::string& into) {
    const auto path = directory() + "/" + zone + ".zone";
    const auto text = read_file(path, 1 << 20);
    ASSERT_TRUE(text);
    const auto changed = std::regex_replace(*text, std::regex(pattern), into);
    ASSERT_NE(changed, *text) << zone << ": nothing to change";
    ASSERT_TRUE(write_file_atomic(path, changed, 0644));
  }

  void write_zones() override {
    std::string parent;
    for (const char* zone : {"good", "forged", "old", "bare", "plain", "loop", "inside", "vast"})
      parent += std::string(zone) + " NS ns.example.\n";
    parent += add_signed("good.test", provider(1));
    parent += add_signed("forged.test", provider(2));
    change("forged.test", provider_id(2), provider_id(9));
    parent += add_signed("old.test", provider(3), "-i 20200101 -e 20200201");
    parent += add_signed("bare.test", provider(4));
    change("bare.test", "[^\n]*RRSIG[^\n]*\n", "");
    add_zone("plain.test", provider(5));
    add_zone("loop.test",
             "_icon._tcp SRV 1 1 7946 l1\n_icon._tcp SRV 2 1 7946 _icon._tcp\n"
             "l1 CNAME l2\nl2 CNAME l1\n_icon._tcp TXT \"v=icon1 id=" +
                 provider_id(6) + "\"\n");
    add_zone("inside.test",
             "_icon._tcp SRV 1 1 7946 in\nin A 10.0.0.1\nin A 127.0.0.1\nin AAAA ::1\n"
             "_icon._tcp TXT \"v=icon1 id=" +
                 provider_id(7) + "\"\n");
    // A thousand targets, and nearly all the TXT that one message carries: 64 KiB.
    std::string vast;
    for (int i = 0; i < 1000; ++i) vast += "_icon._tcp SRV 1 1 7946 t" + std::to_string(i) + "\n";
    for (int i = 0; i < 240; ++i)
      vast += "_icon._tcp TXT \"v=icon1 " + std::to_string(i) + std::string(235, 'x') + "\"\n";
    add_zone("vast.test", vast);
    anchor_ = add_signed("test", parent);
    std::erase(anchor_, '\n');
    add_zone("100.51.198.in-addr.arpa",
             "1 PTR r1.good.test.\n2 PTR r2.forged.test.\n3 PTR r3.old.test.\n"
             "4 PTR r4.bare.test.\n5 PTR r5.plain.test.\n6 PTR r6.loop.test.\n"
             "7 PTR r7.inside.test.\n8 PTR r8.vast.test.\n");
    // Everything below 198.18.0.0/16 has the same name, and so many providers.
    add_zone("18.198.in-addr.arpa",
             "* PTR everything.plain.test.\n* SRV 1 1 7946 in.inside.test.\n"
             "* TXT \"v=icon1 id=" +
                 provider_id(7) + "\"\n");
    // Whoever holds the addresses names who hosts there: signed, and with a signature that is none.
    const std::string named = "_icon._tcp SRV 10 10 7946 host.plain.test.\n";
    network_anchors_ = {
        add_signed("113.0.203.in-addr.arpa",
                   named + "_icon._tcp TXT \"v=icon1 id=" + provider_id(5) + "\"\n"),
        add_signed("2.0.192.in-addr.arpa",
                   named + "_icon._tcp TXT \"v=icon1 id=" + provider_id(6) + "\"\n")};
    change("2.0.192.in-addr.arpa", provider_id(6), provider_id(9));
    for (auto& anchor : network_anchors_) std::erase(anchor, '\n');
  }

  Findings find(const std::vector<std::string>& hops, DnsOptions options) {
    return find_in<DnsProviderSource>(hops, {}, std::move(options));
  }
  template <class Source>
  Findings find_in(const std::vector<std::string>& hops, const std::vector<std::string>& users,
                   DnsOptions options) {
    options.resolver.servers = {kServer};
    Surroundings around;
    for (const auto& hop : hops) around.hops.push_back({*Address::parse(hop), 3, 1000});
    for (const auto& user : users) around.users.push_back(*Address::parse(user));
    Findings findings;
    const auto status = inside(0, [&]() -> Status {
      IoContext loop(1);
      const SystemClock clock;
      ICON_TRY(const auto stack, DnsStack::create(loop, clock, options));
      Source source(*stack, {}, stack->proof());
      boost::asio::co_spawn(
          loop, source.find(around), [&](std::exception_ptr failure, Findings found) {
            findings = std::move(found);
            unchecked_because_ =
                stack->proof() == nullptr ? "" : stack->proof()->unchecked_because();
            stack->close();
            if (failure) std::rethrow_exception(failure);
          });
      loop.run();
      return {};
    });
    EXPECT_TRUE(status) << status.error().message;
    return findings;
  }
  static std::vector<std::string> all_hops() {
    std::vector<std::string> hops;
    for (int i = 1; i <= 5; ++i) hops.push_back("198.51.100." + std::to_string(i));
    return hops;
  }
  static std::vector<std::string> evidence(const Findings& found) {
    std::vector<std::string> lines;
    for (const auto& one : found.providers)
      lines.push_back(one.domain + " " + std::string(to_string(one.dnssec)));
    std::sort(lines.begin(), lines.end());
    return lines;
  }
  static std::vector<std::string> reasons(const Findings& found) {
    std::vector<std::string> lines;
    for (const auto& one : found.rejected) lines.push_back(one.subject + ": " + one.reason);
    return lines;
  }

  std::string anchor_;
  std::vector<std::string> network_anchors_;
  std::string unchecked_because_;
};

TEST_F(DnssecTest, BogusIsRefusedWithItsReason) {
  DnsOptions options;
  options.validator.anchors = {anchor_};
  const auto found = find(all_hops(), options);
  EXPECT_THAT(evidence(found), ElementsAre("good.test secure", "plain.test insecure"));
  const auto said = reasons(found);
  EXPECT_THAT(said, SizeIs(3));
  EXPECT_THAT(said, Contains(AllOf(HasSubstr("forged.test: TXT"), HasSubstr("DNSSEC: bogus"),
                                   HasSubstr("signature verification failed"))));
  EXPECT_THAT(said, Contains(AllOf(HasSubstr("old.test: SRV"), HasSubstr("DNSSEC: bogus"),
                                   HasSubstr("signature expired"))));
  EXPECT_THAT(said, Contains(AllOf(HasSubstr("bare.test: SRV"), HasSubstr("DNSSEC: bogus"))));
  EXPECT_THAT(unchecked_because_, IsEmpty());
}

TEST_F(DnssecTest, WithoutTheRootsSignaturesNothingIsCheckedAndThatIsSaid) {
  // knotd knows no root at all: as resolvers that drop signatures.
  const auto found = find(all_hops(), {});
  EXPECT_THAT(evidence(found), Contains("good.test unchecked"));
  EXPECT_THAT(found.providers, SizeIs(5));
  EXPECT_THAT(unchecked_because_, HasSubstr("no signed keys of ."));
}

TEST_F(DnssecTest, RequiredSignaturesAreMissed) {
  DnsOptions options;
  options.validator.required = true;
  const auto found = find(all_hops(), options);
  EXPECT_THAT(found.providers, IsEmpty());
  EXPECT_THAT(reasons(found), Contains(HasSubstr("good.test: SRV")));
}

TEST_F(DnssecTest, NotAskedForWhenOff) {
  DnsOptions options;
  options.validate = false;
  EXPECT_THAT(evidence(find(all_hops(), options)), Contains("forged.test unchecked"));
}

TEST_F(DnssecTest, AnchorsThatAreNone) {
  DnsOptions options;
  options.validator.anchors = {"test. DS nonsense"};
  const auto found = find(all_hops(), options);
  EXPECT_THAT(found.providers, IsEmpty());
  EXPECT_THAT(reasons(found), Contains(HasSubstr("trust anchor")));
}

TEST_F(DnssecTest, ZonesThatMeanHarmAreCutAndSaid) {
  DnsOptions options;
  options.validator.anchors = {anchor_};
  const auto found = find({"198.51.100.6", "198.51.100.7", "198.51.100.8"}, options);
  EXPECT_THAT(found.providers, IsEmpty());
  const auto said = reasons(found);
  EXPECT_THAT(said, Contains("loop.test (l1.loop.test:7946): no usable address"));
  EXPECT_THAT(said, Contains("loop.test (_icon._tcp.loop.test:7946): no usable address"));
  for (const char* address : {"10.0.0.1", "127.0.0.1", "::1"})
    EXPECT_THAT(said, Contains("inside.test (in.inside.test:7946): " + std::string(address) +
                               " is not a public address"));
  EXPECT_THAT(said, Contains("vast.test: SRV: more SRV records than are read"));
  EXPECT_THAT(said, Contains("vast.test: SRV: only 8 of 16 targets are looked up"));
  EXPECT_THAT(said, Contains("vast.test: TXT: more TXT records than are read"));
  EXPECT_THAT(said, Contains("vast.test: TXT record: a word that is not key=value"));
}

TEST_F(DnssecTest, AWildcardPtrIsOneDomainAskedOnce) {
  std::vector<std::string> hops;
  for (int i = 1; i <= 200; ++i) hops.push_back("198.18.7." + std::to_string(i));
  const auto found = find(hops, {});
  EXPECT_THAT(found.domains, ElementsAre("plain.test"));
  EXPECT_THAT(found.names, SizeIs(200));
  EXPECT_THAT(evidence(found), ElementsAre("plain.test unchecked"));
}

// What icon-trace shows of proof, by its options.
class TraceDnssecTest : public DnssecTest {
 protected:
  struct Shown {
    std::vector<std::string> providers;  // "good.test secure"
    std::vector<std::string> rejected;
  };
  // To the user behind routers of good.test, old.test and plain.test.
  Shown shown(std::vector<std::string> options) {
    options.insert(options.end(), {"--dns", kServer, kUserV4});
    const auto report = trace(std::move(options));
    const auto text = [](const json::Value& object, const char* key) {
      return std::string(object.at(key).as_string());
    };
    Shown shown;
    if (!report.contains("providers")) return shown;
    for (const auto& one : report.at("providers").as_array())
      shown.providers.push_back(text(one, "domain") + " " + text(one, "dnssec"));
    for (const auto& one : report.at("rejected").as_array())
      shown.rejected.push_back(text(one, "subject") + ": " + text(one, "reason"));
    std::sort(shown.providers.begin(), shown.providers.end());
    return shown;
  }
};

TEST_F(TraceDnssecTest, FromATrustAnchorDown) {
  const auto found = shown({"--trust-anchor", anchor_});
  EXPECT_THAT(found.providers, ElementsAre("good.test secure", "plain.test insecure"));
  EXPECT_THAT(found.rejected,
              Contains(AllOf(HasSubstr("old.test: SRV"), HasSubstr("signature expired"))));
  // The same for people.
  const auto printed =
      run_unprivileged({trace_program(), "--trust-anchor", anchor_, "--dns", kServer, kUserV4});
  EXPECT_EQ(printed.exit_status, 0);
  EXPECT_THAT(printed.output, HasSubstr("dnssec secure, key " + provider_id(1)));
  EXPECT_THAT(printed.output, HasSubstr("left out: old.test: SRV"));
}

TEST_F(TraceDnssecTest, WithoutTheRootsSignaturesItDependsOnWhatIsDemanded) {
  // knotd knows no root: nothing can be proven from its keys.
  const auto taken = shown({"--dnssec", "auto"});
  EXPECT_THAT(taken.providers,
              ElementsAre("good.test unchecked", "old.test unchecked", "plain.test unchecked"));
  const auto demanded = shown({"--dnssec", "require"});
  EXPECT_THAT(demanded.providers, IsEmpty());
  EXPECT_THAT(demanded.rejected, Contains(HasSubstr("good.test: SRV")));
  const auto off = shown({"--dnssec", "off", "--trust-anchor", anchor_});
  EXPECT_THAT(off.providers, Contains("old.test unchecked"));
}

TEST_F(TraceDnssecTest, OptionsThatAreNone) {
  EXPECT_EQ(run_unprivileged({trace_program(), "--dnssec", "maybe", kUserV4}).exit_status, 2);
  const auto found = shown({"--trust-anchor", "test. DS nonsense"});
  EXPECT_THAT(found.providers, IsEmpty());
  EXPECT_THAT(found.rejected, Contains(HasSubstr("trust anchor")));
}

TEST_F(DnssecTest, TheReverseTreeNamesProvidersWithTheSameProof) {
  DnsOptions options;
  options.validator.anchors = {anchor_, network_anchors_[0], network_anchors_[1]};
  const auto found = find_in<ReverseTreeSource>(
      {"203.0.113.1"}, {"203.0.113.9", "192.0.2.9", "198.51.100.77"}, options);
  ASSERT_THAT(evidence(found), ElementsAre("plain.test secure"))
      << ::testing::PrintToString(reasons(found));
  EXPECT_EQ(found.providers[0].id->id(), provider_id(5));
  EXPECT_EQ(found.providers[0].source, "reverse");
  EXPECT_EQ(found.providers[0].hop_ttl, 3);
  const auto said = reasons(found);
  EXPECT_THAT(said,
              Contains(AllOf(HasSubstr("2.0.192.in-addr.arpa: TXT"), HasSubstr("DNSSEC: bogus"))));
  // knotd refuses what it has no zone for.
  EXPECT_THAT(said, Contains(AllOf(HasSubstr("reverse tree:"), HasSubstr("questions failed"))));
}

TEST_F(DnssecTest, AReverseZoneThatNamesSomebodyForEveryAddressIsCut) {
  std::vector<std::string> hops;
  for (int i = 1; i <= 200; ++i) hops.push_back("198.18.7." + std::to_string(i));
  const auto found = find_in<ReverseTreeSource>(hops, {}, {});
  EXPECT_THAT(found.providers, IsEmpty());
  const auto said = reasons(found);
  EXPECT_THAT(said, Contains(HasSubstr("10.0.0.1 is not a public address")));
  EXPECT_THAT(said, Contains(HasSubstr("more than 32 have records")));
}

}  // namespace
}  // namespace icon::discovery
