// Plays a tree of purses against crashes, partitions, lost, repeated and reordered messages, and
// members that are gone for good: after every step no more money exists than the root was given.
// Used by the unit tests (some) and by bench/purse_tree (10,000 games).
#pragma once

#include <cstdint>
#include <string>

namespace icon::budget {

struct TreeFindings {
  std::int64_t games = 0;
  std::int64_t steps = 0;
  std::int64_t crashes = 0;
  std::int64_t deaths = 0;
  std::int64_t delivered = 0;
  std::int64_t repeated = 0;
  std::int64_t lost = 0;
  std::int64_t refused = 0;    // by a purse: the money was not there
  std::int64_t adoptions = 0;  // shares and returns past a member that is gone
  std::string failure;         // the first one, with its seed; empty when there is none
};
// Games `first_seed`, first_seed + 1, ...
TreeFindings play_trees(std::uint64_t first_seed, std::int64_t games);

}  // namespace icon::budget
