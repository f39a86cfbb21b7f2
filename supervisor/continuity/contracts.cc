#include "supervisor/continuity/contracts.h"

#include <algorithm>
#include <boost/json/serialize.hpp>
#include <cstdlib>

#include "base/log.h"

namespace icon::supervisor {
namespace {

constexpr std::int64_t kRenewAtPart = 3;  // when so much (a third) of its time is left

std::string given_key(const std::string& peer) { return "continuity/given/" + peer; }
std::string held_key(const std::string& peer) { return "continuity/held/" + peer; }
std::string sequence_key(const std::string& peer) { return "continuity/sequence/" + peer; }

}  // namespace

const ConfiguredProvider* Contracts::sibling(const PublicKey& key) const {
  const auto& siblings = config_.continuity.siblings;
  const auto found = std::find_if(siblings.begin(), siblings.end(),
                                  [&](const auto& sibling) { return sibling.id == key; });
  return found == siblings.end() ? nullptr : &*found;
}

Result<std::optional<wire::Envelope>> Contracts::read(const std::string& key) const {
  ICON_TRY(const auto text, journal_.value(key));
  if (!text) return std::optional<wire::Envelope>();
  ICON_TRY(auto envelope, wire::parse_envelope(*text));
  return std::optional<wire::Envelope>(std::move(envelope));
}

Result<wire::Envelope> Contracts::accept(const wire::Envelope& proposal, const PublicKey& caller) {
  const auto& limits = config_.continuity;
  if (limits.mode == ContinuityMode::kSingle)
    return fail(Code::kRefused, "this host keeps no room for others");
  ICON_TRY(const auto asked, wire::open<wire::ContinuityProposal>(proposal));
  if (asked.from != caller)
    return fail(Code::kUnauthenticated, "the proposal is another host's than the caller");
  if (asked.to != key_.public_key())
    return fail(Code::kUnauthenticated, "the proposal is for another host");
  if (sibling(caller) == nullptr)
    return fail(Code::kUnauthenticated, "that host is no sibling of this one");
  const UtcMillis now = clock_.utc_ms();
  ICON_CHECK(wire::check_times(asked.issued_ms, asked.expires_ms, now));
  ICON_TRY(const auto current, read(given_key(caller.id())));
  if (current) {
    ICON_TRY(const auto contract, wire::ContinuityContract::from_json(current->body));
    if (contract.proposal.digest() == proposal.digest()) return *current;
    ICON_TRY(const auto before, wire::ContinuityProposal::from_json(contract.proposal.body));
    if (asked.sequence <= before.sequence)
      return fail(Code::kConflict, "proposal " + std::to_string(asked.sequence) +
                                       " is older than the contract that stands, " +
                                       std::to_string(before.sequence));
  }
  if (asked.standbys_max > limits.standbys_max ||
      asked.staged_bytes_max > limits.staged_bytes_max ||
      asked.expires_ms - now > limits.contract_seconds * 1000 + wire::kClockSkewMax.count())
    return fail(Code::kLimit, "the proposal asks for more than this host gives a sibling");
  wire::ContinuityContract contract;
  contract.provider = key_.public_key();
  contract.proposal = proposal;
  const auto& whole = config_.capacity;
  contract.resources = {std::min(asked.resources.cpu_millis, whole.cpu_millis),
                        std::min(asked.resources.memory_bytes, whole.memory_bytes),
                        std::min(asked.resources.bandwidth_bps, whole.bandwidth_bps)};
  contract.issued_ms = now;
  contract.expires_ms = asked.expires_ms;
  ICON_TRY(auto sealed, wire::seal(key_, contract));
  ICON_CHECK(journal_.put_value(given_key(caller.id()), boost::json::serialize(sealed.to_json())));
  return sealed;
}

Result<wire::ContinuityProposal> Contracts::usable(const wire::Envelope& envelope,
                                                   const PublicKey& caller) const {
  ICON_TRY(const auto contract, wire::open<wire::ContinuityContract>(envelope));
  if (contract.provider != key_.public_key())
    return fail(Code::kUnauthenticated, "the contract is another host's");
  ICON_TRY(const auto terms, contract.verified_proposal());
  if (terms.from != caller || sibling(caller) == nullptr)
    return fail(Code::kUnauthenticated, "the contract is with another host than the caller");
  ICON_CHECK(wire::check_times(contract.issued_ms, contract.expires_ms, clock_.utc_ms()));
  ICON_TRY(const auto current, read(given_key(caller.id())));
  if (!current || current->digest() != envelope.digest())
    return fail(Code::kExpired, "the contract is not the one that stands");
  return terms;
}

bool Contracts::is_due(const PublicKey& sibling) const {
  const auto current = read(held_key(sibling.id()));
  if (!current || !*current) return true;
  const auto contract = wire::ContinuityContract::from_json((*current)->body);
  if (!contract) return true;
  const auto whole = contract->expires_ms - contract->issued_ms;
  return contract->expires_ms - clock_.utc_ms() < whole / kRenewAtPart;
}

Result<wire::Envelope> Contracts::propose(const PublicKey& sibling) {
  // Not answered is not refused: the same again, so that one is not counted twice.
  const UtcMillis now = clock_.utc_ms();
  if (const auto open = proposed_.find(sibling.id()); open != proposed_.end()) {
    ICON_TRY(const auto before, wire::ContinuityProposal::from_json(open->second.body));
    if (before.expires_ms - now > config_.continuity.contract_seconds * 1000 / kRenewAtPart)
      return open->second;
  }
  const std::string counter = sequence_key(sibling.id());
  ICON_TRY(const auto last, journal_.value(counter));
  // From the clock where there is none: a host that has lost its journal is not refused for ever.
  const std::int64_t sequence =
      std::max<std::int64_t>(last ? std::strtoll(last->c_str(), nullptr, 10) + 1 : 1, now);
  ICON_CHECK(journal_.put_value(counter, std::to_string(sequence)));
  wire::ContinuityProposal proposal;
  proposal.from = key_.public_key();
  proposal.to = sibling;
  proposal.sequence = sequence;
  proposal.resources = config_.capacity;
  proposal.standbys_max = config_.continuity.standbys_max;
  proposal.staged_bytes_max = config_.continuity.staged_bytes_max;
  proposal.issued_ms = now;
  proposal.expires_ms = now + config_.continuity.contract_seconds * 1000;
  ICON_TRY(auto sealed, wire::seal(key_, proposal));
  proposed_.insert_or_assign(sibling.id(), sealed);
  return sealed;
}

Status Contracts::note(const PublicKey& sibling, const wire::Envelope& envelope) {
  ICON_TRY(const auto contract, wire::open<wire::ContinuityContract>(envelope));
  ICON_TRY(const auto terms, contract.verified_proposal());
  const auto open = proposed_.find(sibling.id());
  if (contract.provider != sibling || terms.from != key_.public_key() || open == proposed_.end() ||
      open->second.digest() != contract.proposal.digest())
    return fail(Code::kUnauthenticated, "the contract answers another proposal than ours");
  ICON_CHECK(wire::check_times(contract.issued_ms, contract.expires_ms, clock_.utc_ms()));
  ICON_CHECK(
      journal_.put_value(held_key(sibling.id()), boost::json::serialize(envelope.to_json())));
  proposed_.erase(open);
  return {};
}

void Contracts::lost(const PublicKey& sibling) {
  if (const auto removed = journal_.remove_value(held_key(sibling.id())); !removed)
    log::error("contract.not_forgotten", {{"error", removed.error().message}});
}

std::optional<wire::Envelope> Contracts::held(const PublicKey& sibling) const {
  const auto current = read(held_key(sibling.id()));
  if (!current || !*current) return std::nullopt;
  const auto contract = wire::ContinuityContract::from_json((*current)->body);
  if (!contract || contract->expires_ms <= clock_.utc_ms()) return std::nullopt;
  return **current;
}

}  // namespace icon::supervisor
