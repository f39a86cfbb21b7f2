// icon-trace: what an ICON would discover from here, by hand. Needs no privilege.
#include <CLI/CLI.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/json/serialize.hpp>
#include <cstdio>
#include <exception>
#include <memory>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/file.h"
#include "discovery/discovery.h"
#include "discovery/dns_stack.h"

namespace {

using namespace icon;
using namespace icon::discovery;

constexpr int kExitFailed = 1;
constexpr int kExitUsage = 2;

constexpr std::size_t kTargetFileBytesMax = 4 << 20;

struct Options {
  std::vector<std::string> targets;
  std::string target_file;
  std::vector<std::string> dns;
  std::vector<std::string> trust_anchors;
  std::string dnssec = "auto";
  std::string method = "auto";
  TraceLimits limits;
  int timeout_ms = 800;
  int deadline_ms = 20'000;
  bool json = false;
  bool no_names = false;
  bool no_stops = false;
};

void add_options(CLI::App& app, Options& options) {
  app.add_option("targets", options.targets, "IPv4 or IPv6 addresses");
  app.add_option("--targets", options.target_file, "a file with more of them, one on each line");
  app.add_flag("--json", options.json, "print the whole report as JSON");
  app.add_option("--dns", options.dns,
                 "DNS server ADDRESS or ADDRESS:PORT (default: /etc/resolv.conf)")
      ->allow_extra_args(false);
  app.add_option("--dnssec", options.dnssec,
                 "auto refuses wrong signatures, require also servers that hand on none, or off")
      ->capture_default_str()
      ->check(CLI::IsMember({"auto", "require", "off"}));
  app.add_option("--trust-anchor", options.trust_anchors,
                 "a DS or DNSKEY record to validate from (default: the root's keys)")
      ->allow_extra_args(false);
  app.add_flag("--no-names", options.no_names, "trace only, ask no DNS server");
  app.add_option("--method", options.method, "udp, ping, or auto (ping, then udp)")
      ->check(CLI::IsMember({"auto", "udp", "ping"}));
  app.add_option("--max-ttl", options.limits.ttl_max, "hops at most")->capture_default_str();
  app.add_option("--tries", options.limits.tries_per_hop, "probes per hop at most")
      ->capture_default_str();
  app.add_option("--replies", options.limits.replies_per_hop, "answers wanted per hop")
      ->capture_default_str();
  app.add_option("--rate", options.limits.probes_per_second, "probes per second at most")
      ->capture_default_str();
  app.add_option("--router-rate", options.limits.probes_per_router_per_second,
                 "probes per second at most that one router has to answer")
      ->capture_default_str();
  app.add_option("--in-flight", options.limits.probes_in_flight_max, "probes under way at most")
      ->capture_default_str();
  app.add_option("--open", options.limits.open_max, "targets under way at most")
      ->capture_default_str();
  app.add_option("--window", options.limits.window, "TTLs of one target under way at most")
      ->capture_default_str();
  app.add_option("--first-ttl", options.limits.first_ttl,
                 "where most traces begin; 0: learn it from the first ones")
      ->capture_default_str();
  app.add_option("--flows", options.limits.flows_max,
                 "flow ids tried at a hop to find load balancing; 1: none")
      ->capture_default_str();
  app.add_flag("--global-stops", options.limits.global_stops,
               "end a trace where another one to the same /24 or /48 has gone on");
  app.add_flag("--no-stops", options.no_stops, "ask every hop of every target");
  app.add_option("--timeout", options.timeout_ms, "wait for an answer, milliseconds")
      ->capture_default_str()
      ->check(CLI::Range(1, 60'000));
  app.add_option("--deadline", options.deadline_ms, "for everything, milliseconds")
      ->capture_default_str()
      ->check(CLI::Range(10, 600'000));
  app.footer(
      "Exit codes: 0 a report was printed, 1 nothing could be traced, 2 wrong usage.\n"
      "Ping needs a group in the sysctl net.ipv4.ping_group_range; UDP needs nothing.");
}

// A column of a table; "-" for what is not known.
std::string milliseconds(std::int64_t us) {
  if (us == 0) return "-";
  char text[32];
  std::snprintf(text, sizeof text, "%.2f", static_cast<double>(us) / 1000);
  return text;
}

std::string way_back(const Hop& hop) {
  if (hop.back_hops == 0 || hop.back_hops == hop.ttl) return "";
  return " (answers by " + std::to_string(hop.back_hops) + " hops)";
}

void print(const DiscoveryReport& report) {
  for (const auto& trace : report.traces) {
    std::printf("%s (%s): %s%s%s\n", trace.target.to_string().c_str(),
                std::string(to_string(trace.method)).c_str(),
                trace.reached ? "reached" : "not reached", trace.note.empty() ? "" : ", ",
                trace.note.c_str());
    for (const auto& hop : trace.hops) {
      std::string name;
      for (const auto& known : report.names)
        if (known.address == hop.address) name = known.name;
      std::printf("  %2d  %-39s %9s ms  %s%s%s%s\n", hop.ttl,
                  hop.address ? hop.address->to_string().c_str() : "*",
                  milliseconds(hop.rtt_us_min).c_str(), name.c_str(),
                  hop.inferred ? " (known from another trace)" : "",
                  hop.balanced ? " (load-balanced)" : "", way_back(hop).c_str());
    }
  }
  for (const auto& provider : report.providers)
    std::printf("provider %s at %s, hop %d, dnssec %s, key %s%s%s\n", provider.name.c_str(),
                provider.api.to_string().c_str(), provider.hop_ttl,
                std::string(to_string(provider.dnssec)).c_str(),
                provider.id ? provider.id->id().c_str() : "unknown",
                provider.location.empty() ? "" : ", ", provider.location.c_str());
  for (const auto& rejection : report.rejected)
    std::printf("left out: %s: %s\n", rejection.subject.c_str(), rejection.reason.c_str());
  std::printf("%zu routers, %llu probes, %s ms\n", report.routers.size(),
              static_cast<unsigned long long>(report.probes_sent),
              milliseconds(report.timings.total.count()).c_str());
}

json::Array routers_json(const std::vector<RouterSeen>& routers) {
  json::Array list;
  for (const RouterSeen& router : routers) {
    json::Array beside;
    for (const Address& other : router.beside) beside.emplace_back(other.to_string());
    list.push_back(
        json::Object{{"address", router.address.to_string()},
                     {"ttl", router.ttl_max},
                     {"rtt_us", router.rtt_us_min},
                     {"probes", std::int64_t{router.probes}},
                     {"answers", std::int64_t{router.answers}},
                     {"probes_per_second_max", std::int64_t{router.probes_per_second_max}},
                     {"limited", router.limited},
                     {"balanced", router.balanced},
                     {"beside", std::move(beside)}});
  }
  return list;
}

// With --no-names a private network may be traced too: no stranger is asked anything about it.
Task<Result<DiscoveryReport>> trace_only(Tracer& tracer, std::vector<Address> targets,
                                         TraceLimits limits) {
  auto traced = co_await tracer.trace(std::move(targets), limits);
  if (!traced) co_return fail(traced.error());
  DiscoveryReport report;
  report.traces = std::move(traced->traces);
  report.routers = std::move(traced->routers);
  report.probes_sent = traced->probes_sent;
  report.timings.trace = report.timings.total = traced->took;
  co_return report;
}

int fail_with(const std::string& message, int code) {
  std::fprintf(stderr, "icon-trace: %s\n", message.c_str());
  return code;
}

// As the agent has it from its policy.
DnsOptions dns_options(const Options& options) {
  DnsOptions dns;
  dns.resolver.servers = options.dns;
  dns.validate = options.dnssec != "off";
  dns.validator.required = options.dnssec == "require";
  dns.validator.anchors = options.trust_anchors;
  return dns;
}

int run(Options options) {
  std::vector<Address> targets;
  if (!options.target_file.empty()) {
    const auto file = read_file(options.target_file, kTargetFileBytesMax);
    if (!file) return fail_with(file.error().message, kExitUsage);
    std::istringstream words(*file);
    for (std::string word; words >> word;) options.targets.push_back(word);
  }
  if (options.targets.empty()) return fail_with("no targets", kExitUsage);
  for (const auto& text : options.targets) {
    const auto address = Address::parse(text);
    if (!address) return fail_with(address.error().message, kExitUsage);
    targets.push_back(*address);
  }
  options.limits.method = options.method == "udp"    ? TraceMethod::kUdp
                          : options.method == "ping" ? TraceMethod::kPing
                                                     : TraceMethod::kAuto;
  if (options.no_stops) options.limits.local_stops = options.limits.global_stops = false;
  options.limits.probe_timeout = Millis(options.timeout_ms);
  options.limits.deadline = Millis(options.deadline_ms);
  DiscoveryLimits limits;
  limits.trace = options.limits;
  limits.deadline = Millis(options.deadline_ms);
  limits.targets_max = options.limits.targets_max;

  IoContext loop(1);
  const SystemClock clock;
  auto resolver = DnsStack::create(loop, clock, dns_options(options));
  if (!resolver) return fail_with(resolver.error().message, kExitUsage);
  SystemTracer tracer;
  DnsProviderSource dns(**resolver, {}, (*resolver)->proof());
  Discovery discovery(tracer, **resolver, {&dns}, clock, limits);
  std::optional<Result<DiscoveryReport>> report;
  boost::asio::co_spawn(
      loop, options.no_names ? trace_only(tracer, targets, options.limits) : discovery.run(targets),
      [&](std::exception_ptr failure, Result<DiscoveryReport> result) {
        if (failure) std::rethrow_exception(failure);
        report = std::move(result);
      });
  loop.run();
  if (!report || !*report)
    return fail_with(report ? report->error().message : "interrupted", kExitFailed);
  if (options.json) {
    json::Object object = (*report)->to_json();
    object["routers"] = routers_json((*report)->routers);
    std::printf("%s\n", boost::json::serialize(object).c_str());
  } else {
    print(**report);
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app(
      "Shows the routers on the way to addresses, whose they are, and which of these owners "
      "offer to run an ICON.",
      "icon-trace");
  Options options;
  add_options(app, options);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : kExitUsage;
  }
  try {
    return run(std::move(options));
  } catch (const std::exception& error) {
    return fail_with(error.what(), kExitFailed);
  }
}
