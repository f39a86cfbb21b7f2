// Indices, sessions and timers. All under the lock, except tick() and deadline().
#include <sodium.h>

#include <algorithm>

#include "base/assert.h"
#include "supervisor/tunnel/wg/engine.h"
#include "supervisor/tunnel/wg/peer.h"

namespace icon::tunnel::wg {

std::uint32_t Engine::allocate_index(IndexEntry entry) {
  // At most four per peer are in use, of 2^32: the first draw is nearly always free.
  std::uint32_t index = 0;
  do {
    randombytes_buf(&index, sizeof index);
  } while (indices_.contains(index));
  indices_.emplace(index, std::move(entry));
  return index;
}

void Engine::release_index(std::uint32_t index) {
  indices_.erase(index);
  generation_.fetch_add(1, std::memory_order_release);
}

void Engine::release_keypair(KeypairPtr& keypair) {
  if (keypair == nullptr) return;
  release_index(keypair->local_index());
  keypair = nullptr;
}

void Engine::release_sessions(Peer& peer) {
  release_keypair(peer.current);
  release_keypair(peer.previous);
  release_keypair(peer.next);
  if (peer.attempt != nullptr) release_index(peer.attempt->local_index);
  peer.attempt = nullptr;
  peer.timers.forget = Timers::kOff;
}

// Whitepaper, section 6.2 and 6.3, and the rules of Linux for what happens to the others.
void Engine::add_keypair(Peer& peer, KeypairPtr keypair) {
  indices_[keypair->local_index()] = {peers_by_id_[peer.id], keypair};
  release_keypair(peer.previous);
  if (!keypair->is_initiator()) {
    // To be used once the initiator has.
    release_keypair(peer.next);
    peer.next = std::move(keypair);
    return;
  }
  // Both began at once: the peer may already send with the keys that it began.
  if (peer.next != nullptr) {
    release_keypair(peer.current);
    peer.previous = std::move(peer.next);
    peer.next = nullptr;
  } else {
    peer.previous = std::move(peer.current);
  }
  peer.current = std::move(keypair);
}

void Engine::reschedule(Peer& peer, Outbox* out) {
  const SteadyTime deadline = peer.timers.deadline();
  // An entry that is too early costs one look at the peer; most deadlines only move away.
  if (deadline >= peer.scheduled && !(peer.is_removed && peer.scheduled != Timers::kOff)) return;
  if (peer.scheduled == Timers::kOff) {
    schedule_.emplace(deadline, peer.id);
  } else {
    auto entry = schedule_.extract({peer.scheduled, peer.id});
    ICON_ASSERT(!entry.empty());
    if (deadline != Timers::kOff) {
      entry.value() = {deadline, peer.id};
      schedule_.insert(std::move(entry));
    }
  }
  peer.scheduled = deadline;
  if (deadline >= deadline_told_) return;
  deadline_told_ = deadline;
  if (out != nullptr)
    out->wake = true;
  else
    needs_tick_ = true;
}

SteadyTime Engine::deadline() {
  const std::lock_guard lock(mutex_);
  deadline_told_ = schedule_.empty() ? SteadyTime::max() : schedule_.begin()->first;
  return deadline_told_;
}

void Engine::tick(Now now, Outbox& out) {
  {
    const std::lock_guard lock(mutex_);
    while (!schedule_.empty() && schedule_.begin()->first <= now.steady) {
      const PeerPtr peer = peers_by_id_[schedule_.begin()->second];
      schedule_.erase(schedule_.begin());
      peer->scheduled = Timers::kOff;
      run_timers(peer, now, out);
      reschedule(*peer, &out);
    }
    // Keys that are gone for the others must not stay here.
    if (cached_.generation != generation_.load(std::memory_order_relaxed)) cached_ = {};
  }
  begin_initiations(now, out);
}

void Engine::run_timers(const PeerPtr& peer, Now now, Outbox& out) {
  Timers& timers = peer->timers;
  const auto take = [&](SteadyTime& timer) {
    return timer <= now.steady && std::exchange(timer, Timers::kOff) != Timers::kOff;
  };
  if (take(timers.forget)) {
    release_sessions(*peer);
    peer->cookie.forget();
  }
  if (take(timers.retransmit)) {
    if (now.steady - peer->attempts_begun >= kRekeyAttemptTime)
      give_up(*peer, now);
    else
      want_initiation(peer, /*is_retry=*/true, now, out);
  }
  if (take(timers.keepalive)) {
    const bool needs_another = timers.needs_another_keepalive;
    send_keepalive(peer, now, out);
    if (needs_another) timers.keepalive = now.steady + kKeepaliveTimeout;
  }
  if (take(timers.new_handshake)) want_initiation(peer, /*is_retry=*/false, now, out);
  if (take(timers.persistent)) {
    send_keepalive(peer, now, out);
    // Nothing could be sent, and no attempt is under way that would set the timer.
    if (timers.persistent == Timers::kOff && peer->persistent_keepalive.count() > 0)
      timers.persistent = now.steady + peer->persistent_keepalive;
  }
}

void Engine::give_up(Peer& peer, Now now) {
  abandon_staged(peer);
  peer.timers.keepalive = Timers::kOff;
  if (peer.attempt != nullptr) release_index(peer.attempt->local_index);
  peer.attempt = nullptr;
  if (peer.timers.forget == Timers::kOff) peer.timers.forget = now.steady + kForgetAfterTime;
}

}  // namespace icon::tunnel::wg
