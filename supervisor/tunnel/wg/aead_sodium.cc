#include <sodium.h>

#include "supervisor/tunnel/wg/aead.h"

namespace icon::tunnel::wg::internal {
namespace {

using Nonce = std::array<std::uint8_t, crypto_aead_chacha20poly1305_ietf_NPUBBYTES>;

Nonce nonce_of(std::uint64_t counter) {
  Nonce nonce{};
  put_u64(nonce.data() + 4, counter);
  return nonce;
}

class SodiumAead final : public Aead {
 public:
  AeadBackend backend() const override { return AeadBackend::kSodium; }
  std::string_view name() const override { return "sodium"; }

  void seal(const Secret& key, std::span<AeadJob> jobs) override {
    for (const AeadJob& job : jobs) {
      const Nonce nonce = nonce_of(job.counter);
      crypto_aead_chacha20poly1305_ietf_encrypt_detached(job.text, job.text + job.bytes, nullptr,
                                                         job.text, job.bytes, nullptr, 0, nullptr,
                                                         nonce.data(), key.data());
    }
  }

  void open(const Secret& key, std::span<AeadJob> jobs) override {
    for (AeadJob& job : jobs) {
      const Nonce nonce = nonce_of(job.counter);
      job.is_authentic = crypto_aead_chacha20poly1305_ietf_decrypt_detached(
                             job.text, nullptr, job.text, job.bytes, job.text + job.bytes, nullptr,
                             0, nonce.data(), key.data()) == 0;
    }
  }
};

}  // namespace

std::unique_ptr<Aead> create_sodium_aead() {
  if (sodium_init() < 0) return nullptr;
  return std::make_unique<SodiumAead>();
}

}  // namespace icon::tunnel::wg::internal
