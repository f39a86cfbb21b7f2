#include <openssl/evp.h>

#include "base/assert.h"
#include "supervisor/tunnel/wg/aead.h"

namespace icon::tunnel::wg::internal {
namespace {

constexpr std::size_t kNonceBytes = 12;
// What a context holds between two batches: a session's key must not outlive the session there.
constexpr std::uint8_t kNoKey[32] = {};

struct ContextDeleter {
  // Wipes the key schedule as well.
  void operator()(EVP_CIPHER_CTX* context) const { EVP_CIPHER_CTX_free(context); }
};
using Context = std::unique_ptr<EVP_CIPHER_CTX, ContextDeleter>;

class OpensslAead final : public Aead {
 public:
  OpensslAead(Context sealing, Context opening)
      : sealing_(std::move(sealing)), opening_(std::move(opening)) {}

  AeadBackend backend() const override { return AeadBackend::kOpenssl; }
  std::string_view name() const override { return "openssl"; }

  void seal(const Secret& key, std::span<AeadJob> jobs) override {
    EVP_CIPHER_CTX* context = sealing_.get();
    std::uint8_t nonce[kNonceBytes] = {};
    int written = 0;
    // With a valid context and these lengths OpenSSL has no way to fail but a bug.
    bool is_fine = EVP_EncryptInit_ex(context, nullptr, nullptr, key.data(), nullptr) == 1;
    for (const AeadJob& job : jobs) {
      put_u64(nonce + 4, job.counter);
      is_fine = is_fine && EVP_EncryptInit_ex(context, nullptr, nullptr, nullptr, nonce) == 1;
      if (job.bytes > 0)
        is_fine = is_fine && EVP_EncryptUpdate(context, job.text, &written, job.text,
                                               static_cast<int>(job.bytes)) == 1;
      std::uint8_t* tag = job.text + job.bytes;
      is_fine = is_fine && EVP_EncryptFinal_ex(context, tag, &written) == 1 &&
                EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, kTagBytes, tag) == 1;
    }
    ICON_ASSERT(is_fine && EVP_EncryptInit_ex(context, nullptr, nullptr, kNoKey, nullptr) == 1);
  }

  void open(const Secret& key, std::span<AeadJob> jobs) override {
    EVP_CIPHER_CTX* context = opening_.get();
    std::uint8_t nonce[kNonceBytes] = {};
    int written = 0;
    ICON_ASSERT(EVP_DecryptInit_ex(context, nullptr, nullptr, key.data(), nullptr) == 1);
    for (AeadJob& job : jobs) {
      put_u64(nonce + 4, job.counter);
      std::uint8_t* tag = job.text + job.bytes;
      job.is_authentic = EVP_DecryptInit_ex(context, nullptr, nullptr, nullptr, nonce) == 1 &&
                         EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, kTagBytes, tag) == 1 &&
                         (job.bytes == 0 || EVP_DecryptUpdate(context, job.text, &written, job.text,
                                                              static_cast<int>(job.bytes)) == 1) &&
                         EVP_DecryptFinal_ex(context, tag, &written) == 1;
    }
    ICON_ASSERT(EVP_DecryptInit_ex(context, nullptr, nullptr, kNoKey, nullptr) == 1);
  }

 private:
  Context sealing_;
  Context opening_;
};

}  // namespace

std::unique_ptr<Aead> create_openssl_aead() {
  Context sealing(EVP_CIPHER_CTX_new());
  Context opening(EVP_CIPHER_CTX_new());
  const EVP_CIPHER* cipher = EVP_chacha20_poly1305();
  if (sealing == nullptr || opening == nullptr || cipher == nullptr ||
      EVP_EncryptInit_ex(sealing.get(), cipher, nullptr, nullptr, nullptr) != 1 ||
      EVP_DecryptInit_ex(opening.get(), cipher, nullptr, nullptr, nullptr) != 1)
    return nullptr;
  return std::make_unique<OpensslAead>(std::move(sealing), std::move(opening));
}

}  // namespace icon::tunnel::wg::internal
