// What the supervisor must not forget: SQLite at <state_dir>/journal.db, WAL, synchronous=FULL, so
// that a row that was written is there after a power cut. One writer, this process. Owned by Host.
// Loop thread only; every call blocks for at most a disk write.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/address.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/result.h"
#include "supervisor/container_spec.h"
#include "wire/documents.h"

namespace icon::supervisor {

// docs/api.md: running, migrating, moved (a stub is left), stopped, failed; and two that the API
// does not show: "starting" and "reserved" (a destination before COMMIT).
namespace icon_state {
inline constexpr std::string_view kStarting = "starting";
inline constexpr std::string_view kRunning = "running";
inline constexpr std::string_view kMigrating = "migrating";
inline constexpr std::string_view kReserved = "reserved";
inline constexpr std::string_view kMoved = "moved";
inline constexpr std::string_view kStopped = "stopped";
inline constexpr std::string_view kFailed = "failed";
}  // namespace icon_state

struct IconRecord {
  std::string id;
  std::string name;
  ContainerSpec spec;
  std::int64_t epoch = 0;
  std::string state;
  int pid = 0;
  std::uint64_t pid_start_ticks = 0;
  std::string lower_dir;
  std::string image_digest;  // "" until computed
  std::string lease_id;      // "" for an ICON that was started here
  Address overlay;
  bool hold = false;  // no moves of its own
  UtcMillis started_ms = 0;
  std::optional<int> exit_status;
  std::string error;
};

struct MigrationRecord {
  std::string id;
  std::string icon;
  std::string icon_name;
  std::string role;  // "source" or "destination"
  std::string peer;  // the other supervisor's id
  std::string from;  // provider names, for people
  std::string to;
  std::int64_t epoch = 0;
  std::string state;   // the flow's own
  std::string reason;  // why it was ordered
  std::string error;   // "" while fine
  UtcMillis started_ms = 0;
  UtcMillis ended_ms = 0;  // 0 while it goes on
  std::int64_t gap_us = 0;
  std::int64_t bytes = 0;
  json::Array phases;     // {"name","started_ms","took_us","bytes"}
  json::Object evidence;  // the agent's
  json::Object details;   // the flow's own: order, lease, commit, peers, directories
};

struct StubRecord {
  std::string icon;
  std::string icon_name;
  std::string next_host;  // supervisor id
  Endpoint next_api;
  Address next_public;
  std::string mode;  // "forward" or "redirect"
  std::int64_t epoch = 0;
  UtcMillis until_ms = 0;
  json::Object details;  // ports, tunnel, addresses
};

struct LeaseRecord {
  std::string lease_id;
  std::string icon;
  std::string provider;
  std::string role;  // "sold" or "bought"
  std::string
      state;  // "reserved", "held" (not yet used), "active", "released", "expired", "lapsed"
  wire::Resources resources;
  std::int64_t slot_seconds = 0;
  wire::MicroCredits price_ucredits = 0;
  UtcMillis start_ms = 0;
  UtcMillis expires_ms = 0;
  json::Object lease;         // the envelope
  json::Object receipt;       // the envelope, empty until released
  json::Array documents;      // envelopes of what was signed in between: terms, renewals, usage
  std::int64_t recorded = 0;  // of lease, documents and receipt, how many this host's ledger has
};

struct DecisionRecord {
  std::string id;
  std::string icon;
  UtcMillis time_ms = 0;
  std::string outcome;
  json::Object evidence;
};

class Journal {
 public:
  static constexpr int kSchemaVersion = 1;
  static constexpr std::size_t kDecisionsPerIconMax = 1000;  // the oldest go first

  // Creates or opens. Errors: kIo, kInvalid (corrupt: says how to go on), kUnavailable (written by
  // a newer version), kConflict (another supervisor holds it).
  static Result<std::unique_ptr<Journal>> open(const std::string& path);
  ~Journal();

  // All or nothing: what `work` writes is on disk when this returns success. Nested calls join the
  // outer one. Errors: those of `work`, kIo.
  Status transaction(const std::function<Status()>& work);

  // put_* inserts or replaces by key; find_* is nullopt for an unknown key. Errors: kIo.
  Status put_icon(const IconRecord& icon);
  Result<std::optional<IconRecord>> find_icon(const std::string& id);
  Result<std::vector<IconRecord>> icons();
  Status set_icon_state(const std::string& id, std::string_view state);
  Status remove_icon(const std::string& id);

  // The highest epoch of an ICON that this host has seen committed, for ever; 0 for none (I1).
  Result<std::int64_t> committed_epoch(const std::string& icon);
  // Errors: kConflict when `epoch` is not newer than the committed one.
  Status check_epoch(const std::string& icon, std::int64_t epoch);
  // Never lowers it.
  Status note_committed_epoch(const std::string& icon, std::int64_t epoch);

  Status put_migration(const MigrationRecord& migration);
  Result<std::optional<MigrationRecord>> find_migration(const std::string& id);
  Result<std::vector<MigrationRecord>> migrations();  // newest first
  Result<std::vector<MigrationRecord>> unfinished_migrations();

  Status put_stub(const StubRecord& stub);
  Result<std::optional<StubRecord>> find_stub(const std::string& icon);
  Result<std::vector<StubRecord>> stubs();
  Status remove_stub(const std::string& icon);

  // One per peer; what is in it is the network code's business.
  Status put_tunnel(const std::string& peer, const json::Object& data);
  Result<std::optional<json::Object>> find_tunnel(const std::string& peer);
  Result<std::vector<std::pair<std::string, json::Object>>> tunnels();
  Status remove_tunnel(const std::string& peer);

  Status put_lease(const LeaseRecord& lease);
  Result<std::optional<LeaseRecord>> find_lease(const std::string& lease_id);
  Result<std::vector<LeaseRecord>> leases();       // by their end, the earliest first
  Result<std::vector<LeaseRecord>> open_leases();  // held or active; the same order
  // Closed leases of which nobody will ask any more. A bid's replay is refused by its own expiry.
  // Cheap when there are none.
  Status forget_closed_leases(UtcMillis ended_before_ms);

  Status put_decision(const DecisionRecord& decision);
  // Newest first; of all ICONs when `icon` is empty.
  Result<std::vector<DecisionRecord>> decisions(const std::string& icon, std::size_t count_max);

  // Migrations that ended before `before_ms`, and decisions from before then whose ICON has no row;
  // at most `count_max` of each. How many went.
  struct Forgotten {
    std::size_t migrations = 0;
    std::size_t decisions = 0;
  };
  Result<Forgotten> forget_past(UtcMillis before_ms, std::size_t count_max);

  // Remembers a nonce until it expires. Errors: kConflict when it was seen before (a replay).
  Status use_nonce(const std::string& kind, const std::string& nonce, UtcMillis expires_ms);
  Status forget_expired_nonces(UtcMillis now_ms);

  Status put_value(const std::string& key, const std::string& value);
  Result<std::optional<std::string>> value(const std::string& key);
  // Those whose keys begin with `prefix`, which ends with '/'.
  Result<std::vector<std::pair<std::string, std::string>>> values(std::string_view prefix);
  Status remove_value(const std::string& key);

 private:
  struct Database;
  explicit Journal(std::unique_ptr<Database> database);
  std::unique_ptr<Database> database_;
};

}  // namespace icon::supervisor
