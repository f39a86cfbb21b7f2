#include "supervisor/ask_errands.h"

#include <boost/asio/steady_timer.hpp>
#include <boost/json/serialize.hpp>

#include "base/log.h"
#include "supervisor/api_parts.h"
#include "supervisor/asks.h"
#include "supervisor/host.h"

namespace icon::supervisor {
namespace {

constexpr Millis kPeerConnect{3'000};
constexpr Millis kPeerAnswer{10'000};
constexpr std::size_t kAnswerBytesMax = 1 << 20;
constexpr std::size_t kSalesMax = 64;
constexpr std::size_t kDocumentsMax = 1'024;
constexpr Millis kStep{500};

Task<Result<json::Object>> ask(Host& host, std::string method, std::string rest,
                               json::Object body) {
  const ExchangeAddress exchange = *host.config.sealed_bids.exchange;
  std::string target = "/v2/sales" + std::move(rest);
  co_return co_await call_sales(host, exchange, std::move(method), std::move(target),
                                std::move(body));
}

// The exchange's open call, if it has one for us.
Task<Status> find(Host& host) {
  ICON_CO_TRY(const auto answer, co_await ask(host, "GET", "", {}));
  ICON_CO_TRY(const auto* sales, json::get_array(answer, "sales", kSalesMax));
  for (const auto& value : *sales) {
    const auto* row = value.if_object();
    if (row == nullptr) continue;
    const auto call = get_envelope(*row, "call");
    // One that is not for us, or no longer, is passed over.
    if (call && host.asks->on_call(*call)) co_return Status{};
  }
  co_return Status{};
}

Task<Status> commit(Host& host) {
  json::Object body{{"commit", host.asks->commit().to_json()}};
  std::string rest = "/" + host.asks->sale() + "/commits";
  const auto answer = co_await ask(host, "POST", std::move(rest), std::move(body));
  const Status status = answer ? Status{} : fail(answer.error());
  co_return host.asks->on_commit(status);
}

Task<Status> reveal(Host& host) {
  json::Object body{{"bid", host.asks->bid().to_json()}};
  std::string rest = "/" + host.asks->sale() + "/bids";
  const auto answer = co_await ask(host, "POST", std::move(rest), std::move(body));
  const auto ack = answer ? get_envelope(*answer, "ack") : fail(answer.error());
  co_return host.asks->on_reveal(ack);
}

Task<Status> look_at_documents(Host& host) {
  std::string rest = "/" + host.asks->sale();
  ICON_CO_TRY(const auto answer, co_await ask(host, "GET", std::move(rest), {}));
  ICON_CO_TRY(const auto* list, json::get_array(answer, "documents", kDocumentsMax));
  std::vector<wire::Envelope> documents;
  for (const auto& value : *list) {
    ICON_CO_TRY(auto document, wire::parse_envelope(value));
    documents.push_back(std::move(document));
  }
  co_return host.asks->on_documents(std::move(documents));
}

Task<Status> step(Host& host) {
  ICON_CO_TRY(const auto errand, host.asks->next());
  switch (errand) {
    case Asks::Errand::kNone:
      break;
    case Asks::Errand::kFind:
      co_return co_await find(host);
    case Asks::Errand::kCommit:
      co_return co_await commit(host);
    case Asks::Errand::kReveal:
      co_return co_await reveal(host);
    case Asks::Errand::kDocuments:
      co_return co_await look_at_documents(host);
  }
  co_return Status{};
}

}  // namespace

Task<Result<json::Object>> call_sales(Host& host, ExchangeAddress at, std::string method,
                                      std::string target, json::Object body) {
  PeerRequest call;
  call.api = at.api;
  call.peer = at.id;
  call.method = std::move(method);
  call.target = std::move(target);
  if (call.method == "POST") call.body = boost::json::serialize(body);
  call.connect_timeout = kPeerConnect;
  call.total_timeout = kPeerAnswer;
  call.response_bytes_max = kAnswerBytesMax;
  ICON_CO_TRY(const auto answer, co_await host.peers->call(std::move(call)));
  ICON_CO_TRY(const auto text, http::body_or_error(answer.response));
  co_return json::parse_object(text, kAnswerBytesMax);
}

Task<void> keep_asking(Host& host) {
  if (!host.config.sealed_bids.exchange) co_return;
  boost::asio::steady_timer timer(host.loop);
  std::string last;
  for (;;) {
    const auto status = co_await step(host);
    const std::string outcome = status ? "" : status.error().message;
    // The same once more is no news.
    if (!status && outcome != last) log::warn("ask.failed", {{"message", outcome}});
    last = outcome;
    timer.expires_after(kStep);
    const auto [error] =
        co_await timer.async_wait(boost::asio::as_tuple(boost::asio::use_awaitable));
    if (error) co_return;
  }
}

}  // namespace icon::supervisor
