#include "agent/discover_command.h"

#include <boost/asio/co_spawn.hpp>
#include <boost/json/serialize.hpp>
#include <cstdio>
#include <optional>
#include <sstream>
#include <utility>

#include "agent/options.h"
#include "agent/survey.h"
#include "base/file.h"
#include "base/task.h"
#include "discovery/discovery.h"
#include "discovery/dns_stack.h"
#include "discovery/mapped_tracer.h"

namespace icon::agent {
namespace {

constexpr std::size_t kTargetFileBytesMax = 4 << 20;
constexpr Millis kDeadline{60'000};

void print_trace(const discovery::TraceResult& trace) {
  std::printf("to %s (%s%s)\n", trace.target.to_string().c_str(),
              std::string(to_string(trace.method)).c_str(),
              trace.reached ? ", reached" : ", not reached");
  for (const auto& hop : trace.hops)
    std::printf("  %2d  %-40s %lld us\n", hop.ttl,
                hop.address ? hop.address->to_string().c_str() : "*",
                static_cast<long long>(hop.rtt_us_min));
  if (!trace.note.empty()) std::printf("  (%s)\n", trace.note.c_str());
}

void print_report(const discovery::DiscoveryReport& report) {
  for (const auto& trace : report.traces) print_trace(trace);
  for (const auto& domain : report.domains) std::printf("domain %s\n", domain.c_str());
  for (const auto& provider : report.providers)
    std::printf("provider %s at %s dnssec %s id %s\n", provider.name.c_str(),
                provider.api.to_string().c_str(), std::string(to_string(provider.dnssec)).c_str(),
                provider.id ? provider.id->id().c_str() : "unknown");
  for (const auto& rejection : report.rejected)
    std::printf("rejected %s: %s\n", rejection.subject.c_str(), rejection.reason.c_str());
  std::printf("%zu targets, %zu routers, %zu providers, %llu probes, %lld us\n", report.targets,
              report.routers.size(), report.providers.size(),
              static_cast<unsigned long long>(report.probes_sent),
              static_cast<long long>(report.timings.total.count()));
}

Status add_targets(const std::string& target, std::vector<Address>& addresses) {
  std::istringstream words(target);
  if (target.starts_with('@')) {
    ICON_TRY(std::string text, read_file(target.substr(1), kTargetFileBytesMax));
    words.str(std::move(text));
  }
  for (std::string word; words >> word;) {
    ICON_TRY(const Address address, Address::parse(word));
    addresses.push_back(address);
  }
  return {};
}

int fail_with(const Error& error, int code) {
  std::fprintf(stderr, "icon-agent: discover: %s\n", error.message.c_str());
  return code;
}

}  // namespace

int run_discover(const std::vector<std::string>& targets, bool as_json, const Clock& clock) {
  std::vector<Address> addresses;
  for (const auto& target : targets)
    if (const auto status = add_targets(target, addresses); !status)
      return fail_with(status.error(), kExitUsage);
  IoContext loop(1);
  auto resolver = discovery::DnsStack::create(loop, clock, {});
  if (!resolver) return fail_with(resolver.error(), 1);
  discovery::DnsProviderSource dns(**resolver, {}, (*resolver)->proof());
  discovery::MappedTracer tracer(clock);
  auto limits = discovery_limits({});
  limits.deadline = kDeadline;
  limits.trace.deadline = kDeadline / 2;
  discovery::Discovery discovery(tracer, **resolver, {&dns}, clock, limits);

  std::optional<Result<discovery::DiscoveryReport>> outcome;
  boost::asio::co_spawn(loop, discovery.run(std::move(addresses)),
                        [&](std::exception_ptr exception, Result<discovery::DiscoveryReport> r) {
                          if (!exception) outcome.emplace(std::move(r));
                        });
  loop.run();
  if (!outcome) return fail_with({Code::kInternal, "the run ended with an exception"}, 1);
  if (!*outcome) return fail_with(outcome->error(), 1);
  if (as_json)
    std::printf("%s\n", boost::json::serialize((*outcome)->to_json()).c_str());
  else
    print_report(**outcome);
  return 0;
}

}  // namespace icon::agent
