// icon-agent: PID 1 of an ICON. Builds the objects that touch the system and hands them over.
#include <malloc.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <span>
#include <string>

#include "agent/agent.h"
#include "agent/discover_command.h"
#include "agent/dns_update.h"
#include "agent/identity.h"
#include "agent/options.h"
#include "agent/policy.h"
#include "agent/service.h"
#include "base/file.h"
#include "base/log.h"

namespace icon::agent {
namespace {

void say(const std::string& message) { std::fprintf(stderr, "icon-agent: %s\n", message.c_str()); }

bool is_directory(const std::string& path) {
  struct stat info {};
  return stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode);
}

int validate(const std::string& path) {
  const auto text = read_file(path, kPolicyBytesMax);
  if (!text) {
    say(text.error().message);
    return kExitInvalid;
  }
  const auto reading = read_policy(*text);
  for (const auto& problem : reading.problems)
    std::fprintf(stderr, "%s: %s\n", path.c_str(), problem.to_string().c_str());
  if (!reading.policy) return kExitInvalid;
  std::printf("%s: policy '%s' is valid\n", path.c_str(), reading.policy->name.c_str());
  return 0;
}

// A service must run even when its policy is wrong: then nothing is ever bought, and the log says
// why. An explicit --policy that cannot be read is the caller's mistake and ends us.
Result<Policy> load_policy(const Options& options) {
  const bool named = !options.policy_path.empty();
  const std::string path = named ? options.policy_path : options.run_dir + "/policy.yaml";
  const auto text = read_file(path, kPolicyBytesMax);
  if (!text && named) return fail(text.error());
  if (!text) {
    if (text.error().code != Code::kNotFound)
      log::error("policy.unreadable", {{"message", text.error().message}});
    return Policy{};
  }
  auto policy = parse_policy(*text);
  if (!policy && named) return fail(policy.error().code, path + ":\n" + policy.error().message);
  if (!policy) {
    log::error("policy.invalid", {{"path", path},
                                  {"message", policy.error().message},
                                  {"consequence", "nothing will be bought"}});
    return Policy{};
  }
  log::info("policy.loaded", {{"path", path}, {"policy", policy->to_json()}});
  return policy;
}

// True: supervised, and our own streams now lie inside the container.
bool prepare_streams(const Options& options) {
  if (!is_directory(options.run_dir + "/log")) {
    log::init(log::Level::kError, {}, true);
    say("no supervisor here (" + options.run_dir +
        "/log is no directory): only running the service");
    return false;
  }
  const std::string path = options.run_dir + "/log/agent.log";
  if (const auto status = detach_own_streams(path); !status) {
    say(status.error().message);
    log::init(log::Level::kInfo);
  } else {
    log::init(log::Level::kInfo, path);
  }
  return true;
}

int run(Options options) {
  const bool supervised = prepare_streams(options);
  AgentOptions agent_options;
  if (supervised || !options.policy_path.empty()) {
    auto policy = load_policy(options);
    if (!policy) {
      say(policy.error().message);
      return kExitInvalid;
    }
    agent_options.policy = std::move(*policy);
  }
  if (supervised) agent_options.identity = load_identity(options.run_dir);
  agent_options.supervised = supervised;
  agent_options.command = std::move(options.command);
  agent_options.run_dir = options.run_dir;
  agent_options.stop_grace = options.stop_grace;
  // Under somebody else's init the service's orphans still come to us.
  if (getpid() != 1) prctl(PR_SET_CHILD_SUBREAPER, 1);

  log::info(
      "agent.start",
      {{"version", ICON_VERSION}, {"pid", getpid()}, {"command", agent_options.command.front()}});
  // What a round needs for a moment (tables of 10,000 users, a trace) goes back to the system.
  mallopt(M_MMAP_THRESHOLD, 64 << 10);
  mallopt(M_TRIM_THRESHOLD, 64 << 10);
  const SystemClock clock;
  IoContext loop(1);
  Agent agent(loop, clock, std::move(agent_options));
  agent.start();
  loop.run();
  return agent.exit_code();
}

int run_mode(Options options) {
  switch (options.mode) {
    case Options::Mode::kHelp:
      std::printf("%s", usage().c_str());
      return 0;
    case Options::Mode::kVersion:
      std::printf("icon-agent %s\n", ICON_VERSION);
      return 0;
    case Options::Mode::kValidate:
      return validate(options.targets.front());
    case Options::Mode::kDiscover:
      return run_discover(options.targets, options.json, SystemClock());
    case Options::Mode::kDnsUpdate:
      return run_dns_update(options.targets.front());
    case Options::Mode::kRun:
      return run(std::move(options));
  }
  return kExitUsage;
}

}  // namespace
}  // namespace icon::agent

int main(int argc, char** argv) {
  auto options = icon::agent::parse_options({argv, static_cast<std::size_t>(argc)});
  if (!options) {
    icon::agent::say(options.error().message);
    std::fprintf(stderr, "icon-agent --help shows all\n");
    return icon::agent::kExitUsage;
  }
  return icon::agent::run_mode(std::move(*options));
}
