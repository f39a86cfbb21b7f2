#include "lab/demo.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <boost/json/serialize.hpp>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>

#include "base/fd.h"
#include "base/file.h"
#include "lab/demo_play.h"
#include "lab/demo_topology.h"
#include "lab/remains.h"
#include "lab/topology.h"

namespace icon::lab {
namespace {

constexpr int kExitFailed = 1;
constexpr int kExitUsage = 2;
constexpr int kExitInterrupted = 130;
constexpr std::int64_t kDataMbMax = 4096;

volatile sig_atomic_t interrupted = 0;
void on_interrupt(int) { interrupted = 1; }

// The first ctrl-C ends the story and cleans up; the second ends the program, and the lab's guard
// cleans up.
void catch_interrupts() {
  struct sigaction action {};
  action.sa_handler = on_interrupt;
  action.sa_flags = static_cast<int>(SA_RESETHAND);
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
  signal(SIGPIPE, SIG_IGN);  // whoever reads the story may leave; the lab must still go
}

struct Arguments {
  DemoOptions options;
  std::string topology_file;
  std::string json_file;
  std::string rootfs;
  std::vector<std::string> prices;
};

Status pass(std::int64_t ms) {
  // A signal between this look and the wait costs one pause of at most `ms`.
  if (interrupted == 0 && ms > 0) poll(nullptr, 0, static_cast<int>(ms));
  if (interrupted != 0) return fail(Code::kCancelled, "stopped by a signal");
  return {};
}

Status complete(Arguments& arguments) {
  auto& options = arguments.options;
  options.topology_text = kDemoTopology;
  if (!arguments.topology_file.empty()) {
    ICON_TRY(options.topology_text, read_file(arguments.topology_file, kTopologyBytesMax));
  }
  for (const auto& text : arguments.prices) {
    const auto equals = text.find('=');
    char* end = nullptr;
    const auto credits =
        equals == std::string::npos ? -1 : std::strtod(text.c_str() + equals + 1, &end);
    if (equals == 0 || !(credits >= 0 && credits < 1e6) || *end != '\0')
      return fail(Code::kInvalid, "--price " + text + ": write HOST=CREDITS, like dear=5");
    options.prices_ucredits[text.substr(0, equals)] = static_cast<std::int64_t>(credits * 1e6);
  }
  if (geteuid() != 0)
    return fail(Code::kRefused, "the demo needs root: it makes network namespaces and mounts");
  // The programs of this build and of this tree, before those of the machine.
  std::error_code error;
  const auto build =
      std::filesystem::read_symlink("/proc/self/exe", error).parent_path().parent_path();
  options.rootfs = arguments.rootfs.empty() ? (build / "images/redis/rootfs").string()
                                            : std::filesystem::absolute(arguments.rootfs).string();
  return {};
}

void print_next_steps(const Arguments& arguments, const DemoResult& result) {
  const auto& lab = arguments.options.lab_name;
  if (arguments.options.keep)
    fmt::print(
        "\nIt still runs. Look around, then take it away with `icon lab down {0}`:\n"
        "  icon lab status\n"
        "  export ICON_SOCKET=/run/icon-lab/{0}/hosts/{1}/run/supervisor.sock\n"
        "  icon history; icon stubs; icon explain {2}\n"
        "  ICON_SOCKET=/run/icon-lab/{0}/hosts/{3}/run/supervisor.sock icon ps\n",
        lab, result.from, result.migration, result.to);
  else
    fmt::print(
        "\nTo look further: `icon demo --keep` leaves it running, and then `icon lab status`, "
        "`icon history` and `icon explain` show more.\n");
}

// What a run must not leave. Errors: kConflict naming it.
Status check_clean(const std::string& lab) {
  const auto remains = scan_lab(lab);
  if (remains.empty()) return {};
  return fail(Code::kConflict, "left behind:\n" + remains.describe());
}

int finish(const Arguments& arguments, const Result<DemoOutcome>& outcome) {
  if (!outcome) {
    std::fprintf(stderr, "icon demo: %s\n", outcome.error().message.c_str());
    if (outcome.error().code == Code::kCancelled) return kExitInterrupted;
    return outcome.error().code == Code::kInvalid ? kExitUsage : kExitFailed;
  }
  fmt::print("\n{}", outcome->result.summary());
  const auto failed = failed_expectations(outcome->result, outcome->expectations);
  if (!arguments.json_file.empty()) {
    auto object = outcome->result.to_json();
    json::Array list(failed.begin(), failed.end());
    object["failed_expectations"] = std::move(list);
    const auto status =
        write_file_atomic(arguments.json_file, boost::json::serialize(object) + "\n", 0644);
    if (!status) {
      std::fprintf(stderr, "icon demo: %s\n", status.error().message.c_str());
      return kExitFailed;
    }
  }
  print_next_steps(arguments, outcome->result);
  std::fflush(stdout);
  for (const auto& sentence : failed)
    std::fprintf(stderr, "icon demo: expected that %s\n", sentence.c_str());
  return failed.empty() ? 0 : kExitFailed;
}

int run(Arguments& arguments) {
  if (auto status = complete(arguments); !status) return finish(arguments, fail(status.error()));
  catch_interrupts();
  const auto begun = std::chrono::steady_clock::now();
  const auto elapsed = [begun] {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
  };
  DemoStage stage;
  stage.say = [&](const std::string& line) {
    fmt::print("{:>6.1f} s  {}\n", elapsed(), line);
    std::fflush(stdout);
  };
  stage.headline = [&](const std::string& line) {
    fmt::print("\n{:>6.1f} s  == {}\n", elapsed(), line);
    std::fflush(stdout);
  };
  stage.pass = pass;
  const auto outcome = play_demo(arguments.options, stage);
  auto code = finish(arguments, outcome);
  const bool stopped = !outcome && outcome.error().code == Code::kCancelled;
  if (arguments.options.keep && !stopped) return code;
  if (const auto clean = check_clean(arguments.options.lab_name); !clean) {
    std::fprintf(stderr, "icon demo: %s\n", clean.error().message.c_str());
    if (code == 0) code = kExitFailed;
  }
  return code;
}

}  // namespace

void add_demo_command(CLI::App& app, int& exit_status) {
  auto arguments = std::make_shared<Arguments>();
  auto* demo = app.add_subcommand("demo",
                                  "The whole story on this machine: users far away, an ICON "
                                  "that finds providers, buys and moves");
  demo->add_option("--json", arguments->json_file, "write the figures there, for machines");
  demo->add_option("--topology", arguments->topology_file, "another world (YAML, see docs/lab.md)")
      ->check(CLI::ExistingFile);
  demo->add_option("--size", arguments->options.data_mb, "MB of data in redis")
      ->check(CLI::Range(std::int64_t{1}, kDataMbMax))
      ->capture_default_str();
  demo->add_option("--rate", arguments->options.rate_per_s, "requests a second on each connection")
      ->check(CLI::Range(1.0, 1000.0))
      ->capture_default_str();
  demo->add_option("--price", arguments->prices, "HOST=CREDITS for a slot there; may be repeated");
  demo->add_option("--rootfs", arguments->rootfs,
                   "redis' root directory; else the one that `make demo` has made");
  demo->add_option("--criu", arguments->options.criu,
                   "the CRIU program; else the tree's own, else the system's");
  demo->add_option("--lab", arguments->options.lab_name, "name of the lab")->capture_default_str();
  demo->add_flag("--keep", arguments->options.keep, "leave everything running, to look around");
  demo->callback([arguments, &exit_status] { exit_status = run(*arguments); });
}

}  // namespace icon::lab
