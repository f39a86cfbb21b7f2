#include "cli/check.h"

#include <fmt/format.h>
#include <linux/capability.h>
#include <unistd.h>

#include <boost/json/serialize.hpp>
#include <cstdlib>
#include <filesystem>
#include <sstream>

#include "base/file.h"
#include "base/subprocess.h"
#include "cli/api.h"
#include "cli/probes.h"
#include "cli/table.h"
#include "cli/text.h"

namespace icon::cli {
namespace {

constexpr int kApiPort = 7946;
constexpr std::int64_t kFreeBytesMin = 2'000'000'000;
constexpr Millis kProgramMax{20'000};
constexpr const char* kContainerHint =
    "In a container, start it with --privileged; else a kernel that has it is needed";

class Checker {
 public:
  Checker(const CheckOptions& options, const std::string& socket)
      : options_(options), socket_(socket) {}

  std::vector<Finding> run() {
    check_root();
    check_kernel();
    check_programs();
    check_criu();
    check_capabilities();
    check_lab();
    check_disk();
    check_ports();
    return std::move(findings_);
  }

 private:
  void ok(std::string name, std::string detail) {
    findings_.push_back({std::move(name), CheckState::kOk, std::move(detail), ""});
  }
  void missing(std::string name, std::string detail, std::string fix) {
    findings_.push_back({std::move(name), CheckState::kMissing, std::move(detail), std::move(fix)});
  }
  void warn(std::string name, std::string detail, std::string fix) {
    findings_.push_back({std::move(name), CheckState::kWarning, std::move(detail), std::move(fix)});
  }
  // What needs root says so once, not once per probe.
  void probed(const std::string& name, const Status& status, const std::string& good,
              const std::string& fix) {
    if (status)
      ok(name, good);
    else if (!root_)
      warn(name, "cannot be tried without root", "Run icon check as root");
    else
      missing(name, status.error().message, fix);
  }

  void check_root() {
    root_ = geteuid() == 0;
    if (root_)
      ok("root", "yes");
    else
      missing("root", "not root", "The supervisor and the lab need root; run this with sudo");
  }

  void check_kernel() {
    probed("namespaces", probe::namespaces(), "network, mount, process, IPC, host name",
           kContainerHint);
    probed("overlayfs", probe::overlayfs(), "mounts",
           std::string("Try: modprobe overlay. ") + kContainerHint);
    probed("veth", probe::veth(), "links between namespaces",
           std::string("Try: modprobe veth, apt-get install iproute2. ") + kContainerHint);
    probed("TUN", probe::tun(), "devices for the tunnels",
           std::string("Try: modprobe tun. ") + kContainerHint);
    probed("nftables", probe::nftables_nat(), "NAT, connection tracking and marks",
           std::string("Try: modprobe nft_nat nf_conntrack, apt-get install nftables. ") +
               kContainerHint);
    const auto freezer = probe::cgroup_freezer();
    if (freezer)
      ok("cgroup freezer", *freezer);
    else
      missing("cgroup freezer", freezer.error().message, kContainerHint);
    if (const auto faults = probe::userfaultfd())
      ok("userfaultfd", "yes");
    else
      warn("userfaultfd", faults.error().message + "; moves without post-copy, with a longer gap",
           "Use a kernel with CONFIG_USERFAULTFD, as root");
  }

  // The first line that `argv` prints; nullopt when it cannot be run.
  static std::optional<std::string> first_line(std::vector<std::string> argv) {
    Command command;
    command.argv = std::move(argv);
    command.timeout = kProgramMax;
    const auto outcome = run_command_blocking(std::move(command));
    if (!outcome) return std::nullopt;
    const auto& text = outcome->output.empty() ? outcome->error_output : outcome->output;
    return printable(text.substr(0, text.find('\n')), 80);
  }

  void check_programs() {
    const auto runc = first_line({options_.runc, "--version"});
    if (runc)
      ok("runc", *runc);
    else
      missing("runc", "not found", "apt-get install runc");
    for (const char* name : {"icon-supervisor", "icon-agent", "icon-stub", "icon-tunnel",
                             "icon-freeze-guard", "icon-criu-hold", "icon-pages"}) {
      const auto path = options_.program_dir + "/" + name;
      if (access(path.c_str(), X_OK) == 0)
        ok(name, path);
      else
        missing(name, "not beside this program, in " + options_.program_dir,
                "Build it: make build");
    }
  }

  std::string find_criu() const {
    if (!options_.criu.empty()) return options_.criu;
    auto own = find_above(options_.program_dir, ".deps/criu/sbin/criu");
    return own.empty() ? "criu" : own;
  }

  void check_criu() {
    const auto criu = find_criu();
    const auto version = first_line({criu, "--version"});
    if (!version) {
      missing("CRIU", "not found", "make deps builds it for this project");
      return;
    }
    if (!root_) {
      warn("CRIU", criu + ", " + *version + "; not checked without root", "Run icon check as root");
      return;
    }
    Command command;
    command.argv = {criu, "check"};
    command.timeout = kProgramMax;
    const auto outcome = run_command_blocking(std::move(command));
    if (outcome && outcome->ok()) {
      ok("CRIU", *version + ", criu check is content (" + criu + ")");
      check_patches(criu);
      return;
    }
    const auto why = outcome ? outcome->error_output + outcome->output : outcome.error().message;
    missing("CRIU", *version + ", but criu check says: " + last_line(why),
            "Debian 12's own 3.17.1 fails on newer kernels: make deps builds 4.2.1");
  }

  void check_patches(const std::string& criu) {
    Command command;
    command.argv = {criu, "--help"};
    command.timeout = kProgramMax;
    const auto help = run_command_blocking(std::move(command));
    is_patched_ = help && help->output.find("--kerndat-cache") != std::string::npos;
    if (!is_patched_)
      warn("CRIU's patches", "missing: a service's memory travels while it stands still",
           "make deps builds a CRIU that has them (migration/criu/)");
  }

  static std::string last_line(std::string text) {
    while (!text.empty() && text.back() == '\n') text.pop_back();
    const auto at = text.rfind('\n');
    return printable(at == std::string::npos ? text : text.substr(at + 1));
  }

  void check_capabilities() {
    const auto resource = probe::has_capability(CAP_SYS_RESOURCE);
    if (resource && *resource)
      ok("CAP_SYS_RESOURCE", "yes");
    else if (is_patched_)
      ok("CAP_SYS_RESOURCE", "missing, and not needed by the CRIU that is used");
    else
      warn("CAP_SYS_RESOURCE",
           "missing: services that run as another user than root cannot be checkpointed",
           "make deps builds a CRIU that can; or run services as root inside their containers, or "
           "start this machine's container with --cap-add SYS_RESOURCE");
    const auto admin = probe::has_capability(CAP_SYS_ADMIN);
    if (!admin || !*admin)
      missing("CAP_SYS_ADMIN", "missing", "Run as root, in a container with --privileged");
  }

  void check_lab() {
    for (const auto& [name, package] :
         {std::pair("knotd", "knot"), std::pair("unbound", "unbound")})
      if (const auto version = first_line({name, "-V"}))
        ok(name, *version);
      else
        warn(name, "not found: no lab and no demo", std::string("apt-get install ") + package);
  }

  void check_disk() {
    const auto free = probe::free_bytes(options_.state_dir);
    const auto name = "disk " + options_.state_dir;
    if (!free)
      missing(name, free.error().message, "Check the path");
    else if (*free < kFreeBytesMin)
      missing(name, human_bytes(*free) + " free", "Free some space: 2 GB are the least for images");
    else
      ok(name, human_bytes(*free) + " free");
  }

  void check_ports() {
    const auto name = fmt::format("port {}/tcp", kApiPort);
    const auto status = probe::port_free(kApiPort);
    if (status)
      ok(name, "free, for calls of other hosts");
    else if (Api(socket_).get("/v1/status"))
      ok(name, "the supervisor of this host listens");
    else
      warn(name, status.error().message, "Give icon-supervisor another port: `listen` in its file");
  }

  const CheckOptions& options_;
  const std::string& socket_;
  bool root_ = false;
  bool is_patched_ = false;  // CRIU has what migration/criu/ adds
  std::vector<Finding> findings_;
};

std::string to_string(CheckState state, const FindingWords& words) {
  switch (state) {
    case CheckState::kOk:
      return "ok";
    case CheckState::kWarning:
      return "warning";
    case CheckState::kMissing:
      break;
  }
  return words.bad;
}

}  // namespace

std::vector<Finding> run_checks(const CheckOptions& options, const std::string& socket) {
  return Checker(options, socket).run();
}

int show_findings(Context& context, const std::vector<Finding>& findings,
                  const FindingWords& words) {
  int missing = 0;
  int warnings = 0;
  json::Array array;
  Table table({{""}, {"WHAT"}, {"SEEN"}});
  for (const auto& finding : findings) {
    missing += finding.state == CheckState::kMissing;
    warnings += finding.state == CheckState::kWarning;
    array.push_back(json::Object{{"name", finding.name},
                                 {"state", to_string(finding.state, words)},
                                 {"detail", finding.detail},
                                 {"fix", finding.fix}});
    const auto colour = finding.state == CheckState::kOk        ? Colour::kGreen
                        : finding.state == CheckState::kWarning ? Colour::kYellow
                                                                : Colour::kRed;
    table.add({{to_string(finding.state, words), colour}, finding.name, finding.detail});
    if (!finding.fix.empty()) table.add({std::string(), std::string(), "-> " + finding.fix});
  }
  if (context.json) {
    context.out << boost::json::serialize(
                       json::Object{{"ok", missing == 0}, {"checks", std::move(array)}})
                << '\n';
  } else {
    context.out << table.render(context.colour);
    if (missing == 0)
      context.out << (warnings > 0 ? words.with_warnings : words.all_good) << '\n';
    else if (!words.not_good.empty())
      context.out << words.not_good << '\n';
    else
      context.out << missing << " needed " << (missing == 1 ? "thing is" : "things are")
                  << " missing: see the lines marked with ->.\n";
  }
  return missing == 0 ? kOk : kFailed;
}

}  // namespace icon::cli
