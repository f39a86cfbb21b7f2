#include "supervisor/tunnel/peer.h"

#include <sodium.h>

#include <algorithm>
#include <cstring>

namespace icon::tunnel {
namespace {

constexpr std::size_t kIpv4HeaderBytes = 20;
constexpr std::size_t kIpv6HeaderBytes = 40;
// Lengths on the wire are multiples of this: they tell less about the packet.
constexpr std::size_t kPadding = 16;

std::uint32_t random_index() {
  std::uint32_t index = 0;
  randombytes_buf(&index, sizeof index);
  return index;
}

bool mac_is_valid(const Key& receiver, Bytes message) {
  const auto expected = message_mac(receiver, message.first(message.size() - kMacBytes));
  return sodium_memcmp(expected.data(), message.data() + message.size() - kMacBytes, kMacBytes) ==
         0;
}

void append_mac(const Key& receiver, std::span<std::uint8_t> message) {
  const auto mac = message_mac(receiver, message.first(message.size() - kMacBytes));
  std::copy(mac.begin(), mac.end(), message.end() - kMacBytes);
}

}  // namespace

std::array<std::uint8_t, kMacBytes> message_mac(const Key& receiver, Bytes message) {
  std::array<std::uint8_t, kMacBytes> mac{};
  crypto_generichash_state state;
  crypto_generichash_init(&state, receiver.data(), receiver.size(), mac.size());
  crypto_generichash_update(&state, message.data(), message.size());
  crypto_generichash_final(&state, mac.data(), mac.size());
  return mac;
}

std::optional<InnerPacket> parse_inner(Bytes text) {
  if (text.empty()) return std::nullopt;
  InnerPacket packet;
  if (text[0] >> 4 == 4) {
    if (text.size() < kIpv4HeaderBytes) return std::nullopt;
    packet.bytes = std::size_t{text[2]} << 8 | text[3];
    if (packet.bytes < kIpv4HeaderBytes) return std::nullopt;
    packet.source = Address::v4({text[12], text[13], text[14], text[15]});
    packet.destination = Address::v4({text[16], text[17], text[18], text[19]});
  } else if (text[0] >> 4 == 6) {
    if (text.size() < kIpv6HeaderBytes) return std::nullopt;
    packet.bytes = kIpv6HeaderBytes + (std::size_t{text[4]} << 8 | text[5]);
    std::array<std::uint8_t, 16> address{};
    std::copy_n(text.begin() + 8, 16, address.begin());
    packet.source = Address::v6(address);
    std::copy_n(text.begin() + 24, 16, address.begin());
    packet.destination = Address::v6(address);
  } else {
    return std::nullopt;
  }
  if (packet.bytes > text.size()) return std::nullopt;
  return packet;
}

Peer::Peer(TunnelKeyPair own, Key peer, PeerSink& sink) : own_(own), peer_(peer), sink_(sink) {}

bool Peer::is_allowed(const Address& address) const {
  return std::any_of(allowed_.begin(), allowed_.end(),
                     [&](const Prefix& prefix) { return prefix.contains(address); });
}

bool Peer::may_send_with(const std::optional<Session>& session, SteadyTime now) const {
  return session && now - session->created() < kRejectAfter && session->sent() < kMessagesMax;
}

void Peer::connect(SteadyTime now, UtcMillis utc_ms) {
  if (!may_send_with(current_, now)) initiate(now, utc_ms);
}

void Peer::initiate(SteadyTime now, UtcMillis utc_ms) {
  if (attempt_) return;
  if (last_initiation_sent_ && now - *last_initiation_sent_ < kRekeyPause &&
      may_send_with(current_, now))
    return;
  send_initiation(now, kRetryFirst, now, utc_ms);
}

void Peer::send_initiation(SteadyTime begun, Millis pause, SteadyTime now, UtcMillis utc_ms) {
  // Strictly increasing, whatever the clock does: the peer refuses a stamp it has seen.
  newest_stamp_sent_ =
      std::max<std::uint64_t>(static_cast<std::uint64_t>(utc_ms), newest_stamp_sent_ + 1);
  std::array<std::uint8_t, kTimestampBytes> stamp{};
  put_le64(stamp.data(), newest_stamp_sent_);
  std::array<std::uint8_t, kInitiationMessageBytes> message{};
  attempt_.emplace(Attempt{Initiator(own_, peer_), random_index(), begun, now + pause, pause});
  put_le32(message.data(), static_cast<std::uint32_t>(MessageType::kInitiation));
  put_le32(message.data() + 4, attempt_->local_index);
  if (!attempt_->initiator.write_initiation(stamp,
                                            std::span(message).subspan(8, kInitiationBytes))) {
    attempt_.reset();
    return;
  }
  append_mac(peer_, message);
  last_initiation_sent_ = now;
  send_counted(message, now);
}

void Peer::send_counted(std::span<const std::uint8_t> datagram, SteadyTime now) {
  counters_.tx_bytes += datagram.size();
  last_sent_ = now;
  sink_.send_datagram(datagram);
}

void Peer::on_datagram(std::span<std::uint8_t> datagram, SteadyTime now, UtcMillis utc_ms) {
  expire(now);
  const std::uint32_t type = datagram.size() < 4 ? 0 : get_le32(datagram.data());
  if (type == static_cast<std::uint32_t>(MessageType::kTransport) &&
      datagram.size() >= kTransportOverhead)
    return on_transport(datagram, now, utc_ms);
  if (type == static_cast<std::uint32_t>(MessageType::kInitiation) &&
      datagram.size() == kInitiationMessageBytes)
    return on_initiation(datagram, now, utc_ms);
  if (type == static_cast<std::uint32_t>(MessageType::kAnswer) &&
      datagram.size() == kAnswerMessageBytes)
    return on_answer(datagram, now, utc_ms);
  ++counters_.malformed;
}

void Peer::on_initiation(std::span<const std::uint8_t> message, SteadyTime now, UtcMillis utc_ms) {
  if (!mac_is_valid(own_.public_key, message)) {
    ++counters_.forged;
    return;
  }
  // The curve costs 0.2 ms: a flood of initiations gets no more than this.
  if (last_initiation_checked_ && now - *last_initiation_checked_ < kInitiationPause) {
    ++counters_.refused;
    return;
  }
  last_initiation_checked_ = now;
  Responder responder(own_);
  std::array<std::uint8_t, kTimestampBytes> stamp{};
  if (!responder.read_initiation(message.subspan(8, kInitiationBytes), stamp) ||
      sodium_memcmp(responder.peer().data(), peer_.data(), peer_.size()) != 0) {
    ++counters_.forged;
    return;
  }
  if (get_le64(stamp.data()) <= newest_stamp_received_) {
    ++counters_.replayed;
    return;
  }
  newest_stamp_received_ = get_le64(stamp.data());
  counters_.rx_bytes += message.size();
  std::array<std::uint8_t, kAnswerMessageBytes> answer{};
  const std::uint32_t local_index = random_index();
  const std::uint32_t remote_index = get_le32(message.data() + 4);
  put_le32(answer.data(), static_cast<std::uint32_t>(MessageType::kAnswer));
  put_le32(answer.data() + 4, local_index);
  put_le32(answer.data() + 8, remote_index);
  const auto keys = responder.write_answer(std::span(answer).subspan(12, kAnswerBytes));
  if (!keys) return;
  append_mac(peer_, answer);
  next_.emplace(local_index, remote_index, keys->responder_to_initiator,
                keys->initiator_to_responder, /*initiated=*/false, now);
  last_handshake_ms_ = utc_ms;
  ++counters_.handshakes;
  send_counted(answer, now);
}

void Peer::on_answer(std::span<const std::uint8_t> message, SteadyTime now, UtcMillis utc_ms) {
  if (!attempt_ || get_le32(message.data() + 8) != attempt_->local_index) {
    ++counters_.malformed;
    return;
  }
  const auto keys = mac_is_valid(own_.public_key, message)
                        ? attempt_->initiator.read_answer(message.subspan(12, kAnswerBytes))
                        : std::nullopt;
  if (!keys) {
    ++counters_.forged;
    return;
  }
  counters_.rx_bytes += message.size();
  previous_ = next_ ? std::move(next_) : std::move(current_);
  next_.reset();
  current_.emplace(attempt_->local_index, get_le32(message.data() + 4),
                   keys->initiator_to_responder, keys->responder_to_initiator,
                   /*initiated=*/true, now);
  attempt_.reset();
  unanswered_since_.reset();
  last_handshake_ms_ = utc_ms;
  ++counters_.handshakes;
  // The peer sends with the new keys once it has seen us use them.
  if (staged_.empty()) send_keepalive(now);
  send_staged(now);
}

void Peer::on_transport(std::span<std::uint8_t> message, SteadyTime now, UtcMillis utc_ms) {
  const std::uint32_t index = get_le32(message.data() + 4);
  std::optional<Session>* session = nullptr;
  for (auto* candidate : {&current_, &previous_, &next_})
    if (*candidate && (*candidate)->local_index() == index) session = candidate;
  if (session == nullptr) {
    ++counters_.malformed;
    return;
  }
  const std::size_t bytes = message.size();
  switch ((*session)->open(message)) {
    case Session::Opened::kForged:
      ++counters_.forged;
      return;
    case Session::Opened::kReplayed:
      ++counters_.replayed;
      return;
    case Session::Opened::kOk:
      break;
  }
  counters_.rx_bytes += bytes;
  unanswered_since_.reset();
  if (session == &next_) {
    previous_ = std::move(current_);
    current_ = std::move(next_);
    next_.reset();
    attempt_.reset();
    send_staged(now);
  }
  if (current_ && current_->initiated() && now - current_->created() > kRejectAfter - kSilenceMax)
    initiate(now, utc_ms);
  deliver(message.subspan(kTransportHeaderBytes, bytes - kTransportOverhead), now);
}

void Peer::deliver(std::span<const std::uint8_t> text, SteadyTime now) {
  if (text.empty()) return;  // a keepalive
  if (!keepalive_owed_since_) keepalive_owed_since_ = now;
  const auto packet = parse_inner(text);
  if (!packet) {
    ++counters_.malformed;
  } else if (!is_allowed(packet->source)) {
    ++counters_.refused;
  } else {
    sink_.deliver_packet(text.first(packet->bytes));
  }
}

void Peer::on_packet(std::span<std::uint8_t> buffer, std::size_t bytes, SteadyTime now,
                     UtcMillis utc_ms) {
  expire(now);
  const auto packet = parse_inner(buffer.subspan(kTransportHeaderBytes, bytes));
  if (!packet || packet->bytes != bytes || !is_allowed(packet->destination)) {
    ++counters_.refused;
    return;
  }
  if (!may_send_with(current_, now)) {
    if (staged_.size() < kStagedPacketsMax)
      staged_.emplace_back(buffer.begin(), buffer.begin() + kTransportHeaderBytes + bytes);
    else
      ++counters_.unstaged;
    return initiate(now, utc_ms);
  }
  const std::size_t padded = (bytes + kPadding - 1) / kPadding * kPadding;
  std::memset(buffer.data() + kTransportHeaderBytes + bytes, 0, padded - bytes);
  send_sealed(buffer.first(padded + kTransportOverhead), now);
  if (!unanswered_since_) unanswered_since_ = now;
  if (current_->initiated() && now - current_->created() > kRekeyAfter) initiate(now, utc_ms);
}

void Peer::send_sealed(std::span<std::uint8_t> datagram, SteadyTime now) {
  current_->seal(datagram);
  keepalive_owed_since_.reset();
  send_counted(datagram, now);
}

void Peer::send_keepalive(SteadyTime now) {
  std::array<std::uint8_t, kTransportOverhead> empty{};
  send_sealed(empty, now);
}

void Peer::send_staged(SteadyTime now) {
  auto waiting = std::move(staged_);
  staged_.clear();
  for (auto& buffer : waiting) {
    const std::size_t bytes = buffer.size() - kTransportHeaderBytes;
    const std::size_t padded = (bytes + kPadding - 1) / kPadding * kPadding;
    buffer.resize(padded + kTransportOverhead, 0);
    send_sealed(buffer, now);
  }
  if (!waiting.empty() && !unanswered_since_) unanswered_since_ = now;
}

void Peer::expire(SteadyTime now) {
  for (auto* session : {&current_, &previous_, &next_})
    if (*session && now - (*session)->created() >= kRejectAfter) session->reset();
}

void Peer::on_timer(SteadyTime now, UtcMillis utc_ms) {
  expire(now);
  if (attempt_ && now >= attempt_->retry) {
    if (persistent_keepalive_.count() == 0 && now - attempt_->begun > kGiveUpAfter) {
      attempt_.reset();
      staged_.clear();
    } else {
      send_initiation(attempt_->begun, std::min(attempt_->pause * 2, kRetryMax), now, utc_ms);
    }
  }
  if (unanswered_since_ && now - *unanswered_since_ >= kSilenceMax) {
    unanswered_since_ = now;
    initiate(now, utc_ms);
  }
  const bool owed = keepalive_owed_since_ && now - *keepalive_owed_since_ >= kKeepalive;
  const bool due = persistent_keepalive_.count() > 0 &&
                   (!last_sent_ || now - *last_sent_ >= persistent_keepalive_);
  if (owed || due) {
    keepalive_owed_since_.reset();
    if (may_send_with(current_, now)) {
      send_keepalive(now);
      if (current_->initiated() && now - current_->created() > kRekeyAfter) initiate(now, utc_ms);
    } else {
      initiate(now, utc_ms);
    }
  }
}

SteadyTime Peer::deadline() const {
  SteadyTime next = SteadyTime::max();
  const auto consider = [&](SteadyTime time) { next = std::min(next, time); };
  if (attempt_) consider(attempt_->retry);
  if (unanswered_since_) consider(*unanswered_since_ + kSilenceMax);
  if (keepalive_owed_since_) consider(*keepalive_owed_since_ + kKeepalive);
  // With an attempt under way nothing else is to be sent: its own time counts.
  if (persistent_keepalive_.count() > 0 && !attempt_ && last_sent_)
    consider(*last_sent_ + persistent_keepalive_);
  for (const auto* session : {&current_, &previous_, &next_})
    if (*session) consider((*session)->created() + kRejectAfter);
  return next;
}

}  // namespace icon::tunnel
