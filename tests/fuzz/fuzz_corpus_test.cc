// Runs every fuzz target over its committed corpus, as it is and with random changes, under the
// ordinary compiler: a short run everywhere, while libFuzzer does the long ones. The seed is
// printed first; ICON_FUZZ_SEED repeats a run.
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <map>
#include <random>

#include "tests/fuzz/fuzz_target.h"

namespace icon::fuzz {
namespace {

constexpr int kInputs = 4'000;  // per target
constexpr std::size_t kInputBytesMax = 8 << 10;
constexpr int kChangesMax = 5;
constexpr rlim_t kMemoryBytesMax = 1 << 30;
constexpr std::chrono::seconds kInputTimeMax{5};

// What parsers stumble over: borders of numbers, quotes, ends, wildcards.
constexpr std::string_view kPieces[] = {"0",
                                        "-1",
                                        "9223372036854775807",
                                        "18446744073709551616",
                                        "1e400",
                                        "0.5",
                                        "\"",
                                        "\\u0000",
                                        "{",
                                        "}",
                                        "[",
                                        "]",
                                        ",",
                                        ":",
                                        "\n",
                                        "\r\n",
                                        "null",
                                        "true",
                                        "&a",
                                        "*a",
                                        "---\n",
                                        "- ",
                                        "#",
                                        "../",
                                        "%00",
                                        "*",
                                        "?",
                                        "::",
                                        "/",
                                        ".",
                                        "255",
                                        "\xff",
                                        "ms",
                                        "GiB",
                                        "\x1b[2J",
                                        "\xc0\x0c",
                                        "\x00\x01"};

// An input that makes a parser swallow the machine's memory must end this test and nothing else.
// (A sanitizer reserves address space by the terabyte; it has limits of its own.)
void limit_memory() {
#if !defined(__SANITIZE_ADDRESS__)
  const rlimit limit{kMemoryBytesMax, kMemoryBytesMax};
  ASSERT_EQ(setrlimit(RLIMIT_AS, &limit), 0);
#endif
}

std::uint64_t chosen_seed() {
  if (const char* given = std::getenv("ICON_FUZZ_SEED")) return std::strtoull(given, nullptr, 10);
  return std::random_device{}();
}

std::vector<std::string> corpus_of(const std::string& target) {
  std::map<std::string, std::string> files;  // sorted: the same run on each machine
  for (const auto& entry :
       std::filesystem::directory_iterator(std::filesystem::path(ICON_FUZZ_CORPUS) / target)) {
    std::ifstream in(entry.path(), std::ios::binary);
    files[entry.path().filename()] = std::string(std::istreambuf_iterator<char>(in), {});
  }
  std::vector<std::string> inputs;
  for (auto& [name, content] : files) inputs.push_back(std::move(content));
  return inputs;
}

class Mutator {
 public:
  Mutator(const std::vector<std::string>& corpus, std::uint64_t seed)
      : corpus_(corpus), random_(seed) {}

  std::string next() {
    std::string text = corpus_[below(corpus_.size())];
    for (std::size_t change = 1 + below(kChangesMax); change > 0; --change) apply(text);
    if (text.size() > kInputBytesMax) text.resize(kInputBytesMax);
    return text;
  }

 private:
  std::size_t below(std::size_t limit) { return limit == 0 ? 0 : random_() % limit; }

  void apply(std::string& text) {
    const auto at = below(text.size() + 1);
    switch (below(7)) {
      case 0:
        if (at < text.size()) text[at] = static_cast<char>(text[at] ^ (1 << below(8)));
        break;
      case 1:
        if (at < text.size()) text[at] = static_cast<char>(below(256));
        break;
      case 2:
        text.erase(at, 1 + below(8));
        break;
      case 3:
        text.insert(at, kPieces[below(std::size(kPieces))]);
        break;
      case 4:
        text.insert(at, text.substr(below(text.size()), below(32)));
        break;
      case 5: {
        const auto& other = corpus_[below(corpus_.size())];
        text = text.substr(0, at) + other.substr(below(other.size()));
        break;
      }
      case 6:
        text.resize(at);
        break;
    }
  }

  const std::vector<std::string>& corpus_;
  std::mt19937_64 random_;
};

class FuzzCorpus : public testing::TestWithParam<Target> {};

TEST_P(FuzzCorpus, KeepsItsPropertiesOnChangedInputs) {
  const auto corpus = corpus_of(GetParam().name);
  ASSERT_FALSE(corpus.empty());
  limit_memory();
  for (const auto& input : corpus) GetParam().run(input);
  const auto seed = chosen_seed();
  std::cout << "ICON_FUZZ_SEED=" << seed << std::endl;
  Mutator mutator(corpus, seed);
  for (int i = 0; i < kInputs; ++i) {
    const auto begin = std::chrono::steady_clock::now();
    GetParam().run(mutator.next());
    ASSERT_LT(std::chrono::steady_clock::now() - begin, kInputTimeMax) << "input " << i;
  }
}

INSTANTIATE_TEST_SUITE_P(All, FuzzCorpus, testing::ValuesIn(targets()),
                         [](const auto& info) { return std::string(info.param.name); });

}  // namespace
}  // namespace icon::fuzz
