#include "cli/actions.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <boost/json/serialize.hpp>
#include <charconv>
#include <cmath>
#include <filesystem>

#include "agent/dns_plan.h"
#include "agent/policy.h"
#include "base/file.h"
#include "budget/explain.h"
#include "cli/api.h"
#include "cli/list_parts.h"
#include "cli/table.h"
#include "cli/text.h"

namespace icon::cli {
namespace {

constexpr double kCpuMax = 1024;
constexpr Millis kStopMargin{10'000};  // over the grace that the service gets

Outcome<std::string> existing_directory(const std::string& path, const char* what) {
  std::error_code error;
  const auto absolute = std::filesystem::canonical(path, error);
  if (error || !std::filesystem::is_directory(absolute))
    return failure(kUsage, fmt::format("{} {}: no such directory", what, path), "Check the path.");
  return absolute.string();
}

}  // namespace

Outcome<std::string> read_policy_file(const std::string& path) {
  auto text = read_file(path, agent::kPolicyBytesMax);
  if (!text) return failure(kUsage, "policy: " + text.error().message, "Check the path.");
  const auto reading = agent::read_policy(*text);
  if (reading.problems.empty()) return std::move(*text);
  std::string problems;
  for (const auto& problem : reading.problems)
    problems += (problems.empty() ? "" : "\n") + path + ": " + problem.to_string();
  return failure(kUsage, std::move(problems), "docs/policy.md describes every key.");
}

namespace {

Outcome<json::Object> resources_of(const RunOptions& options) {
  json::Object resources;
  if (options.cpu < 0 || options.cpu > kCpuMax)
    return failure(kUsage, "--cpu: not between 0 and 1024 cores", "For example --cpu 0.5.");
  resources["cpu_millis"] = static_cast<std::int64_t>(std::lround(options.cpu * 1000));
  resources["memory_bytes"] = 0;
  resources["bandwidth_bps"] = 0;
  if (!options.memory.empty()) {
    const auto bytes = agent::parse_bytes(options.memory);
    if (!bytes) return failure(kUsage, "--memory: " + bytes.error().message);
    resources["memory_bytes"] = *bytes;
  }
  if (!options.bandwidth.empty()) {
    const auto bps = agent::parse_bandwidth_bps(options.bandwidth);
    if (!bps) return failure(kUsage, "--bandwidth: " + bps.error().message);
    resources["bandwidth_bps"] = *bps;
  }
  return resources;
}

// As the agent will read it; never printed.
Outcome<std::string> read_dns_key(const std::string& path) {
  struct stat info {};
  if (stat(path.c_str(), &info) == 0 && (info.st_mode & 077) != 0 && !S_ISDIR(info.st_mode))
    return failure(kUsage, "--dns-key " + path + ": it can be read by others", "chmod 600 it.");
  auto text = read_file(path, agent::kDnsKeyBytesMax);
  if (!text) return failure(kUsage, "--dns-key: " + text.error().message, "Check the path.");
  const auto key = agent::parse_tsig_key(*text);
  if (!key)
    return failure(kUsage, "--dns-key " + path + ": " + key.error().message,
                   "For example hmac-sha256:icon.example:SECRET, as `keymgr -t` prints it.");
  return *text;
}

Outcome<json::Object> run_body(const RunOptions& options) {
  json::Object body;
  if (!options.rootfs.empty() + !options.bundle.empty() + !options.image.empty() != 1)
    return failure(kUsage, "give one of --rootfs DIR, --bundle DIR and --image NAME",
                   "images/redis/build OUT makes a root directory to try.");
  const bool is_rootfs = !options.rootfs.empty();
  if (options.image.empty()) {
    CLI_TRY(body[is_rootfs ? "rootfs" : "bundle"],
            existing_directory(is_rootfs ? options.rootfs : options.bundle,
                               is_rootfs ? "--rootfs" : "--bundle"));
  } else {
    body["image"] = options.image;
  }
  if (!options.runtime.empty()) body["runtime"] = options.runtime;
  if (is_rootfs && options.command.empty())
    return failure(kUsage, "no command given",
                   "Put it behind --, for example: icon run --rootfs DIR -- /usr/sbin/nginx");
  body["command"] = json::Array(options.command.begin(), options.command.end());
  body["name"] = options.name;
  if (options.name.empty() && (options.image.empty() || !options.command.empty())) {
    const auto source = options.command.empty() ? options.bundle : options.command[0];
    body["name"] = std::filesystem::path(source).filename().string();
  }
  json::Array ports;
  for (const auto& text : options.ports) {
    CLI_TRY(auto port, api_port(text));
    ports.emplace_back(std::move(port));
  }
  body["ports"] = std::move(ports);
  for (const auto& variable : options.env)
    if (variable.find('=') == std::string::npos || variable[0] == '=')
      return failure(kUsage, "--env " + variable + ": not NAME=VALUE");
  body["env"] = json::Array(options.env.begin(), options.env.end());
  if (!options.policy_file.empty()) {
    CLI_TRY(body["policy"], read_policy_file(options.policy_file));
  }
  if (!options.dns_key_file.empty()) {
    CLI_TRY(body["dns_key"], read_dns_key(options.dns_key_file));
    const auto* policy = body.if_contains("policy");
    const auto read = agent::parse_policy(policy ? std::string(policy->as_string()) : "");
    if (!read || !read->dns_update ||
        read->dns_update->key_file != agent::DnsUpdatePolicy().key_file)
      return failure(
          kUsage, "--dns-key: the policy has no use for it",
          "Say dns_update: {server: .., zone: .., name: ..} in --policy, without key_file.");
  }
  CLI_TRY(body["resources"], resources_of(options));
  if (!options.cwd.empty()) body["cwd"] = options.cwd;
  return body;
}

// How its memory travelled, and why so.
void print_memory(Context& context, const json::Object& memory) {
  if (text_of(memory, "mode") == "stop-copy")
    context.out << "Stop-copy: its memory travelled while it stood still: "
                << text_of(memory, "why") << ".\n";
  const auto bytes = number_of(memory, "memory_bytes");
  if (!bytes) return;
  if (text_of(memory, "mode") == "hybrid")
    context.out << "Hybrid (pre-copy, then post-copy from what the destination has): ";
  context.out << fmt::format(
      "Its memory, {}, went ahead while it ran, at {} a second; {} a second changed",
      human_bytes(*bytes), human_bytes(number_of(memory, "link_bytes_per_second").value_or(0)),
      human_bytes(number_of(memory, "change_bytes_per_second").value_or(0)));
  if (const auto rest = number_of(memory, "rest_bytes"))
    context.out << fmt::format(", {} were left for the end", human_bytes(*rest));
  const auto in_images = number_of(memory, "image_memory_bytes").value_or(0);
  if (in_images > 0)
    context.out << fmt::format("; {} are shared or locked and travelled while it stood still",
                               human_bytes(in_images));
  context.out << ".\n";
}

void print_migration(Context& context, const json::Object& move) {
  context.out << fmt::format("Migration {} of {}, from {} to {}, epoch {}: {} ({}).\n",
                             text_of(move, "id"), text_of(move, "name"), text_of(move, "from"),
                             text_of(move, "to"), number_of(move, "epoch").value_or(0),
                             text_of(move, "state"), text_of(move, "reason"));
  if (const auto gap = number_of(move, "gap_us"); gap && *gap > 0)
    context.out << fmt::format("The service stood still for {}; {} moved.\n", human_us(*gap),
                               human_bytes(number_of(move, "bytes").value_or(0)));
  print_memory(context, object_of(object_of(move, "details"), "memory"));
  if (const auto error = text_of(move, "error"); error != "-")
    context.out << "It failed: " << error << ".\n";
  Table table({{"PHASE"}, {"TOOK", Table::Align::kRight}, {"BYTES", Table::Align::kRight}});
  for (const auto& value : array_of(move, "phases")) {
    if (!value.is_object()) continue;
    const auto& phase = value.get_object();
    const auto bytes = number_of(phase, "bytes").value_or(0);
    table.add({text_of(phase, "name"), human_us(number_of(phase, "took_us").value_or(0)),
               bytes > 0 ? human_bytes(bytes) : "-"});
  }
  if (!table.empty()) context.out << table.render(context.colour);
  context.out << '\n';
}

// A migration or a decision by id or by a unique beginning of it.
Outcome<json::Object> find_by_id(const Api& api, const std::string& target, std::string_view key,
                                 const std::string& id) {
  CLI_TRY(const auto answer, api.get_object(target));
  const json::Object* found = nullptr;
  for (const auto& value : array_of(answer, key)) {
    if (!value.is_object()) continue;
    const auto candidate = text_of(value.get_object(), "id");
    if (candidate == id) return value.get_object();
    if (!candidate.starts_with(id)) continue;
    if (found != nullptr)
      return failure(kUsage, id + " is the beginning of several ids", "Give more of it.");
    found = &value.get_object();
  }
  if (found == nullptr) return failure(kNotFound, "nothing is called " + id);
  return *found;
}

Outcome<json::Object> newest_decision(const Api& api, const std::string& icon) {
  CLI_TRY(const auto answer, api.get_object("/v1/decisions?icon=" + url_encode(icon)));
  const auto& decisions = array_of(answer, "decisions");
  if (decisions.empty() || !decisions[0].is_object()) return failure(kNotFound, "none");
  return decisions[0].get_object();
}

}  // namespace

void print_evidence(Context& context, const json::Object& evidence) {
  if (evidence.empty()) {
    context.out << "No evidence was kept.\n";
    return;
  }
  for (const auto& line : budget::render_evidence(evidence)) context.out << line << '\n';
}

Outcome<std::string> api_port(const std::string& text) {
  const auto wrong = [&] {
    return failure(kUsage, "-p " + text + ": not PUBLIC[:CONTAINER][/tcp|/udp]",
                   "For example -p 6379, -p 8080:80 (users dial 8080, the service has 80), "
                   "-p 53/udp.");
  };
  std::string_view rest = text;
  std::string proto = "tcp";
  if (const auto slash = rest.find('/'); slash != std::string_view::npos) {
    proto = rest.substr(slash + 1);
    rest = rest.substr(0, slash);
  }
  if (proto != "tcp" && proto != "udp") return wrong();
  const auto colon = rest.find(':');
  const auto published = rest.substr(0, colon);
  const auto container = colon == std::string_view::npos ? published : rest.substr(colon + 1);
  for (const auto part : {published, container}) {
    int number = 0;
    const auto [end, error] = std::from_chars(part.data(), part.data() + part.size(), number);
    if (error != std::errc() || end != part.data() + part.size() || number < 1 || number > 65535)
      return wrong();
  }
  return fmt::format("{}:{}:{}", proto, container, published);
}

int show_new_icon(Context& context, const json::Object& icon) {
  if (context.json) {
    context.out << boost::json::serialize(icon) << '\n';
    return kOk;
  }
  const auto name = text_of(icon, "name");
  context.out << name << " runs as ICON " << text_of(icon, "id") << '\n'
              << "Look at it with: icon ps; icon logs -f " << name << '\n';
  return kOk;
}

int run_icon(Context& context, const RunOptions& options) {
  const auto body = run_body(options);
  if (!body) return report(context, body.error());
  const Api api(context.socket);
  const auto answer = api.post_object("/v1/icons", *body);
  if (!answer) return report(context, answer.error());
  return show_new_icon(context, *answer);
}

int hold_icon(Context& context, const std::string& icon, bool hold) {
  const auto answer =
      Api(context.socket).post("/v1/icons/" + url_encode(icon) + (hold ? "/hold" : "/unhold"), {});
  if (!answer) return report(context, answer.error());
  if (context.json) {
    context.out << *answer;
    return kOk;
  }
  context.out << icon
              << (hold ? " stays where it is until: icon unhold " + icon
                       : " decides for itself again")
              << '\n';
  return kOk;
}

int stop_icon(Context& context, const std::string& icon, std::int64_t grace_ms) {
  const auto target = fmt::format("/v1/icons/{}?grace_ms={}", url_encode(icon), grace_ms);
  const auto text = Api(context.socket).remove(target, Millis(grace_ms) + kStopMargin);
  if (!text) return report(context, text.error());
  if (context.json) {
    context.out << *text;
    return kOk;
  }
  const auto answer = json::parse_object(*text, Api::kAnswerBytesMax, json::kOwnDepthMax);
  const auto status = answer ? number_of(*answer, "exit_status") : std::nullopt;
  context.out << icon << " stopped";
  if (status) context.out << ", exit status " << *status;
  context.out << '\n';
  return kOk;
}

int show_logs(Context& context, const LogOptions& options) {
  const auto target =
      fmt::format("/v1/icons/{}/logs?follow={}&source={}&lines={}", url_encode(options.icon),
                  options.follow ? 1 : 0, url_encode(options.source), options.lines);
  const auto ended = Api(context.socket).stream(target, [&](const json::Object& entry) {
    // As the service wrote it: its own bytes, colours included.
    const auto* line = entry.if_contains("line");
    if (line == nullptr || !line->is_string()) return true;  // a sign of life
    if (context.json)
      context.out << boost::json::serialize(entry) << '\n';
    else
      context.out << std::string_view(line->get_string()) << '\n';
    context.out.flush();
    return context.out.good();
  });
  return ended ? kOk : report(context, ended.error());
}

int explain(Context& context, const std::string& id) {
  const Api api(context.socket);
  auto move = api.get_object("/v1/migrations/" + url_encode(id));
  if (!move && move.error().exit_code == kNotFound) {
    auto listed = find_by_id(api, "/v1/migrations", "migrations", id);
    if (listed)
      move = api.get_object("/v1/migrations/" + url_encode(text_of(*listed, "id")));
    else if (listed.error().exit_code != kNotFound)
      return report(context, listed.error());
  }
  if (!move && move.error().exit_code != kNotFound) return report(context, move.error());
  auto found = move ? std::move(move) : find_by_id(api, "/v1/decisions", "decisions", id);
  const bool is_icon = !found && found.error().exit_code == kNotFound;
  if (is_icon) found = newest_decision(api, id);
  if (!found) {
    if (found.error().exit_code == kNotFound)
      found.error() = {kNotFound, "no migration, decision or deciding ICON is called " + id,
                       "`icon history` lists the migrations of this host."};
    return report(context, found.error());
  }
  if (context.json) {
    context.out << boost::json::serialize(*found) << '\n';
    return kOk;
  }
  if (found->contains("from")) print_migration(context, *found);
  print_evidence(context, object_of(*found, "evidence"));
  if (!is_icon) return kOk;
  const auto icon = api.get_object("/v1/icons/" + url_encode(id));
  if (icon) show_standing(context, object_of(*icon, "status"), "");
  return kOk;
}

}  // namespace icon::cli
