#include "lab/relay_message.h"

#include <boost/json/serialize.hpp>
#include <cmath>

namespace icon::lab {
namespace {

json::Object place_to_json(const TapPlace& place) {
  return {{"netns", place.netns}, {"interface", place.interface}};
}

Result<TapPlace> place_from_json(const json::Object& object, std::string_view key) {
  ICON_TRY(const json::Object* place, json::get_object(object, key));
  TapPlace result;
  ICON_TRY(result.netns, json::get_string(*place, "netns", 64));
  ICON_TRY(result.interface, json::get_string(*place, "interface", 15));
  return result;
}

}  // namespace

// Whole micro-seconds, kilobits and millionths: our JSON carries integers only.
void shape_to_json(const Shape& shape, json::Object& object) {
  object["delay_us"] = std::llround(shape.delay_ms * 1e3);
  object["jitter_us"] = std::llround(shape.jitter_ms * 1e3);
  object["rate_kbit"] = std::llround(shape.rate_mbit * 1e3);
  object["loss_ppm"] = std::llround(shape.loss_percent * 1e4);
}

Result<Shape> shape_from_json(const json::Object& object) {
  const auto delay_us_max = static_cast<std::int64_t>(kDelayMsMax * 1e3);
  const auto rate_kbit_max = static_cast<std::int64_t>(kRateMbitMax * 1e3);
  ICON_TRY(const std::int64_t delay_us, json::get_int(object, "delay_us", 0, delay_us_max));
  ICON_TRY(const std::int64_t jitter_us, json::get_int(object, "jitter_us", 0, delay_us_max));
  ICON_TRY(const std::int64_t rate_kbit, json::get_int(object, "rate_kbit", 0, rate_kbit_max));
  ICON_TRY(const std::int64_t loss_ppm, json::get_int(object, "loss_ppm", 0, 1'000'000));
  return Shape{static_cast<double>(delay_us) / 1e3, static_cast<double>(jitter_us) / 1e3,
               static_cast<double>(rate_kbit) / 1e3, static_cast<double>(loss_ppm) / 1e4};
}

json::Object RelayLink::to_json() const {
  json::Object object{{"name", name}, {"a", place_to_json(a)}, {"b", place_to_json(b)}, {"up", up}};
  shape_to_json(shape, object);
  return object;
}

Result<RelayLink> RelayLink::from_json(const json::Object& object) {
  RelayLink link;
  ICON_TRY(link.name, json::get_string(object, "name", 64));
  ICON_TRY(link.a, place_from_json(object, "a"));
  ICON_TRY(link.b, place_from_json(object, "b"));
  ICON_TRY(link.shape, shape_from_json(object));
  ICON_TRY(link.up, json::get_bool(object, "up"));
  return link;
}

std::string RelayStart::to_text() const {
  json::Array list;
  for (const auto& link : links) list.push_back(link.to_json());
  return boost::json::serialize(json::Object{{"socket", socket_path}, {"links", std::move(list)}});
}

Result<RelayStart> RelayStart::from_text(std::string_view text) {
  ICON_TRY(json::Object object, json::parse_object(text, kRelayStartBytesMax));
  RelayStart start;
  ICON_TRY(start.socket_path, json::get_string(object, "socket", 100));
  ICON_TRY(const json::Array* list, json::get_array(object, "links", kLinksMax));
  for (const auto& item : *list) {
    if (!item.is_object()) return fail(Code::kInvalid, "links: not an object");
    ICON_TRY(RelayLink link, RelayLink::from_json(item.get_object()));
    start.links.push_back(std::move(link));
  }
  return start;
}

}  // namespace icon::lab
