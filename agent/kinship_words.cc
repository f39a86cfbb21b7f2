// What parent and child say, hear, and wait for.
#include <algorithm>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/json/serialize.hpp>

#include "agent/kinship.h"
#include "base/log.h"

namespace icon::agent {
namespace {

constexpr Millis kWordLifetime{60'000};
constexpr Millis kAgain{500};
constexpr int kMovedMax = 2;  // a host that has moved on says where to, and so may the next

const wire::Envelope* of_type(const std::vector<wire::Envelope>& all, std::string_view type) {
  const auto found = std::find_if(all.begin(), all.end(),
                                  [&](const auto& envelope) { return envelope.type == type; });
  return found == all.end() ? nullptr : &*found;
}

}  // namespace

Task<void> Kinship::pause(Millis time) {
  boost::asio::steady_timer timer(co_await boost::asio::this_coro::executor, time);
  co_await timer.async_wait(boost::asio::use_awaitable);
}

// At most one conversation at a time, and the last state always gets through.
void Kinship::talk() {
  if (!can_speak()) return;
  talk_again_ = true;
  if (talking_) return;
  talking_ = true;
  parts_.tasks.spawn("kin", talk_task());
}

bool Kinship::is_spoken_to(const Child& child) const {
  return child.state == Child::State::kServing || child.state == Child::State::kDraining ||
         is_unsure(child);
}

Task<void> Kinship::talk_task() {
  struct Done {
    bool& talking;
    ~Done() { talking = false; }
  } done{talking_};
  while (std::exchange(talk_again_, false)) {
    co_await guide();
    std::vector<PublicKey> children;
    for (const auto& child : family_.children())
      if (!is_lost(child) && is_spoken_to(child)) children.push_back(child.place.icon);
    for (const auto& child : children) co_await tell(child);
    // Also while its users leave, which may take an hour: who is silent is given up.
    if (!family_.elders().above.empty() && family_.elders().heard_ms > 0 && !ending_) {
      const auto state =
          draining_ ? wire::KinReport::State::kDraining : wire::KinReport::State::kServing;
      const auto told = co_await report(state, {});
      if (!told) log::debug("kin.not_reported", {{"message", told.error().message}});
    }
  }
}

// A child speaks only to a parent that it has heard: else both would be silent for ever.
Task<void> Kinship::tell_lost_task(std::vector<PublicKey> children) {
  struct Done {
    bool& telling;
    ~Done() { telling = false; }
  } done{telling_lost_};
  telling_lost_ = true;
  for (const auto& child : children) co_await tell(child);
}

Task<Status> Kinship::say(wire::KinPlace* to, std::vector<wire::Envelope> what) {
  wire::KinPlace now = *to;
  for (int i = 0; i < kMovedMax; ++i) {
    const auto moved = co_await parts_.link.say(now, what);
    if (!moved) co_return fail(moved.error());
    if (!*moved) {
      *to = now;
      co_return Status{};
    }
    now.host = (*moved)->host;
    now.api = (*moved)->api;
  }
  co_return fail(Code::kUnavailable, "it moves faster than it can be followed");
}

Task<void> Kinship::tell(PublicKey icon) {
  Child* child = family_.find(icon);
  if (child == nullptr) co_return;
  const UtcMillis now_ms = parts_.clock.utc_ms();
  wire::KinWord word;
  word.parent = place();
  word.child = icon;
  word.groups = child->groups;
  word.leads = parts_.policy.redirect == RedirectMode::kRedirect &&
               family_.leads_to(*child, now_ms) && !child->groups.empty();
  word.may_end = child->may_end;
  word.heard_ms = child->reported_ms;
  if (family_.elders().heard_ms > 0) word.above = family_.elders().above;
  word.issued_ms = last_issued_ms_ = std::max(now_ms, last_issued_ms_ + 1);
  word.expires_ms = word.issued_ms + kWordLifetime.count();
  const auto sealed = wire::seal(*parts_.identity.key, word);
  if (!sealed) co_return;
  std::vector<wire::Envelope> what{*sealed};
  if (child->share) what.push_back(*child->share);
  const wire::KinPlace known = child->place;
  wire::KinPlace to = known;
  const auto said = co_await say(&to, std::move(what));
  child = family_.find(icon);  // much may have happened
  if (said && child != nullptr && child->place == known) child->place = to;
  if (!said) log::debug("kin.not_told", {{"message", said.error().message}});
}

Task<Status> Kinship::report(wire::KinReport::State state, std::vector<wire::Envelope> beside) {
  const UtcMillis now_ms = parts_.clock.utc_ms();
  wire::KinReport report;
  report.child = place();
  report.to = family_.elders().above.front().icon;
  report.state = state;
  for (const auto& seen : parts_.table.snapshot()) {
    report.connections += seen.connections;
    if (report.groups.size() < wire::kKinGroupsMax)
      report.groups.push_back(
          {seen.prefix, seen.weight, static_cast<std::int64_t>(seen.rtt_us_p50)});
  }
  if (parts_.wallet) {
    report.left_ucredits = parts_.wallet->available();
    report.spent_ucredits = parts_.wallet->totals().spent_ucredits;
  }
  report.issued_ms = last_issued_ms_ = std::max(now_ms, last_issued_ms_ + 1);
  report.expires_ms = report.issued_ms + kWordLifetime.count();
  ICON_CO_TRY(auto sealed, wire::seal(*parts_.identity.key, report));
  std::vector<wire::Envelope> what{std::move(sealed)};
  what.insert(what.end(), beside.begin(), beside.end());
  // Whoever is to adopt us must see that we descend from him.
  const auto& birth = parts_.identity.birth_document;
  if (birth && report.to != parts_.identity.birth->parent) {
    what.push_back(*birth);
    if (const auto& share = family_.elders().share) what.push_back(*share);
  }
  const wire::KinPlace known = family_.elders().above.front();
  wire::KinPlace to = known;
  ICON_CO_CHECK(co_await say(&to, std::move(what)));
  auto& above = family_.elders().above;
  if (!above.empty() && above.front() == known) above.front() = to;
  co_return Status{};
}

// ---- Hearing ----

void Kinship::hear(const std::vector<wire::Envelope>& documents) {
  if (!can_speak()) return;
  if (const auto* share = of_type(documents, wire::Share::kType)) hear_share(*share);
  if (const auto* report = of_type(documents, wire::KinReport::kType))
    hear_report(*report, documents);
  if (const auto* word = of_type(documents, wire::KinWord::kType)) hear_word(*word);
}

void Kinship::hear_report(const wire::Envelope& envelope, const std::vector<wire::Envelope>& all) {
  const UtcMillis now_ms = parts_.clock.utc_ms();
  const auto report = wire::open<wire::KinReport>(envelope);
  if (!report) return note("report_refused", fail(report.error()));
  if (report->to != me()) return note("report_refused", fail(Code::kRefused, "it is for another"));
  if (const auto timely = wire::check_times(report->issued_ms, report->expires_ms, now_ms); !timely)
    return note("report_refused", timely);
  const Child* known = family_.find(report->child.icon);
  if (known == nullptr) {
    if (const auto adopted = adopt(*report, all); !adopted) return note("not_adopted", adopted);
    known = family_.find(report->child.icon);
  }
  // Whoever speaks runs, also when we had given it up.
  if (known->state == Child::State::kOrdered && known->migration != parts_.purchase.migration)
    settle_child(known->migration, true);
  known = family_.find(report->child.icon);
  const bool is_new = known->heard_ms == 0;
  const auto before = known->state;
  // Before the report counts as heard: what is acknowledged has arrived.
  if (const auto credited = credit(all, report->child.icon); !credited)
    return note("return_refused", credited);
  if (const auto heard = family_.heard(*report, now_ms); !heard) return;
  const Child& child = *family_.find(report->child.icon);
  if (is_new || child.state != before)
    log::info("kin.child", {{"icon", short_id(child.place.icon.id())},
                            {"state", to_string(child.state)},
                            {"public_address", child.place.public_address.to_string()},
                            {"connections", child.connections}});
  save();
  // The first and the last words are answered at once; the others wait for their turn.
  if (child.state == Child::State::kEnded && child.state != before) parts_.gone(child.place.icon);
  if (child.state == Child::State::kEnded && !forgotten_)
    parts_.tasks.spawn("kin_last", tell(child.place.icon));
  if (is_new || child.state != Child::State::kServing) talk();
}

Status Kinship::credit(const std::vector<wire::Envelope>& all, const PublicKey& child) {
  const auto* returned = of_type(all, wire::ShareReturn::kType);
  if (returned == nullptr) return {};
  if (!parts_.wallet) return fail(Code::kUnavailable, "there is no purse to take it back into");
  ICON_TRY(const auto what, wire::open<wire::ShareReturn>(*returned));
  if (what.child != child) return fail(Code::kUnauthenticated, "a return beside another's report");
  std::vector<wire::Envelope> path;
  if (what.grantor != me()) {
    // Its parent is gone: first our share to that, then that's to it.
    const Child* parent = family_.find(what.grantor);
    const auto* share = of_type(all, wire::Share::kType);
    if (parent == nullptr || !parent->share || share == nullptr)
      return fail(Code::kUnauthenticated, "no way leads from us to this money");
    path = {*parent->share, *share};
  }
  const auto before = parts_.wallet->available();
  ICON_CHECK(parts_.wallet->accept_return(lineage(), *returned, path, parts_.clock.utc_ms()));
  if (parts_.wallet->available() == before) return {};
  if (parts_.chronicle) note("ledger", parts_.chronicle->record(*returned));
  log::info("kin.returned", {{"from", short_id(child.id())},
                             {"ucredits", parts_.wallet->available() - before},
                             {"left_ucredits", parts_.wallet->available()}});
  return {};
}

// Whose parent was our child, and says so by its birth.
Status Kinship::adopt(const wire::KinReport& report, const std::vector<wire::Envelope>& all) {
  const auto* document = of_type(all, wire::Birth::kType);
  if (document == nullptr) return fail(Code::kNotFound, "a report of nobody's child");
  ICON_TRY(const auto birth, wire::open<wire::Birth>(*document));
  const bool descends =
      birth.child == report.child.icon && family_.find(birth.parent) != nullptr &&
      std::find(birth.ancestors.begin(), birth.ancestors.end(), me()) != birth.ancestors.end();
  if (!descends) return fail(Code::kUnauthenticated, "it does not descend from us");
  Child child;
  child.place = report.child;
  child.state = Child::State::kServing;
  child.migration = birth.migration_id;
  child.provider_name = "adopted";
  child.birth = *document;
  child.born_ms = birth.issued_ms;
  ICON_CHECK(family_.ordered(std::move(child), parts_.clock.utc_ms()));
  log::info("kin.adopted",
            {{"icon", short_id(report.child.icon.id())}, {"parent", short_id(birth.parent.id())}});
  return {};
}

void Kinship::hear_word(const wire::Envelope& envelope) {
  const UtcMillis now_ms = parts_.clock.utc_ms();
  const auto word = wire::open<wire::KinWord>(envelope);
  if (!word) return note("word_refused", fail(word.error()));
  if (word->child != me()) return note("word_refused", fail(Code::kRefused, "it is for another"));
  if (const auto timely = wire::check_times(word->issued_ms, word->expires_ms, now_ms); !timely)
    return note("word_refused", timely);
  const bool first = family_.elders().heard_ms == 0;
  if (const auto heard = family_.heard(*word, now_ms); !heard) {
    if (heard.error().code != Code::kExpired) note("word_refused", heard);
    return;
  }
  orphan_ = false;
  save();
  if (!first) return;
  log::info("kin.parent", {{"icon", short_id(word->parent.icon.id())},
                           {"public_address", word->parent.public_address.to_string()},
                           {"networks", word->groups.size()}});
  talk();
}

void Kinship::hear_share(const wire::Envelope& envelope) {
  if (!parts_.wallet || !parts_.identity.birth || envelope.signer == me()) return;
  const auto share = wire::open<wire::Share>(envelope);
  if (!share || share->child != me()) return;
  const auto before = parts_.wallet->totals().budget_ucredits;
  const auto accepted = parts_.wallet->accept_share(lineage(), envelope, parts_.clock.utc_ms());
  if (!accepted) return note("share_refused", accepted);
  // Also one that is in the purse already: a process that died has not kept the paper, and without
  // it nothing goes back.
  const auto& kept = family_.elders().share;
  const auto known = kept ? wire::open<wire::Share>(*kept) : fail(Code::kNotFound, "no share");
  if (!known || known->total_ucredits < share->total_ucredits) {
    family_.elders().share = envelope;
    save();
  }
  const auto budget = parts_.wallet->totals().budget_ucredits;
  if (budget == before) return;
  if (parts_.chronicle) note("ledger", parts_.chronicle->record(envelope));
  log::info("kin.granted", {{"from", short_id(share->parent.id())}, {"budget_ucredits", budget}});
}

// ---- Leading users ----

json::Object Kinship::guidance() const {
  const auto remember_s = (parts_.policy.replicate.remember_ms + 999) / 1000;
  const auto& above = family_.elders().above;
  if (leads_everybody_ && !above.empty())
    return {{"remember_s", 0}, {"everybody", above.front().public_address.to_string()}};
  json::Array groups;
  std::vector<Prefix> led;
  const UtcMillis now_ms = parts_.clock.utc_ms();
  for (const auto& child : family_.children()) {
    if (!family_.leads_to(child, now_ms)) continue;
    json::Array networks;
    for (const auto& group : child.groups) {
      if (!group.prefix.address.is_v4() ||
          std::find(led.begin(), led.end(), group.prefix) != led.end())
        continue;
      led.push_back(group.prefix);
      networks.emplace_back(group.prefix.to_string());
    }
    if (!networks.empty())
      groups.push_back(json::Object{{"to", child.place.public_address.to_string()},
                                    {"networks", std::move(networks)}});
  }
  return {{"remember_s", remember_s}, {"groups", std::move(groups)}};
}

Task<void> Kinship::guide() {
  if (parts_.policy.redirect != RedirectMode::kRedirect) co_return;
  auto wanted = guidance();
  const auto text = boost::json::serialize(wanted);
  const bool nothing = !wanted.contains("everybody") && wanted.at("groups").as_array().empty();
  if (text == guided_ || (nothing && guided_.empty())) co_return;
  const auto status = co_await parts_.link.put_guidance(std::move(wanted));
  if (!status) {
    log::warn("kin.not_guided", {{"message", status.error().message}});
    co_return;
  }
  guided_ = nothing ? "" : text;
  log::info("kin.guided", {{"guidance", text}});
}

// ---- After a restart ----

// Its slot is paid for whatever has become of the hold: nobody may have said for an hour that it
// runs.
Status Kinship::pay_for(const Child& child) {
  const UtcMillis now_ms = parts_.clock.utc_ms();
  const auto settled = parts_.wallet->settle(child.migration, now_ms);
  if (settled || settled.error().code != Code::kConflict) return settled;
  const std::string late = child.migration + "/late";
  ICON_CHECK(parts_.wallet->hold(late, child.price_ucredits, now_ms));
  return parts_.wallet->settle(late, now_ms);
}

void Kinship::settle_child(const std::string& migration, bool runs) {
  const Child child = *family_.by_migration(migration);
  if (parts_.wallet)
    note("purse", runs ? pay_for(child) : parts_.wallet->release(migration, parts_.clock.utc_ms()));
  if (runs && parts_.chronicle) {
    const auto birth = wire::open<wire::Birth>(child.birth);
    const Replica replica{child.place.icon, birth ? birth->mode : wire::Birth::Mode::kClone,
                          child.birth, std::nullopt};
    note("ledger", parts_.chronicle->replicated(replica, migration, child.place.host));
  }
  log::info("kin.resolved", {{"migration", migration}, {"runs", runs}});
  ended(migration, runs);
}

// An order was under way when an earlier process ended: was it taken, and does the child run?
Task<void> Kinship::resolve_task() {
  struct Done {
    bool& resolving;
    ~Done() { resolving = false; }
  } done{resolving_};
  resolving_ = true;
  for (;;) {
    const auto unsure = to_ask_after();
    if (unsure.empty()) co_return;
    if (is_turn_of_lost(lost_asked_ms_)) lost_asked_ms_ = parts_.clock.utc_ms();
    for (const auto& migration : unsure) {
      const auto state = co_await parts_.link.migration_state(migration);
      const Child* child = family_.by_migration(migration);
      if (child == nullptr || !is_unsure(*child)) continue;
      // Another host than the one that was asked knows nothing of it; the child's own word may
      // come.
      const bool never = !state && state.error().code == Code::kNotFound &&
                         child->ordered_at == parts_.self->supervisor;
      if (never || (state && *state == "rolled_back")) settle_child(migration, false);
      if (state && *state == "done") settle_child(migration, true);
    }
    co_await pause(kAgain);
  }
}

}  // namespace icon::agent
