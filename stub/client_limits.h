// How much one client, and all of them, may ask of the redirector: connections and requests per
// second. Pure: the caller says what time it is. Owner: the redirector; its thread.
#pragma once

#include <cstddef>
#include <map>

#include "base/address.h"
#include "base/clock.h"

namespace icon::stub {

struct ClientLimitSettings {
  std::size_t connections_max = 1024;
  std::size_t connections_per_client_max = 32;
  double requests_per_second = 50;  // of one client, sustained
  double requests_burst = 100;
  std::size_t clients_remembered_max = 8192;
};

// A client is one IPv4 address or one IPv6 /64: the least that a provider gives one customer.
class ClientLimits {
 public:
  explicit ClientLimits(ClientLimitSettings settings) : settings_(settings) {}

  // A connection has come; false: close it at once, and do not release() it.
  bool admit(const Address& client, SteadyTime now);
  // A connection that was admitted has ended.
  void release(const Address& client);
  // A request has come on an admitted connection; false: too many, answer 429.
  bool take_request(const Address& client, SteadyTime now);

  std::size_t connections() const { return connections_; }
  std::size_t clients_remembered() const { return clients_.size(); }

 private:
  struct Client {
    std::size_t connections = 0;
    double tokens = 0;
    SteadyTime refilled;
  };
  double tokens_at(const Client& client, SteadyTime now) const;
  // Forgets clients without connections: those that owe nothing, or `all` of them.
  void forget_idle(SteadyTime now, bool all);

  ClientLimitSettings settings_;
  std::size_t connections_ = 0;
  std::map<Prefix, Client> clients_;
};

}  // namespace icon::stub
