#include "budget/lease/record.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>

#include "budget/lease/phase.h"

namespace icon::budget::lease {
namespace {

using wire::Envelope;

struct Papers {
  std::optional<wire::Lease> lease;
  wire::Bid bid;
  std::string lease_digest;
  std::optional<wire::LeaseTerms> terms;
  std::map<std::int64_t, wire::RenewedLease> renewals;
  std::map<std::int64_t, wire::Usage> usages;
  std::map<std::int64_t, std::string> usage_digests;
  std::optional<wire::Penalty> penalty;
  std::optional<wire::Receipt> receipt;
  std::string twice;  // two different documents where one may be
};

using Shelf = std::map<std::string, Papers>;

template <class Document>
void put(std::optional<Document>& place, Document document, Papers& papers) {
  if (place && *json::canonical(place->to_json()) != *json::canonical(document.to_json()))
    papers.twice = "two documents '" + std::string(Document::kType) + "' that differ";
  place = std::move(document);
}

template <class Document>
void put(std::map<std::int64_t, Document>& places, std::int64_t number, Document document,
         Papers& papers) {
  std::optional<Document> place;
  if (const auto known = places.find(number); known != places.end()) place = known->second;
  put(place, std::move(document), papers);
  places.insert_or_assign(number, std::move(*place));
}

Status sort_out(const Envelope& envelope, Shelf& shelf) {
  if (envelope.type == wire::Lease::kType) {
    ICON_TRY(auto lease, wire::open<wire::Lease>(envelope));
    ICON_TRY(const auto bid, lease.verified_bid());
    auto& papers = shelf[lease.lease_id];
    if (papers.lease && papers.lease_digest != envelope.digest())
      return fail(Code::kInvalid, "receipts: two leases are called " + lease.lease_id);
    papers.bid = bid;
    papers.lease_digest = envelope.digest();
    papers.lease = std::move(lease);
  } else if (envelope.type == wire::LeaseTerms::kType) {
    ICON_TRY(auto terms, wire::open<wire::LeaseTerms>(envelope));
    auto& papers = shelf[terms.lease_id];
    put(papers.terms, std::move(terms), papers);
  } else if (envelope.type == wire::RenewedLease::kType) {
    ICON_TRY(auto renewed, wire::open<wire::RenewedLease>(envelope));
    ICON_TRY(const auto renewal, wire::open<wire::Renewal>(renewed.renewal));
    auto& papers = shelf[renewal.lease_id];
    put(papers.renewals, renewal.sequence, std::move(renewed), papers);
  } else if (envelope.type == wire::Usage::kType) {
    ICON_TRY(auto usage, wire::open<wire::Usage>(envelope));
    auto& papers = shelf[usage.lease_id];
    papers.usage_digests[usage.sequence] = envelope.digest();
    const auto sequence = usage.sequence;
    put(papers.usages, sequence, std::move(usage), papers);
  } else if (envelope.type == wire::Penalty::kType) {
    ICON_TRY(auto penalty, wire::open<wire::Penalty>(envelope));
    auto& papers = shelf[penalty.lease_id];
    put(papers.penalty, std::move(penalty), papers);
  } else if (envelope.type == wire::Receipt::kType) {
    ICON_TRY(auto receipt, wire::open<wire::Receipt>(envelope));
    auto& papers = shelf[receipt.lease_id];
    put(papers.receipt, std::move(receipt), papers);
  }
  return {};
}

// One lease's papers, read in order; the first thing that is wrong ends it.
class Auditor {
 public:
  explicit Auditor(const Papers& papers) : papers_(papers) {
    const auto& lease = *papers.lease;
    account_.lease_id = lease.lease_id;
    account_.provider = lease.provider;
    account_.icon = papers.bid.icon;
    account_.start_ms = lease.start_ms;
    account_.expires_ms = lease.expires_ms;
    segments_.push_back({lease.start_ms, papers.bid.slot_seconds, papers.bid.price_ucredits, 0});
  }

  Account audit() {
    std::string wrong = papers_.twice;
    for (auto step : {&Auditor::parties, &Auditor::renewals, &Auditor::usages,
                      &Auditor::compensation, &Auditor::closing})
      if (wrong.empty()) wrong = (this->*step)();
    account_.wrong = std::move(wrong);
    account_.price = price(segments_);
    return account_;
  }

 private:
  template <class Document>
  bool is_ours(const Document& document) const {
    return document.provider == account_.provider && document.icon == account_.icon;
  }

  std::string parties() {
    if (papers_.terms && papers_.terms->provider != account_.provider)
      return "the terms are another provider's";
    for (const auto& [number, usage] : papers_.usages)
      if (!is_ours(usage)) return fmt::format("usage {} is another's", number);
    if (papers_.penalty && !is_ours(*papers_.penalty)) return "the penalty is another's";
    if (papers_.receipt && !is_ours(*papers_.receipt)) return "the receipt is another's";
    return {};
  }

  std::string renewals() {
    if (papers_.renewals.size() > kRenewalsMax) return "it was renewed too often";
    const auto terms = papers_.terms.value_or(wire::LeaseTerms{});
    for (const auto& [number, renewed] : papers_.renewals) {
      const Party party{account_.provider, account_.icon, account_.lease_id, account_.renewals};
      const Times times{
          true, 0, account_.start_ms, account_.expires_ms, terms.renew_before_ms, terms.grace_ms};
      if (renewed.provider != account_.provider) return "a renewal is another provider's";
      const auto end = check_renewal(party, times, renewed.renewal, renewed.issued_ms);
      if (!end) return end.error().message;
      if (renewed.expires_ms != *end)
        return fmt::format("renewal {} ends at another time than was asked for", number);
      const auto asked = wire::open<wire::Renewal>(renewed.renewal);
      segments_.push_back({account_.expires_ms, asked->seconds, asked->price_ucredits, 0});
      account_.expires_ms = *end;
      account_.renewals = number;
    }
    return {};
  }

  std::string usages() {
    auto previous = papers_.lease_digest;
    UtcMillis at = account_.start_ms;
    for (const auto& [number, usage] : papers_.usages) {
      if (number != account_.usages + 1 || usage.previous != previous)
        return fmt::format("usage {} does not follow: one is missing or was replaced", number);
      if (usage.from_ms < at) return fmt::format("usage {} counts time twice", number);
      const auto segment =
          std::find_if(segments_.begin(), segments_.end(), [&usage = usage](const Segment& each) {
            return usage.from_ms >= each.start_ms && usage.to_ms <= each.end_ms();
          });
      if (segment == segments_.end())
        return fmt::format("usage {} lies outside of what was leased", number);
      const auto most = use_bounds(papers_.bid.resources, usage.to_ms - usage.from_ms);
      if (usage.cpu_ms > most.cpu_ms || usage.memory_bytes_max > most.memory_bytes ||
          std::max(usage.sent_bytes, usage.received_bytes) > most.bytes_each_way)
        return fmt::format("usage {} counts more than the slot can give", number);
      segment->served_ms += usage.served_ms;
      at = usage.to_ms;
      // From the first to the last: what lies unmetered in between was not served either.
      account_.metered_ms = usage.to_ms - papers_.usages.begin()->second.from_ms;
      account_.charged = charge(segments_);
      if (usage.total_ucredits != account_.charged)
        return fmt::format("usage {} says {} credits, the time served costs {}", number,
                           format_credits(usage.total_ucredits), format_credits(account_.charged));
      previous = papers_.usage_digests.at(number);
      account_.usages = number;
    }
    for (const auto& segment : segments_) account_.used_seconds += seconds_used(segment);
    return {};
  }

  std::string compensation() {
    if (papers_.terms) account_.penalty = penalty(*papers_.terms, segments_, account_.metered_ms);
    if (papers_.penalty) {
      if (papers_.penalty->amount_ucredits != account_.penalty)
        return fmt::format("a penalty of {} credits, {} are owed",
                           format_credits(papers_.penalty->amount_ucredits),
                           format_credits(account_.penalty));
      if (papers_.usages.empty() ||
          papers_.penalty->usage_digest != papers_.usage_digests.rbegin()->second)
        return "the penalty does not count all usage";
    } else if (papers_.receipt && account_.penalty > 0) {
      return fmt::format("the provider owes a penalty of {} credits",
                         format_credits(account_.penalty));
    }
    return {};
  }

  // Without metered usage the receipt is the only word on the time; its sums must fit still.
  std::string closing() {
    if (!papers_.receipt) return {};
    const auto& receipt = *papers_.receipt;
    account_.closed = true;
    if (papers_.usages.empty()) {
      auto left_ms = receipt.used_seconds * 1000;
      for (auto& segment : segments_) {
        segment.served_ms = std::min(left_ms, segment.seconds * 1000);
        left_ms -= segment.served_ms;
      }
      if (left_ms > 0) return "the receipt counts more time than was leased";
      account_.charged = charge(segments_);
      account_.used_seconds = receipt.used_seconds;
    }
    if (receipt.used_seconds != account_.used_seconds)
      return fmt::format("the receipt counts {} s, the usage {} s", receipt.used_seconds,
                         account_.used_seconds);
    account_.refunded = receipt.refunded_ucredits;
    if (receipt.charged_ucredits != account_.charged)
      return fmt::format("the receipt charges {} credits, the time costs {}",
                         format_credits(receipt.charged_ucredits),
                         format_credits(account_.charged));
    if (receipt.refunded_ucredits != price(segments_) - account_.charged)
      return fmt::format("the receipt refunds {} credits, {} were not used",
                         format_credits(receipt.refunded_ucredits),
                         format_credits(price(segments_) - account_.charged));
    return {};
  }

  const Papers& papers_;
  Account account_;
  std::vector<Segment> segments_;
};

}  // namespace

Result<std::vector<Account>> accounts_of(const std::vector<Envelope>& documents) {
  if (documents.size() > kRecordDocumentsMax)
    return fail(Code::kLimit, "receipts: too many documents at once");
  Shelf shelf;
  for (const auto& envelope : documents) ICON_CHECK(sort_out(envelope, shelf));
  std::vector<Account> accounts;
  for (const auto& [id, papers] : shelf) {
    if (!papers.lease)
      return fail(Code::kInvalid, "receipts: the lease " + id + " itself is missing");
    accounts.push_back(Auditor(papers).audit());
  }
  return accounts;
}

}  // namespace icon::budget::lease
