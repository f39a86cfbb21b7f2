// The world that a simulation plays in: regions, providers' nodes, services and their users by
// prefix. The same parameters and seed make the same world.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "agent/policy.h"
#include "base/address.h"
#include "base/keys.h"
#include "simulate/matrix.h"

namespace icon::simulate {

inline constexpr std::int64_t kNodesMax = 20'000;
inline constexpr std::int64_t kServicesMax = 200'000;
inline constexpr std::int64_t kUsersMax = 100'000'000;
inline constexpr std::int64_t kHoursMax = 24 * 31;
// What a survey asks for offers in one round; the last is the origin.
inline constexpr std::size_t kKnownNodesMax = 63;

struct WorldOptions {
  std::int64_t nodes = 20;
  std::int64_t services = 20;
  std::int64_t users = 2'000;
  std::int64_t hours = 24;
  std::uint64_t seed = 1;
  Matrix matrix;
};

// A provider's host. It sells slots of the policy's size.
struct Node {
  std::string name;    // "fra-3"
  std::string domain;  // "fra-3.fra.test"
  PublicKey key;
  std::string id;
  std::size_t region = 0;
  std::int64_t access_us = 0;  // from the region's edge
  std::int64_t slots = 0;
  wire::MicroCredits price_ucredits = 0;  // of a slot
};

// Users of one prefix. Guests are there for some hours of the day only.
struct UserGroup {
  Prefix prefix;
  std::size_t region = 0;
  std::int64_t access_us = 0;
  std::int64_t users = 0;
  std::int64_t first_hour = 0;  // of the day, UTC
  std::int64_t hours = 24;
};

struct Service {
  PublicKey key;
  std::size_t region = 0;      // of the origin: the owner's own host, which costs nothing
  std::int64_t access_us = 0;  // of the origin
  std::vector<UserGroup> groups;
  std::vector<std::uint32_t> known;  // the nodes on the way to its users
};

struct World {
  Matrix matrix;
  std::vector<std::int64_t> day_offset_hours;  // of each region: local time less UTC
  std::vector<Node> nodes;
  std::vector<Service> services;
  std::int64_t users = 0;
  std::int64_t prefixes = 0;
  std::int64_t hours = 0;
  std::int64_t slot_seconds = 0;

  std::int64_t rtt_us(const UserGroup& group, const Node& node) const {
    return matrix.rtt(group.region, node.region) + group.access_us + node.access_us;
  }
  std::int64_t origin_rtt_us(const UserGroup& group, const Service& service) const {
    return matrix.rtt(group.region, service.region) + group.access_us + service.access_us;
  }
};

// Errors: kLimit, kInvalid.
Result<World> make_world(const WorldOptions& options, const agent::Policy& policy);

}  // namespace icon::simulate
