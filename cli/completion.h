// Shell completion, generated from the command tree itself: it cannot name what does not exist.
#pragma once

#include <string>

namespace CLI {  // NOLINT(readability-identifier-naming): the library's name
class App;
}

namespace icon::cli {

// `shell`: "bash", "zsh" or "fish". The script to be sourced, or put where the shell looks.
std::string completion_script(const CLI::App& app, const std::string& shell);

}  // namespace icon::cli
