#include "supervisor/tunnel/session.h"

#include <sodium.h>

#include <array>

#include "base/assert.h"

namespace icon::tunnel {
namespace {

std::array<std::uint8_t, 12> nonce_of(std::uint64_t counter) {
  std::array<std::uint8_t, 12> nonce{};
  put_le64(nonce.data() + 4, counter);
  return nonce;
}

}  // namespace

void put_le32(std::uint8_t* out, std::uint32_t value) {
  for (int i = 0; i < 4; ++i) out[i] = static_cast<std::uint8_t>(value >> (8 * i));
}

void put_le64(std::uint8_t* out, std::uint64_t value) {
  for (int i = 0; i < 8; ++i) out[i] = static_cast<std::uint8_t>(value >> (8 * i));
}

std::uint32_t get_le32(const std::uint8_t* in) {
  std::uint32_t value = 0;
  for (int i = 3; i >= 0; --i) value = value << 8 | in[i];
  return value;
}

std::uint64_t get_le64(const std::uint8_t* in) {
  std::uint64_t value = 0;
  for (int i = 7; i >= 0; --i) value = value << 8 | in[i];
  return value;
}

Session::Session(std::uint32_t local_index, std::uint32_t remote_index, const Key& send,
                 const Key& receive, bool initiated, SteadyTime created)
    : local_index_(local_index),
      remote_index_(remote_index),
      send_key_(send),
      receive_key_(receive),
      initiated_(initiated),
      created_(created) {}

Session::~Session() {
  wipe(send_key_);
  wipe(receive_key_);
}

void Session::seal(std::span<std::uint8_t> datagram) {
  ICON_ASSERT(datagram.size() >= kTransportOverhead);
  const std::uint64_t counter = send_counter_++;
  put_le32(datagram.data(), static_cast<std::uint32_t>(MessageType::kTransport));
  put_le32(datagram.data() + 4, remote_index_);
  put_le64(datagram.data() + 8, counter);
  const auto nonce = nonce_of(counter);
  std::uint8_t* text = datagram.data() + kTransportHeaderBytes;
  crypto_aead_chacha20poly1305_ietf_encrypt(text, nullptr, text,
                                            datagram.size() - kTransportOverhead, nullptr, 0,
                                            nullptr, nonce.data(), send_key_.data());
}

Session::Opened Session::open(std::span<std::uint8_t> datagram) {
  ICON_ASSERT(datagram.size() >= kTransportOverhead);
  const std::uint64_t counter = get_le64(datagram.data() + 8);
  const auto nonce = nonce_of(counter);
  std::uint8_t* text = datagram.data() + kTransportHeaderBytes;
  if (crypto_aead_chacha20poly1305_ietf_decrypt(text, nullptr, nullptr, text,
                                                datagram.size() - kTransportHeaderBytes, nullptr, 0,
                                                nonce.data(), receive_key_.data()) != 0)
    return Opened::kForged;
  return window_.accept(counter) ? Opened::kOk : Opened::kReplayed;
}

}  // namespace icon::tunnel
