// icon-lab-load: users of the lab, as a program (lab/load.h). Exit status: 0 all connections alive
// and all replies right, 1 not so or not connected, 2 wrong arguments.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <cstdlib>

#include "lab/load.h"

namespace {

icon::Status read_addresses(const std::string& target, const std::vector<std::string>& sources,
                            icon::lab::LoadOptions& options) {
  ICON_TRY(options.target, icon::Endpoint::parse(target));
  for (const auto& text : sources) {
    ICON_TRY(auto source, icon::Address::parse(text));
    options.sources.push_back(source);
  }
  return {};
}

}  // namespace

int main(int argc, char** argv) {
  icon::lab::LoadOptions options;
  std::string target;
  std::vector<std::string> sources;
  double duration_s = 0;
  long report_ms = options.report_every.count();
  CLI::App app{"Holds connections to a service open and checks every reply"};
  app.add_option("target", target, "ADDRESS:PORT of the service")->required();
  app.add_option("--source", sources, "Address to connect from; repeat for several");
  app.add_option("-c,--connections", options.connections, "How many")->capture_default_str();
  app.add_option("-r,--rate", options.rate_per_s, "Requests per second and connection")
      ->capture_default_str();
  app.add_option("-p,--protocol", options.protocol.name, "redis, memcached or http")
      ->capture_default_str();
  app.add_option("--path", options.protocol.http_path, "HTTP: what to GET");
  app.add_option("--host", options.protocol.http_host, "HTTP: the Host header");
  app.add_option("--expect", options.protocol.http_expect, "HTTP: the body; else as the first one");
  app.add_option("--duration", duration_s, "Seconds; 0: until stopped");
  app.add_option("--report-ms", report_ms, "Time between reports; 0: none")->capture_default_str();
  app.add_option("--owed-max", options.owed_max, "Requests in flight per connection");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  options.duration = icon::Millis(static_cast<long>(duration_s * 1000));
  options.report_every = icon::Millis(report_ms);
  if (auto status = read_addresses(target, sources, options); !status) {
    std::fprintf(stderr, "icon-lab-load: %s\n", status.error().message.c_str());
    return 2;
  }
  const auto report = icon::lab::run_load(options, STDIN_FILENO, STDOUT_FILENO);
  if (!report) {
    std::fprintf(stderr, "icon-lab-load: %s\n", report.error().message.c_str());
    return report.error().code == icon::Code::kInvalid ? 2 : 1;
  }
  return icon::lab::flawless(*report) ? EXIT_SUCCESS : EXIT_FAILURE;
}
