// What the lab's own tests share.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "base/file.h"
#include "lab/lab.h"
#include "tests/eventually.h"

namespace icon::lab::testing_support {

inline std::string shipped_topology(const std::string& name) {
  const auto text = read_file(std::string(ICON_SOURCE_DIR) + "/lab/topologies/" + name + ".yaml",
                              kTopologyBytesMax);
  EXPECT_TRUE(text);
  return text.value_or("");
}

// A name that no other test run on this machine has.
inline std::string own_name(const std::string& prefix) { return prefix + std::to_string(getpid()); }

// What a command prints, run in a node; its failure fails the test.
inline std::string output_of(const Lab& lab, const std::string& node,
                             std::vector<std::string> argv) {
  Command command;
  command.argv = std::move(argv);
  const auto outcome = lab.run(node, std::move(command));
  EXPECT_TRUE(outcome) << outcome.error().message;
  return outcome ? outcome->output + outcome->error_output : "";
}

// The least of `count` round trips in ms; negative when nothing came back.
inline double round_trip_ms(const Lab& lab, const std::string& from, const std::string& to,
                            int count = 4) {
  const std::string text = output_of(
      lab, from, {"ping", "-n", "-q", "-W", "1", "-i", "0.02", "-c", std::to_string(count), to});
  const auto at = text.find("min/avg/max/mdev = ");
  return at == std::string::npos ? -1 : std::stod(text.substr(at + 19));
}

// Until one of them is `enough`: on a busy machine many are late, none is early.
inline double least_round_trip_ms(const Lab& lab, const std::string& from, const std::string& to,
                                  double enough) {
  double least = round_trip_ms(lab, from, to);
  for (int more = 0; more < 25 && least > enough; ++more)
    least = std::min(least, round_trip_ms(lab, from, to));
  return least;
}

using icon::test::eventually;

}  // namespace icon::lab::testing_support
