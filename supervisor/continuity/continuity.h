// This host as one of several of one owner: docs/continuity.md. Who decides is the ICON, in every
// mode; what differs is how much of a handover is done before it begins. Owned by Host, made with
// the Mover. Loop thread only.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "base/http_server.h"
#include "base/task.h"
#include "supervisor/continuity/contracts.h"
#include "supervisor/continuity/given_standbys.h"
#include "supervisor/continuity/held_standbys.h"
#include "supervisor/continuity/swarm.h"
#include "supervisor/one_at_a_time.h"

namespace icon::supervisor {

class Continuity {
 public:
  Continuity(Host& host, std::function<bool(const std::string& icon)> is_leaving);
  ~Continuity();

  void add_peer_routes(http::Router& router);
  // After the stubs', before any socket listens.
  Task<void> recover();
  // About once a second. Waits for nothing.
  void look_after();
  // An ICON of this host may be prepared for at a sibling. Errors: as HeldStandbys::consented().
  Status consented(const std::string& icon, const wire::Envelope& order);
  json::Object describe() const;

  // Whether this host's ICONs leave it to an orchestrator when they move.
  bool delegates() const { return swarm_ && swarm_->delegates(); }
  const Swarm* swarm() const { return swarm_.get(); }
  GivenStandbys& given() { return given_; }
  HeldStandbys& held() { return held_; }

 private:
  void renew_contracts();
  Task<void> agree(PublicKey sibling);
  Task<Status> agree_with(PublicKey sibling);
  HeldStandbys::Wanted wanted();

  struct Attempt {
    bool under_way = false;
    SteadyTime next{};
    Millis retry{0};
  };

  Host& host_;
  Contracts contracts_;
  GivenStandbys given_;
  HeldStandbys held_;
  std::unique_ptr<Swarm> swarm_;
  std::map<std::string, Attempt> attempts_;  // contracts, by sibling
  OneAtATime expiring_;
};

}  // namespace icon::supervisor
