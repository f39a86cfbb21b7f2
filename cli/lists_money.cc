// The listings that are about money: leases, sealed bids, and what decisions cost.
#include <fmt/format.h>

#include <boost/json/serialize.hpp>

#include "cli/api.h"
#include "cli/list_parts.h"
#include "cli/lists.h"
#include "cli/text.h"

namespace icon::cli {
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
  return list_rows(
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

// What lost deposits come to at this host, in all exchanges where it sells.
void show_deposits(Context& context) {
  const auto answer = Api(context.socket).get_object("/v1/sales");
  if (!answer) return;
  const auto& deposits = object_of(*answer, "deposits");
  const auto due = number_of(deposits, "due_ucredits").value_or(0);
  const auto owed = number_of(deposits, "owed_ucredits").value_or(0);
  if (due > 0 || owed > 0)
    context.out << fmt::format("Lost deposits: {} credits due to this host, {} owed by it.\n",
                               human_credits(due), human_credits(owed));
}

int list_sales(Context& context) {
  const auto now = context.clock.utc_ms();
  const int code =
      list_rows(context, "/v1/sales", "sales", "This host has called no sale by sealed bids.",
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
  if (code == kOk && !context.json) show_deposits(context);
  return code;
}

// A share of others' deposits, or one's own that is lost.
std::string deposits_of(const json::Object& bid) {
  const auto owed = number_of(bid, "owed_ucredits").value_or(0);
  const auto due = number_of(bid, "due_ucredits").value_or(0);
  if (owed > 0) return "-" + human_credits(owed);
  return due > 0 ? "+" + human_credits(due) : "-";
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
               {"DEPOSITS", kRight},
               {"REVEAL UNTIL"},
               {"WHY"}});
  for (const auto& value : *rows) {
    const auto& row = value.get_object();
    const auto cleared = number_of(row, "clearing_ucredits").value_or(0);
    table.add({text_of(row, "icon_name"), text_of(row, "sale").substr(0, 12),
               printable(text_of(row, "provider_name"), 32), state_cell(row),
               or_dash(number_of(row, "slots"), plain),
               or_dash(number_of(row, "price_ucredits"), human_credits),
               cleared > 0 ? human_credits(cleared) : "-", deposits_of(row),
               human_time(number_of(row, "reveal_until_ms").value_or(0), now),
               printable(text_of(row, "reason"), 80)});
  }
  context.out << (table.empty() ? "No ICON here has made a sealed bid.\n"
                                : table.render(context.colour));
  return kOk;
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

}  // namespace

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
    show_standing(context, status, "           ");
  }
  return kOk;
}

}  // namespace icon::cli
