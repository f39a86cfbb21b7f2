// This host as a seller: offers, leases, capacity, receipts. Every document is signed and
// journalled before it leaves. Owned by Host. Loop thread only; no waiting inside.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/keys.h"
#include "base/result.h"
#include "budget/ledger/diary.h"
#include "supervisor/config.h"
#include "supervisor/consumption.h"
#include "supervisor/journal.h"
#include "wire/auction.h"
#include "wire/tenancy.h"

namespace icon::supervisor {

struct SoldLease {
  wire::Envelope lease;
  wire::Envelope terms;
};

class Market {
 public:
  static constexpr Millis kOfferLifetime{60'000};
  static constexpr std::size_t kLeasesMax = 4096;  // held or active at a time
  // A reserved slot is locked for so long.
  static constexpr Millis kConfirmWithin{10'000};
  static constexpr std::ptrdiff_t kReservationsPerIconMax = 4;  // at a time
  static constexpr std::ptrdiff_t kBoughtPerIconMax = 256;      // elsewhere, and not over yet
  // How long closed leases stay listed.
  static constexpr Millis kClosedLeasesKept{30LL * 24 * 3600 * 1000};

  // All outlive the Market. `diary`, the host's own ledger, may be absent.
  Market(const Config& config, const KeyPair& key, const Clock& clock, Journal& journal,
         budget::ledger::Diary* diary = nullptr);
  // At the start: what was signed and journalled before a crash, but is not in the ledger yet.
  Status record_missed();

  // A signed wire::Offer. It reserves nothing. `icon`: who asks, where that is known. Errors:
  // kLimit (the host is full, the price absurd), kRefused (this host sells nothing), kInvalid.
  Result<wire::Envelope> offer(const std::string& nonce, const wire::Resources& resources,
                               std::int64_t slot_seconds, std::string_view icon = {});
  // A signed wire::Lease for a bid on an offer of ours. The same bid again gets the same lease back
  // (a lost answer must not cost twice). Errors: kUnauthenticated, kExpired, kInvalid, kConflict
  // (the offer was used), kLimit (no room left), kRefused.
  Result<wire::Envelope> sell(const wire::Envelope& bid, const wire::Envelope& offer);

  // The same in two steps, so that nobody holds money before the slot is locked: a signed
  // wire::Reservation around the bid, which lapses by the clock; and, for the ICON's
  // wire::Confirmation in time, the lease and its terms. Both may be repeated. Errors: as sell();
  // confirm(): kNotFound (never made, or lapsed), kExpired, kUnauthenticated.
  Result<wire::Envelope> reserve(const wire::Envelope& bid, const wire::Envelope& offer);
  Result<SoldLease> confirm(const wire::Envelope& reservation, const wire::Envelope& confirmation);
  // A signed wire::RenewedLease for the ICON's wire::Renewal; the same again is answered alike.
  // Errors: kExpired (too late), kConflict (not the next one), kRefused (too little), kLimit.
  Result<wire::Envelope> renew(const wire::Envelope& renewal);
  // Lease, terms, renewals, usage, penalty, receipt: what its bill is computed from. Whoever knows
  // a lease's id may see them. Errors: kNotFound.
  Result<json::Array> documents(const std::string& lease_id) const;
  // About once a second: has the ICON what it pays for, and what has it used up? Signs usage now
  // and then. Errors: kIo.
  struct Sight {
    bool serves = false;
    Consumption used;
  };
  Status meter(const std::function<Sight(const std::string& icon)>& look);

  // No new ICON comes to a cordoned host, nor a new lease; what was sold or reserved before is kept
  // to, and whoever is here may stay, renew, or leave. Kept in the journal. `reason` is told to
  // those who ask for a slot. Errors: kInvalid (the reason is too long, or not printable).
  struct Cordon {
    UtcMillis since_ms = 0;
    std::string reason;
  };
  static constexpr std::size_t kCordonReasonBytesMax = 128;
  Status cordon(const std::string& reason);
  Status uncordon();
  Result<std::optional<Cordon>> cordoned() const;
  // Errors: kRefused while the host is cordoned, with the reason.
  Status check_open() const;

  // A lease of ours that `icon` may use now. Errors: kNotFound, kExpired, kUnauthenticated (another
  // ICON's), kConflict (released).
  Result<LeaseRecord> usable_lease(const std::string& lease_id, const std::string& icon) const;
  // An order for this lease is here: from now on what becomes of it ends the lease, not the time
  // that its terms give for a first order. Errors: as usable_lease().
  Status present(const std::string& lease_id, const std::string& icon);
  // held -> active: the slot runs.
  Status activate(const std::string& lease_id);
  // held or active -> released; the receipt charges what was used (an unused lease: nothing).
  // Idempotent: a second call returns the same receipt. Errors: kNotFound.
  Result<wire::Envelope> release(const std::string& lease_id);
  // For DELETE /v1/leases/{id}: `document` is the ICON's bid in that lease, or its order naming it.
  // Errors: kUnauthenticated, kConflict (in use), kNotFound.
  Result<wire::Envelope> give_back(const std::string& lease_id, const wire::Envelope& document);
  // Leases whose slot is over become "expired", sold ones with a receipt; returns the sold ones
  // that were active. A sold one for which no order came in time is "released".
  Result<std::vector<LeaseRecord>> expire();

  // Notes a lease that an ICON of this host bought elsewhere with `bid`. Errors: kInvalid,
  // kUnauthenticated, kConflict (its id is another lease's here), kLimit.
  Status note_bought(const wire::Envelope& lease, const wire::Envelope& bid);

  // Slots set aside for sealed bids (sales.h) that nobody holds now.
  Result<std::int64_t> slots_set_aside() const;
  // Which sale an offer is of, and whose it is.
  struct SaleOffer {
    std::string sale;
    std::string icon;
  };
  // An offer that only that ICON may take, at what it won for; it draws on what is set aside.
  Result<wire::Envelope> offer_of_sale(const SaleOffer& of, const wire::Resources& resources,
                                       std::int64_t slot_seconds, wire::MicroCredits price);
  // Once in a while: what was noted of such offers goes with them, and with their leases.
  Status forget_sales();
  // Whether it has reserved by that offer.
  bool has_taken(const std::string& sale, const std::string& icon) const;

  wire::Resources capacity() const { return config_.capacity; }
  // Less held and active leases, less ICONs that run here without one, less what is set aside: for
  // sealed bids, and for others than `icon`.
  Result<wire::Resources> free(std::string_view icon = {}) const;
  // Room that is kept for ICONs which may come: all of it but one's.
  using SetAside = std::function<wire::Resources(std::string_view except)>;
  void set_aside(SetAside set_aside) { set_aside_ = std::move(set_aside); }

 private:
  struct Meter {
    UtcMillis seen_ms = 0;   // when it was looked at last
    UtcMillis usage_ms = 0;  // when usage was signed last
    std::int64_t missing_ms = 0;
    Consumption used;      // when it was looked at last,
    Consumption reported;  // and as far as it was signed
  };

  Result<wire::Bid> open_bid(const wire::Envelope& bid, const wire::Envelope& offer) const;
  // None for one at the posted price.
  std::optional<SaleOffer> sale_of(const wire::Envelope& offer) const;
  Status note_taken(const wire::Envelope& offer, const std::string& lease_id);
  Status check_room(const wire::Bid& bid, const wire::Envelope& offer) const;
  Result<SoldLease> sold(const LeaseRecord& record) const;
  Result<wire::LeaseTerms> terms_of(const LeaseRecord& record) const;
  Status add_usage(LeaseRecord& record, UtcMillis to_ms);
  Status release_unclaimed(UtcMillis now_ms);
  Result<wire::Envelope> close(LeaseRecord lease, std::string_view state);
  Status put_closed(const LeaseRecord& lease);
  // Into the ledger, after the journal: whoever holds a document of ours finds it there.
  Status record(LeaseRecord lease);
  // Later is soon enough: the next start brings along what is missing.
  void try_to_record(const LeaseRecord& lease);

  const Config& config_;
  const KeyPair& key_;
  const Clock& clock_;
  Journal& journal_;
  budget::ledger::Diary* diary_;
  SetAside set_aside_;
  std::map<std::string, Meter> meters_;  // of active leases; after a restart they begin anew
};

}  // namespace icon::supervisor
