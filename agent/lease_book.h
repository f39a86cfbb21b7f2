// The leases that this ICON has held: the one it runs under, and those whose last bill it still
// waits for. Their papers, what it saw of that time itself, and what follows. No socket inside.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/address.h"
#include "base/clock.h"
#include "base/json.h"
#include "budget/lease/record.h"

namespace icon::agent {

inline constexpr std::size_t kTenanciesMax = 16;       // kept, the newest
inline constexpr std::size_t kBookBytesMax = 2 << 20;  // of its file
// A clock that is a little off, and what a host still does for us behind our back: the end of a
// move.
inline constexpr std::int64_t kPresenceSlackMs = 15'000;
// An agent that did not run for longer has noticed a gap in what it pays for.
inline constexpr std::int64_t kGapMs = 15'000;

struct Tenancy {
  enum class State {
    kHere,     // we run under it
    kLeft,     // over for us; the last bill is to come
    kReplica,  // a replica's first slot, which we have paid; what it does not use comes back to us
    kSettled,  // the receipt is there and has been booked
    kGivenUp,  // it never came
  };
  State state = State::kHere;
  std::string lease_id;
  PublicKey icon;
  PublicKey provider;
  std::string provider_name;
  Endpoint api;
  wire::Resources resources;
  std::int64_t slot_seconds = 0;
  UtcMillis start_ms = 0;
  UtcMillis expires_ms = 0;  // with all renewals that we know of
  std::int64_t renew_before_ms = 0;
  std::int64_t grace_ms = 0;
  bool has_terms = false;
  std::int64_t renewals = 0;
  struct Payment {
    std::string hold;  // in the purse
    wire::MicroCredits amount = 0;
  };
  std::vector<Payment> paid;  // the slot, then each renewal
  // Lease, terms, renewals and the newest usage; not all usage: it travels with the ICON.
  std::vector<wire::Envelope> papers;
  std::optional<wire::Envelope> asked;  // a renewal without an answer yet
  // What we saw ourselves.
  UtcMillis arrived_ms = 0;
  UtcMillis left_ms = 0;  // 0: we are there
  std::int64_t gap_ms = 0;
  // The bill so far.
  std::int64_t used_seconds = 0;
  std::int64_t usages = 0;
  wire::MicroCredits charged = 0;
  wire::MicroCredits refunded = 0;
  wire::MicroCredits penalty = 0;
  bool has_receipt = false;
  std::string dispute;  // why the bill is contested
  int tries = 0;        // to get the last bill
  UtcMillis next_try_ms = 0;

  wire::MicroCredits paid_total() const;
  std::int64_t present_ms(UtcMillis now_ms) const;  // what we saw of it, at most
  // For `icon leases`.
  json::Object status_json() const;
};
std::string_view to_string(Tenancy::State state);
inline bool awaits_bill(const Tenancy& tenancy) {
  return tenancy.state == Tenancy::State::kLeft || tenancy.state == Tenancy::State::kReplica;
}

// The hold that pays for a renewal, by its document.
inline constexpr std::string_view kRenewalHold = "renewal/";
std::string renewal_hold(const wire::Envelope& renewal);
// The provider's yes to it among the papers, or null.
const wire::Envelope* renewal_answer(const Tenancy& tenancy, const wire::Envelope& asked);

// When a lease is looked at again and when its time is over, by its terms and a policy's rounds.
struct RenewalTimes {
  UtcMillis look_ms = 0;   // from here on other places are asked what they cost
  UtcMillis ask_ms = 0;    // the renewal is asked for
  UtcMillis until_ms = 0;  // too late for one
  UtcMillis end_ms = 0;    // the slot is over: users are asked to leave
  UtcMillis clear_ms = 0;  // nothing may run any more
};
RenewalTimes renewal_times(const Tenancy& tenancy, std::int64_t interval_ms, std::int64_t rounds);

enum class Renew {
  kAuto,   // keep for a root, worth for a replica
  kKeep,   // as long as the money lasts
  kWorth,  // while its users are worth the price
  kNever,
};
std::string_view to_string(Renew renew);

// Whether staying is to be paid for once more. `reason` is a code: "renewed", "never", "too_dear",
// "no_money", "not_worth_it", "not_for_sale".
struct RenewalView {
  Renew mode = Renew::kKeep;
  std::optional<wire::MicroCredits> price;  // what the provider asks
  std::optional<wire::MicroCredits> price_max;
  wire::MicroCredits available = 0;
  wire::MicroCredits worth = 0;  // of our users here over that time
};
struct RenewalChoice {
  bool renew = false;
  std::string reason;
};
RenewalChoice choose_renewal(const RenewalView& view);
// How long the next renewal is: whole slots, more of them the longer the ICON has been there, as a
// lease can be renewed only so often.
std::int64_t renewal_seconds(const Tenancy& tenancy);

// One per agent. Owner: Tenant. Its file travels with the ICON.
class LeaseBook {
 public:
  explicit LeaseBook(std::string path) : path_(std::move(path)) {}

  // Errors: kInvalid (damaged), kLimit, kIo. None for a file that is not there.
  Status load();
  Status save() const;

  Tenancy* here();  // null: we pay nobody
  const Tenancy* here() const { return const_cast<LeaseBook*>(this)->here(); }
  const std::vector<Tenancy>& all() const { return tenancies_; }
  std::vector<Tenancy>& all() { return tenancies_; }

  // We run under `lease` (as our host says), or under none. The same again changes nothing.
  // Errors: kUnauthenticated, kInvalid: not a lease of ours.
  Status arrived(const std::optional<wire::Envelope>& lease, const PublicKey& icon,
                 const std::string& provider_name, const Endpoint& api, UtcMillis now_ms);
  // A replica is to run there; we have paid for `lease`. Errors: as arrived().
  Status replica_bought(const wire::Envelope& lease, const PublicKey& child,
                        const std::string& provider_name, const Endpoint& api, UtcMillis now_ms);
  // It came to nothing, and the payment with it: a bill that nobody owes.
  void drop_replica(const std::string& hold);
  // We are about to be frozen; returned() when nothing came of it.
  void leaving(UtcMillis now_ms);
  void returned();
  void ticked(UtcMillis now_ms);
  void forget() { tenancies_.clear(), ticked_ms_ = 0; }

 private:
  std::string path_;
  std::vector<Tenancy> tenancies_;
  UtcMillis ticked_ms_ = 0;
};

// Reads all papers of a lease as its provider hands them out, beside those that we kept; fills in
// terms, end, bill. `dispute` is set when something is wrong with them, or more is charged than we
// were there. Errors: kUnauthenticated, kInvalid: these are not its papers, nothing was changed.
Status read_papers(Tenancy& tenancy, const std::vector<wire::Envelope>& documents,
                   UtcMillis now_ms);

// What comes back of each payment, the last one first: what the receipt refunds, and the penalty.
std::vector<Tenancy::Payment> refunds_of(const Tenancy& tenancy);

}  // namespace icon::agent
