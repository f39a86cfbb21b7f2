#include "lab/lab_files.h"

#include <boost/json/serialize.hpp>
#include <limits>

namespace icon::lab {
namespace {
constexpr std::size_t kServicesMax = 16;
}

std::string LabState::to_text() const {
  json::Array list;
  for (const auto& service : services)
    list.push_back(json::Object{{"pid", service.pid},
                                {"start_ticks", service.start_ticks},
                                {"executable", service.executable}});
  return boost::json::serialize(json::Object{{"name", name},
                                             {"started_ms", started_ms},
                                             {"bound_to_caller", bound_to_caller},
                                             {"services", std::move(list)}});
}

Result<LabState> LabState::from_text(std::string_view text) {
  constexpr auto kAny = std::numeric_limits<std::int64_t>::max();
  ICON_TRY(json::Object object, json::parse_object(text, kStateBytesMax));
  LabState state;
  ICON_TRY(state.name, json::get_string(object, "name", 16));
  ICON_TRY(state.started_ms, json::get_int(object, "started_ms", 0, kAny));
  ICON_TRY(state.bound_to_caller, json::get_bool(object, "bound_to_caller"));
  ICON_TRY(const json::Array* list, json::get_array(object, "services", kServicesMax));
  for (const auto& item : *list) {
    if (!item.is_object()) return fail(Code::kInvalid, "services: not an object");
    ProcessIdentity service;
    ICON_TRY(const std::int64_t pid, json::get_int(item.get_object(), "pid", 1, 1 << 30));
    ICON_TRY(const std::int64_t ticks, json::get_int(item.get_object(), "start_ticks", 0, kAny));
    service.pid = static_cast<int>(pid);
    service.start_ticks = static_cast<std::uint64_t>(ticks);
    ICON_TRY(service.executable, json::get_string(item.get_object(), "executable", 64));
    state.services.push_back(std::move(service));
  }
  return state;
}

}  // namespace icon::lab
