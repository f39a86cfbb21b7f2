// Standbys that siblings keep for ICONs of this host: asked for when the ICON has said yes, filled
// while it runs, given back when it has gone elsewhere. Owned by Continuity. Loop thread only.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "base/clock.h"
#include "base/task.h"
#include "migration/archive.h"
#include "supervisor/continuity/contracts.h"
#include "wire/continuity.h"

namespace icon::supervisor {

struct Host;

// What a move needs to know of one that is ready.
struct ReadyStandby {
  std::string standby_id;
  migration::TreeSnapshot layer;  // as it was sent
};

class HeldStandbys {
 public:
  using Wanted = std::set<std::pair<std::string, PublicKey>>;  // ICON, sibling

  HeldStandbys(Host& host, Contracts& contracts) : host_(host), contracts_(contracts) {}
  ~HeldStandbys();

  // About once a second, returns at once: asks for what is wanted and missing, renews, looks
  // whether it is still there, gives back what is not wanted any more.
  void tick(const Wanted& wanted);
  // The agent's answer to the question. Errors: kNotFound (nobody asked), kUnauthenticated,
  // kExpired.
  Status consented(const std::string& icon, const wire::Envelope& order);
  std::optional<ReadyStandby> ready(const std::string& icon, const PublicKey& sibling) const;
  // A move has taken it, or the sibling has said that there is none.
  void forget(const std::string& icon, const PublicKey& sibling);
  json::Array describe() const;

 private:
  struct Standby;
  using Key = std::pair<std::string, PublicKey>;
  using StandbyPtr = std::shared_ptr<Standby>;

  Millis rest_of(const Standby& standby) const;
  void ask_agent(const Key& key, Standby& standby);
  Task<void> fill(Key key, StandbyPtr standby, wire::Envelope order);
  Task<Status> fill_in(Key key, Standby& standby, wire::Envelope order);
  Task<Status> upload(const Key& key, std::string target, std::vector<migration::TreePart> parts);
  Task<void> look(Key key, StandbyPtr standby);
  void give_back(const Key& key, const Standby& standby);
  bool is_current(const Key& key, const StandbyPtr& standby) const;
  Task<Result<json::Object>> call(const PublicKey& sibling, std::string method, std::string target,
                                  json::Value body);

  Host& host_;
  Contracts& contracts_;
  std::map<Key, StandbyPtr> standbys_;
};

}  // namespace icon::supervisor
