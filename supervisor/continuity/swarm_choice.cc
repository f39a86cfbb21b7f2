#include "supervisor/continuity/swarm_choice.h"

#include <algorithm>
#include <boost/json/serialize.hpp>
#include <limits>
#include <set>

namespace icon::supervisor {
namespace {

constexpr std::int64_t kEpochMax = std::int64_t{1} << 40;
constexpr std::int64_t kSequenceMax = std::int64_t{1} << 48;
constexpr std::int64_t kWeightMax = 1'000'000'000;
constexpr std::int64_t kRttUsMax = 60'000'000;
constexpr std::size_t kIdBytes = 64;

Result<PublicKey> get_id(const json::Object& object, std::string_view key) {
  ICON_TRY(const auto text, json::get_string(object, key, kIdBytes));
  return PublicKey::from_id(text);
}

Result<const json::Object*> object_of(const json::Value& value) {
  const auto* object = value.if_object();
  if (object == nullptr) return fail(Code::kInvalid, "an entry is no object");
  return object;
}

Result<SwarmIcon> read_icon(const json::Object& object) {
  SwarmIcon icon;
  ICON_TRY(const auto id, get_id(object, "id"));
  icon.id = id.id();
  ICON_TRY(icon.epoch, json::get_int(object, "epoch", 1, kEpochMax));
  ICON_TRY(const auto* resources, json::get_object(object, "resources"));
  ICON_TRY(icon.resources, wire::Resources::from_json(*resources));
  ICON_TRY(icon.held, json::get_bool(object, "held"));
  ICON_TRY(const auto* users, json::get_array(object, "users", kSwarmUsersMax));
  for (const auto& value : *users) {
    ICON_TRY(const auto* user, object_of(value));
    ICON_TRY(const auto address, json::get_string(*user, "address", kIdBytes));
    SwarmUser read;
    ICON_TRY(read.address, Address::parse(address));
    ICON_TRY(read.weight, json::get_int(*user, "weight", 1, kWeightMax));
    icon.users.push_back(read);
  }
  return icon;
}

}  // namespace

json::Object HostReport::to_json() const {
  json::Array all;
  for (const auto& icon : icons) {
    json::Array users;
    for (const auto& user : icon.users)
      users.emplace_back(
          json::Object{{"address", user.address.to_string()}, {"weight", user.weight}});
    all.emplace_back(json::Object{{"id", icon.id},
                                  {"epoch", icon.epoch},
                                  {"resources", icon.resources.to_json()},
                                  {"held", icon.held},
                                  {"users", std::move(users)}});
  }
  json::Array far;
  for (const auto& [address, rtt] : rtt_us)
    far.emplace_back(json::Object{{"address", address.to_string()}, {"rtt_us", rtt}});
  return {{"host", host.id()},
          {"free", free.to_json()},
          {"kept", json::Array(kept.begin(), kept.end())},
          {"icons", std::move(all)},
          {"distances", std::move(far)}};
}

Result<HostReport> HostReport::from_json(const json::Object& object) {
  HostReport report;
  ICON_TRY(report.host, get_id(object, "host"));
  ICON_TRY(const auto* free, json::get_object(object, "free"));
  ICON_TRY(report.free, wire::Resources::from_json(*free));
  ICON_TRY(const auto* kept, json::get_array(object, "kept", kSwarmIconsMax));
  for (const auto& value : *kept) {
    if (!value.is_string() || value.get_string().size() > kIdBytes)
      return fail(Code::kInvalid, "field 'kept' holds no id");
    report.kept.emplace(value.get_string());
  }
  ICON_TRY(const auto* icons, json::get_array(object, "icons", kSwarmIconsMax));
  for (const auto& value : *icons) {
    ICON_TRY(const auto* entry, object_of(value));
    ICON_TRY(auto icon, read_icon(*entry));
    report.icons.push_back(std::move(icon));
  }
  ICON_TRY(const auto* far, json::get_array(object, "distances", kSwarmTargetsMax));
  for (const auto& value : *far) {
    ICON_TRY(const auto* entry, object_of(value));
    ICON_TRY(const auto text, json::get_string(*entry, "address", kIdBytes));
    ICON_TRY(const auto address, Address::parse(text));
    ICON_TRY(report.rtt_us[address], json::get_int(*entry, "rtt_us", 0, kRttUsMax));
  }
  return report;
}

json::Object SwarmDecision::to_json() const {
  return {{"icon", icon},         {"epoch", epoch}, {"term", term},
          {"sequence", sequence}, {"to", to.id()},  {"move", move}};
}

Result<SwarmDecision> SwarmDecision::from_json(const json::Object& object) {
  SwarmDecision decision;
  ICON_TRY(const auto icon, get_id(object, "icon"));
  decision.icon = icon.id();
  ICON_TRY(decision.epoch, json::get_int(object, "epoch", 1, kEpochMax));
  ICON_TRY(decision.term,
           json::get_int(object, "term", 0, std::numeric_limits<std::int64_t>::max()));
  ICON_TRY(decision.sequence, json::get_int(object, "sequence", 1, kSequenceMax));
  ICON_TRY(decision.to, get_id(object, "to"));
  ICON_TRY(decision.move, json::get_bool(object, "move"));
  return decision;
}

std::string HostReport::text_of(HostReport report, std::size_t bytes_max) {
  for (std::size_t users = kSwarmUsersMax;;) {
    auto text = boost::json::serialize(report.to_json());
    if (text.size() <= bytes_max) return text;
    if (users > 1) {
      users /= 2;
      for (auto& icon : report.icons) icon.users.resize(std::min(icon.users.size(), users));
    } else if (!report.icons.empty()) {
      report.icons.resize(report.icons.size() / 2);
    } else {
      report.kept.clear();
      report.rtt_us.clear();
      return boost::json::serialize(report.to_json());
    }
  }
}

std::vector<SwarmUser> measured_users(const SwarmIcon& icon, const HostReport& here,
                                      const std::vector<const HostReport*>& others) {
  std::vector<SwarmUser> measured;
  std::int64_t all = 0;
  std::int64_t known = 0;
  for (const auto& user : icon.users) {
    all += user.weight;
    const bool there = std::any_of(others.begin(), others.end(), [&](const HostReport* other) {
      return other->rtt_us.contains(user.address);
    });
    if (!there || !here.rtt_us.contains(user.address)) continue;
    known += user.weight;
    measured.push_back(user);
  }
  if (2 * known < all) measured.clear();
  return measured;
}

std::optional<std::int64_t> distance_us(const HostReport& host,
                                        const std::vector<SwarmUser>& users) {
  std::int64_t sum = 0;
  std::int64_t weight = 0;
  for (const auto& user : users) {
    const auto known = host.rtt_us.find(user.address);
    if (known == host.rtt_us.end()) return std::nullopt;
    sum += known->second * user.weight;  // at most 6e16 each, and sixteen of them
    weight += user.weight;
  }
  if (weight == 0) return std::nullopt;
  return sum / weight;
}

// Where this ICON went most often from here; users come and go along the same ways.
std::optional<PublicKey> SwarmChooser::likely_next(
    const Memory& memory, const PublicKey& here,
    const std::vector<const HostReport*>& others) const {
  std::optional<PublicKey> best;
  int most = 0;
  for (const auto* other : others) {
    const auto found = memory.moves.find({here, other->host});
    if (found == memory.moves.end() || found->second <= most) continue;
    most = found->second;
    best = other->host;
  }
  return best;
}

bool SwarmChooser::is_much_nearer(std::optional<std::int64_t> there_us,
                                  std::optional<std::int64_t> here_us) const {
  return there_us && here_us && *here_us - *there_us >= limits_.gain_us_min &&
         (*here_us - *there_us) * 100 >= *here_us * limits_.gain_percent;
}

// What stands, unless something speaks for another: a standby is made once, not twice a minute.
PublicKey SwarmChooser::place_to_prepare(const Case& one, const HostReport& best,
                                         const Memory& memory) const {
  if (const auto likely = likely_next(memory, one.here.host, one.others)) return *likely;
  const bool stands = one.before != nullptr && one.before->epoch == one.icon.epoch;
  for (const auto* other : one.others) {
    // Whoever is newly elected finds no decision, but what was prepared by the one before.
    if (memory.refused.contains(other->host)) continue;
    const bool is_there =
        stands ? other->host == one.before->to : other->kept.contains(one.icon.id);
    if (is_there && !is_much_nearer(distance_us(best, one.users), distance_us(*other, one.users)))
      return other->host;
  }
  return best.host;
}

// An agent whose policy does not let it go to the nearest host may go to the next.
const HostReport& SwarmChooser::nearest(const Case& one, const Memory& memory) const {
  const auto nearer = [&](const HostReport* left, const HostReport* right) {
    const auto a = distance_us(*left, one.users);
    const auto b = distance_us(*right, one.users);
    if (a.has_value() != b.has_value()) return a.has_value();
    if (a && *a != *b) return *a < *b;
    return left->free.cpu_millis > right->free.cpu_millis;
  };
  const HostReport& best = **std::min_element(one.others.begin(), one.others.end(), nearer);
  if (!memory.refused.contains(best.host)) return best;
  auto willing = one.others;
  std::erase_if(willing, [&](const auto* other) { return memory.refused.contains(other->host); });
  if (willing.empty()) return best;
  const HostReport& next = **std::min_element(willing.begin(), willing.end(), nearer);
  const bool helps = is_much_nearer(distance_us(next, one.users), distance_us(one.here, one.users));
  return helps ? next : best;
}

void SwarmChooser::note_refusal(const Case& one, Memory& memory, SteadyTime now) const {
  std::erase_if(memory.refused, [&](const auto& entry) { return entry.second <= now; });
  const auto* before = one.before;
  if (before != nullptr && before->move && before->epoch == one.icon.epoch &&
      now - memory.decided >= limits_.patience)
    memory.refused[before->to] = now + limits_.refused;
}

// What there is to say of one ICON; nullopt: nothing, there is no other host with room.
std::optional<SwarmDecision> SwarmChooser::choose(const Case& one, Memory& memory,
                                                  SteadyTime now) const {
  const auto& [here, icon, others, before, users] = one;
  if (others.empty()) return std::nullopt;
  note_refusal(one, memory, now);
  const HostReport& best = nearest(one, memory);
  const auto there_us = distance_us(best, users);
  const bool gains = !icon.held && now - memory.arrived >= limits_.arrived &&
                     is_much_nearer(there_us, distance_us(here, users));
  if (!gains)
    memory.rounds_won = 0;
  else
    memory.rounds_won = memory.winner == best.host ? memory.rounds_won + 1 : 1;
  memory.winner = best.host;
  // It has just arrived: in a moment it is known who is near its users, if that can be known.
  if (!icon.users.empty() && !there_us && now - *memory.since < limits_.arrived &&
      !likely_next(memory, here.host, others))
    return std::nullopt;
  SwarmDecision decision;
  decision.icon = icon.id;
  decision.epoch = icon.epoch;
  decision.move = memory.rounds_won >= limits_.rounds;
  decision.to = decision.move ? best.host : place_to_prepare(one, best, memory);
  return decision;
}

// What was ordered has its time: half-hearted changes help nobody.
bool SwarmChooser::is_news(const SwarmDecision& decision, const SwarmDecision& old,
                           const Memory& memory, SteadyTime now) const {
  if (old.epoch != decision.epoch) return true;
  if (old.move) return now - memory.decided >= limits_.patience;
  return decision.move || (old.to != decision.to && now - memory.decided >= limits_.settled);
}

void SwarmPlaces::decided(const std::map<std::string, SwarmDecision>& standing) {
  for (const auto& [icon, decision] : standing)
    places_.insert_or_assign(icon, Place{decision.epoch, decision.to});
}

const std::map<std::string, SwarmPlaces::Place>& SwarmPlaces::of(
    const std::map<std::string, std::int64_t>& here) {
  std::erase_if(places_, [&](const auto& entry) {
    const auto found = here.find(entry.first);
    return found == here.end() || found->second != entry.second.epoch;
  });
  return places_;
}

std::vector<SwarmDecision> SwarmChooser::step(const std::vector<HostReport>& reports,
                                              const std::map<std::string, SwarmDecision>& standing,
                                              SteadyTime now) {
  std::vector<SwarmDecision> decisions;
  std::set<std::string> seen;
  for (const auto& here : reports) {
    for (const auto& icon : here.icons) {
      if (!seen.insert(icon.id).second) continue;  // two hosts have it: it is just moving
      Memory& memory = memory_[icon.id];
      if (memory.host && *memory.host != here.host) {
        ++memory.moves[{*memory.host, here.host}];
        memory.arrived = now;
        memory.since.reset();
      }
      if (!memory.since) memory.since = now;
      memory.host = here.host;
      const auto before = standing.find(icon.id);
      Case one{here, icon, {}, before == standing.end() ? nullptr : &before->second, {}};
      for (const auto& other : reports)
        if (other.host != here.host &&
            (other.kept.contains(icon.id) || other.free.covers(icon.resources)))
          one.others.push_back(&other);
      one.users = measured_users(icon, here, one.others);
      auto decision = choose(one, memory, now);
      if (!decision) continue;
      if (before != standing.end()) {
        if (!is_news(*decision, before->second, memory, now)) continue;
        decision->sequence = before->second.sequence;
      }
      ++decision->sequence;
      decisions.push_back(*decision);
    }
  }
  std::erase_if(memory_, [&](const auto& entry) { return !seen.contains(entry.first); });
  std::sort(decisions.begin(), decisions.end(),
            [](const auto& left, const auto& right) { return left.icon < right.icon; });
  const auto next = std::find_if(decisions.begin(), decisions.end(), [&](const auto& decision) {
    return decision.icon > written_last_;
  });
  std::rotate(decisions.begin(), next, decisions.end());
  return decisions;
}

void SwarmChooser::written(const SwarmDecision& decision, SteadyTime now) {
  written_last_ = decision.icon;
  if (const auto memory = memory_.find(decision.icon); memory != memory_.end())
    memory->second.decided = now;
}

}  // namespace icon::supervisor
