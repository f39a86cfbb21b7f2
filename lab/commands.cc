#include "lab/commands.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <boost/json/serialize.hpp>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <memory>

#include "base/file.h"
#include "lab/lab.h"
#include "lab/lab_files.h"
#include "lab/relay_message.h"

namespace icon::lab {
namespace {

constexpr int kExitFailed = 1;
constexpr int kExitUsage = 2;

int report(const Error& error) {
  std::fprintf(stderr, "icon lab: %s\n", error.message.c_str());
  return error.code == Code::kInvalid ? kExitUsage : kExitFailed;
}

// "demo" from "lab/topologies/demo.yaml": what a lab's name may hold of the file's.
std::string name_from_file(const std::string& file) {
  std::string name;
  for (const char c : std::filesystem::path(file).stem().string())
    if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9')) name += c;
  return name.substr(0, 12);
}

// With one lab up, nobody needs to say which.
Result<Lab> chosen_lab(const std::string& name) {
  if (!name.empty()) return Lab::open(name);
  const auto labs = Lab::list();
  if (labs.size() == 1) return Lab::open(labs.front());
  if (labs.empty()) return fail(Code::kNotFound, "no lab is up; `icon lab up FILE` starts one");
  return fail(Code::kInvalid, "several labs are up; say which with --lab NAME");
}

std::string shape_words(const Shape& shape) {
  std::string words;
  if (shape.delay_ms > 0) words += fmt::format(" delay {:g} ms", shape.delay_ms);
  if (shape.jitter_ms > 0) words += fmt::format(" jitter {:g} ms", shape.jitter_ms);
  if (shape.rate_mbit > 0) words += fmt::format(" rate {:g} Mbit/s", shape.rate_mbit);
  if (shape.loss_percent > 0) words += fmt::format(" loss {:g} %", shape.loss_percent);
  return words;
}

json::Object direction_json(const DirectionCounters& counters) {
  return {{"packets", counters.packets},
          {"bytes", counters.bytes},
          {"lost", counters.lost},
          {"dropped", counters.dropped}};
}

json::Object lab_json(const Lab& lab, const std::vector<LinkStatus>& links) {
  json::Array nodes, link_list;
  for (const auto& node : lab.plan().nodes) {
    json::Object object{{"name", node.name},
                        {"domain", node.domain},
                        {"kind", node.router ? "router" : "host"},
                        {"address", node.loopback.to_string()},
                        {"users", node.users.size()},
                        {"netns", lab.netns(node.name)}};
    if (const auto id = lab.supervisor_id(node.name)) object["supervisor_id"] = *id;
    nodes.push_back(std::move(object));
  }
  for (const auto& status : links) {
    json::Object object{{"name", status.link.name},
                        {"a", status.link.a},
                        {"b", status.link.b},
                        {"up", status.up},
                        {"relayed", status.link.relayed},
                        {"from_a", direction_json(status.from_a)},
                        {"from_b", direction_json(status.from_b)}};
    shape_to_json(status.link.shape, object);
    link_list.push_back(std::move(object));
  }
  return {{"name", lab.name()},           {"healthy", lab.healthy()},
          {"directory", lab.directory()}, {"resolver", lab.resolver().to_string()},
          {"nodes", std::move(nodes)},    {"links", std::move(link_list)}};
}

void print_lab(const Lab& lab, const std::vector<LinkStatus>& links) {
  fmt::print("lab {}: {} nodes, {} links, resolver {}, files in {}{}\n", lab.name(),
             lab.plan().nodes.size(), links.size(), lab.resolver().to_string(), lab.directory(),
             lab.healthy() ? "" : "; NOT HEALTHY: a service of it has ended");
  for (const auto& node : lab.plan().nodes)
    fmt::print("  {:<7} {:<16} {:<15} {}{}\n", node.router ? "router" : "host", node.name,
               node.loopback.to_string(), node.domain,
               node.users.empty() ? "" : fmt::format(", {} users", node.users.size()));
  for (const auto& status : links)
    fmt::print("  link    {:<16} {} - {}{}{}; packets {} >, {} <; lost {}, dropped {}\n",
               status.link.name, status.link.a, status.link.b, shape_words(status.link.shape),
               status.up ? "" : " DOWN", status.from_a.packets, status.from_b.packets,
               status.from_a.lost + status.from_b.lost,
               status.from_a.dropped + status.from_b.dropped);
}

template <class T>
void subtract(std::vector<T>& from, const std::vector<T>& what) {
  std::erase_if(
      from, [&](const T& item) { return std::find(what.begin(), what.end(), item) != what.end(); });
}

// What is here and belongs to none of the labs that are up.
Remains strays(const std::vector<std::string>& running) {
  Remains left = scan_leftovers();
  for (const auto& lab : running) {
    const Remains own = scan_lab(lab);
    subtract(left.namespaces, own.namespaces);
    subtract(left.mounts, own.mounts);
    subtract(left.processes, own.processes);
    subtract(left.cgroups, own.cgroups);
    subtract(left.directories, own.directories);
  }
  if (!running.empty())  // the parents of the cgroups of a lab that runs
    std::erase_if(left.cgroups, [](const std::string& path) { return path.ends_with("/icon"); });
  return left;
}

int status_command(bool as_json) {
  json::Array labs;
  std::vector<std::string> running;
  for (const auto& name : Lab::list()) {
    auto lab = Lab::open(name);
    if (!lab) continue;  // a directory without a lab: it shows up among what is left
    auto links = lab->links();
    running.push_back(name);
    if (as_json)
      labs.push_back(lab_json(*lab, links.value_or(std::vector<LinkStatus>{})));
    else
      print_lab(*lab, links.value_or(std::vector<LinkStatus>{}));
  }
  const Remains left = strays(running);
  if (as_json) {
    const json::Object all{{"labs", std::move(labs)}, {"left", left.to_json()}};
    fmt::print("{}\n", boost::json::serialize(all));
  } else if (!left.empty()) {
    fmt::print("left behind, of no lab that is up (`icon lab down --all` removes it):\n{}",
               left.describe());
  } else if (running.empty()) {
    fmt::print("nothing of ours is left\n");
  }
  return left.empty() ? 0 : kExitFailed;
}

int up_command(const std::string& file, const std::string& given_name) {
  const auto begin = std::chrono::steady_clock::now();
  auto text = read_file(file, kTopologyBytesMax);
  if (!text) return report(text.error());
  UpOptions options;
  options.name = given_name.empty() ? name_from_file(file) : given_name;
  options.topology_text = std::move(*text);
  const auto lab = Lab::up(std::move(options));
  if (!lab) return report({lab.error().code, file + ": " + lab.error().message});
  const auto took = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin);
  fmt::print(
      "lab {} is up: {} nodes, {} links, {:.1f} s; `icon lab status` shows it, "
      "`icon lab down {}` removes it\n",
      lab->name(), lab->plan().nodes.size(), lab->topology().links.size(), took.count(),
      lab->name());
  return 0;
}

int exec_command(const std::string& lab_name, const std::string& node,
                 const std::vector<std::string>& argv) {
  const auto lab = chosen_lab(lab_name);
  if (!lab) return report(lab.error());
  RunOptions options;
  // The mark between our words and the program's comes through as a word.
  options.argv.assign(argv.begin() + (argv.front() == "--" ? 1 : 0), argv.end());
  if (options.argv.empty()) return report({Code::kInvalid, "exec: no program given"});
  const auto exit_status = lab->exec(node, std::move(options));
  return exit_status ? *exit_status : report(exit_status.error());
}

int link_command(const std::string& lab_name, const std::string& link,
                 const std::vector<std::string>& words) {
  const auto lab = chosen_lab(lab_name);
  if (!lab) return report(lab.error());
  const auto change = LinkChange::parse(words);
  if (!change) return report(change.error());
  const auto status = lab->set_link(link, *change);
  return status ? 0 : report(status.error());
}

int down_command(const std::string& name, bool all) {
  if (all) {
    const auto status = Lab::down_all();
    return status ? 0 : report(status.error());
  }
  std::string chosen = name;
  if (chosen.empty()) {
    const auto labs = Lab::list();
    if (labs.empty()) return fmt::print("no lab is up\n"), 0;
    if (labs.size() > 1)
      return report({Code::kInvalid, "several labs are up; name one, or say --all"});
    chosen = labs.front();
  }
  const auto status = Lab::down(chosen);
  if (!status) return report(status.error());
  fmt::print("lab {} is gone\n", chosen);
  return 0;
}

}  // namespace

void add_lab_commands(CLI::App& app, int& exit_status) {
  struct Arguments {
    std::string file, name, lab, node, link, set, format = "text";
    std::vector<std::string> words;
    bool all = false;
  };
  const auto arguments = std::make_shared<Arguments>();
  CLI::App* const lab = app.add_subcommand("lab", "An internet on this machine, in namespaces");
  lab->require_subcommand(1);

  CLI::App* const up = lab->add_subcommand("up", "Bring up the network that FILE describes");
  up->add_option("FILE", arguments->file, "Topology (YAML)")->required();
  up->add_option("--name", arguments->name, "Name of the lab; by default the file's");
  up->callback([=, &exit_status]() { exit_status = up_command(arguments->file, arguments->name); });

  CLI::App* const status = lab->add_subcommand("status", "Labs that are up, and what is left");
  status->add_option("-o,--output", arguments->format, "text or json")
      ->check(CLI::IsMember({"text", "json"}));
  status->callback(
      [=, &exit_status]() { exit_status = status_command(arguments->format == "json"); });

  CLI::App* const exec = lab->add_subcommand("exec", "Run a program on a host: exec HOST -- CMD");
  exec->add_option("--lab", arguments->lab, "Which lab, if several are up");
  exec->add_option("HOST", arguments->node, "Node of the lab")->required();
  exec->add_option("CMD", arguments->words, "Program and arguments")->required();
  exec->positionals_at_end();
  exec->callback([=, &exit_status]() {
    exit_status = exec_command(arguments->lab, arguments->node, arguments->words);
  });

  CLI::App* const link = lab->add_subcommand(
      "link",
      "Change a link: link NAME set delay=40ms jitter=2ms loss=1% rate=100mbit|off up|down");
  link->add_option("--lab", arguments->lab, "Which lab, if several are up");
  link->add_option("NAME", arguments->link, "Link, as in the topology")->required();
  link->add_option("set", arguments->set, "The word \"set\"")
      ->required()
      ->check(CLI::IsMember({"set"}));
  link->add_option("CHANGE", arguments->words, "What to change")->required();
  link->callback([=, &exit_status]() {
    exit_status = link_command(arguments->lab, arguments->link, arguments->words);
  });

  CLI::App* const down = lab->add_subcommand("down", "Remove a lab, or with --all every trace");
  CLI::Option* const name = down->add_option("NAME", arguments->name, "Name of the lab");
  down->add_flag("--all", arguments->all, "Every lab and whatever a crash left")->excludes(name);
  down->callback(
      [=, &exit_status]() { exit_status = down_command(arguments->name, arguments->all); });
}

}  // namespace icon::lab
