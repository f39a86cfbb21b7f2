#include "agent/supervisor_link.h"

#include <boost/json/serialize.hpp>
#include <utility>

#include "base/log.h"
#include "wire/continuity.h"

namespace icon::agent {
namespace {

constexpr std::size_t kAnswerBytesMax = 1 << 20;
constexpr std::size_t kDocumentsMax = 2'000;  // of one lease
constexpr std::size_t kEventBytesMax = 64 << 10;
constexpr std::size_t kKinDocumentsMax = 4;
constexpr std::size_t kRequestIdBytesMax = 64;
constexpr std::size_t kTargetBytesMax = 256;
constexpr std::size_t kConfiguredProvidersMax = 256;
constexpr std::int64_t kEpochMax = std::int64_t{1} << 40;
constexpr std::int64_t kConnectRttUsMax = 600'000'000;
constexpr Millis kLocalCall{5'000};
// These travel to another provider and back.
constexpr Millis kRemoteCall{15'000};
constexpr std::size_t kDhtValuesMax = 512;
// Pings come every 15 s; three missing ones are no supervisor.
constexpr Millis kEventSilenceMax{45'000};

Result<PublicKey> get_key(const json::Object& object, std::string_view key) {
  ICON_TRY(const std::string id, json::get_string(object, key));
  return PublicKey::from_id(id);
}

Result<Endpoint> get_endpoint(const json::Object& object, std::string_view key) {
  ICON_TRY(const std::string text, json::get_string(object, key));
  return Endpoint::parse(text);
}

Status read_supervisor(const json::Object& object, Self& self) {
  ICON_TRY(self.supervisor, get_key(object, "id"));
  ICON_TRY(self.provider_name, json::get_string_or(object, "provider_name", ""));
  ICON_TRY(self.api, get_endpoint(object, "api"));
  ICON_TRY(const std::string address, json::get_string(object, "public_address"));
  ICON_TRY(self.public_address, Address::parse(address));
  return {};
}

Status read_ports(const json::Object& object, Self& self) {
  if (!object.contains("ports")) return {};
  ICON_TRY(const json::Array* ports, json::get_array(object, "ports", kPublishedPortsMax));
  for (const json::Value& item : *ports) {
    const auto* port = item.if_object();
    if (port == nullptr) return fail(Code::kInvalid, "ports: not an object");
    ICON_TRY(const std::string protocol, json::get_string_or(*port, "proto", "tcp"));
    ICON_TRY(const std::int64_t number, json::get_int(*port, "container", 1, 65535));
    if (protocol == "tcp") self.tcp_ports.push_back(static_cast<std::uint16_t>(number));
  }
  return {};
}

// The operator's word for a provider: a text, or an object that names it in one of several ways.
Result<std::string> read_target(const json::Object& object) {
  const auto* to = object.if_contains("to");
  if (to == nullptr) return fail(Code::kInvalid, "migrate: no field 'to'");
  if (to->is_string()) return json::get_string(object, "to", kTargetBytesMax);
  const auto* target = to->if_object();
  if (target == nullptr) return fail(Code::kInvalid, "migrate: 'to' is neither text nor object");
  for (const std::string_view key : {"api", "id", "name", "provider", "target"}) {
    ICON_TRY(std::string value, json::get_string_or(*target, key, "", kTargetBytesMax));
    if (!value.empty()) return value;
  }
  return fail(Code::kInvalid, "migrate: 'to' names no provider");
}

SupervisorEvent::Kind kind_of(std::string_view name) {
  using Kind = SupervisorEvent::Kind;
  constexpr std::pair<std::string_view, Kind> kNames[] = {
      {"hello", Kind::kHello},
      {"quiesce", Kind::kQuiesce},
      {"moved", Kind::kMoved},
      {"rolled_back", Kind::kRolledBack},
      {"migrate", Kind::kMigrate},
      {"replicate", Kind::kReplicate},
      {"replica_started", Kind::kReplicaStarted},
      {"kin", Kind::kKin},
      {"hold", Kind::kHold},
      {"unhold", Kind::kUnhold},
      {"plan", Kind::kPlan},
      {"standby", Kind::kStandby},
      {"delegate", Kind::kDelegate},
      {"ping", Kind::kPing},
  };
  for (const auto& [known, kind] : kNames)
    if (known == name) return kind;
  return Kind::kUnknown;
}

Result<StandbyQuestion> read_standby(const json::Object& object) {
  StandbyQuestion question;
  ICON_TRY(question.standby_id, json::get_string(object, "standby", kTargetBytesMax));
  ICON_TRY(const auto* to, json::get_object(object, "to"));
  ICON_TRY(question.to, get_key(*to, "id"));
  ICON_TRY(question.name, json::get_string_or(*to, "name", "", kTargetBytesMax));
  ICON_TRY(question.domain, json::get_string_or(*to, "domain", "", kTargetBytesMax));
  ICON_TRY(question.seconds, json::get_int(object, "seconds", 1, wire::kContractSecondsMax));
  return question;
}

Result<wire::Envelope> get_envelope(const json::Object& object, std::string_view key) {
  const auto* value = object.if_contains(key);
  if (value == nullptr) return fail(Code::kInvalid, "the answer holds no " + std::string(key));
  return wire::parse_envelope(*value);
}

Result<std::vector<wire::Envelope>> get_documents(const json::Object& object) {
  ICON_TRY(const auto* list, json::get_array(object, "documents", kDocumentsMax));
  std::vector<wire::Envelope> documents;
  for (const auto& item : *list) {
    ICON_TRY(auto envelope, wire::parse_envelope(item));
    documents.push_back(std::move(envelope));
  }
  return documents;
}

}  // namespace

Result<Self> parse_self(std::string_view body) {
  ICON_TRY(const json::Object object, json::parse_object(body, kAnswerBytesMax));
  Self self;
  ICON_TRY(self.icon, get_key(object, "icon"));
  ICON_TRY(self.name, json::get_string_or(object, "name", ""));
  ICON_TRY(self.epoch, json::get_int(object, "epoch", 0, kEpochMax));
  ICON_TRY(const json::Object* supervisor, json::get_object(object, "supervisor"));
  ICON_CHECK(read_supervisor(*supervisor, self));
  ICON_CHECK(read_ports(object, self));
  if (const auto* resources = object.if_contains("resources");
      resources != nullptr && resources->is_object()) {
    ICON_TRY(self.resources, wire::Resources::from_json(resources->get_object()));
  }
  if (const auto* lease = object.if_contains("lease"); lease != nullptr && !lease->is_null()) {
    ICON_TRY(self.lease, wire::parse_envelope(*lease));
  }
  if (const auto* join = object.if_contains("host_join"); join != nullptr && !join->is_null()) {
    ICON_TRY(self.host_join, wire::parse_envelope(*join));
  }
  if (object.contains("providers")) {
    ICON_TRY(const json::Array* providers,
             json::get_array(object, "providers", kConfiguredProvidersMax));
    self.providers = *providers;
  }
  return self;
}

Result<SupervisorEvent> parse_event(std::string_view line) {
  ICON_TRY(const json::Object object, json::parse_object(line, kEventBytesMax));
  SupervisorEvent event;
  ICON_TRY(event.name, json::get_string(object, "event"));
  event.kind = kind_of(event.name);
  ICON_TRY(event.migration, json::get_string_or(object, "migration", ""));
  ICON_TRY(event.epoch, json::get_int_or(object, "epoch", 0, 0, kEpochMax));
  ICON_TRY(event.reason, json::get_string_or(object, "reason", "", kEventBytesMax));
  ICON_TRY(event.request, json::get_string_or(object, "request", "", kRequestIdBytesMax));
  if (const auto* replica = object.if_contains("replica"))
    event.replica = replica->is_bool() && replica->get_bool();
  if (event.kind == SupervisorEvent::Kind::kKin) {
    ICON_TRY(const auto* documents, json::get_array(object, "documents", kKinDocumentsMax));
    for (const auto& document : *documents) {
      ICON_TRY(auto envelope, wire::parse_envelope(document));
      event.documents.push_back(std::move(envelope));
    }
  }
  if (event.kind == SupervisorEvent::Kind::kMigrate ||
      event.kind == SupervisorEvent::Kind::kReplicate) {
    ICON_TRY(event.target, read_target(object));
  }
  if (event.kind == SupervisorEvent::Kind::kDelegate) {
    ICON_TRY(event.on, json::get_bool(object, "on"));
  }
  if (event.kind == SupervisorEvent::Kind::kStandby) {
    ICON_TRY(event.standby, read_standby(object));
  }
  return event;
}

Task<Result<std::string>> SupervisorLink::call(std::string method, std::string target,
                                               json::Value body, Millis timeout) {
  http::UnixRequest request;
  request.socket_path = socket_path_;
  request.method = std::move(method);
  request.target = std::move(target);
  if (!body.is_null()) request.body = boost::json::serialize(body);
  request.timeout = timeout;
  request.response_bytes_max = kAnswerBytesMax;
  ICON_CO_TRY(const http::Response response, co_await http::request(std::move(request)));
  co_return http::body_or_error(response);
}

Task<Result<Self>> SupervisorLink::self() {
  ICON_CO_TRY(const std::string body, co_await call("GET", "/v1/self", nullptr, kLocalCall));
  co_return parse_self(body);
}

Task<Status> SupervisorLink::events(std::function<bool(const SupervisorEvent&)> on_event) {
  http::UnixRequest request;
  request.socket_path = socket_path_;
  request.target = "/v1/self/events";
  request.timeout = kLocalCall;
  co_return co_await http::stream_lines(
      std::move(request), kEventSilenceMax,
      [on_event = std::move(on_event)](std::string_view line) {
        const auto event = parse_event(line);
        if (event) return on_event(*event);
        log::warn("supervisor.bad_event",
                  {{"code", to_string(event.error().code)}, {"message", event.error().message}});
        return true;
      });
}

Task<Result<OfferAnswer>> SupervisorLink::ask_offer(OfferQuestion question) {
  json::Object body{{"api", question.api.to_string()},
                    {"id", question.expected_id},
                    {"nonce", question.nonce},
                    {"resources", question.resources.to_json()},
                    {"slot_seconds", question.slot_seconds}};
  ICON_CO_TRY(const std::string text,
              co_await call("POST", "/v1/self/offers", std::move(body), kRemoteCall));
  ICON_CO_TRY(json::Object object, json::parse_object(text, kAnswerBytesMax));
  OfferAnswer answer;
  ICON_CO_TRY(answer.observed_id, json::get_string_or(object, "observed_id", ""));
  ICON_CO_TRY(const std::int64_t rtt_us,
              json::get_int_or(object, "connect_rtt_us", -1, -1, kConnectRttUsMax));
  if (rtt_us > 0) answer.connect_rtt_us = rtt_us;  // 0: the connection was open already
  const auto* offer = object.if_contains("offer");
  if (offer == nullptr) co_return fail(Code::kInvalid, "the answer holds no offer");
  answer.offer = *offer;
  co_return answer;
}

Task<Result<wire::Envelope>> SupervisorLink::reserve(LeaseQuestion question) {
  json::Object body{{"api", question.api.to_string()},
                    {"id", question.id},
                    {"bid", question.bid.to_json()},
                    {"offer", question.offer.to_json()}};
  if (question.birth) body["birth"] = question.birth->to_json();
  ICON_CO_TRY(const std::string text,
              co_await call("POST", "/v2/self/reservations", std::move(body), kRemoteCall));
  ICON_CO_TRY(const json::Object object, json::parse_object(text, kAnswerBytesMax));
  co_return get_envelope(object, "reservation");
}

Task<Result<Confirmed>> SupervisorLink::confirm(ConfirmQuestion question) {
  json::Object body{{"api", question.api.to_string()},
                    {"reservation", question.reservation.to_json()},
                    {"confirmation", question.confirmation.to_json()}};
  if (question.birth) body["birth"] = question.birth->to_json();
  ICON_CO_TRY(const std::string text,
              co_await call("POST", "/v2/self/leases", std::move(body), kRemoteCall));
  ICON_CO_TRY(const json::Object object, json::parse_object(text, kAnswerBytesMax));
  Confirmed confirmed;
  ICON_CO_TRY(confirmed.lease, get_envelope(object, "lease"));
  ICON_CO_TRY(confirmed.terms, get_envelope(object, "terms"));
  co_return confirmed;
}

Task<Result<OwnLease>> SupervisorLink::own_lease(std::int64_t seconds) {
  const std::string target = "/v2/self/lease?seconds=" + std::to_string(seconds);
  ICON_CO_TRY(const std::string text, co_await call("GET", target, nullptr, kLocalCall));
  ICON_CO_TRY(const json::Object object, json::parse_object(text, kAnswerBytesMax));
  OwnLease own;
  ICON_CO_TRY(own.documents, get_documents(object));
  ICON_CO_TRY(const auto price,
              json::get_int_or(object, "renewal_price_ucredits", -1, -1, wire::kMicroCreditsMax));
  if (price >= 0) own.renewal_price = price;
  co_return own;
}

Task<Result<wire::Envelope>> SupervisorLink::renew_lease(wire::Envelope renewal) {
  json::Object body{{"renewal", renewal.to_json()}};
  ICON_CO_TRY(const std::string text,
              co_await call("POST", "/v2/self/renewals", std::move(body), kLocalCall));
  ICON_CO_TRY(const json::Object object, json::parse_object(text, kAnswerBytesMax));
  co_return get_envelope(object, "renewed_lease");
}

Task<Result<json::Object>> SupervisorLink::sale(SaleErrand errand) {
  json::Object body{
      {"api", errand.api.to_string()}, {"id", errand.provider_id}, {"what", errand.what}};
  if (!errand.sale.empty()) body["sale"] = errand.sale;
  if (errand.commit) body["commit"] = errand.commit->to_json();
  if (errand.bid) body["bid"] = errand.bid->to_json();
  ICON_CO_TRY(const std::string text,
              co_await call("POST", "/v2/self/sales", std::move(body), kRemoteCall));
  co_return json::parse_object(text, kAnswerBytesMax);
}

Task<Result<std::vector<wire::Envelope>>> SupervisorLink::lease_papers(
    LeasePapersQuestion question) {
  json::Object body{{"api", question.api.to_string()},
                    {"id", question.provider_id},
                    {"lease_id", question.lease_id}};
  ICON_CO_TRY(const std::string text,
              co_await call("POST", "/v2/self/documents", std::move(body), kRemoteCall));
  ICON_CO_TRY(const json::Object object, json::parse_object(text, kAnswerBytesMax));
  co_return get_documents(object);
}

Task<Result<wire::Envelope>> SupervisorLink::ask_pings(Endpoint api, wire::Envelope request) {
  json::Object body{{"api", api.to_string()}, {"request", request.to_json()}};
  ICON_CO_TRY(const std::string text,
              co_await call("POST", "/v1/self/pings", std::move(body), kRemoteCall));
  ICON_CO_TRY(const json::Object object, json::parse_object(text, kAnswerBytesMax));
  const auto* report = object.if_contains("report");
  if (report == nullptr) co_return fail(Code::kInvalid, "the answer holds no report");
  co_return wire::parse_envelope(*report);
}

Task<Result<std::vector<discovery::DhtValue>>> SupervisorLink::look_up_dht(
    std::vector<std::string> keys) {
  json::Array list;
  for (const auto& key : keys) list.emplace_back(key);
  json::Object body{{"keys", std::move(list)}};
  ICON_CO_TRY(const std::string text,
              co_await call("POST", "/v1/self/dht", std::move(body), kRemoteCall));
  ICON_CO_TRY(const json::Object object, json::parse_object(text, kAnswerBytesMax));
  ICON_CO_TRY(const auto* values, json::get_array(object, "values", kDhtValuesMax));
  std::vector<discovery::DhtValue> found;
  for (const auto& item : *values) {
    const auto* entry = item.if_object();
    if (entry == nullptr) co_return fail(Code::kInvalid, "'values': not a list of objects");
    discovery::DhtValue value;
    ICON_CO_TRY(value.key, json::get_string(*entry, "key", 64));
    ICON_CO_TRY(value.value, json::get_string(*entry, "value", kAnswerBytesMax));
    found.push_back(std::move(value));
  }
  co_return found;
}

Task<Result<std::string>> SupervisorLink::order_migration(MigrationOrder order) {
  json::Object body{{"order", order.order.to_json()},
                    {"lease", order.lease.to_json()},
                    {"api", order.api.to_string()},
                    {"evidence", std::move(order.evidence)}};
  if (order.birth) body["birth"] = order.birth->to_json();
  if (order.child_seed_hex) body["key"] = *order.child_seed_hex;
  ICON_CO_TRY(const std::string text,
              co_await call("POST", "/v1/self/migrations", std::move(body), kRemoteCall));
  ICON_CO_TRY(const json::Object object, json::parse_object(text, kAnswerBytesMax));
  co_return json::get_string(object, "migration");
}

Task<Status> SupervisorLink::post_reseeded(std::size_t processes, std::string error) {
  json::Object body{{"processes", processes}, {"error", std::move(error)}};
  ICON_CO_TRY(const std::string ignored,
              co_await call("POST", "/v1/self/reseeded", std::move(body), kLocalCall));
  co_return Status{};
}

Task<Status> SupervisorLink::post_standby(wire::Envelope order) {
  json::Object body{{"order", order.to_json()}};
  ICON_CO_TRY(const std::string ignored,
              co_await call("POST", "/v1/self/standbys", std::move(body), kLocalCall));
  co_return Status{};
}

Task<Status> SupervisorLink::post_decision(std::string id, std::string outcome,
                                           json::Object evidence) {
  json::Object body{{"decision", std::move(id)},
                    {"outcome", std::move(outcome)},
                    {"evidence", std::move(evidence)}};
  ICON_CO_TRY(const std::string ignored,
              co_await call("POST", "/v1/self/decisions", std::move(body), kLocalCall));
  co_return Status{};
}

Task<Status> SupervisorLink::post_plan(std::string request, json::Object evidence,
                                       std::string error) {
  json::Object body{{"request", std::move(request)},
                    {"evidence", std::move(evidence)},
                    {"error", std::move(error)}};
  ICON_CO_TRY(const std::string ignored,
              co_await call("POST", "/v1/self/plan", std::move(body), kLocalCall));
  co_return Status{};
}

Task<Result<std::optional<SupervisorLink::Whereabouts>>> SupervisorLink::say(
    wire::KinPlace to, std::vector<wire::Envelope> what) {
  json::Array documents;
  for (const auto& document : what) documents.push_back(document.to_json());
  json::Object body{{"to", to.icon.id()},
                    {"host", to.host.id()},
                    {"api", to.api.to_string()},
                    {"documents", std::move(documents)}};
  ICON_CO_TRY(const std::string text,
              co_await call("POST", "/v1/self/kin", std::move(body), kRemoteCall));
  ICON_CO_TRY(const json::Object object, json::parse_object(text, kAnswerBytesMax));
  if (!object.contains("moved")) co_return std::optional<Whereabouts>();
  ICON_CO_TRY(const auto* moved, json::get_object(object, "moved"));
  Whereabouts now;
  ICON_CO_TRY(now.host, get_key(*moved, "host"));
  ICON_CO_TRY(now.api, get_endpoint(*moved, "api"));
  co_return std::optional<Whereabouts>(now);
}

Task<Status> SupervisorLink::put_guidance(json::Object guidance) {
  ICON_CO_TRY(const std::string ignored,
              co_await call("PUT", "/v1/self/guidance", std::move(guidance), kLocalCall));
  co_return Status{};
}

Task<Result<std::string>> SupervisorLink::migration_state(std::string id) {
  ICON_CO_TRY(const std::string text,
              co_await call("GET", "/v1/self/migrations/" + id, nullptr, kLocalCall));
  ICON_CO_TRY(const json::Object object, json::parse_object(text, kAnswerBytesMax));
  co_return json::get_string(object, "state", 32);
}

Task<Status> SupervisorLink::put_status(json::Object status) {
  ICON_CO_TRY(const std::string ignored,
              co_await call("PUT", "/v1/self/status", std::move(status), kLocalCall));
  co_return Status{};
}

Task<Status> SupervisorLink::put_map(json::Object map) {
  ICON_CO_TRY(const std::string ignored,
              co_await call("PUT", "/v1/self/map", std::move(map), kLocalCall));
  co_return Status{};
}

}  // namespace icon::agent
