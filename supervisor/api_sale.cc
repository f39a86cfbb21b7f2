// Sales by sealed bids, as three sorts of callers see them: other hosts, an ICON through its own
// host, and this host's operator.
#include "supervisor/api.h"
#include "supervisor/api_parts.h"
#include "supervisor/ask_errands.h"
#include "supervisor/asks.h"
#include "supervisor/host.h"
#include "supervisor/sales.h"

namespace icon::supervisor {
namespace {

constexpr std::size_t kSaleIdBytes = 64;  // a digest in hex

Result<std::string> sale_id(const json::Object& body) {
  ICON_TRY(auto id, json::get_string(body, "sale", kSaleIdBytes));
  if (id.size() != kSaleIdBytes || id.find_first_not_of("0123456789abcdef") != std::string::npos)
    return fail(Code::kInvalid, "that is no sale's id");
  return id;
}

// What an ICON may ask of a seller on its own behalf: which path, and what is sent there.
struct Errand {
  std::string method = "GET";
  std::string target = "/v2/sales";
  json::Object body;
};

// ICONs bid for themselves.
Result<Errand> errand_of(const json::Object& body, const std::string& icon_id) {
  ICON_TRY(const auto what, json::get_string(body, "what", 16));
  Errand errand;
  if (what == "list") return errand;
  ICON_TRY(const auto id, sale_id(body));
  errand.target += "/" + id;
  if (what == "documents") return errand;
  errand.method = "POST";
  if (what == "commit") {
    ICON_TRY(const auto envelope, get_envelope(body, "commit"));
    ICON_TRY(const auto commit, wire::open<wire::AuctionCommit>(envelope));
    if (commit.party.id() != icon_id)
      return fail(Code::kUnauthenticated, "the commit is signed by another");
    errand.target += "/commits";
    errand.body["commit"] = envelope.to_json();
  } else if (what == "reveal") {
    ICON_TRY(const auto envelope, get_envelope(body, "bid"));
    ICON_TRY(const auto bid, wire::open<wire::AuctionBid>(envelope));
    if (bid.party.id() != icon_id)
      return fail(Code::kUnauthenticated, "the bid is signed by another");
    errand.target += "/bids";
    errand.body["bid"] = envelope.to_json();
  } else if (what == "claim") {
    errand.target += "/claims";
    errand.body["icon"] = icon_id;
  } else {
    return fail(Code::kInvalid, "'what' is none of list, documents, commit, reveal, claim");
  }
  return errand;
}

Task<Result<json::Value>> carry_sale(Host& host, http::Request request) {
  ICON_CO_TRY(const auto body, body_of(request));
  ICON_CO_TRY(auto errand, errand_of(body, request.icon_id));
  ExchangeAddress at;
  ICON_CO_TRY(const auto api, json::get_string(body, "api", 64));
  ICON_CO_TRY(at.api, Endpoint::parse(api));
  ICON_CO_TRY(const auto id, json::get_string(body, "id", 64));
  ICON_CO_TRY(at.id, PublicKey::from_id(id));
  ICON_CO_TRY(auto object, co_await call_sales(host, at, std::move(errand.method),
                                               std::move(errand.target), std::move(errand.body)));
  co_return json::Value(std::move(object));
}

Result<json::Value> take_commit(Host& host, const http::Request& request) {
  ICON_TRY(const auto body, body_of(request));
  ICON_TRY(const auto commit, get_envelope(body, "commit"));
  const auto through = request.peer_key ? request.peer_key->id() : std::string();
  ICON_CHECK(host.sales->commit(commit, through));
  return json::Object{};
}

Result<json::Value> take_bid(Host& host, const http::Request& request) {
  ICON_TRY(const auto body, body_of(request));
  ICON_TRY(const auto bid, get_envelope(body, "bid"));
  ICON_TRY(const auto ack, host.sales->reveal(bid));
  return json::Object{{"ack", ack.to_json()}};
}

Result<json::Value> take_claim(Host& host, const std::string& sale, const http::Request& request) {
  ICON_TRY(const auto body, body_of(request));
  ICON_TRY(const auto icon, json::get_string(body, "icon", 64));
  ICON_TRY(const auto offer,
           host.asks->knows(sale) ? host.asks->claim(sale, icon) : host.sales->claim(sale, icon));
  return json::Object{{"offer", offer.to_json()}};
}

// With where our slots are sold instead, and who sells in our exchange.
json::Object list_sales(const Host& host) {
  json::Object answer{{"sales", host.sales->list()}};
  if (const auto& exchange = host.config.sealed_bids.exchange)
    answer["exchange"] =
        json::Object{{"id", exchange->id.id()}, {"api", exchange->api.to_string()}};
  json::Array sellers;
  for (const auto& seller : host.config.exchange.sellers) sellers.emplace_back(seller.id());
  if (!sellers.empty()) answer["sellers"] = std::move(sellers);
  return answer;
}

}  // namespace

void add_sale_peer_routes(http::Router& router, Host& host) {
  router.on("GET", "/v2/sales", answering(200, [&host](http::Request) -> Task<Result<json::Value>> {
              co_return list_sales(host);
            }));
  router.on("GET", "/v2/sales/{sale}",
            answering(200, [&host](http::Request request) -> Task<Result<json::Value>> {
              ICON_CO_TRY(auto documents, host.sales->documents(request.params["sale"]));
              co_return json::Object{{"documents", std::move(documents)}};
            }));
  router.on("POST", "/v2/sales/{sale}/commits",
            answering(200, [&host](http::Request request) -> Task<Result<json::Value>> {
              co_return take_commit(host, request);
            }));
  router.on("POST", "/v2/sales/{sale}/bids",
            answering(200, [&host](http::Request request) -> Task<Result<json::Value>> {
              co_return take_bid(host, request);
            }));
  router.on("POST", "/v2/sales/{sale}/claims",
            answering(200, [&host](http::Request request) -> Task<Result<json::Value>> {
              co_return take_claim(host, request.params["sale"], request);
            }));
}

void add_sale_icon_routes(http::Router& router, Host& host) {
  router.on("POST", "/v2/self/sales", answering(200, [&host](http::Request request) {
              return carry_sale(host, std::move(request));
            }));
}

void add_sale_host_routes(http::Router& router, Host& host) {
  router.on("GET", "/v1/sales", answering(200, [&host](http::Request) -> Task<Result<json::Value>> {
              auto answer = list_sales(host);
              answer["asks"] = host.asks->list();
              answer["deposits"] = host.asks->deposits();
              co_return answer;
            }));
  router.on("GET", "/v1/sales/{sale}",
            answering(200, [&host](http::Request request) -> Task<Result<json::Value>> {
              ICON_CO_TRY(auto documents, host.sales->documents(request.params["sale"]));
              co_return json::Object{{"documents", std::move(documents)}};
            }));
}

}  // namespace icon::supervisor
