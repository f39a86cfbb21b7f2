// `icon adopt CONTAINER`: a container that Docker runs becomes an ICON.
#pragma once

#include <string>
#include <vector>

#include "cli/context.h"

namespace CLI {
class App;
}

namespace icon::cli {

struct AdoptOptions {
  std::string container;
  std::string policy_file;
  std::vector<std::string> ports;  // none: Docker's
  bool restart = false;
};

void add_adopt_options(CLI::App& command, AdoptOptions& options);
int adopt_container(Context& context, const AdoptOptions& options);

}  // namespace icon::cli
