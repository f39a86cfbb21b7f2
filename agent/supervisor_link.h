// The agent's side of the supervisor's API (docs/api.md, section 1): calls as typed functions, and
// the stream of events. It holds no connection of its own between calls.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/address.h"
#include "base/clock.h"
#include "base/http_client.h"
#include "base/json.h"
#include "base/keys.h"
#include "base/task.h"
#include "discovery/dht_source.h"
#include "wire/documents.h"
#include "wire/kin.h"

namespace icon::agent {

inline constexpr std::size_t kPublishedPortsMax = 64;

// Who and where we are, as our present supervisor says.
struct Self {
  PublicKey icon;
  std::string name;
  std::int64_t epoch = 0;
  PublicKey supervisor;
  std::string provider_name;
  Endpoint api;                          // of our supervisor
  Address public_address;                // what users dial
  std::vector<std::uint16_t> tcp_ports;  // inside the container
  wire::Resources resources;
  std::optional<wire::Envelope> lease;      // not verified
  std::optional<wire::Envelope> host_join;  // the host's word that it has joined; not verified
  json::Array providers;                    // configured at this host: not ours, not trusted more
};
Result<Self> parse_self(std::string_view body);  // Errors: kInvalid, kLimit

// The host asks whether we may be prepared for at a sibling of its.
struct StandbyQuestion {
  std::string standby_id;
  PublicKey to;
  std::string name;
  std::string domain;
  std::int64_t seconds = 0;
};

// One line of the event stream.
struct SupervisorEvent {
  enum class Kind {
    kHello,
    kQuiesce,
    kMoved,
    kRolledBack,
    kMigrate,
    kReplicate,
    kReplicaStarted,
    kKin,  // words of a parent or of children
    kHold,
    kUnhold,
    kPlan,
    kStandby,
    kDelegate,
    kPing,
    kUnknown,  // a newer supervisor: ignored
  };
  Kind kind = Kind::kUnknown;
  std::string name;
  std::string migration;
  std::int64_t epoch = 0;
  std::string reason;
  std::string request;  // kPlan: what the answer names
  // kDelegate: its host's owner says when it moves; else it decides itself.
  bool on = false;
  bool replica = false;                   // kQuiesce: a copy is made, and it must not hold our key
  std::vector<wire::Envelope> documents;  // kKin; not verified
  // kMigrate, kReplicate: a provider's name, its id or ADDR:PORT, as the operator typed it.
  std::string target;
  std::optional<StandbyQuestion> standby;
};
Result<SupervisorEvent> parse_event(std::string_view line);  // Errors: kInvalid, kLimit

struct OfferQuestion {
  Endpoint api;
  std::string expected_id;  // empty: whoever answers
  std::string nonce;
  wire::Resources resources;
  std::int64_t slot_seconds = 0;
};
struct OfferAnswer {
  json::Value offer;  // a stranger's envelope: budget::check_offer reads it
  std::string observed_id;
  std::optional<std::int64_t> connect_rtt_us;
};

struct LeaseQuestion {
  Endpoint api;
  std::string id;
  wire::Envelope bid;
  wire::Envelope offer;
  std::optional<wire::Envelope> birth;  // the bid is a replica's
};

struct ConfirmQuestion {
  Endpoint api;
  wire::Envelope reservation;
  wire::Envelope confirmation;
  std::optional<wire::Envelope> birth;  // as above
};

struct Confirmed {
  wire::Envelope lease;
  wire::Envelope terms;
};

// The lease under which we run, as our host has it. Nothing of it is verified.
struct OwnLease {
  std::vector<wire::Envelope> documents;
  std::optional<wire::MicroCredits> renewal_price;  // of so many seconds as were asked for
};
struct LeasePapersQuestion {
  Endpoint api;
  std::string provider_id;
  std::string lease_id;
};

// A call of a sale by sealed bids: "list", "documents", "commit", "reveal" or "claim".
struct SaleErrand {
  Endpoint api;
  std::string provider_id;
  std::string what;
  std::string sale;
  std::optional<wire::Envelope> commit;
  std::optional<wire::Envelope> bid;
};

struct MigrationOrder {
  wire::Envelope order;
  wire::Envelope lease;
  Endpoint api;
  json::Object evidence;
  // A replica's order: its parent's word, and the key that it wakes with.
  std::optional<wire::Envelope> birth;
  std::optional<std::string> child_seed_hex;
};

// Owner: the agent. Loop thread. Every call has a limit of time; cancelling one closes its
// connection. Errors of all calls: kNotFound, kRefused, kIo (no supervisor), kTimeout, kInvalid
// (nonsense came back), and whatever the supervisor answers.
class SupervisorLink {
 public:
  explicit SupervisorLink(std::string socket_path) : socket_path_(std::move(socket_path)) {}

  Task<Result<Self>> self();
  // Until `on_event` returns false, the stream ends, or 45 s pass without even a ping. A line that
  // is no event is skipped.
  Task<Status> events(std::function<bool(const SupervisorEvent&)> on_event);
  Task<Result<OfferAnswer>> ask_offer(OfferQuestion question);
  // The slot is locked by the first, and ours by the second, for a wire::Confirmation.
  Task<Result<wire::Envelope>> reserve(LeaseQuestion question);
  Task<Result<Confirmed>> confirm(ConfirmQuestion question);
  // kNotFound: there is none.
  Task<Result<OwnLease>> own_lease(std::int64_t seconds);
  // A wire::RenewedLease for a wire::Renewal.
  Task<Result<wire::Envelope>> renew_lease(wire::Envelope renewal);
  // The provider's answer as it came.
  Task<Result<json::Object>> sale(SaleErrand errand);
  // All papers of a lease, wherever it was.
  Task<Result<std::vector<wire::Envelope>>> lease_papers(LeasePapersQuestion question);
  // A provider's signed answer to a signed wire::PingRequest.
  Task<Result<wire::Envelope>> ask_pings(Endpoint api, wire::Envelope request);
  // What stands in the DHT under these networks. Errors also: kUnavailable (the host has none).
  Task<Result<std::vector<discovery::DhtValue>>> look_up_dht(std::vector<std::string> keys);
  // The supervisor's id for the migration. Errors also: kConflict (one is under way).
  Task<Result<std::string>> order_migration(MigrationOrder order);
  // Of a copy that has woken; `error`: why its randomness is not its own.
  Task<Status> post_reseeded(std::size_t processes, std::string error);
  Task<Status> post_standby(wire::Envelope order);
  Task<Status> post_decision(std::string id, std::string outcome, json::Object evidence);
  // What would be decided now; empty and `error`: why nobody can say.
  Task<Status> post_plan(std::string request, json::Object evidence, std::string error);
  // To a parent or child at another host; where it is now, when it has moved on.
  struct Whereabouts {
    PublicKey host;
    Endpoint api;
  };
  Task<Result<std::optional<Whereabouts>>> say(wire::KinPlace to, std::vector<wire::Envelope> what);
  // New users go elsewhere: the body of PUT /v1/self/guidance.
  Task<Status> put_guidance(json::Object guidance);
  // How a migration or replication of ours stands: "done", "rolled_back", ...; kNotFound: it never
  // began.
  Task<Result<std::string>> migration_state(std::string id);
  Task<Status> put_status(json::Object status);
  Task<Status> put_map(json::Object map);  // a wire::NetworkMap

  const std::string& socket_path() const { return socket_path_; }

 private:
  Task<Result<std::string>> call(std::string method, std::string target, json::Value body,
                                 Millis timeout);
  std::string socket_path_;
};

}  // namespace icon::agent
