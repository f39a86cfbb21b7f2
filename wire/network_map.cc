#include "wire/network_map.h"

#include "wire/fields.h"

namespace icon::wire {
namespace {

constexpr std::int64_t kVersion = 1;
constexpr std::int64_t kCountMax = std::int64_t{1} << 40;
constexpr std::int64_t kRttUsMax = 3'600'000'000;
constexpr std::int64_t kPercentMax = 100;
constexpr std::size_t kWordBytesMax = 32;
constexpr std::size_t kAddressBytesMax = 64;
constexpr int kBackHopsMax = 255;

Result<const json::Object*> object_at(const json::Value& value, const char* list) {
  const auto* object = value.if_object();
  if (object == nullptr)
    return fail(Code::kInvalid, "'" + std::string(list) + "': not a list of objects");
  return object;
}

Result<bool> flag(const json::Object& object, std::string_view key) {
  if (object.if_contains(key) == nullptr) return false;
  return json::get_bool(object, key);
}

Result<std::string> name_of(const json::Object& object, std::string_view key) {
  return get_text(object, key, kMapNameBytesMax);
}

Result<std::string> word_of(const json::Object& object, std::string_view key) {
  return get_text(object, key, kWordBytesMax);
}

json::Object to_json(const MapRouter& router) {
  json::Object object{{"address", router.address.to_string()},
                      {"name", router.name},
                      {"domain", router.domain},
                      {"rtt_us", router.rtt_us},
                      {"balanced", router.balanced}};
  json::Array beside;
  for (const auto& other : router.beside) beside.emplace_back(other.to_string());
  object["beside"] = std::move(beside);
  return object;
}

Result<MapRouter> router_from(const json::Value& value) {
  ICON_TRY(const auto* object, object_at(value, "routers"));
  MapRouter router;
  ICON_TRY(const auto address, json::get_string(*object, "address", kAddressBytesMax));
  ICON_TRY(router.address, Address::parse(address));
  ICON_TRY(router.name, name_of(*object, "name"));
  ICON_TRY(router.domain, name_of(*object, "domain"));
  ICON_TRY(router.rtt_us, json::get_int(*object, "rtt_us", 0, kRttUsMax));
  ICON_TRY(router.balanced, json::get_bool(*object, "balanced"));
  ICON_TRY(const auto* beside, json::get_array(*object, "beside", kMapBesideMax));
  for (const auto& item : *beside) {
    if (!item.is_string()) return fail(Code::kInvalid, "'beside': not a list of addresses");
    const auto& text = item.get_string();
    ICON_TRY(const auto other, Address::parse({text.data(), text.size()}));
    router.beside.push_back(other);
  }
  return router;
}

// Most hops have nothing to say but who they are.
json::Object to_json(const MapHop& hop) {
  json::Object object{{"router", hop.router}};
  if (hop.inferred) object["inferred"] = true;
  if (hop.back_hops != 0) object["back_hops"] = hop.back_hops;
  return object;
}

Result<MapHop> hop_from(const json::Value& value, std::size_t routers) {
  ICON_TRY(const auto* object, object_at(value, "hops"));
  MapHop hop;
  ICON_TRY(hop.router,
           json::get_int(*object, "router", -1, static_cast<std::int64_t>(routers) - 1));
  ICON_TRY(hop.inferred, flag(*object, "inferred"));
  ICON_TRY(const auto back, json::get_int_or(*object, "back_hops", 0, 0, kBackHopsMax));
  hop.back_hops = static_cast<int>(back);
  return hop;
}

json::Object to_json(const MapProvider& provider) {
  json::Object object{{"name", provider.name},      {"id", provider.id},
                      {"domain", provider.domain},  {"source", provider.source},
                      {"state", provider.state},    {"reason", provider.reason},
                      {"message", provider.message}};
  if (provider.price_ucredits) object["price_ucredits"] = *provider.price_ucredits;
  return object;
}

Result<MapProvider> provider_from(const json::Value& value) {
  ICON_TRY(const auto* object, object_at(value, "providers"));
  MapProvider provider;
  ICON_TRY(provider.name, name_of(*object, "name"));
  ICON_TRY(provider.id, name_of(*object, "id"));
  ICON_TRY(provider.domain, name_of(*object, "domain"));
  ICON_TRY(provider.source, word_of(*object, "source"));
  ICON_TRY(provider.state, word_of(*object, "state"));
  ICON_TRY(provider.reason, word_of(*object, "reason"));
  ICON_TRY(provider.message, get_text(*object, "message", kMapTextBytesMax));
  if (object->if_contains("price_ucredits") != nullptr) {
    ICON_TRY(provider.price_ucredits, get_money(*object, "price_ucredits"));
  }
  return provider;
}

json::Object to_json(const MapEstimate& estimate) {
  json::Object object{{"provider", static_cast<std::int64_t>(estimate.provider)},
                      {"confidence", estimate.confidence},
                      {"basis", estimate.basis}};
  if (estimate.on_path_ttl > 0) object["on_path_ttl"] = estimate.on_path_ttl;
  if (estimate.rtt_us) object["rtt_us"] = *estimate.rtt_us;
  return object;
}

Result<MapEstimate> estimate_from(const json::Value& value, std::size_t providers) {
  ICON_TRY(const auto* object, object_at(value, "estimates"));
  MapEstimate estimate;
  ICON_TRY(const auto provider,
           json::get_int(*object, "provider", 0, static_cast<std::int64_t>(providers) - 1));
  estimate.provider = static_cast<std::size_t>(provider);
  ICON_TRY(const auto ttl, json::get_int_or(*object, "on_path_ttl", 0, 0, kMapHopsMax));
  estimate.on_path_ttl = static_cast<int>(ttl);
  ICON_TRY(const auto rtt_us, json::get_int_or(*object, "rtt_us", -1, 0, kRttUsMax));
  if (rtt_us >= 0) estimate.rtt_us = rtt_us;
  ICON_TRY(estimate.confidence, json::get_int(*object, "confidence", 0, kPercentMax));
  ICON_TRY(estimate.basis, word_of(*object, "basis"));
  return estimate;
}

json::Object to_json(const MapPath& path) {
  json::Object object{{"prefix", path.prefix.to_string()},
                      {"connections", path.connections},
                      {"rtt_us", path.rtt_us}};
  json::Array estimates;
  for (const auto& estimate : path.estimates) estimates.push_back(to_json(estimate));
  object["estimates"] = std::move(estimates);
  if (!path.target) return object;
  object["target"] = path.target->to_string();
  object["method"] = path.method;
  object["reached"] = path.reached;
  object["target_rtt_us"] = path.target_rtt_us;
  object["target_back_hops"] = path.target_back_hops;
  object["note"] = path.note;
  json::Array hops;
  for (const auto& hop : path.hops) hops.push_back(to_json(hop));
  object["hops"] = std::move(hops);
  return object;
}

Status read_trace(const json::Object& object, std::size_t routers, MapPath& path) {
  if (object.if_contains("target") == nullptr) return {};
  ICON_TRY(const auto target, json::get_string(object, "target", kAddressBytesMax));
  ICON_TRY(path.target, Address::parse(target));
  if (!path.prefix.contains(*path.target))
    return fail(Code::kInvalid, "'target': not in " + path.prefix.to_string());
  ICON_TRY(path.method, word_of(object, "method"));
  ICON_TRY(path.reached, json::get_bool(object, "reached"));
  ICON_TRY(path.target_rtt_us, json::get_int(object, "target_rtt_us", 0, kRttUsMax));
  ICON_TRY(const auto back, json::get_int(object, "target_back_hops", 0, kBackHopsMax));
  path.target_back_hops = static_cast<int>(back);
  ICON_TRY(path.note, get_text(object, "note", kMapTextBytesMax));
  ICON_TRY(const auto* hops, json::get_array(object, "hops", kMapHopsMax));
  for (const auto& item : *hops) {
    ICON_TRY(const auto hop, hop_from(item, routers));
    path.hops.push_back(hop);
  }
  return {};
}

Result<MapPath> path_from(const json::Value& value, std::size_t routers, std::size_t providers) {
  ICON_TRY(const auto* object, object_at(value, "paths"));
  MapPath path;
  ICON_TRY(const auto prefix, json::get_string(*object, "prefix", kAddressBytesMax));
  ICON_TRY(path.prefix, Prefix::parse(prefix));
  ICON_TRY(path.connections, json::get_int(*object, "connections", 0, kCountMax));
  ICON_TRY(path.rtt_us, json::get_int(*object, "rtt_us", 0, kRttUsMax));
  ICON_TRY(const auto* estimates, json::get_array(*object, "estimates", kMapEstimatesMax));
  for (const auto& item : *estimates) {
    ICON_TRY(auto estimate, estimate_from(item, providers));
    path.estimates.push_back(std::move(estimate));
  }
  ICON_CHECK(read_trace(*object, routers, path));
  return path;
}

template <class Item>
json::Array list_of(const std::vector<Item>& items) {
  json::Array list;
  for (const auto& item : items) list.push_back(to_json(item));
  return list;
}

}  // namespace

json::Object NetworkMap::to_json() const {
  return {
      {"version", kVersion},          {"seen_ms", seen_ms},
      {"traced_ms", traced_ms},       {"here", json::Object{{"name", here_name}, {"id", here_id}}},
      {"objective_us", objective_us}, {"prefixes_total", prefixes_total},
      {"routers", list_of(routers)},  {"providers", list_of(providers)},
      {"paths", list_of(paths)}};
}

Result<NetworkMap> NetworkMap::from_json(const json::Object& object) {
  NetworkMap map;
  ICON_CHECK(json::get_int(object, "version", kVersion, kVersion));
  ICON_TRY(map.seen_ms, get_time(object, "seen_ms"));
  ICON_TRY(map.traced_ms, get_time(object, "traced_ms"));
  ICON_TRY(const auto* here, json::get_object(object, "here"));
  ICON_TRY(map.here_name, name_of(*here, "name"));
  ICON_TRY(map.here_id, name_of(*here, "id"));
  ICON_TRY(map.objective_us, json::get_int(object, "objective_us", 0, kRttUsMax));
  ICON_TRY(map.prefixes_total, json::get_int(object, "prefixes_total", 0, kCountMax));
  ICON_TRY(const auto* routers, json::get_array(object, "routers", kMapRoutersMax));
  for (const auto& item : *routers) {
    ICON_TRY(auto router, router_from(item));
    map.routers.push_back(std::move(router));
  }
  ICON_TRY(const auto* providers, json::get_array(object, "providers", kMapProvidersMax));
  for (const auto& item : *providers) {
    ICON_TRY(auto provider, provider_from(item));
    map.providers.push_back(std::move(provider));
  }
  ICON_TRY(const auto* paths, json::get_array(object, "paths", kMapPathsMax));
  for (const auto& item : *paths) {
    ICON_TRY(auto path, path_from(item, map.routers.size(), map.providers.size()));
    map.paths.push_back(std::move(path));
  }
  return map;
}

}  // namespace icon::wire
