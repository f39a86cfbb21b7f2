#include "migration/move_stream.h"

#include <algorithm>
#include <string>

namespace icon::migration {
namespace {

constexpr std::uint64_t kAddressEnd = 1ull << 47;  // of user space on x86-64
constexpr std::uint32_t kPidMax = 1 << 22;

void put(std::uint8_t* out, std::uint64_t value, int bytes) {
  for (int i = 0; i < bytes; ++i) out[i] = static_cast<std::uint8_t>(value >> (8 * i));
}
std::uint64_t get(const std::uint8_t* in, int bytes) {
  std::uint64_t value = 0;
  for (int i = 0; i < bytes; ++i) value |= static_cast<std::uint64_t>(in[i]) << (8 * i);
  return value;
}

}  // namespace

std::size_t FrameHeader::body_bytes() const {
  switch (kind) {
    case Kind::kPages:
      return count * kPageBytes;
    case Kind::kArchive:
    case Kind::kManifest:
      return count;
    case Kind::kEnd:
    case Kind::kMark:
      break;
  }
  return 0;
}

std::array<std::uint8_t, kFrameHeaderBytes> FrameHeader::encode() const {
  std::array<std::uint8_t, kFrameHeaderBytes> bytes{};
  put(&bytes[0], static_cast<std::uint32_t>(kind), 4);
  put(&bytes[4], pid, 4);
  put(&bytes[8], address, 8);
  put(&bytes[16], count, 4);
  return bytes;
}

Result<FrameHeader> FrameHeader::decode(const std::array<std::uint8_t, kFrameHeaderBytes>& bytes) {
  FrameHeader header;
  const auto kind = get(&bytes[0], 4);
  header.kind = static_cast<Kind>(kind);
  header.pid = static_cast<std::uint32_t>(get(&bytes[4], 4));
  header.address = get(&bytes[8], 8);
  header.count = static_cast<std::uint32_t>(get(&bytes[16], 4));
  std::uint32_t count_max = 0;
  switch (header.kind) {
    case Kind::kPages:
      count_max = kFramePagesMax;
      break;
    case Kind::kEnd:
      if (header.count != 0) return fail(Code::kInvalid, "move stream: an end that says more");
      break;
    case Kind::kMark:
      count_max = kMarksMax;
      break;
    case Kind::kArchive:
      count_max = kArchiveFrameBytesMax;
      break;
    case Kind::kManifest:
      count_max = kManifestBytesMax;
      break;
    default:
      return fail(Code::kInvalid, "move stream: no such frame: " + std::to_string(kind));
  }
  if (count_max != 0 && (header.count == 0 || header.count > count_max))
    return fail(Code::kInvalid, "move stream: a frame of " + std::to_string(header.count));
  if (header.kind != Kind::kPages) {
    if (header.pid != 0 || header.address != 0)
      return fail(Code::kInvalid, "move stream: a frame that says more");
    return header;
  }
  if (header.pid == 0 || header.pid > kPidMax)
    return fail(Code::kInvalid, "move stream: no such process");
  if (header.address % kPageBytes != 0 || header.address >= kAddressEnd - header.count * kPageBytes)
    return fail(Code::kInvalid, "move stream: no such address");
  return header;
}

Status FrameReader::check_order(const FrameHeader& frame) {
  using Kind = FrameHeader::Kind;
  const bool in_memory = last_ == Kind::kPages || last_ == Kind::kMark;
  bool is_right = false;
  switch (frame.kind) {
    case Kind::kPages:
      is_right = !last_ || in_memory;
      break;
    case Kind::kMark:
      is_right = (!last_ || in_memory) && frame.count == last_mark_ + 1;
      last_mark_ = frame.count;
      break;
    case Kind::kEnd:
      is_right = in_memory;
      break;
    case Kind::kArchive:
      is_right = !last_ || last_ == Kind::kEnd || last_ == Kind::kArchive;
      break;
    case Kind::kManifest:
      is_right = last_ == Kind::kArchive;
      break;
  }
  if (!is_right) return fail(Code::kInvalid, "move stream: a frame out of order");
  last_ = frame.kind;
  return {};
}

Result<std::optional<FrameReader::Piece>> FrameReader::next(std::span<const char>& input) {
  Piece piece;
  if (!frame_) {
    const std::size_t count = std::min(kFrameHeaderBytes - header_bytes_, input.size());
    std::copy_n(input.begin(), count, header_.begin() + static_cast<std::ptrdiff_t>(header_bytes_));
    header_bytes_ += count;
    input = input.subspan(count);
    if (header_bytes_ < kFrameHeaderBytes) return std::optional<Piece>();
    header_bytes_ = 0;
    ICON_TRY(frame_, FrameHeader::decode(header_));
    ICON_CHECK(check_order(*frame_));
    body_left_ = frame_->body_bytes();
    piece.begins = true;
  } else if (input.empty()) {
    return std::optional<Piece>();
  }
  piece.frame = *frame_;
  piece.bytes = input.first(std::min(body_left_, input.size()));
  input = input.subspan(piece.bytes.size());
  body_left_ -= piece.bytes.size();
  piece.ends = body_left_ == 0;
  if (piece.ends) {
    is_complete_ = frame_->kind == FrameHeader::Kind::kManifest;
    frame_.reset();
  }
  return std::optional<Piece>(piece);
}

}  // namespace icon::migration
