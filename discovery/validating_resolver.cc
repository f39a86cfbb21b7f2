#include "discovery/validating_resolver.h"

#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <map>
#include <optional>
#include <utility>

#include "discovery/unbound_loop.h"

namespace icon::discovery {
namespace {

namespace asio = boost::asio;

constexpr int kClassIn = 1;
constexpr int kTypeDnskey = 48;
constexpr std::size_t kAnchorsMax = 32;

enum class Chain { kUnknown, kUsable, kMissing };

SteadyTime now() { return std::chrono::steady_clock::now(); }

// What libunbound said to one question.
struct Verdict {
  int response_code = 0;
  int security = 0;  // 0: insecure, 1: bogus, 2: secure
  std::string why;
  std::vector<std::uint8_t> packet;
};

struct Asked {
  explicit Asked(IoContext& loop) : finished(loop) {}
  asio::steady_timer finished;
  std::optional<Verdict> verdict;
};

class UnboundResolver final : public ValidatingResolver {
 public:
  UnboundResolver(IoContext& loop, Resolver& plain, ValidatorOptions options)
      : loop_(loop),
        plain_(plain),
        options_(std::move(options)),
        events_(loop),
        chain_free_(loop, SteadyTime::max()) {}
  ~UnboundResolver() override { close(); }

  Task<Result<Answer>> query(std::string name, RecordType type) override;
  void start_budget(Millis budget) override {
    budget_end_ = now() + budget;
    closed_ = false;
  }
  void close() override;
  const std::string& unchecked_because() const override { return unchecked_because_; }

 private:
  Status open();
  Status configure();
  Status set(const char* key, const char* value);
  Task<Status> look_at_chain();
  Task<Result<Verdict>> ask(std::string name, int type);
  static void on_verdict(void* ticket, int code, void* packet, int bytes, int security, char* why,
                         int limited);

  IoContext& loop_;
  Resolver& plain_;
  ValidatorOptions options_;
  UnboundLoop events_;
  ub_ctx* context_ = nullptr;
  Chain chain_ = Chain::kUnknown;
  bool looking_ = false;
  asio::steady_timer chain_free_;
  std::string unchecked_because_;
  SteadyTime budget_end_ = SteadyTime::max();
  bool closed_ = false;
  // What libunbound carries for us: the callback may come after we stopped waiting, or never.
  struct Ticket {
    UnboundResolver* resolver;
    std::shared_ptr<Asked> asked;
  };
  std::map<Ticket*, std::unique_ptr<Ticket>> tickets_;
};

Status UnboundResolver::set(const char* key, const char* value) {
  if (const int error = ub_ctx_set_option(context_, key, value); error != 0)
    return fail(Code::kInternal, std::string("libunbound: ") + key + ": " + ub_strerror(error));
  return {};
}

Status UnboundResolver::configure() {
  ub_ctx_debugout(context_, nullptr);
  for (const auto& [key, value] : {std::pair{"do-not-query-localhost:", "no"},
                                   {"msg-cache-size:", "256k"},
                                   {"rrset-cache-size:", "512k"},
                                   {"key-cache-size:", "256k"},
                                   {"neg-cache-size:", "64k"},
                                   {"outgoing-range:", "64"},
                                   {"num-queries-per-thread:", "64"},
                                   {"outgoing-num-tcp:", "4"},
                                   {"val-max-restart:", "1"},
                                   {"val-bogus-ttl:", "5"},
                                   {"cache-max-negative-ttl:", "300"}})
    ICON_CHECK(set(key, value));
  ICON_TRY(const auto servers, dns_servers(options_.servers));
  for (const auto& server : servers) {
    ICON_TRY(const auto endpoint, Endpoint::parse(server));
    const auto text = endpoint.address.to_string() + '@' + std::to_string(endpoint.port);
    if (const int error = ub_ctx_set_fwd(context_, text.c_str()); error != 0)
      return fail(Code::kInvalid, "DNS server " + server + ": " + ub_strerror(error));
  }
  const auto& anchors = options_.anchors.empty() ? root_anchors() : options_.anchors;
  for (const auto& anchor : anchors)
    if (const int error = ub_ctx_add_ta(context_, anchor.c_str()); error != 0)
      return fail(Code::kInvalid, "trust anchor '" + anchor + "': " + ub_strerror(error));
  // libunbound answers for these itself; in a network of one's own they may well exist. This also
  // ends the configuration: it must come last.
  for (const char* zone : {"test.", "2.0.192.in-addr.arpa.", "100.51.198.in-addr.arpa.",
                           "113.0.203.in-addr.arpa.", "8.b.d.0.1.0.0.2.ip6.arpa."})
    if (const int error = ub_ctx_zone_remove(context_, zone); error != 0)
      return fail(Code::kInvalid, std::string("trust anchors: ") + ub_strerror(error));
  return {};
}

Status UnboundResolver::open() {
  if (context_ != nullptr) return {};
  context_ = ub_ctx_create_ub_event(events_.base());
  if (context_ == nullptr) return fail(Code::kInternal, "libunbound does not start");
  auto status = configure();
  if (!status) {
    ub_ctx_delete(std::exchange(context_, nullptr));
    return fail(status.error().code, "DNSSEC: " + status.error().message);
  }
  return {};
}

void UnboundResolver::close() {
  closed_ = true;
  if (context_ != nullptr) ub_ctx_delete(std::exchange(context_, nullptr));
  for (auto& [key, ticket] : tickets_) ticket->asked->finished.cancel();
  tickets_.clear();
  chain_free_.cancel();
  chain_ = Chain::kUnknown;
}

void UnboundResolver::on_verdict(void* argument, int code, void* packet, int bytes, int security,
                                 char* why, int /*limited*/) {
  auto* ticket = static_cast<Ticket*>(argument);
  const auto asked = ticket->asked;
  ticket->resolver->tickets_.erase(ticket);
  Verdict verdict{code, security, why == nullptr ? "" : why, {}};
  if (packet != nullptr && bytes > 0) {
    const auto* first = static_cast<const std::uint8_t*>(packet);
    verdict.packet.assign(first, first + bytes);
  }
  asked->verdict = std::move(verdict);
  asked->finished.cancel();
}

Task<Result<Verdict>> UnboundResolver::ask(std::string name, int type) {
  if (closed_) co_return fail(Code::kCancelled, "the resolver was closed");
  if (now() >= budget_end_) co_return fail(Code::kTimeout, "no time left to ask");
  if (tickets_.size() >= options_.in_flight_max)
    co_return fail(Code::kLimit, "too many questions are being validated");
  ICON_CO_CHECK(open());
  const auto asked = std::make_shared<Asked>(loop_);
  asked->finished.expires_at(std::min(now() + options_.query_timeout, budget_end_));
  auto owned = std::make_unique<Ticket>(Ticket{this, asked});
  auto* ticket = owned.get();
  tickets_.emplace(ticket, std::move(owned));
  const int error = ub_resolve_event(context_, name.c_str(), type, kClassIn, ticket,
                                     &UnboundResolver::on_verdict, nullptr);
  if (error != 0) {
    tickets_.erase(ticket);
    co_return fail(Code::kIo, ub_strerror(error));
  }
  if (!asked->verdict) {
    const auto [ended] = co_await asked->finished.async_wait(kNoThrow);
    if (!asked->verdict && ended) co_return fail(Code::kCancelled, "the resolver was closed");
  }
  if (!asked->verdict) co_return fail(Code::kTimeout, "no answer in time");
  co_return std::move(*asked->verdict);
}

// Whether the servers hand on what validation needs: the keys of the anchored zones, signed.
Task<Status> UnboundResolver::look_at_chain() {
  if (options_.required) chain_ = Chain::kUsable;
  if (looking_) co_await chain_free_.async_wait(kNoThrow);
  if (chain_ != Chain::kUnknown) co_return Status{};
  looking_ = true;
  const auto& anchors = options_.anchors.empty() ? root_anchors() : options_.anchors;
  const auto& first = anchors.front();
  const auto zone = first.substr(0, first.find_first_of(" \t"));
  const auto verdict = co_await ask(zone, kTypeDnskey);
  looking_ = false;
  chain_free_.cancel();
  if (!verdict && verdict.error().code == Code::kCancelled) co_return fail(verdict.error());
  if (!verdict && verdict.error().code == Code::kInvalid) co_return fail(verdict.error());
  chain_ = verdict && verdict->security == 2 ? Chain::kUsable : Chain::kMissing;
  unchecked_because_.clear();
  if (chain_ == Chain::kMissing)
    unchecked_because_ = "the DNS servers hand on no signed keys of " + zone +
                         (verdict ? "" : " (" + verdict.error().message + ")");
  co_return Status{};
}

Task<Result<Answer>> UnboundResolver::query(std::string name, RecordType type) {
  ICON_CO_TRY(const std::string normal, normalise_name(name));
  const std::string what = normal + ' ' + std::string(to_string(type));
  if (auto status = co_await look_at_chain(); !status)
    co_return fail(status.error().code, what + ": " + status.error().message);
  if (chain_ == Chain::kMissing) co_return co_await plain_.query(normal, type);
  const auto verdict = co_await ask(normal, static_cast<int>(type));
  if (!verdict) co_return fail(verdict.error().code, what + ": " + verdict.error().message);
  if (verdict->security == 1)
    co_return fail(Code::kUnauthenticated, what + ": DNSSEC: bogus: " +
                                               (verdict->why.empty() ? "no reason" : verdict->why));
  auto answer = parse_answer(verdict->packet, normal, type);
  if (answer) answer->dnssec = verdict->security == 2 ? Dnssec::kSecure : Dnssec::kInsecure;
  co_return answer;
}

}  // namespace

const std::vector<std::string>& root_anchors() {
  // https://data.iana.org/root-anchors/root-anchors.xml: KSK-2017 and KSK-2024.
  static const std::vector<std::string> kAnchors{
      ". DS 20326 8 2 E06D44B80B8F1D39A95C0B0D7C65D08458E880409BBC683457104237C7F8EC8D",
      ". DS 38696 8 2 683D2D0ACB8C9B712A1948B27F741219298D0A450D612C483AF444A4C0FB2B16"};
  return kAnchors;
}

Result<std::unique_ptr<ValidatingResolver>> make_validating_resolver(IoContext& loop,
                                                                     Resolver& plain,
                                                                     ValidatorOptions options) {
  if (options.anchors.size() > kAnchorsMax)
    return fail(Code::kLimit, "more than " + std::to_string(kAnchorsMax) + " trust anchors");
  if (options.in_flight_max < 1 || options.query_timeout < Millis(1))
    return fail(Code::kInvalid, "validator options out of range");
  ICON_TRY(const auto servers, dns_servers(options.servers));
  (void)servers;
  return std::make_unique<UnboundResolver>(loop, plain, std::move(options));
}

}  // namespace icon::discovery
