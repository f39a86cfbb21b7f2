// Where an ICON may bid: a sale of one provider, or the exchange at which that sells.
#include "agent/bidder.h"

namespace icon::agent {
namespace {

using Rule = wire::AuctionCall::Rule;
constexpr std::size_t kSalesMax = 64;
constexpr std::size_t kSellersMax = 64;
constexpr std::int64_t kCommitAheadMs = 1'000;
constexpr std::int64_t kClockSlackMs = 3'000;

}  // namespace

Result<wire::Envelope> envelope_in(const json::Object& answer, std::string_view key) {
  const auto* value = answer.if_contains(key);
  if (value == nullptr) return fail(Code::kInvalid, "the answer holds no " + std::string(key));
  return wire::parse_envelope(*value);
}

std::optional<OpenSale> choose_sale(const json::Object& answer, const PublicKey& auctioneer,
                                    Rule rule, const wire::Resources& need, UtcMillis now_ms) {
  const auto list = json::get_array(answer, "sales", kSalesMax);
  if (!list) return std::nullopt;
  for (const auto& value : **list) {
    const auto* row = value.if_object();
    if (row == nullptr) continue;
    const auto document = envelope_in(*row, "call");
    if (!document) continue;
    const auto call = wire::open<wire::AuctionCall>(*document);
    if (!call || call->auctioneer != auctioneer || call->rule != rule ||
        // In an exchange the need decides in which cell of the grid the bid lies.
        (rule == Rule::kUniform && !call->resources.covers(need)) ||
        call->issued_ms > now_ms + kClockSlackMs ||
        now_ms + kCommitAheadMs >= call->commit_until_ms ||
        // The money is held for so long and no longer.
        call->expires_ms > now_ms + kHoldLifetime.count() / 2)
      continue;
    return OpenSale{document->digest(),
                    *document,
                    *call,
                    rule == Rule::kUniform ? call->resources : need,
                    {},
                    {}};
  }
  return std::nullopt;
}

Result<std::optional<ExchangePointer>> exchange_in(const json::Object& answer,
                                                   const Address& provider) {
  if (answer.if_contains("exchange") == nullptr) return std::nullopt;
  ICON_TRY(const auto* at, json::get_object(answer, "exchange"));
  ExchangePointer pointer;
  ICON_TRY(const auto id, json::get_string(*at, "id", 64));
  ICON_TRY(pointer.id, PublicKey::from_id(id));
  ICON_TRY(const auto api, json::get_string(*at, "api", 64));
  ICON_TRY(pointer.api, Endpoint::parse(api));
  if (pointer.api.address.is_non_public() && !provider.is_non_public())
    return fail(Code::kInvalid, api + ": an exchange in a private network");
  return pointer;
}

Result<std::vector<PublicKey>> sellers_in(const json::Object& answer) {
  ICON_TRY(const auto* list, json::get_array(answer, "sellers", kSellersMax));
  std::vector<PublicKey> sellers;
  for (const auto& value : *list) {
    ICON_TRY(const auto seller,
             PublicKey::from_id(value.is_string() ? std::string(value.get_string()) : ""));
    sellers.push_back(seller);
  }
  if (sellers.empty()) return fail(Code::kInvalid, "an exchange without sellers");
  return sellers;
}

Task<Result<std::optional<OpenSale>>> Bidder::find_sale(KnownProvider provider,
                                                        wire::Resources need) {
  ICON_CO_TRY(const auto id, PublicKey::from_id(provider.view.names.id));
  SaleErrand question{provider.view.api, id.id(), "list", "", {}, {}};
  ICON_CO_TRY(const auto answer, co_await parts_.link.sale(std::move(question)));
  auto own = choose_sale(answer, id, Rule::kUniform, need, parts_.clock.utc_ms());
  if (own) own->api = provider.view.api;
  if (own) co_return own;
  ICON_CO_TRY(const auto exchange, exchange_in(answer, provider.view.api.address));
  if (!exchange) co_return own;
  co_return co_await find_exchange(*exchange, need);
}

Task<Result<std::optional<OpenSale>>> Bidder::find_exchange(ExchangePointer at,
                                                            wire::Resources need) {
  SaleErrand question{at.api, at.id.id(), "list", "", {}, {}};
  ICON_CO_TRY(const auto answer, co_await parts_.link.sale(std::move(question)));
  auto sale = choose_sale(answer, at.id, Rule::kDouble, need, parts_.clock.utc_ms());
  if (!sale) co_return sale;
  sale->api = at.api;
  ICON_CO_TRY(sale->sellers, sellers_in(answer));
  co_return sale;
}

}  // namespace icon::agent
