// The tenant's papers: the last bill of every place that it has left, what is wrong with one, and
// what comes back.
#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "agent/tenant.h"
#include "base/log.h"

namespace icon::agent {
namespace {

constexpr std::int64_t kBillRetryMs = 1'000;
constexpr std::int64_t kBillRetryMsMax = 600'000;
constexpr int kBillTriesMax = 150;    // a day or so
constexpr int kBillSoonTriesMax = 8;  // some minutes: of a slot that is not over

}  // namespace

Task<void> Tenant::bills_task() {
  if (billing_) co_return;
  co_await look_at_bills();
  arm();  // for their next time
}

Task<void> Tenant::look_at_bills() {
  billing_ = true;
  const struct Done {  // however it ends, also by a cancellation
    Tenant& self;
    ~Done() { self.billing_ = false; }
  } done{*this};
  const auto now_ms = parts_.clock.utc_ms();
  std::vector<std::string> due;
  for (const auto& tenancy : book_.all())
    if (awaits_bill(tenancy) && tenancy.next_try_ms <= now_ms) due.push_back(tenancy.lease_id);
  for (const auto& lease_id : due) co_await look_at_bill(lease_id);
}

Task<void> Tenant::look_at_bill(std::string lease_id) {
  const auto* before = find(lease_id);
  if (before == nullptr) co_return;
  LeasePapersQuestion question{before->api, before->provider.id(), lease_id};
  const auto papers = co_await parts_.link.lease_papers(std::move(question));
  auto* left = find(lease_id);
  if (left == nullptr || !awaits_bill(*left)) co_return;
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
    // A replica may renew for years; asked at the end of what is paid, its host knows how long.
    const bool goes_on = left->state == Tenancy::State::kReplica && now_ms < left->expires_ms;
    if (goes_on && left->tries >= kBillSoonTriesMax) {
      left->next_try_ms = left->expires_ms;
      left->tries = 0;
    } else if (++left->tries >= kBillTriesMax) {
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
    if (const auto* granted = renewal_answer(tenancy, *tenancy.asked); granted != nullptr) {
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
