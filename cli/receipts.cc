#include "cli/receipts.h"

#include <boost/json/serialize.hpp>
#include <iterator>

#include "budget/lease/record.h"
#include "cli/documents_file.h"
#include "cli/ledger.h"
#include "cli/table.h"
#include "cli/text.h"

namespace icon::cli {
namespace {

using budget::lease::Account;

json::Object as_json(const Account& account) {
  return {{"lease_id", account.lease_id},
          {"provider", account.provider.id()},
          {"icon", account.icon.id()},
          {"start_ms", account.start_ms},
          {"expires_ms", account.expires_ms},
          {"renewals", account.renewals},
          {"usages", account.usages},
          {"used_seconds", account.used_seconds},
          {"price_ucredits", account.price},
          {"charged_ucredits", account.charged},
          {"refunded_ucredits", account.refunded},
          {"penalty_ucredits", account.penalty},
          {"closed", account.closed},
          {"wrong", account.wrong}};
}

std::string as_table(const std::vector<Account>& accounts, bool colour) {
  Table table({{"LEASE"},
               {"PROVIDER"},
               {"USED", Table::Align::kRight},
               {"PRICE", Table::Align::kRight},
               {"CHARGED", Table::Align::kRight},
               {"BACK", Table::Align::kRight},
               {"PENALTY", Table::Align::kRight},
               {"BILL"}});
  for (const auto& account : accounts)
    table.add({printable(account.lease_id, 24), short_id(account.provider.id()),
               human_duration(account.used_seconds * 1000), human_credits(account.price),
               human_credits(account.charged), human_credits(account.refunded),
               human_credits(account.penalty),
               account.wrong.empty()
                   ? Table::Cell(account.closed ? "right" : "right so far", Colour::kGreen)
                   : Table::Cell(printable(account.wrong), Colour::kRed)});
  return table.render(colour);
}

}  // namespace

int verify_receipts(Context& context, const std::vector<std::string>& files) {
  std::vector<wire::Envelope> documents;
  for (const auto& file : files) {
    auto found = is_ledger(file) ? ledger_documents(context, file) : read_documents({file});
    if (!found) return report(context, found.error());
    documents.insert(documents.end(), std::make_move_iterator(found->begin()),
                     std::make_move_iterator(found->end()));
  }
  const auto accounts = budget::lease::accounts_of(documents);
  if (!accounts) return report(context, {kRefused, accounts.error().message, ""});
  std::size_t wrong = 0;
  json::Array array;
  for (const auto& account : *accounts) {
    wrong += !account.wrong.empty();
    array.push_back(as_json(account));
  }
  if (context.json)
    context.out << boost::json::serialize(json::Object{{"leases", std::move(array)}}) << '\n';
  else
    context.out << as_table(*accounts, context.colour);
  if (wrong == 0) return kOk;
  return report(context, {kRefused,
                          std::to_string(wrong) + " of " + std::to_string(accounts->size()) +
                              " bills are wrong",
                          "The documents are signed: they prove it to anybody."});
}

}  // namespace icon::cli
