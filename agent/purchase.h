// Buying a slot and giving the order to move into it. Every step is on disk or signed before the
// next one begins: bid, let the slot be locked, hold the money, confirm, verify the lease, order.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "agent/chronicle.h"
#include "agent/policy.h"
#include "agent/provider_book.h"
#include "agent/supervisor_link.h"
#include "agent/wallet.h"
#include "base/clock.h"
#include "base/keys.h"
#include "base/task.h"
#include "wire/birth.h"
#include "wire/tenancy.h"

namespace icon::agent {

inline constexpr Millis kBidLifetime{60'000};
inline constexpr Millis kOrderLifetime{900'000};

// What was bought and ordered. It stays in memory through the migration.
struct Purchase {
  std::string migration;  // also the hold's id and the bid's nonce
  std::string provider_name;
  PublicKey provider;
  std::string lease_id;
  wire::MicroCredits price_ucredits = 0;
  std::int64_t slot_seconds = 0;
  std::string reason;  // "latency", "operator", "replica"
  bool order_sent = false;
  std::optional<Replica> replica;  // what was bought is its slot
  bool empty() const { return migration.empty(); }
};

struct PurchaseRequest {
  KnownProvider provider;  // with an accepted offer
  std::string reason;
  json::Object evidence;
  // For a replica, which is made of this: everything but the migration's id, the times and the
  // child, whose key is made here.
  std::optional<wire::Birth> birth = std::nullopt;
  // The slot is ours and the order about to leave: what must be durable before it does.
  std::function<Status(const Purchase&)> before_order = {};
};

// Owner: the agent. Loop thread. Everything is borrowed.
class Buyer {
 public:
  Buyer(SupervisorLink& link, const KeyPair& key, const Clock& clock)
      : link_(link), key_(key), clock_(clock) {}

  // Has the slot locked, holds the price in `wallet`, buys, orders. `purchase` is filled in step by
  // step, before each message leaves: a quiesce may arrive ahead of the answer. On an error the
  // hold is released and `purchase` emptied, unless the order may have arrived: then both stay
  // until somebody knows. Errors: kLimit (budget), kUnauthenticated (a lease that is not the one we
  // bid for), and those of the calls.
  Task<Status> buy(const Self& self, const Policy& policy, PurchaseRequest request, Wallet& wallet,
                   Chronicle& chronicle, Purchase& purchase);

 private:
  // Releases the hold of a purchase that came to nothing, and empties it.
  void give_back(Wallet& wallet, Purchase& purchase, std::string_view reason);
  // Who signs: we for our next epoch, or the replica, with a key that is made here.
  struct Signer {
    std::optional<KeyPair> child;
    std::optional<wire::Envelope> birth;
    std::int64_t epoch = 0;
  };
  Status choose_signer(const Self& self, Chronicle& chronicle, PurchaseRequest& request,
                       Purchase& purchase, Signer& signer);
  // Both step by step into `purchase`.
  Task<Result<wire::Envelope>> take_lease(const Signer& signer, const KnownProvider& provider,
                                          Wallet& wallet, Chronicle& chronicle, Purchase& purchase);
  Task<Status> buy_and_order(const Self& self, const Policy& policy, PurchaseRequest request,
                             Wallet& wallet, Chronicle& chronicle, Purchase& purchase);

  SupervisorLink& link_;
  const KeyPair& key_;
  const Clock& clock_;
};

// Is this the lease that we asked for? Errors: kUnauthenticated, kInvalid, kExpired.
Result<wire::Lease> check_lease(const wire::Envelope& envelope, const wire::Envelope& bid,
                                UtcMillis now_ms);

// Is this the lock for our bid, and is there time left to confirm it? Errors: the same.
Status check_reservation(const wire::Envelope& envelope, const wire::Envelope& bid,
                         UtcMillis now_ms);

}  // namespace icon::agent
