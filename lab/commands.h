// `icon lab up|status|exec|link|down`: the lab for people.
#pragma once

namespace CLI {  // NOLINT(readability-identifier-naming): the library's name
class App;
}

namespace icon::lab {

// Adds the subcommand `lab` to `app`. Its callback runs while `app` parses and leaves in
// `exit_status`: 0; 1 when something failed or `status` found remains that belong to no running
// lab; 2 for a wrong argument; for `exec`, the program's own. `exit_status` must outlive `app`.
void add_lab_commands(CLI::App& app, int& exit_status);

}  // namespace icon::lab
