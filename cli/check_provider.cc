#include "cli/check_provider.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/encoding.h"
#include "budget/money.h"
#include "budget/offer_check.h"
#include "cli/text.h"
#include "discovery/provider.h"
#include "discovery/registrable_domain.h"
#include "wire/ping.h"

namespace icon::cli {
namespace {

using discovery::Dnssec;
using discovery::RecordType;

constexpr std::size_t kEndpointsMax = 16;
constexpr std::size_t kTargetsMax = 8;  // as many as an ICON looks up
constexpr std::size_t kNonceBytes = 16;
constexpr std::int64_t kPingLifetimeMs = 60'000;
constexpr std::int64_t kSlotSeconds = 3600;
const wire::Resources kSlot{500, 256LL << 20, 100'000'000};  // what a policy asks for by default

std::string records_hint(const std::string& domain) {
  return fmt::format("icon provider dns-records --domain {} --config SUPERVISOR.yaml prints them",
                     domain);
}

class Walk {
 public:
  Walk(ProviderCheckParts parts, std::string domain)
      : parts_(parts), domain_(std::move(domain)), service_("_icon._tcp." + domain_) {}

  Task<std::vector<Finding>> run() {
    check_domain();
    const bool announced = co_await check_srv();
    if (announced) {
      co_await check_txt();
      check_proof();
      for (const auto& record : targets_) co_await check_target(record);
      for (const auto& [api, host] : endpoints_) co_await check_api(api, host);
      co_await check_names();
    }
    co_return std::move(findings_);
  }

 private:
  void say(CheckState state, std::string name, std::string detail, std::string fix = {}) {
    findings_.push_back({std::move(name), state, std::move(detail), std::move(fix)});
  }
  void ok(std::string name, std::string detail) {
    say(CheckState::kOk, std::move(name), std::move(detail));
  }
  void fail_with(std::string name, std::string detail, std::string fix) {
    say(CheckState::kMissing, std::move(name), std::move(detail), std::move(fix));
  }
  void warn(std::string name, std::string detail, std::string fix) {
    say(CheckState::kWarning, std::move(name), std::move(detail), std::move(fix));
  }

  void check_domain() {
    const auto registrable = discovery::registrable_domain(domain_);
    if (registrable && *registrable == domain_) return ok("domain", domain_);
    const auto instead = registrable ? *registrable : std::string("a domain below it");
    fail_with(
        "domain",
        domain_ + " is not what an ICON asks for: by the public suffix list it asks " + instead,
        "Publish the records under " + instead);
  }

  void lookup_failed(const std::string& name, const Error& error) {
    if (error.code == Code::kUnauthenticated) {
      fail_with(name, error.message,
                "Sign the zone again, and compare its key with the DS record at the registrar: dig "
                "DS " +
                    domain_);
    } else {
      fail_with(name, error.message,
                "Look at the zone's name servers from outside: dig +trace SRV " + service_);
    }
  }

  Task<bool> check_srv() {
    const auto answer = co_await parts_.proof.srv(service_);
    if (!answer) {
      lookup_failed("SRV", answer.error());
      co_return false;
    }
    if (answer->srv.empty()) {
      fail_with("SRV", service_ + " has none: no ICON will find you", records_hint(domain_));
      co_return false;
    }
    srv_proof_ = answer->dnssec;
    targets_ = answer->srv;
    std::sort(targets_.begin(), targets_.end());
    for (const auto& cut : answer->cut)
      warn("SRV", cut, "Keep the records few: an ICON looks at the first ones");
    if (targets_.size() > kTargetsMax) {
      warn("SRV", fmt::format("{} targets: an ICON looks up {}", targets_.size(), kTargetsMax),
           "Announce fewer");
      targets_.resize(kTargetsMax);
    }
    std::erase_if(targets_, [&](const discovery::SrvRecord& record) {
      const bool usable = !record.target.empty() && record.port != 0;
      if (!usable)
        fail_with("SRV",
                  record.target.empty() ? "target '.': it says that there is no service"
                                        : record.target + ": port 0",
                  records_hint(domain_));
      return !usable;
    });
    for (const auto& record : targets_)
      ok("SRV",
         fmt::format("{} {} {}:{}", record.priority, record.weight, record.target, record.port));
    co_return true;
  }

  Task<void> check_txt() {
    const auto answer = co_await parts_.proof.txt(service_);
    if (!answer) co_return lookup_failed("TXT", answer.error());
    txt_proof_ = answer->dnssec;
    for (const auto& line : answer->texts) {
      if (!discovery::is_provider_text(line)) continue;
      auto text = discovery::parse_provider_text(line);
      if (!text) {
        fail_with("TXT", text.error().message, records_hint(domain_));
      } else if (!text->id) {
        fail_with("TXT", "no id= in it: an ICON would not know whose key to expect",
                  records_hint(domain_));
      } else {
        ok("TXT",
           fmt::format("id {}{}{}", text->id->id(), text->host.empty() ? "" : " for " + text->host,
                       text->location.empty() ? "" : ", " + text->location));
        texts_.push_back(std::move(*text));
      }
    }
    const auto general = std::count_if(texts_.begin(), texts_.end(),
                                       [](const auto& text) { return text.host.empty(); });
    if (general > 1)
      warn("TXT", "several for all hosts: an ICON takes any one of them",
           "Add host=TARGET to each, or remove what is old");
    if (texts_.empty())
      fail_with("TXT", service_ + " has none with v=icon1: no ICON will buy here",
                records_hint(domain_));
  }

  void check_proof() {
    switch (std::min(srv_proof_, txt_proof_)) {
      case Dnssec::kSecure:
        return ok("DNSSEC", "secure: the records are proven down from the trust anchor");
      case Dnssec::kInsecure:
        return warn("DNSSEC", "insecure: the zone is not signed, anybody on the way can forge it",
                    "Sign the zone (knot: dnssec-signing: on; bind: dnssec-policy default), then "
                    "hand its DS record to the registrar");
      case Dnssec::kUnchecked:
        return warn("DNSSEC", "not checked: the DNS servers here hand on no signatures",
                    "Ask others: --dns ADDRESS, or run this elsewhere");
    }
  }

  Task<void> check_target(const discovery::SrvRecord& record) {
    std::size_t usable = 0;
    for (const auto type : {RecordType::kA, RecordType::kAaaa}) {
      const auto answer = co_await parts_.dns.query(record.target, type);
      const std::string name = fmt::format("{} {}", to_string(type), record.target);
      if (!answer) {
        lookup_failed(name, answer.error());
        continue;
      }
      for (const auto& address : answer->addresses) {
        if (address.is_non_public()) {
          fail_with(name, address.to_string() + " is not a public address: an ICON ignores it",
                    "Publish the address that the world reaches");
          continue;
        }
        ++usable;
        ok(name, address.to_string());
        if (endpoints_.size() < kEndpointsMax)
          endpoints_.push_back({{address, record.port}, record.target});
      }
    }
    if (usable == 0)
      fail_with("address", record.target + " has no usable address",
                "Give it an A or AAAA record; a CNAME must end at one");
  }

  const discovery::ProviderText* text_for(const std::string& host) const {
    const discovery::ProviderText* general = nullptr;
    for (const auto& text : texts_) {
      if (text.host == host) return &text;
      if (text.host.empty() && general == nullptr) general = &text;
    }
    return general;
  }

  Task<void> check_api(Endpoint api, std::string host) {
    const auto* text = text_for(host);
    const std::string where = api.to_string();
    const auto nonce = random_token(kNonceBytes);
    json::Object question{
        {"nonce", nonce}, {"resources", kSlot.to_json()}, {"slot_seconds", kSlotSeconds}};
    // Whoever answers: if it is another key than announced, both are worth knowing.
    const std::optional<PublicKey> anybody;
    const std::string target = "/v1/offers";
    const auto answer = co_await parts_.caller.post(api, anybody, target, std::move(question));
    if (!answer) co_return call_failed(where, answer.error());
    ok("reachable " + where, human_us(answer->connect_rtt_us));
    if (text == nullptr) {
      fail_with("TLS key " + where, "its key is " + answer->peer.id() + ", and no TXT names one",
                records_hint(domain_));
    } else if (*text->id == answer->peer) {
      ok("TLS key " + where, "the one that TXT names");
    } else {
      fail_with("TLS key " + where,
                "another than announced: TXT says " + text->id->id() + ", the host proved " +
                    answer->peer.id(),
                "Publish the host's id (icon status shows it), or start the supervisor with the "
                "key that is announced (key_file)");
    }
    check_offer(where, *answer, nonce);
    co_await check_pings(api, answer->peer);
  }

  // The host is asked for the round trip to itself: nobody else is bothered.
  Task<void> check_pings(Endpoint api, PublicKey provider) {
    const auto name = "pings " + api.to_string();
    const auto key = KeyPair::generate();
    wire::PingRequest request;
    request.icon = key.public_key();
    request.provider = provider;
    request.targets = {api.address};
    request.nonce = random_token(kNonceBytes);
    request.issued_ms = parts_.clock.utc_ms();
    request.expires_ms = request.issued_ms + kPingLifetimeMs;
    const auto envelope = wire::seal(key, request);
    if (!envelope) co_return warn(name, envelope.error().message, "");
    json::Object question{{"request", envelope->to_json()}};
    const std::optional<PublicKey> peer = provider;
    const std::string target = "/v1/pings";
    const auto answer = co_await parts_.caller.post(api, peer, target, std::move(question));
    if (!answer)
      co_return warn(name, answer.error().message,
                     "ICONs trust their own guess less: say ping_api: true in the supervisor's "
                     "file, or install a version that has it");
    const auto problem = problem_of(answer->body, provider, envelope->digest());
    if (problem.empty())
      ok(name, "signed; it answers within its limits");
    else
      warn(name, problem, "Is it icon-supervisor, with the key that it proves?");
  }

  std::string problem_of(const json::Object& body, const PublicKey& provider,
                         const std::string& digest) const {
    const auto* field = body.if_contains("report");
    if (field == nullptr) return "the answer holds no report";
    const auto envelope = wire::parse_envelope(*field);
    if (!envelope) return envelope.error().message;
    const auto report = wire::open<wire::PingReport>(*envelope);
    if (!report) return report.error().message;
    if (report->provider != provider) return "the report is signed by another key";
    if (report->request_digest != digest) return "the report is about another request";
    const auto times =
        wire::check_times(report->issued_ms, report->expires_ms, parts_.clock.utc_ms());
    if (!times) return times.error().message;
    return report->figures.size() == 1 ? "" : "the report is about other targets";
  }

  void call_failed(const std::string& where, const Error& error) {
    switch (error.code) {
      case Code::kUnauthenticated:
        return fail_with("TLS key " + where, error.message,
                         "Something else listens there: is it icon-supervisor?");
      case Code::kRefused:
      case Code::kConflict:
      case Code::kLimit:
        return fail_with("offer " + where, "it answers, and offers nothing: " + error.message,
                         "Look at capacity, prices and accept_leases in the supervisor's file");
      case Code::kInvalid:
        return fail_with("offer " + where, error.message,
                         "Is it icon-supervisor, in a version that speaks /v1/offers?");
      default:
        return fail_with("reachable " + where, error.message,
                         "Start icon-supervisor, and open this TCP port in every firewall on the "
                         "way; `listen` in its file must not be 127.0.0.1");
    }
  }

  void check_offer(const std::string& where, const ProviderCaller::Answer& answer,
                   const std::string& nonce) {
    const auto* envelope = answer.body.if_contains("offer");
    const auto name = "offer " + where;
    if (envelope == nullptr)
      return fail_with(name, "the answer holds no offer", "Is it icon-supervisor?");
    budget::OfferRequest request;
    request.expected_id = answer.peer;
    request.observed_id = answer.peer.id();
    request.nonce = nonce;
    request.need = kSlot;
    request.slot_seconds = kSlotSeconds;
    const auto verdict = budget::check_offer(*envelope, request, parts_.clock.utc_ms());
    if (verdict.accepted())
      return ok(name, fmt::format("signed; {} credits for half a core, 256 MiB, one hour",
                                  human_credits(verdict.offer->price_ucredits)));
    const auto& why = *verdict.rejection;
    const bool about_time = why.code == "expired" || why.code == "not_yet_valid";
    fail_with(name, printable(why.message, 200),
              about_time ? "Set the clock of that host, and of this one: timedatectl set-ntp true"
                         : "Look at capacity and prices in the supervisor's file");
  }

  // ICONs come across a domain by the names of its routers.
  Task<void> check_names() {
    std::vector<Address> addresses;
    for (const auto& [api, host] : endpoints_)
      if (std::find(addresses.begin(), addresses.end(), api.address) == addresses.end())
        addresses.push_back(api.address);
    for (const auto& address : addresses) {
      const auto answer = co_await parts_.dns.ptr(address);
      const auto name = "PTR " + address.to_string();
      const auto mine = [&](const std::string& host) {
        return discovery::registrable_domain(host).value_or("") == domain_;
      };
      if (answer && std::any_of(answer->names.begin(), answer->names.end(), mine))
        ok(name, answer->names.front());
      else
        warn(name,
             answer && !answer->names.empty() ? answer->names.front() + ", not below " + domain_
                                              : "no name",
             "ICONs find you by the reverse names of your routers: give those names below " +
                 domain_);
    }
  }

  struct Api {
    Endpoint endpoint;
    std::string host;
  };

  ProviderCheckParts parts_;
  std::string domain_;
  std::string service_;
  std::vector<Finding> findings_;
  std::vector<discovery::SrvRecord> targets_;
  std::vector<discovery::ProviderText> texts_;
  std::vector<Api> endpoints_;
  Dnssec srv_proof_ = Dnssec::kUnchecked;
  Dnssec txt_proof_ = Dnssec::kUnchecked;
};

}  // namespace

Task<std::vector<Finding>> check_provider(ProviderCheckParts parts, std::string domain) {
  Walk walk(parts, std::move(domain));
  co_return co_await walk.run();
}

}  // namespace icon::cli
