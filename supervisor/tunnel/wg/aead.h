// ChaCha20-Poly1305 (RFC 8439) for the tunnel's packets, by the fastest library this CPU has.
// Several libraries stand behind one interface; each has passed known answers before it is used.
#pragma once

#include <memory>
#include <string_view>

#include "base/result.h"
#include "supervisor/tunnel/wg/secret.h"

namespace icon::tunnel::wg {

enum class AeadBackend {
  kAutomatic,    // the first of those below that works here
  kIpsecMb,      // libipsec-mb: AVX-512 or AVX2
  kIpsecMbAvx2,  // the same without AVX-512
  kOpenssl,      // EVP
  kSodium,
};
inline constexpr AeadBackend kAeadBackends[] = {AeadBackend::kIpsecMb, AeadBackend::kIpsecMbAvx2,
                                                AeadBackend::kOpenssl, AeadBackend::kSodium};

// "auto", "ipsec-mb", "ipsec-mb-avx2", "openssl", "sodium".
std::string_view to_string(AeadBackend backend);
// Errors: kInvalid.
Result<AeadBackend> parse_aead_backend(std::string_view name);

// One text, sealed or opened where it lies; the tag (kTagBytes) is behind it. No associated data.
struct AeadJob {
  std::uint8_t* text = nullptr;
  std::size_t bytes = 0;  // without the tag
  // The nonce: 4 zero bytes, then this, little-endian.
  std::uint64_t counter = 0;
  // Set by open(): false means forged, and the text is then of no use.
  bool is_authentic = false;
};

// Owner: one thread at a time; each thread has its own. No allocation in seal() and open().
class Aead {
 public:
  // Errors: kUnavailable when the backend does not work here; kAutomatic never fails.
  static Result<std::unique_ptr<Aead>> create(AeadBackend backend);

  virtual ~Aead() = default;
  // What was chosen: never kAutomatic.
  virtual AeadBackend backend() const = 0;
  // The backend's name and, where it matters, the instruction set: "ipsec-mb avx512".
  virtual std::string_view name() const = 0;
  virtual void seal(const Secret& key, std::span<AeadJob> jobs) = 0;
  virtual void open(const Secret& key, std::span<AeadJob> jobs) = 0;
};

// The adapters, one library each. Null where the library or the CPU does not serve it.
namespace internal {
std::unique_ptr<Aead> create_ipsec_mb_aead(AeadBackend backend);
std::unique_ptr<Aead> create_openssl_aead();
std::unique_ptr<Aead> create_sodium_aead();
}  // namespace internal

}  // namespace icon::tunnel::wg
