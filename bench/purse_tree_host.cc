// The games of bench/purse_tree. Arguments: GAMES FIRST_SEED. Prints JSON; exit 1 with the seed
// when the cap is broken.
#include <chrono>
#include <cstdio>
#include <cstdlib>

#include "tests/sim/purse_tree_game.h"

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: icon-bench-purse-tree GAMES FIRST_SEED\n");
    return 2;
  }
  const auto begin = std::chrono::steady_clock::now();
  const auto found =
      icon::budget::play_trees(std::strtoull(argv[2], nullptr, 10), std::atoll(argv[1]));
  const double took =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  const auto number = [](const char* name, std::int64_t value) {
    std::printf("\"%s\": %lld, ", name, static_cast<long long>(value));
  };
  std::printf("{");
  number("games", found.games);
  number("steps", found.steps);
  number("crashes", found.crashes);
  number("deaths", found.deaths);
  number("delivered", found.delivered);
  number("repeated", found.repeated);
  number("lost", found.lost);
  number("refused", found.refused);
  number("adoptions", found.adoptions);
  std::printf("\"seconds\": %.1f, \"failure\": \"%s\"}\n", took, found.failure.c_str());
  return found.failure.empty() ? 0 : 1;
}
