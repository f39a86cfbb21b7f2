// The check on the real network: c-ares, libunbound, and TLS with a key made for the occasion.
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/json/serialize.hpp>
#include <optional>
#include <utility>

#include "cli/check_provider.h"
#include "cli/context.h"
#include "discovery/dns_stack.h"
#include "supervisor/peer_client.h"

namespace icon::cli {
namespace {

constexpr std::size_t kAnswerBytesMax = 256 << 10;
constexpr Millis kConnectMax{5'000};
constexpr Millis kCallMax{10'000};

class PeerCaller final : public ProviderCaller {
 public:
  explicit PeerCaller(supervisor::PeerClient& client) : client_(client) {}

  Task<Result<Answer>> post(Endpoint api, std::optional<PublicKey> peer, std::string target,
                            json::Object body) override {
    supervisor::PeerRequest request;
    request.api = api;
    request.peer = peer;
    request.method = "POST";
    request.target = std::move(target);
    request.body = boost::json::serialize(body);
    request.connect_timeout = kConnectMax;
    request.total_timeout = kCallMax;
    request.response_bytes_max = kAnswerBytesMax;
    ICON_CO_TRY(const auto answer, co_await client_.call(std::move(request)));
    ICON_CO_TRY(const auto text, http::body_or_error(answer.response));
    ICON_CO_TRY(auto object, json::parse_object(text, kAnswerBytesMax));
    co_return Answer{std::move(object), answer.peer, answer.connect_rtt_us};
  }

 private:
  supervisor::PeerClient& client_;
};

Result<std::vector<Finding>> check(const ProviderCheckOptions& options, const Clock& clock) {
  ICON_TRY(const auto domain, discovery::normalise_name(options.domain));
  IoContext loop(1);
  discovery::DnsOptions dns;
  dns.resolver.servers = options.dns_servers;
  dns.validator.anchors = options.anchors;
  ICON_TRY(const auto stack, discovery::DnsStack::create(loop, clock, dns));
  ICON_TRY(const auto client, supervisor::PeerClient::create(loop, KeyPair::generate()));
  PeerCaller caller(*client);
  stack->start_budget(Millis(static_cast<std::int64_t>(options.timeout_s * 1000)));
  std::optional<std::vector<Finding>> findings;
  boost::asio::co_spawn(loop, check_provider({*stack, *stack->proof(), caller, clock}, domain),
                        [&](std::exception_ptr failure, std::vector<Finding> found) {
                          stack->close();
                          loop.stop();
                          if (failure) std::rethrow_exception(failure);
                          findings = std::move(found);
                        });
  loop.run();
  if (!findings) return fail(Code::kInternal, "the check ended early");
  return std::move(*findings);
}

}  // namespace

int run_provider_check(Context& context, const ProviderCheckOptions& options) {
  const auto findings = check(options, context.clock);
  if (!findings)
    return report(context, {findings.error().code == Code::kInvalid ? kUsage : kFailed,
                            options.domain + ": " + findings.error().message, ""});
  return show_findings(context, *findings,
                       {.bad = "fail",
                        .all_good = "ICONs can find " + options.domain + " and buy there.",
                        .with_warnings = "ICONs can find " + options.domain +
                                         " and buy there; the warnings cost some of them.",
                        .not_good = "An ICON will not buy here until that is put right."});
}

}  // namespace icon::cli
