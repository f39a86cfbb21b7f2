// The brakes of those who operate: a host that takes nothing new, and what an ICON would do now,
// which its agent says when it is asked.
#include <boost/json/serialize.hpp>

#include "base/encoding.h"
#include "base/log.h"
#include "supervisor/api.h"
#include "supervisor/api_parts.h"
#include "supervisor/host.h"

namespace icon::supervisor {
namespace {

// A round that runs must end first; each has a minute.
constexpr Millis kPlanMax{130'000};
constexpr std::size_t kPlanBytesMax = 512 << 10;
constexpr std::size_t kPlanErrorBytesMax = 256;
constexpr std::size_t kRequestIdBytesMax = 64;

Result<json::Value> set_cordon(Host& host, const http::Request& request) {
  ICON_TRY(const auto body, body_of(request));
  ICON_TRY(const auto reason,
           json::get_string_or(body, "reason", "", Market::kCordonReasonBytesMax));
  ICON_CHECK(host.market->cordon(reason));
  log::info("host.cordoned", {{"reason", reason}});
  return cordon_of(host);
}

Result<json::Value> lift_cordon(Host& host) {
  ICON_CHECK(host.market->uncordon());
  log::info("host.uncordoned", {});
  return json::Value(json::Object{});
}

Task<Result<json::Value>> ask_for_plan(Host& host, http::Request request) {
  ICON_CO_TRY(const auto icon, host.icons->find(request.params["id"]));
  ICON_CO_TRY(const auto topic, co_await agent_topic(host, icon));
  const std::string id = random_token(12);
  ICON_CO_TRY(const auto answers, host.events.listen(EventHub::plan_topic(icon.id, id)));
  host.events.publish(topic, json::Object{{"event", "plan"}, {"request", id}});
  const auto line = co_await answers->next(kPlanMax);
  if (!line)
    co_return fail(line.error().code, "the agent of " + icon.name +
                                          " has not said in time what it would do; see `icon logs "
                                          "--source agent`");
  ICON_CO_TRY(auto answer, json::parse_object(*line, 2 * kPlanBytesMax));
  ICON_CO_TRY(const auto error, json::get_string(answer, "error", kPlanErrorBytesMax));
  if (!error.empty())
    co_return fail(Code::kConflict, "the agent of " + icon.name + " has no plan: " + error);
  co_return json::Object{{"icon", icon.id},
                         {"name", icon.name},
                         {"time_ms", host.clock.utc_ms()},
                         {"held", icon.hold},
                         {"evidence", answer["evidence"]}};
}

Result<json::Value> note_plan(Host& host, const http::Request& request) {
  ICON_TRY(const auto body, body_of(request));
  ICON_TRY(const auto id, json::get_string(body, "request", kRequestIdBytesMax));
  ICON_TRY(const auto* evidence, json::get_object(body, "evidence"));
  ICON_TRY(const auto error, json::get_string(body, "error", kPlanErrorBytesMax));
  if (boost::json::serialize(*evidence).size() > kPlanBytesMax)
    return fail(Code::kLimit, "the plan is larger than 512 KiB");
  const auto topic = EventHub::plan_topic(request.icon_id, id);
  if (host.events.listeners(topic) == 0) return fail(Code::kNotFound, "nobody waits for this plan");
  host.events.publish(topic, json::Object{{"evidence", *evidence}, {"error", error}});
  return json::Value();
}

}  // namespace

Result<json::Value> cordon_of(Host& host) {
  ICON_TRY(const auto cordon, host.market->cordoned());
  if (!cordon) return json::Value(nullptr);
  return json::Value(json::Object{{"since_ms", cordon->since_ms}, {"reason", cordon->reason}});
}

void add_brake_routes(http::Router& router, Host& host) {
  router.on("POST", "/v1/cordon",
            answering(200, [&host](http::Request request) -> Task<Result<json::Value>> {
              co_return set_cordon(host, request);
            }));
  router.on("DELETE", "/v1/cordon",
            answering(200, [&host](http::Request) -> Task<Result<json::Value>> {
              co_return lift_cordon(host);
            }));
  router.on("POST", "/v1/icons/{id}/plan", answering(200, [&host](http::Request request) {
              return ask_for_plan(host, std::move(request));
            }));
}

void add_plan_route(http::Router& router, Host& host) {
  router.on("POST", "/v1/self/plan",
            answering(204, [&host](http::Request request) -> Task<Result<json::Value>> {
              co_return note_plan(host, request);
            }));
}

}  // namespace icon::supervisor
