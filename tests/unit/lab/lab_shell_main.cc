// `icon lab ..` alone: the lab's commands without the rest of the `icon` program.
#include <CLI/CLI.hpp>

#include "lab/commands.h"

int main(int argc, char** argv) {
  CLI::App app("the lab's commands");
  int exit_status = 0;
  icon::lab::add_lab_commands(app, exit_status);
  CLI11_PARSE(app, argc, argv);
  return exit_status;
}
