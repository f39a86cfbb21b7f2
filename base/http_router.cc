#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "base/http_server.h"
#include "base/http_text.h"

namespace icon::http {
namespace {

bool is_parameter(std::string_view part) {
  return part.size() > 2 && part.front() == '{' && part.back() == '}';
}

}  // namespace

std::vector<std::string_view> split_path(std::string_view path) {
  std::vector<std::string_view> parts;
  if (!path.empty() && path.front() == '/') path.remove_prefix(1);
  while (!path.empty()) {
    const auto end = std::min(path.find('/'), path.size());
    parts.push_back(path.substr(0, end));
    path.remove_prefix(std::min(end + 1, path.size()));
  }
  return parts;
}

std::optional<std::string> percent_decode(std::string_view text, bool plus_is_space) {
  const auto digit = [](char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
  };
  std::string result;
  for (std::size_t i = 0; i < text.size(); ++i) {
    char c = text[i];
    if (c == '%') {
      if (i + 2 >= text.size()) return std::nullopt;
      const int high = digit(text[i + 1]);
      const int low = digit(text[i + 2]);
      if (high < 0 || low < 0) return std::nullopt;
      c = static_cast<char>(high * 16 + low);
      i += 2;
    } else if (c == '+' && plus_is_space) {
      c = ' ';
    }
    // These would end up in logs and file names.
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) return std::nullopt;
    result += c;
  }
  return result;
}

std::optional<std::map<std::string, std::string>> parse_query(std::string_view text) {
  std::map<std::string, std::string> query;
  while (!text.empty()) {
    if (query.size() >= kQueryParametersMax) return std::nullopt;
    const auto end = std::min(text.find('&'), text.size());
    const auto pair = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (pair.empty()) continue;
    const auto equals = std::min(pair.find('='), pair.size());
    auto name = percent_decode(pair.substr(0, equals), true);
    auto value =
        percent_decode(equals < pair.size() ? pair.substr(equals + 1) : std::string_view{}, true);
    if (!name || !value) return std::nullopt;
    query.insert_or_assign(std::move(*name), std::move(*value));
  }
  return query;
}

void Router::on(std::string method, std::string pattern, Handler handler) {
  add(std::move(method), pattern).handler = std::move(handler);
}

void Router::on_upload(std::string method, std::string pattern, UploadHandler handler) {
  add(std::move(method), pattern).upload = std::move(handler);
}

void Router::on_stream(std::string method, std::string pattern, StreamHandler handler) {
  add(std::move(method), pattern).stream = std::move(handler);
}

Router::Route& Router::add(std::string method, std::string_view pattern) {
  Route route;
  route.method = std::move(method);
  for (const auto part : split_path(pattern)) route.parts.emplace_back(part);
  for (const auto& other : routes_)
    ICON_ASSERT(other.method != route.method || other.parts != route.parts);
  routes_.push_back(std::move(route));
  return routes_.back();
}

Router::Match Router::find(std::string_view method, std::string_view path) const {
  Match match;
  const auto parts = split_path(path);
  const Route* best = nullptr;
  // A literal part beats a parameter, so that /v1/icons/{id} does not hide /v1/icons/all.
  std::size_t best_literals = 0;
  for (const auto& route : routes_) {
    if (route.parts.size() != parts.size()) continue;
    std::size_t literals = 0;
    bool fits = true;
    for (std::size_t i = 0; fits && i < parts.size(); ++i) {
      if (is_parameter(route.parts[i])) {
        fits = !parts[i].empty();
      } else {
        fits = route.parts[i] == parts[i];
        ++literals;
      }
    }
    if (!fits) continue;
    match.path_known = true;
    if (route.method != method) continue;
    if (best == nullptr || literals > best_literals) {
      best = &route;
      best_literals = literals;
    }
  }
  if (best == nullptr) return match;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    if (!is_parameter(best->parts[i])) continue;
    auto value = percent_decode(parts[i], false);
    if (!value) return Match{};
    match.params.emplace(best->parts[i].substr(1, best->parts[i].size() - 2), std::move(*value));
  }
  if (best->handler) match.handler = &best->handler;
  if (best->upload) match.upload = &best->upload;
  if (best->stream) match.stream = &best->stream;
  return match;
}

}  // namespace icon::http
