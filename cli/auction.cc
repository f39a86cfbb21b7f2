#include "cli/auction.h"

#include <fmt/format.h>

#include <boost/json/serialize.hpp>
#include <map>

#include "budget/auction/record.h"
#include "cli/documents_file.h"
#include "cli/ledger.h"
#include "cli/table.h"
#include "cli/text.h"

namespace icon::cli {
namespace {

using budget::auction::Conclusion;

json::Object as_json(const Conclusion& found) {
  auto object = found.clearing.to_json();
  object["auction"] = found.close.auction;
  object["auctioneer"] = found.call.auctioneer.id();
  object["commits"] = found.commits;
  object["bids"] = found.bids;
  object["seed_commits_digest"] = found.close.commits_digest;
  object["clearing_digest"] = found.clearing.digest();
  object["trade_count"] = static_cast<std::int64_t>(found.clearing.trades());
  return object;
}

std::string as_text(const Conclusion& found, bool colour) {
  const auto& clearing = found.clearing;
  std::string text = fmt::format(
      "auction {} by {}: {} committed, {} revealed, {} slots traded. The signed outcome follows "
      "from the documents.\n",
      found.close.auction.substr(0, 12), short_id(found.call.auctioneer.id()), found.commits,
      found.bids, clearing.trades());
  Table table({{"CPU", Table::Align::kRight},
               {"MEMORY", Table::Align::kRight},
               {"BANDWIDTH", Table::Align::kRight},
               {"LASTS", Table::Align::kRight},
               {"BUYERS", Table::Align::kRight},
               {"SELLERS", Table::Align::kRight},
               {"TRADES", Table::Align::kRight},
               {"PRICE", Table::Align::kRight}});
  for (const auto& cluster : clearing.clusters)
    table.add({fmt::format("{} m", cluster.resources.cpu_millis),
               human_bytes(cluster.resources.memory_bytes),
               human_bits(cluster.resources.bandwidth_bps), human_duration(cluster.seconds * 1000),
               std::to_string(cluster.buyers), std::to_string(cluster.sellers),
               std::to_string(cluster.trades.size()),
               cluster.trades.empty() ? "-" : human_credits(cluster.price)});
  if (!table.empty()) text += table.render(colour);
  for (const auto& forfeit : clearing.forfeits)
    text += fmt::format("{} kept silent and owes {} credits, shared by {} who revealed\n",
                        short_id(forfeit.party.id()), human_credits(forfeit.amount),
                        clearing.shares.size());
  if (!clearing.misfits.empty())
    text += fmt::format("{} bids fit nowhere\n", clearing.misfits.size());
  return text;
}

}  // namespace

namespace {

// Documents of one auction each, by the digest of its call: a ledger holds many.
std::map<std::string, std::vector<wire::Envelope>> by_auction(
    const std::vector<wire::Envelope>& documents) {
  std::map<std::string, std::vector<wire::Envelope>> auctions;
  for (const auto& document : documents) {
    if (!document.type.starts_with("auction_")) continue;
    const bool is_call = document.type == wire::AuctionCall::kType;
    const auto named = json::get_string_or(document.body, "auction", "", 64);
    auctions[is_call ? document.digest() : named.value_or("")].push_back(document);
  }
  return auctions;
}

int verify_one(Context& context, const std::vector<wire::Envelope>& documents) {
  const auto found = budget::auction::conclude(documents);
  if (!found)
    return report(context, {kRefused, found.error().message,
                            "Do not settle on it; the documents show who is in the wrong."});
  if (!found->outcome)
    return report(context, {kRefused, "auction: no outcome is signed yet",
                            "After its expiry nobody owes anything."});
  context.out << (context.json ? boost::json::serialize(as_json(*found)) + "\n"
                               : as_text(*found, context.colour));
  return kOk;
}

}  // namespace

int verify_auction(Context& context, const std::vector<std::string>& files) {
  std::vector<wire::Envelope> documents;
  bool ledger = false;
  for (const auto& file : files) {
    const bool is_one = is_ledger(file);
    ledger |= is_one;
    auto found = is_one ? ledger_documents(context, file) : read_documents({file});
    if (!found) return report(context, found.error());
    documents.insert(documents.end(), found->begin(), found->end());
  }
  if (!ledger) return verify_one(context, documents);
  int worst = kOk;
  const auto auctions = by_auction(documents);
  if (auctions.empty())
    return report(context, {kNotFound, "no auction in this ledger", "`icon bids` lists bids."});
  for (const auto& [call, of_one] : auctions)
    if (const int code = verify_one(context, of_one); code != kOk) worst = code;
  return worst;
}

}  // namespace icon::cli
