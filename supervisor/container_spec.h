// What an ICON's container is, apart from where it runs: it travels in RESERVE and stays in the
// journal. Every field has a limit, because a stranger's supervisor may have written it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "wire/documents.h"

namespace icon::supervisor {

struct PortMapping {
  std::string proto = "tcp";    // "tcp" or "udp"
  std::uint16_t container = 0;  // where the service listens
  std::uint16_t published = 0;  // on the host's public address

  // "6379", "8080:80" (container:public) or "tcp:8080:80". Errors: kInvalid.
  static Result<PortMapping> parse(std::string_view text);
  json::Object to_json() const;  // {"proto","container","public"}
  static Result<PortMapping> from_json(const json::Object& object);
  bool operator==(const PortMapping&) const = default;
};

struct ContainerSpec {
  static constexpr std::size_t kArgumentsMax = 256;
  static constexpr std::size_t kEnvironmentMax = 256;
  static constexpr std::size_t kPortsMax = 64;
  static constexpr std::size_t kTextBytesMax = 16 << 10;    // of one argument or variable
  static constexpr std::size_t kPolicyBytesMax = 64 << 10;  // of the policy file
  static constexpr std::size_t kDnsKeyBytesMax = 4096;
  static constexpr std::size_t kJsonBytesMax = 1 << 20;

  std::string name;      // 1 to 63 characters: letters, digits, '-', '_', '.'
  std::string hostname;  // the name when empty
  std::vector<std::string> command;
  std::vector<std::string> env;  // "NAME=value"
  std::string cwd = "/";
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  std::vector<std::uint32_t> additional_gids;
  bool read_only_rootfs = false;
  std::vector<PortMapping> ports;
  wire::Resources resources;  // 0 = no limit
  std::string policy_yaml;
  bool docker = false;  // Docker owns the processes, where there is one
  std::string image;    // of Docker's at this host; does not travel: its files do

  // Ranges and contradictions (two mappings of one public port). Errors: kInvalid, kLimit.
  Status check() const;
  json::Object to_json() const;
  // Checked. Errors: kInvalid, kLimit.
  static Result<ContainerSpec> from_json(const json::Object& object);
  bool operator==(const ContainerSpec&) const = default;
};

// Takes command, env, cwd and user of an OCI bundle's config.json into `spec` where these are not
// set, and returns the absolute path of its root directory. Errors: kNotFound, kInvalid.
Result<std::string> read_bundle(const std::string& bundle_dir, ContainerSpec& spec);

}  // namespace icon::supervisor
