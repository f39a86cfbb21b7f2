// The bid that is under way on the disk: the next process reveals what this one has committed to.
#include <boost/json/serialize.hpp>
#include <utility>

#include "agent/bidder.h"
#include "base/file.h"
#include "base/log.h"

namespace icon::agent {
namespace {

constexpr std::int64_t kBidVersion = 1;
constexpr std::size_t kBidFileBytesMax = 1 << 20;
constexpr std::size_t kBidDocumentsMax = 16;  // call, commit, bid, acknowledgement
constexpr std::size_t kBidTextMax = 256;
constexpr std::size_t kBidSellersMax = 1'024;

json::Object place_json(const KnownProvider& provider) {
  const auto& view = provider.view;
  return {{"name", view.names.name}, {"id", view.names.id}, {"api", view.api.to_string()}};
}

Result<KnownProvider> read_place(const json::Object& object) {
  KnownProvider provider;
  auto& view = provider.view;
  ICON_TRY(view.names.name, json::get_string(object, "name", kBidTextMax));
  ICON_TRY(const auto id, json::get_string(object, "id", kBidTextMax));
  ICON_TRY(const auto key, PublicKey::from_id(id));
  view.names.id = key.id();
  ICON_TRY(const auto api, json::get_string(object, "api", kBidTextMax));
  ICON_TRY(view.api, Endpoint::parse(api));
  return provider;
}

}  // namespace

json::Object Bidder::to_json(const Bid& bid) {
  json::Array documents;
  for (const auto& document : bid.documents) documents.emplace_back(document.to_json());
  json::Array sellers;
  for (const auto& seller : bid.sellers) sellers.emplace_back(place_json(seller));
  return {{"version", kBidVersion},
          {"state", name_of(bid.state)},
          {"provider", place_json(bid.provider)},
          {"sellers", std::move(sellers)},
          {"api", bid.api.to_string()},
          {"documents", std::move(documents)},
          {"clearing_ucredits", bid.clearing},
          {"due_ucredits", bid.deposits.due},
          {"offer", bid.offer ? json::Value(bid.offer->to_json()) : json::Value(nullptr)}};
}

// All else is in the documents.
Result<Bidder::Bid> Bidder::from_json(const json::Object& object) {
  ICON_TRY([[maybe_unused]] const auto version,
           json::get_int(object, "version", kBidVersion, kBidVersion));
  Bid bid;
  ICON_TRY(const auto state, json::get_string(object, "state", kBidTextMax));
  bool known = false;
  for (const auto each :
       {State::kCommitting, State::kCommitted, State::kRevealed, State::kSilent, State::kWon}) {
    if (name_of(each) != state) continue;
    bid.state = each;
    known = true;
  }
  if (!known) return fail(Code::kInvalid, "a bid in no state that goes on");
  ICON_TRY(const auto* documents, json::get_array(object, "documents", kBidDocumentsMax));
  for (const auto& value : *documents) {
    ICON_TRY(auto document, wire::parse_envelope(value));
    bid.documents.push_back(std::move(document));
  }
  if (bid.documents.size() < 3) return fail(Code::kInvalid, "a bid without its documents");
  ICON_TRY(bid.call, wire::open<wire::AuctionCall>(bid.documents[0]));
  ICON_TRY(const auto ours, wire::open<wire::AuctionBid>(bid.documents[2]));
  bid.commit = bid.documents[1];
  bid.bid = bid.documents[2];
  bid.sale = ours.auction;
  bid.price = ours.price_ucredits;
  bid.hold = std::string(kBidHold) + bid.sale;
  ICON_TRY(const auto* provider, json::get_object(object, "provider"));
  ICON_TRY(bid.provider, read_place(*provider));
  ICON_TRY(const auto* sellers, json::get_array(object, "sellers", kBidSellersMax));
  for (const auto& value : *sellers) {
    if (!value.is_object()) return fail(Code::kInvalid, "a seller is no object");
    ICON_TRY(auto seller, read_place(value.get_object()));
    bid.sellers.push_back(std::move(seller));
  }
  ICON_TRY(const auto api, json::get_string(object, "api", kBidTextMax));
  ICON_TRY(bid.api, Endpoint::parse(api));
  ICON_TRY(bid.clearing, json::get_int(object, "clearing_ucredits", 0, wire::kMicroCreditsMax));
  ICON_TRY(bid.deposits.due,
           json::get_int_or(object, "due_ucredits", 0, 0, wire::kMicroCreditsMax));
  if (const auto* offer = object.if_contains("offer"); offer != nullptr && !offer->is_null()) {
    ICON_TRY(bid.offer, wire::parse_envelope(*offer));
  }
  return bid;
}

void Bidder::load() {
  if (std::exchange(loaded_, true) || live_) return;
  const auto text = read_file(parts_.file, kBidFileBytesMax);
  if (!text) return;
  const auto object = json::parse_object(*text, kBidFileBytesMax, json::kOwnDepthMax);
  auto bid = object ? from_json(*object) : Result<Bid>(fail(object.error()));
  if (!bid) {
    log::error("bid.file_damaged", {{"message", bid.error().message},
                                    {"consequence", "what it had committed to is not revealed"}});
    return;
  }
  live_ = std::move(*bid);
  log::info("bid.taken_up", {{"sale", live_->sale},
                             {"provider", live_->provider.view.names.name},
                             {"state", name_of(live_->state)}});
}

Status Bidder::save() const {
  return write_file_atomic(parts_.file, boost::json::serialize(to_json(*live_)), 0600);
}

}  // namespace icon::agent
