// What a move sends in one piece, from the first look at the memory to the signed manifest: frames
// of a fixed header and a body. One request carries all of it, so that the last bytes, for which
// the service stands still, find a connection that is up to speed and no round trip in between.
//
//   kPages .. kMark   rounds of memory while the service runs; the destination tells what it has
//   kPages .. kEnd    the rest of the memory, the service frozen
//   kArchive ..       the checkpoint and changed files, a tar stream in pieces
//   kManifest         what all of that must be, signed
//
// Without kPages there is no kEnd: the memory is in the checkpoint. A page that comes twice
// replaces the earlier one. Who carries the stream encrypts and authenticates it (TLS between the
// hosts); length and BLAKE2b of the page frames are in the manifest.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "base/result.h"
#include "migration/memory/memory_tracker.h"

namespace icon::migration {

inline constexpr std::uint32_t kFramePagesMax = 256;
inline constexpr std::size_t kFrameHeaderBytes = 20;
inline constexpr std::uint32_t kArchiveFrameBytesMax = 1 << 20;
inline constexpr std::uint32_t kManifestBytesMax = 4 << 20;
inline constexpr std::uint32_t kMarksMax = 1 << 16;

struct FrameHeader {
  enum class Kind : std::uint32_t {
    kPages = 1,
    kEnd = 2,
    kMark = 3,
    kArchive = 4,
    kManifest = 5,
  };
  Kind kind = Kind::kPages;
  std::uint32_t pid = 0;      // kPages: inside its PID namespace, the name in CRIU's images
  std::uint64_t address = 0;  // kPages: of the first page
  // kPages: 1 to kFramePagesMax pages follow. kMark: its number, from 1 on. kArchive, kManifest:
  // that many bytes follow.
  std::uint32_t count = 0;

  std::size_t body_bytes() const;
  // Little-endian, in the order of the fields.
  std::array<std::uint8_t, kFrameHeaderBytes> encode() const;
  // Errors: kInvalid.
  static Result<FrameHeader> decode(const std::array<std::uint8_t, kFrameHeaderBytes>& bytes);
};

// The frames of a stream that comes in pieces. Pure.
class FrameReader {
 public:
  struct Piece {
    FrameHeader frame;
    bool begins = false;          // the frame's first piece
    bool ends = false;            // its last
    std::span<const char> bytes;  // of its body; points into the input
  };
  // Takes the next piece off the front of `input`; nothing when a header is incomplete. Errors:
  // kInvalid: no such frame, or out of order.
  Result<std::optional<Piece>> next(std::span<const char>& input);
  // Whether the stream may end here: after a manifest.
  bool is_complete() const { return is_complete_; }

 private:
  Status check_order(const FrameHeader& frame);

  std::array<std::uint8_t, kFrameHeaderBytes> header_{};
  std::size_t header_bytes_ = 0;
  std::optional<FrameHeader> frame_;
  std::size_t body_left_ = 0;
  std::optional<FrameHeader::Kind> last_;
  std::uint32_t last_mark_ = 0;
  bool is_complete_ = false;
};

}  // namespace icon::migration
