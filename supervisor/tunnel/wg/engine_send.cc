// From the interface to the network.
#include <algorithm>

#include "supervisor/tunnel/wg/engine.h"
#include "supervisor/tunnel/wg/peer.h"

namespace icon::tunnel::wg {

SealResult Engine::seal(const Address& destination, std::span<Segment> segments, Now now,
                        Outbox& out) {
  const std::size_t mtu = mtu_.load(std::memory_order_relaxed);
  SealResult result;
  KeypairPtr session;
  std::optional<std::uint64_t> counter;
  {
    const std::lock_guard lock(mutex_);
    result.peer = allowed_ips_.lookup(destination);
    if (result.peer == kNoPeer || identity_ == nullptr) {
      drops_.add(result.peer == kNoPeer ? Drop::kNoRoute : Drop::kNoKey, segments.size());
      return result;
    }
    const PeerPtr& peer = peers_by_id_[result.peer];
    if (!peer->endpoint) {
      drops_.add(Drop::kNoEndpoint, segments.size());
      return result;
    }
    result.endpoint = *peer->endpoint;
    Keypair* usable = peer->usable_session(now.steady);
    if (usable != nullptr) counter = usable->reserve(segments.size());
    if (counter) {
      session = peer->current;
      for (const Segment& segment : segments)
        peer->statistics.tx_bytes += sealed_bytes(segment.bytes, mtu);
      peer->timers.any_authenticated_sent();
      peer->timers.any_authenticated_traversal(now.steady, peer->persistent_keepalive);
      peer->timers.data_sent(now.steady);
      keep_key_fresh(peer, now, out);
      result.status = SealStatus::kSealed;
    } else {
      stage(peer, segments);
      want_initiation(peer, /*is_retry=*/false, now, out);
      result.status = SealStatus::kStaged;
    }
    reschedule(*peer, &out);
  }
  if (session != nullptr) session->seal(*sending_aead_, segments, *counter, mtu);
  begin_initiations(now, out);
  return result;
}

// The initiator replaces its keys before anybody has to stop using them; so does either side whose
// counter runs out.
void Engine::keep_key_fresh(const PeerPtr& peer, Now now, Outbox& out) {
  const Keypair& session = *peer->current;
  const bool is_old = session.is_initiator() && now.steady - session.created() >= kRekeyAfterTime;
  if (is_old || session.sent() > options_.rekey_after_messages)
    want_initiation(peer, /*is_retry=*/false, now, out);
}

void Engine::stage(const PeerPtr& peer, std::span<const Segment> segments) {
  for (const Segment& segment : segments) {
    const std::size_t bytes = kTransportHeaderBytes + segment.bytes;
    while (!peer->staged.empty() &&
           (peer->staged.size() >= kStagedPacketsMax || staged_bytes_ + bytes > kStagedBytesMax)) {
      staged_bytes_ -= peer->staged.front().size();
      peer->staged.pop_front();
      drops_.add(Drop::kStageFull);
    }
    if (staged_bytes_ + bytes > kStagedBytesMax) {
      drops_.add(Drop::kStageFull);
      continue;
    }
    staged_bytes_ += bytes;
    peer->staged.emplace_back(segment.datagram, segment.datagram + bytes);
  }
}

void Engine::abandon_staged(Peer& peer) {
  for (const auto& packet : peer.staged) staged_bytes_ -= packet.size();
  drops_.add(Drop::kStageAbandoned, peer.staged.size());
  peer.staged.clear();
}

void Engine::send_staged(Peer& peer, Now now, Outbox& out) {
  Keypair* session = peer.usable_session(now.steady);
  if (session == nullptr || !peer.endpoint) return;
  const std::size_t mtu = mtu_.load(std::memory_order_relaxed);
  const bool has_data = !peer.staged.empty();
  while (!peer.staged.empty()) {
    const auto counter = session->reserve(1);
    if (!counter) return;
    std::vector<std::uint8_t> bytes = std::move(peer.staged.front());
    peer.staged.pop_front();
    staged_bytes_ -= bytes.size();
    const std::size_t packet_bytes = bytes.size() - kTransportHeaderBytes;
    bytes.resize(sealed_bytes(packet_bytes, mtu));
    Segment segment{bytes.data(), packet_bytes};
    session->seal(*receiving_aead_, {&segment, 1}, *counter, mtu);
    peer.statistics.tx_bytes += bytes.size();
    out.datagrams.push_back({std::move(bytes), *peer.endpoint});
  }
  if (!has_data) return;
  peer.timers.any_authenticated_sent();
  peer.timers.any_authenticated_traversal(now.steady, peer.persistent_keepalive);
  peer.timers.data_sent(now.steady);
}

void Engine::send_keepalive(const PeerPtr& peer, Now now, Outbox& out) {
  if (!peer->endpoint) return;
  Keypair* session = peer->usable_session(now.steady);
  if (session != nullptr && !peer->staged.empty()) return send_staged(*peer, now, out);
  const auto counter = session != nullptr ? session->reserve(1) : std::nullopt;
  if (!counter) return want_initiation(peer, /*is_retry=*/false, now, out);
  std::vector<std::uint8_t> bytes(kTransportOverhead);
  Segment segment{bytes.data(), 0};
  session->seal(*receiving_aead_, {&segment, 1}, *counter, 0);
  peer->statistics.tx_bytes += bytes.size();
  peer->timers.any_authenticated_sent();
  peer->timers.any_authenticated_traversal(now.steady, peer->persistent_keepalive);
  keep_key_fresh(peer, now, out);
  out.datagrams.push_back({std::move(bytes), *peer->endpoint});
}

}  // namespace icon::tunnel::wg
