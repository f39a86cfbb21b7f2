// The handshake of a tunnel: Noise_IK_25519_ChaChaPoly_BLAKE2b (Noise Protocol Framework, revision
// 34), the pattern that WireGuard uses as well. Both static keys authenticate, fresh ephemeral keys
// give forward secrecy, and the initiator's payload is a time stamp that may never repeat.
//
// Pure: bytes in, bytes out. Secrets are wiped on destruction; nothing here logs.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace icon::tunnel {

using Key = std::array<std::uint8_t, 32>;
using Bytes = std::span<const std::uint8_t>;

inline constexpr std::size_t kTagBytes = 16;
inline constexpr std::size_t kTimestampBytes = 8;
// e, encrypted s, encrypted payload; e, encrypted nothing.
inline constexpr std::size_t kInitiationBytes = 32 + 32 + kTagBytes + kTimestampBytes + kTagBytes;
inline constexpr std::size_t kAnswerBytes = 32 + kTagBytes;
inline constexpr std::string_view kPrologue = "icon-tunnel 1";

void wipe(std::span<std::uint8_t> secret);

// An X25519 key pair; movable, wiped.
class TunnelKeyPair {
 public:
  TunnelKeyPair() = default;
  static TunnelKeyPair generate();
  static TunnelKeyPair from_private(const Key& private_key);
  TunnelKeyPair(const TunnelKeyPair&) = default;
  TunnelKeyPair& operator=(const TunnelKeyPair&) = default;
  ~TunnelKeyPair() { wipe(private_key); }

  Key private_key{};
  Key public_key{};
};

// What both sides have at the end; keys by the initiator's direction.
struct TransportKeys {
  Key initiator_to_responder{};
  Key responder_to_initiator{};
  ~TransportKeys() {
    wipe(initiator_to_responder);
    wipe(responder_to_initiator);
  }
};

// Noise's SymmetricState with BLAKE2b (64-byte hashes).
class SymmetricState {
 public:
  explicit SymmetricState(std::string_view prologue);
  ~SymmetricState();
  void mix_hash(Bytes data);
  void mix_key(Bytes input);
  // `out` has kTagBytes more than `plain`.
  void encrypt_and_hash(Bytes plain, std::span<std::uint8_t> out);
  // `out` has kTagBytes fewer than `sealed`. False: forged.
  [[nodiscard]] bool decrypt_and_hash(Bytes sealed, std::span<std::uint8_t> out);
  TransportKeys split() const;

 private:
  std::array<std::uint8_t, 64> chaining_key_{};
  std::array<std::uint8_t, 64> hash_{};
  Key key_{};
  std::uint64_t nonce_ = 0;
};

// The side that begins. One object per attempt.
class Initiator {
 public:
  // `ephemeral` and `prologue` are given by known-answer tests only.
  Initiator(const TunnelKeyPair& own, const Key& peer,
            TunnelKeyPair ephemeral = TunnelKeyPair::generate(),
            std::string_view prologue = kPrologue);
  // False when the peer's key is no usable point. `payload` of kTimestampBytes, or of any length in
  // tests: `out` has 96 bytes more.
  [[nodiscard]] bool write_initiation(Bytes payload, std::span<std::uint8_t> out);
  // Nothing: forged, or answered by somebody else.
  std::optional<TransportKeys> read_answer(Bytes message, std::span<std::uint8_t> payload = {});

 private:
  TunnelKeyPair own_;
  Key peer_;
  TunnelKeyPair ephemeral_;
  SymmetricState state_;
};

// The side that answers. One object per initiation received.
class Responder {
 public:
  explicit Responder(const TunnelKeyPair& own, TunnelKeyPair ephemeral = TunnelKeyPair::generate(),
                     std::string_view prologue = kPrologue);
  // False: not for this key, or forged. Afterwards peer() is proven.
  [[nodiscard]] bool read_initiation(Bytes message, std::span<std::uint8_t> payload);
  const Key& peer() const { return peer_; }
  std::optional<TransportKeys> write_answer(std::span<std::uint8_t> out, Bytes payload = {});

 private:
  TunnelKeyPair own_;
  TunnelKeyPair ephemeral_;
  Key peer_{};
  Key peer_ephemeral_{};
  SymmetricState state_;
};

}  // namespace icon::tunnel
