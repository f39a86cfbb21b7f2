#include "supervisor/stubs.h"

#include <algorithm>
#include <boost/json/serialize.hpp>

#include "base/file.h"
#include "base/log.h"
#include "supervisor/continuity/continuity.h"
#include "supervisor/forgetting.h"
#include "supervisor/host.h"
#include "supervisor/move_parts.h"
#include "supervisor/tunnel_uses.h"
#include "wire/tenancy.h"

namespace icon::supervisor {
namespace {

constexpr std::string_view kRedirect = "redirect";
constexpr Millis kTunnelLimit{10'000};
constexpr Millis kStartAgain{5'000};
constexpr UtcMillis kNoEnd = UtcMillis{1} << 60;  // as long as the ICON leads them

Result<std::vector<PortMapping>> ports_of(const StubRecord& stub) {
  ICON_TRY(const auto* array, json::get_array(stub.details, "ports", ContainerSpec::kPortsMax));
  std::vector<PortMapping> ports;
  for (const auto& item : *array) {
    if (!item.is_object()) return fail(Code::kInvalid, "a stub's port is no object");
    ICON_TRY(const auto port, PortMapping::from_json(item.get_object()));
    ports.push_back(port);
  }
  return ports;
}

Result<net::IconNetwork> network_of(const StubRecord& stub) {
  net::IconNetwork network;
  network.icon_id = stub.icon;
  ICON_TRY(const auto overlay, json::get_string(stub.details, "overlay", 64));
  ICON_TRY(network.overlay, Address::parse(overlay));
  ICON_TRY(const auto ports, ports_of(stub));
  for (const auto& port : ports)
    network.ports.push_back({port.proto == "udp" ? net::Protocol::kUdp : net::Protocol::kTcp,
                             port.container, port.published});
  return network;
}

net::Guidance rules_of(const Guided& guided, std::uint16_t stub_port) {
  net::Guidance rules;
  rules.stub_port = stub_port;
  rules.everybody = guided.everybody.has_value();
  for (const auto& group : guided.groups)
    rules.networks.insert(rules.networks.end(), group.networks.begin(), group.networks.end());
  std::sort(rules.networks.begin(), rules.networks.end());
  return rules;
}

}  // namespace

stub::StubOptions Stubs::process_options() const {
  stub::StubOptions options;
  options.program = host_.config.stub_binary;
  options.run_directory = host_.config.runtime_dir + "/stub";
  // Every address: nft's redirect sends a connection to the one it arrived on.
  options.listen = {Address(), 0};
  return options;
}

Task<Status> Stubs::prepare(const std::string& mode) {
  if (mode != kRedirect || is_running()) co_return Status{};
  ICON_CO_CHECK(make_directories(process_options().run_directory, 0700));
  auto options = process_options();
  ICON_CO_TRY(auto process, co_await stub::StubProcess::adopt_or_start(std::move(options)));
  const bool has_died = process_.has_value();
  process_.emplace(std::move(process));
  if (!has_died) co_return Status{};
  log::warn("stub.redirector_died", {{"port", process_->port()}});
  lead_to_it();
  co_return co_await publish_routes();
}

Result<std::vector<StubRecord>> Stubs::redirecting() const {
  ICON_TRY(auto stubs, host_.journal->stubs());
  std::erase_if(stubs, [](const StubRecord& stub) { return stub.mode != kRedirect; });
  return stubs;
}

// The rules name its port, and a new process has another one.
void Stubs::lead_to_it() {
  const auto note = [](const std::string& icon, const Status& status) {
    if (!status) log::error("stub.not_led", {{"icon", icon}, {"error", status.error().message}});
  };
  if (const auto stubs = redirecting(); stubs)
    for (const auto& stub : *stubs)
      if (const auto to = target(stub); to) note(stub.icon, host_.network->repoint(stub.icon, *to));
  for (const auto& [icon, entry] : guided_)
    note(icon, host_.network->guide(icon, rules_of(entry.guided, process_->port())));
}

Result<net::StubTarget> Stubs::target(const StubRecord& stub) const {
  net::StubTarget target;
  target.peer_id = stub.next_host;
  if (stub.mode != kRedirect) return target;
  if (!process_) return fail(Code::kUnavailable, "the redirector process does not run");
  target.mode = net::StubMode::kRedirect;
  target.stub_port = process_->port();
  return target;
}

Task<Status> Stubs::publish_routes() {
  ICON_CO_TRY(const auto stubs, redirecting());
  std::vector<stub::Route> routes;
  for (const auto& stub : stubs) {
    ICON_CO_TRY(const auto ports, ports_of(stub));
    for (const auto& port : ports) {
      if (port.proto != "tcp") continue;
      // The ICON keeps its public port wherever it goes.
      routes.push_back({.icon = stub.icon,
                        .dialled_port = port.published,
                        .host = stub.next_public.to_string(),
                        .port = port.published,
                        .expires_ms = stub.until_ms});
    }
  }
  add_guided_routes(routes);
  if (!process_) co_return Status{};
  if (routes.empty() && use_.use_count() == 1) {
    process_->stop();
    process_.reset();
    co_return Status{};
  }
  co_return co_await process_->set_routes(std::move(routes));
}

// An ICON that has moved on or ended leads nobody from here.
void Stubs::add_guided_routes(std::vector<stub::Route>& routes) {
  std::erase_if(guided_, [&](const auto& entry) {
    const auto state = host_.network->icon_state(entry.first);
    return !state || !state->attached || !state->stub_peer.empty();
  });
  for (const auto& [icon, entry] : guided_)
    for (const auto port : entry.ports) {
      const auto add = [&](const Address& to, std::optional<Prefix> from) {
        routes.push_back({icon, port, to.to_string(), port, kNoEnd, from, entry.guided.remember_s});
      };
      if (entry.guided.everybody) {
        add(*entry.guided.everybody, std::nullopt);
        continue;
      }
      for (const auto& group : entry.guided.groups)
        for (const auto& network : group.networks) add(group.to, network);
    }
}

std::size_t Stubs::guided_routes(const std::string& but) const {
  std::size_t count = 0;
  for (const auto& [icon, entry] : guided_)
    for (const auto& group : entry.guided.groups)
      if (icon != but) count += group.networks.size() * entry.ports.size();
  return count;
}

Task<Status> Stubs::guide(const IconRecord& icon, Guided guided) {
  GuidedIcon entry;
  for (const auto& port : icon.spec.ports)
    if (port.proto == "tcp") entry.ports.push_back(port.published);
  auto rules = rules_of(guided, 0);
  if (std::adjacent_find(rules.networks.begin(), rules.networks.end()) != rules.networks.end())
    co_return fail(Code::kInvalid, "a network is led to two places");
  if (rules.networks.size() > kGuidedNetworksMax ||
      guided_routes(icon.id) + rules.networks.size() * entry.ports.size() > kGuidedHostNetworksMax)
    co_return fail(Code::kLimit, "more networks than this host leads elsewhere");
  const bool ends = rules.networks.empty() && !rules.everybody;
  if (ends && !guided_.contains(icon.id)) co_return Status{};
  if (ends) {
    ICON_CO_CHECK(host_.network->guide(icon.id, rules));
    guided_.erase(icon.id);
    co_return co_await publish_routes();
  }
  // First who answers, then the questions.
  ICON_CO_CHECK(co_await prepare(std::string(kRedirect)));
  rules.stub_port = process_->port();
  entry.guided = std::move(guided);
  guided_.insert_or_assign(icon.id, std::move(entry));
  ICON_CO_CHECK(co_await publish_routes());
  co_return host_.network->guide(icon.id, rules);
}

Task<Status> Stubs::ask_for_tunnel(const PublicKey& peer, const Endpoint& api,
                                   const std::string& icon_id, const wire::Envelope& order) {
  const std::string peer_id = peer.id();
  ICON_CO_TRY(const auto local, host_.network->open_tunnel(peer_id));
  PeerRequest request;
  request.api = api;
  request.peer = peer;
  request.method = "POST";
  request.target = "/v1/tunnels";
  request.body = boost::json::serialize(json::Object{
      {"icon", icon_id}, {"order", order.to_json()}, {"tunnel", tunnel_to_json(local)}});
  request.total_timeout = kTunnelLimit;
  ICON_CO_TRY(const auto answer, co_await host_.peers->call(std::move(request)));
  ICON_CO_TRY(const auto text, http::body_or_error(answer.response));
  ICON_CO_TRY(const auto body, json::parse_object(text, kPeerAnswerBytesMax));
  ICON_CO_TRY(const auto* tunnel, json::get_object(body, "tunnel"));
  ICON_CO_TRY(const auto remote, tunnel_from_json(*tunnel));
  ICON_CO_CHECK(host_.network->connect_tunnel(peer_id, remote));
  co_return host_.journal->put_tunnel(peer_id, tunnel_row(api, remote));
}

Task<Status> Stubs::repoint(const std::string& icon_id, Moved moved) {
  ICON_CO_TRY(auto stub, host_.journal->find_stub(icon_id));
  if (!stub) co_return fail(Code::kNotFound, "no stub of " + short_id(icon_id) + " here");
  ICON_CO_TRY(const auto order, wire::open<wire::MoveOrder>(moved.order));
  ICON_CO_TRY(const auto commit, wire::open<wire::Commit>(moved.commit));
  if (order.icon.id() != icon_id || commit.icon != order.icon || commit.epoch != order.epoch ||
      commit.migration_id != order.migration_id || commit.to != order.to ||
      commit.from != order.from)
    co_return fail(Code::kUnauthenticated, "order and commit do not tell of one move of this ICON");
  if (order.epoch <= stub->epoch)
    co_return fail(Code::kConflict, "the stub knows of epoch " + std::to_string(stub->epoch));
  // It moved back here: what runs here needs no stub.
  if (order.to.id() == host_.id) co_return Status{};
  // What is kept here for a move from where it was is in the way of a stub that must turn.
  co_await host_.continuity->given().end(icon_id, "the ICON has moved on");
  ICON_CO_CHECK(co_await ask_for_tunnel(order.to, moved.api, icon_id, moved.order));
  stub->next_host = order.to.id();
  stub->next_api = moved.api;
  stub->next_public = moved.public_address;
  stub->epoch = order.epoch;
  // It is paid for as long as the ICON's new slot.
  stub->until_ms = std::max(stub->until_ms, commit.expires_ms);
  ICON_CO_TRY(const auto to, target(*stub));
  ICON_CO_CHECK(host_.network->repoint(icon_id, to));
  ICON_CO_CHECK(host_.journal->put_stub(*stub));
  log::info("stub.repointed", {{"icon", icon_id}, {"to", stub->next_host}, {"epoch", stub->epoch}});
  co_return co_await publish_routes();
}

Task<Status> Stubs::extend(const std::string& icon_id, const wire::Envelope& envelope) {
  ICON_CO_TRY(auto stub, host_.journal->find_stub(icon_id));
  if (!stub) co_return fail(Code::kNotFound, "no stub of " + short_id(icon_id) + " here");
  ICON_CO_TRY(const auto renewed, wire::open<wire::RenewedLease>(envelope));
  ICON_CO_TRY(const auto renewal, wire::open<wire::Renewal>(renewed.renewal));
  if (renewed.provider.id() != stub->next_host || renewal.provider != renewed.provider ||
      renewal.icon.id() != icon_id)
    co_return fail(Code::kUnauthenticated, "the renewal is not of the slot that this stub serves");
  if (renewed.expires_ms <= stub->until_ms) co_return Status{};
  stub->until_ms = renewed.expires_ms;
  ICON_CO_CHECK(host_.journal->put_stub(*stub));
  log::info("stub.extended", {{"icon", icon_id}, {"until_ms", stub->until_ms}});
  co_return co_await publish_routes();
}

Task<void> Stubs::recover() {
  const auto stubs = host_.journal->stubs();
  if (!stubs) co_return;
  for (const auto& stub : *stubs) {
    auto status = co_await prepare(stub.mode);
    if (status) {
      const auto network = network_of(stub);
      const auto to = target(stub);
      if (!network)
        status = fail(network.error());
      else if (!to)
        status = fail(to.error());
      else
        status = host_.network->attach_stub(*network, *to);
    }
    if (!status)
      log::error("stub.not_recovered", {{"icon", stub.icon}, {"error", status.error().message}});
  }
  if (const auto published = co_await publish_routes(); !published)
    log::error("stub.routes", {{"error", published.error().message}});
}

Task<Status> Stubs::remove(const std::string& icon_id) {
  ICON_CO_TRY(const auto stub, host_.journal->find_stub(icon_id));
  if (!stub) co_return fail(Code::kNotFound, "no stub of " + short_id(icon_id) + " here");
  // One that could not be set up again after a restart has no rules.
  if (auto removed = host_.network->remove_stub(icon_id);
      !removed && removed.error().code != Code::kNotFound)
    co_return removed;
  ICON_CO_CHECK(host_.journal->remove_stub(icon_id));
  close_unused_tunnel(host_, stub->next_host);
  log::info("stub.removed", {{"icon", icon_id}});
  co_return co_await publish_routes();
}

// Killed, for want of memory say: nobody else would see it before the next move in that mode. Or
// prepared for a move that came to nothing.
Task<void> Stubs::keep_redirector() {
  if (!process_) co_return;
  const auto stubs = redirecting();
  if (stubs && stubs->empty() && guided_.empty()) {
    if (use_.use_count() == 1) (void)co_await publish_routes();
    co_return;
  }
  if (is_running() || host_.clock.steady() < next_start_) co_return;
  next_start_ = host_.clock.steady() + kStartAgain;
  if (const auto prepared = co_await prepare(std::string(kRedirect)); !prepared)
    log::error("stub.no_redirector",
               {{"error", prepared.error().message}, {"next_try_s", kStartAgain.count() / 1000}});
}

Task<void> Stubs::expire() {
  co_await keep_redirector();
  const auto stubs = host_.journal->stubs();
  if (!stubs) co_return;
  for (const auto& stub : *stubs) {
    // While another went it may have been given more time.
    const auto now = host_.journal->find_stub(stub.icon);
    if (!now || !*now || (*now)->until_ms > host_.clock.utc_ms()) continue;
    if (const auto removed = co_await remove(stub.icon); !removed)
      log::error("stub.expire", {{"icon", stub.icon}, {"error", removed.error().message}});
    else if (const auto forgotten = forget_moved(host_); !forgotten)
      log::error("icon.not_forgotten", {{"error", forgotten.error().message}});
  }
}

}  // namespace icon::supervisor
