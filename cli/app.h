// The command tree of `icon` and what runs when it was parsed. Commands of other libraries (the
// lab, the demo) are handed in by icon_main.cc.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "cli/context.h"

namespace CLI {  // NOLINT(readability-identifier-naming): the library's name
class App;
}

namespace icon::cli {

// Adds commands that run while the tree parses and leave their exit code in the second argument.
using ExtraCommands = std::function<void(CLI::App&, int& exit_status)>;

// `arguments` without the program's name. Returns the exit code; never throws.
int run_cli(std::vector<std::string> arguments, Context& context,
            const std::string& program_directory, const std::vector<ExtraCommands>& extras = {});

}  // namespace icon::cli
