// This host in a swarm: it reports to the board, measures how far the users of all its siblings'
// ICONs are, decides for all when it is the orchestrator, and does for its own ICONs what was
// decided. The ICON's agent buys and orders, within its policy, or does not. Owned by Continuity.
// Loop thread only; what blocks runs on a thread of its own.
#pragma once

#include <boost/asio/thread_pool.hpp>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "base/task.h"
#include "supervisor/continuity/contracts.h"
#include "supervisor/continuity/held_standbys.h"
#include "supervisor/continuity/swarm_board.h"
#include "supervisor/continuity/swarm_choice.h"
#include "supervisor/continuity/swarm_distances.h"

namespace icon::supervisor {

struct Host;

class Swarm {
 public:
  Swarm(Host& host, Contracts& contracts) : host_(host), contracts_(contracts) {}
  ~Swarm();

  // Begins to take part. Errors: kInvalid (the endpoints).
  Status start();
  // Whether the ICONs of this host leave it to the orchestrator when they move.
  bool delegates() const { return delegates_; }
  // Where they should be prepared for.
  HeldStandbys::Wanted wanted();
  json::Object describe() const;
  budget::ledger::EtcdGateway::Traffic traffic() const { return traffic_; }

 private:
  Task<void> take_part();
  Task<Status> meet();
  Task<void> orchestrate();
  Task<void> measure();
  HostReport report() const;
  void read_reports();
  void follow();
  void set_delegates(bool delegates);

  Host& host_;
  Contracts& contracts_;
  std::optional<SwarmBoard> board_;
  boost::asio::thread_pool pool_{1};
  SwarmChooser chooser_;
  SwarmView view_;
  std::vector<HostReport> reports_;
  std::map<std::string, SwarmDecision> standing_;
  struct Followed {
    std::string text;  // of the order to move, as it was written
    SteadyTime said{};
  };
  std::map<std::string, Followed> followed_;  // by ICON: the last one
  SwarmPlaces places_;
  SwarmDistances distances_;
  bool measuring_ = false;
  bool delegates_ = false;
  SteadyTime met_{};
  budget::ledger::EtcdGateway::Traffic traffic_;
};

}  // namespace icon::supervisor
