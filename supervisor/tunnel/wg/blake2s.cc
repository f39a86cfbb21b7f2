#include "supervisor/tunnel/wg/blake2s.h"

#include <blake2.h>

#include "base/assert.h"

namespace icon::tunnel::wg {
namespace {

constexpr std::size_t kBlockBytes = 64;
constexpr std::size_t kOutputsMax = 3;

// One computation; wiped, because its state may follow from a secret.
class Blake2s {
 public:
  explicit Blake2s(std::size_t digest_bytes) {
    ICON_ASSERT(blake2s_init(&state_, digest_bytes) == 0);
  }
  Blake2s(std::size_t digest_bytes, Bytes key) {
    ICON_ASSERT(blake2s_init_key(&state_, digest_bytes, key.data(), key.size()) == 0);
  }
  Blake2s(const Blake2s&) = delete;
  Blake2s& operator=(const Blake2s&) = delete;
  ~Blake2s() { wipe({reinterpret_cast<std::uint8_t*>(&state_), sizeof state_}); }

  void update(Bytes part) {
    if (!part.empty()) blake2s_update(&state_, part.data(), part.size());
  }
  void finish(MutableBytes digest) { blake2s_final(&state_, digest.data(), digest.size()); }

 private:
  blake2s_state state_;
};

}  // namespace

Hash blake2s(std::initializer_list<Bytes> parts) {
  Hash digest{};
  Blake2s hash(digest.size());
  for (const Bytes part : parts) hash.update(part);
  hash.finish(digest);
  return digest;
}

Mac blake2s_mac(Bytes key, std::initializer_list<Bytes> parts) {
  Mac mac{};
  Blake2s hash(mac.size(), key);
  for (const Bytes part : parts) hash.update(part);
  hash.finish(mac);
  return mac;
}

void hmac_blake2s(Bytes key, std::initializer_list<Bytes> parts, Secret& out) {
  std::array<std::uint8_t, kBlockBytes> inner_pad{};
  if (key.size() > kBlockBytes) {
    const Hash hashed = blake2s({key});
    std::copy(hashed.begin(), hashed.end(), inner_pad.begin());
  } else {
    std::copy(key.begin(), key.end(), inner_pad.begin());
  }
  std::array<std::uint8_t, kBlockBytes> outer_pad = inner_pad;
  for (auto& byte : inner_pad) byte ^= 0x36;
  for (auto& byte : outer_pad) byte ^= 0x5c;
  Secret inner_digest;
  {
    Blake2s inner(inner_digest.bytes().size());
    inner.update(inner_pad);
    for (const Bytes part : parts) inner.update(part);
    inner.finish(inner_digest.bytes());
  }
  Blake2s outer(out.bytes().size());
  outer.update(outer_pad);
  outer.update(inner_digest.bytes());
  outer.finish(out.bytes());
  wipe(inner_pad);
  wipe(outer_pad);
}

void kdf(const Secret& key, Bytes input, std::initializer_list<Secret*> outputs) {
  ICON_ASSERT(outputs.size() <= kOutputsMax);
  Secret extracted;
  hmac_blake2s(key.bytes(), {input}, extracted);
  Secret block;
  std::uint8_t number = 0;
  for (Secret* output : outputs) {
    ++number;
    const Bytes before = number == 1 ? Bytes() : Bytes(block.bytes());
    Secret next;
    hmac_blake2s(extracted.bytes(), {before, {&number, 1}}, next);
    block = next;
    if (output != nullptr) *output = block;
  }
}

}  // namespace icon::tunnel::wg
