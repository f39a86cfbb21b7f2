// An ICON's dealings with its replicas, and a replica's with its parent: words back and forth,
// shares of the budget, users led to who is nearest, and the end of a replica. The rules are in
// family.h and budget/; this carries them out.
#pragma once

#include <functional>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "agent/chronicle.h"
#include "agent/family.h"
#include "agent/identity.h"
#include "agent/latency_monitor.h"
#include "agent/latency_table.h"
#include "agent/lifecycle_types.h"
#include "agent/policy.h"
#include "agent/purchase.h"
#include "agent/supervisor_link.h"
#include "agent/task_group.h"
#include "agent/wallet.h"
#include "budget/retire.h"

namespace icon::agent {

// Everything is borrowed, and outlives the Kinship.
struct KinshipParts {
  const Clock& clock;
  SupervisorLink& link;
  TaskGroup& tasks;
  LatencyTable& table;
  LatencyMonitor& monitor;
  const Policy& policy;
  const Identity& identity;
  const std::optional<Self>& self;
  std::optional<Wallet>& wallet;
  std::optional<Chronicle>& chronicle;
  const Purchase& purchase;          // under way
  std::string file;                  // "family.json", beside the purse
  std::function<void(Event)> later;  // to the lifecycle, from the loop
  // A replica has come to nothing; or has ended.
  std::function<void(const std::string& migration)> failed;
  std::function<void(const PublicKey& child)> gone;
};

// Owner: Rounds. Loop thread. Opens nothing outside of the tasks that it starts.
class Kinship {
 public:
  explicit Kinship(KinshipParts parts) : parts_(std::move(parts)) {}

  // A supervisor has been found; the purse is open. Asks what became of a child whose order was
  // under way when an earlier process ended.
  void arrived();
  // This process is somebody else now.
  void forget();
  // Descriptors are being closed: what was under way is said again afterwards.
  void closed() { talking_ = telling_lost_ = false; }

  // Before the order for a child leaves; durable when it returns. Errors: kLimit, kIo.
  Status ordered(const Purchase& purchase, const KnownProvider& provider,
                 std::vector<wire::KinGroup> groups, bool may_end);
  // The replication is over. The money is settled or released by who ordered it.
  void ended(const std::string& migration, bool runs);
  // The hold pays for a child's slot, and nobody has said whether it runs.
  bool waits_for(const std::string& migration);

  void hear(const std::vector<wire::Envelope>& documents);
  // Now and then, and at each change: says what is to be said.
  void tick();
  // This replica ends: new users go to the parent, the others are waited for, the purse goes back.
  void lead_away();

  bool is_served_elsewhere(const Prefix& prefix) const;
  budget::ReplicaView replicas() const;
  // Of those that have said lately that they serve.
  std::vector<Address> serving_addresses() const;
  // Of a replica that may end by itself; the reason, when it is to end now.
  // What look_back() would find.
  std::optional<budget::RetireDecision> judge(const HereView& here,
                                              std::vector<budget::PrefixView> users) const;
  std::optional<budget::RetireDecision> look_back(const HereView& here,
                                                  std::vector<budget::PrefixView> users);
  json::Object status() const { return family_.status(parts_.clock.utc_ms()); }

 private:
  budget::Lineage lineage() const;
  const PublicKey& me() const { return parts_.identity.key->public_key(); }
  // Ordered by an earlier process, or given up on: nobody else asks how it ended.
  bool is_unsure(const Child& child) const {
    return child.state == Child::State::kOrdered && child.migration != parts_.purchase.migration;
  }
  bool is_lost(const Child& child) const { return family_.is_lost(child, parts_.clock.utc_ms()); }
  // Who is lost may be there again, and it may be we who were not: each is told and asked after so
  // often.
  static constexpr Millis kLostAgain{60'000};
  bool is_turn_of_lost(UtcMillis last_ms) const {
    return parts_.clock.utc_ms() - last_ms >= kLostAgain.count();
  }
  std::vector<std::string> to_ask_after() const;
  void resolve();
  void look_for_lost();
  void settle_child(const std::string& migration, bool runs);
  Status pay_for(const Child& child);
  bool can_speak() const { return parts_.self && parts_.identity.key && !forgotten_; }
  wire::KinPlace place() const;
  void load();
  void save();
  void seed_elders();
  void note(std::string_view what, const Status& status) const;

  // kinship_words.cc
  void talk();
  bool is_spoken_to(const Child& child) const;
  Task<void> talk_task();
  void tell_lost();
  Task<void> tell_lost_task(std::vector<PublicKey> children);
  Task<void> tell(PublicKey child);
  Task<Status> report(wire::KinReport::State state, std::vector<wire::Envelope> beside);
  Task<Status> say(wire::KinPlace* to, std::vector<wire::Envelope> what);
  Task<void> guide();
  Task<void> resolve_task();
  Task<void> pause(Millis time);

  void give_share(Child& child);
  void hear_report(const wire::Envelope& envelope, const std::vector<wire::Envelope>& all);
  void hear_word(const wire::Envelope& envelope);
  void hear_share(const wire::Envelope& envelope);
  Status credit(const std::vector<wire::Envelope>& all, const PublicKey& child);
  Status adopt(const wire::KinReport& report, const std::vector<wire::Envelope>& all);
  json::Object guidance() const;

  // kinship_end.cc
  Task<void> lead_away_task();
  Task<bool> until_acknowledged(wire::KinReport::State state, std::vector<wire::Envelope> beside);
  Task<void> until_users_left();
  std::vector<wire::Envelope> rest_of_purse();

  KinshipParts parts_;
  Family family_;
  bool loaded_ = false;
  bool forgotten_ = false;
  bool talking_ = false;
  bool talk_again_ = false;
  bool telling_lost_ = false;
  bool resolving_ = false;
  bool draining_ = false;
  bool ending_ = false;  // its last words are said
  bool leads_everybody_ = false;
  bool orphan_ = false;
  std::int64_t rounds_lost_ = 0;
  std::set<PublicKey> lost_;  // told of in the log
  UtcMillis lost_told_ms_ = 0;
  UtcMillis lost_asked_ms_ = 0;  // after them
  UtcMillis last_issued_ms_ = 0;
  std::string guided_;  // what this supervisor was told last
};

}  // namespace icon::agent
