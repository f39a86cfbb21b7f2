// Where the hosts of a swarm meet: etcd. Reports stand there as long as their host lives (a lease),
// one of the hosts is the orchestrator as long as it lives, and only who is may write decisions:
// every write is a transaction on the revision of the election that was won.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/clock.h"
#include "budget/ledger/etcd_gateway.h"
#include "supervisor/continuity/swarm_choice.h"

namespace icon::supervisor {

struct SwarmView {
  std::string orchestrator;  // a host's id; empty: none
  bool is_here = false;
  std::int64_t term = 0;  // the revision at which it was elected
  std::vector<std::string> reports;
  struct Decision {
    std::string text;
    std::int64_t revision = 0;
  };
  std::map<std::string, Decision> decisions;  // by ICON

  // The decisions that can be read, by ICON.
  std::map<std::string, SwarmDecision> standing() const;
};

// Blocking; one thread at a time.
class SwarmBoard {
 public:
  static constexpr std::size_t kTextBytesMax = 256 << 10;
  static constexpr std::int64_t kLeaseSeconds = 3;
  // Only a meeting keeps the lease, and with it the election: so long at most it is decided between
  // two of them, a call that hangs not counted.
  static constexpr Millis kDecideFor{1'000};

  // `options.prefix` names the swarm. Errors: kInvalid.
  static Result<SwarmBoard> create(budget::ledger::EtcdOptions options, std::string host_id);

  // Says what is here, stands for election where nobody is elected, and reads the rest. Errors:
  // kUnavailable, kTimeout, kInvalid.
  Result<SwarmView> meet(const std::string& report);
  // Errors: kConflict (no orchestrator any more, or another has decided since), and as above.
  Status decide(const std::string& icon, const std::string& text, const SwarmView& seen);
  // One after the other, as many of them as there is time for, in the term of `seen`.
  struct Written {
    std::size_t count = 0;  // the first ones
    Status ended;           // why the next was refused
  };
  Written decide_all(const std::vector<SwarmDecision>& decisions, const SwarmView& seen,
                     const Clock& clock);
  const budget::ledger::EtcdGateway::Traffic& traffic() const { return etcd_.traffic(); }

 private:
  SwarmBoard(budget::ledger::EtcdGateway etcd, std::string host_id)
      : etcd_(std::move(etcd)), host_id_(std::move(host_id)) {}
  Status keep_lease();
  std::string key(const std::string& name) const { return etcd_.options().prefix + name; }

  budget::ledger::EtcdGateway etcd_;
  std::string host_id_;
  std::string lease_;  // a number, as etcd writes it; empty: none
};

}  // namespace icon::supervisor
