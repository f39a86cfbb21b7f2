#include "agent/tenant.h"

#include <signal.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <utility>

#include "base/log.h"

namespace icon::agent {
namespace {

constexpr std::int64_t kWakeMsMin = 100;
constexpr std::int64_t kWakeMsMax = 60'000;
constexpr std::int64_t kRetryMs = 1'000;
constexpr std::int64_t kLookEveryMs = 600'000;  // at the bill so far
constexpr std::int64_t kRenewalLifetimeMs = 30'000;

// The answer may have been yes.
bool ambiguous(const Error& error) {
  return error.code == Code::kTimeout || error.code == Code::kIo || error.code == Code::kCancelled;
}

}  // namespace

Tenant::Tenant(TenantParts parts, std::string path)
    : parts_(std::move(parts)), book_(std::move(path)), timer_(parts_.loop) {
  if (const auto loaded = book_.load(); !loaded) {
    usable_ = false;
    log::error("leases.unreadable", {{"message", loaded.error().message},
                                     {"consequence", "no lease is renewed, no bill is looked at"}});
  }
}

void Tenant::arrived(const Self& self, bool is_child) {
  closed_ = false;
  if (!usable_) return;
  mode_ = parts_.policy.renew;
  if (mode_ == Renew::kAuto) mode_ = is_child ? Renew::kWorth : Renew::kKeep;
  const auto* before = book_.here();
  const std::string lease_before = before != nullptr ? before->lease_id : "";
  const auto noted =
      book_.arrived(self.lease, self.icon, self.provider_name, self.api, parts_.clock.utc_ms());
  if (!noted) log::warn("lease.not_genuine", {{"message", noted.error().message}});
  const auto* now_here = book_.here();
  if (now_here == nullptr || now_here->lease_id != lease_before) {
    looked_ms_ = 0;
    price_.reset();
    said_.clear();
    said_drain_ = said_stop_ = false;
  }
  // What a crash left behind: a renewal that nobody waits for any more.
  if (parts_.wallet)
    for (const auto& id : parts_.wallet->open_holds())
      if (id.starts_with(kRenewalHold) &&
          std::none_of(book_.all().begin(), book_.all().end(), [&](const Tenancy& each) {
            return each.asked && renewal_hold(*each.asked) == id;
          }))
        release(id, "nobody waits for it");
  save();
  arm();
}

void Tenant::close() {
  closed_ = true;
  timer_.cancel();
  book_.leaving(parts_.clock.utc_ms());
  if (!book_.all().empty()) save();
}

void Tenant::returned() {
  book_.returned();
  closed_ = false;
  arm();
}

void Tenant::replica_bought(const wire::Envelope& lease, const PublicKey& child,
                            const std::string& provider_name, const Endpoint& api) {
  if (!usable_) return;
  const auto noted = book_.replica_bought(lease, child, provider_name, api, parts_.clock.utc_ms());
  if (!noted) log::warn("lease.not_noted", {{"message", noted.error().message}});
  save();
  arm();
}

void Tenant::replica_failed(const std::string& hold) {
  book_.drop_replica(hold);
  save();
}

void Tenant::replica_ended(const PublicKey& child) {
  for (auto& each : book_.all())
    if (each.state == Tenancy::State::kReplica && each.icon == child)
      each.next_try_ms = parts_.clock.utc_ms() + kRetryMs;
  arm();
}

void Tenant::forget() {
  book_.forget();
  usable_ = true;
  save();
}

void Tenant::tick() { book_.ticked(parts_.clock.utc_ms()); }

void Tenant::save() {
  if (!usable_) return;
  if (const auto saved = book_.save(); !saved)
    log::error("leases.not_saved", {{"message", saved.error().message}});
}

Tenancy* Tenant::find(const std::string& lease_id) {
  for (auto& tenancy : book_.all())
    if (tenancy.lease_id == lease_id) return &tenancy;
  return nullptr;
}

bool Tenant::looks_around() const {
  const auto* here = book_.here();
  if (here == nullptr || draining_) return false;
  const auto times = renewal_times(*here, parts_.policy.interval_ms, parts_.policy.rounds);
  return parts_.clock.utc_ms() >= times.look_ms;
}

json::Array Tenant::status_json() const {
  json::Array list;
  for (const auto& tenancy : book_.all()) list.emplace_back(tenancy.status_json());
  return list;
}

// ---- The clock ----

UtcMillis Tenant::next_ms(UtcMillis now_ms) const {
  auto next = now_ms + kWakeMsMax;
  for (const auto& tenancy : book_.all()) {
    if (awaits_bill(tenancy) && !billing_) next = std::min(next, tenancy.next_try_ms);
    if (tenancy.state != Tenancy::State::kHere) continue;
    const auto times = renewal_times(tenancy, parts_.policy.interval_ms, parts_.policy.rounds);
    for (const auto at : {times.ask_ms, times.end_ms, times.clear_ms})
      if (at > now_ms) next = std::min(next, at);
    const bool asks = now_ms >= times.ask_ms && now_ms < times.until_ms;
    if (asks || !tenancy.has_terms) next = std::min(next, now_ms + kRetryMs);
    if (looked_ms_ == 0) next = now_ms;
  }
  return std::max(next, now_ms + kWakeMsMin);
}

void Tenant::arm() {
  if (closed_ || !usable_) return;
  const auto now_ms = parts_.clock.utc_ms();
  timer_.expires_after(Millis(next_ms(now_ms) - now_ms));
  timer_.async_wait([this](boost::system::error_code error) {
    if (!error && !closed_) on_time();
  });
}

void Tenant::on_time() {
  const auto now_ms = parts_.clock.utc_ms();
  end_if_over(now_ms);
  if (!busy_) parts_.tasks.spawn("lease", look_task());
  if (!billing_) parts_.tasks.spawn("bills", bills_task());
  arm();
}

void Tenant::end_if_over(UtcMillis now_ms) {
  const auto* here = book_.here();
  if (here == nullptr) return;
  if (now_ms >= here->expires_ms && !std::exchange(said_drain_, true)) {
    log::warn("lease.over", {{"lease", here->lease_id},
                             {"provider", here->provider_name},
                             {"grace_ms", here->grace_ms},
                             {"reason", said_}});
    parts_.feed(event::Drain{"the lease is over", /*of_lease=*/true});
  }
  if (now_ms >= here->expires_ms + here->grace_ms && !std::exchange(said_stop_, true)) {
    log::warn("lease.cleared", {{"lease", here->lease_id}, {"provider", here->provider_name}});
    parts_.feed(event::StopSignal{SIGTERM});
  }
}

Task<void> Tenant::look_task() {
  if (std::exchange(busy_, true)) co_return;
  const struct Done {  // however it ends, also by a cancellation
    Tenant& self;
    ~Done() { self.busy_ = false; }
  } done{*this};
  const auto now_ms = parts_.clock.utc_ms();
  if (const auto* here = book_.here()) {
    const auto times = renewal_times(*here, parts_.policy.interval_ms, parts_.policy.rounds);
    const bool asks = now_ms >= times.ask_ms && now_ms < times.until_ms;
    if (!here->has_terms || here->asked || asks || now_ms - looked_ms_ >= kLookEveryMs)
      co_await look_at_lease();
    if (asks && !draining_) co_await renew();
  }
}

// ---- The lease under which we run ----

Task<void> Tenant::look_at_lease() {
  const auto* before = book_.here();
  if (before == nullptr) co_return;
  const std::string lease_id = before->lease_id;
  const auto papers = co_await parts_.link.own_lease(renewal_seconds(*before));
  auto* here = find(lease_id);
  if (here == nullptr) co_return;
  if (!papers) {
    log::debug("lease.no_papers", {{"message", papers.error().message}});
    co_return;
  }
  looked_ms_ = parts_.clock.utc_ms();
  price_ = papers->renewal_price;
  const std::string contested = here->dispute;
  if (const auto read = read_papers(*here, papers->documents, looked_ms_); !read) {
    log::warn("lease.papers_refused", {{"lease", lease_id}, {"message", read.error().message}});
    co_return;
  }
  if (here->dispute != contested) dispute(*here);
  // A yes that was lost on the way is among them.
  if (here->asked) {
    const auto hold = renewal_hold(*here->asked);
    const auto asked = wire::Renewal::from_json(here->asked->body);
    if (const auto* granted = renewal_answer(*here, *here->asked); granted != nullptr) {
      record(*granted);
      pay(hold);
      here->asked.reset();
    } else if (!asked || asked->expires_ms < looked_ms_) {
      release(hold, "the renewal was not granted");
      here->asked.reset();
    }
  }
  save();
}

Task<void> Tenant::renew() {
  auto* here = book_.here();
  const auto* key = parts_.key();
  if (here == nullptr || key == nullptr || !parts_.wallet || !parts_.chronicle) co_return;
  const auto now_ms = parts_.clock.utc_ms();
  if (now_ms >= here->expires_ms - here->renew_before_ms) co_return;
  if (here->asked) {
    const auto again = *here->asked;
    const auto asked = wire::Renewal::from_json(again.body);
    if (asked) co_await send_renewal(again, asked->price_ucredits);
    co_return;
  }
  const auto seconds = renewal_seconds(*here);
  const RenewalView view{mode_, price_, parts_.policy.max_price_ucredits,
                         parts_.wallet->available(), parts_.worth(seconds)};
  const auto choice = choose_renewal(view);
  if (!choice.renew) {
    say_no(choice.reason, view.price);
    co_return;
  }
  wire::Renewal renewal;
  renewal.icon = key->public_key();
  renewal.provider = here->provider;
  renewal.lease_id = here->lease_id;
  renewal.sequence = here->renewals + 1;
  renewal.seconds = seconds;
  renewal.price_ucredits = *view.price;
  renewal.issued_ms = now_ms;
  renewal.expires_ms = now_ms + kRenewalLifetimeMs;
  const auto sealed = wire::seal(*key, renewal);
  if (!sealed) co_return;
  // On disk first: whoever finds the hold finds what it is for.
  here->asked = *sealed;
  save();
  record(*sealed);
  if (const auto held = parts_.wallet->hold(renewal_hold(*sealed), *view.price, now_ms); !held) {
    here->asked.reset();
    save();
    say_no(std::string(to_string(held.error().code)), view.price);
    co_return;
  }
  co_await send_renewal(*sealed, *view.price);
}

Task<void> Tenant::send_renewal(wire::Envelope renewal, wire::MicroCredits price) {
  const auto answer = co_await parts_.link.renew_lease(renewal);
  if (answer) {
    const auto opened = wire::open<wire::RenewedLease>(*answer);
    if (opened && opened->renewal.digest() == renewal.digest()) {
      answered(*answer);
      co_return;
    }
    log::warn("lease.renewal_refused", {{"message", "the answer is for another renewal"}});
  } else if (ambiguous(answer.error())) {
    co_return;  // asked again, with the same words
  }
  if (auto* here = book_.here()) here->asked.reset();
  release(renewal_hold(renewal), "refused");
  save();
  say_no(answer ? "invalid" : std::string(to_string(answer.error().code)), price);
}

void Tenant::answered(const wire::Envelope& renewed) {
  auto* here = book_.here();
  if (here == nullptr || !here->asked) return;
  const auto now_ms = parts_.clock.utc_ms();
  const auto hold = renewal_hold(*here->asked);
  std::vector<wire::Envelope> papers = here->papers;
  papers.push_back(renewed);
  const auto before_ms = here->expires_ms;
  if (const auto read = read_papers(*here, papers, now_ms);
      !read || here->expires_ms <= before_ms) {
    log::warn("lease.renewal_refused",
              {{"message", read ? "it is no longer" : read.error().message}});
    return;
  }
  here->asked.reset();
  pay(hold);
  said_.clear();
  price_.reset();
  save();
  record(renewed);
  log::info("lease.renewed", {{"lease", here->lease_id},
                              {"provider", here->provider_name},
                              {"renewals", here->renewals},
                              {"expires_ms", here->expires_ms},
                              {"price_ucredits", here->paid.back().amount},
                              {"left_ucredits", parts_.wallet->available()}});
}

void Tenant::say_no(const std::string& reason, std::optional<wire::MicroCredits> price) {
  if (std::exchange(said_, reason) == reason) return;
  const auto* here = book_.here();
  log::warn("lease.not_renewed",
            {{"lease", here != nullptr ? here->lease_id : ""},
             {"reason", reason},
             {"price_ucredits", price ? json::Value(*price) : json::Value(nullptr)},
             {"ends_ms", here != nullptr ? here->expires_ms : 0}});
}

}  // namespace icon::agent
