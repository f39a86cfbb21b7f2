// What writing (archive.cc) and reading (archive_read.cc) of tar streams share.
#pragma once

#include <archive.h>
#include <archive_entry.h>
#include <sodium.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <string>

#include "base/encoding.h"
#include "base/result.h"

namespace icon::migration {

inline constexpr std::size_t kChunkBytes = 256 << 10;

class Hasher {
 public:
  Hasher() { crypto_generichash_init(&state_, nullptr, 0, 32); }
  void add(const void* data, std::size_t size) {
    crypto_generichash_update(&state_, static_cast<const unsigned char*>(data), size);
  }
  void add(const std::string& text) { add(text.c_str(), text.size() + 1); }
  void add_zeroes(std::int64_t count) {  // a hole
    static constexpr std::array<char, 64 << 10> kZeroes{};
    for (; count > 0; count -= std::min<std::int64_t>(count, kZeroes.size()))
      add(kZeroes.data(), static_cast<std::size_t>(std::min<std::int64_t>(count, kZeroes.size())));
  }
  std::string hex() {
    std::array<std::uint8_t, 32> hash{};
    crypto_generichash_final(&state_, hash.data(), hash.size());
    return hex_encode(hash);
  }

 private:
  crypto_generichash_state state_{};
};

struct ArchiveFree {
  void operator()(archive* a) const { archive_free(a); }
};
using ArchivePtr = std::unique_ptr<archive, ArchiveFree>;
struct EntryFree {
  void operator()(archive_entry* e) const { archive_entry_free(e); }
};
using EntryPtr = std::unique_ptr<archive_entry, EntryFree>;

inline tl::unexpected<Error> archive_error(archive* a, const std::string& what) {
  const char* text = archive_error_string(a);
  return fail(Code::kIo, what + ": " + (text != nullptr ? text : "unknown archive error"));
}

}  // namespace icon::migration
