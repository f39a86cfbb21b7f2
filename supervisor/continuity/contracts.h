// Contracts between hosts of one owner: room that the one keeps for the other's ICONs. Signed by
// both, capped, with an end; a renewal is the next of a sequence, so that an older one cannot come
// back. Owned by Continuity. Loop thread only; no waiting inside.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "base/clock.h"
#include "base/keys.h"
#include "base/result.h"
#include "supervisor/config.h"
#include "supervisor/journal.h"
#include "wire/continuity.h"

namespace icon::supervisor {

class Contracts {
 public:
  // All outlive it.
  Contracts(const Config& config, const KeyPair& key, const Clock& clock, Journal& journal)
      : config_(config), key_(key), clock_(clock), journal_(journal) {}

  const ConfiguredProvider* sibling(const PublicKey& key) const;

  // --- As the one who keeps room.
  // A signed wire::ContinuityContract for a sibling's proposal, with less than was asked for never:
  // then it is refused. The same proposal again is answered alike. Errors: kUnauthenticated (not
  // signed by `caller`, no sibling, for another host), kExpired, kConflict (an older one), kLimit.
  Result<wire::Envelope> accept(const wire::Envelope& proposal, const PublicKey& caller);
  // What `caller` may have here by this contract. Errors: kUnauthenticated (not signed by us, or
  // with somebody else), kExpired (also: it is not the one that stands here, any more).
  Result<wire::ContinuityProposal> usable(const wire::Envelope& contract,
                                          const PublicKey& caller) const;

  // --- As the one for whom room is kept.
  // Whether there is none with that sibling, or too little of its time is left.
  bool is_due(const PublicKey& sibling) const;
  Result<wire::Envelope> propose(const PublicKey& sibling);
  // Errors: kUnauthenticated (another proposal than ours, or not the sibling's signature).
  Status note(const PublicKey& sibling, const wire::Envelope& contract);
  // That may be used now.
  std::optional<wire::Envelope> held(const PublicKey& sibling) const;
  // The sibling does not know it (its journal is gone, or it has made another since): a new one is
  // due.
  void lost(const PublicKey& sibling);
  // After a refusal: the next proposal is a new one.
  void forget_proposal(const PublicKey& sibling) { proposed_.erase(sibling.id()); }

 private:
  Result<std::optional<wire::Envelope>> read(const std::string& key) const;

  const Config& config_;
  const KeyPair& key_;
  const Clock& clock_;
  Journal& journal_;
  std::map<std::string, wire::Envelope> proposed_;  // by sibling: not answered yet
};

}  // namespace icon::supervisor
