#include "wire/continuity.h"

#include "wire/fields.h"

namespace icon::wire {
namespace {

constexpr std::int64_t kContractSequenceMax = std::int64_t{1} << 48;
constexpr std::size_t kEndBytesMax = 16;

// A document that lasts: not for longer than is sensible, and not backwards.
template <class Document>
Status read_span(const json::Object& body, Document& document) {
  ICON_CHECK(read_times(body, document));
  if (document.expires_ms <= document.issued_ms ||
      document.expires_ms - document.issued_ms > kContractSecondsMax * 1000)
    return fail(Code::kInvalid, "field 'expires_ms' is no time for such a document");
  return {};
}

}  // namespace

json::Object ContinuityProposal::to_json() const {
  return {{"from", from.id()},
          {"to", to.id()},
          {"sequence", sequence},
          {"resources", resources.to_json()},
          {"standbys_max", standbys_max},
          {"staged_bytes_max", staged_bytes_max},
          {"issued_ms", issued_ms},
          {"expires_ms", expires_ms}};
}

Result<ContinuityProposal> ContinuityProposal::from_json(const json::Object& body) {
  ContinuityProposal proposal;
  ICON_TRY(proposal.from, get_key(body, "from"));
  ICON_TRY(proposal.to, get_key(body, "to"));
  if (proposal.from == proposal.to)
    return fail(Code::kInvalid, "a host needs no contract with itself");
  ICON_TRY(proposal.sequence, json::get_int(body, "sequence", 1, kContractSequenceMax));
  ICON_TRY(proposal.resources, get_resources(body));
  ICON_TRY(proposal.standbys_max, json::get_int(body, "standbys_max", 1, kStandbysMax));
  ICON_TRY(proposal.staged_bytes_max, json::get_int(body, "staged_bytes_max", 0, kStagedBytesMax));
  ICON_CHECK(read_span(body, proposal));
  return proposal;
}

json::Object ContinuityContract::to_json() const {
  return {{"provider", provider.id()},
          {"proposal", proposal.to_json()},
          {"resources", resources.to_json()},
          {"issued_ms", issued_ms},
          {"expires_ms", expires_ms}};
}

Result<ContinuityContract> ContinuityContract::from_json(const json::Object& body) {
  ContinuityContract contract;
  ICON_TRY(contract.provider, get_key(body, "provider"));
  ICON_TRY(const auto* proposal, json::get_object(body, "proposal"));
  ICON_TRY(contract.proposal, parse_envelope(json::Value(*proposal)));
  ICON_TRY(contract.resources, get_resources(body));
  ICON_CHECK(read_span(body, contract));
  return contract;
}

Result<ContinuityProposal> ContinuityContract::verified_proposal() const {
  ICON_TRY(auto inside, open<ContinuityProposal>(proposal));
  if (inside.to != provider)
    return fail(Code::kUnauthenticated, "the proposal was made to another host");
  if (expires_ms > inside.expires_ms || !inside.resources.covers(resources))
    return fail(Code::kInvalid, "the contract gives more than was asked for");
  inside.resources = resources;
  return inside;
}

json::Object StandbyOrder::to_json() const {
  return {{"icon", icon.id()},       {"standby_id", standby_id},
          {"epoch", epoch},          {"from", from.id()},
          {"to", to.id()},           {"issued_ms", issued_ms},
          {"expires_ms", expires_ms}};
}

Result<StandbyOrder> StandbyOrder::from_json(const json::Object& body) {
  StandbyOrder order;
  ICON_TRY(order.icon, get_key(body, "icon"));
  ICON_TRY(order.standby_id, get_token(body, "standby_id"));
  ICON_TRY(order.epoch, get_epoch(body));
  ICON_TRY(order.from, get_key(body, "from"));
  ICON_TRY(order.to, get_key(body, "to"));
  if (order.from == order.to) return fail(Code::kInvalid, "a standby is for another host");
  ICON_CHECK(read_span(body, order));
  return order;
}

json::Object StandbyReceipt::to_json() const {
  return {{"provider", provider.id()},
          {"holder", holder.id()},
          {"icon", icon.id()},
          {"standby_id", standby_id},
          {"end", end},
          {"resources", resources.to_json()},
          {"kept_ms", kept_ms},
          {"staged_bytes", staged_bytes},
          {"price_ucredits", price_ucredits},
          {"issued_ms", issued_ms}};
}

Result<StandbyReceipt> StandbyReceipt::from_json(const json::Object& body) {
  StandbyReceipt receipt;
  ICON_TRY(receipt.provider, get_key(body, "provider"));
  ICON_TRY(receipt.holder, get_key(body, "holder"));
  ICON_TRY(receipt.icon, get_key(body, "icon"));
  ICON_TRY(receipt.standby_id, get_token(body, "standby_id"));
  ICON_TRY(receipt.end, get_text(body, "end", kEndBytesMax));
  ICON_TRY(receipt.resources, get_resources(body));
  ICON_TRY(receipt.kept_ms, json::get_int(body, "kept_ms", 0, kSlotSecondsMax * 1000));
  ICON_TRY(receipt.staged_bytes, json::get_int(body, "staged_bytes", 0, kResourceMax));
  ICON_TRY(receipt.price_ucredits, get_money(body, "price_ucredits"));
  ICON_TRY(receipt.issued_ms, get_time(body, "issued_ms"));
  return receipt;
}

}  // namespace icon::wire
