#include "agent/options.h"

#include <charconv>
#include <string_view>

namespace icon::agent {
namespace {

constexpr std::int64_t kStopGraceSecondsMax = 24LL * 3600;

// "--name VALUE" and "--name=VALUE".
class Reader {
 public:
  explicit Reader(std::span<char* const> arguments) : arguments_(arguments) {}

  bool done() const { return next_ >= arguments_.size(); }
  std::string_view peek() const { return arguments_[next_]; }
  void skip() { ++next_; }
  std::vector<std::string> rest() {
    std::vector<std::string> values(arguments_.begin() + static_cast<std::ptrdiff_t>(next_),
                                    arguments_.end());
    next_ = arguments_.size();
    return values;
  }
  // False: the next argument is not this option.
  Result<bool> take_value(std::string_view name, std::string& value) {
    const std::string_view argument = peek();
    if (argument == name) {
      if (next_ + 1 >= arguments_.size())
        return fail(Code::kInvalid, std::string(name) + " needs a value");
      value = arguments_[next_ + 1];
      next_ += 2;
      return true;
    }
    if (!argument.starts_with(name) || argument.size() <= name.size() ||
        argument[name.size()] != '=')
      return false;
    value = argument.substr(name.size() + 1);
    skip();
    return true;
  }

 private:
  std::span<char* const> arguments_;
  std::size_t next_ = 0;
};

Result<Millis> parse_seconds(const std::string& text) {
  std::int64_t seconds = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), seconds);
  if (error != std::errc() || end != text.data() + text.size() || seconds < 0 ||
      seconds > kStopGraceSecondsMax)
    return fail(Code::kInvalid, "--stop-grace: not a number of seconds: '" + text + "'");
  return Millis(seconds * 1000);
}

Status check(const Options& options) {
  switch (options.mode) {
    case Options::Mode::kRun:
      if (options.command.empty())
        return fail(Code::kInvalid, "no command: write icon-agent -- COMMAND [ARGUMENTS]");
      return {};
    case Options::Mode::kValidate:
      if (options.targets.size() != 1)
        return fail(Code::kInvalid, "write icon-agent validate POLICY.yaml");
      return {};
    case Options::Mode::kDiscover:
      if (options.targets.empty() || options.targets.size() > kDiscoverTargetsMax)
        return fail(Code::kInvalid, "write icon-agent discover ADDRESS... (at most " +
                                        std::to_string(kDiscoverTargetsMax) + ")");
      return {};
    case Options::Mode::kDnsUpdate:
      if (options.targets.size() != 1)
        return fail(Code::kInvalid, "write icon-agent dns-update STATE_DIRECTORY");
      return {};
    case Options::Mode::kHelp:
    case Options::Mode::kVersion:
      return {};
  }
  return {};
}

// One argument before "--". False: it ends the reading (help, version).
Result<bool> read_argument(Reader& reader, Options& options, std::string& grace) {
  const std::string_view argument = reader.peek();
  if (argument == "--help" || argument == "-h" || argument == "--version") {
    options.mode = argument == "--version" ? Options::Mode::kVersion : Options::Mode::kHelp;
    return false;
  }
  for (const auto& [name, value] :
       {std::pair{"--run-dir", &options.run_dir}, std::pair{"--policy", &options.policy_path},
        std::pair{"--stop-grace", &grace}}) {
    ICON_TRY(const bool taken, reader.take_value(name, *value));
    if (taken) return true;
  }
  if (argument == "--json") {
    options.json = true;
    reader.skip();
    return true;
  }
  if (argument.starts_with('-'))
    return fail(Code::kInvalid, "unknown option '" + std::string(argument) + "'");
  if (options.mode == Options::Mode::kRun && argument == "validate")
    options.mode = Options::Mode::kValidate;
  else if (options.mode == Options::Mode::kRun && argument == "discover")
    options.mode = Options::Mode::kDiscover;
  else if (options.mode == Options::Mode::kRun && argument == "dns-update")
    options.mode = Options::Mode::kDnsUpdate;  // by the agent itself
  else if (options.mode == Options::Mode::kRun)
    return fail(Code::kInvalid, "'" + std::string(argument) +
                                    "' is no command of icon-agent; to run it as the service "
                                    "write icon-agent -- " +
                                    std::string(argument) + " ...");
  else
    options.targets.emplace_back(argument);
  reader.skip();
  return true;
}

}  // namespace

Result<Options> parse_options(std::span<char* const> arguments) {
  Options options;
  std::string grace;
  Reader reader(arguments.empty() ? arguments : arguments.subspan(1));
  while (!reader.done()) {
    if (reader.peek() == "--") {
      reader.skip();
      options.command = reader.rest();
      break;
    }
    ICON_TRY(const bool more, read_argument(reader, options, grace));
    if (!more) return options;
  }
  if (!grace.empty()) {
    ICON_TRY(options.stop_grace, parse_seconds(grace));
  }
  ICON_CHECK(check(options));
  return options;
}

std::string usage() {
  return R"(icon-agent: runs a service as PID 1 and moves it to its users

  icon-agent [OPTIONS] -- COMMAND [ARGUMENTS]   run the service
  icon-agent validate POLICY.yaml               check a policy; exit 2 when it is wrong
  icon-agent discover [--json] ADDRESS...       look for providers on the way to these users, once;
                                                @FILE has one address on each line
  icon-agent --help | --version

  --run-dir DIR        where the supervisor put its socket, the key and the policy (/run/icon)
  --policy FILE        another policy than DIR/policy.yaml
  --stop-grace SECONDS kill a service that does not stop this long after SIGTERM (0: never)

Without a run directory the service just runs, as under any small init.
The exit code is the service's: 128+n for signal n, 127 when there is no such program, 126 when
it cannot be run.
)";
}

}  // namespace icon::agent
