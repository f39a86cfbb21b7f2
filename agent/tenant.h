// The ICON as somebody who rents: it renews its lease in time or lets it run out, looks at what it
// is charged, and waits for the last bill of every place that it has left. The clock alone ends a
// lease: also when nobody answers any more.
#pragma once

#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <optional>
#include <string>

#include "agent/chronicle.h"
#include "agent/lease_book.h"
#include "agent/lifecycle_types.h"
#include "agent/policy.h"
#include "agent/supervisor_link.h"
#include "agent/task_group.h"
#include "agent/wallet.h"

namespace icon::agent {

// What it needs of Rounds. Everything is borrowed; what is optional may come and go.
struct TenantParts {
  IoContext& loop;
  const Clock& clock;
  SupervisorLink& link;
  TaskGroup& tasks;
  const Policy& policy;
  std::optional<Wallet>& wallet;
  std::optional<Chronicle>& chronicle;
  std::function<const KeyPair*()> key;  // ours, or null
  // What our users are worth here, over so many seconds.
  std::function<wire::MicroCredits(std::int64_t seconds)> worth;
  std::function<void(Event)> feed;
};

// Owner: Rounds. Loop thread. Its memory travels with the process; closed, it holds no descriptor.
class Tenant {
 public:
  Tenant(TenantParts parts, std::string path);

  // Our host has said under which lease we run. `is_child`: by whose money does not matter here.
  void arrived(const Self& self, bool is_child);
  void close();     // a freeze is near: no timer, no call
  void returned();  // nothing came of it
  // A replica's first slot is our purchase: what it does not use of it comes back to us. Before the
  // order leaves; `replica_failed` when nothing came of it.
  void replica_bought(const wire::Envelope& lease, const PublicKey& child,
                      const std::string& provider_name, const Endpoint& api);
  void replica_failed(const std::string& hold);
  // It has said that it ends: its bill comes soon.
  void replica_ended(const PublicKey& child);
  void forget();  // we are somebody else's copy
  void set_draining(bool draining) { draining_ = draining; }
  void tick();

  // The lease ends soon: other places are asked for their prices.
  bool looks_around() const;
  // When the slot here is over, with all renewals; 0: there is none.
  UtcMillis slot_end_ms() const {
    const auto* here = book_.here();
    return here == nullptr ? 0 : here->expires_ms;
  }
  json::Array status_json() const;

 private:
  void arm();
  void on_time();
  void end_if_over(UtcMillis now_ms);
  UtcMillis next_ms(UtcMillis now_ms) const;
  Task<void> look_task();
  Task<void> look_at_lease();
  Task<void> renew();
  Task<void> send_renewal(wire::Envelope renewal, wire::MicroCredits price);
  // The last bills of others come from afar: they are looked at beside the lease, which has to be
  // renewed in time.
  Task<void> bills_task();
  Task<void> look_at_bills();
  Task<void> look_at_bill(std::string lease_id);
  void answered(const wire::Envelope& renewed);
  void dispute(const Tenancy& tenancy);
  void settle(Tenancy& tenancy);
  void record(const wire::Envelope& document);
  void pay(const std::string& hold);
  void release(const std::string& hold, std::string_view reason);
  void save();
  void say_no(const std::string& reason, std::optional<wire::MicroCredits> price);
  Tenancy* find(const std::string& lease_id);

  TenantParts parts_;
  LeaseBook book_;
  bool usable_ = true;  // the book could be read
  Renew mode_ = Renew::kKeep;
  boost::asio::steady_timer timer_;
  bool closed_ = true;
  bool busy_ = false;     // with the lease here
  bool billing_ = false;  // with the bills of other places
  bool draining_ = false;
  std::optional<wire::MicroCredits> price_;  // of the next renewal, as the host said last
  UtcMillis looked_ms_ = 0;
  std::string said_;  // why the lease is not renewed, as logged last
  bool said_drain_ = false;
  bool said_stop_ = false;
};

}  // namespace icon::agent
