#include "budget/ledger/documents.h"

#include "wire/auction.h"
#include "wire/birth.h"
#include "wire/ledger.h"
#include "wire/share.h"
#include "wire/tenancy.h"

namespace icon::budget::ledger {
namespace {

// Checked when it is one of `Known`.
template <class... Known>
Status check_as(const wire::Envelope& document) {
  Status status = wire::verify(document, document.type);
  const auto as = [&]<class Document>(const Document*) {
    if (document.type != Document::kType) return;
    if (const auto opened = wire::open<Document>(document); !opened) status = fail(opened.error());
  };
  (as(static_cast<const Known*>(nullptr)), ...);
  return status;
}

}  // namespace

Status check_document(const wire::Envelope& document) {
  if (document.type == wire::LedgerEntry::kType)
    return fail(Code::kInvalid, "an entry around an entry");
  ICON_CHECK((check_as<wire::Offer, wire::Bid, wire::Birth, wire::Lease, wire::MoveOrder,
                       wire::Commit, wire::Manifest, wire::Receipt, wire::LifeEvent, wire::Share,
                       wire::ShareReturn, wire::Reservation, wire::Confirmation, wire::LeaseTerms,
                       wire::Renewal, wire::RenewedLease, wire::Usage, wire::Penalty, wire::Dispute,
                       wire::AuctionCall, wire::AuctionBid, wire::AuctionCommit, wire::AuctionClose,
                       wire::AuctionAck, wire::AuctionOutcome>(document)));
  if (document.type != wire::Lease::kType) return {};
  ICON_TRY(const auto lease, wire::open<wire::Lease>(document));
  ICON_TRY([[maybe_unused]] const auto bid, lease.verified_bid());
  return {};
}

}  // namespace icon::budget::ledger
