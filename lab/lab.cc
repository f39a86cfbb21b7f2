#include "lab/lab.h"

#include <signal.h>
#include <sys/mount.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "base/assert.h"
#include "base/file.h"
#include "base/keys.h"
#include "lab/builder.h"
#include "lab/lab_files.h"
#include "lab/mounts.h"
#include "lab/node_entry.h"
#include "lab/node_setup.h"
#include "lab/process.h"
#include "lab/teardown.h"

namespace icon::lab {
namespace {

constexpr Millis kExecPoll(60'000);
constexpr Millis kGuardLimit(2'000);

tl::unexpected<Error> no_such_node(const std::string& lab, const std::string& node) {
  return fail(Code::kNotFound, "lab " + lab + " has no node named " + node);
}

}  // namespace

Result<Lab> Lab::up(UpOptions options) {
  const std::string name = options.name;
  const bool bound = options.bound_to_caller;
  Builder builder(std::move(options));
  ICON_CHECK(builder.prepare());
  ICON_CHECK(builder.claim());
  // From here on the name is ours, and so is whatever carries it.
  const auto built = [&]() -> Status {
    if (bound) ICON_CHECK(builder.start_guard());
    return builder.build();
  }();
  Lab lab = builder.finish();
  if (built) return lab;
  const auto removed = lab.down();
  return fail(built.error().code,
              built.error().message + (removed ? "" : "; and " + removed.error().message));
}

Result<Lab> Lab::open(const std::string& name) {
  ICON_CHECK(check_lab_name(name));
  const LabFiles files(name);
  const auto text = read_file(files.state(), kStateBytesMax);
  if (!text)
    return fail(Code::kNotFound, "no lab named " + name + " is up (" + text.error().message + ")");
  ICON_TRY(LabState state, LabState::from_text(*text));
  Lab lab;
  lab.name_ = name;
  lab.services_ = std::move(state.services);
  ICON_TRY(lab.topology_, load_topology(files.topology()));
  ICON_TRY(lab.plan_, make_plan(lab.topology_));
  for (const auto& node : lab.topology_.nodes) {
    const auto key = KeyPair::load(files.key(node.name), /*create=*/false);
    if (key) lab.supervisor_ids_[node.name] = key->id();
  }
  return lab;
}

Status Lab::down(const std::string& name) {
  ICON_CHECK(check_lab_name(name));
  return take_down(name, {});
}

Status Lab::down_all() { return take_down_all(); }

Lab& Lab::operator=(Lab&& other) noexcept {
  if (this == &other) return *this;
  if (guard_pipe_) (void)down();
  name_ = std::move(other.name_);
  topology_ = std::move(other.topology_);
  plan_ = std::move(other.plan_);
  services_ = std::move(other.services_);
  supervisor_ids_ = std::move(other.supervisor_ids_);
  guard_pipe_ = std::move(other.guard_pipe_);
  children_ = std::move(other.children_);
  return *this;
}

Lab::~Lab() {
  // A failure here is seen by whoever asks for what is left; a destructor has nobody to tell.
  if (guard_pipe_) (void)down();
}

Status Lab::down() {
  if (name_.empty()) return {};
  // The guard stays until all else is gone: should we die here, it goes on.
  std::vector<int> spared;
  if (guard_pipe_ && !children_.empty()) spared.push_back(children_.front().pid());
  auto status = take_down(name_, spared);
  if (guard_pipe_) {
    const char all_done = 1;
    if (write(guard_pipe_.get(), &all_done, 1) == 1 && !children_.empty())
      (void)children_.front().wait(kGuardLimit);
    guard_pipe_.reset();
  }
  children_.clear();
  services_.clear();
  return status;
}

std::string Lab::directory() const { return LabFiles(name_).directory; }
std::string Lab::host_directory(const std::string& node) const {
  return LabFiles(name_).host(node);
}
std::string Lab::key_file(const std::string& node) const { return LabFiles(name_).key(node); }
std::string Lab::netns(const std::string& node) const { return netns_name(name_, node); }

Result<std::string> Lab::supervisor_id(const std::string& node) const {
  const auto found = supervisor_ids_.find(node);
  if (found == supervisor_ids_.end()) return no_such_node(name_, node);
  return found->second;
}

Result<Address> Lab::address(const std::string& node) const {
  const auto* plan = plan_.find(node);
  if (!plan) return no_such_node(name_, node);
  return plan->loopback;
}

Result<std::vector<Address>> Lab::users(const std::string& node) const {
  const auto* plan = plan_.find(node);
  if (!plan) return no_such_node(name_, node);
  return plan->users;
}

Address Lab::resolver() const {
  const auto* plan = plan_.find(topology_.resolver_node);
  ICON_ASSERT(plan != nullptr);
  return plan->loopback;
}

Result<ChildProcess> Lab::spawn(const std::string& node, RunOptions options) const {
  if (!plan_.find(node)) return no_such_node(name_, node);
  ChildProcess::Options child;
  child.argv = std::move(options.argv);
  child.input_fd = options.input_fd;
  child.output_fd = options.output_fd;
  child.error_fd = options.error_fd;
  child.inherit = std::move(options.inherit);
  child.extra_environment = std::move(options.extra_environment);
  child.die_with_parent = options.die_with_parent;
  child.new_session = options.new_session;
  child.grace = options.grace;
  ICON_TRY(child.before_exec, options.own_resolv_conf
                                  ? private_entry_into(netns(node), LabFiles(name_).resolv_conf(),
                                                       mounts_under(directory()))
                                  : entry_into(netns(node)));
  return ChildProcess::start(std::move(child));
}

Result<int> Lab::exec(const std::string& node, RunOptions options) const {
  if (options.input_fd < 0) options.input_fd = STDIN_FILENO;
  if (options.output_fd < 0) options.output_fd = STDOUT_FILENO;
  if (options.error_fd < 0) options.error_fd = STDERR_FILENO;
  ICON_TRY(ChildProcess child, spawn(node, std::move(options)));
  // A ctrl-C at the terminal is meant for the program, which decides what to do about it.
  const auto interrupt = signal(SIGINT, SIG_IGN);
  const auto quit = signal(SIGQUIT, SIG_IGN);
  std::optional<int> exit_status;
  while (!exit_status) exit_status = child.wait(kExecPoll);
  signal(SIGINT, interrupt);
  signal(SIGQUIT, quit);
  return *exit_status;
}

Result<CommandOutcome> Lab::run(const std::string& node, Command command) const {
  if (!plan_.find(node)) return no_such_node(name_, node);
  ICON_TRY(command.before_exec, private_entry_into(netns(node), LabFiles(name_).resolv_conf(),
                                                   mounts_under(directory())));
  return run_command_blocking(std::move(command));
}

bool Lab::healthy() const {
  return !services_.empty() && std::all_of(services_.begin(), services_.end(), is_running);
}

}  // namespace icon::lab
