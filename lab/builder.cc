#include "lab/builder.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <memory>

#include "base/file.h"
#include "base/keys.h"
#include "base/netns.h"
#include "lab/dns_probe.h"
#include "lab/node_entry.h"
#include "lab/node_setup.h"
#include "lab/process.h"
#include "lab/programs.h"
#include "lab/relay_message.h"
#include "lab/zones.h"

namespace icon::lab {
namespace {

constexpr Millis kCreateLimit(30'000);
constexpr Millis kConfigureLimit(30'000);
constexpr Millis kRelayLimit(20'000);
constexpr Millis kDnsLimit(20'000);
constexpr std::size_t kConfiguredAtOnce = 8;
constexpr std::size_t kMessageBytesMax = 2000;
constexpr int kHelperFd = 3;

struct Pipe {
  UniqueFd read;
  UniqueFd write;
};

Result<Pipe> make_pipe() {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return fail_errno("pipe");
  return Pipe{UniqueFd(ends[0]), UniqueFd(ends[1])};
}

Result<UniqueFd> memory_file(const std::string& text) {
  UniqueFd fd(memfd_create("lab", MFD_CLOEXEC));
  if (!fd) return fail_errno("memfd_create");
  if (write(fd.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size()) ||
      lseek(fd.get(), 0, SEEK_SET) != 0)
    return fail_errno("write to memory file");
  return fd;
}

std::string text_of(const UniqueFd& fd) {
  std::string text(kMessageBytesMax, '\0');
  const ssize_t length = pread(fd.get(), text.data(), text.size(), 0);
  text.resize(length > 0 ? static_cast<std::size_t>(length) : 0);
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

std::string log_tail(const std::string& path) {
  const auto text = read_file(path, 1 << 20);
  if (!text || text->empty()) return {};
  return "; its log ends: " +
         text->substr(text->size() > kMessageBytesMax ? text->size() - kMessageBytesMax : 0);
}

// One `ip -batch` inside a node, and the kernel settings just before it.
struct NodeRun {
  std::string node;
  UniqueFd messages;
  ChildProcess child;
};

// System calls only: runs after fork.
int write_settings(const std::vector<KernelSetting>& settings) {
  for (const auto& setting : settings) {
    const int fd = open(setting.path.c_str(), O_WRONLY | O_CLOEXEC);
    const bool written = fd >= 0 && write(fd, setting.value.data(), setting.value.size()) >= 0;
    if (fd >= 0) close(fd);
    if (!written && setting.required) return -1;
  }
  return 0;
}

Result<NodeRun> start_node_run(const std::string& ip, const std::string& netns,
                               const NodePlan& node, const std::string& batch) {
  ICON_TRY(auto enter, entry_into(netns));
  ICON_TRY(UniqueFd input, memory_file(batch));
  ICON_TRY(UniqueFd messages, memory_file(""));
  ChildProcess::Options options;
  options.argv = {ip, "-batch", "-"};
  options.input_fd = input.get();
  options.output_fd = messages.get();
  options.error_fd = messages.get();
  options.before_exec = [enter, settings = node_settings(node.router)]() {
    return enter() == 0 ? write_settings(settings) : -1;
  };
  ICON_TRY(ChildProcess child, ChildProcess::start(std::move(options)));
  return NodeRun{node.name, std::move(messages), std::move(child)};
}

Status finish_node_run(NodeRun& run) {
  const auto exit_status = run.child.wait(kConfigureLimit);
  if (exit_status && *exit_status == 0) return {};
  return fail(exit_status ? Code::kIo : Code::kTimeout,
              "configure node " + run.node + ": " + text_of(run.messages));
}

}  // namespace

Status Builder::prepare() {
  ICON_CHECK(check_lab_name(options_.name));
  ICON_TRY(lab_.topology_, parse_topology(options_.topology_text));
  ICON_TRY(lab_.plan_, make_plan(lab_.topology_));
  lab_.name_ = options_.name;
  if (geteuid() != 0)
    return fail(Code::kRefused, "a lab makes network namespaces: run this as root");
  ICON_TRY(ip_, find_program("ip", "iproute2"));
  ICON_TRY(knotd_, find_program("knotd", "knot"));
  ICON_TRY(unbound_, find_program("unbound", "unbound"));
  ICON_TRY(relay_, find_helper("icon-lab-relay", options_.helper_directory));
  ICON_TRY(guard_, find_helper("icon-lab-guard", options_.helper_directory));
  return {};
}

Status Builder::claim() {
  const std::string labs(kLabsDirectory);
  ICON_CHECK(make_directories(labs));
  std::error_code error;
  if (!std::filesystem::exists("/run/netns", error))
    ICON_CHECK(write_file_atomic(made_netns_marker(), "", 0644));
  if (mkdir(files_.directory.c_str(), 0755) == 0) return {};
  if (errno != EEXIST) return fail_errno("mkdir " + files_.directory);
  return fail(Code::kConflict, "a lab named " + options_.name +
                                   " is here already; `icon lab down " + options_.name +
                                   "` removes it");
}

Status Builder::start_guard() {
  ICON_TRY(Pipe pipe, make_pipe());
  ChildProcess::Options options;
  options.argv = {guard_, options_.name, std::to_string(kHelperFd)};
  options.inherit = {{pipe.read.get(), kHelperFd}};
  options.error_fd = STDERR_FILENO;
  options.die_with_parent = false;
  options.new_session = true;
  ICON_TRY(ChildProcess child, ChildProcess::start(std::move(options)));
  keep(std::move(child));
  lab_.guard_pipe_ = std::move(pipe.write);
  return {};
}

Status Builder::build() {
  ICON_CHECK(make_files());
  ICON_CHECK(create_namespaces());
  ICON_CHECK(start_relay());
  ICON_CHECK(configure_nodes());
  ICON_CHECK(write_dns_files());
  ICON_CHECK(start_name_servers());
  return write_state();
}

Lab Builder::finish() { return std::move(lab_); }

Status Builder::make_files() {
  ICON_CHECK(write_file_atomic(files_.topology(), options_.topology_text, 0644));
  for (const auto& directory : {files_.dns() + "/zones", files_.dns() + "/db",
                                files_.directory + "/etc", files_.cut_links()})
    ICON_CHECK(make_directories(directory));
  for (const auto& node : lab_.topology_.nodes) {
    if (node.is_router() || node.name == lab_.topology_.dns_node ||
        node.name == lab_.topology_.resolver_node)
      continue;
    ICON_CHECK(make_directories(files_.host(node.name)));
    ICON_TRY(KeyPair key, KeyPair::load(files_.key(node.name), /*create=*/true));
    lab_.supervisor_ids_[node.name] = key.id();
  }
  return write_file_atomic(files_.resolv_conf(), "nameserver " + lab_.resolver().to_string() + "\n",
                           0644);
}

Status Builder::create_namespaces() {
  Command command;
  command.argv = {ip_, "-batch", "-"};
  command.input = creation_batch(options_.name, lab_.topology_, lab_.plan_);
  command.timeout = kCreateLimit;
  return run_checked_blocking(std::move(command));
}

Status Builder::start_relay() {
  RelayStart start{files_.relay_socket(), {}};
  for (std::size_t i = 0; i < lab_.topology_.links.size(); ++i) {
    const auto& link = lab_.topology_.links[i];
    if (!link.relayed) continue;
    const auto place = [&](const std::string& node) {
      for (const auto& interface : lab_.plan_.find(node)->interfaces)
        if (interface.link == i) return TapPlace{lab_.netns(node), interface.name};
      return TapPlace{};
    };
    start.links.push_back({link.name, place(link.a), place(link.b), link.shape, true});
  }
  if (start.links.empty()) return {};
  ICON_CHECK(write_file_atomic(files_.relay_start(), start.to_text(), 0600));
  ICON_TRY(Pipe pipe, make_pipe());
  ICON_TRY(ChildProcess child,
           start_service("", {relay_, files_.relay_start(), std::to_string(kHelperFd)},
                         files_.directory + "/relay.log", {{pipe.write.get(), kHelperFd}}));
  keep(std::move(child));
  pipe.write.reset();
  pollfd readable{pipe.read.get(), POLLIN, 0};
  if (poll(&readable, 1, static_cast<int>(kRelayLimit.count())) <= 0)
    return fail(Code::kTimeout, "the relay did not start in time");
  std::string report(kMessageBytesMax, '\0');
  const ssize_t length = read(pipe.read.get(), report.data(), report.size());
  report.resize(length > 0 ? static_cast<std::size_t>(length) : 0);
  if (report == "ok") return {};
  return fail(Code::kUnavailable,
              "the relay did not start: " +
                  (report.empty() ? log_tail(files_.directory + "/relay.log") : report));
}

Status Builder::configure_nodes() {
  std::vector<NodeRun> runs;
  const auto finish_first = [&]() -> Status {
    auto status = finish_node_run(runs.front());
    runs.erase(runs.begin());
    return status;
  };
  for (const auto& node : lab_.plan_.nodes) {
    if (runs.size() == kConfiguredAtOnce) ICON_CHECK(finish_first());
    ICON_TRY(NodeRun run,
             start_node_run(ip_, lab_.netns(node.name), node, node_batch(lab_.topology_, node)));
    runs.push_back(std::move(run));
  }
  while (!runs.empty()) ICON_CHECK(finish_first());
  return {};
}

Status Builder::write_dns_files() {
  const auto zones = make_zones(lab_.topology_, lab_.plan_, lab_.supervisor_ids_);
  const Address dns = lab_.plan_.find(lab_.topology_.dns_node)->loopback;
  for (const auto& zone : zones)
    ICON_CHECK(write_file_atomic(files_.dns() + "/zones/" + zone.file, zone.text, 0644));
  ICON_CHECK(
      write_file_atomic(files_.dns() + "/knot.conf", knot_config(zones, dns, files_.dns()), 0644));
  ICON_CHECK(write_file_atomic(files_.dns() + "/root.hints", root_hints(dns), 0644));
  return write_file_atomic(files_.dns() + "/unbound.conf",
                           unbound_config(lab_.resolver(), files_.dns()), 0644);
}

Status Builder::start_name_servers() {
  const auto& topology = lab_.topology_;
  ICON_TRY(const std::string knotd, without_profile(knotd_, files_.dns()));
  ICON_TRY(const std::string unbound, without_profile(unbound_, files_.dns()));
  ICON_TRY(ChildProcess authoritative,
           start_service(topology.dns_node, {knotd, "-c", files_.dns() + "/knot.conf"},
                         files_.dns() + "/knot.out"));
  keep(std::move(authoritative));
  ICON_TRY(ChildProcess recursive,
           start_service(topology.resolver_node,
                         {unbound, "-d", "-p", "-c", files_.dns() + "/unbound.conf"},
                         files_.dns() + "/unbound.out"));
  keep(std::move(recursive));
  std::vector<std::string> zones{".", "test.", "in-addr.arpa."};
  for (const auto& domain : topology.domains) zones.push_back(domain.name + ".");
  ICON_TRY(UniqueFd netns, open_netns(lab_.netns(topology.resolver_node)));
  const Address dns = lab_.plan_.find(topology.dns_node)->loopback;
  if (auto status = wait_for_zones(netns, dns, zones, kDnsLimit); !status)
    return fail(status.error().code, status.error().message + log_tail(files_.dns() + "/knot.log"));
  // The whole way: resolver, root, test., a delegated zone.
  if (auto status = wait_for_zones(netns, lab_.resolver(), {zones.back()}, kDnsLimit); !status)
    return fail(status.error().code,
                status.error().message + log_tail(files_.dns() + "/unbound.log"));
  return {};
}

Result<ChildProcess> Builder::start_service(const std::string& node, std::vector<std::string> argv,
                                            const std::string& log,
                                            std::vector<std::pair<int, int>> inherit) {
  const UniqueFd log_fd(open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644));
  if (!log_fd) return fail_errno("open " + log);
  ChildProcess::Options options;
  options.argv = std::move(argv);
  options.output_fd = log_fd.get();
  options.error_fd = log_fd.get();
  options.inherit = std::move(inherit);
  options.die_with_parent = false;
  options.new_session = true;
  if (!node.empty()) {
    ICON_TRY(options.before_exec, entry_into(lab_.netns(node)));
  }
  return ChildProcess::start(std::move(options));
}

void Builder::keep(ChildProcess child) {
  if (auto identity = identify(child.pid())) lab_.services_.push_back(*identity);
  if (options_.bound_to_caller)
    lab_.children_.push_back(std::move(child));
  else
    child.release();
}

Status Builder::write_state() const {
  const LabState state{lab_.name_, SystemClock().utc_ms(), options_.bound_to_caller,
                       lab_.services_};
  return write_file_atomic(files_.state(), state.to_text(), 0644);
}

}  // namespace icon::lab
