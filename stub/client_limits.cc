#include "stub/client_limits.h"

#include <algorithm>

#include "base/assert.h"

namespace icon::stub {
namespace {

Prefix client_of(const Address& address) { return Prefix::of(address, address.is_v4() ? 32 : 64); }

}  // namespace

bool ClientLimits::admit(const Address& address, SteadyTime now) {
  if (connections_ >= settings_.connections_max) return false;
  const auto key = client_of(address);
  auto found = clients_.find(key);
  if (found == clients_.end()) {
    // Somebody with many addresses must not make us remember them all, nor make us forget that
    // others are over their rate, unless nothing else helps.
    if (clients_.size() >= settings_.clients_remembered_max) forget_idle(now, false);
    if (clients_.size() >= settings_.clients_remembered_max) forget_idle(now, true);
    if (clients_.size() >= settings_.clients_remembered_max) return false;
    found = clients_.emplace(key, Client{0, settings_.requests_burst, now}).first;
  }
  if (found->second.connections >= settings_.connections_per_client_max) return false;
  ++found->second.connections;
  ++connections_;
  return true;
}

void ClientLimits::release(const Address& address) {
  const auto found = clients_.find(client_of(address));
  ICON_ASSERT(found != clients_.end() && found->second.connections > 0 && connections_ > 0);
  --found->second.connections;
  --connections_;
}

bool ClientLimits::take_request(const Address& address, SteadyTime now) {
  const auto found = clients_.find(client_of(address));
  ICON_ASSERT(found != clients_.end());
  Client& asking = found->second;
  asking.tokens = tokens_at(asking, now);
  asking.refilled = now;
  if (asking.tokens < 1) return false;
  asking.tokens -= 1;
  return true;
}

double ClientLimits::tokens_at(const Client& client, SteadyTime now) const {
  const std::chrono::duration<double> passed = now - client.refilled;
  return std::min(settings_.requests_burst,
                  client.tokens + passed.count() * settings_.requests_per_second);
}

void ClientLimits::forget_idle(SteadyTime now, bool all) {
  std::erase_if(clients_, [&](const auto& entry) {
    const Client& client = entry.second;
    return client.connections == 0 && (all || tokens_at(client, now) >= settings_.requests_burst);
  });
}

}  // namespace icon::stub
