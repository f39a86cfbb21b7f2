#include "cli/path_view.h"

#include <fmt/format.h>

#include <algorithm>

#include "cli/table.h"
#include "cli/text.h"

namespace icon::cli {
namespace {

constexpr std::size_t kNameShown = 48;  // of a router's name: its end says whose it is
constexpr std::size_t kMessageShown = 120;

// The end of a long name, since that is where its owner stands.
std::string router_name(const std::string& name) {
  const auto safe = printable(name, wire::kMapNameBytesMax);
  if (safe.size() <= kNameShown) return safe;
  auto from = safe.size() - kNameShown + 3;
  while (from < safe.size() && (static_cast<unsigned char>(safe[from]) & 0xc0) == 0x80) ++from;
  return "..." + safe.substr(from);
}

std::string rtt_of(std::int64_t rtt_us) { return rtt_us > 0 ? human_us(rtt_us) : "-"; }

std::string basis_words(const std::string& basis) {
  if (basis == "delivered") return "as it was there";
  if (basis == "measured") return "by its own pings";
  if (basis == "on_path") return "by the path";
  if (basis == "configured") return "by the policy";
  if (basis == "via_here") return "no better than by way of here";
  return printable(basis);
}

PathOffer offer_of(const PathView& view, const wire::MapEstimate& estimate) {
  const auto& provider = view.map.providers[estimate.provider];
  PathOffer offer;
  offer.provider = provider.name.empty() ? "(no name)" : printable(provider.name);
  if (provider.state == "here") {
    offer.words = "the ICON is there";
    return offer;
  }
  if (provider.state != "offered") {
    offer.words = printable(provider.state);
    if (!provider.reason.empty()) offer.words += ": " + printable(provider.reason);
    if (!provider.message.empty()) offer.words += ", " + printable(provider.message, kMessageShown);
    if (provider.state == "known") offer.words = "not asked for a price";
  } else {
    offer.offered = true;
    offer.words =
        provider.price_ucredits ? human_credits(*provider.price_ucredits) + " credits" : "offers";
  }
  if (!estimate.rtt_us) return offer;
  offer.words += "; users at " + human_us(*estimate.rtt_us);
  if (const auto gain = view.path.rtt_us - *estimate.rtt_us; view.path.rtt_us > 0 && gain != 0)
    offer.words +=
        fmt::format(", {} {}", human_us(std::abs(gain)), gain > 0 ? "nearer" : "farther");
  offer.words +=
      fmt::format(", confidence {} % ({})", estimate.confidence, basis_words(estimate.basis));
  return offer;
}

std::string way_back(int back_hops, std::size_t ttl) {
  if (back_hops == 0 || static_cast<std::size_t>(back_hops) == ttl) return {};
  return fmt::format("answers come by {} {}: the way back is another one", back_hops,
                     back_hops == 1 ? "hop" : "hops");
}

PathStation station_of(const PathView& view, std::size_t ttl) {
  const auto& hop = view.path.hops[ttl - 1];
  PathStation station;
  station.number = std::to_string(ttl);
  if (hop.router < 0) {
    station.kind = PathStation::Kind::kSilent;
    station.address = "*";
    station.name = "silent";
    return station;
  }
  const auto& router = view.map.routers[static_cast<std::size_t>(hop.router)];
  station.address = router.address.to_string();
  station.name = router_name(router.name);
  station.owner = printable(router.domain);
  station.rtt = rtt_of(router.rtt_us);
  for (const auto& other : router.beside) station.beside.push_back(other.to_string());
  if (router.balanced) {
    std::string note = "load-balanced";
    for (const auto& other : station.beside)
      note += (note.size() == 13 ? ", takes turns with " : ", ") + other;
    station.notes.push_back(std::move(note));
  }
  if (auto note = way_back(hop.back_hops, ttl); !note.empty())
    station.notes.push_back(std::move(note));
  if (hop.inferred) station.notes.emplace_back("known from another trace");
  return station;
}

PathStation users_station(const PathView& view) {
  const auto& path = view.path;
  PathStation users;
  users.kind = PathStation::Kind::kUsers;
  users.address = path.target && path.reached ? path.target->to_string() : path.prefix.to_string();
  users.name = "users";
  users.rtt = rtt_of(path.rtt_us > 0 ? path.rtt_us : path.target_rtt_us);
  if (path.target && path.reached)
    if (auto note = way_back(path.target_back_hops, path.hops.size() + 1); !note.empty())
      users.notes.push_back(std::move(note));
  return users;
}

std::string trace_remark(const PathView& view) {
  const auto& path = view.path;
  if (!path.target) {
    if (path.prefix.address.is_non_public()) return "not traced: private addresses are not";
    if (path.rtt_us > 0 && path.rtt_us <= view.map.objective_us)
      return "not traced: these users are near enough";
    return "not traced yet";
  }
  auto remark = fmt::format("traced {} by {} to {}", human_time(view.map.traced_ms, view.now_ms),
                            printable(path.method), path.target->to_string());
  if (!path.reached) remark += ", which does not answer itself";
  if (!path.note.empty()) remark += " (" + printable(path.note) + ")";
  return remark;
}

}  // namespace

PathDrawing path_drawing(const PathView& view) {
  const auto& path = view.path;
  PathDrawing drawing;
  drawing.title = printable(view.icon_name) + " to " + path.prefix.to_string();
  auto users = fmt::format("{} connection{}", path.connections, path.connections == 1 ? "" : "s");
  if (path.rtt_us > 0) users += ", round trip " + human_us(path.rtt_us);
  drawing.remarks.push_back(users + ", objective " + human_us(view.map.objective_us));
  drawing.remarks.push_back(trace_remark(view));

  PathStation here;
  here.kind = PathStation::Kind::kHere;
  here.address = view.map.here_name.empty() ? "here" : printable(view.map.here_name);
  here.name = printable(view.icon_name) + " runs here";
  drawing.stations.push_back(std::move(here));
  for (std::size_t ttl = 1; ttl <= path.hops.size(); ++ttl)
    drawing.stations.push_back(station_of(view, ttl));
  drawing.gap_before_users = !path.target || !path.reached;
  for (const auto& estimate : path.estimates) {
    const auto ttl = static_cast<std::size_t>(estimate.on_path_ttl);
    auto& list =
        ttl > 0 && ttl <= path.hops.size() ? drawing.stations[ttl].offers : drawing.elsewhere;
    list.push_back(offer_of(view, estimate));
  }
  drawing.stations.push_back(users_station(view));
  return drawing;
}

json::Object path_json(const PathView& view) {
  const auto& [name, id, map, path, now_ms] = view;
  json::Array hops;
  for (const auto& hop : path.hops) {
    const auto ttl = static_cast<std::int64_t>(hops.size()) + 1;
    json::Object object{{"ttl", ttl}, {"address", nullptr}};
    if (hop.router >= 0) {
      const auto& router = map.routers[static_cast<std::size_t>(hop.router)];
      json::Array beside;
      for (const auto& other : router.beside) beside.emplace_back(other.to_string());
      object = {{"ttl", ttl},
                {"address", router.address.to_string()},
                {"name", router.name},
                {"domain", router.domain},
                {"rtt_us", router.rtt_us},
                {"balanced", router.balanced},
                {"beside", std::move(beside)},
                {"inferred", hop.inferred},
                {"back_hops", hop.back_hops}};
    }
    hops.push_back(std::move(object));
  }
  json::Array providers;
  for (const auto& estimate : path.estimates) {
    const auto& provider = map.providers[estimate.provider];
    json::Object object{{"name", provider.name},       {"id", provider.id},
                        {"domain", provider.domain},   {"source", provider.source},
                        {"state", provider.state},     {"reason", provider.reason},
                        {"message", provider.message}, {"on_path_ttl", estimate.on_path_ttl},
                        {"basis", estimate.basis},     {"confidence", estimate.confidence}};
    if (provider.price_ucredits) object["price_ucredits"] = *provider.price_ucredits;
    if (estimate.rtt_us) object["rtt_us_estimate"] = *estimate.rtt_us;
    providers.push_back(std::move(object));
  }
  json::Object object{{"icon", id},
                      {"icon_name", name},
                      {"here", json::Object{{"name", map.here_name}, {"id", map.here_id}}},
                      {"prefix", path.prefix.to_string()},
                      {"connections", path.connections},
                      {"rtt_us", path.rtt_us},
                      {"objective_us", map.objective_us},
                      {"seen_ms", map.seen_ms},
                      {"target", nullptr},
                      {"hops", std::move(hops)},
                      {"providers", std::move(providers)}};
  if (!path.target) return object;
  object["target"] = path.target->to_string();
  object["traced_ms"] = map.traced_ms;
  object["method"] = path.method;
  object["reached"] = path.reached;
  object["target_rtt_us"] = path.target_rtt_us;
  object["target_back_hops"] = path.target_back_hops;
  object["note"] = path.note;
  return object;
}

}  // namespace icon::cli
