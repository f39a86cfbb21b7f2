#include "supervisor/tunnel/wg/noise.h"

#include <sodium.h>

#include <algorithm>
#include <string_view>

#include "base/assert.h"

namespace icon::tunnel::wg {
namespace {

constexpr std::string_view kConstruction = "Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s";
constexpr std::string_view kIdentifier = "WireGuard v1 zx2c4 Jason@zx2c4.com";
constexpr std::string_view kLabelMac1 = "mac1----";
constexpr std::string_view kLabelCookie = "cookie--";
// TAI64's label of 1970-01-01, with the 10 seconds that TAI was ahead.
constexpr std::uint64_t kTaiEpoch = 0x4000'0000'0000'000aULL;
constexpr std::uint32_t kStampGrainNs = std::uint32_t{1} << 24;
constexpr std::uint32_t kNsPerSecond = 1'000'000'000;
// Each key of a handshake seals once.
constexpr std::array<std::uint8_t, 12> kNonceZero{};

Bytes bytes_of(std::string_view text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

// False when the result is zero: a point of small order.
bool x25519(const Secret& private_key, const Key& public_key, Secret& out) {
  return crypto_scalarmult(out.data(), private_key.data(), public_key.data()) == 0;
}

// The state after the construction and the identifier: the same for everybody.
struct Beginning {
  Hash chaining_key = blake2s({bytes_of(kConstruction)});
  Hash hash = blake2s({chaining_key, bytes_of(kIdentifier)});
};

template <std::size_t kSize, class Message>
std::array<std::uint8_t, kSize> field(const Message& message, std::size_t offset) {
  std::array<std::uint8_t, kSize> out{};
  std::copy_n(message.begin() + static_cast<std::ptrdiff_t>(offset), kSize, out.begin());
  return out;
}

template <class Message>
void set_field(Message& message, std::size_t offset, Bytes value) {
  std::copy(value.begin(), value.end(), message.begin() + static_cast<std::ptrdiff_t>(offset));
}

void put_big_endian(std::uint8_t* out, std::uint64_t value, int bytes) {
  for (int i = bytes; i-- > 0; value >>= 8) out[i] = static_cast<std::uint8_t>(value);
}

std::uint64_t get_big_endian(const std::uint8_t* in, int bytes) {
  std::uint64_t value = 0;
  for (int i = 0; i < bytes; ++i) value = value << 8 | in[i];
  return value;
}

}  // namespace

Timestamp next_timestamp(UtcMillis utc_ms, const Timestamp& newest) {
  const auto ms = static_cast<std::uint64_t>(std::max<UtcMillis>(utc_ms, 0));
  std::uint64_t seconds = kTaiEpoch + ms / 1000;
  auto nanoseconds = static_cast<std::uint32_t>(ms % 1000 * 1'000'000);
  nanoseconds -= nanoseconds % kStampGrainNs;
  Timestamp stamp{};
  put_big_endian(stamp.data(), seconds, 8);
  put_big_endian(stamp.data() + 8, nanoseconds, 4);
  if (stamp > newest) return stamp;
  // The clock stands, or went back: the peer accepts nothing that is not newer.
  seconds = get_big_endian(newest.data(), 8);
  nanoseconds = static_cast<std::uint32_t>(get_big_endian(newest.data() + 8, 4)) + kStampGrainNs;
  if (nanoseconds >= kNsPerSecond) {
    nanoseconds = 0;
    ++seconds;
  }
  put_big_endian(stamp.data(), seconds, 8);
  put_big_endian(stamp.data() + 8, nanoseconds, 4);
  return stamp;
}

Key public_key_of(const Secret& private_key) {
  Key public_key{};
  crypto_scalarmult_base(public_key.data(), private_key.data());
  return public_key;
}

Key mac1_key_of(const Key& public_key) { return blake2s({bytes_of(kLabelMac1), public_key}); }

Key cookie_key_of(const Key& public_key) { return blake2s({bytes_of(kLabelCookie), public_key}); }

Identity Identity::from_private(const Secret& private_key) {
  Identity identity;
  identity.private_key = private_key;
  identity.public_key = public_key_of(private_key);
  identity.mac1_key = mac1_key_of(identity.public_key);
  identity.cookie_key = cookie_key_of(identity.public_key);
  return identity;
}

Remote Remote::of(const Identity& identity, const Key& public_key, const Secret& preshared_key) {
  Remote remote;
  remote.public_key = public_key;
  remote.preshared_key = preshared_key;
  remote.is_usable = x25519(identity.private_key, public_key, remote.static_static);
  return remote;
}

SymmetricState::SymmetricState(const Key& responder) {
  static const Beginning beginning;
  chaining_key_ = Secret(beginning.chaining_key);
  hash_ = beginning.hash;
  mix_hash(responder);
}

void SymmetricState::mix_hash(Bytes data) { hash_ = blake2s({hash_, data}); }

void SymmetricState::mix_key(Bytes input) { kdf(chaining_key_, input, {&chaining_key_, &key_}); }

bool SymmetricState::mix_dh(const Secret& private_key, const Key& public_key) {
  Secret shared;
  if (!x25519(private_key, public_key, shared)) return false;
  mix_key(shared.bytes());
  return true;
}

void SymmetricState::mix_psk(const Secret& preshared_key) {
  Secret mixed;
  kdf(chaining_key_, preshared_key.bytes(), {&chaining_key_, &mixed, &key_});
  mix_hash(mixed.bytes());
}

void SymmetricState::encrypt_and_hash(Bytes plain, MutableBytes out) {
  ICON_ASSERT(out.size() == plain.size() + kTagBytes);
  crypto_aead_chacha20poly1305_ietf_encrypt(out.data(), nullptr, plain.data(), plain.size(),
                                            hash_.data(), hash_.size(), nullptr, kNonceZero.data(),
                                            key_.data());
  mix_hash(out);
}

bool SymmetricState::decrypt_and_hash(Bytes sealed, MutableBytes out) {
  ICON_ASSERT(sealed.size() == out.size() + kTagBytes);
  if (crypto_aead_chacha20poly1305_ietf_decrypt(out.data(), nullptr, nullptr, sealed.data(),
                                                sealed.size(), hash_.data(), hash_.size(),
                                                kNonceZero.data(), key_.data()) != 0)
    return false;
  mix_hash(sealed);
  return true;
}

void SymmetricState::split(Secret& initiator, Secret& responder) const {
  kdf(chaining_key_, {}, {&initiator, &responder});
}

std::optional<Initiator> Initiator::begin(const Identity& identity, const Remote& remote,
                                          const Timestamp& timestamp, std::uint32_t local_index,
                                          InitiationMessage& message, const Secret& ephemeral) {
  using Layout = InitiationLayout;
  if (!remote.is_usable) return std::nullopt;
  Initiator initiator(remote.public_key);
  SymmetricState& state = initiator.state_;
  initiator.ephemeral_ = ephemeral;
  const MutableBytes out(message);
  put_u32(out.data(), static_cast<std::uint32_t>(MessageType::kInitiation));
  put_u32(out.data() + Layout::kSender, local_index);
  const Key ephemeral_public = public_key_of(ephemeral);
  set_field(message, Layout::kEphemeral, ephemeral_public);
  state.mix_key(ephemeral_public);
  state.mix_hash(ephemeral_public);
  if (!state.mix_dh(ephemeral, remote.public_key)) return std::nullopt;
  state.encrypt_and_hash(identity.public_key, out.subspan(Layout::kStatic, 32 + kTagBytes));
  state.mix_key(remote.static_static.bytes());
  state.encrypt_and_hash(timestamp, out.subspan(Layout::kTimestamp, kTimestampBytes + kTagBytes));
  return initiator;
}

std::optional<TransportKeys> Initiator::finish(const Identity& identity,
                                               const Secret& preshared_key,
                                               const ResponseMessage& message) const {
  using Layout = ResponseLayout;
  SymmetricState state = state_;
  const Key ephemeral_public = field<32>(message, Layout::kEphemeral);
  state.mix_key(ephemeral_public);
  state.mix_hash(ephemeral_public);
  if (!state.mix_dh(ephemeral_, ephemeral_public) ||
      !state.mix_dh(identity.private_key, ephemeral_public))
    return std::nullopt;
  state.mix_psk(preshared_key);
  if (!state.decrypt_and_hash(Bytes(message).subspan(Layout::kNothing, kTagBytes), {}))
    return std::nullopt;
  TransportKeys keys;
  state.split(keys.send, keys.receive);
  return keys;
}

Responder::Responder(const Identity& identity, const Secret& ephemeral)
    : identity_(identity), state_(identity.public_key), ephemeral_(ephemeral) {}

std::optional<Key> Responder::read_static(const InitiationMessage& message) {
  using Layout = InitiationLayout;
  message_ = message;
  const Key ephemeral_public = field<32>(message, Layout::kEphemeral);
  state_.mix_key(ephemeral_public);
  state_.mix_hash(ephemeral_public);
  Key peer{};
  if (!state_.mix_dh(identity_.private_key, ephemeral_public) ||
      !state_.decrypt_and_hash(Bytes(message).subspan(Layout::kStatic, 32 + kTagBytes), peer))
    return std::nullopt;
  return peer;
}

std::optional<Timestamp> Responder::read_timestamp(const Remote& remote) {
  using Layout = InitiationLayout;
  if (!remote.is_usable) return std::nullopt;
  state_.mix_key(remote.static_static.bytes());
  Timestamp timestamp{};
  const Bytes sealed = Bytes(message_).subspan(Layout::kTimestamp, kTimestampBytes + kTagBytes);
  if (!state_.decrypt_and_hash(sealed, timestamp)) return std::nullopt;
  return timestamp;
}

std::optional<TransportKeys> Responder::respond(const Remote& remote, std::uint32_t local_index,
                                                ResponseMessage& response) {
  using Layout = ResponseLayout;
  const MutableBytes out(response);
  put_u32(out.data(), static_cast<std::uint32_t>(MessageType::kResponse));
  put_u32(out.data() + Layout::kSender, local_index);
  put_u32(out.data() + Layout::kReceiver, get_u32(message_.data() + InitiationLayout::kSender));
  const Key ephemeral_public = public_key_of(ephemeral_);
  set_field(response, Layout::kEphemeral, ephemeral_public);
  state_.mix_key(ephemeral_public);
  state_.mix_hash(ephemeral_public);
  if (!state_.mix_dh(ephemeral_, field<32>(message_, InitiationLayout::kEphemeral)) ||
      !state_.mix_dh(ephemeral_, remote.public_key))
    return std::nullopt;
  state_.mix_psk(remote.preshared_key);
  state_.encrypt_and_hash({}, out.subspan(Layout::kNothing, kTagBytes));
  TransportKeys keys;
  state_.split(keys.receive, keys.send);
  return keys;
}

}  // namespace icon::tunnel::wg
