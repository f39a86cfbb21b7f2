// What the lab and its relay say to each other: the relay's start file and the requests on its
// socket (one JSON object per SOCK_SEQPACKET message).
//   {"op":"set","link":NAME,"delay_us":..,"jitter_us":..,"rate_kbit":..,"loss_ppm":..,"up":true}
//     -> {"ok":true} or {"error":".."}
//   {"op":"status","from":N} -> {"links":[..],"total":M}: at most kStatusPageLinks from number N on
// Pure.
#pragma once

#include <string>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "lab/topology.h"

namespace icon::lab {

inline constexpr std::size_t kRelayMessageBytesMax = std::size_t{64} * 1024;
inline constexpr std::size_t kRelayStartBytesMax = 4 << 20;
inline constexpr std::size_t kStatusPageLinks = 100;

struct TapPlace {
  std::string netns;
  std::string interface;
};

struct RelayLink {
  std::string name;
  TapPlace a;
  TapPlace b;
  Shape shape;
  bool up = true;

  json::Object to_json() const;
  static Result<RelayLink> from_json(const json::Object& object);
};

struct RelayStart {
  std::string socket_path;
  std::vector<RelayLink> links;

  std::string to_text() const;
  static Result<RelayStart> from_text(std::string_view text);
};

void shape_to_json(const Shape& shape, json::Object& object);
// Errors: kInvalid for a value that is missing or out of range.
Result<Shape> shape_from_json(const json::Object& object);

}  // namespace icon::lab
