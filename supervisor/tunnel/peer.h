// The tunnel's one peer as a state machine: when to shake hands, which session to send with, what
// to accept. WireGuard's rules (whitepaper, section 6) in a simpler form. Pure: time is an
// argument, what leaves goes through PeerSink; no socket, device or clock inside. One thread.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <span>
#include <vector>

#include "base/address.h"
#include "base/clock.h"
#include "supervisor/tunnel/handshake.h"
#include "supervisor/tunnel/session.h"

namespace icon::tunnel {

inline constexpr Millis kRekeyAfter{120'000};   // the initiator makes new keys
inline constexpr Millis kRejectAfter{180'000};  // nobody uses the old ones any more
inline constexpr Millis kKeepalive{10'000};     // an answer to data when there is nothing to say
inline constexpr Millis kSilenceMax{15'000};    // data sent, nothing came back: shake hands anew
inline constexpr Millis kRetryFirst{1'000};     // of a handshake, doubled each time up to
inline constexpr Millis kRetryMax{15'000};
inline constexpr Millis kGiveUpAfter{90'000};  // without persistent keepalive
inline constexpr Millis kRekeyPause{5'000};    // between two handshakes that succeed or overlap
inline constexpr Millis kInitiationPause{20};  // between two initiations that we check
inline constexpr std::uint64_t kMessagesMax = std::uint64_t{1} << 60;  // under one key
inline constexpr std::size_t kStagedPacketsMax = 128;                  // that wait for a handshake
inline constexpr std::size_t kMacBytes = 16;
inline constexpr std::size_t kInitiationMessageBytes = 8 + kInitiationBytes + kMacBytes;
inline constexpr std::size_t kAnswerMessageBytes = 12 + kAnswerBytes + kMacBytes;

class PeerSink {
 public:
  virtual ~PeerSink() = default;
  virtual void send_datagram(std::span<const std::uint8_t> datagram) = 0;  // to the peer
  virtual void deliver_packet(std::span<const std::uint8_t> packet) = 0;   // to the interface
};

struct PeerCounters {
  std::uint64_t rx_bytes = 0;  // of datagrams that were accepted
  std::uint64_t tx_bytes = 0;
  std::uint64_t malformed = 0;  // too short, unknown type or session, bad inner packet
  std::uint64_t forged = 0;     // failed authentication
  std::uint64_t replayed = 0;
  std::uint64_t refused = 0;   // inner address not allowed
  std::uint64_t unstaged = 0;  // packets without a session that the queue had no room for
  std::uint64_t handshakes = 0;
};

class Peer {
 public:
  Peer(TunnelKeyPair own, Key peer, PeerSink& sink);

  void set_allowed(std::vector<Prefix> allowed) { allowed_ = std::move(allowed); }
  const std::vector<Prefix>& allowed() const { return allowed_; }
  // Zero: off.
  void set_persistent_keepalive(Millis interval) { persistent_keepalive_ = interval; }
  Millis persistent_keepalive() const { return persistent_keepalive_; }
  // Starts a handshake unless there is a session.
  void connect(SteadyTime now, UtcMillis utc_ms);

  // A datagram from the network; changed in place.
  void on_datagram(std::span<std::uint8_t> datagram, SteadyTime now, UtcMillis utc_ms);
  // A packet from the interface: `buffer` holds kTransportHeaderBytes of room, `bytes` of packet
  // and room for padding and tag (kPacketRoom more); sealed in place.
  static constexpr std::size_t kPacketRoom = 15 + kTagBytes;
  void on_packet(std::span<std::uint8_t> buffer, std::size_t bytes, SteadyTime now,
                 UtcMillis utc_ms);
  void on_timer(SteadyTime now, UtcMillis utc_ms);
  // When on_timer() is due next; SteadyTime::max() when nothing waits.
  SteadyTime deadline() const;

  const Key& public_key() const { return peer_; }
  const PeerCounters& counters() const { return counters_; }
  UtcMillis last_handshake_ms() const { return last_handshake_ms_; }

 private:
  struct Attempt {
    Initiator initiator;
    std::uint32_t local_index = 0;
    SteadyTime begun;  // of the first try
    SteadyTime retry;
    Millis pause = kRetryFirst;
  };

  void initiate(SteadyTime now, UtcMillis utc_ms);
  void send_initiation(SteadyTime begun, Millis pause, SteadyTime now, UtcMillis utc_ms);
  void on_initiation(std::span<const std::uint8_t> message, SteadyTime now, UtcMillis utc_ms);
  void on_answer(std::span<const std::uint8_t> message, SteadyTime now, UtcMillis utc_ms);
  void on_transport(std::span<std::uint8_t> message, SteadyTime now, UtcMillis utc_ms);
  void deliver(std::span<const std::uint8_t> text, SteadyTime now);
  bool may_send_with(const std::optional<Session>& session, SteadyTime now) const;
  void send_sealed(std::span<std::uint8_t> datagram, SteadyTime now);
  void send_keepalive(SteadyTime now);
  void send_staged(SteadyTime now);
  void expire(SteadyTime now);
  void send_counted(std::span<const std::uint8_t> datagram, SteadyTime now);
  bool is_allowed(const Address& address) const;

  TunnelKeyPair own_;
  Key peer_;
  PeerSink& sink_;
  std::vector<Prefix> allowed_;
  Millis persistent_keepalive_{0};

  // As WireGuard: the answering side sends with `next_` only once the initiator has used it.
  std::optional<Session> current_;
  std::optional<Session> previous_;
  std::optional<Session> next_;
  std::optional<Attempt> attempt_;
  std::deque<std::vector<std::uint8_t>> staged_;

  std::uint64_t newest_stamp_received_ = 0;
  std::uint64_t newest_stamp_sent_ = 0;
  std::optional<SteadyTime> last_initiation_checked_;
  std::optional<SteadyTime> last_initiation_sent_;
  std::optional<SteadyTime> unanswered_since_;
  std::optional<SteadyTime> keepalive_owed_since_;
  std::optional<SteadyTime> last_sent_;
  UtcMillis last_handshake_ms_ = 0;
  PeerCounters counters_;
};

// The keyed hash at the end of a handshake message: who does not know the receiver's public key
// costs it nothing but this.
std::array<std::uint8_t, kMacBytes> message_mac(const Key& receiver, Bytes message);
// Length of the IP packet that `text` begins with, and its addresses. Nothing: not IP, or
// truncated.
struct InnerPacket {
  std::size_t bytes = 0;
  Address source;
  Address destination;
};
std::optional<InnerPacket> parse_inner(Bytes text);

}  // namespace icon::tunnel
