#include "cli/lists.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json/serialize.hpp>

#include "cli/api.h"
#include "cli/list_parts.h"
#include "cli/table.h"
#include "cli/text.h"

namespace icon::cli {
namespace {

std::string ports_of(const json::Object& icon) {
  std::string text;
  for (const auto& value : array_of(icon, "ports")) {
    if (!value.is_object()) continue;
    const auto& port = value.get_object();
    const auto container = number_of(port, "container").value_or(0);
    const auto published = number_of(port, "public").value_or(container);
    if (!text.empty()) text += ' ';
    text += std::to_string(published);
    if (published != container) text += fmt::format(">{}", container);
    if (text_of(port, "proto") == "udp") text += "/udp";
  }
  return text.empty() ? "-" : text;
}

// Connections and their round trip, weighted by connections, out of the agent's last status.
struct Users {
  std::int64_t connections = 0;
  std::optional<std::int64_t> rtt_us;
};
Users users_of(const json::Object& status) {
  Users users;
  std::int64_t measured = 0;
  std::int64_t sum_us = 0;
  for (const auto& value : array_of(status, "prefixes")) {
    if (!value.is_object()) continue;
    const auto& prefix = value.get_object();
    const auto connections =
        std::clamp<std::int64_t>(number_of(prefix, "connections").value_or(0), 0, 100'000'000);
    users.connections += connections;
    const auto rtt = number_of(prefix, "rtt_us_p50");
    if (!rtt || *rtt < 0 || *rtt > 100'000'000) continue;
    measured += connections;
    sum_us += connections * *rtt;
  }
  if (measured > 0) users.rtt_us = sum_us / measured;
  return users;
}

void add_icon(Table& table, const json::Object& icon) {
  // What the agent said last is about its life here: once it has left, it is old news.
  const auto state = text_of(icon, "state");
  static const json::Object no_status;
  const bool here = state == "running" || state == "migrating";
  const auto& status = here ? object_of(icon, "status") : no_status;
  const auto users = users_of(status);
  auto lifecycle = text_of(status, "lifecycle");
  const auto* held = status.if_contains("held");
  if (held != nullptr && held->is_bool() && held->get_bool()) lifecycle += " held";
  table.add({text_of(icon, "name"), short_of(icon, "id"), state_cell(icon), lifecycle,
             or_dash(number_of(icon, "epoch"), plain), ports_of(icon),
             here ? plain(users.connections) : "-", or_dash(users.rtt_us, human_us),
             purse_of(status)});
}

}  // namespace

int list_icons(Context& context, bool names_only) {
  if (names_only && !context.json) {
    const auto answer = Api(context.socket).get_object("/v1/icons");
    if (!answer) return report(context, answer.error());
    for (const auto& icon : array_of(*answer, "icons"))
      if (icon.is_object()) context.out << text_of(icon.get_object(), "name") << '\n';
    return kOk;
  }
  return list_rows(context, "/v1/icons", "icons",
                   "No ICON on this host. Start one with: icon run --rootfs DIR -p PORT -- COMMAND",
                   Table({{"NAME"},
                          {"ID"},
                          {"STATE"},
                          {"LIFECYCLE"},
                          {"EPOCH", kRight},
                          {"PORTS"},
                          {"CONNECTIONS", kRight},
                          {"RTT p50", kRight},
                          {"SPENT (credits)"}}),
                   add_icon);
}

int list_providers(Context& context, const std::string& icon) {
  const auto rows = rows_of_icons(context, icon, "providers");
  if (!rows) return report(context, rows.error());
  const json::Array& all = *rows;
  if (context.json) {
    context.out << boost::json::serialize(json::Object{{"providers", all}}) << '\n';
    return kOk;
  }
  Table table({{"ICON"},
               {"PROVIDER"},
               {"KEY"},
               {"FROM"},
               {"DNSSEC"},
               {"STATE"},
               {"SLOT (credits)", kRight},
               {"RTT there", kRight},
               {"WHY"}});
  for (const auto& value : all) {
    const auto& row = value.get_object();
    auto why = text_of(row, "message");
    if (why == "-") why = text_of(row, "reason");
    table.add({text_of(row, "icon_name"), text_of(row, "name"), short_of(row, "id"),
               text_of(row, "source"), text_of(row, "dnssec"), state_cell(row),
               or_dash(number_of(row, "price_ucredits"), human_credits),
               or_dash(number_of(row, "rtt_us_estimate"), human_us), why});
  }
  context.out << (table.empty() ? "No ICON has found a provider yet.\n"
                                : table.render(context.colour));
  return kOk;
}

namespace {

std::string share(std::int64_t part, std::int64_t whole) {
  return whole > 0 ? fmt::format("{} %", std::clamp<std::int64_t>(part * 100 / whole, 0, 100))
                   : "-";
}

void add_record(Table& table, const json::Object& row) {
  const auto figure = [&](const char* key) { return number_of(row, key).value_or(0); };
  const auto state = text_of(row, "state");
  const auto colour = state == "broken" ? Colour::kRed
                      : state == "kept" ? Colour::kGreen
                                        : Colour::kNone;
  const auto* here = row.if_contains("here");
  const bool is_here = here != nullptr && here->is_bool() && here->get_bool();
  table.add({text_of(row, "icon_name"), text_of(row, "name") + (is_here ? " (here)" : ""),
             short_of(row, "id"), Table::Cell(state, colour), plain(figure("trust")) + " %",
             fmt::format("{}/{}", figure("kept"), figure("broken")),
             or_dash(number_of(row, "rtt_before_us"), human_us),
             or_dash(number_of(row, "rtt_promised_us"), human_us),
             or_dash(number_of(row, "rtt_delivered_us"), human_us),
             share(figure("cpu_got_us"), figure("cpu_wanted_us")),
             fmt::format("{} of {}", human_bits(figure("bandwidth_seen_bps")),
                         human_bits(figure("bandwidth_promised_bps"))),
             share(figure("up_ms"), figure("up_ms") + figure("down_ms")),
             fmt::format("{} of {}", human_credits(figure("price_paid_ucredits")),
                         human_credits(figure("price_promised_ucredits")))});
}

}  // namespace

int list_record(Context& context, const std::string& icon) {
  const auto all = rows_of_icons(context, icon, "record");
  if (!all) return report(context, all.error());
  if (context.json) {
    context.out << boost::json::serialize(json::Object{{"record", *all}}) << '\n';
    return kOk;
  }
  Table table({{"ICON"},
               {"PROVIDER"},
               {"KEY"},
               {"PROMISE"},
               {"TRUST", kRight},
               {"KEPT/BROKEN", kRight},
               {"RTT before", kRight},
               {"promised", kRight},
               {"delivered", kRight},
               {"CPU got", kRight},
               {"BANDWIDTH seen"},
               {"UP", kRight},
               {"PAID (credits)"}});
  for (const auto& value : *all) add_record(table, value.get_object());
  context.out << (table.empty() ? "No ICON on this host has bought anywhere yet.\n"
                                : table.render(context.colour));
  return kOk;
}

int list_history(Context& context, const std::string& icon) {
  const auto now = context.clock.utc_ms();
  return list_rows(
      context, "/v1/migrations", "migrations", "No migrations yet.",
      Table({{"MIGRATION"},
             {"ICON"},
             {"FROM"},
             {"TO"},
             {"EPOCH", kRight},
             {"STATE"},
             {"REASON"},
             {"GAP", kRight},
             {"BYTES", kRight},
             {"STARTED"}}),
      [now, &icon](Table& table, const json::Object& move) {
        if (!icon.empty() && text_of(move, "name") != icon &&
            !text_of(move, "icon").starts_with(icon))
          return;
        const auto gap = number_of(move, "gap_us");
        table.add({text_of(move, "id"), text_of(move, "name"), text_of(move, "from"),
                   text_of(move, "to"), or_dash(number_of(move, "epoch"), plain), state_cell(move),
                   text_of(move, "reason"), gap && *gap > 0 ? human_us(*gap) : "-",
                   or_dash(number_of(move, "bytes"), human_bytes),
                   human_time(number_of(move, "started_ms").value_or(0), now)});
      });
}

int list_stubs(Context& context) {
  const auto now = context.clock.utc_ms();
  return list_rows(
      context, "/v1/stubs", "stubs", "No stubs: no ICON has left this host.",
      Table({{"ICON"}, {"ID"}, {"NEW CONNECTIONS"}, {"TO"}, {"EPOCH", kRight}, {"ENDS"}}),
      [now](Table& table, const json::Object& stub) {
        table.add({text_of(stub, "name"), short_of(stub, "icon"), text_of(stub, "mode"),
                   text_of(stub, "next_public"), or_dash(number_of(stub, "epoch"), plain),
                   human_time(number_of(stub, "until_ms").value_or(0), now)});
      });
}

int list_tunnels(Context& context) {
  const auto now = context.clock.utc_ms();
  return list_rows(
      context, "/v1/tunnels", "tunnels", "No tunnels.",
      Table({{"PEER"},
             {"INTERFACE"},
             {"REMOTE"},
             {"STATE"},
             {"HANDSHAKE"},
             {"ICONS", kRight},
             {"RECEIVED", kRight},
             {"SENT", kRight}}),
      [now](Table& table, const json::Object& tunnel) {
        const auto* connected = tunnel.if_contains("connected");
        const bool up = connected != nullptr && connected->is_bool() && connected->get_bool();
        table.add({short_of(tunnel, "peer"), text_of(tunnel, "interface"),
                   text_of(tunnel, "remote"),
                   Table::Cell(up ? "up" : "waiting", up ? Colour::kGreen : Colour::kYellow),
                   human_time(number_of(tunnel, "last_handshake_ms").value_or(0), now),
                   plain(static_cast<std::int64_t>(array_of(tunnel, "icons").size())),
                   or_dash(number_of(tunnel, "rx_bytes"), human_bytes),
                   or_dash(number_of(tunnel, "tx_bytes"), human_bytes)});
      });
}

int show_status(Context& context) {
  const Api api(context.socket);
  if (context.json) {
    const auto text = api.get("/v1/status");
    if (!text) return report(context, text.error());
    context.out << *text;
    return kOk;
  }
  const auto status = api.get_object("/v1/status");
  if (!status) return report(context, status.error());
  const auto room = [](const json::Object& resources) {
    return fmt::format("{:g} cores, {}, {}",
                       static_cast<double>(number_of(resources, "cpu_millis").value_or(0)) / 1000,
                       human_bytes(number_of(resources, "memory_bytes").value_or(0)),
                       human_bits(number_of(resources, "bandwidth_bps").value_or(0)));
  };
  context.out << "provider   " << text_of(*status, "provider_name") << '\n'
              << "key        " << text_of(*status, "id") << '\n'
              << "address    " << text_of(*status, "public_address") << " (users), "
              << text_of(*status, "api") << " (other hosts)\n"
              << "version    " << text_of(*status, "version") << ", up "
              << or_dash(number_of(*status, "uptime_ms"), human_duration) << '\n'
              << "holds      " << number_of(*status, "icons").value_or(0) << " ICONs, "
              << number_of(*status, "stubs").value_or(0) << " stubs, "
              << number_of(*status, "tunnels").value_or(0) << " tunnels\n"
              << "capacity   " << room(object_of(*status, "capacity")) << '\n'
              << "free       " << room(object_of(*status, "free")) << '\n';
  if (const auto& cordon = object_of(*status, "cordon"); !cordon.empty()) {
    const auto reason = text_of(cordon, "reason");
    context.out << "cordoned   takes nothing new" << (reason == "-" ? "" : ": " + reason) << '\n';
  }
  return show_money(context, api);
}

}  // namespace icon::cli
