#include "cli/adopt.h"

#include <CLI/CLI.hpp>

#include "cli/actions.h"
#include "cli/api.h"
#include "cli/text.h"

namespace icon::cli {
namespace {

constexpr Millis kAdoptMax{300'000};  // the service's end and the copy of what it has written

Outcome<json::Object> adopt_body(const AdoptOptions& options) {
  json::Object body{{"container", options.container}, {"restart", options.restart}};
  json::Array ports;
  for (const auto& text : options.ports) {
    CLI_TRY(auto port, api_port(text));
    ports.emplace_back(std::move(port));
  }
  body["ports"] = std::move(ports);
  if (!options.policy_file.empty()) {
    CLI_TRY(body["policy"], read_policy_file(options.policy_file));
  }
  return body;
}

}  // namespace

void add_adopt_options(CLI::App& command, AdoptOptions& options) {
  command.add_option("container", options.container, "its name or id in Docker")->required();
  command.add_flag("--restart", options.restart,
                   "let its service start again, without which it is only checked: files stay, "
                   "memory and open connections end");
  command.add_option("--policy", options.policy_file, "policy file");
  command
      .add_option("-p,--publish", options.ports,
                  "PUBLIC[:CONTAINER][/udp]; may be repeated; else as docker run said")
      ->expected(1)
      ->take_all();
}

int adopt_container(Context& context, const AdoptOptions& options) {
  const auto body = adopt_body(options);
  if (!body) return report(context, body.error());
  const auto answer = Api(context.socket).post_object("/v1/adopt", *body, kAdoptMax);
  if (!answer) return report(context, answer.error());
  return show_new_icon(context, *answer);
}

}  // namespace icon::cli
