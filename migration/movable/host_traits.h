// What a host's kernel, processor and CRIU can do, as far as a move depends on it: two hosts tell
// each other, and what one has and the other lacks is known before anything is reserved.
//
// A host of another version tells more or less: what is not told is not judged.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "migration/movable/cpu_features.h"
#include "migration/movable/obstacles.h"

namespace icon::migration {

inline constexpr std::size_t kTraitsBytesMax = 8 << 10;  // as JSON

struct HostTraits {
  std::string architecture;                    // uname's: "x86_64"
  std::string kernel;                          // "6.18"
  std::optional<std::string> criu;             // "4.2.1"; "": there is none that runs
  std::string cgroups;                         // "v1", "v2", "hybrid": told, stands in no way
  std::optional<bool> time_namespaces;         // clocks go on as they were
  std::optional<bool> ipv6;                    // sockets of that family can be made
  std::optional<std::string> memory_together;  // why memory cannot travel apart; "": it can
  std::optional<CpuFeatures> cpu;

  json::Object to_json() const;
  // Unknown fields are passed over, missing ones stay unknown. Errors: kInvalid.
  static Result<HostTraits> from_json(const json::Object& object);
};

// What the ICON itself brings.
struct TraitNeeds {
  bool ipv6_sockets = false;
  bool starts_afresh = false;  // nothing is restored: only its programs must run

  json::Object to_json() const;
  static TraitNeeds from_json(const json::Object& object);
};

// What stands in the way of a move from `here` to `there`. Pure.
std::vector<Obstacle> find_host_obstacles(const HostTraits& here, const HostTraits& there,
                                          const TraitNeeds& needs);
// The kinds that block, with what they say, for an error message; "" when nothing does.
std::string blocking_words(const std::vector<Obstacle>& obstacles);

// What can be read without a program: the kernel's part. Blocking, under a millisecond.
HostTraits read_kernel_traits();
// "Version: 4.2.1" of `criu --version`.
std::string criu_version_in(const std::string& output);
// Whether the processes of this network namespace have sockets of IPv6. Blocking.
bool has_ipv6_sockets(int pid);

}  // namespace icon::migration
