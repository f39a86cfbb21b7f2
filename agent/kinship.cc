#include "agent/kinship.h"

#include <algorithm>
#include <boost/json/serialize.hpp>

#include "base/file.h"
#include "base/log.h"

namespace icon::agent {
namespace {

// An orphan whom nobody adopts ends with its lease, and begins so long before.
constexpr Millis kOrphanEnd{60'000};

}  // namespace

budget::Lineage Kinship::lineage() const {
  budget::Lineage lineage{me(), {}};
  if (const auto& birth = parts_.identity.birth) {
    lineage.above.push_back(birth->parent);
    lineage.above.insert(lineage.above.end(), birth->ancestors.begin(), birth->ancestors.end());
  }
  return lineage;
}

wire::KinPlace Kinship::place() const {
  const auto& self = *parts_.self;
  return {me(), self.supervisor, self.api, self.public_address};
}

void Kinship::note(std::string_view what, const Status& status) const {
  if (!status)
    log::warn(std::string("kin.") + std::string(what),
              {{"code", to_string(status.error().code)}, {"message", status.error().message}});
}

void Kinship::load() {
  if (loaded_) return;
  loaded_ = true;
  const auto text = read_file(parts_.file, kFamilyBytesMax);
  if (text) {
    const auto object = json::parse_object(*text, kFamilyBytesMax, json::kOwnDepthMax);
    auto family = object ? Family::from_json(*object) : Result<Family>(fail(object.error()));
    if (family)
      family_ = std::move(*family);
    else
      log::error("kin.file_damaged", {{"message", family.error().message},
                                      {"consequence", "its children are strangers to it"}});
  }
  seed_elders();
}

// Who they are the birth says; where they are their first word.
void Kinship::seed_elders() {
  auto& above = family_.elders().above;
  if (!above.empty() || !parts_.identity.birth) return;
  for (const auto& key : lineage().above) above.push_back({key, {}, {}, {}});
}

void Kinship::save() {
  const auto& elders = family_.elders();
  // Nothing is known yet that the birth does not say.
  if (!elders.above.empty() && elders.heard_ms == 0 && !elders.share) return;
  note("save", write_file_atomic(parts_.file, boost::json::serialize(family_.to_json()), 0600));
}

void Kinship::arrived() {
  forgotten_ = false;
  guided_.clear();
  lost_told_ms_ = lost_asked_ms_ = 0;
  if (!can_speak()) return;
  load();
  resolve();
  talk();
  tell_lost();
}

// The question is for our own host, and cheap: whether the child is heard of does not matter.
std::vector<std::string> Kinship::to_ask_after() const {
  const bool lost_too = is_turn_of_lost(lost_asked_ms_);
  std::vector<std::string> unsure;
  for (const auto& child : family_.children())
    if (is_unsure(child) && (lost_too || !is_lost(child))) unsure.push_back(child.migration);
  return unsure;
}

void Kinship::resolve() {
  if (!resolving_ && !to_ask_after().empty()) parts_.tasks.spawn("children", resolve_task());
}

// Apart from the others: hosts that are gone do not delay the words to those that live.
void Kinship::tell_lost() {
  if (telling_lost_ || !is_turn_of_lost(lost_told_ms_)) return;
  std::vector<PublicKey> children;
  for (const auto& child : family_.children())
    if (is_lost(child) && is_spoken_to(child)) children.push_back(child.place.icon);
  if (children.empty()) return;
  lost_told_ms_ = parts_.clock.utc_ms();
  parts_.tasks.spawn("kin_lost", tell_lost_task(std::move(children)));
}

void Kinship::forget() {
  family_ = {};
  loaded_ = forgotten_ = false;
  talking_ = talk_again_ = telling_lost_ = resolving_ = draining_ = ending_ = leads_everybody_ =
      orphan_ = false;
  rounds_lost_ = last_issued_ms_ = lost_told_ms_ = lost_asked_ms_ = 0;
  guided_.clear();
  lost_.clear();
}

Status Kinship::ordered(const Purchase& purchase, const KnownProvider& provider,
                        std::vector<wire::KinGroup> groups, bool may_end) {
  if (!purchase.replica) return fail(Code::kInternal, "no replica was bought for");
  Child child;
  child.place = {purchase.replica->child, purchase.provider, provider.view.api,
                 provider.view.api.address};
  child.ordered_at = parts_.self->supervisor;
  child.migration = purchase.migration;
  child.ordered_ms = parts_.clock.utc_ms();
  child.provider_name = purchase.provider_name;
  child.price_ucredits = purchase.price_ucredits;
  child.birth = purchase.replica->birth;
  if (groups.size() > wire::kKinGroupsMax) groups.resize(wire::kKinGroupsMax);
  child.groups = std::move(groups);
  child.may_end = may_end;
  ICON_CHECK(family_.ordered(std::move(child), parts_.clock.utc_ms()));
  // From here on no crash makes us forget it, or its money.
  return write_file_atomic(parts_.file, boost::json::serialize(family_.to_json()), 0600);
}

bool Kinship::waits_for(const std::string& migration) {
  if (parts_.identity.key) load();
  const Child* child = family_.by_migration(migration);
  return child != nullptr && child->state == Child::State::kOrdered;
}

void Kinship::ended(const std::string& migration, bool runs) {
  Child* child = family_.by_migration(migration);
  if (child == nullptr || child->state != Child::State::kOrdered) return;
  if (!runs) {
    family_.drop(migration);
    parts_.failed(migration);
    return save();
  }
  child->state = Child::State::kServing;
  child->born_ms = parts_.clock.utc_ms();
  log::info("kin.child_born", {{"icon", short_id(child->place.icon.id())},
                               {"provider", child->provider_name},
                               {"networks", child->groups.size()}});
  give_share(*child);
  save();
  talk();
}

// Capped by the policy, out of what is left now that its first slot is paid for.
void Kinship::give_share(Child& child) {
  if (!parts_.wallet || !child.may_end || child.share || !can_speak()) return;
  const auto total = budget::saturated_scale(parts_.wallet->available(),
                                             parts_.policy.replicate.share_percent, 100);
  if (total <= 0) return;
  const UtcMillis now_ms = parts_.clock.utc_ms();
  auto share =
      parts_.wallet->share(*parts_.identity.key, lineage(), child.place.icon, total, now_ms);
  if (!share) return note("share", fail(share.error()));
  if (parts_.chronicle) note("ledger", parts_.chronicle->record(*share));
  child.share = std::move(*share);
  child.share_ucredits = total;
  log::info("kin.share", {{"to", short_id(child.place.icon.id())},
                          {"total_ucredits", total},
                          {"left_ucredits", parts_.wallet->available()}});
}

bool Kinship::is_served_elsewhere(const Prefix& prefix) const {
  return parts_.policy.redirect == RedirectMode::kRedirect &&
         family_.is_served_elsewhere(prefix, parts_.clock.utc_ms());
}

std::vector<Address> Kinship::serving_addresses() const {
  std::vector<Address> addresses;
  for (const auto& child : family_.children())
    if (family_.serves(child, parts_.clock.utc_ms()))
      addresses.push_back(child.place.public_address);
  return addresses;
}

budget::ReplicaView Kinship::replicas() const {
  // The family is the root's: a child's replicas would be decided without knowing its siblings.
  const bool may = !parts_.identity.is_child && !draining_;
  return family_.replicas(may ? parts_.policy.replicate.max : 0, parts_.clock.utc_ms());
}

std::optional<budget::RetireDecision> Kinship::look_back(const HereView& here,
                                                         std::vector<budget::PrefixView> users) {
  auto decision = judge(here, std::move(users));
  if (decision) rounds_lost_ = decision->rounds_lost;
  return decision;
}

std::optional<budget::RetireDecision> Kinship::judge(const HereView& here,
                                                     std::vector<budget::PrefixView> users) const {
  const auto& elders = family_.elders();
  const UtcMillis now_ms = parts_.clock.utc_ms();
  if (!parts_.identity.birth || draining_ || elders.serves_ms == 0 || !elders.may_end)
    return std::nullopt;
  budget::RetireInput input;
  input.here_name = here.name;
  input.here_id = here.id;
  input.price_ucredits = here.price_ucredits;
  input.slot_seconds = here.slot_seconds;
  input.policy = parts_.policy.decision_policy();
  // Users come when what they remember is over, and count from then on.
  input.policy.cooldown_ms = std::max(input.policy.cooldown_ms, parts_.policy.window_ms) +
                             parts_.policy.replicate.remember_ms;
  input.born_ms = elders.serves_ms;
  input.rounds_lost = rounds_lost_;
  input.parent_name = "the parent at " + elders.above.front().public_address.to_string();
  for (const auto& user : users) {
    const auto group = std::find_if(elders.groups.begin(), elders.groups.end(),
                                    [&](const auto& it) { return it.prefix == user.prefix; });
    // Without a parent they would have nothing.
    const bool known = !orphan_ && group != elders.groups.end() && group->rtt_us > 0;
    input.parent_rtt_us.push_back(known ? std::optional(group->rtt_us) : std::nullopt);
  }
  input.prefixes = std::move(users);
  auto decision = budget::retire(input, now_ms);
  if (orphan_ && parts_.self->lease) {
    const auto lease = wire::open<wire::Lease>(*parts_.self->lease);
    const auto begins = kOrphanEnd.count() + parts_.policy.replicate.drain_ms;
    if (lease && lease->expires_ms - begins < now_ms) {
      decision.end = true;
      decision.evidence.outcome = "end";
      decision.evidence.reason = "orphan";
      decision.evidence.message = "the replica ends: its lease does, and nobody has adopted it";
    }
  }
  return decision;
}

void Kinship::tick() {
  if (!can_speak()) return;
  auto& elders = family_.elders();
  const UtcMillis now_ms = parts_.clock.utc_ms();
  if (!elders.above.empty() && elders.heard_ms > 0 &&
      now_ms - elders.heard_ms > kKinSilentMax.count() && !orphan_) {
    const std::string silent = short_id(elders.above.front().icon.id());
    const bool higher = family_.look_higher(now_ms);
    orphan_ = !higher;
    log::warn("kin.parent_silent",
              {{"parent", silent},
               {"next", higher ? short_id(elders.above.front().icon.id()) : "nobody"}});
  }
  look_for_lost();
  resolve();
  talk();
  tell_lost();
}

void Kinship::look_for_lost() {
  std::set<PublicKey> lost;
  for (const auto& child : family_.children()) {
    if (!is_lost(child)) continue;
    lost.insert(child.place.icon);
    if (lost_.contains(child.place.icon)) continue;
    log::warn("kin.child_lost",
              {{"icon", short_id(child.place.icon.id())},
               {"provider", child.provider_name},
               {"state", to_string(child.state)},
               {"silent_s", kKinLostMax.count() / 1000},
               {"consequence", "another may be made in its place; its share stays with it"}});
  }
  lost_ = std::move(lost);
}

void Kinship::lead_away() {
  draining_ = true;
  ending_ = false;
  parts_.tasks.spawn("lead_away", lead_away_task());
}

}  // namespace icon::agent
