#include "supervisor/move_parts.h"

#include <sodium.h>

#include <algorithm>
#include <array>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/json/serialize.hpp>
#include <filesystem>

#include "base/encoding.h"
#include "base/log.h"
#include "supervisor/host.h"
#include "wire/overlay.h"

namespace icon::supervisor {
namespace {

constexpr Millis kBackgroundLimit{5'000};
constexpr Millis kRetryFirst{2'000};
constexpr Millis kRetryMax{60'000};

std::string stub_hosts_key(const std::string& icon_id) {
  return std::string(kStubHostsPrefix) + icon_id;
}

}  // namespace

boost::asio::thread_pool& worker_pool() {
  static boost::asio::thread_pool pool(1);
  return pool;
}

boost::asio::thread_pool& gap_pool() {
  static boost::asio::thread_pool pool(1);
  return pool;
}

std::string program_path(std::string_view name) {
  std::error_code error;
  const auto self = std::filesystem::read_symlink("/proc/self/exe", error);
  return (self.parent_path() / name).string();
}

std::string checkpoint_path(const Host& host, const std::string& migration_id) {
  return host.config.runtime_dir + "/checkpoints/" + migration_id;
}

Result<KeyPair> get_key_pair(const json::Object& object, std::string_view field) {
  std::array<std::uint8_t, 32> seed{};
  ICON_TRY(std::string text, json::get_string(object, field, 2 * seed.size()));
  auto bytes = hex_decode(text, seed.size());
  const bool is_seed = bytes && bytes->size() == seed.size();
  if (is_seed) std::copy(bytes->begin(), bytes->end(), seed.begin());
  sodium_memzero(text.data(), text.size());
  if (bytes) sodium_memzero(bytes->data(), bytes->size());
  if (!is_seed) return fail(Code::kInvalid, "field '" + std::string(field) + "' is no key");
  auto key = KeyPair::from_seed(seed);
  sodium_memzero(seed.data(), seed.size());
  return key;
}

json::Object tunnel_to_json(const net::TunnelEnd& end) {
  return {{"public_key", end.public_key}, {"endpoint", end.endpoint.to_string()}};
}

Result<net::TunnelEnd> tunnel_from_json(const json::Object& object) {
  net::TunnelEnd end;
  ICON_TRY(end.public_key, json::get_string(object, "public_key", 64));
  ICON_TRY(const auto endpoint, json::get_string(object, "endpoint", 64));
  ICON_TRY(end.endpoint, Endpoint::parse(endpoint));
  return end;
}

json::Object tunnel_row(const Endpoint& api, const net::TunnelEnd& remote) {
  return {{"api", api.to_string()}, {"remote", tunnel_to_json(remote)}};
}

std::vector<json::Object> earlier_stubs(const Host& host, const std::string& icon_id) {
  std::vector<json::Object> stubs;
  const auto text = host.journal->value(stub_hosts_key(icon_id));
  if (!text || !*text) return stubs;
  const auto value = json::parse(**text, kPeerAnswerBytesMax);
  if (!value || !value->is_array()) return stubs;
  for (const auto& stub : value->get_array())
    if (stub.is_object()) stubs.push_back(stub.get_object());
  return stubs;
}

Status note_earlier_stubs(const Host& host, const std::string& icon_id, json::Array stubs) {
  return host.journal->put_value(stub_hosts_key(icon_id), boost::json::serialize(stubs));
}

Status forget_earlier_stubs(const Host& host, const std::string& icon_id) {
  return host.journal->remove_value(stub_hosts_key(icon_id));
}

net::IconNetwork icon_network(const Host& host, const IconRecord& icon) {
  net::IconNetwork network;
  network.icon_id = icon.id;
  network.overlay = icon.overlay;
  for (const auto& port : icon.spec.ports)
    network.ports.push_back({port.proto == "udp" ? net::Protocol::kUdp : net::Protocol::kTcp,
                             port.container, port.published});
  // The newest first: that is where it ran before.
  for (const auto& stub : earlier_stubs(host, icon.id)) {
    const auto id = json::get_string(stub, "host", 64);
    const auto tunnel = id ? host.journal->find_tunnel(*id) : fail(Code::kNotFound, "");
    if (!tunnel || !*tunnel) continue;  // no tunnel yet: that host will ask for one
    if (network.previous_host.empty()) network.previous_host = *id;
    network.stub_hosts.push_back(*id);
  }
  return network;
}

Task<bool> deliver(Host& host, PeerRequest request) {
  const std::string target = request.target;
  const auto answer = co_await host.peers->call(std::move(request));
  if (!answer) {
    log::warn("peer.not_told", {{"target", target}, {"error", answer.error().message}});
    co_return false;
  }
  const auto text = http::body_or_error(answer->response);
  if (!text) log::warn("peer.refused", {{"target", target}, {"error", text.error().message}});
  co_return answer->response.status / 100 != 5;
}

void deliver_later(Host& host, PeerRequest request, UtcMillis until_ms) {
  auto again = [&host, request = std::move(request), until_ms]() -> Task<void> {
    boost::asio::steady_timer pause(host.loop);
    for (Millis wait = kRetryFirst; host.clock.utc_ms() < until_ms;
         wait = std::min(wait * 2, kRetryMax)) {
      pause.expires_after(wait);
      co_await pause.async_wait(boost::asio::use_awaitable);
      PeerRequest once = request;
      if (co_await deliver(host, std::move(once))) co_return;
    }
  };
  boost::asio::co_spawn(host.loop, std::move(again), boost::asio::detached);
}

void send_in_background(Host& host, const Endpoint& api, const PublicKey& peer, std::string method,
                        std::string target) {
  PeerRequest request;
  request.api = api;
  request.peer = peer;
  request.method = std::move(method);
  request.target = std::move(target);
  request.total_timeout = kBackgroundLimit;
  auto send = [&host, request = std::move(request)]() -> Task<void> {
    PeerRequest once = request;
    co_await deliver(host, std::move(once));
  };
  boost::asio::co_spawn(host.loop, std::move(send), boost::asio::detached);
}

}  // namespace icon::supervisor
