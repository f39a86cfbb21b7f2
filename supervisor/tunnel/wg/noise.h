// The handshake: Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s as WireGuard uses it (whitepaper, section
// 5.4). Fills and reads the fields of a message between its indices and its MACs.
//
// Pure: bytes in, bytes out; any thread. Secrets are wiped with their objects.
#pragma once

#include <memory>
#include <optional>

#include "base/clock.h"
#include "supervisor/tunnel/wg/blake2s.h"

namespace icon::tunnel::wg {

// TAI64N. Big-endian: compares as bytes.
using Timestamp = std::array<std::uint8_t, kTimestampBytes>;
// The first stamp at or after `utc_ms` that is later than `newest`. Stamps are coarse (2^24 ns):
// they should not tell how the sender's clock drifts.
Timestamp next_timestamp(UtcMillis utc_ms, const Timestamp& newest);

// Our own static key and what follows from it.
struct Identity {
  Secret private_key;
  Key public_key{};
  Key mac1_key{};    // of messages to us
  Key cookie_key{};  // of cookies that we send

  static Identity from_private(const Secret& private_key);
};

Key public_key_of(const Secret& private_key);
Key mac1_key_of(const Key& public_key);
Key cookie_key_of(const Key& public_key);

// What a handshake with one peer needs to know.
struct Remote {
  Key public_key{};
  Secret preshared_key;    // zero: none
  Secret static_static;    // X25519 of both static keys
  bool is_usable = false;  // false when the peer's key is a point of small order

  static Remote of(const Identity& identity, const Key& public_key, const Secret& preshared_key);
};

struct TransportKeys {
  Secret send;
  Secret receive;
};

// Noise's symmetric state with BLAKE2s.
class SymmetricState {
 public:
  // Begins with the construction, the identifier and the responder's static key.
  explicit SymmetricState(const Key& responder);
  void mix_hash(Bytes data);
  void mix_key(Bytes input);
  // False when the result is a point of small order.
  [[nodiscard]] bool mix_dh(const Secret& private_key, const Key& public_key);
  void mix_psk(const Secret& preshared_key);
  // `out` has kTagBytes more than `plain`.
  void encrypt_and_hash(Bytes plain, MutableBytes out);
  // `out` has kTagBytes fewer than `sealed`. False: forged.
  [[nodiscard]] bool decrypt_and_hash(Bytes sealed, MutableBytes out);
  // The first key is the initiator's sending key.
  void split(Secret& initiator, Secret& responder) const;

 private:
  Secret chaining_key_;
  Hash hash_{};
  Secret key_;
};

// The side that begins. One object per attempt.
class Initiator {
 public:
  // Fills type, sender, ephemeral, static and timestamp of `message`. Nothing when the remote key
  // is not usable. `ephemeral` is given by known-answer tests only.
  static std::optional<Initiator> begin(const Identity& identity, const Remote& remote,
                                        const Timestamp& timestamp, std::uint32_t local_index,
                                        InitiationMessage& message,
                                        const Secret& ephemeral = Secret::random());
  // Nothing: forged. This object is unchanged: the true response may still come.
  std::optional<TransportKeys> finish(const Identity& identity, const Secret& preshared_key,
                                      const ResponseMessage& message) const;

 private:
  explicit Initiator(const Key& responder) : state_(responder) {}
  SymmetricState state_;
  Secret ephemeral_;
};

// The side that answers. One object per initiation. Call in this order.
class Responder {
 public:
  explicit Responder(const Identity& identity, const Secret& ephemeral = Secret::random());
  // The static key that the sender claims; nothing when the message is not for us. One X25519.
  std::optional<Key> read_static(const InitiationMessage& message);
  // Nothing: forged. Afterwards the sender is proven (but may be a replay: see the timestamp).
  std::optional<Timestamp> read_timestamp(const Remote& remote);
  // Fills type, sender, receiver, ephemeral and the empty payload of `response`.
  std::optional<TransportKeys> respond(const Remote& remote, std::uint32_t local_index,
                                       ResponseMessage& response);

 private:
  const Identity& identity_;
  SymmetricState state_;
  Secret ephemeral_;
  InitiationMessage message_{};
};

}  // namespace icon::tunnel::wg
