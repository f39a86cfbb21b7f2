#include "simulate/world.h"

#include <fmt/format.h>

#include <algorithm>
#include <random>

namespace icon::simulate {
namespace {

constexpr std::int64_t kNodeAccessUsMin = 300, kNodeAccessUsMax = 6'000;
constexpr std::int64_t kUserAccessUsMin = 2'000, kUserAccessUsMax = 12'000;
constexpr std::int64_t kOriginAccessUsMin = 500, kOriginAccessUsMax = 3'000;
constexpr wire::MicroCredits kHourPriceMin = 20'000, kHourPriceMax = 400'000;
constexpr std::int64_t kUsersPerGroup = 12;
constexpr std::int64_t kGroupsMax = 24;
constexpr std::size_t kNodesPerGroup = 4;
constexpr std::int64_t kPopularMax = 50;     // the most popular service beside the least
constexpr std::int64_t kGuestsPercent = 15;  // of the groups
constexpr std::int64_t kGuestHoursMin = 3, kGuestHoursMax = 8;
constexpr std::int64_t kSlotsPermille = 1'300;  // slots for 1000 services

class Maker {
 public:
  Maker(const WorldOptions& options, const agent::Policy& policy)
      : options_(options), policy_(policy), random_(options.seed) {}

  World make() {
    world_.matrix = options_.matrix;
    world_.hours = options_.hours;
    world_.slot_seconds = policy_.slot_seconds;
    world_.users = options_.users;
    for (std::size_t i = 0; i < world_.matrix.names.size(); ++i)
      world_.day_offset_hours.push_back(between(0, 23));
    by_region_.resize(world_.matrix.names.size());
    for (std::int64_t i = 0; i < options_.nodes; ++i) add_node(i);
    const auto shares = popularity();
    for (const auto users : shares) add_service(users);
    return std::move(world_);
  }

 private:
  std::int64_t between(std::int64_t low, std::int64_t high) {
    return low + static_cast<std::int64_t>(random_() % static_cast<std::uint64_t>(high - low + 1));
  }
  std::size_t any_region() {
    return static_cast<std::size_t>(
        between(0, static_cast<std::int64_t>(world_.matrix.names.size()) - 1));
  }
  PublicKey any_key() {
    PublicKey key;
    for (auto& byte : key.bytes) byte = static_cast<std::uint8_t>(random_());
    return key;
  }

  void add_node(std::int64_t index) {
    Node node;
    // Every region has some, as long as there are enough.
    node.region = static_cast<std::size_t>(index) % world_.matrix.names.size();
    const auto& region = world_.matrix.names[node.region];
    node.name = fmt::format("{}-{}", region, by_region_[node.region].size() + 1);
    node.domain = fmt::format("{}.{}.test", node.name, region);
    node.key = any_key();
    node.id = node.key.id();
    node.access_us = between(kNodeAccessUsMin, kNodeAccessUsMax);
    const auto fair = std::max<std::int64_t>(
        1, (options_.services * kSlotsPermille / 1000 + options_.nodes - 1) / options_.nodes);
    node.slots = between(std::max<std::int64_t>(1, fair / 2), fair + fair / 2);
    node.price_ucredits = static_cast<wire::MicroCredits>(
        static_cast<__int128>(between(kHourPriceMin, kHourPriceMax)) * policy_.slot_seconds / 3600);
    node.price_ucredits =
        std::clamp<wire::MicroCredits>(node.price_ucredits, 1, wire::kMicroCreditsMax);
    by_region_[node.region].push_back(static_cast<std::uint32_t>(world_.nodes.size()));
    world_.nodes.push_back(std::move(node));
  }

  // How many users each service has: few have many. They add up.
  std::vector<std::int64_t> popularity() {
    std::vector<std::int64_t> weights;
    std::int64_t sum = 0;
    for (std::int64_t i = 0; i < options_.services; ++i) {
      weights.push_back(1 + kPopularMax / between(1, kPopularMax));
      sum += weights.back();
    }
    std::vector<std::int64_t> shares;
    std::int64_t left = options_.users;
    for (const auto weight : weights) {
      shares.push_back(options_.users * weight / sum);
      left -= shares.back();
    }
    for (std::size_t i = 0; left > 0; i = (i + 1) % shares.size(), --left) ++shares[i];
    return shares;
  }

  void add_service(std::int64_t users) {
    Service service;
    service.key = any_key();
    service.region = any_region();
    service.access_us = between(kOriginAccessUsMin, kOriginAccessUsMax);
    const auto groups = std::clamp<std::int64_t>(users / kUsersPerGroup, 1, kGroupsMax);
    // Most services live of one region besides their own.
    const std::size_t main_region = any_region();
    for (std::int64_t i = 0; i < groups; ++i) {
      UserGroup group;
      // 16.0.0.0 and up: one /24 after the other.
      group.prefix = Prefix::of(
          Address::v4((16U << 24) + static_cast<std::uint32_t>(world_.prefixes++ << 8)), 24);
      group.region = between(1, 100) <= 60 ? main_region : any_region();
      group.access_us = between(kUserAccessUsMin, kUserAccessUsMax);
      group.users = users / groups + (i < users % groups ? 1 : 0);
      if (between(1, 100) <= kGuestsPercent) {
        group.first_hour = between(0, 23);
        group.hours = between(kGuestHoursMin, kGuestHoursMax);
      }
      find_nodes(group.region, service.known);
      service.groups.push_back(group);
    }
    std::sort(service.known.begin(), service.known.end());
    world_.services.push_back(std::move(service));
  }

  // Those that a trace to the group would pass.
  void find_nodes(std::size_t region, std::vector<std::uint32_t>& known) {
    const auto& here = by_region_[region];
    for (std::size_t i = 0; i < std::min(kNodesPerGroup, here.size()); ++i) {
      const auto node = here.size() <= kNodesPerGroup ? here[i] : here[random_() % here.size()];
      if (known.size() < kKnownNodesMax &&
          std::find(known.begin(), known.end(), node) == known.end())
        known.push_back(node);
    }
  }

  const WorldOptions& options_;
  const agent::Policy& policy_;
  std::mt19937_64 random_;
  World world_;
  std::vector<std::vector<std::uint32_t>> by_region_;
};

Status within(std::string_view what, std::int64_t value, std::int64_t most) {
  if (value >= 1 && value <= most) return {};
  return fail(Code::kLimit, fmt::format("{}: {} is not between 1 and {}", what, value, most));
}

}  // namespace

Result<World> make_world(const WorldOptions& options, const agent::Policy& policy) {
  ICON_CHECK(within("nodes", options.nodes, kNodesMax));
  ICON_CHECK(within("services", options.services, kServicesMax));
  ICON_CHECK(within("users", options.users, kUsersMax));
  ICON_CHECK(within("hours", options.hours, kHoursMax));
  if (options.matrix.names.empty()) return fail(Code::kInvalid, "regions: at least one is needed");
  return Maker(options, policy).make();
}

}  // namespace icon::simulate
