// What writing (archive.cc) and reading (archive_read.cc) of tar streams share.
#pragma once

#include <archive.h>
#include <archive_entry.h>

#include <cstdint>
#include <memory>
#include <string>

#include "base/result.h"
#include "migration/digest.h"

namespace icon::migration {

inline constexpr std::size_t kChunkBytes = 256 << 10;

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
