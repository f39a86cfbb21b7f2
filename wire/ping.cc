#include "wire/ping.h"

#include <set>

#include "wire/fields.h"

namespace icon::wire {
namespace {

constexpr std::size_t kReasonBytesMax = 64;
constexpr std::int64_t kAnswersMax = 16;

Result<Address> address_of(const json::Value& value) {
  if (!value.is_string()) return fail(Code::kInvalid, "'targets': not a list of addresses");
  const auto& text = value.get_string();
  return Address::parse({text.data(), text.size()});
}

Result<PingFigure> figure_of(const json::Value& value) {
  const auto* object = value.if_object();
  if (object == nullptr) return fail(Code::kInvalid, "'figures': not a list of objects");
  PingFigure figure;
  ICON_TRY(const auto target, json::get_string(*object, "target", 64));
  ICON_TRY(figure.target, Address::parse(target));
  ICON_TRY(const auto rtt_us, json::get_int_or(*object, "rtt_us", -1, -1, kPingRttUsMax));
  if (rtt_us >= 0) figure.rtt_us = rtt_us;
  ICON_TRY(figure.answers, json::get_int(*object, "answers", 0, kAnswersMax));
  ICON_TRY(figure.refused, get_text(*object, "refused", kReasonBytesMax));
  return figure;
}

}  // namespace

json::Object PingRequest::to_json() const {
  json::Array list;
  for (const auto& target : targets) list.emplace_back(target.to_string());
  return {{"icon", icon.id()}, {"provider", provider.id()}, {"targets", std::move(list)},
          {"nonce", nonce},    {"issued_ms", issued_ms},    {"expires_ms", expires_ms}};
}

Result<PingRequest> PingRequest::from_json(const json::Object& body) {
  PingRequest request;
  ICON_TRY(request.icon, get_key(body, "icon"));
  ICON_TRY(request.provider, get_key(body, "provider"));
  ICON_TRY(const auto* targets, json::get_array(body, "targets", kPingTargetsMax));
  std::set<Address> seen;
  for (const auto& item : *targets) {
    ICON_TRY(const auto target, address_of(item));
    if (!seen.insert(target).second)
      return fail(Code::kInvalid, "'targets': " + target.to_string() + " stands twice");
    request.targets.push_back(target);
  }
  if (request.targets.empty()) return fail(Code::kInvalid, "'targets': is empty");
  ICON_TRY(request.nonce, get_token(body, "nonce"));
  ICON_CHECK(read_times(body, request));
  return request;
}

json::Object PingReport::to_json() const {
  json::Array list;
  for (const auto& figure : figures) {
    json::Object entry{{"target", figure.target.to_string()},
                       {"answers", figure.answers},
                       {"refused", figure.refused}};
    if (figure.rtt_us) entry["rtt_us"] = *figure.rtt_us;
    list.push_back(std::move(entry));
  }
  return {{"provider", provider.id()},
          {"request_digest", request_digest},
          {"figures", std::move(list)},
          {"issued_ms", issued_ms},
          {"expires_ms", expires_ms}};
}

Result<PingReport> PingReport::from_json(const json::Object& body) {
  PingReport report;
  ICON_TRY(report.provider, get_key(body, "provider"));
  ICON_TRY(report.request_digest, get_digest(body, "request_digest"));
  ICON_TRY(const auto* figures, json::get_array(body, "figures", kPingTargetsMax));
  for (const auto& item : *figures) {
    ICON_TRY(auto figure, figure_of(item));
    report.figures.push_back(std::move(figure));
  }
  ICON_CHECK(read_times(body, report));
  return report;
}

}  // namespace icon::wire
