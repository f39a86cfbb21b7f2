// icon-supervisor: the host daemon. Reads its configuration, builds the parts, runs the loop.
#include <fmt/core.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <filesystem>

#include "base/log.h"
#include "supervisor/api_parts.h"
#include "supervisor/ask_errands.h"
#include "supervisor/daemon.h"
#include "supervisor/dht_link.h"
#include "supervisor/host.h"

namespace icon::supervisor {
namespace {

namespace asio = boost::asio;
constexpr Millis kReapEvery{2'000};
// A child that its starter has not collected for so long was left to us by somebody else.
constexpr Millis kOrphanAge{6'000};

struct Options {
  std::string config_path;
  bool check_only = false;
  bool stop_icons = false;
};

std::string program_dir() {
  std::error_code error;
  return std::filesystem::read_symlink("/proc/self/exe", error).parent_path().string();
}

// We are the subreaper of containers, stubs and tunnels: their exit statuses come to us, and so do
// their orphans.
Task<void> reap_orphans(IoContext& loop) {
  asio::steady_timer timer(loop);
  pid_t suspect = 0;
  auto since = std::chrono::steady_clock::now();
  for (;;) {
    timer.expires_after(kReapEvery);
    co_await timer.async_wait(kNoThrow);
    siginfo_t info{};
    if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) != 0) continue;
    if (info.si_pid != suspect) {
      suspect = info.si_pid;
      since = std::chrono::steady_clock::now();
    } else if (suspect != 0 && std::chrono::steady_clock::now() - since > kOrphanAge) {
      waitpid(suspect, nullptr, WNOHANG);
      suspect = 0;
    }
  }
}

Task<void> run(IoContext& loop, Daemon& daemon, bool stop_icons, int& exit_code) {
  asio::signal_set signals(loop, SIGTERM, SIGINT);
  if (const auto started = co_await daemon.start(); !started) {
    log::error("supervisor.not_started", {{"error", started.error().message}});
    fmt::print(stderr, "icon-supervisor: {}\n", started.error().message);
    exit_code = 1;
    loop.stop();
    co_return;
  }
  asio::co_spawn(loop, daemon.look_after(), asio::detached);
  asio::co_spawn(loop, reap_orphans(loop), asio::detached);
  asio::co_spawn(loop, keep_advertised(daemon.host()), asio::detached);
  asio::co_spawn(loop, keep_asking(daemon.host()), asio::detached);
  co_await signals.async_wait(kNoThrow);
  co_await daemon.stop(stop_icons);
  loop.stop();
}

int serve(Config config, bool stop_icons) {
  log::init(config.log_level, config.log_path);
  signal(SIGPIPE, SIG_IGN);
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  static SystemClock clock;
  IoContext loop(1);
  auto daemon = Daemon::create(loop, clock, std::move(config));
  if (!daemon) {
    log::error("supervisor.not_started", {{"error", daemon.error().message}});
    fmt::print(stderr, "icon-supervisor: {}\n", daemon.error().message);
    return 1;
  }
  int exit_code = 0;
  asio::co_spawn(loop, run(loop, **daemon, stop_icons, exit_code), asio::detached);
  loop.run();
  // The journal is closed in good order; flows that still hang on the loop refer to the parts, so
  // neither is unwound: the next start recovers from the journal, as after a kill.
  (*daemon)->host().journal.reset();
  std::fflush(nullptr);
  _exit(exit_code);
}

int main_with(const Options& options) {
  auto config = load_config(options.config_path);
  if (!config) {
    fmt::print(stderr, "icon-supervisor: {}\n", config.error().message);
    return 2;
  }
  complete_programs(*config, program_dir());
  if (options.check_only) {
    fmt::print("{}: good ({} at {})\n", options.config_path, config->provider_name,
               config->api.to_string());
    return 0;
  }
  return serve(std::move(*config), options.stop_icons);
}

}  // namespace
}  // namespace icon::supervisor

int main(int argc, char** argv) {
  CLI::App app(
      "The host daemon of ICON: runs containers that move themselves. See docs/supervisor.md.");
  icon::supervisor::Options options;
  app.add_option("--config", options.config_path, "YAML configuration file")->required();
  app.add_flag("--check-config", options.check_only, "Check the configuration and end");
  app.add_flag("--stop-icons", options.stop_icons,
               "On SIGTERM stop the ICONs too (else they go on, for the next start to adopt)");
  app.set_version_flag("--version", std::string("icon-supervisor ") + icon::supervisor::kVersion);
  CLI11_PARSE(app, argc, argv);
  return icon::supervisor::main_with(options);
}
