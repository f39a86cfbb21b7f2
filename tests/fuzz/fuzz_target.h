// One fuzz target: a function over bytes that aborts when a property does not hold. libFuzzer and
// fuzz_corpus_test run the same function.
#pragma once

#include <string_view>
#include <vector>

namespace icon::fuzz {

struct Target {
  const char* name;
  void (*run)(std::string_view input);
};

// All that are linked into this program.
std::vector<Target>& targets();

struct Registration {
  explicit Registration(Target target) { targets().push_back(target); }
};

[[noreturn]] void broken(const char* what, const char* file, int line);

}  // namespace icon::fuzz

#define ICON_FUZZ_REQUIRE(condition) \
  ((condition) ? void() : ::icon::fuzz::broken(#condition, __FILE__, __LINE__))

// ICON_FUZZ_TARGET(name) { ... `input` is a std::string_view ... }
#define ICON_FUZZ_TARGET(name)                                                       \
  static void fuzz_##name(std::string_view input);                                   \
  static const ::icon::fuzz::Registration registration_##name({#name, fuzz_##name}); \
  static void fuzz_##name(std::string_view input)
