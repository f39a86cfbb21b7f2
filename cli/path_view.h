// One path of a map, drawn: for a terminal, for graphviz, for a browser, for machines. Pure. Names
// in it are what strangers' zones say: each format makes them harmless in its own way.
#pragma once

#include <string>
#include <vector>

#include "base/clock.h"
#include "base/json.h"
#include "wire/network_map.h"

namespace icon::cli {

struct PathView {
  std::string icon_name;
  std::string icon_id;
  const wire::NetworkMap& map;
  const wire::MapPath& path;  // of `map`
  UtcMillis now_ms = 0;
};

// What every drawing consists of. Texts are safe on a terminal.
struct PathOffer {
  std::string provider;
  std::string words;  // price, estimate, confidence; or why it is out of the question
  bool offered = false;
};
struct PathStation {
  enum class Kind { kHere, kHop, kSilent, kUsers };
  Kind kind = Kind::kHop;
  std::string number;   // TTL
  std::string address;  // or what stands for it
  std::string name;
  std::string owner;
  std::string rtt;
  std::vector<std::string> beside;  // addresses that take turns with this one
  std::vector<std::string> notes;
  std::vector<PathOffer> offers;  // of those whose network begins here
};
struct PathDrawing {
  std::string title;
  std::vector<std::string> remarks;   // under it
  std::vector<PathStation> stations;  // from here to the users
  bool gap_before_users = false;      // what lies before them is not known
  std::vector<PathOffer> elsewhere;   // providers that are not on this path
};
PathDrawing path_drawing(const PathView& view);

std::string path_text(const PathView& view, bool colour);
std::string path_dot(const PathView& view);
std::string path_svg(const PathView& view);
json::Object path_json(const PathView& view);

}  // namespace icon::cli
