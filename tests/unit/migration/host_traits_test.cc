#include "migration/movable/host_traits.h"

#include <gtest/gtest.h>

#include <boost/json/serialize.hpp>

namespace icon::migration {
namespace {

constexpr std::size_t kWords = 19;

CpuFeatures processor() {
  CpuFeatures cpu;
  cpu.words.assign(kWords, 0);
  cpu.words[9] = 1u << 5 | 1u << 16;  // avx2, avx512f
  cpu.state_parts = 0xe7;
  cpu.state_bytes = cpu.state_bytes_max = 2440;
  return cpu;
}

HostTraits host() {
  HostTraits traits;
  traits.architecture = "x86_64";
  traits.kernel = "6.18";
  traits.criu = "4.2.1";
  traits.cgroups = "v2";
  traits.time_namespaces = true;
  traits.ipv6 = true;
  traits.memory_together = "";
  traits.cpu = processor();
  return traits;
}

// "kind kind!", with a mark at those that block.
std::string kinds(const HostTraits& here, const HostTraits& there, const TraitNeeds& needs = {}) {
  std::string text;
  for (const auto& found : find_host_obstacles(here, there, needs)) {
    EXPECT_NE(found.what, "");
    EXPECT_NE(found.fix, "") << found.kind;
    text += (text.empty() ? "" : " ") + found.kind + (found.blocks ? "!" : "");
  }
  return text;
}

HostTraits over_the_wire(const HostTraits& traits) {
  const auto text = boost::json::serialize(traits.to_json());
  EXPECT_LT(text.size(), kTraitsBytesMax);
  const auto read = HostTraits::from_json(*json::parse_object(text, kTraitsBytesMax));
  EXPECT_TRUE(read) << read.error().message;
  return read.value_or(HostTraits{});
}

std::string varint(std::uint64_t value) {
  std::string bytes;
  for (; value >= 0x80; value >>= 7) bytes += static_cast<char>(value | 0x80);
  return bytes + static_cast<char>(value);
}
std::string field(int number, std::uint64_t value) {
  return varint(static_cast<std::uint64_t>(number) << 3) + varint(value);
}
std::string message(int number, const std::string& bytes) {
  return varint(static_cast<std::uint64_t>(number) << 3 | 2) + varint(bytes.size()) + bytes;
}
std::string image_of(const std::string& entry) {
  const std::string magic("\x19\x43\x56\x54\x13\x40\x40\x61", 8);
  const std::string size{static_cast<char>(entry.size()), 0, 0, 0};
  return magic + size + entry;
}
Result<CpuFeatures> read(const std::string& image) {
  return read_cpu_image({reinterpret_cast<const std::uint8_t*>(image.data()), image.size()});
}

TEST(HostTraits, EqualHostsHaveNothingInTheWay) {
  EXPECT_EQ(kinds(host(), host()), "");
  EXPECT_EQ(kinds(host(), over_the_wire(host()), {true, false}), "");
}

TEST(HostTraits, EachLackIsNamed) {
  auto there = host();
  there.cpu->words[9] = 1u << 5;
  EXPECT_EQ(kinds(host(), there), "cpu_instructions!");
  EXPECT_NE(blocking_words(find_host_obstacles(host(), there, {})).find("lacks avx512f,"),
            std::string::npos);
  EXPECT_EQ(kinds(there, host()), "") << "more than is needed does no harm";
  there = host();
  there.cpu->state_bytes = 1088;
  EXPECT_EQ(kinds(host(), there), "cpu_state!");
  there = host();
  there.time_namespaces = false;
  EXPECT_EQ(kinds(host(), there), "time_namespace!");
  EXPECT_EQ(kinds(there, there), "") << "there its clocks have never been its own";
  there = host();
  there.criu = "";
  EXPECT_EQ(kinds(host(), there), "criu!");
  there.criu = "4.1";
  EXPECT_EQ(kinds(host(), there), "criu_version");
  there.criu = "3.17.1";
  EXPECT_EQ(kinds(host(), there), "criu_version!");
  there = host();
  there.memory_together = "Linux 6.1 is older than 6.14";
  EXPECT_EQ(kinds(host(), there), "memory");
  EXPECT_EQ(blocking_words(find_host_obstacles(host(), there, {})), "");
  there = host();
  there.ipv6 = false;
  EXPECT_EQ(kinds(host(), there), "");
  EXPECT_EQ(kinds(host(), there, {true, false}), "ipv6!");
}

TEST(HostTraits, AnotherArchitectureIsTheOnlyReasonThatMatters) {
  auto there = host();
  there.architecture = "aarch64";
  there.criu = "";
  EXPECT_EQ(kinds(host(), there), "architecture!");
  EXPECT_EQ(kinds(host(), there, {false, true}), "architecture!");
}

TEST(HostTraits, WhatStartsAfreshNeedsNoCriu) {
  auto there = host();
  there.criu = "";
  there.cpu->words[9] = 0;
  EXPECT_EQ(kinds(host(), there, {false, true}), "");
}

TEST(HostTraits, WhatIsNotToldIsNotJudged) {
  const auto object = *json::parse_object(R"({"architecture":"x86_64","news":[1,2]})", 100);
  const auto there = HostTraits::from_json(object);
  ASSERT_TRUE(there);
  EXPECT_EQ(kinds(host(), *there, {true, false}), "");
  EXPECT_EQ(kinds(*there, host(), {true, false}), "");
}

TEST(HostTraits, WhatIsToldIsChecked) {
  for (const char* text :
       {"{}", R"({"architecture":5})", R"({"architecture":"x","criu":7})",
        R"({"architecture":"x","ipv6":"yes"})", R"({"architecture":"x","cpu":[]})",
        R"({"architecture":"x","cpu":{"words":[-1],"state_parts":0,"state_bytes":0,)"
        R"("state_bytes_max":0}})",
        R"({"architecture":"x","cpu":{"words":[],"state_parts":0,"state_bytes":99999999,)"
        R"("state_bytes_max":0}})"})
    EXPECT_FALSE(HostTraits::from_json(*json::parse_object(text, 1000))) << text;
  std::string words = "1";
  for (int i = 0; i < 100; ++i) words += ",1";
  EXPECT_FALSE(HostTraits::from_json(
      *json::parse_object(R"({"architecture":"x","cpu":{"words":[)" + words +
                              R"(],"state_parts":0,"state_bytes":0,"state_bytes_max":0}})",
                          1000)));
}

TEST(HostTraits, CriusImageIsRead) {
  const std::string x86 = field(1, 2) + field(2, 25) + field(6, 7) + field(6, 0xffffffff) +
                          message(7, "AMD EPYC") + field(8, 0xe7) + field(9, 2440) +
                          field(10, 2448);
  const auto cpu = read(image_of(message(1, x86)));
  ASSERT_TRUE(cpu) << cpu.error().message;
  EXPECT_EQ(cpu->words, (std::vector<std::uint32_t>{7, 0xffffffff}));
  EXPECT_EQ(cpu->state_parts, 0xe7u);
  EXPECT_EQ(cpu->state_bytes, 2440);
  EXPECT_EQ(cpu->state_bytes_max, 2448);
  const auto other = read(image_of(message(2, field(1, 0))));
  ASSERT_FALSE(other);
  EXPECT_EQ(other.error().code, Code::kUnavailable);
  const std::string whole = image_of(message(1, x86));
  for (std::size_t size = 0; size < whole.size(); ++size)
    EXPECT_FALSE(read(whole.substr(0, size))) << size;
}

TEST(HostTraits, ThisHostIsRead) {
  const auto traits = read_kernel_traits();
  EXPECT_NE(traits.architecture, "");
  EXPECT_NE(traits.kernel.find('.'), std::string::npos);
  EXPECT_NE(traits.cgroups, "");
  EXPECT_EQ(criu_version_in("Version: 4.2.1\nGitID: v4"), "4.2.1");
  EXPECT_EQ(criu_version_in("criu: not found"), "");
}

}  // namespace
}  // namespace icon::migration
