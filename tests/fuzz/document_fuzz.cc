// A body that a document accepts is written back as one that it accepts as the same.
#include "tests/fuzz/fuzz_target.h"
#include "wire/advertisement.h"
#include "wire/auction.h"
#include "wire/birth.h"
#include "wire/kin.h"
#include "wire/ledger.h"
#include "wire/ping.h"
#include "wire/share.h"
#include "wire/tenancy.h"

namespace icon::wire {
namespace {

template <class Document>
void round_trip(const json::Object& body) {
  const auto document = Document::from_json(body);
  if (!document) return;
  const auto written = document->to_json();
  const auto again = Document::from_json(written);
  ICON_FUZZ_REQUIRE(again.has_value());
  ICON_FUZZ_REQUIRE(*json::canonical(again->to_json()) == *json::canonical(written));
}

}  // namespace

ICON_FUZZ_TARGET(document) {
  const auto body = json::parse_object(input, kDocumentBytesMax);
  if (!body) return;
  round_trip<Advertisement>(*body);
  round_trip<Offer>(*body);
  round_trip<Bid>(*body);
  round_trip<Birth>(*body);
  round_trip<KinReport>(*body);
  round_trip<KinWord>(*body);
  round_trip<Lease>(*body);
  round_trip<MoveOrder>(*body);
  round_trip<Commit>(*body);
  round_trip<Manifest>(*body);
  round_trip<Receipt>(*body);
  round_trip<Resources>(*body);
  round_trip<LedgerEntry>(*body);
  round_trip<LifeEvent>(*body);
  round_trip<Reservation>(*body);
  round_trip<Confirmation>(*body);
  round_trip<LeaseTerms>(*body);
  round_trip<Renewal>(*body);
  round_trip<RenewedLease>(*body);
  round_trip<Usage>(*body);
  round_trip<Penalty>(*body);
  round_trip<Dispute>(*body);
  round_trip<PingRequest>(*body);
  round_trip<PingReport>(*body);
  round_trip<Share>(*body);
  round_trip<ShareReturn>(*body);
  round_trip<AuctionCall>(*body);
  round_trip<AuctionBid>(*body);
  round_trip<AuctionCommit>(*body);
  round_trip<AuctionClose>(*body);
  round_trip<AuctionAck>(*body);
  round_trip<AuctionOutcome>(*body);
  if (const auto lease = Lease::from_json(*body)) (void)lease->verified_bid();
}

}  // namespace icon::wire
