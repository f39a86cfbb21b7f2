#include "migration/movable/cpu_features.h"

#include "migration/memory/image_reader.h"

namespace icon::migration {
namespace {

constexpr std::uint32_t kCpuinfoMagic = 0x61404013;  // criu/include/magic.h
constexpr std::size_t kWordsMax = 64;
constexpr std::int64_t kStateBytesMax = 1 << 20;
constexpr std::uint32_t kVarint = 0;
constexpr std::uint32_t kBytes = 2;

struct Instruction {
  std::size_t word;
  unsigned bit;
  const char* name;
};
// x86_ins_capability_mask of CRIU 4.2.1 (criu/arch/x86/cpu.c).
constexpr Instruction kInstructions[] = {{0, 0, "fpu"},
                                         {0, 4, "tsc"},
                                         {0, 8, "cx8"},
                                         {0, 11, "sep"},
                                         {0, 15, "cmov"},
                                         {0, 19, "clflush"},
                                         {0, 23, "mmx"},
                                         {0, 24, "fxsr"},
                                         {0, 25, "sse"},
                                         {0, 26, "sse2"},
                                         {1, 11, "syscall"},
                                         {1, 22, "mmxext"},
                                         {1, 27, "rdtscp"},
                                         {1, 30, "3dnowext"},
                                         {1, 31, "3dnow"},
                                         {3, 16, "rep_good"},
                                         {3, 20, "nopl"},
                                         {4, 0, "sse3"},
                                         {4, 1, "pclmulqdq"},
                                         {4, 3, "mwait"},
                                         {4, 9, "ssse3"},
                                         {4, 13, "cx16"},
                                         {4, 19, "sse4_1"},
                                         {4, 20, "sse4_2"},
                                         {4, 22, "movbe"},
                                         {4, 23, "popcnt"},
                                         {4, 25, "aes"},
                                         {4, 26, "xsave"},
                                         {4, 27, "osxsave"},
                                         {4, 28, "avx"},
                                         {4, 29, "f16c"},
                                         {4, 30, "rdrand"},
                                         {6, 5, "abm"},
                                         {6, 6, "sse4a"},
                                         {6, 7, "misalignsse"},
                                         {6, 8, "3dnowprefetch"},
                                         {6, 11, "xop"},
                                         {6, 16, "fma4"},
                                         {6, 21, "tbm"},
                                         {9, 0, "fsgsbase"},
                                         {9, 3, "bmi1"},
                                         {9, 4, "hle"},
                                         {9, 5, "avx2"},
                                         {9, 8, "bmi2"},
                                         {9, 9, "erms"},
                                         {9, 11, "rtm"},
                                         {9, 14, "mpx"},
                                         {9, 16, "avx512f"},
                                         {9, 17, "avx512dq"},
                                         {9, 18, "rdseed"},
                                         {9, 19, "adx"},
                                         {9, 23, "clflushopt"},
                                         {9, 26, "avx512pf"},
                                         {9, 27, "avx512er"},
                                         {9, 28, "avx512cd"},
                                         {9, 29, "sha_ni"},
                                         {9, 30, "avx512bw"},
                                         {9, 31, "avx512vl"},
                                         {10, 0, "xsaveopt"},
                                         {10, 1, "xsavec"},
                                         {10, 2, "xgetbv1"},
                                         {11, 1, "avx512vbmi"},
                                         {11, 6, "avx512_vbmi2"},
                                         {11, 8, "gfni"},
                                         {11, 9, "vaes"},
                                         {11, 10, "vpclmulqdq"},
                                         {11, 11, "avx512_vnni"},
                                         {11, 12, "avx512_bitalg"},
                                         {11, 13, "tme"},
                                         {11, 14, "avx512_vpopcntdq"},
                                         {11, 22, "rdpid"},
                                         {13, 0, "clzero"},
                                         {18, 2, "avx512_4vnniw"},
                                         {18, 3, "avx512_4fmaps"}};

tl::unexpected<Error> malformed() {
  return fail(Code::kInvalid, "CRIU's description of the processor is malformed");
}

bool has(const CpuFeatures& cpu, const Instruction& instruction) {
  return instruction.word < cpu.words.size() &&
         ((cpu.words[instruction.word] >> instruction.bit) & 1u) != 0;
}

Result<CpuFeatures> read_x86(std::span<const std::uint8_t> message) {
  CpuFeatures cpu;
  ImageReader reader(message);
  while (!reader.done()) {
    const auto key = reader.varint();
    if (!key) return malformed();
    if (*key % 8 == kBytes) {  // the model's name
      const auto size = reader.varint();
      if (!size || !reader.bytes(*size)) return malformed();
      continue;
    }
    const auto value = reader.varint();
    if (*key % 8 != kVarint || !value) return malformed();
    switch (*key / 8) {
      case 6:
        if (cpu.words.size() == kWordsMax) return malformed();
        cpu.words.push_back(static_cast<std::uint32_t>(*value));
        break;
      case 8:
        cpu.state_parts = *value & INT64_MAX;
        break;
      case 9:
        cpu.state_bytes = static_cast<std::int64_t>(*value & UINT32_MAX);
        break;
      case 10:
        cpu.state_bytes_max = static_cast<std::int64_t>(*value & UINT32_MAX);
        break;
      default:
        break;
    }
  }
  return cpu;
}

}  // namespace

json::Object CpuFeatures::to_json() const {
  json::Array list;
  for (const auto word : words) list.emplace_back(std::int64_t{word});
  return {{"words", std::move(list)},
          {"state_parts", static_cast<std::int64_t>(state_parts)},
          {"state_bytes", state_bytes},
          {"state_bytes_max", state_bytes_max}};
}

Result<CpuFeatures> CpuFeatures::from_json(const json::Object& object) {
  CpuFeatures cpu;
  ICON_TRY(const auto* words, json::get_array(object, "words", kWordsMax));
  for (const auto& word : *words) {
    if (!word.is_int64() || word.as_int64() < 0 || word.as_int64() > UINT32_MAX)
      return fail(Code::kInvalid, "field 'words' holds something else");
    cpu.words.push_back(static_cast<std::uint32_t>(word.as_int64()));
  }
  ICON_TRY(const auto parts, json::get_int(object, "state_parts", 0, INT64_MAX));
  cpu.state_parts = static_cast<std::uint64_t>(parts);
  ICON_TRY(cpu.state_bytes, json::get_int(object, "state_bytes", 0, kStateBytesMax));
  ICON_TRY(cpu.state_bytes_max, json::get_int(object, "state_bytes_max", 0, kStateBytesMax));
  return cpu;
}

Result<CpuFeatures> read_cpu_image(std::span<const std::uint8_t> image) {
  ImageReader reader(image);
  if (reader.fixed(4) != kImageMagic || reader.fixed(4) != kCpuinfoMagic) return malformed();
  const auto size = reader.fixed(4);
  const auto message = size ? reader.bytes(*size) : std::nullopt;
  if (!message) return malformed();
  ImageReader entry(*message);
  const auto key = entry.varint();
  if (!key || *key % 8 != kBytes) return malformed();
  if (*key / 8 != 1) return fail(Code::kUnavailable, "the processor is no x86");
  const auto bytes = entry.varint();
  const auto x86 = bytes ? entry.bytes(*bytes) : std::nullopt;
  if (!x86) return malformed();
  return read_x86(*x86);
}

std::vector<std::string> missing_instructions(const CpuFeatures& here, const CpuFeatures& there) {
  std::vector<std::string> missing;
  for (const auto& instruction : kInstructions)
    if (has(here, instruction) && !has(there, instruction)) missing.emplace_back(instruction.name);
  return missing;
}

bool state_fits(const CpuFeatures& here, const CpuFeatures& there) {
  return (here.state_parts & ~there.state_parts) == 0 && here.state_bytes == there.state_bytes &&
         here.state_bytes_max == there.state_bytes_max;
}

}  // namespace icon::migration
