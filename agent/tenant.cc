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
constexpr std::int64_t kBillRetryMs = 1'000;
constexpr std::int64_t kBillRetryMsMax = 600'000;
constexpr int kBillTriesMax = 150;  // a day or so

// The answer may have been yes.
bool ambiguous(const Error& error) {
  return error.code == Code::kTimeout || error.code == Code::kIo || error.code == Code::kCancelled;
}

// The provider's yes to `asked` among the papers, or null.
const wire::Envelope* answer_to(const Tenancy& tenancy, const wire::Envelope& asked) {
  for (const auto& paper : tenancy.papers) {
    if (paper.type != wire::RenewedLease::kType) continue;
    const auto renewed = wire::RenewedLease::from_json(paper.body);
    if (renewed && renewed->renewal.digest() == asked.digest()) return &paper;
  }
  return nullptr;
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
    if (tenancy.state == Tenancy::State::kLeft) next = std::min(next, tenancy.next_try_ms);
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
    parts_.feed(event::Drain{"the lease is over"});
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
  std::vector<std::string> due;
  for (const auto& tenancy : book_.all())
    if (tenancy.state == Tenancy::State::kLeft && tenancy.next_try_ms <= now_ms)
      due.push_back(tenancy.lease_id);
  for (const auto& lease_id : due) co_await look_at_bill(lease_id);
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
    if (const auto* granted = answer_to(*here, *here->asked); granted != nullptr) {
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

// ---- Bills ----

Task<void> Tenant::look_at_bill(std::string lease_id) {
  const auto* before = find(lease_id);
  if (before == nullptr) co_return;
  LeasePapersQuestion question{before->api, before->provider.id(), lease_id};
  const auto papers = co_await parts_.link.lease_papers(std::move(question));
  auto* left = find(lease_id);
  if (left == nullptr || left->state != Tenancy::State::kLeft) co_return;
  const auto now_ms = parts_.clock.utc_ms();
  Status read = papers ? Status{} : Status(fail(papers.error()));
  if (papers) read = read_papers(*left, *papers, now_ms);
  if (read && left->has_receipt) {
    // All of it, so that the ledger alone proves what was paid for.
    for (const auto& document : *papers)
      if (document.type == wire::Usage::kType || document.type == wire::Penalty::kType ||
          document.type == wire::Receipt::kType)
        record(document);
    settle(*left);
  } else {
    const auto wait_ms = kBillRetryMs << std::min(left->tries, 10);
    left->next_try_ms = now_ms + std::min(wait_ms, kBillRetryMsMax);
    if (++left->tries >= kBillTriesMax) {
      left->state = Tenancy::State::kGivenUp;
      log::warn("receipt.never_came", {{"lease", lease_id},
                                       {"provider", left->provider_name},
                                       {"message", read ? "" : read.error().message}});
    }
  }
  save();
}

void Tenant::settle(Tenancy& tenancy) {
  tenancy.state = Tenancy::State::kSettled;
  if (!tenancy.dispute.empty()) dispute(tenancy);
  const auto now_ms = parts_.clock.utc_ms();
  // A yes that came after we had left is among what was paid.
  if (tenancy.asked) {
    const auto hold = renewal_hold(*tenancy.asked);
    if (const auto* granted = answer_to(tenancy, *tenancy.asked); granted != nullptr) {
      record(*granted);
      pay(hold);
    } else {
      release(hold, "the renewal was not granted");
    }
    tenancy.asked.reset();
  }
  wire::MicroCredits back = 0;
  for (const auto& [hold, amount] : refunds_of(tenancy)) {
    if (amount == 0 || !parts_.wallet) continue;
    const auto refunded = parts_.wallet->refund(hold, amount, now_ms);
    if (refunded) back += amount;
    // The slot of a replica was its parent's purchase.
    if (!refunded && refunded.error().code != Code::kNotFound)
      log::error("purse.refund_failed", {{"hold", hold}, {"message", refunded.error().message}});
  }
  log::info("receipt.settled", {{"lease", tenancy.lease_id},
                                {"provider", tenancy.provider_name},
                                {"used_seconds", tenancy.used_seconds},
                                {"paid_ucredits", tenancy.paid_total()},
                                {"charged_ucredits", tenancy.charged},
                                {"penalty_ucredits", tenancy.penalty},
                                {"back_ucredits", back},
                                {"dispute", tenancy.dispute}});
}

void Tenant::dispute(const Tenancy& tenancy) {
  if (tenancy.dispute.empty()) return;
  log::warn("receipt.disputed", {{"lease", tenancy.lease_id},
                                 {"provider", tenancy.provider_name},
                                 {"charged_seconds", tenancy.used_seconds},
                                 {"charged_ucredits", tenancy.charged},
                                 {"message", tenancy.dispute}});
  const auto* key = parts_.key();
  if (key == nullptr || key->public_key() != tenancy.icon || tenancy.papers.empty()) return;
  wire::Dispute document;
  document.icon = tenancy.icon;
  document.provider = tenancy.provider;
  document.lease_id = tenancy.lease_id;
  document.document_digest = tenancy.papers.front().digest();
  for (const auto& paper : tenancy.papers)  // the last word counts most
    if (paper.type == wire::Receipt::kType || paper.type == wire::Usage::kType)
      document.document_digest = paper.digest();
  document.reason = tenancy.dispute.substr(0, 512);
  document.charged_seconds = tenancy.used_seconds;
  document.issued_ms = parts_.clock.utc_ms();
  document.present_seconds = tenancy.present_ms(document.issued_ms) / 1000;
  if (const auto sealed = wire::seal(*key, document)) record(*sealed);
}

void Tenant::record(const wire::Envelope& document) {
  if (!parts_.chronicle) return;
  if (const auto recorded = parts_.chronicle->record(document); !recorded)
    log::error("ledger.not_recorded",
               {{"code", to_string(recorded.error().code)}, {"message", recorded.error().message}});
}

void Tenant::pay(const std::string& hold) {
  if (!parts_.wallet) return;
  if (const auto paid = parts_.wallet->settle(hold, parts_.clock.utc_ms()); !paid)
    log::error("purse.settle_failed", {{"hold", hold}, {"message", paid.error().message}});
}

void Tenant::release(const std::string& hold, std::string_view reason) {
  if (!parts_.wallet) return;
  const auto released = parts_.wallet->release(hold, parts_.clock.utc_ms());
  log::info(
      "purse.released",
      {{"hold", hold}, {"reason", reason}, {"error", released ? "" : released.error().message}});
}

}  // namespace icon::agent
