// What configures the engine, and what it tells.
#include "supervisor/tunnel/wg/engine.h"

#include <sodium.h>

#include <algorithm>

#include "base/assert.h"
#include "supervisor/tunnel/wg/peer.h"

namespace icon::tunnel::wg {
namespace {

constexpr std::chrono::seconds kPersistentKeepaliveMax{65'535};

tl::unexpected<Error> no_such_peer() {
  return fail(Code::kNotFound, "no peer with this public key; add it first");
}

}  // namespace

Engine::Engine(EngineOptions options) : options_(options), mtu_(options.mtu) {}

Engine::~Engine() = default;

Result<std::unique_ptr<Engine>> Engine::create(EngineOptions options) {
  if (sodium_init() < 0)
    return fail(Code::kUnavailable, "libsodium found no source of random numbers");
  std::unique_ptr<Engine> engine(new Engine(options));
  ICON_TRY(engine->sending_aead_, Aead::create(options.aead));
  ICON_TRY(engine->receiving_aead_, Aead::create(options.aead));
  return engine;
}

void Engine::set_private_key(const Secret& private_key) {
  const std::lock_guard lock(mutex_);
  if (identity_ != nullptr && identity_->private_key.equals(private_key)) return;
  if (private_key.is_zero()) {
    identity_ = nullptr;
  } else {
    identity_ = std::make_shared<const Identity>(Identity::from_private(private_key));
    if (const PeerPtr self = find_peer(identity_->public_key)) drop_peer(self);
  }
  needs_tick_ = true;
  for (const auto& [key, peer] : peers_by_key_) {
    release_sessions(*peer);
    abandon_staged(*peer);
    peer->remote = identity_ == nullptr
                       ? Remote{peer->public_key, peer->remote.preshared_key, {}, false}
                       : Remote::of(*identity_, key, peer->remote.preshared_key);
    if (peer->persistent_keepalive.count() > 0) peer->timers.persistent = SteadyTime::min();
    reschedule(*peer, nullptr);
  }
}

Secret Engine::private_key() const {
  const std::lock_guard lock(mutex_);
  return identity_ == nullptr ? Secret() : identity_->private_key;
}

Key Engine::public_key() const {
  const std::lock_guard lock(mutex_);
  return identity_ == nullptr ? Key{} : identity_->public_key;
}

PeerPtr Engine::find_peer(const Key& public_key) const {
  const auto found = peers_by_key_.find(public_key);
  return found == peers_by_key_.end() ? nullptr : found->second;
}

Status Engine::add_peer(const Key& public_key) {
  // The peer's Diffie-Hellman value takes as long as many packets: it is made outside the lock, and
  // again if the identity changed meanwhile.
  for (;;) {
    const std::shared_ptr<const Identity> identity = this->identity();
    Remote remote;
    remote.public_key = public_key;
    if (identity != nullptr) remote = Remote::of(*identity, public_key, Secret());
    const std::lock_guard lock(mutex_);
    if (find_peer(public_key) != nullptr) return {};
    if (identity_ == identity) return insert_peer(std::move(remote));
  }
}

std::shared_ptr<const Identity> Engine::identity() const {
  const std::lock_guard lock(mutex_);
  return identity_;
}

Status Engine::insert_peer(Remote remote) {
  const Key public_key = remote.public_key;
  if (identity_ != nullptr && identity_->public_key == public_key)
    return fail(Code::kInvalid, "a tunnel cannot be its own peer");
  if (peers_by_key_.size() >= kPeersMax)
    return fail(Code::kLimit, "more than " + std::to_string(kPeersMax) + " peers on one tunnel");
  if (free_ids_.empty()) {
    free_ids_.push_back(static_cast<PeerId>(peers_by_id_.size()));
    peers_by_id_.emplace_back();
  }
  const PeerId id = free_ids_.back();
  free_ids_.pop_back();
  const auto peer = std::make_shared<Peer>(id, public_key);
  peer->remote = std::move(remote);
  peers_by_id_[id] = peer;
  peers_by_key_.emplace(public_key, peer);
  return {};
}

bool Engine::has_peer(const Key& public_key) const {
  const std::lock_guard lock(mutex_);
  return find_peer(public_key) != nullptr;
}

void Engine::drop_peer(PeerPtr peer) {
  peer->is_removed = true;
  release_sessions(*peer);
  abandon_staged(*peer);
  peer->timers.stop();
  reschedule(*peer, nullptr);
  allowed_ips_.remove_peer(peer->id);
  peers_by_key_.erase(peer->public_key);
  peers_by_id_[peer->id] = nullptr;
  free_ids_.push_back(peer->id);
  needs_tick_ = true;
}

bool Engine::remove_peer(const Key& public_key) {
  const std::lock_guard lock(mutex_);
  const PeerPtr peer = find_peer(public_key);
  if (peer != nullptr) drop_peer(peer);
  return peer != nullptr;
}

void Engine::remove_all_peers() {
  const std::lock_guard lock(mutex_);
  while (!peers_by_key_.empty()) drop_peer(peers_by_key_.begin()->second);
}

Status Engine::set_preshared_key(const Key& public_key, const Secret& preshared_key) {
  const std::lock_guard lock(mutex_);
  const PeerPtr peer = find_peer(public_key);
  if (peer == nullptr) return no_such_peer();
  peer->remote.preshared_key = preshared_key;
  return {};
}

Status Engine::set_endpoint(const Key& public_key, const Endpoint& endpoint) {
  const std::lock_guard lock(mutex_);
  const PeerPtr peer = find_peer(public_key);
  if (peer == nullptr) return no_such_peer();
  peer->endpoint = endpoint;
  return {};
}

Status Engine::set_persistent_keepalive(const Key& public_key, std::chrono::seconds interval,
                                        Now now) {
  const std::lock_guard lock(mutex_);
  const PeerPtr peer = find_peer(public_key);
  if (peer == nullptr) return no_such_peer();
  const bool was_off = peer->persistent_keepalive.count() == 0;
  peer->persistent_keepalive =
      std::clamp(interval, std::chrono::seconds(0), kPersistentKeepaliveMax);
  if (peer->persistent_keepalive.count() == 0) {
    peer->timers.persistent = Timers::kOff;
  } else {
    const SteadyTime due = was_off ? now.steady : now.steady + peer->persistent_keepalive;
    peer->timers.persistent = std::min(peer->timers.persistent, due);
  }
  reschedule(*peer, nullptr);
  return {};
}

Status Engine::add_allowed_ip(const Key& public_key, const Prefix& prefix) {
  const std::lock_guard lock(mutex_);
  const PeerPtr peer = find_peer(public_key);
  if (peer == nullptr) return no_such_peer();
  return allowed_ips_.insert(prefix, peer->id);
}

Status Engine::remove_allowed_ip(const Key& public_key, const Prefix& prefix) {
  const std::lock_guard lock(mutex_);
  const PeerPtr peer = find_peer(public_key);
  if (peer == nullptr) return no_such_peer();
  if (!allowed_ips_.remove(prefix, peer->id))
    return fail(Code::kNotFound, "allowed IP " + prefix.to_string() + ": not with this peer");
  return {};
}

Status Engine::clear_allowed_ips(const Key& public_key) {
  const std::lock_guard lock(mutex_);
  const PeerPtr peer = find_peer(public_key);
  if (peer == nullptr) return no_such_peer();
  allowed_ips_.remove_peer(peer->id);
  return {};
}

Status Engine::connect(const Key& public_key, Now now) {
  const std::lock_guard lock(mutex_);
  const PeerPtr peer = find_peer(public_key);
  if (peer == nullptr) return no_such_peer();
  if (peer->usable_session(now.steady) != nullptr || peer->attempt != nullptr) return {};
  peer->timers.new_handshake = now.steady;
  reschedule(*peer, nullptr);
  return {};
}

Status Engine::set_receive_limit(const Key& public_key, ReceiveLimit limit) {
  const std::lock_guard lock(mutex_);
  const PeerPtr peer = find_peer(public_key);
  if (peer == nullptr) return no_such_peer();
  peer->limiter.set(limit);
  return {};
}

Status Engine::rekey(const Key& public_key, Now now, Outbox& out) {
  {
    const std::lock_guard lock(mutex_);
    const PeerPtr peer = find_peer(public_key);
    if (peer == nullptr) return no_such_peer();
    peer->last_handshake_sent.reset();
    want_initiation(peer, /*is_retry=*/false, now, out);
  }
  begin_initiations(now, out);
  return {};
}

bool Engine::needs_tick() {
  const std::lock_guard lock(mutex_);
  return std::exchange(needs_tick_, false);
}

std::vector<PeerState> Engine::peers() const {
  const std::lock_guard lock(mutex_);
  std::vector<PeerState> states;
  states.reserve(peers_by_key_.size());
  std::vector<std::size_t> place(peers_by_id_.size());
  for (const PeerPtr& peer : peers_by_id_) {
    if (peer == nullptr) continue;
    place[peer->id] = states.size();
    states.push_back({peer->id,
                      peer->public_key,
                      peer->remote.preshared_key,
                      peer->endpoint,
                      peer->persistent_keepalive,
                      {},
                      peer->statistics,
                      peer->current != nullptr,
                      peer->limiter.limit(),
                      peer->limiter.dropped()});
  }
  allowed_ips_.for_each(
      [&](const Prefix& prefix, PeerId id) { states[place[id]].allowed_ips.push_back(prefix); });
  return states;
}

std::size_t Engine::staged_bytes() const {
  const std::lock_guard lock(mutex_);
  return staged_bytes_;
}

}  // namespace icon::tunnel::wg
