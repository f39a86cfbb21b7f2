#include "agent/map_report.h"

#include <algorithm>
#include <boost/json/serialize.hpp>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <utility>

namespace icon::agent {
namespace {

bool is_utf8(const std::string& text) {
  return json::parse(boost::json::serialize(json::Value(text)), 8 * text.size() + 8).has_value();
}

// A text within the map's limits, without what would have the whole map refused: names come from
// strangers.
std::string fit(std::string_view text, std::size_t bytes_max = wire::kMapNameBytesMax) {
  const auto byte_at = [&text](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  if (text.size() > bytes_max) {
    std::size_t end = bytes_max;
    while (end > 0 && (byte_at(end) & 0xc0) == 0x80) --end;  // in the middle of a character
    text = text.substr(0, end);
  }
  const bool utf8 = is_utf8(std::string(text));
  std::string fitted;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto byte = byte_at(i);
    const bool c1 = byte == 0xc2 && i + 1 < text.size() && byte_at(i + 1) < 0xa0;
    if (c1 && utf8) ++i;
    const bool bad = byte < 0x20 || byte == 0x7f || c1 || (byte >= 0x80 && !utf8);
    fitted += bad ? '?' : static_cast<char>(byte);
  }
  return fitted;
}

std::int64_t in_range(std::int64_t rtt_us) {
  return std::clamp<std::int64_t>(rtt_us, 0, 3'600'000'000);
}

class RouterList {
 public:
  RouterList(const discovery::DiscoveryReport& report, wire::NetworkMap& map) : map_(map) {
    for (const auto& name : report.names) names_.emplace(name.address, &name);
    for (const auto& router : report.routers) seen_.emplace(router.address, &router);
  }

  std::int64_t place_of(const discovery::Hop& hop) {
    if (!hop.address) return -1;
    const auto [known, first] =
        places_.emplace(*hop.address, static_cast<std::int64_t>(map_.routers.size()));
    if (!first) return known->second;
    if (map_.routers.size() >= wire::kMapRoutersMax) {
      places_.erase(known);
      return -1;
    }
    wire::MapRouter router;
    router.address = *hop.address;
    router.rtt_us = in_range(hop.rtt_us_min);
    router.balanced = hop.balanced;
    if (const auto name = names_.find(*hop.address); name != names_.end()) {
      router.name = fit(name->second->name);
      router.domain = fit(name->second->domain);
    }
    if (const auto seen = seen_.find(*hop.address); seen != seen_.end()) {
      router.beside = seen->second->beside;
      if (router.beside.size() > wire::kMapBesideMax) router.beside.resize(wire::kMapBesideMax);
    }
    map_.routers.push_back(std::move(router));
    return known->second;
  }

 private:
  wire::NetworkMap& map_;
  std::map<Address, const discovery::HopName*> names_;
  std::map<Address, const discovery::RouterSeen*> seen_;
  std::map<Address, std::int64_t> places_;
};

wire::MapPath path_of(const Prefix& prefix, const discovery::TraceResult& trace,
                      RouterList& routers) {
  wire::MapPath path;
  path.prefix = prefix;
  path.target = trace.target;
  path.method = to_string(trace.method);
  path.reached = trace.reached;
  path.note = fit(trace.note, wire::kMapTextBytesMax);
  for (const auto& hop : trace.hops) {
    if (trace.reached && hop.address == trace.target) {
      path.target_rtt_us = in_range(hop.rtt_us_min);
      path.target_back_hops = hop.back_hops;
      break;
    }
    if (path.hops.size() == wire::kMapHopsMax) break;
    path.hops.push_back({routers.place_of(hop), hop.inferred, hop.back_hops});
  }
  return path;
}

wire::MapProvider provider_of(const ProviderView& view, const HereView& here) {
  wire::MapProvider provider;
  provider.name = fit(view.names.name);
  provider.id = fit(view.names.id);
  provider.domain = fit(view.names.domain);
  provider.source = view.source;
  provider.state = !view.names.id.empty() && view.names.id == here.id ? "here"
                   : !view.rejection                       ? view.offer ? "offered" : "known"
                   : view.rejection->code == "unreachable" ? "unreachable"
                                                           : "rejected";
  if (view.rejection) {
    provider.reason = fit(view.rejection->code, 32);
    provider.message = fit(view.rejection->message, wire::kMapTextBytesMax);
  }
  if (view.offer) provider.price_ucredits = view.offer->price_ucredits;
  return provider;
}

// Who is on the path comes first, by distance from here; of the others the nearest to the users.
bool before(const wire::MapEstimate& a, const wire::MapEstimate& b) {
  const auto rank = [](const wire::MapEstimate& one) {
    return std::make_tuple(one.on_path_ttl == 0, one.on_path_ttl, !one.rtt_us,
                           one.rtt_us.value_or(0), one.provider);
  };
  return rank(a) < rank(b);
}

std::vector<wire::MapEstimate> estimates_of(const MapInput& input, const Prefix& prefix,
                                            std::optional<std::size_t> place) {
  std::vector<wire::MapEstimate> estimates;
  const std::size_t count = std::min(input.seen.providers.size(), wire::kMapProvidersMax);
  for (std::size_t i = 0; i < count; ++i) {
    wire::MapEstimate estimate;
    estimate.provider = i;
    const auto& on_path = input.seen.providers[i].on_path_ttl;
    if (const auto found = on_path.find(prefix); found != on_path.end())
      estimate.on_path_ttl = std::clamp(found->second, 0, static_cast<int>(wire::kMapHopsMax));
    if (place && i < input.candidates.size() && *place < input.candidates[i].estimates.size()) {
      const auto& of = input.candidates[i].estimates[*place];
      if (of.rtt_us) estimate.rtt_us = in_range(*of.rtt_us);
      estimate.confidence = std::clamp<std::int64_t>(of.confidence, 0, budget::kCertain);
      estimate.basis = budget::to_string(of.basis);
    }
    if (estimate.on_path_ttl > 0 || estimate.rtt_us) estimates.push_back(std::move(estimate));
  }
  std::sort(estimates.begin(), estimates.end(), &before);
  if (estimates.size() > wire::kMapEstimatesMax) estimates.resize(wire::kMapEstimatesMax);
  return estimates;
}

void leave_out_unused_routers(wire::NetworkMap& map) {
  const auto all = std::exchange(map.routers, {});
  std::map<std::int64_t, std::int64_t> places;
  for (auto& path : map.paths)
    for (auto& hop : path.hops) {
      if (hop.router < 0) continue;
      const auto [known, first] =
          places.emplace(hop.router, static_cast<std::int64_t>(map.routers.size()));
      if (first) map.routers.push_back(all[static_cast<std::size_t>(hop.router)]);
      hop.router = known->second;
    }
}

}  // namespace

wire::NetworkMap traced_map(const discovery::DiscoveryReport& report,
                            std::span<const Prefix> prefixes, UtcMillis now_ms) {
  wire::NetworkMap map;
  map.traced_ms = now_ms;
  RouterList routers(report, map);
  const std::set<Prefix> wanted(prefixes.begin(), prefixes.end());
  for (const auto& trace : report.traces) {
    if (map.paths.size() == wire::kMapPathsMax) break;
    const auto prefix = Prefix::of_user(trace.target);
    if (wanted.contains(prefix)) map.paths.push_back(path_of(prefix, trace, routers));
  }
  return map;
}

wire::NetworkMap network_map(const MapInput& input) {
  wire::NetworkMap map;
  map.seen_ms = input.now_ms;
  map.traced_ms = input.traced.traced_ms;
  map.here_name = fit(input.seen.here.name);
  map.here_id = fit(input.seen.here.id);
  map.prefixes_total = input.prefixes_total;
  map.objective_us = in_range(input.objective_us);
  map.routers = input.traced.routers;
  for (const auto& provider : input.seen.providers)
    if (map.providers.size() < wire::kMapProvidersMax)
      map.providers.push_back(provider_of(provider, input.seen.here));
  std::map<Prefix, const wire::MapPath*> traced;
  for (const auto& path : input.traced.paths) traced.emplace(path.prefix, &path);
  std::map<Prefix, std::size_t> places;
  for (std::size_t i = 0; i < input.seen.prefixes.size(); ++i)
    places.emplace(input.seen.prefixes[i].prefix, i);
  for (const auto& user : input.users) {
    if (map.paths.size() == wire::kMapPathsMax) break;
    wire::MapPath path;
    if (const auto known = traced.find(user.prefix); known != traced.end()) path = *known->second;
    path.prefix = user.prefix;
    path.connections = user.connections;
    path.rtt_us = user.rtt_us_p50;
    std::optional<std::size_t> place;
    if (const auto found = places.find(user.prefix); found != places.end()) {
      place = found->second;
      path.rtt_us = input.seen.prefixes[found->second].rtt_us;
    }
    path.rtt_us = in_range(path.rtt_us);
    path.estimates = estimates_of(input, user.prefix, place);
    map.paths.push_back(std::move(path));
  }
  leave_out_unused_routers(map);  // users who have left
  return map;
}

json::Object map_json(wire::NetworkMap map) {
  for (;;) {
    auto object = map.to_json();
    if (boost::json::serialize(object).size() <= wire::kMapBytesMax || map.paths.empty())
      return object;
    map.paths.resize(map.paths.size() / 2);
    leave_out_unused_routers(map);
  }
}

}  // namespace icon::agent
