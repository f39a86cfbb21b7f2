// PathMap and PathTree: whatever the traces of many rounds bring, what is kept of them is bounded,
// and says what was brought.
#include <set>

#include "discovery/path_map.h"
#include "discovery/path_tree.h"
#include "tests/fuzz/byte_source.h"
#include "tests/fuzz/fuzz_target.h"

namespace icon::discovery {
namespace {

constexpr int kStepsMax = 200;
constexpr std::size_t kHopsMax = 30;

Address user_from(fuzz::ByteSource& source) {
  const std::uint8_t byte = source.byte();
  if (byte >= 240)
    return *Address::parse("2001:db8:" + std::to_string(byte - 240) +
                           "::" + std::to_string(1 + source.byte() % 3));
  return Address::v4(0x0b000000u + (byte % 24u << 8) + source.byte() % 3);
}

Address router_from(std::uint8_t byte) {
  if (byte >= 200) return *Address::parse("2001:db8:ffff::" + std::to_string(byte - 199));
  return Address::v4(0xc6120000u + byte);
}

TraceResult result_from(fuzz::ByteSource& source, const Address& target) {
  TraceResult result;
  result.target = target;
  const std::uint8_t bits = source.byte();
  result.reached = (bits & 1) != 0;
  result.method = (bits & 2) != 0 ? TraceMethod::kUdp : TraceMethod::kPing;
  const std::size_t hops = source.byte() % (kHopsMax + 1);
  for (std::size_t i = 0; i < hops; ++i) {
    Hop hop;
    hop.ttl = static_cast<int>(i) + 1;
    const std::uint8_t who = source.byte();
    if (who == 255) {
      hop.address = target;
    } else if (who != 0) {
      hop.address = router_from(who);
    }
    if (hop.address) hop.rtt_us_min = source.number() & 0x7fff'ffff;
    hop.probes = source.byte() % 8;
    hop.inferred = (bits & 4) != 0;
    hop.balanced = (bits & 8) != 0;
    result.hops.push_back(hop);
  }
  return result;
}

void check_due(const std::vector<TraceTask>& tasks, const std::vector<Address>& wanted) {
  std::set<std::uint64_t> blocks;
  for (const TraceTask& task : tasks) {
    ICON_FUZZ_REQUIRE(blocks.insert(user_block(task.target)).second);
    ICON_FUZZ_REQUIRE(task.last_router_ttl >= 0 &&
                      task.last_router_ttl <= static_cast<int>(kHopsMax));
  }
  std::set<std::uint64_t> allowed;
  for (const Address& user : wanted) allowed.insert(user_block(user));
  for (const auto block : blocks) ICON_FUZZ_REQUIRE(allowed.contains(block));
}

void check_path(const PathMap& map, const Address& user, const PathMapLimits& limits) {
  const auto routers = map.routers();
  ICON_FUZZ_REQUIRE(routers.size() <= limits.routers_max);
  std::set<Address> known;
  for (const RouterSeen& router : routers) ICON_FUZZ_REQUIRE(known.insert(router.address).second);
  const auto path = map.find(user);
  if (!path) return;
  ICON_FUZZ_REQUIRE(user_block(path->target) == user_block(user));
  ICON_FUZZ_REQUIRE(path->hops.size() <= kHopsMax + 1);
  for (std::size_t i = 0; i < path->hops.size(); ++i) {
    const Hop& hop = path->hops[i];
    ICON_FUZZ_REQUIRE(hop.ttl == static_cast<int>(i) + 1);
    if (hop.address && *hop.address != path->target)
      ICON_FUZZ_REQUIRE(known.contains(*hop.address));
  }
  if (path->reached) ICON_FUZZ_REQUIRE(path->hops.back().address == path->target);
}

// What a round of the agent does, in any order.
void drive_map(fuzz::ByteSource& source) {
  PathMapLimits limits;
  limits.blocks_max = 1 + source.byte() % 16;
  limits.routers_max = 1 + source.byte() % 32;
  limits.first_count = source.byte() % 4;
  PathMap map(limits);
  std::vector<TraceTask> tasks;
  SteadyTime now{std::chrono::seconds(1)};
  for (int step = 0; step < kStepsMax && !source.empty(); ++step) {
    const std::uint8_t what = source.byte();
    if (what < 80) {
      std::vector<Address> wanted;
      // An agent asks for no more than the map holds.
      for (std::size_t i = what % limits.blocks_max + 1; i > 0; --i)
        wanted.push_back(user_from(source));
      tasks = map.due(wanted, now);
      check_due(tasks, wanted);
      ICON_FUZZ_REQUIRE(map.size() <= limits.blocks_max);
    } else if (what < 180 && !tasks.empty()) {
      const Address target = tasks[what % tasks.size()].target;
      map.learn(result_from(source, target), (what & 1) != 0, now);
      check_path(map, target, limits);
      ICON_FUZZ_REQUIRE(map.size() <= limits.blocks_max);
    } else if (what < 210) {
      std::vector<RouterSeen> seen;
      for (int i = what % 8; i > 0; --i) {
        RouterSeen router;
        router.address = router_from(source.byte());
        router.ttl_max = source.byte() % 31;
        router.limited = (what & 8) != 0;
        seen.push_back(router);
      }
      map.learn(seen);
    } else if (what < 250) {
      now += Millis(source.number() & 0xf'ffff);
      check_path(map, user_from(source), limits);
    } else {
      map.clear();
      tasks.clear();
      ICON_FUZZ_REQUIRE(map.size() == 0 && map.routers().empty());
    }
  }
}

void drive_tree(fuzz::ByteSource& source) {
  TreeLimits limits;
  limits.routers_max = 1 + source.byte() % 16;
  limits.nodes_max = 1 + source.byte() % 64;
  limits.stops_max = source.byte() % 16;
  PathTree tree(limits);
  std::vector<NodeId> nodes{kNoNode};
  const auto any = [&] { return nodes[source.byte() % nodes.size()]; };
  for (int step = 0; step < kStepsMax && !source.empty(); ++step) {
    const std::uint8_t what = source.byte();
    if (what < 90) {
      const int ttl = 1 + source.byte() % 30;
      const NodeId node = tree.node(ttl, router_from(source.byte()));
      if (node == kNoNode) continue;
      ICON_FUZZ_REQUIRE(tree.at(node).ttl == ttl);
      nodes.push_back(node);
    } else if (what < 150) {
      const NodeId one = any(), other = any();
      // Whoever answers with a smaller TTL is before the other.
      if (tree.at(one).ttl < tree.at(other).ttl) tree.link(one, other);
    } else if (what < 180) {
      const NodeId one = any(), other = any();
      tree.balance(one, other);
    } else if (what < 200) {
      tree.measured(any(), static_cast<std::uint32_t>(source.number()));
    } else if (what < 230) {
      const auto trace = static_cast<std::uint32_t>(source.byte());
      const auto first = tree.claim_beyond(tree.at(any()).router, source.byte(), trace);
      ICON_FUZZ_REQUIRE(first <= 255);
    } else {
      const int ttl = source.byte() % 31;
      const NodeId found = tree.before(any(), ttl);
      if (found != kNoNode) ICON_FUZZ_REQUIRE(tree.at(found).ttl == ttl);
    }
    ICON_FUZZ_REQUIRE(tree.router_count() <= limits.routers_max);
  }
}

}  // namespace

ICON_FUZZ_TARGET(path_map) {
  fuzz::ByteSource source(input);
  if (source.byte() % 2 == 0)
    drive_map(source);
  else
    drive_tree(source);
}

}  // namespace icon::discovery
