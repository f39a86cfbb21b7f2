// What the engine knows of one peer: keys, sessions, waiting packets, and when to do what. Owner:
// the engine. Everything here is under the engine's lock.
#pragma once

#include <deque>
#include <random>

#include "supervisor/tunnel/wg/cookie.h"
#include "supervisor/tunnel/wg/engine_types.h"
#include "supervisor/tunnel/wg/keypair.h"

namespace icon::tunnel::wg {

// Whitepaper, section 6.1.
inline constexpr Millis kRekeyAfterTime{120'000};
inline constexpr Millis kRejectAfterTime{180'000};
inline constexpr Millis kRekeyAttemptTime{90'000};
inline constexpr Millis kRekeyTimeout{5'000};
inline constexpr Millis kRekeyJitterMax{333};
inline constexpr Millis kKeepaliveTimeout{10'000};
// Without a new session for this long, all keys are wiped.
inline constexpr Millis kForgetAfterTime = 3 * kRejectAfterTime;
// Between two initiations of one peer that we look at (50 a second).
inline constexpr Millis kInitiationPause{20};
// That wait for a session; the oldest goes first.
inline constexpr std::size_t kStagedPacketsMax = 128;

// When a peer's timers are due (section 6.5, and what the Linux implementation made of it). Pure.
class Timers {
 public:
  static constexpr SteadyTime kOff = SteadyTime::max();

  Timers();
  void data_sent(SteadyTime now);
  void data_received(SteadyTime now);
  void any_authenticated_sent();
  void any_authenticated_received() { new_handshake = kOff; }
  // `interval` zero: no persistent keepalive.
  void any_authenticated_traversal(SteadyTime now, std::chrono::seconds interval);
  void handshake_initiated(SteadyTime now);
  void handshake_complete();
  void session_derived(SteadyTime now) { forget = now + kForgetAfterTime; }
  void stop();
  SteadyTime deadline() const;

  SteadyTime retransmit = kOff;     // the initiation was not answered
  SteadyTime keepalive = kOff;      // data came, nothing was sent since
  SteadyTime new_handshake = kOff;  // data was sent, nothing came since
  SteadyTime forget = kOff;
  SteadyTime persistent = kOff;
  bool needs_another_keepalive = false;

 private:
  Millis jitter();

  // Only to tell two peers apart; drawn for many a packet, so no system call.
  std::minstd_rand random_;
};

class Peer {
 public:
  // An initiation of ours that waits for its response.
  struct Attempt {
    Initiator initiator;
    std::uint32_t local_index = 0;
  };

  Peer(PeerId id, const Key& public_key) : id(id), public_key(public_key), cookie(public_key) {}

  // The session to send with, or null.
  Keypair* usable_session(SteadyTime now) const;

  const PeerId id;
  const Key public_key;
  bool is_removed = false;
  Remote remote;
  std::optional<Endpoint> endpoint;
  std::chrono::seconds persistent_keepalive{0};
  PeerStatistics statistics;
  ReceiveLimiter limiter;  // the receiving thread; set by any
  CookieHolder cookie;

  // Greatest timestamps: of initiations received, and sent.
  Timestamp newest_received{};
  Timestamp newest_sent{};
  std::optional<SteadyTime> last_initiation_received;
  // An initiation or a response.
  std::optional<SteadyTime> last_handshake_sent;
  // When the present row of attempts began.
  SteadyTime attempts_begun;
  // Since the present session came: it is about to end, and a new one was asked for.
  bool has_sent_last_minute = false;
  std::shared_ptr<const Attempt> attempt;

  // The responder sends with `next` only once the initiator has used it.
  KeypairPtr current;
  KeypairPtr previous;
  KeypairPtr next;

  // With kTransportHeaderBytes of room before each packet.
  std::deque<std::vector<std::uint8_t>> staged;

  Timers timers;
  SteadyTime scheduled = Timers::kOff;  // its entry in the engine's schedule
};

}  // namespace icon::tunnel::wg
