// `icon demo`: the whole story on real parts, on one machine. An internet of namespaces, a redis
// far from its users, providers who are strangers, and an ICON that finds them, buys and moves.
#pragma once

namespace CLI {
class App;
}

namespace icon::lab {

// Adds the subcommand `demo` to `app`. Its callback runs while `app` parses and leaves in
// `exit_status`: 0; 1 when something failed or an expectation did not hold; 2 for a wrong argument;
// 130 after ctrl-C. `exit_status` must outlive `app`.
void add_demo_command(CLI::App& app, int& exit_status);

}  // namespace icon::lab
