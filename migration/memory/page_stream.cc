#include "migration/memory/page_stream.h"

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

std::array<std::uint8_t, kFrameHeaderBytes> FrameHeader::encode() const {
  std::array<std::uint8_t, kFrameHeaderBytes> bytes{};
  put(&bytes[0], static_cast<std::uint32_t>(kind), 4);
  put(&bytes[4], pid, 4);
  put(&bytes[8], address, 8);
  put(&bytes[16], pages, 4);
  return bytes;
}

Result<FrameHeader> FrameHeader::decode(const std::array<std::uint8_t, kFrameHeaderBytes>& bytes) {
  FrameHeader header;
  const auto kind = get(&bytes[0], 4);
  header.pid = static_cast<std::uint32_t>(get(&bytes[4], 4));
  header.address = get(&bytes[8], 8);
  header.pages = static_cast<std::uint32_t>(get(&bytes[16], 4));
  if (kind == static_cast<std::uint32_t>(Kind::kEnd)) {
    header.kind = Kind::kEnd;
    if (header.pid != 0 || header.address != 0 || header.pages != 0)
      return fail(Code::kInvalid, "page stream: an end that says more");
    return header;
  }
  if (kind != static_cast<std::uint32_t>(Kind::kPages))
    return fail(Code::kInvalid, "page stream: no such frame: " + std::to_string(kind));
  if (header.pages == 0 || header.pages > kFramePagesMax)
    return fail(Code::kInvalid,
                "page stream: a frame of " + std::to_string(header.pages) + " pages");
  if (header.pid == 0 || header.pid > kPidMax)
    return fail(Code::kInvalid, "page stream: no such process");
  if (header.address % kPageBytes != 0 || header.address >= kAddressEnd - header.pages * kPageBytes)
    return fail(Code::kInvalid, "page stream: no such address");
  return header;
}

}  // namespace icon::migration
