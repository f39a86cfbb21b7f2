#include "supervisor/dht_link.h"

#include <boost/asio/steady_timer.hpp>
#include <boost/json/serialize.hpp>

#include "base/encoding.h"
#include "base/http_client.h"
#include "base/log.h"
#include "supervisor/api_parts.h"
#include "supervisor/host.h"
#include "wire/advertisement.h"

namespace icon::supervisor {
namespace {

constexpr Millis kAdvertiseEvery{300'000};
constexpr Millis kAdvertiseAgain{10'000};  // when it failed
constexpr std::int64_t kAdvertisedMs = 1'800'000;
constexpr Millis kCall{10'000};
constexpr std::size_t kNonceBytes = 16;
constexpr std::size_t kKeysMax = 64;
constexpr std::size_t kAnswerBytesMax = 1 << 20;

Task<Result<std::string>> call(Host& host, std::string method, std::string target,
                               json::Object body) {
  http::UnixRequest request;
  request.socket_path = host.config.dht.socket;
  request.method = std::move(method);
  request.target = std::move(target);
  request.body = boost::json::serialize(body);
  request.timeout = kCall;
  request.response_bytes_max = kAnswerBytesMax;
  ICON_CO_TRY(const auto response, co_await http::request(std::move(request)));
  co_return http::body_or_error(response);
}

// Where the operator says, else the networks of our own addresses.
std::vector<Prefix> networks_of(const Config& config) {
  if (!config.dht.networks.empty()) return config.dht.networks;
  auto networks = wire::advertised_networks(config.public_address);
  if (config.public_address6) {
    const auto more = wire::advertised_networks(*config.public_address6);
    networks.insert(networks.end(), more.begin(), more.end());
  }
  return networks;
}

Task<Status> advertise(Host& host) {
  wire::Advertisement word;
  word.provider = host.key.public_key();
  word.name = host.config.provider_name;
  word.apis = {host.config.api};
  word.networks = networks_of(host.config);
  word.nonce = random_token(kNonceBytes);
  word.issued_ms = host.clock.utc_ms();
  word.expires_ms = word.issued_ms + kAdvertisedMs;
  ICON_CO_TRY(const auto envelope,
              wire::seal(host.key, std::string(wire::Advertisement::kType), word.to_json()));
  json::Array keys;
  for (const Prefix& network : word.networks) keys.emplace_back(network.to_string());
  json::Object body{{"keys", std::move(keys)},
                    {"value", boost::json::serialize(envelope.to_json())}};
  ICON_CO_TRY(const auto answer, co_await call(host, "PUT", "/v1/advertisement", std::move(body)));
  co_return Status{};
}

}  // namespace

Task<void> keep_advertised(Host& host) {
  if (host.config.dht.socket.empty() || !host.config.accept_leases) co_return;
  boost::asio::steady_timer timer(host.loop);
  std::string last = "never";
  for (;;) {
    const auto status = co_await advertise(host);
    const std::string outcome = status ? "" : status.error().message;
    // The same once more is no news.
    if (outcome != last) {
      if (status)
        log::info("dht.advertised", {{"networks", networks_of(host.config).size()}});
      else
        log::warn("dht.not_advertised", {{"message", outcome}});
    }
    last = outcome;
    timer.expires_after(status ? kAdvertiseEvery : kAdvertiseAgain);
    const auto [error] = co_await timer.async_wait(kNoThrow);
    if (error) co_return;
  }
}

Task<Result<json::Value>> carry_dht_lookup(Host& host, http::Request request) {
  if (host.config.dht.socket.empty())
    co_return fail(Code::kUnavailable, "this host has no DHT ('dht.socket' of its supervisor)");
  ICON_CO_TRY(const auto body, body_of(request));
  ICON_CO_TRY(const auto* list, json::get_array(body, "keys", kKeysMax));
  json::Array keys;
  for (const auto& item : *list) {
    if (!item.is_string()) co_return fail(Code::kInvalid, "'keys': not a list of networks");
    const auto& text = item.get_string();
    ICON_CO_TRY(const auto network, Prefix::parse({text.data(), text.size()}));
    keys.emplace_back(network.to_string());
  }
  json::Object question{{"keys", std::move(keys)}};
  ICON_CO_TRY(const auto text, co_await call(host, "POST", "/v1/lookups", std::move(question)));
  ICON_CO_TRY(auto answer, json::parse_object(text, kAnswerBytesMax));
  co_return json::Value(std::move(answer));
}

}  // namespace icon::supervisor
