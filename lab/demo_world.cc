#include "lab/demo_world.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <signal.h>

#include <algorithm>
#include <boost/json/serialize.hpp>
#include <filesystem>

#include "base/file.h"
#include "base/http_client.h"

namespace icon::lab {
namespace {

constexpr Millis kSupervisorStartMax{15'000};
constexpr Millis kPollEvery{50};
constexpr Millis kRunMax{60'000};
constexpr Millis kSupervisorGrace{10'000};
constexpr std::size_t kLogBytesMax = 64 << 20;
constexpr std::size_t kAnswerBytesMax = 32 << 20;
constexpr std::size_t kLinesMax = 10'000;

std::string program(const std::string& name) {
  std::error_code error;
  const auto self = std::filesystem::read_symlink("/proc/self/exe", error);
  return error ? name : (self.parent_path() / name).string();
}

}  // namespace

Result<DemoWorld> DemoWorld::create(DemoWorldOptions options) {
  if (!std::filesystem::is_directory(options.rootfs))
    return fail(Code::kNotFound, "no redis root directory at '" + options.rootfs +
                                     "'; make one with: images/redis/build " + options.rootfs);
  ICON_TRY(const auto topology, parse_topology(options.topology_text));
  const auto* origin = topology.find_node(options.origin);
  if (origin == nullptr || origin->is_router())
    return fail(Code::kNotFound, "the topology has no host '" + options.origin + "'");
  UpOptions up;
  up.name = options.lab_name;
  up.topology_text = options.topology_text;
  up.bound_to_caller = !options.keep;
  ICON_TRY(auto lab, Lab::up(std::move(up)));
  DemoWorld world(std::move(options), std::move(lab));
  world.name_hosts();
  return world;
}

void DemoWorld::name_hosts() {
  hosts_.push_back(options_.origin);
  for (const auto& provider : lab_.topology().providers) {
    if (std::find(hosts_.begin(), hosts_.end(), provider.node) == hosts_.end())
      hosts_.push_back(provider.node);
    names_[provider.domain] = provider.node;
  }
  for (const auto& node : hosts_) {
    if (const auto address = lab_.address(node)) names_[address->to_string()] = node;
    if (const auto id = lab_.supervisor_id(node)) names_[*id] = node;
  }
}

std::vector<std::string> DemoWorld::liars() const {
  std::vector<std::string> names;
  for (const auto& provider : lab_.topology().providers) {
    const auto own = lab_.supervisor_id(provider.node);
    const bool honest = provider.id.empty() || provider.id == "@node" ||
                        provider.id == "@" + provider.node || (own && provider.id == *own);
    if (!honest && std::find(names.begin(), names.end(), provider.node) == names.end())
      names.push_back(provider.node);
  }
  return names;
}

std::string DemoWorld::socket(const std::string& node) const {
  return lab_.host_directory(node) + "/run/supervisor.sock";
}

std::string DemoWorld::log_file(const std::string& node) const {
  return lab_.host_directory(node) + "/supervisor.log";
}

std::string DemoWorld::config_text(const std::string& node) const {
  const auto directory = lab_.host_directory(node);
  const auto price = options_.prices_ucredits.find(node);
  const auto address = lab_.address(node).value_or(Address());
  auto text = fmt::format(
      "provider_name: {0}\n"
      "public_address: {1}\n"
      "listen: {1}:7946\n"
      "socket: {2}/run/supervisor.sock\n"
      "state_dir: {2}/state\n"
      "runtime_dir: {2}/run\n"
      "key_file: {3}\n"
      "resolvers: [{4}]\n"
      "capacity: {{cpu_millis: 4000, memory_bytes: 8589934592, bandwidth_bps: 10000000000}}\n"
      "prices: {{slot_ucredits: {5}}}\n"
      "log: {{path: {6}}}\n",
      node, address.to_string(), directory, lab_.key_file(node), lab_.resolver().to_string(),
      price == options_.prices_ucredits.end() ? kDemoPriceUcredits : price->second, log_file(node));
  if (!options_.criu.empty()) text += "criu: " + options_.criu + "\n";
  const auto engine = options_.docker_sockets.find(node);
  text +=
      "docker_socket: " +
      (engine == options_.docker_sockets.end() ? directory + "/no-docker.sock" : engine->second) +
      "\n";
  text += options_.more_config;
  if (options_.config_of) text += options_.config_of(lab_, node);
  return text;
}

Status DemoWorld::start_supervisor(const std::string& node) {
  const auto directory = lab_.host_directory(node);
  ICON_CHECK(make_directories(directory + "/state", 0700));
  ICON_CHECK(make_directories(directory + "/run", 0755));
  const auto config = directory + "/supervisor.yaml";
  ICON_CHECK(write_file_atomic(config, config_text(node), 0644));
  const UniqueFd log(open(log_file(node).c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644));
  if (!log) return fail_errno("open " + log_file(node));
  RunOptions run;
  run.argv = {program("icon-supervisor"), "--config", config};
  run.output_fd = run.error_fd = log.get();
  run.own_resolv_conf = false;
  run.die_with_parent = !options_.keep;
  run.new_session = true;
  run.grace = kSupervisorGrace;
  ICON_TRY(auto child, lab_.spawn(node, std::move(run)));
  supervisors_.emplace_back(node, std::move(child));
  return {};
}

Status DemoWorld::kill_supervisor(const std::string& node) {
  const auto found = std::find_if(supervisors_.begin(), supervisors_.end(),
                                  [&](const auto& entry) { return entry.first == node; });
  if (found == supervisors_.end()) return fail(Code::kNotFound, "no supervisor on " + node);
  found->second.signal(SIGKILL);
  if (!found->second.wait(kSupervisorGrace))
    return fail(Code::kTimeout, "the supervisor of " + node + " does not die");
  supervisors_.erase(found);
  return {};
}

Status DemoWorld::start_supervisors(const std::function<Status()>& poll) {
  for (const auto& node : hosts_) ICON_CHECK(start_supervisor(node));
  const auto deadline = std::chrono::steady_clock::now() + kSupervisorStartMax;
  for (auto& [node, child] : supervisors_) {
    while (!get(node, "/v1/status")) {
      child.wait(kPollEvery);
      ICON_CHECK(check_supervisors());
      ICON_CHECK(poll());
      if (std::chrono::steady_clock::now() > deadline)
        return fail(Code::kTimeout, fmt::format("the supervisor of {} does not answer: {}", node,
                                                last_log_line(node)));
    }
  }
  return {};
}

Status DemoWorld::check_supervisors() {
  for (auto& [node, child] : supervisors_)
    if (const auto status = child.wait(Millis(0)))
      return fail(Code::kIo, fmt::format("the supervisor of {} ended with status {}: {}", node,
                                         *status, last_log_line(node)));
  return {};
}

std::string DemoWorld::last_log_line(const std::string& node) const {
  const auto text = read_file(log_file(node), kLogBytesMax);
  if (!text) return "no log";
  const auto end = text->find_last_not_of('\n');
  if (end == std::string::npos) return "it logged nothing";
  const auto begin = text->rfind('\n', end);
  return text->substr(begin == std::string::npos ? 0 : begin + 1, end - begin);
}

Result<std::string> DemoWorld::run_icon(const std::string& node,
                                        const std::vector<std::string>& arguments) {
  Command command;
  command.argv = {program("icon"), "--socket", socket(node)};
  command.argv.insert(command.argv.end(), arguments.begin(), arguments.end());
  command.timeout = kRunMax;
  ICON_TRY(auto outcome, lab_.run(node, std::move(command)));
  if (outcome.ok()) return std::move(outcome.output);
  auto said = outcome.error_output.empty() ? outcome.output : outcome.error_output;
  while (said.ends_with('\n')) said.pop_back();
  return fail(Code::kIo, fmt::format("icon {} at {} failed (exit {}): {}", arguments.front(), node,
                                     outcome.exit_status, said));
}

Status DemoWorld::run_redis(const std::string& policy_text,
                            const std::vector<std::string>& arguments) {
  const auto policy = lab_.host_directory(options_.origin) + "/policy.yaml";
  ICON_CHECK(write_file_atomic(policy, policy_text, 0644));
  std::vector<std::string> words{"run",
                                 "--name",
                                 "redis",
                                 "--rootfs",
                                 options_.rootfs,
                                 "--policy",
                                 policy,
                                 "-p",
                                 std::to_string(kRedisPort)};
  words.insert(words.end(), arguments.begin(), arguments.end());
  for (const auto* word : {"--", "/usr/bin/redis-server", "/etc/redis/icon.conf"})
    words.emplace_back(word);
  run_command_line_ =
      fmt::format("icon --socket {} {}", socket(options_.origin), fmt::join(words, " "));
  ICON_TRY([[maybe_unused]] const auto said, run_icon(options_.origin, words));
  return {};
}

Result<json::Object> DemoWorld::get(const std::string& node, const std::string& target) const {
  http::UnixRequest request;
  request.socket_path = socket(node);
  request.target = target;
  request.response_bytes_max = kAnswerBytesMax;
  ICON_TRY(const auto response, http::request_blocking(std::move(request)));
  ICON_TRY(const auto body, http::body_or_error(response));
  return json::parse_object(body, kAnswerBytesMax);
}

Result<std::vector<json::Object>> DemoWorld::get_lines(const std::string& node,
                                                       const std::string& target) const {
  http::UnixRequest request;
  request.socket_path = socket(node);
  request.target = target;
  std::vector<json::Object> lines;
  ICON_CHECK(
      http::stream_lines_blocking(std::move(request), Millis(5'000), [&](std::string_view line) {
        if (auto object = json::parse_object(line, kAnswerBytesMax)) lines.push_back(*object);
        return lines.size() < kLinesMax;
      }));
  return lines;
}

Status DemoWorld::down() {
  // ICONs end with their supervisors' hosts: the lab's teardown takes what runs there.
  for (auto& [node, child] : supervisors_) child.signal(15);
  supervisors_.clear();
  return lab_.down();
}

void DemoWorld::release() {
  for (auto& [node, child] : supervisors_) child.release();
  supervisors_.clear();
}

}  // namespace icon::lab
