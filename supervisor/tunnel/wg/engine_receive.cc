// From the network to the interface: transport messages.
#include <algorithm>

#include "supervisor/tunnel/wg/engine.h"
#include "supervisor/tunnel/wg/inner_packet.h"
#include "supervisor/tunnel/wg/peer.h"

namespace icon::tunnel::wg {
namespace {

bool is_transport(const Received& received) {
  return received.bytes >= kTransportOverhead &&
         get_u32(received.datagram) == static_cast<std::uint32_t>(MessageType::kTransport);
}

std::uint32_t receiver_of(const Received& received) {
  return get_u32(received.datagram + TransportLayout::kReceiver);
}

}  // namespace

void Engine::receive(std::span<Received> datagrams, const Endpoint& source, Now now, Outbox& out) {
  for (Received& received : datagrams) {
    received.packet = {};
    received.peer = kNoPeer;
  }
  while (!datagrams.empty()) {
    std::size_t count = 1;
    if (is_transport(datagrams[0])) {
      const std::uint32_t index = receiver_of(datagrams[0]);
      const std::size_t count_max = std::min(datagrams.size(), Keypair::kBatchMax);
      while (count < count_max && is_transport(datagrams[count]) &&
             receiver_of(datagrams[count]) == index)
        ++count;
      receive_run(datagrams.first(count), source, now, out);
    } else {
      receive_handshake({datagrams[0].datagram, datagrams[0].bytes}, source, now, out);
    }
    datagrams = datagrams.subspan(count);
  }
  begin_initiations(now, out);
}

const Engine::IndexEntry* Engine::find_session(std::uint32_t index) {
  const std::uint64_t generation = generation_.load(std::memory_order_acquire);
  if (cached_.generation == generation && cached_.index == index) return &cached_.session;
  const std::lock_guard lock(mutex_);
  const auto found = indices_.find(index);
  if (found == indices_.end() || found->second.keypair == nullptr) return nullptr;
  cached_ = {generation_.load(std::memory_order_relaxed), index, found->second};
  return &cached_.session;
}

void Engine::receive_run(std::span<Received> run, const Endpoint& source, Now now, Outbox& out) {
  const IndexEntry* session = find_session(receiver_of(run[0]));
  if (session == nullptr) return drops_.add(Drop::kUnknownIndex, run.size());
  if (now.steady - session->keypair->created() >= kRejectAfterTime)
    return drops_.add(Drop::kExpiredKey, run.size());
  std::size_t bytes = 0;
  for (const Received& received : run) bytes += received.bytes;
  const std::size_t admitted = session->peer->limiter.admit(run.size(), bytes, now.steady);
  if (admitted < run.size()) drops_.add(Drop::kOverLimit, run.size() - admitted);
  run = run.first(admitted);
  if (run.empty()) return;
  std::array<Opened, Keypair::kBatchMax> results{};
  const std::span<Opened> opened(results.data(), run.size());
  session->keypair->open(*receiving_aead_, run, opened);
  account(*session, run, opened, source, now, out);
}

void Engine::account(const IndexEntry& session, std::span<Received> run,
                     std::span<const Opened> opened, const Endpoint& source, Now now, Outbox& out) {
  std::uint64_t authentic = 0;
  std::uint64_t authentic_bytes = 0;
  bool has_data = false;
  for (std::size_t i = 0; i < run.size(); ++i) {
    if (opened[i] == Opened::kForged) drops_.add(Drop::kForged);
    if (opened[i] == Opened::kReplayed) drops_.add(Drop::kReplayed);
    if (opened[i] == Opened::kExhausted) drops_.add(Drop::kExpiredKey);
    if (opened[i] != Opened::kOk) continue;
    ++authentic;
    authentic_bytes += run[i].bytes;
    has_data = has_data || run[i].bytes > kTransportOverhead;
  }
  if (authentic == 0) return;
  session.peer->limiter.charge(authentic, authentic_bytes);

  const std::lock_guard lock(mutex_);
  const PeerPtr& peer = session.peer;
  if (peer->is_removed) return drops_.add(Drop::kUnknownPeer, authentic);
  peer->statistics.rx_bytes += authentic_bytes;
  peer->endpoint = source;
  peer->timers.any_authenticated_received();
  peer->timers.any_authenticated_traversal(now.steady, peer->persistent_keepalive);
  if (has_data) peer->timers.data_received(now.steady);
  if (session.keypair == peer->next) confirm_next(*peer, now, out);
  ask_at_last_minute(peer, now, out);
  deliver(peer->id, run, opened);
  reschedule(*peer, &out);
}

// The initiator has used the keys that we answered with: it has them.
void Engine::confirm_next(Peer& peer, Now now, Outbox& out) {
  release_keypair(peer.previous);
  peer.previous = std::move(peer.current);
  peer.current = std::move(peer.next);
  peer.next = nullptr;
  peer.has_sent_last_minute = false;
  peer.timers.handshake_complete();
  peer.statistics.last_handshake_ms = now.utc_ms;
  send_staged(peer, now, out);
}

// Who began a session and now only listens makes new keys before the old ones end, once.
void Engine::ask_at_last_minute(const PeerPtr& peer, Now now, Outbox& out) {
  constexpr Millis kLastMinute = kRejectAfterTime - kKeepaliveTimeout - kRekeyTimeout;
  if (peer->has_sent_last_minute || peer->current == nullptr || !peer->current->is_initiator() ||
      now.steady - peer->current->created() < kLastMinute)
    return;
  peer->has_sent_last_minute = true;
  want_initiation(peer, /*is_retry=*/false, now, out);
}

void Engine::deliver(PeerId peer, std::span<Received> run, std::span<const Opened> opened) {
  // Packets of one batch are mostly of one flow.
  const std::uint8_t* allowed_source = nullptr;
  bool allowed_is_v4 = true;
  for (std::size_t i = 0; i < run.size(); ++i) {
    Received& received = run[i];
    if (opened[i] != Opened::kOk || received.bytes == kTransportOverhead) continue;
    const MutableBytes text(received.datagram + kTransportHeaderBytes,
                            received.bytes - kTransportOverhead);
    const auto packet = parse_inner_packet(text);
    if (!packet) {
      drops_.add(Drop::kBadPacket);
      continue;
    }
    const std::size_t address_bytes = packet->is_v4 ? 4 : 16;
    const bool is_same = allowed_source != nullptr && allowed_is_v4 == packet->is_v4 &&
                         std::memcmp(allowed_source, packet->source, address_bytes) == 0;
    if (!is_same) {
      const PeerId owner = packet->is_v4 ? allowed_ips_.lookup_v4(packet->source)
                                         : allowed_ips_.lookup_v6(packet->source);
      if (owner != peer) {
        drops_.add(Drop::kSource);
        continue;
      }
      allowed_source = packet->source;
      allowed_is_v4 = packet->is_v4;
    }
    received.packet = text.first(packet->bytes);
    received.peer = peer;
  }
}

}  // namespace icon::tunnel::wg
