// Handshakes. The curve's work is done without the lock: what it needs is copied before, and what
// comes of it is only used if it still fits afterwards.
#include <algorithm>

#include "supervisor/tunnel/wg/engine.h"
#include "supervisor/tunnel/wg/peer.h"

namespace icon::tunnel::wg {
namespace {

constexpr std::chrono::seconds kLoadCalm{1};

template <class Message>
Message copy_message(Bytes bytes) {
  Message message;
  std::copy(bytes.begin(), bytes.end(), message.begin());
  return message;
}

}  // namespace

void Engine::receive_handshake(Bytes message, const Endpoint& source, Now now, Outbox& out) {
  const auto type = message.size() < 4 ? MessageType{} : MessageType{get_u32(message.data())};
  const bool is_whole =
      (type == MessageType::kInitiation && message.size() == InitiationLayout::kBytes) ||
      (type == MessageType::kResponse && message.size() == ResponseLayout::kBytes) ||
      (type == MessageType::kCookieReply && message.size() == CookieReplyLayout::kBytes);
  if (!is_whole) return drops_.add(Drop::kMalformed);
  if (type == MessageType::kCookieReply)
    return receive_cookie_reply(copy_message<CookieReplyMessage>(message), now);
  if (!admit(message, source, now, out)) return;
  if (type == MessageType::kInitiation)
    receive_initiation(copy_message<InitiationMessage>(message), source, now, out);
  else
    receive_response(copy_message<ResponseMessage>(message), source, now, out);
}

// A bucket of handshakes: when it is empty we are under load, until a second has passed without
// finding it empty.
bool Engine::take_load_token(SteadyTime now) {
  const auto cost = std::chrono::nanoseconds(std::chrono::seconds(1)) /
                    std::max(1, options_.handshakes_per_second_max);
  const auto full = cost * std::max(1, options_.handshake_burst_max);
  load_tokens_ = load_updated_ == SteadyTime() ? full
                                               : std::min<std::chrono::nanoseconds>(
                                                     full, load_tokens_ + (now - load_updated_));
  load_updated_ = now;
  if (load_tokens_ < cost) return false;
  load_tokens_ -= cost;
  return true;
}

// Whether a handshake message deserves the curve's work.
bool Engine::admit(Bytes message, const Endpoint& source, Now now, Outbox& out) {
  {
    const std::lock_guard lock(mutex_);
    if (identity_ != checker_identity_) {
      checker_identity_ = identity_;
      checker_ = identity_ == nullptr ? nullptr : std::make_unique<CookieChecker>(*identity_);
    }
  }
  if (checker_ == nullptr) {
    drops_.add(Drop::kNoKey);
    return false;
  }
  if (!checker_->is_mac1_valid(message)) {
    drops_.add(Drop::kBadMac1);
    return false;
  }
  if (!take_load_token(now.steady)) loaded_until_ = now.steady + kLoadCalm;
  if (!is_under_load(now.steady)) return true;
  if (!checker_->is_mac2_valid(message, source, now.steady)) {
    const CookieReplyMessage reply = checker_->reply(message, source, now.steady);
    out.datagrams.push_back({{reply.begin(), reply.end()}, source});
    drops_.add(Drop::kCookieDemanded);
    return false;
  }
  if (!limiter_.allow(source.address, now.steady)) {
    drops_.add(Drop::kRateLimited);
    return false;
  }
  return true;
}

void Engine::receive_initiation(const InitiationMessage& message, const Endpoint& source, Now now,
                                Outbox& out) {
  const std::shared_ptr<const Identity> identity = checker_identity_;
  Responder responder(*identity);
  const auto public_key = responder.read_static(message);
  if (!public_key) return drops_.add(Drop::kForgedHandshake);
  PeerPtr peer;
  Remote remote;
  {
    const std::lock_guard lock(mutex_);
    peer = find_peer(*public_key);
    if (peer == nullptr || identity_ != identity) return drops_.add(Drop::kUnknownPeer);
    remote = peer->remote;
  }
  const auto timestamp = responder.read_timestamp(remote);
  if (!timestamp) return drops_.add(Drop::kForgedHandshake);
  std::uint32_t index = 0;
  {
    const std::lock_guard lock(mutex_);
    if (peer->is_removed) return drops_.add(Drop::kUnknownPeer);
    if (*timestamp <= peer->newest_received) return drops_.add(Drop::kReplayedInitiation);
    if (peer->last_initiation_received &&
        now.steady - *peer->last_initiation_received < kInitiationPause)
      return drops_.add(Drop::kInitiationFlood);
    peer->newest_received = *timestamp;
    peer->last_initiation_received = now.steady;
    index = allocate_index({peer, nullptr});
  }
  ResponseMessage response{};
  const auto keys = responder.respond(remote, index, response);
  const std::lock_guard lock(mutex_);
  if (!keys || peer->is_removed || identity_ != identity) {
    release_index(index);
    return drops_.add(keys ? Drop::kUnknownPeer : Drop::kForgedHandshake);
  }
  peer->endpoint = source;
  peer->statistics.rx_bytes += message.size();
  peer->statistics.tx_bytes += response.size();
  peer->last_handshake_sent = now.steady;
  peer->cookie.add_macs(response, now.steady);
  const Keypair::Indices indices{index, get_u32(message.data() + InitiationLayout::kSender)};
  add_keypair(*peer, std::make_shared<Keypair>(indices, *keys, /*is_initiator=*/false, now.steady));
  peer->timers.session_derived(now.steady);
  peer->timers.any_authenticated_sent();
  peer->timers.any_authenticated_received();
  peer->timers.any_authenticated_traversal(now.steady, peer->persistent_keepalive);
  reschedule(*peer, &out);
  out.datagrams.push_back({{response.begin(), response.end()}, source});
}

void Engine::receive_response(const ResponseMessage& message, const Endpoint& source, Now now,
                              Outbox& out) {
  const std::shared_ptr<const Identity> identity = checker_identity_;
  const std::uint32_t index = get_u32(message.data() + ResponseLayout::kReceiver);
  PeerPtr peer;
  std::shared_ptr<const Peer::Attempt> attempt;
  Secret preshared_key;
  {
    const std::lock_guard lock(mutex_);
    const auto found = indices_.find(index);
    if (found == indices_.end() || found->second.keypair != nullptr)
      return drops_.add(Drop::kUnknownIndex);
    peer = found->second.peer;
    attempt = peer->attempt;
    preshared_key = peer->remote.preshared_key;
    if (attempt == nullptr || attempt->local_index != index || identity_ != identity)
      return drops_.add(Drop::kUnknownIndex);
  }
  const auto keys = attempt->initiator.finish(*identity, preshared_key, message);
  if (!keys) return drops_.add(Drop::kForgedHandshake);
  const std::lock_guard lock(mutex_);
  if (peer->is_removed || peer->attempt != attempt) return drops_.add(Drop::kUnknownIndex);
  const Keypair::Indices indices{index, get_u32(message.data() + ResponseLayout::kSender)};
  peer->attempt = nullptr;
  peer->endpoint = source;
  peer->statistics.rx_bytes += message.size();
  peer->statistics.last_handshake_ms = now.utc_ms;
  add_keypair(*peer, std::make_shared<Keypair>(indices, *keys, /*is_initiator=*/true, now.steady));
  peer->timers.any_authenticated_received();
  peer->timers.any_authenticated_traversal(now.steady, peer->persistent_keepalive);
  peer->timers.session_derived(now.steady);
  peer->timers.handshake_complete();
  peer->has_sent_last_minute = false;
  // The peer sends with the new keys once it has seen us use them.
  send_keepalive(peer, now, out);
  reschedule(*peer, &out);
}

void Engine::receive_cookie_reply(const CookieReplyMessage& message, Now now) {
  const std::lock_guard lock(mutex_);
  const auto found = indices_.find(get_u32(message.data() + CookieReplyLayout::kReceiver));
  if (found == indices_.end()) return drops_.add(Drop::kUnknownIndex);
  if (!found->second.peer->cookie.accept(message, now.steady)) drops_.add(Drop::kForgedCookie);
}

void Engine::want_initiation(const PeerPtr& peer, bool is_retry, Now now, Outbox& out) {
  if (!is_retry) peer->attempts_begun = now.steady;
  if (identity_ == nullptr || !peer->endpoint) return;
  if (peer->last_handshake_sent && now.steady - *peer->last_handshake_sent < kRekeyTimeout) {
    // Too early. Packets that wait must not depend on another one to come.
    if (!peer->staged.empty() && peer->timers.retransmit == Timers::kOff)
      peer->timers.handshake_initiated(*peer->last_handshake_sent);
    return;
  }
  peer->last_handshake_sent = now.steady;
  out.initiations_.push_back(peer);
}

void Engine::begin_initiations(Now now, Outbox& out) {
  for (const PeerPtr& peer : out.initiations_) begin_initiation(peer, now, out);
  out.initiations_.clear();
}

void Engine::begin_initiation(const PeerPtr& peer, Now now, Outbox& out) {
  std::shared_ptr<const Identity> identity;
  Remote remote;
  Timestamp timestamp{};
  std::uint32_t index = 0;
  {
    const std::lock_guard lock(mutex_);
    identity = identity_;
    if (peer->is_removed || identity == nullptr) return;
    remote = peer->remote;
    timestamp = peer->newest_sent = next_timestamp(now.utc_ms, peer->newest_sent);
    index = allocate_index({peer, nullptr});
  }
  InitiationMessage message{};
  auto initiator = Initiator::begin(*identity, remote, timestamp, index, message);
  const std::lock_guard lock(mutex_);
  if (!initiator || peer->is_removed || identity_ != identity || !peer->endpoint)
    return release_index(index);
  if (peer->attempt != nullptr) release_index(peer->attempt->local_index);
  peer->attempt =
      std::make_shared<const Peer::Attempt>(Peer::Attempt{std::move(*initiator), index});
  peer->cookie.add_macs(message, now.steady);
  peer->statistics.tx_bytes += message.size();
  peer->timers.any_authenticated_sent();
  peer->timers.any_authenticated_traversal(now.steady, peer->persistent_keepalive);
  peer->timers.handshake_initiated(now.steady);
  reschedule(*peer, &out);
  out.datagrams.push_back({{message.begin(), message.end()}, *peer->endpoint});
}

}  // namespace icon::tunnel::wg
