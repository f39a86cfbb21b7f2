#include "supervisor/tunnel/handshake.h"

#include <sodium.h>

#include <algorithm>
#include <cstring>

#include "base/assert.h"

namespace icon::tunnel {
namespace {

constexpr std::string_view kProtocolName = "Noise_IK_25519_ChaChaPoly_BLAKE2b";
constexpr std::size_t kHashBytes = 64;
constexpr std::size_t kBlockBytes = 128;
using Hash = std::array<std::uint8_t, kHashBytes>;

void ensure_sodium() {
  static const int ready = sodium_init();
  ICON_ASSERT(ready >= 0);
}

Hash hash_of(Bytes first, Bytes second) {
  Hash hash{};
  crypto_generichash_state state;
  crypto_generichash_init(&state, nullptr, 0, hash.size());
  crypto_generichash_update(&state, first.data(), first.size());
  crypto_generichash_update(&state, second.data(), second.size());
  crypto_generichash_final(&state, hash.data(), hash.size());
  return hash;
}

// RFC 2104 with BLAKE2b; the key is a hash, shorter than a block.
Hash hmac(const Hash& key, Bytes first, Bytes second = {}) {
  std::array<std::uint8_t, kBlockBytes> inner_pad{};
  std::array<std::uint8_t, kBlockBytes> outer_pad{};
  for (std::size_t i = 0; i < kBlockBytes; ++i) {
    const std::uint8_t byte = i < key.size() ? key[i] : 0;
    inner_pad[i] = byte ^ 0x36;
    outer_pad[i] = byte ^ 0x5c;
  }
  Hash inner{};
  crypto_generichash_state state;
  crypto_generichash_init(&state, nullptr, 0, inner.size());
  crypto_generichash_update(&state, inner_pad.data(), inner_pad.size());
  crypto_generichash_update(&state, first.data(), first.size());
  crypto_generichash_update(&state, second.data(), second.size());
  crypto_generichash_final(&state, inner.data(), inner.size());
  const Hash outer = hash_of(outer_pad, inner);
  wipe(inner_pad);
  wipe(outer_pad);
  wipe(inner);
  sodium_memzero(&state, sizeof state);
  return outer;
}

struct Expanded {
  Hash first;
  Hash second;
  ~Expanded() {
    wipe(first);
    wipe(second);
  }
};

// Noise, section 4.3: HKDF with two outputs.
Expanded hkdf(const Hash& chaining_key, Bytes input) {
  Hash temporary = hmac(chaining_key, input);
  const std::uint8_t one = 1;
  const std::uint8_t two = 2;
  Expanded out;
  out.first = hmac(temporary, {&one, 1});
  out.second = hmac(temporary, out.first, {&two, 1});
  wipe(temporary);
  return out;
}

std::array<std::uint8_t, 12> nonce_bytes(std::uint64_t nonce) {
  std::array<std::uint8_t, 12> bytes{};
  for (std::size_t i = 0; i < 8; ++i) bytes[4 + i] = static_cast<std::uint8_t>(nonce >> (8 * i));
  return bytes;
}

Key truncated(const Hash& hash) {
  Key key{};
  std::copy_n(hash.begin(), key.size(), key.begin());
  return key;
}

// False for a point of small order: its secret would be known to everybody.
bool mix_dh(SymmetricState& state, const Key& private_key, const Key& public_key) {
  Key shared{};
  const bool usable = crypto_scalarmult(shared.data(), private_key.data(), public_key.data()) == 0;
  if (usable) state.mix_key(shared);
  wipe(shared);
  return usable;
}

Key key_from(Bytes bytes) {
  Key key{};
  std::copy_n(bytes.begin(), key.size(), key.begin());
  return key;
}

}  // namespace

void wipe(std::span<std::uint8_t> secret) { sodium_memzero(secret.data(), secret.size()); }

TunnelKeyPair TunnelKeyPair::generate() {
  ensure_sodium();
  Key key{};
  randombytes_buf(key.data(), key.size());
  TunnelKeyPair pair = from_private(key);
  wipe(key);
  return pair;
}

TunnelKeyPair TunnelKeyPair::from_private(const Key& private_key) {
  ensure_sodium();
  TunnelKeyPair pair;
  pair.private_key = private_key;
  crypto_scalarmult_base(pair.public_key.data(), pair.private_key.data());
  return pair;
}

SymmetricState::SymmetricState(std::string_view prologue) {
  ensure_sodium();
  std::copy(kProtocolName.begin(), kProtocolName.end(), hash_.begin());
  chaining_key_ = hash_;
  mix_hash({reinterpret_cast<const std::uint8_t*>(prologue.data()), prologue.size()});
}

SymmetricState::~SymmetricState() {
  wipe(chaining_key_);
  wipe(hash_);
  wipe(key_);
}

void SymmetricState::mix_hash(Bytes data) { hash_ = hash_of(hash_, data); }

void SymmetricState::mix_key(Bytes input) {
  const Expanded out = hkdf(chaining_key_, input);
  chaining_key_ = out.first;
  key_ = truncated(out.second);
  nonce_ = 0;
}

void SymmetricState::encrypt_and_hash(Bytes plain, std::span<std::uint8_t> out) {
  ICON_ASSERT(out.size() == plain.size() + kTagBytes);
  const auto nonce = nonce_bytes(nonce_++);
  crypto_aead_chacha20poly1305_ietf_encrypt(out.data(), nullptr, plain.data(), plain.size(),
                                            hash_.data(), hash_.size(), nullptr, nonce.data(),
                                            key_.data());
  mix_hash(out);
}

bool SymmetricState::decrypt_and_hash(Bytes sealed, std::span<std::uint8_t> out) {
  if (sealed.size() != out.size() + kTagBytes) return false;
  const auto nonce = nonce_bytes(nonce_++);
  if (crypto_aead_chacha20poly1305_ietf_decrypt(out.data(), nullptr, nullptr, sealed.data(),
                                                sealed.size(), hash_.data(), hash_.size(),
                                                nonce.data(), key_.data()) != 0)
    return false;
  mix_hash(sealed);
  return true;
}

TransportKeys SymmetricState::split() const {
  const Expanded out = hkdf(chaining_key_, {});
  TransportKeys keys;
  keys.initiator_to_responder = truncated(out.first);
  keys.responder_to_initiator = truncated(out.second);
  return keys;
}

Initiator::Initiator(const TunnelKeyPair& own, const Key& peer, TunnelKeyPair ephemeral,
                     std::string_view prologue)
    : own_(own), peer_(peer), ephemeral_(ephemeral), state_(prologue) {
  state_.mix_hash(peer_);
}

bool Initiator::write_initiation(Bytes payload, std::span<std::uint8_t> out) {
  ICON_ASSERT(out.size() == payload.size() + 32 + 32 + 2 * kTagBytes);
  std::copy(ephemeral_.public_key.begin(), ephemeral_.public_key.end(), out.begin());
  state_.mix_hash(ephemeral_.public_key);
  if (!mix_dh(state_, ephemeral_.private_key, peer_)) return false;
  state_.encrypt_and_hash(own_.public_key, out.subspan(32, 32 + kTagBytes));
  if (!mix_dh(state_, own_.private_key, peer_)) return false;
  state_.encrypt_and_hash(payload, out.subspan(64 + kTagBytes));
  return true;
}

std::optional<TransportKeys> Initiator::read_answer(Bytes message,
                                                    std::span<std::uint8_t> payload) {
  if (message.size() != kAnswerBytes + payload.size()) return std::nullopt;
  // On a copy: a forged answer must not spoil the attempt for the true one.
  SymmetricState state = state_;
  const Key peer_ephemeral = key_from(message.first(32));
  state.mix_hash(peer_ephemeral);
  if (!mix_dh(state, ephemeral_.private_key, peer_ephemeral)) return std::nullopt;
  if (!mix_dh(state, own_.private_key, peer_ephemeral)) return std::nullopt;
  if (!state.decrypt_and_hash(message.subspan(32), payload)) return std::nullopt;
  return state.split();
}

Responder::Responder(const TunnelKeyPair& own, TunnelKeyPair ephemeral, std::string_view prologue)
    : own_(own), ephemeral_(ephemeral), state_(prologue) {
  state_.mix_hash(own_.public_key);
}

bool Responder::read_initiation(Bytes message, std::span<std::uint8_t> payload) {
  if (message.size() != payload.size() + 64 + 2 * kTagBytes) return false;
  peer_ephemeral_ = key_from(message.first(32));
  state_.mix_hash(peer_ephemeral_);
  if (!mix_dh(state_, own_.private_key, peer_ephemeral_)) return false;
  Key peer{};
  if (!state_.decrypt_and_hash(message.subspan(32, 32 + kTagBytes), peer)) return false;
  if (!mix_dh(state_, own_.private_key, peer)) return false;
  if (!state_.decrypt_and_hash(message.subspan(64 + kTagBytes), payload)) return false;
  peer_ = peer;
  return true;
}

std::optional<TransportKeys> Responder::write_answer(std::span<std::uint8_t> out, Bytes payload) {
  ICON_ASSERT(out.size() == kAnswerBytes + payload.size());
  std::copy(ephemeral_.public_key.begin(), ephemeral_.public_key.end(), out.begin());
  state_.mix_hash(ephemeral_.public_key);
  if (!mix_dh(state_, ephemeral_.private_key, peer_ephemeral_)) return std::nullopt;
  if (!mix_dh(state_, ephemeral_.private_key, peer_)) return std::nullopt;
  state_.encrypt_and_hash(payload, out.subspan(32));
  return state_.split();
}

}  // namespace icon::tunnel
