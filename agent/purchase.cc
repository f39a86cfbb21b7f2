#include "agent/purchase.h"

#include <utility>

#include "base/assert.h"
#include "base/encoding.h"
#include "base/log.h"

namespace icon::agent {
namespace {

constexpr std::size_t kMigrationIdBytes = 10;

// Lower-case letters and digits: people type it.
std::string new_migration_id() {
  const auto bytes = base64_decode(random_token(kMigrationIdBytes), kMigrationIdBytes);
  ICON_ASSERT(bytes.has_value());
  return base32_encode(*bytes);
}

// The order may have arrived although its answer did not.
bool ambiguous(const Error& error) {
  return error.code == Code::kTimeout || error.code == Code::kIo || error.code == Code::kCancelled;
}

// `key` is that of who will run there: ours, or our replica's.
wire::Bid make_bid(const KeyPair& key, std::int64_t epoch, const KnownProvider& provider,
                   const std::string& nonce, UtcMillis now_ms) {
  wire::Bid bid;
  bid.icon = key.public_key();
  bid.provider = provider.view.offer->provider;
  bid.offer_digest = provider.offer->digest();
  bid.resources = provider.view.offer->resources;
  bid.slot_seconds = provider.view.offer->slot_seconds;
  bid.price_ucredits = provider.view.offer->price_ucredits;
  bid.epoch = epoch;
  bid.nonce = nonce;
  bid.issued_ms = now_ms;
  bid.expires_ms = now_ms + kBidLifetime.count();
  return bid;
}

wire::MoveOrder make_order(const KeyPair& key, std::int64_t epoch, const Self& self,
                           const Policy& policy, const Purchase& purchase, UtcMillis now_ms) {
  wire::MoveOrder order;
  order.icon = key.public_key();
  order.migration_id = purchase.migration;
  order.epoch = epoch;
  order.from = self.supervisor;
  order.to = purchase.provider;
  order.lease_id = purchase.lease_id;
  order.redirect = std::string(to_string(policy.redirect));
  order.reason = purchase.reason;
  order.issued_ms = now_ms;
  order.expires_ms = now_ms + kOrderLifetime.count();
  return order;
}

}  // namespace

Result<wire::Lease> check_lease(const wire::Envelope& envelope, const wire::Envelope& bid,
                                UtcMillis now_ms) {
  ICON_TRY(const auto lease, wire::open<wire::Lease>(envelope));
  ICON_TRY(const auto inside, lease.verified_bid());
  if (lease.bid.digest() != bid.digest())
    return fail(Code::kUnauthenticated, "the lease answers another bid than ours");
  ICON_CHECK(wire::check_times(lease.issued_ms, lease.expires_ms, now_ms));
  if (lease.expires_ms - lease.start_ms < inside.slot_seconds * 1000)
    return fail(Code::kInvalid, "the lease is shorter than the slot that was paid for");
  return lease;
}

Status check_reservation(const wire::Envelope& envelope, const wire::Envelope& bid,
                         UtcMillis now_ms) {
  ICON_TRY(const auto reservation, wire::open<wire::Reservation>(envelope));
  if (reservation.bid.digest() != bid.digest())
    return fail(Code::kUnauthenticated, "the reservation answers another bid than ours");
  ICON_TRY(const auto ours, wire::Bid::from_json(bid.body));
  if (reservation.provider != ours.provider)
    return fail(Code::kUnauthenticated, "the reservation is not signed by whom we bid to");
  return wire::check_times(reservation.issued_ms, reservation.confirm_until_ms, now_ms);
}

Task<Status> Buyer::buy(const Self& self, const Policy& policy, PurchaseRequest request,
                        Wallet& wallet, Chronicle& chronicle, Purchase& purchase) {
  if (!request.provider.view.offer || !request.provider.offer)
    co_return fail(Code::kInvalid, "no offer to buy from");
  const auto& offer = *request.provider.view.offer;
  purchase = {};
  purchase.migration = new_migration_id();
  purchase.provider_name = request.provider.view.names.name;
  purchase.provider = offer.provider;
  purchase.price_ucredits = offer.price_ucredits;
  purchase.slot_seconds = offer.slot_seconds;
  purchase.reason = request.reason;

  if (wallet.available() < offer.price_ucredits)
    co_return fail(Code::kLimit, "the slot costs more than is left in the purse");
  auto status =
      co_await buy_and_order(self, policy, std::move(request), wallet, chronicle, purchase);
  const bool open = purchase.order_sent && !status && ambiguous(status.error());
  if (!status && !open) give_back(wallet, purchase, to_string(status.error().code));
  co_return status;
}

void Buyer::give_back(Wallet& wallet, Purchase& purchase, std::string_view reason) {
  if (purchase.empty()) return;
  const auto released = wallet.release(purchase.migration, clock_.utc_ms());
  if (!released && released.error().code == Code::kNotFound)
    log::info("purse.not_held", {{"migration", purchase.migration}, {"reason", reason}});
  else if (!released)
    log::error("purse.release_failed",
               {{"migration", purchase.migration}, {"message", released.error().message}});
  else
    log::info("purse.released", {{"migration", purchase.migration}, {"reason", reason}});
  purchase = {};
}

Status Buyer::choose_signer(const Self& self, Chronicle& chronicle, PurchaseRequest& request,
                            Purchase& purchase, Signer& signer) {
  signer.epoch = self.epoch + 1;
  if (!request.birth) return {};
  const UtcMillis now_ms = clock_.utc_ms();
  auto& birth = *request.birth;
  signer.child = KeyPair::generate();
  signer.epoch = 1;
  birth.child = signer.child->public_key();
  birth.migration_id = purchase.migration;
  birth.issued_ms = now_ms;
  birth.expires_ms = now_ms + kOrderLifetime.count();
  ICON_TRY(signer.birth, wire::seal(key_, birth));
  ICON_CHECK(chronicle.record(*signer.birth));
  purchase.replica = Replica{birth.child, birth.mode, *signer.birth, {}};
  return {};
}

Task<Result<wire::Envelope>> Buyer::take_lease(const Signer& signer, const KnownProvider& provider,
                                               Wallet& wallet, Chronicle& chronicle,
                                               Purchase& purchase) {
  const UtcMillis now_ms = clock_.utc_ms();
  const KeyPair& key = signer.child ? *signer.child : key_;
  const auto bid = make_bid(key, signer.epoch, provider, purchase.migration, now_ms);
  ICON_CO_TRY(const auto sealed_bid, wire::seal(key, bid));
  ICON_CO_CHECK(chronicle.record(sealed_bid));
  LeaseQuestion question{provider.view.api, purchase.provider.id(), sealed_bid, *provider.offer,
                         signer.birth};
  ICON_CO_TRY(const auto reservation, co_await link_.reserve(std::move(question)));
  ICON_CO_CHECK(check_reservation(reservation, sealed_bid, clock_.utc_ms()));
  ICON_CO_CHECK(chronicle.record(reservation));
  ICON_CO_CHECK(wallet.hold(purchase.migration, purchase.price_ucredits, clock_.utc_ms()));
  log::info("purse.hold", {{"migration", purchase.migration},
                           {"provider", purchase.provider_name},
                           {"price_ucredits", purchase.price_ucredits},
                           {"left_ucredits", wallet.available()}});
  const wire::Confirmation yes{key.public_key(), reservation.digest(), clock_.utc_ms()};
  ICON_CO_TRY(const auto confirmation, wire::seal(key, yes));
  ICON_CO_CHECK(chronicle.record(confirmation));
  const ConfirmQuestion confirming{provider.view.api, reservation, confirmation, signer.birth};
  auto confirmed = co_await link_.confirm(confirming);
  // Its answer may be lost on the way; the same again is answered alike.
  if (!confirmed && ambiguous(confirmed.error()) && confirmed.error().code != Code::kCancelled)
    confirmed = co_await link_.confirm(confirming);
  if (!confirmed) co_return fail(confirmed.error());
  ICON_CO_TRY(const auto lease, check_lease(confirmed->lease, sealed_bid, clock_.utc_ms()));
  ICON_CO_TRY(const auto terms, wire::open<wire::LeaseTerms>(confirmed->terms));
  if (terms.provider != lease.provider || terms.lease_id != lease.lease_id)
    co_return fail(Code::kUnauthenticated, "the terms are of another lease");
  ICON_CO_CHECK(chronicle.record(confirmed->lease));
  ICON_CO_CHECK(chronicle.record(confirmed->terms));
  purchase.lease_id = lease.lease_id;
  if (purchase.replica) purchase.replica->lease = confirmed->lease;
  log::info("lease.bought", {{"migration", purchase.migration},
                             {"lease", lease.lease_id},
                             {"provider", purchase.provider_name},
                             {"expires_ms", lease.expires_ms}});
  co_return confirmed->lease;
}

Task<Status> Buyer::buy_and_order(const Self& self, const Policy& policy, PurchaseRequest request,
                                  Wallet& wallet, Chronicle& chronicle, Purchase& purchase) {
  Signer signer;
  ICON_CO_CHECK(choose_signer(self, chronicle, request, purchase, signer));
  ICON_CO_TRY(const auto lease_envelope,
              co_await take_lease(signer, request.provider, wallet, chronicle, purchase));
  const KeyPair& key = signer.child ? *signer.child : key_;
  const auto wish = make_order(key, signer.epoch, self, policy, purchase, clock_.utc_ms());
  ICON_CO_TRY(const auto sealed_order, wire::seal(key, wish));
  ICON_CO_CHECK(chronicle.record(sealed_order));
  MigrationOrder order{
      sealed_order, lease_envelope, request.provider.view.api, std::move(request.evidence),
      signer.birth, std::nullopt};
  if (signer.child) order.child_seed_hex = hex_encode(signer.child->seed());
  if (request.before_order) ICON_CO_CHECK(request.before_order(purchase));
  purchase.order_sent = true;
  ICON_CO_TRY(const std::string migration, co_await link_.order_migration(std::move(order)));
  if (migration != purchase.migration)
    co_return fail(Code::kConflict, "the supervisor runs migration " + migration + " in place of " +
                                        purchase.migration);
  log::info(
      "migration.ordered",
      {{"migration", migration}, {"to", purchase.provider_name}, {"reason", purchase.reason}});
  co_return Status{};
}

}  // namespace icon::agent
