// The agent's command line, by hand: a command-line library would be a tenth of the binary.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/result.h"

namespace icon::agent {

inline constexpr int kExitUsage = 64;                    // sysexits' EX_USAGE
inline constexpr int kExitInvalid = 2;                   // `validate` found mistakes
inline constexpr std::size_t kDiscoverTargetsMax = 256;  // files count as one

struct Options {
  enum class Mode { kRun, kValidate, kDiscover, kDnsUpdate, kHelp, kVersion };
  Mode mode = Mode::kRun;
  std::vector<std::string> command;  // kRun
  std::vector<std::string>
      targets;  // kDiscover: addresses; kValidate: one file; kDnsUpdate: one directory
  std::string run_dir = "/run/icon";
  std::string policy_path;  // empty: policy.yaml in run_dir
  Millis stop_grace{0};     // 0: the container runtime's own limit counts
  bool json = false;
};

// Errors: kInvalid; the message says what to write instead.
Result<Options> parse_options(std::span<char* const> arguments);
std::string usage();

}  // namespace icon::agent
