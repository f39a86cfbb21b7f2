// icon: the command for people. Puts together the commands of the host and of the lab.
#include <signal.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <iostream>
#include <vector>

#include "base/clock.h"
#include "cli/app.h"
#include "lab/commands.h"
#include "lab/demo.h"

int main(int argc, char** argv) {
  // `icon logs | head` ends quietly when head has seen enough.
  signal(SIGPIPE, SIG_DFL);
  std::error_code ignored;
  const auto self = std::filesystem::read_symlink("/proc/self/exe", ignored);
  const char* terminal = std::getenv("TERM");
  const icon::SystemClock clock;
  icon::cli::Context context{std::cout, std::cerr, clock};
  context.live = isatty(STDOUT_FILENO) == 1;
  // https://no-color.org: any value that is not empty.
  const char* no_colour = std::getenv("NO_COLOR");
  context.colour = context.live && (no_colour == nullptr || *no_colour == '\0') &&
                   terminal != nullptr && std::strcmp(terminal, "dumb") != 0;
  const std::vector<icon::cli::ExtraCommands> extras{icon::lab::add_lab_commands,
                                                     icon::lab::add_demo_command};
  const int status =
      icon::cli::run_cli({argv + 1, argv + argc}, context, self.parent_path().string(), extras);
  std::cout.flush();
  return status;
}
