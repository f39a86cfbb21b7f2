// `icon path PREFIX [ICON]`: the way from an ICON to some of its users, as its agent knows it.
#pragma once

#include <string>

#include "cli/context.h"

namespace CLI {
class App;
}

namespace icon::cli {

struct PathOptions {
  std::string prefix;  // or an address in it
  std::string icon;    // empty: whichever of this host has users there
  std::string format = "table";
};

void add_path_options(CLI::App& command, PathOptions& options);
int show_path(Context& context, const PathOptions& options);

}  // namespace icon::cli
