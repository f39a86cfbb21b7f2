// Links at run time: status and changes (lab.h).
#include <unistd.h>

#include <charconv>
#include <filesystem>
#include <sstream>

#include "base/file.h"
#include "base/netns.h"
#include "lab/lab.h"
#include "lab/lab_files.h"
#include "lab/node_entry.h"
#include "lab/relay_client.h"

namespace icon::lab {
namespace {

constexpr std::size_t kNetDevBytesMax = std::size_t{256} * 1024;

struct Unit {
  std::string_view suffix;
  double factor;
};

// "40ms": the number times the factor of the unit that follows; a bare number has the first unit.
Result<double> quantity(std::string_view word, std::string_view text,
                        std::initializer_list<Unit> units, double max) {
  double number = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), number);
  const std::string_view suffix(parsed.ptr,
                                static_cast<std::size_t>(text.data() + text.size() - parsed.ptr));
  if (parsed.ec == std::errc()) {
    for (const auto& unit : units) {
      if (suffix != unit.suffix && !suffix.empty()) continue;
      const double value = number * unit.factor;
      if (value >= 0 && value <= max) return value;
      break;
    }
  }
  return fail(Code::kInvalid,
              "\"" + std::string(word) + "\": not a number with a unit, or out of range");
}

DirectionCounters counters_of(const LineCounters& line) {
  return {line.packets, line.bytes, line.lost, line.dropped};
}

struct InterfaceCounters {
  DirectionCounters sent;
  DirectionCounters received;
};

// proc_net_dev(5): bytes, packets, errors, dropped, .. received; the same, sent.
Result<InterfaceCounters> read_counters(const std::string& netns, const std::string& interface) {
  ICON_TRY(UniqueFd fd, open_netns(netns));
  std::string text;
  ICON_CHECK(in_netns(fd, [&]() -> Status {
    ICON_TRY(text, read_file("/proc/thread-self/net/dev", kNetDevBytesMax));
    return {};
  }));
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    const auto colon = line.find(':');
    const auto start = line.find_first_not_of(' ');
    if (colon == std::string::npos || line.substr(start, colon - start) != interface) continue;
    std::istringstream numbers(line.substr(colon + 1));
    InterfaceCounters counters;
    std::uint64_t skipped = 0;
    numbers >> counters.received.bytes >> counters.received.packets >> skipped >>
        counters.received.dropped;
    for (int i = 0; i < 4; ++i) numbers >> skipped;
    numbers >> counters.sent.bytes >> counters.sent.packets >> skipped >> counters.sent.dropped;
    return counters;
  }
  return fail(Code::kNotFound, "no interface " + interface + " in " + netns);
}

const Interface* interface_of(const NodePlan& node, std::size_t link) {
  for (const auto& interface : node.interfaces)
    if (interface.link == link) return &interface;
  return nullptr;
}

// A plain link is cut by dropping what arrives at either end: routes and neighbours stay, and the
// sender learns nothing, as on a long line that breaks in the middle.
Status cut_end(const std::string& netns, const std::string& interface, bool cut) {
  const std::string table = "netdev icon_cut_" + interface;
  std::string rules = "add table " + table + "\ndelete table " + table + "\n";
  if (cut)
    rules += "add table " + table + "\nadd chain " + table +
             " arriving { type filter hook ingress device " + interface +
             " priority -500; policy drop; }\n";
  Command command;
  command.argv = {"nft", "-f", "-"};
  command.input = rules;
  ICON_TRY(command.before_exec, entry_into(netns));
  return run_checked_blocking(std::move(command));
}

}  // namespace

Result<LinkChange> LinkChange::parse(const std::vector<std::string>& words) {
  LinkChange change;
  for (const auto& word : words) {
    const auto equals = word.find('=');
    const std::string key = word.substr(0, equals);
    const std::string value = equals == std::string::npos ? "" : word.substr(equals + 1);
    const std::initializer_list<Unit> times{{"ms", 1}, {"us", 1e-3}, {"s", 1e3}};
    if (word == "up" || word == "down") {
      change.up = word == "up";
    } else if (key == "delay") {
      ICON_TRY(change.delay_ms, quantity(word, value, times, kDelayMsMax));
    } else if (key == "jitter") {
      ICON_TRY(change.jitter_ms, quantity(word, value, times, kDelayMsMax));
    } else if (key == "rate" && value == "off") {
      change.rate_mbit = 0;
    } else if (key == "rate") {
      ICON_TRY(change.rate_mbit,
               quantity(word, value, {{"mbit", 1}, {"kbit", 1e-3}, {"gbit", 1e3}}, kRateMbitMax));
    } else if (key == "loss") {
      ICON_TRY(change.loss_percent, quantity(word, value, {{"%", 1}}, 100));
    } else {
      return fail(Code::kInvalid, "\"" + word +
                                      "\": expected delay=40ms, jitter=2ms, rate=100mbit, "
                                      "rate=off, loss=1%, up or down");
    }
  }
  return change;
}

Result<std::vector<LinkStatus>> Lab::links() const {
  const LabFiles files(name_);
  std::map<std::string, CarriedState> carried;
  for (const auto& link : topology_.links) {
    if (!link.relayed) continue;
    ICON_TRY(carried, relay_status(files.relay_socket()));
    break;
  }
  std::vector<LinkStatus> list;
  for (std::size_t i = 0; i < topology_.links.size(); ++i) {
    LinkStatus status;
    status.link = topology_.links[i];
    if (status.link.relayed) {
      const auto& state = carried[status.link.name];
      status.link.shape = state.shape;
      status.up = state.up;
      status.from_a = counters_of(state.from_a);
      status.from_b = counters_of(state.from_b);
    } else {
      std::error_code error;
      status.up = !std::filesystem::exists(files.cut(status.link.name), error);
      const auto* interface = interface_of(*plan_.find(status.link.a), i);
      ICON_TRY(InterfaceCounters counters, read_counters(netns(status.link.a), interface->name));
      status.from_a = counters.sent;
      status.from_b = counters.received;
    }
    list.push_back(std::move(status));
  }
  return list;
}

Status Lab::set_link(const std::string& name, const LinkChange& change) const {
  const Link* link = topology_.find_link(name);
  if (!link) return fail(Code::kNotFound, "lab " + name_ + " has no link named " + name);
  const LabFiles files(name_);
  if (link->relayed) {
    ICON_TRY(auto carried, relay_status(files.relay_socket()));
    CarriedState& state = carried[name];
    if (change.delay_ms) state.shape.delay_ms = *change.delay_ms;
    if (change.jitter_ms) state.shape.jitter_ms = *change.jitter_ms;
    if (change.rate_mbit) state.shape.rate_mbit = *change.rate_mbit;
    if (change.loss_percent) state.shape.loss_percent = *change.loss_percent;
    return relay_set(files.relay_socket(), name, state.shape, change.up.value_or(state.up));
  }
  if (change.changes_shape())
    return fail(Code::kInvalid, "link " + name +
                                    " is a plain link, which can only go up and down; with "
                                    "\"delay_ms: 0\" in the topology it can be shaped");
  if (!change.up) return {};
  const auto index = static_cast<std::size_t>(link - topology_.links.data());
  for (const auto& node : {link->a, link->b})
    ICON_CHECK(cut_end(netns(node), interface_of(*plan_.find(node), index)->name, !*change.up));
  if (!*change.up) return write_file_atomic(files.cut(name), "", 0644);
  std::error_code error;
  std::filesystem::remove(files.cut(name), error);
  return {};
}

}  // namespace icon::lab
