#include "tests/sim/purse_tree_game.h"

#include <fmt/format.h>

#include <map>
#include <optional>
#include <random>

#include "base/assert.h"
#include "budget/purse/tree.h"

namespace icon::budget {
namespace {

constexpr MicroCredits kCap = 1'000;
constexpr std::size_t kMembersMax = 8;
constexpr int kStepsMax = 250;
constexpr UtcMillis kNow = 1'700'000'000'000;
constexpr UtcMillis kNever = kNow * 2;

struct Chain {
  wire::Envelope share;
  std::vector<wire::Envelope> path;  // from the root down to the share, which is its last
};

struct Member {
  const KeyPair* key = nullptr;
  Lineage lineage;
  MemoryPurseStore store;
  std::optional<Purse> purse;
  // By grantor and way, the newest; on disk before the purse is.
  std::map<std::pair<PublicKey, std::string>, Chain> chains;
  std::map<Return, std::vector<wire::Envelope>> ways;  // on which each return went last
  int side = 0;                                        // of the partition
  int holds = 0;
  bool dead = false;
};

struct Message {
  std::size_t from = 0;
  std::size_t to = 0;
  wire::Envelope document;
  std::vector<wire::Envelope> path;
};

std::int64_t total_of(const wire::Envelope& share) {
  return share.body.at("total_ucredits").as_int64();
}

const KeyPair& key_of(std::size_t index) {
  static const auto keys = [] {
    std::vector<KeyPair> made;
    for (std::size_t i = 0; i < kMembersMax; ++i) {
      std::array<std::uint8_t, 32> seed{};
      seed[0] = static_cast<std::uint8_t>(i + 1);
      made.push_back(KeyPair::from_seed(seed));
    }
    return made;
  }();
  return keys[index];
}

class Game {
 public:
  Game(std::uint64_t seed, TreeFindings& findings) : random_(seed), findings_(findings) {
    const auto count = 2 + pick(kMembersMax - 1);
    members_.reserve(count);
    const bool lean = pick(2) == 0;  // one below the other
    for (std::size_t i = 0; i < count; ++i) {
      auto& member = members_.emplace_back();
      member.key = &key_of(i);
      member.lineage.self = member.key->public_key();
      if (i > 0) {
        const auto& parent = members_[lean ? i - 1 : pick(i)];
        member.lineage.above = parent.lineage.above;
        member.lineage.above.insert(member.lineage.above.begin(), parent.lineage.self);
      }
      const auto made = Purse::create(member.store, i == 0 ? kCap : 0, kNow);
      ICON_ASSERT(made);
      member.purse.emplace(*made);
    }
  }

  std::string run() {
    if (members_.size() > 3 && members_[3].lineage.above.size() == 3) two_ways_down();
    const auto steps = 10 + pick(kStepsMax);
    for (std::size_t i = 0; i < steps; ++i) {
      ++findings_.steps;
      step();
      if (auto failure = check(); !failure.empty()) return fmt::format("step {}: {}", i, failure);
    }
    return settle_down();
  }

 private:
  std::size_t pick(std::size_t count) { return random_() % count; }
  Member& somebody() { return members_[pick(members_.size())]; }
  std::size_t index_of(const PublicKey& key) const {
    for (std::size_t i = 0; i < members_.size(); ++i)
      if (members_[i].lineage.self == key) return i;
    return members_.size();
  }
  MicroCredits amount() { return static_cast<MicroCredits>(1 + pick(150)); }

  void step() {
    auto& member = somebody();
    const auto index = static_cast<std::size_t>(&member - members_.data());
    if (member.dead) return deliver();
    if (pick(20) == 0) member.store.fail_next_append(pick(2) == 0);
    switch (pick(12)) {
      case 0:
      case 1:
        return spend(member);
      case 2:
      case 3:
      case 4:
        return give(member, index);
      case 5:
        return give_back(member, index);
      case 6:
        if (pick(3) == 0) return partition();
        return pick(2) == 0 ? crash(member) : deliver();
      case 7:
        if (pick(4) != 0 || index == 0) return deliver();
        member.dead = true;
        ++findings_.deaths;
        return;
      default:
        return deliver();
    }
  }

  // An adoption whose outcome chance seldom reaches: what the last one got of its parent came by
  // two ways, and may be returned to the first one by either.
  void two_ways_down() {
    const auto hand = [&](std::size_t from, std::size_t to, std::vector<wire::Envelope> path) {
      auto& giver = members_[from];
      const auto& child = members_[to].lineage.self;
      const auto& shares = giver.purse->state().kin().shares();
      const auto known = shares.find(child.id());
      const auto total = (known == shares.end() ? 0 : known->second) + kCap / 5;
      path.push_back(*share_with(*giver.purse, *giver.key, giver.lineage, child, total, kNow));
      receive({from, to, path.back(), path});
      return path;
    };
    hand(2, 3, hand(1, 2, hand(0, 1, {})));
    members_[1].dead = true;
    hand(2, 3, hand(0, 2, {}));
    members_[2].dead = pick(2) == 0;
  }

  // The disk failed: the process ends, and comes back with what the disk holds.
  template <class Outcome>
  bool done(Member& member, const Outcome& outcome) {
    if (outcome) return true;
    if (outcome.error().code == Code::kIo) crash(member);
    if (outcome.error().code == Code::kLimit) ++findings_.refused;
    return false;
  }

  void crash(Member& member) {
    ++findings_.crashes;
    auto reopened = Purse::open(member.store);
    ICON_ASSERT(reopened);
    member.purse.emplace(std::move(*reopened));
  }

  void partition() {
    const bool healed = pick(3) != 0;
    for (auto& member : members_) member.side = healed ? 0 : static_cast<int>(pick(2));
  }

  void spend(Member& member) {
    auto& purse = *member.purse;
    const auto id = "h" + std::to_string(pick(static_cast<std::size_t>(member.holds) + 1));
    switch (pick(5)) {
      case 0:
        done(member, purse.settle(id, amount(), kNow));
        return;
      case 1:
        done(member, purse.release(id, kNow));
        return;
      case 2:
        done(member, purse.refund(id, amount(), kNow));
        return;
      default:
        ++member.holds;
        done(member, purse.hold("h" + std::to_string(member.holds), amount(), kNever, kNow));
    }
  }

  // To a child, or to a descendant whose parent is gone; sometimes only what was said before.
  void give(Member& member, std::size_t index) {
    std::vector<std::size_t> below;
    for (std::size_t i = index + 1; i < members_.size(); ++i)
      if (members_[i].lineage.has_above(member.lineage.self)) below.push_back(i);
    if (below.empty()) return give_back(member, index);
    const auto child = below[pick(below.size())];
    const auto parent = index_of(members_[child].lineage.above.front());
    if (parent != index && !members_[parent].dead) return;
    if (parent != index) ++findings_.adoptions;
    const auto& shares = member.purse->state().kin().shares();
    const auto known = shares.find(members_[child].lineage.self.id());
    const auto total = (known == shares.end() ? 0 : known->second) + (pick(4) == 0 ? 0 : amount());
    auto share = share_with(*member.purse, *member.key, member.lineage,
                            members_[child].lineage.self, total, kNow);
    if (!done(member, share)) return;
    // By a way on which its own money came: once adopted, there is more than one.
    std::vector<wire::Envelope> path;
    if (!member.chains.empty()) {
      const auto way = static_cast<std::ptrdiff_t>(pick(member.chains.size()));
      path = std::next(member.chains.begin(), way)->second.path;
    }
    path.push_back(*share);
    messages_.push_back({index, child, std::move(*share), std::move(path)});
  }

  void give_back(Member& member, std::size_t index) {
    if (member.chains.empty()) return;
    const auto& [way, chain] =
        *std::next(member.chains.begin(), static_cast<std::ptrdiff_t>(pick(member.chains.size())));
    const auto grantor = way.first;
    auto to = grantor;
    auto path = chain.path;
    for (const auto& [other, known] : member.chains)
      if (other.first == grantor && total_of(known.share) > total_of(path.back()))
        path.back() = known.share;
    // Past the grantor: when it is gone, but also while it is only out of reach.
    if (pick(4) != 0 ? members_[index_of(grantor)].dead : pick(2) == 0) {
      to = member.lineage.above[pick(member.lineage.above.size())];
      if (to != grantor) ++findings_.adoptions;
    }
    while (!path.empty() && path.front().signer != to) path.erase(path.begin());
    if (path.empty()) return;
    member.ways[{grantor.id(), to.id()}] = path;
    auto document = return_rest(*member.purse, *member.key, member.lineage, grantor, to, kNow);
    if (!done(member, document)) return;
    if (to == grantor && pick(2) == 0) path.clear();
    messages_.push_back({index, index_of(to), std::move(*document), std::move(path)});
  }

  void deliver() {
    if (messages_.empty()) return;
    const auto at = messages_.begin() + static_cast<std::ptrdiff_t>(pick(messages_.size()));
    if (members_[at->from].side != members_[at->to].side || members_[at->to].dead) return;
    const Message message = *at;
    const auto fate = pick(6);
    if (fate > 1) messages_.erase(at);
    if (fate == 2) {
      ++findings_.lost;
      return;
    }
    findings_.repeated += fate <= 1;
    receive(message);
  }

  void receive(const Message& message) {
    auto& member = members_[message.to];
    ++findings_.delivered;
    if (message.document.type == wire::Share::kType) {
      std::string way;
      for (const auto& share : message.path) way += share.signer.id();
      auto& chain = member.chains[{message.document.signer, way}];
      if (chain.path.empty() || total_of(chain.share) <= total_of(message.document))
        chain = {message.document, message.path};
      done(member, accept_share(*member.purse, member.lineage, message.document, kNow));
    } else {
      done(member,
           accept_return(*member.purse, member.lineage, message.document, message.path, kNow));
    }
  }

  MicroCredits money() const {
    MicroCredits sum = 0;
    for (const auto& member : members_) {
      const auto& state = member.purse->state();
      sum += state.available() + state.spent() + state.held();
    }
    return sum;
  }

  std::string check() const {
    MicroCredits used = 0;
    for (const auto& member : members_) {
      const auto& state = member.purse->state();
      used += state.spent() + state.held();
      if (state.available() < 0) return "a purse below nothing";
    }
    if (used > kCap) return fmt::format("{} of {} are spent or held", used, kCap);
    if (money() > kCap) return fmt::format("{} exist of {}", money(), kCap);
    for (const auto& member : members_)
      if (auto failure = check_credits(member); !failure.empty()) return failure;
    return {};
  }

  // Whatever the ways on which a return comes, it is credited once. The sums alone would not show
  // it while other money is under way.
  std::string check_credits(const Member& to) const {
    std::map<std::pair<std::string, std::string>, MicroCredits> credited;  // by child and grantor
    for (const auto& [what, total] : to.purse->state().kin().credits())
      credited[{what.child, what.grantor}] += total;
    for (const auto& [of, total] : credited) {
      const auto& child = members_[index_of(*PublicKey::from_id(of.first))];
      const auto& returns = child.purse->state().kin().returns();
      const auto returned = returns.find({of.second, to.lineage.self.id()});
      if (returned == returns.end() || returned->second < total)
        return fmt::format("{} are credited of a smaller return", total);
    }
    return {};
  }

  // Everything still under way arrives and everybody says again what he said last: where nobody is
  // gone for good, not a micro-credit is missing.
  std::string settle_down() {
    bool any_dead = false;
    for (auto& member : members_) {
      any_dead |= member.dead;
      member.side = 0;
      crash(member);
    }
    // Twice: a disk may still have a failure in store.
    for (int i = 0; i < 2 && !any_dead; ++i) say_all_again();
    if (auto failure = check(); !failure.empty()) return "at the end: " + failure;
    if (!any_dead && money() != kCap)
      return fmt::format("at the end {} exist of {}", money(), kCap);
    return {};
  }

  void say_all_again() {
    for (std::size_t i = 0; i < members_.size(); ++i) {
      auto& member = members_[i];
      const auto& kin = member.purse->state().kin();
      for (const auto& [child, total] : std::map(kin.shares())) {
        const auto to = *PublicKey::from_id(child);
        const auto share = wire::seal(
            *member.key, wire::Share{member.lineage.self, to, total, member.lineage.above, kNow});
        receive({i, index_of(to), *share, {*share}});
      }
      for (const auto& [what, total] : std::map(kin.returns())) {
        const auto to = *PublicKey::from_id(what.to);
        const auto document = wire::seal(
            *member.key, wire::ShareReturn{member.lineage.self, *PublicKey::from_id(what.grantor),
                                           to, total, kNow});
        receive({i, index_of(to), *document, member.ways[what]});
      }
    }
  }

  std::mt19937_64 random_;
  TreeFindings& findings_;
  std::vector<Member> members_;  // never grows after the constructor: purses point at its stores
  std::vector<Message> messages_;
};

}  // namespace

TreeFindings play_trees(std::uint64_t first_seed, std::int64_t games) {
  TreeFindings findings;
  for (std::int64_t i = 0; i < games && findings.failure.empty(); ++i) {
    const auto seed = first_seed + static_cast<std::uint64_t>(i);
    Game game(seed, findings);
    if (const auto failure = game.run(); !failure.empty())
      findings.failure = fmt::format("tree with seed {}: {}", seed, failure);
    ++findings.games;
  }
  return findings;
}

}  // namespace icon::budget
