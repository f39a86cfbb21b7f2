#include "agent/lease_book.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json/serialize.hpp>
#include <map>
#include <set>

#include "base/file.h"

namespace icon::agent {
namespace {

constexpr std::int64_t kVersion = 1;
constexpr std::size_t kPapersMax = 512;
constexpr std::int64_t kCountMax = std::int64_t{1} << 50;
constexpr std::int64_t kLeadMsMin = 2'000;
constexpr std::int64_t kAskAheadMsMin = 1'000;
constexpr std::int64_t kRenewalsPerLength = 16;  // then the next ones are twice as long
constexpr int kLengthStepsMax = 8;

constexpr std::pair<Tenancy::State, std::string_view> kTenancyStates[] = {
    {Tenancy::State::kHere, "here"},        {Tenancy::State::kLeft, "left"},
    {Tenancy::State::kReplica, "replica"},  {Tenancy::State::kSettled, "settled"},
    {Tenancy::State::kGivenUp, "given_up"},
};

json::Array to_json(const std::vector<wire::Envelope>& documents) {
  json::Array array;
  for (const auto& document : documents) array.emplace_back(document.to_json());
  return array;
}

json::Object to_json(const Tenancy& t) {
  json::Array paid;
  for (const auto& [hold, amount] : t.paid)
    paid.emplace_back(json::Object{{"hold", hold}, {"ucredits", amount}});
  json::Object object = t.status_json();
  object["icon"] = t.icon.id();
  object["api"] = t.api.to_string();
  object["resources"] = t.resources.to_json();
  object["renew_before_ms"] = t.renew_before_ms;
  object["grace_ms"] = t.grace_ms;
  object["has_terms"] = t.has_terms;
  object["payments"] = std::move(paid);
  object["papers"] = to_json(t.papers);
  if (t.asked) object["asked"] = t.asked->to_json();
  object["gap_ms"] = t.gap_ms;
  object["tries"] = t.tries;
  object["next_try_ms"] = t.next_try_ms;
  return object;
}

Result<PublicKey> key_of(const json::Object& object, std::string_view name) {
  ICON_TRY(const auto id, json::get_string(object, name, 64));
  return PublicKey::from_id(id);
}

Status read_bill(const json::Object& object, Tenancy& t) {
  ICON_TRY(t.used_seconds, json::get_int(object, "used_seconds", 0, kCountMax));
  ICON_TRY(t.usages, json::get_int(object, "usages", 0, kCountMax));
  ICON_TRY(t.charged, json::get_int(object, "charged_ucredits", 0, wire::kMicroCreditsMax));
  ICON_TRY(t.refunded, json::get_int(object, "refunded_ucredits", 0, wire::kMicroCreditsMax));
  ICON_TRY(t.penalty, json::get_int(object, "penalty_ucredits", 0, wire::kMicroCreditsMax));
  ICON_TRY(t.has_receipt, json::get_bool(object, "receipt"));
  ICON_TRY(t.dispute, json::get_string(object, "dispute", 1024));
  ICON_TRY(t.arrived_ms, json::get_int(object, "arrived_ms", 0, kCountMax));
  ICON_TRY(t.left_ms, json::get_int(object, "left_ms", 0, kCountMax));
  ICON_TRY(t.gap_ms, json::get_int(object, "gap_ms", 0, kCountMax));
  ICON_TRY(const auto tries, json::get_int(object, "tries", 0, 1'000'000));
  t.tries = static_cast<int>(tries);
  ICON_TRY(t.next_try_ms, json::get_int(object, "next_try_ms", 0, kCountMax));
  return {};
}

Result<Tenancy> tenancy_from(const json::Object& object) {
  Tenancy t;
  ICON_TRY(const auto state, json::get_string(object, "state", 16));
  const auto* known = std::find_if(std::begin(kTenancyStates), std::end(kTenancyStates),
                                   [&](const auto& each) { return each.second == state; });
  if (known == std::end(kTenancyStates)) return fail(Code::kInvalid, "an unknown state of a lease");
  t.state = known->first;
  ICON_TRY(t.lease_id, json::get_string(object, "lease_id", 64));
  ICON_TRY(t.icon, key_of(object, "icon"));
  ICON_TRY(t.provider, key_of(object, "provider"));
  ICON_TRY(t.provider_name, json::get_string(object, "provider_name", 256));
  ICON_TRY(const auto api, json::get_string(object, "api", 64));
  ICON_TRY(t.api, Endpoint::parse(api));
  ICON_TRY(const auto* resources, json::get_object(object, "resources"));
  ICON_TRY(t.resources, wire::Resources::from_json(*resources));
  ICON_TRY(t.slot_seconds, json::get_int(object, "slot_seconds", 1, wire::kSlotSecondsMax));
  ICON_TRY(t.start_ms, json::get_int(object, "start_ms", 0, kCountMax));
  ICON_TRY(t.expires_ms, json::get_int(object, "expires_ms", 0, kCountMax));
  ICON_TRY(t.renew_before_ms, json::get_int(object, "renew_before_ms", 0, kCountMax));
  ICON_TRY(t.grace_ms, json::get_int(object, "grace_ms", 0, kCountMax));
  ICON_TRY(t.has_terms, json::get_bool(object, "has_terms"));
  ICON_TRY(t.renewals, json::get_int(object, "renewals", 0, kCountMax));
  ICON_TRY(const auto* paid, json::get_array(object, "payments", kPapersMax));
  for (const auto& amount : *paid) {
    if (!amount.is_object()) return fail(Code::kInvalid, "a payment is no object");
    Tenancy::Payment payment;
    ICON_TRY(payment.hold, json::get_string(amount.get_object(), "hold", 128));
    ICON_TRY(payment.amount,
             json::get_int(amount.get_object(), "ucredits", 0, wire::kMicroCreditsMax));
    t.paid.push_back(std::move(payment));
  }
  ICON_TRY(const auto* papers, json::get_array(object, "papers", kPapersMax));
  for (const auto& paper : *papers) {
    ICON_TRY(auto envelope, wire::parse_envelope(paper));
    t.papers.push_back(std::move(envelope));
  }
  if (const auto* asked = object.if_contains("asked")) {
    ICON_TRY(t.asked, wire::parse_envelope(*asked));
  }
  ICON_CHECK(read_bill(object, t));
  return t;
}

const wire::Envelope* lease_of(const std::vector<wire::Envelope>& papers) {
  const auto found = std::find_if(papers.begin(), papers.end(), [](const auto& paper) {
    return paper.type == wire::Lease::kType;
  });
  return found == papers.end() ? nullptr : &*found;
}

// What is kept: the newest usage alone proves, by its chain, that none before it was replaced.
std::vector<wire::Envelope> worth_keeping(const std::vector<wire::Envelope>& documents) {
  std::vector<wire::Envelope> kept;
  const wire::Envelope* newest = nullptr;
  std::int64_t sequence = 0;
  for (const auto& document : documents) {
    if (document.type == wire::Usage::kType) {
      const auto usage = wire::Usage::from_json(document.body);
      if (usage && usage->sequence > sequence) {
        sequence = usage->sequence;
        newest = &document;
      }
    } else {
      kept.push_back(document);
    }
  }
  if (newest != nullptr) kept.push_back(*newest);
  return kept;
}

void take_bill(const budget::lease::Account& account, Tenancy& t, UtcMillis now_ms) {
  t.expires_ms = account.expires_ms;
  t.renewals = account.renewals;
  t.used_seconds = account.used_seconds;
  t.usages = account.usages;
  t.charged = account.charged;
  t.refunded = account.refunded;
  t.penalty = account.penalty;
  t.has_receipt = account.closed;
  const auto present_ms = t.present_ms(now_ms);
  if (!account.wrong.empty())
    t.dispute = account.wrong;
  else if (t.used_seconds * 1000 > present_ms + kPresenceSlackMs)
    t.dispute =
        fmt::format("{} s are charged, we were there for {} s", t.used_seconds, present_ms / 1000);
}

}  // namespace

std::string_view to_string(Tenancy::State state) {
  for (const auto& [known, name] : kTenancyStates)
    if (known == state) return name;
  return "here";
}

std::string_view to_string(Renew renew) {
  switch (renew) {
    case Renew::kAuto:
      return "auto";
    case Renew::kKeep:
      return "keep";
    case Renew::kWorth:
      return "worth";
    case Renew::kNever:
      return "never";
  }
  return "auto";
}

wire::MicroCredits Tenancy::paid_total() const {
  wire::MicroCredits sum = 0;
  for (const auto& payment : paid) sum += payment.amount;
  return sum;
}

std::string renewal_hold(const wire::Envelope& renewal) {
  return std::string(kRenewalHold) + renewal.digest();
}

std::int64_t Tenancy::present_ms(UtcMillis now_ms) const {
  const auto until_ms = left_ms != 0 ? left_ms : now_ms;
  return std::max<std::int64_t>(until_ms - arrived_ms - gap_ms, 0);
}

json::Object Tenancy::status_json() const {
  return {{"lease_id", lease_id},
          {"state", to_string(state)},
          {"provider", provider.id()},
          {"provider_name", provider_name},
          {"slot_seconds", slot_seconds},
          {"start_ms", start_ms},
          {"expires_ms", expires_ms},
          {"renewals", renewals},
          {"paid_ucredits", paid_total()},
          {"used_seconds", used_seconds},
          {"usages", usages},
          {"charged_ucredits", charged},
          {"refunded_ucredits", refunded},
          {"penalty_ucredits", penalty},
          {"receipt", has_receipt},
          {"arrived_ms", arrived_ms},
          {"left_ms", left_ms},
          {"dispute", dispute}};
}

const wire::Envelope* renewal_answer(const Tenancy& tenancy, const wire::Envelope& asked) {
  for (const auto& paper : tenancy.papers) {
    if (paper.type != wire::RenewedLease::kType) continue;
    const auto renewed = wire::RenewedLease::from_json(paper.body);
    if (renewed && renewed->renewal.digest() == asked.digest()) return &paper;
  }
  return nullptr;
}

RenewalTimes renewal_times(const Tenancy& tenancy, std::int64_t interval_ms, std::int64_t rounds) {
  RenewalTimes times;
  times.end_ms = tenancy.expires_ms;
  times.clear_ms = tenancy.expires_ms + tenancy.grace_ms;
  times.until_ms = tenancy.expires_ms - tenancy.renew_before_ms;
  // Half of what a slot is at most: the other half of the time the ICON simply serves.
  const auto slot_ms = tenancy.slot_seconds * 1000 - tenancy.renew_before_ms;
  const auto lead_ms =
      std::min(std::max(kLeadMsMin, (rounds + 2) * interval_ms), std::max(slot_ms / 2, {}));
  times.look_ms = times.until_ms - lead_ms;
  times.ask_ms = times.until_ms - std::min(std::max(kAskAheadMsMin, lead_ms / 4), lead_ms);
  return times;
}

RenewalChoice choose_renewal(const RenewalView& view) {
  if (view.mode == Renew::kNever) return {false, "never"};
  if (!view.price) return {false, "not_for_sale"};
  if (view.price_max && *view.price > *view.price_max) return {false, "too_dear"};
  if (*view.price > view.available) return {false, "no_money"};
  if (view.mode == Renew::kWorth && *view.price > view.worth) return {false, "not_worth_it"};
  return {true, "renewed"};
}

std::int64_t renewal_seconds(const Tenancy& tenancy) {
  const auto steps = std::min<std::int64_t>(tenancy.renewals / kRenewalsPerLength, kLengthStepsMax);
  return std::min(tenancy.slot_seconds << steps, wire::kSlotSecondsMax);
}

Status LeaseBook::load() {
  tenancies_.clear();
  const auto text = read_file(path_, kBookBytesMax);
  if (!text && text.error().code == Code::kNotFound) return {};
  if (!text) return fail(text.error());
  ICON_TRY(const auto object, json::parse_object(*text, kBookBytesMax, json::kOwnDepthMax));
  ICON_TRY([[maybe_unused]] const auto version,
           json::get_int(object, "version", kVersion, kVersion));
  ICON_TRY(const auto* list, json::get_array(object, "leases", kTenanciesMax));
  for (const auto& item : *list) {
    if (!item.is_object()) return fail(Code::kInvalid, "leases: not an object");
    ICON_TRY(auto tenancy, tenancy_from(item.get_object()));
    tenancies_.push_back(std::move(tenancy));
  }
  return {};
}

Status LeaseBook::save() const {
  json::Array list;
  for (const auto& tenancy : tenancies_) list.emplace_back(to_json(tenancy));
  const json::Object object{{"version", kVersion}, {"leases", std::move(list)}};
  return write_file_atomic(path_, boost::json::serialize(object), 0600);
}

Tenancy* LeaseBook::here() {
  const auto found = std::find_if(tenancies_.begin(), tenancies_.end(), [](const Tenancy& each) {
    return each.state == Tenancy::State::kHere;
  });
  return found == tenancies_.end() ? nullptr : &*found;
}

namespace {

Result<Tenancy> tenancy_of(const wire::Envelope& envelope, const PublicKey& icon,
                           const std::string& provider_name, const Endpoint& api,
                           UtcMillis now_ms) {
  ICON_TRY(const auto lease, wire::open<wire::Lease>(envelope));
  ICON_TRY(const auto bid, lease.verified_bid());
  if (bid.icon != icon) return fail(Code::kUnauthenticated, "the lease is another's");
  Tenancy fresh;
  fresh.lease_id = lease.lease_id;
  fresh.icon = icon;
  fresh.provider = lease.provider;
  fresh.provider_name = provider_name;
  fresh.api = api;
  fresh.resources = bid.resources;
  fresh.slot_seconds = bid.slot_seconds;
  fresh.start_ms = lease.start_ms;
  fresh.expires_ms = lease.expires_ms;
  fresh.paid = {{bid.nonce, bid.price_ucredits}};
  fresh.papers = {envelope};
  fresh.arrived_ms = std::min(now_ms, lease.start_ms);  // it served before we could say so
  return fresh;
}

}  // namespace

Status LeaseBook::replica_bought(const wire::Envelope& lease, const PublicKey& child,
                                 const std::string& provider_name, const Endpoint& api,
                                 UtcMillis now_ms) {
  ICON_TRY(auto fresh, tenancy_of(lease, child, provider_name, api, now_ms));
  fresh.state = Tenancy::State::kReplica;
  fresh.next_try_ms = fresh.expires_ms;
  // Never the one under which we run.
  const auto oldest = std::find_if(tenancies_.begin(), tenancies_.end(), [](const Tenancy& each) {
    return each.state == Tenancy::State::kSettled || each.state == Tenancy::State::kGivenUp;
  });
  if (tenancies_.size() >= kTenanciesMax && oldest == tenancies_.end())
    return fail(Code::kLimit, "too many bills are open");
  if (tenancies_.size() >= kTenanciesMax) tenancies_.erase(oldest);
  tenancies_.push_back(std::move(fresh));
  return {};
}

void LeaseBook::drop_replica(const std::string& hold) {
  std::erase_if(tenancies_, [&](const Tenancy& each) {
    return each.state == Tenancy::State::kReplica && each.paid.front().hold == hold;
  });
}

Status LeaseBook::arrived(const std::optional<wire::Envelope>& envelope, const PublicKey& icon,
                          const std::string& provider_name, const Endpoint& api, UtcMillis now_ms) {
  ticked_ms_ = now_ms;
  std::optional<Tenancy> fresh;
  if (envelope) {
    ICON_TRY(fresh, tenancy_of(*envelope, icon, provider_name, api, now_ms));
    if (auto* now_here = here(); now_here != nullptr && now_here->lease_id == fresh->lease_id) {
      now_here->left_ms = 0;
      return {};
    }
  }
  if (auto* before = here()) {
    before->state = Tenancy::State::kLeft;
    before->left_ms = now_ms;  // until here it ran there, or came from there
    before->next_try_ms = now_ms;
  }
  if (fresh) tenancies_.push_back(std::move(*fresh));
  while (tenancies_.size() > kTenanciesMax) tenancies_.erase(tenancies_.begin());
  return {};
}

void LeaseBook::leaving(UtcMillis now_ms) {
  if (auto* now_here = here()) now_here->left_ms = now_ms;
}

void LeaseBook::returned() {
  if (auto* now_here = here()) now_here->left_ms = 0;
}

void LeaseBook::ticked(UtcMillis now_ms) {
  auto* now_here = here();
  if (now_here != nullptr && ticked_ms_ != 0 && now_ms - ticked_ms_ > kGapMs)
    now_here->gap_ms += now_ms - ticked_ms_;
  ticked_ms_ = now_ms;
}

Status read_papers(Tenancy& tenancy, const std::vector<wire::Envelope>& documents,
                   UtcMillis now_ms) {
  const auto* ours = lease_of(tenancy.papers);
  const auto* theirs = lease_of(documents);
  if (ours == nullptr || theirs == nullptr || ours->digest() != theirs->digest())
    return fail(Code::kUnauthenticated, "these are the papers of another lease");
  // With those that we kept: two that differ where there may be one are seen as such.
  std::vector<wire::Envelope> together;
  std::set<std::string> digests;
  for (const auto* papers : {&documents, &std::as_const(tenancy.papers)})
    for (const auto& paper : *papers)
      if (digests.insert(paper.digest()).second) together.push_back(paper);
  ICON_TRY(const auto accounts, budget::lease::accounts_of(together));
  if (accounts.size() != 1 || accounts.front().icon != tenancy.icon)
    return fail(Code::kUnauthenticated, "among the papers are those of other leases");
  const auto& account = accounts.front();
  Tenancy after = tenancy;
  after.papers = worth_keeping(together);
  if (after.papers.size() > kPapersMax) return fail(Code::kLimit, "too many papers of one lease");
  std::map<std::int64_t, Tenancy::Payment> renewals;
  for (const auto& paper : after.papers) {
    if (paper.type == wire::LeaseTerms::kType) {
      ICON_TRY(const auto terms, wire::open<wire::LeaseTerms>(paper));
      after.renew_before_ms = terms.renew_before_ms;
      after.grace_ms = terms.grace_ms;
      after.has_terms = true;
    } else if (paper.type == wire::RenewedLease::kType) {
      ICON_TRY(const auto renewed, wire::open<wire::RenewedLease>(paper));
      ICON_TRY(const auto renewal, wire::open<wire::Renewal>(renewed.renewal));
      renewals[renewal.sequence] = {renewal_hold(renewed.renewal), renewal.price_ucredits};
    }
  }
  after.paid.resize(1);
  for (auto& [sequence, payment] : renewals) after.paid.push_back(std::move(payment));
  take_bill(account, after, now_ms);
  tenancy = std::move(after);
  return {};
}

std::vector<Tenancy::Payment> refunds_of(const Tenancy& tenancy) {
  auto back = tenancy.paid;
  // What is owed and not granted is no money yet.
  auto left = tenancy.refunded + (tenancy.dispute.empty() ? tenancy.penalty : 0);
  for (auto payment = back.rbegin(); payment != back.rend(); ++payment) {
    payment->amount = std::min(left, payment->amount);
    left -= payment->amount;
  }
  return back;
}

}  // namespace icon::agent
