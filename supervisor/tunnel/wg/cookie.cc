#include "supervisor/tunnel/wg/cookie.h"

#include <sodium.h>

#include <algorithm>

#include "base/assert.h"

namespace icon::tunnel::wg {
namespace {

// Both MACs are the last fields of both handshake messages.
std::size_t mac1_offset(Bytes message) {
  ICON_ASSERT(message.size() == InitiationLayout::kBytes ||
              message.size() == ResponseLayout::kBytes);
  return message.size() - 2 * kMacBytes;
}
std::size_t mac2_offset(Bytes message) { return mac1_offset(message) + kMacBytes; }

Mac mac1_of(const Key& key, Bytes message) {
  return blake2s_mac(key, {message.first(mac1_offset(message))});
}
Mac mac2_of(const Mac& cookie, Bytes message) {
  return blake2s_mac(cookie, {message.first(mac2_offset(message))});
}

bool is_equal(const Mac& expected, Bytes message, std::size_t offset) {
  return sodium_memcmp(expected.data(), message.data() + offset, kMacBytes) == 0;
}

}  // namespace

CookieChecker::CookieChecker(const Identity& identity)
    : mac1_key_(identity.mac1_key), cookie_key_(identity.cookie_key) {}

bool CookieChecker::is_mac1_valid(Bytes message) const {
  return is_equal(mac1_of(mac1_key_, message), message, mac1_offset(message));
}

bool CookieChecker::is_mac2_valid(Bytes message, const Endpoint& source, SteadyTime now) {
  return is_equal(mac2_of(cookie_for(source, now), message), message, mac2_offset(message));
}

Mac CookieChecker::cookie_for(const Endpoint& source, SteadyTime now) {
  if (!secret_made_ || now - *secret_made_ >= kCookieLifetime) {
    secret_ = Secret::random();
    secret_made_ = now;
  }
  const std::array<std::uint8_t, 2> port = {static_cast<std::uint8_t>(source.port >> 8),
                                            static_cast<std::uint8_t>(source.port)};
  return blake2s_mac(secret_.bytes(), {source.address.bytes(), port});
}

CookieReplyMessage CookieChecker::reply(Bytes message, const Endpoint& source, SteadyTime now) {
  using Layout = CookieReplyLayout;
  CookieReplyMessage reply{};
  put_u32(reply.data(), static_cast<std::uint32_t>(MessageType::kCookieReply));
  // The sender's index: in the same place in both handshake messages.
  static_assert(InitiationLayout::kSender == ResponseLayout::kSender);
  std::copy_n(message.begin() + InitiationLayout::kSender, 4, reply.begin() + Layout::kReceiver);
  randombytes_buf(reply.data() + Layout::kNonce, Layout::kCookie - Layout::kNonce);
  const Mac cookie = cookie_for(source, now);
  crypto_aead_xchacha20poly1305_ietf_encrypt(reply.data() + Layout::kCookie, nullptr, cookie.data(),
                                             cookie.size(), message.data() + mac1_offset(message),
                                             kMacBytes, nullptr, reply.data() + Layout::kNonce,
                                             cookie_key_.data());
  return reply;
}

CookieHolder::CookieHolder(const Key& peer)
    : mac1_key_(mac1_key_of(peer)), cookie_key_(cookie_key_of(peer)) {}

void CookieHolder::add_macs(MutableBytes message, SteadyTime now) {
  const Mac mac1 = mac1_of(mac1_key_, message);
  std::copy(mac1.begin(), mac1.end(), message.data() + mac1_offset(message));
  last_mac1_ = mac1;
  Mac mac2{};
  if (cookie_got_ && now - *cookie_got_ < kCookieLifetime - kCookieLatency)
    mac2 = mac2_of(cookie_, message);
  std::copy(mac2.begin(), mac2.end(), message.data() + mac2_offset(message));
}

bool CookieHolder::accept(const CookieReplyMessage& reply, SteadyTime now) {
  using Layout = CookieReplyLayout;
  if (!last_mac1_) return false;
  Mac cookie{};
  if (crypto_aead_xchacha20poly1305_ietf_decrypt(
          cookie.data(), nullptr, nullptr, reply.data() + Layout::kCookie,
          Layout::kBytes - Layout::kCookie, last_mac1_->data(), last_mac1_->size(),
          reply.data() + Layout::kNonce, cookie_key_.data()) != 0)
    return false;
  cookie_ = cookie;
  cookie_got_ = now;
  last_mac1_.reset();
  return true;
}

void CookieHolder::forget() {
  wipe(cookie_);
  cookie_got_.reset();
  last_mac1_.reset();
}

}  // namespace icon::tunnel::wg
