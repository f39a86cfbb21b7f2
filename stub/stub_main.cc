// icon-stub: tells the users of an ICON that has moved where it lives now. The supervisor starts it
// with its sockets open (stub/stub_process.h); it gives up every privilege, then reads.
#include <signal.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <boost/asio/signal_set.hpp>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/log.h"
#include "base/task.h"
#include "stub/confine.h"
#include "stub/control.h"
#include "stub/redirector.h"

namespace icon::stub {
namespace {

constexpr unsigned kSpareDescriptors = 64;  // control connections, the loop's own, the log

struct Options {
  int control_fd = -1;
  std::vector<int> listen_fds;
  std::string log_path;
};

Status set_up(IoContext& loop, Redirector& redirector, const Options& options,
              const RedirectorSettings& settings) {
  ICON_CHECK(serve_control(loop, UniqueFd(options.control_fd), geteuid(), redirector));
  for (const int fd : options.listen_fds) ICON_CHECK(redirector.add_listener(UniqueFd(fd)));
  Confinement confinement;
  confinement.descriptors_max =
      static_cast<unsigned>(settings.clients.connections_max) + kSpareDescriptors;
  return confine(confinement);
}

int run(const Options& options) {
  if (!options.log_path.empty()) log::init(log::Level::kInfo, options.log_path);
  signal(SIGPIPE, SIG_IGN);
  const SystemClock clock;
  const RedirectorSettings settings;
  IoContext loop(1);
  boost::asio::signal_set ending(loop, SIGTERM, SIGINT);
  ending.async_wait([&](const boost::system::error_code& error, int) {
    if (!error) loop.stop();
  });
  Redirector redirector(loop, clock, settings);
  // Nothing is read before the loop runs, and the loop runs after confine().
  if (const auto status = set_up(loop, redirector, options, settings); !status) {
    log::error("stub.start_failed", {{"error", status.error().message}});
    return 1;
  }
  log::info("stub.started", {{"port", redirector.port()}});
  loop.run();
  log::info("stub.ended", {{"statistics", redirector.statistics().to_json()}});
  return 0;
}

}  // namespace
}  // namespace icon::stub

int main(int argc, char** argv) {
  icon::stub::Options options;
  CLI::App app{"Redirects the users of ICONs that have moved. Started by icon-supervisor."};
  app.add_option("--control-fd", options.control_fd, "listening unix socket")->required();
  app.add_option("--listen-fd", options.listen_fds, "listening TCP socket; may be repeated")
      ->required();
  app.add_option("--log", options.log_path, "file that events are appended to");
  CLI11_PARSE(app, argc, argv);
  return icon::stub::run(options);
}
