#include "supervisor/tunnel/offload.h"

#include <arpa/inet.h>

#include <cstring>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace icon::tunnel {
namespace {

template <bool copy>
std::uint64_t sum_tail(const std::uint8_t* in, std::size_t bytes, std::uint8_t* out,
                       std::uint64_t sum) {
  // Halves in 64 bits cannot overflow below 2^32 words.
  for (; bytes >= 8; in += 8, bytes -= 8) {
    std::uint64_t word = 0;
    std::memcpy(&word, in, 8);
    sum += (word & 0xffff'ffff) + (word >> 32);
    if constexpr (copy) {
      std::memcpy(out, &word, 8);
      out += 8;
    }
  }
  if (bytes > 0) {
    std::uint64_t word = 0;
    std::memcpy(&word, in, bytes);
    sum += (word & 0xffff'ffff) + (word >> 32);
    if constexpr (copy) std::memcpy(out, in, bytes);
  }
  return sum;
}

#if defined(__x86_64__)
template <bool copy>
__attribute__((target("avx2"))) std::uint64_t sum_avx2(const std::uint8_t* in, std::size_t bytes,
                                                       std::uint8_t* out, std::uint64_t sum) {
  const __m256i low = _mm256_set1_epi64x(0xffff'ffff);
  __m256i even = _mm256_setzero_si256();
  __m256i odd = _mm256_setzero_si256();
  for (; bytes >= 64; in += 64, bytes -= 64) {
    const __m256i a = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(in));
    const __m256i b = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(in + 32));
    if constexpr (copy) {
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(out), a);
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + 32), b);
      out += 64;
    }
    even = _mm256_add_epi64(even, _mm256_and_si256(a, low));
    odd = _mm256_add_epi64(odd, _mm256_srli_epi64(a, 32));
    even = _mm256_add_epi64(even, _mm256_and_si256(b, low));
    odd = _mm256_add_epi64(odd, _mm256_srli_epi64(b, 32));
  }
  alignas(32) std::uint64_t lanes[4];
  _mm256_store_si256(reinterpret_cast<__m256i*>(lanes), _mm256_add_epi64(even, odd));
  sum += lanes[0] + lanes[1] + lanes[2] + lanes[3];
  return sum_tail<copy>(in, bytes, out, sum);
}

const bool has_avx2 = __builtin_cpu_supports("avx2") != 0;
#endif

template <bool copy>
std::uint64_t sum(const std::uint8_t* in, std::size_t bytes, std::uint8_t* out, std::uint64_t sum) {
#if defined(__x86_64__)
  if (has_avx2 && bytes >= 64) return sum_avx2<copy>(in, bytes, out, sum);
#endif
  return sum_tail<copy>(in, bytes, out, sum);
}

}  // namespace

std::uint64_t sum_bytes(std::span<const std::uint8_t> bytes, std::uint64_t before) {
  return sum<false>(bytes.data(), bytes.size(), nullptr, before);
}

std::uint64_t copy_and_sum(std::span<const std::uint8_t> bytes, std::uint8_t* out,
                           std::uint64_t before) {
  return sum<true>(bytes.data(), bytes.size(), out, before);
}

std::uint16_t fold_sum(std::uint64_t sum) {
  sum = (sum & 0xffff'ffff) + (sum >> 32);
  sum = (sum & 0xffff'ffff) + (sum >> 32);
  sum = (sum & 0xffff) + (sum >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<std::uint16_t>((sum & 0xffff) + (sum >> 16));
}

std::uint16_t checksum_of(std::uint64_t sum) { return static_cast<std::uint16_t>(~fold_sum(sum)); }

std::uint64_t pseudo_sum(const std::uint8_t* ip, std::uint8_t protocol, std::size_t bytes) {
  const std::uint64_t rest =
      std::uint64_t{htons(protocol)} + htonl(static_cast<std::uint32_t>(bytes));
  if (ip[0] >> 4 == 4) return sum_tail<false>(ip + 12, 8, nullptr, rest);
  return sum_tail<false>(ip + 8, 32, nullptr, rest);
}

}  // namespace icon::tunnel
