#include "cli/lists.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json/serialize.hpp>
#include <functional>

#include "base/keys.h"
#include "cli/api.h"
#include "cli/table.h"
#include "cli/text.h"

namespace icon::cli {
namespace {

using Right = Table::Column;
constexpr auto kRight = Table::Align::kRight;

template <class Format>
std::string or_dash(std::optional<std::int64_t> number, Format format) {
  return number ? format(*number) : "-";
}
std::string plain(std::int64_t number) { return std::to_string(number); }

Table::Cell state_cell(const json::Object& object, std::string_view key = "state") {
  const auto state = text_of(object, key);
  return {state, colour_of_state(state)};
}

std::string short_of(const json::Object& object, std::string_view key) {
  const auto id = text_of(object, key);
  return id == "-" ? id : short_id(id);
}

// Gets `target`; prints it as it is for -o json, else the table that `fill` makes of `key`'s rows.
int list(Context& context, const std::string& target, std::string_view key,
         const std::string& nothing, Table table,
         const std::function<void(Table&, const json::Object&)>& fill) {
  const Api api(context.socket);
  if (context.json) {
    const auto text = api.get(target);
    if (!text) return report(context, text.error());
    context.out << *text;
    return kOk;
  }
  const auto answer = api.get_object(target);
  if (!answer) return report(context, answer.error());
  for (const auto& row : array_of(*answer, key))
    if (row.is_object()) fill(table, row.get_object());
  context.out << (table.empty() ? nothing + '\n' : table.render(context.colour));
  return kOk;
}

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

std::string purse_of(const json::Object& status) {
  const auto& purse = object_of(status, "purse");
  const auto budget = number_of(purse, "budget_ucredits");
  if (!budget) return "-";
  const auto spent = number_of(purse, "spent_ucredits").value_or(0);
  const auto held = number_of(purse, "held_ucredits").value_or(0);
  auto text = human_credits(spent);
  if (held > 0) text += "+" + human_credits(held);
  return text + " of " + human_credits(*budget);
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
  return list(context, "/v1/icons", "icons",
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

namespace {

// The rows under `key` in the status of each ICON, or of the one that is named.
Outcome<json::Array> rows_of_icons(Context& context, const std::string& icon, const char* key) {
  const auto answer = Api(context.socket).get_object("/v1/icons");
  if (!answer) return tl::unexpected(answer.error());
  json::Array all;
  bool found = icon.empty();
  for (const auto& value : array_of(*answer, "icons")) {
    if (!value.is_object()) continue;
    const auto& entry = value.get_object();
    if (!icon.empty() && text_of(entry, "name") != icon && !text_of(entry, "id").starts_with(icon))
      continue;
    found = true;
    for (const auto& item : array_of(object_of(entry, "status"), key)) {
      if (!item.is_object()) continue;
      json::Object row = item.get_object();
      row["icon"] = text_of(entry, "id");
      row["icon_name"] = text_of(entry, "name");
      all.push_back(std::move(row));
    }
  }
  if (!found)
    return tl::unexpected(Failure{kNotFound, "no ICON called " + icon, "`icon ps` lists them."});
  return all;
}

}  // namespace

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

namespace {

// The seconds used of those paid for, and what they cost so far.
std::string bill_of(const json::Object& lease) {
  const auto charged = number_of(lease, "charged_ucredits");
  return charged ? human_credits(*charged) : "-";
}

std::string receipt_of(const json::Object& lease) {
  const auto* receipt = lease.if_contains("receipt");
  const bool there =
      receipt != nullptr && ((receipt->is_bool() && receipt->get_bool()) ||
                             (receipt->is_object() && !receipt->get_object().empty()));
  if (there) return "closed";
  const auto usages = number_of(lease, "usages").value_or(0);
  return usages > 0 ? fmt::format("{} usages", usages) : "-";
}

int list_own_leases(Context& context, const std::string& icon) {
  const auto rows = rows_of_icons(context, icon, "leases");
  if (!rows) return report(context, rows.error());
  if (context.json) {
    context.out << boost::json::serialize(json::Object{{"leases", *rows}}) << '\n';
    return kOk;
  }
  const auto now = context.clock.utc_ms();
  Table table({{"ICON"},
               {"LEASE"},
               {"PROVIDER"},
               {"STATE"},
               {"STARTED"},
               {"ENDS"},
               {"RENEWALS", kRight},
               {"PAID", kRight},
               {"CHARGED", kRight},
               {"BACK", kRight},
               {"RECEIPTS"},
               {"BILL"}});
  for (const auto& value : *rows) {
    const auto& row = value.get_object();
    const auto dispute = text_of(row, "dispute");
    const bool fine = dispute.empty() || dispute == "-";
    table.add({text_of(row, "icon_name"), printable(text_of(row, "lease_id"), 24),
               printable(text_of(row, "provider_name"), 32), state_cell(row),
               human_time(number_of(row, "start_ms").value_or(0), now),
               human_time(number_of(row, "expires_ms").value_or(0), now),
               or_dash(number_of(row, "renewals"), plain),
               or_dash(number_of(row, "paid_ucredits"), human_credits), bill_of(row),
               or_dash(number_of(row, "refunded_ucredits"), human_credits), receipt_of(row),
               fine ? Table::Cell("right so far", Colour::kGreen)
                    : Table::Cell(printable(dispute), Colour::kRed)});
  }
  context.out << (table.empty() ? "This ICON has held no lease yet.\n"
                                : table.render(context.colour));
  return kOk;
}

}  // namespace

int list_leases(Context& context, const std::string& icon) {
  if (!icon.empty()) return list_own_leases(context, icon);
  const auto now = context.clock.utc_ms();
  return list(
      context, "/v1/leases", "leases", "No leases, neither sold nor bought.",
      Table({{"LEASE"},
             {"ICON"},
             {"PROVIDER"},
             {"ROLE"},
             {"STATE"},
             {"SLOT"},
             {"PRICE (credits)", kRight},
             {"CHARGED", kRight},
             {"RENEWALS", kRight},
             {"STARTED"},
             {"ENDS"},
             {"RECEIPTS"}}),
      [now](Table& table, const json::Object& lease) {
        const auto& resources = object_of(lease, "resources");
        const auto slot =
            fmt::format("{} m, {}", number_of(resources, "cpu_millis").value_or(0),
                        human_bytes(number_of(resources, "memory_bytes").value_or(0)));
        table.add({text_of(lease, "lease_id"), short_of(lease, "icon"), short_of(lease, "provider"),
                   text_of(lease, "role"), state_cell(lease), slot,
                   or_dash(number_of(lease, "price_ucredits"), human_credits), bill_of(lease),
                   or_dash(number_of(lease, "renewals"), plain),
                   human_time(number_of(lease, "start_ms").value_or(0), now),
                   human_time(number_of(lease, "expires_ms").value_or(0), now), receipt_of(lease)});
      });
}

namespace {

int list_sales(Context& context) {
  const auto now = context.clock.utc_ms();
  return list(context, "/v1/sales", "sales", "This host has called no sale by sealed bids.",
              Table({{"SALE"},
                     {"STATE"},
                     {"BIDS", kRight},
                     {"REVEALED", kRight},
                     {"WON", kRight},
                     {"PRICE (credits)", kRight},
                     {"COMMIT UNTIL"},
                     {"REVEAL UNTIL"}}),
              [now](Table& table, const json::Object& sale) {
                const auto& call = object_of(object_of(sale, "call"), "body");
                table.add({text_of(sale, "sale").substr(0, 12), state_cell(sale),
                           or_dash(number_of(sale, "commits"), plain),
                           or_dash(number_of(sale, "revealed"), plain),
                           or_dash(number_of(sale, "winners"), plain),
                           or_dash(number_of(sale, "price_ucredits"), human_credits),
                           human_time(number_of(call, "commit_until_ms").value_or(0), now),
                           human_time(number_of(call, "reveal_until_ms").value_or(0), now)});
              });
}

}  // namespace

int list_bids(Context& context, const std::string& icon, bool sales) {
  if (sales) return list_sales(context);
  const auto rows = rows_of_icons(context, icon, "bids");
  if (!rows) return report(context, rows.error());
  if (context.json) {
    context.out << boost::json::serialize(json::Object{{"bids", *rows}}) << '\n';
    return kOk;
  }
  const auto now = context.clock.utc_ms();
  Table table({{"ICON"},
               {"SALE"},
               {"PROVIDER"},
               {"STATE"},
               {"SLOTS", kRight},
               {"BID (credits)", kRight},
               {"CLEARED AT", kRight},
               {"REVEAL UNTIL"},
               {"WHY"}});
  for (const auto& value : *rows) {
    const auto& row = value.get_object();
    const auto cleared = number_of(row, "clearing_ucredits").value_or(0);
    table.add({text_of(row, "icon_name"), text_of(row, "sale").substr(0, 12),
               printable(text_of(row, "provider_name"), 32), state_cell(row),
               or_dash(number_of(row, "slots"), plain),
               or_dash(number_of(row, "price_ucredits"), human_credits),
               cleared > 0 ? human_credits(cleared) : "-",
               human_time(number_of(row, "reveal_until_ms").value_or(0), now),
               printable(text_of(row, "reason"), 80)});
  }
  context.out << (table.empty() ? "No ICON here has made a sealed bid.\n"
                                : table.render(context.colour));
  return kOk;
}

int list_history(Context& context, const std::string& icon) {
  const auto now = context.clock.utc_ms();
  return list(
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
  return list(context, "/v1/stubs", "stubs", "No stubs: no ICON has left this host.",
              Table({{"ICON"}, {"ID"}, {"NEW CONNECTIONS"}, {"TO"}, {"EPOCH", kRight}, {"ENDS"}}),
              [now](Table& table, const json::Object& stub) {
                table.add({text_of(stub, "name"), short_of(stub, "icon"), text_of(stub, "mode"),
                           text_of(stub, "next_public"), or_dash(number_of(stub, "epoch"), plain),
                           human_time(number_of(stub, "until_ms").value_or(0), now)});
              });
}

int list_tunnels(Context& context) {
  const auto now = context.clock.utc_ms();
  return list(
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

namespace {

// "edge-a saves 18.2 ms for 0.05 credits a millisecond, paid back after 12 min".
std::string figures_of(const json::Object& decision) {
  const auto name = text_of(decision, "best_name");
  const auto saved = number_of(decision, "saved_us");
  if (name == "-" || !saved) return {};
  auto text =
      fmt::format("; {} {} {} at {} credits a millisecond",
                  text_of(decision, "outcome") == "move" ? "moved to" : "nothing better than",
                  printable(name, 64), human_us(*saved) + " nearer",
                  human_credits(number_of(decision, "cost_per_ms_ucredits").value_or(0)));
  if (const auto payback = number_of(decision, "payback_ms"))
    text += ", paid back after " + human_duration(*payback);
  return text;
}

// What its ICONs have left, and what their last decisions cost and saved.
int show_money(Context& context, const Api& api) {
  const auto answer = api.get_object("/v1/icons");
  if (!answer) return report(context, answer.error());
  for (const auto& value : array_of(*answer, "icons")) {
    if (!value.is_object()) continue;
    const auto& icon = value.get_object();
    const auto& status = object_of(icon, "status");
    const auto& purse = object_of(status, "purse");
    if (!number_of(purse, "budget_ucredits")) continue;
    const auto alert = number_of(purse, "alert_percent").value_or(0);
    context.out << fmt::format("{:<11}{} credits{}{}\n", printable(text_of(icon, "name"), 32) + " ",
                               purse_of(status),
                               alert > 0 ? fmt::format(" ({} % are gone or promised)", alert) : "",
                               figures_of(object_of(status, "decision")));
  }
  return kOk;
}

}  // namespace

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
  return show_money(context, api);
}

}  // namespace icon::cli
