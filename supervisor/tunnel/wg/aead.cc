#include "supervisor/tunnel/wg/aead.h"

#include <algorithm>
#include <numeric>
#include <vector>

namespace icon::tunnel::wg {
namespace {

std::unique_ptr<Aead> create_unchecked(AeadBackend backend) {
  switch (backend) {
    case AeadBackend::kIpsecMb:
    case AeadBackend::kIpsecMbAvx2:
      return internal::create_ipsec_mb_aead(backend);
    case AeadBackend::kOpenssl:
      return internal::create_openssl_aead();
    case AeadBackend::kSodium:
    case AeadBackend::kAutomatic:
      break;
  }
  return internal::create_sodium_aead();
}

// Lengths around the places where vector code changes its way.
constexpr std::size_t kCheckedBytes[] = {0, 1, 15, 16, 63, 64, 255, 256, 1420, 1424};

// `backend` and libsodium read each other, and a changed bit is seen. A library that is wrong on
// this very CPU must not carry a packet.
bool works(Aead& backend) {
  const std::unique_ptr<Aead> reference = internal::create_sodium_aead();
  Secret key;
  std::iota(key.bytes().begin(), key.bytes().end(), std::uint8_t{1});
  for (const std::size_t bytes : kCheckedBytes) {
    std::vector<std::uint8_t> plain(bytes + kTagBytes);
    std::iota(plain.begin(), plain.end(), static_cast<std::uint8_t>(bytes));
    auto expected = plain;
    auto actual = plain;
    AeadJob expected_job{expected.data(), bytes, 0x0123'4567'89ab'cdefULL + bytes};
    AeadJob actual_job = expected_job;
    actual_job.text = actual.data();
    reference->seal(key, {&expected_job, 1});
    backend.seal(key, {&actual_job, 1});
    if (actual != expected) return false;
    backend.open(key, {&actual_job, 1});
    if (!actual_job.is_authentic ||
        !std::equal(actual.begin(), actual.end() - kTagBytes, plain.begin()))
      return false;
    expected.back() ^= 0x80;
    backend.open(key, {&expected_job, 1});
    if (expected_job.is_authentic) return false;
  }
  return true;
}

}  // namespace

std::string_view to_string(AeadBackend backend) {
  switch (backend) {
    case AeadBackend::kAutomatic:
      return "auto";
    case AeadBackend::kIpsecMb:
      return "ipsec-mb";
    case AeadBackend::kIpsecMbAvx2:
      return "ipsec-mb-avx2";
    case AeadBackend::kOpenssl:
      return "openssl";
    case AeadBackend::kSodium:
      break;
  }
  return "sodium";
}

Result<AeadBackend> parse_aead_backend(std::string_view name) {
  if (name == to_string(AeadBackend::kAutomatic)) return AeadBackend::kAutomatic;
  for (const AeadBackend backend : kAeadBackends)
    if (name == to_string(backend)) return backend;
  return fail(Code::kInvalid,
              "no AEAD backend of this name; use auto, ipsec-mb, ipsec-mb-avx2, "
              "openssl or sodium");
}

Result<std::unique_ptr<Aead>> Aead::create(AeadBackend backend) {
  if (backend == AeadBackend::kAutomatic) {
    for (const AeadBackend candidate : kAeadBackends)
      if (auto aead = create(candidate)) return aead;
    return internal::create_sodium_aead();
  }
  auto aead = create_unchecked(backend);
  if (aead == nullptr)
    return fail(Code::kUnavailable, "AEAD backend " + std::string(to_string(backend)) +
                                        ": not in this build, or this CPU lacks AVX2 or AVX-512");
  if (!works(*aead))
    return fail(Code::kUnavailable, "AEAD backend " + std::string(to_string(backend)) +
                                        ": wrong results on this CPU; not used");
  return aead;
}

}  // namespace icon::tunnel::wg
