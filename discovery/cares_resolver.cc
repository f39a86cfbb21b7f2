// Who may ask, when, and whom: places in the windows of servers and domains.
#include "discovery/cares_resolver.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "discovery/registrable_domain.h"

namespace icon::discovery {
namespace {

constexpr std::size_t kDomainsMax = 4096;  // remembered
constexpr std::size_t kServersMax = 64;

SteadyTime now() { return std::chrono::steady_clock::now(); }
// The clock is read only for times that were set: it is asked for every question.
bool ahead(SteadyTime time) { return time != SteadyTime{} && now() < time; }
bool past(SteadyTime time) { return time != SteadyTime::max() && now() >= time; }

// In reverse zones the delegation is by network: the labels of a /16 or of a /32.
std::string domain_of(const std::string& name) {
  const auto last_labels = [&](int labels) {
    std::size_t at = name.size();
    while (labels-- > 0 && at != std::string::npos && at > 0) at = name.rfind('.', at - 1);
    return at == std::string::npos || at == 0 ? name : name.substr(at + 1);
  };
  if (name.ends_with(".in-addr.arpa")) return last_labels(4);
  if (name.ends_with(".ip6.arpa")) return last_labels(10);
  return registrable_domain(name).value_or(name);
}

}  // namespace

CaresResolver::CaresResolver(IoContext& loop, ResolverOptions options,
                             const std::vector<std::string>& servers)
    : loop_(loop), options_(std::move(options)), sweep_(loop) {
  PaceLimits pace;
  pace.window_max = options_.in_flight_max;
  pace.window_first = std::min(pace.window_first, pace.window_max);
  pace.window_min = std::min(pace.window_min, pace.window_max);
  pace.wait_max = options_.try_timeout;
  pace.wait_min = std::min(pace.wait_min, pace.wait_max);
  for (const auto& server : servers) servers_.emplace_back(server, pace);
}

ResolverStats CaresResolver::stats() const {
  ResolverStats stats = stats_;
  for (const auto& server : servers_) stats.window += server.pace.window();
  return stats;
}

Task<Result<Answer>> CaresResolver::query(std::string name, RecordType type) {
  ICON_CO_TRY(std::string normal, normalise_name(name));
  const auto pending = std::make_shared<Pending>(loop_, std::move(normal), type);
  ++stats_.queries;
  ICON_CO_CHECK(usable(*pending));
  pending->domain = remember_domain(pending->name);
  Domain& domain = pending->domain->second;
  ICON_CO_CHECK(usable(*pending, domain));
  if (domain.in_flight < options_.domain_in_flight_max) {
    ++domain.in_flight;
  } else {
    ICON_CO_CHECK(co_await take_domain_place(pending));
  }
  auto server = waiting_.empty() ? pick_server(nullptr) : std::nullopt;
  if (server) {
    ++servers_[*server].in_flight;
    ++in_flight_;
  } else {
    auto waiter = std::make_shared<Waiter>(loop_);
    auto status = co_await wait_for_place(waiting_, waiter);
    if (!status) {
      release_domain(domain);
      co_return fail(status.error().code, pending->what() + ": " + status.error().message);
    }
    server = waiter->server;
  }
  if (auto status = begin(pending, *server); !status) co_return fail(status.error());
  if (!pending->result) {
    co_await pending->finished.async_wait(kNoThrow);
    if (!pending->result) co_return fail(Code::kCancelled, pending->what() + ": cancelled");
  }
  co_return std::move(*pending->result);
}

Status CaresResolver::usable(const Pending& pending) const {
  if (closed_) return fail(Code::kCancelled, pending.what() + ": the resolver was closed");
  if (past(budget_end_)) return fail(Code::kTimeout, pending.what() + ": no time left to ask");
  if (all_dead()) return fail(Code::kUnavailable, pending.what() + ": no DNS server answers");
  return {};
}

Status CaresResolver::usable(const Pending& pending, const Domain& domain) const {
  if (ahead(domain.dead_until))
    return fail(Code::kUnavailable,
                pending.what() + ": nobody answers for " + pending.domain->first);
  return usable(pending);
}

bool CaresResolver::all_dead() const {
  return std::all_of(servers_.begin(), servers_.end(),
                     [&](const Server& server) { return ahead(server.dead_until); });
}

Domains::value_type* CaresResolver::remember_domain(const std::string& name) {
  if (domains_.size() >= kDomainsMax) {
    const auto at = now();
    std::erase_if(domains_, [&](const auto& entry) {
      return entry.second.in_flight == 0 && entry.second.waiting.empty() &&
             entry.second.dead_until <= at;
    });
    parents_.clear();
  }
  const auto dot = name.find('.');
  const std::string parent = dot == std::string::npos ? "" : name.substr(dot + 1);
  if (const auto known = parents_.find(parent); known != parents_.end()) return known->second;
  const std::string domain = domain_of(name);
  auto* place = &*domains_.try_emplace(domain).first;
  // A domain's own name is not below it.
  if (domain != name && parents_.size() < kDomainsMax) parents_.emplace(parent, place);
  return place;
}

Task<Status> CaresResolver::wait_for_place(Waiters& waiters, std::shared_ptr<Waiter> waiter) {
  if (waiters_ >= options_.waiting_max) co_return fail(Code::kLimit, "too many queries wait");
  const auto place = waiters.insert(waiters.end(), waiter);
  ++waiters_;
  waiter->finished.expires_at(budget_end_);
  co_await waiter->finished.async_wait(kNoThrow);
  if (waiter->refusal) co_return fail(*waiter->refusal);
  if (waiter->woken) co_return Status{};
  waiters.erase(place);
  --waiters_;
  co_return fail(Code::kTimeout, "no time left to ask");
}

Task<Status> CaresResolver::take_domain_place(std::shared_ptr<Pending> pending) {
  Domain& domain = pending->domain->second;
  auto waiter = std::make_shared<Waiter>(loop_);
  auto status = co_await wait_for_place(domain.waiting, waiter);
  if (!status) co_return fail(status.error().code, pending->what() + ": " + status.error().message);
  status = usable(*pending, domain);
  if (!status) release_domain(domain);
  co_return status;
}

void CaresResolver::release_domain(Domain& domain) {
  if (domain.waiting.empty()) {
    --domain.in_flight;
    return;
  }
  const auto waiter = domain.waiting.front();
  domain.waiting.pop_front();
  --waiters_;
  waiter->woken = true;
  waiter->finished.cancel();
}

// A first question goes to the quickest server with room in its window; a repetition (`again`) to
// the best one that was not asked yet, whatever its window.
std::optional<std::size_t> CaresResolver::pick_server(const Pending* again) {
  if (again == nullptr && in_flight_ >= options_.in_flight_max) return std::nullopt;
  std::optional<std::size_t> best;
  const auto rank = [&](std::size_t i) {
    const auto asked = again == nullptr
                           ? 0
                           : std::count_if(again->attempts.begin(), again->attempts.end(),
                                           [&](auto& a) { return a.server == i; });
    return std::tuple(asked, servers_[i].doubtful(), servers_[i].pace.smoothed_rtt());
  };
  for (std::size_t i = 0; i < servers_.size(); ++i) {
    Server& server = servers_[i];
    if (ahead(server.dead_until)) continue;
    // Back from the dead only by an answer, where there are others.
    if (server.doubtful() && !server.probing && servers_.size() > 1) probe(server);
    if (again == nullptr && server.in_flight >= server.pace.window()) continue;
    if (!best || rank(i) < rank(*best)) best = i;
  }
  return best;
}

void CaresResolver::release_server(std::size_t index) {
  --servers_[index].in_flight;
  --in_flight_;
  while (!waiting_.empty()) {
    const auto server = pick_server(nullptr);
    if (!server) return;
    const auto waiter = waiting_.front();
    waiting_.pop_front();
    --waiters_;
    ++servers_[*server].in_flight;
    ++in_flight_;
    waiter->server = *server;
    waiter->woken = true;
    waiter->finished.cancel();
  }
}

void CaresResolver::refuse_all(Waiters& waiters, Error error) {
  for (const auto& waiter : waiters) {
    waiter->refusal = error;
    waiter->finished.cancel();
  }
  waiters_ -= waiters.size();
  waiters.clear();
}

void CaresResolver::close() {
  closed_ = true;
  *alive_ = false;
  alive_ = std::make_shared<bool>(true);
  sweep_.cancel();
  sweeping_ = false;
  const Error error{Code::kCancelled, "the resolver was closed"};
  refuse_all(waiting_, error);
  for (auto& [name, domain] : domains_) refuse_all(domain.waiting, error);
  while (!outstanding_.empty()) {
    Pending& pending = *outstanding_.front();
    finish(pending, fail(error.code, pending.what() + ": " + error.message));
  }
  for (auto& server : servers_) {
    if (server.channel) server.channel->close();
    server.channel.reset();
    server.silent = 0;
    server.probing = false;
    server.dead_until = {};
  }
  for (auto& [name, domain] : domains_) {
    domain.silent = 0;
    domain.dead_until = {};
  }
}

Result<std::vector<std::string>> dns_servers(const std::vector<std::string>& servers) {
  if (servers.empty()) return DnsChannel::system_servers();
  std::vector<std::string> checked;
  for (const auto& server : servers) {
    Endpoint endpoint;
    if (const auto address = Address::parse(server)) {
      endpoint = {*address, 53};
    } else {
      ICON_TRY(endpoint, Endpoint::parse(server));
    }
    checked.push_back(endpoint.to_string());
  }
  return checked;
}

Result<std::unique_ptr<NetworkResolver>> make_cares_resolver(IoContext& loop,
                                                             ResolverOptions options) {
  if (options.in_flight_max < 1 || options.domain_in_flight_max < 1 || options.tries < 1 ||
      options.try_timeout < Millis(1) || options.query_timeout < Millis(1) ||
      options.dead_after < 1 || options.domain_dead_after < 1)
    return fail(Code::kInvalid, "resolver options out of range");
  if (ares_library_init(ARES_LIB_INIT_ALL) != ARES_SUCCESS)
    return fail(Code::kInternal, "c-ares does not start");
  ICON_TRY(auto servers, dns_servers(options.servers));
  if (servers.size() > kServersMax) servers.resize(kServersMax);
  return std::make_unique<CaresResolver>(loop, std::move(options), servers);
}

}  // namespace icon::discovery
