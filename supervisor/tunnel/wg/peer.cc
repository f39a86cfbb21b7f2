#include "supervisor/tunnel/wg/peer.h"

#include <sodium.h>

#include <algorithm>

namespace icon::tunnel::wg {

Timers::Timers() : random_(randombytes_random()) {}

Millis Timers::jitter() {
  return Millis(std::uniform_int_distribution<Millis::rep>(0, kRekeyJitterMax.count())(random_));
}

void Timers::data_sent(SteadyTime now) {
  if (new_handshake == kOff) new_handshake = now + kKeepaliveTimeout + kRekeyTimeout + jitter();
}

void Timers::data_received(SteadyTime now) {
  if (keepalive == kOff)
    keepalive = now + kKeepaliveTimeout;
  else
    needs_another_keepalive = true;
}

void Timers::any_authenticated_sent() {
  // The peer has heard us: it waits for nothing any more.
  keepalive = kOff;
  needs_another_keepalive = false;
}

void Timers::any_authenticated_traversal(SteadyTime now, std::chrono::seconds interval) {
  persistent = interval.count() > 0 ? now + interval : kOff;
}

void Timers::handshake_initiated(SteadyTime now) { retransmit = now + kRekeyTimeout + jitter(); }

void Timers::handshake_complete() { retransmit = kOff; }

void Timers::stop() { *this = Timers(); }

SteadyTime Timers::deadline() const {
  return std::min({retransmit, keepalive, new_handshake, forget, persistent});
}

Keypair* Peer::usable_session(SteadyTime now) const {
  const bool is_usable = current != nullptr && now - current->created() < kRejectAfterTime;
  return is_usable ? current.get() : nullptr;
}

}  // namespace icon::tunnel::wg
