#include "lab/relay_client.h"

#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include <boost/json/serialize.hpp>
#include <cerrno>
#include <cstring>

#include "base/fd.h"
#include "lab/relay_message.h"

namespace icon::lab {
namespace {

constexpr timeval kReplyLimit{3, 0};
constexpr std::int64_t kCounterMax = 1LL << 62;

Result<UniqueFd> connect_to(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) return fail(Code::kInvalid, "path too long: " + path);
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  UniqueFd fd(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  if (!fd) return fail_errno("socket");
  setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &kReplyLimit, sizeof kReplyLimit);
  setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &kReplyLimit, sizeof kReplyLimit);
  if (connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    return fail_errno("the lab's relay at " + path);
  return fd;
}

Result<json::Object> ask(const UniqueFd& relay, const json::Object& request) {
  const std::string text = boost::json::serialize(request);
  if (send(relay.get(), text.data(), text.size(), MSG_NOSIGNAL) < 0)
    return fail_errno("ask the lab's relay");
  std::string reply(kRelayMessageBytesMax, '\0');
  const ssize_t length = recv(relay.get(), reply.data(), reply.size(), 0);
  if (length < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
    return fail(Code::kTimeout, "the lab's relay does not answer");
  if (length <= 0) return fail(Code::kIo, "the lab's relay closed the connection");
  reply.resize(static_cast<std::size_t>(length));
  ICON_TRY(json::Object object, json::parse_object(reply, kRelayMessageBytesMax));
  if (object.contains("error")) {
    ICON_TRY(std::string message, json::get_string(object, "error"));
    return fail(Code::kInvalid, "relay: " + message);
  }
  return object;
}

Result<LineCounters> counters_from_json(const json::Object& link, std::string_view key) {
  ICON_TRY(const json::Object* object, json::get_object(link, key));
  const auto value = [&](std::string_view name) -> Result<std::uint64_t> {
    ICON_TRY(const std::int64_t number, json::get_int(*object, name, 0, kCounterMax));
    return static_cast<std::uint64_t>(number);
  };
  LineCounters counters;
  ICON_TRY(counters.packets, value("packets"));
  ICON_TRY(counters.bytes, value("bytes"));
  ICON_TRY(counters.lost, value("lost"));
  ICON_TRY(counters.dropped, value("dropped"));
  return counters;
}

}  // namespace

Result<std::map<std::string, CarriedState>> relay_status(const std::string& socket_path) {
  ICON_TRY(UniqueFd relay, connect_to(socket_path));
  std::map<std::string, CarriedState> states;
  for (std::size_t from = 0;; from += kStatusPageLinks) {
    ICON_TRY(json::Object page, ask(relay, {{"op", "status"}, {"from", from}}));
    ICON_TRY(const std::int64_t total, json::get_int(page, "total", 0, kLinksMax));
    ICON_TRY(const json::Array* list, json::get_array(page, "links", kStatusPageLinks));
    for (const auto& item : *list) {
      if (!item.is_object()) return fail(Code::kInvalid, "relay: links: not an object");
      const auto& object = item.get_object();
      ICON_TRY(std::string name, json::get_string(object, "name", 64));
      CarriedState& state = states[name];
      ICON_TRY(state.shape, shape_from_json(object));
      ICON_TRY(state.up, json::get_bool(object, "up"));
      ICON_TRY(state.from_a, counters_from_json(object, "from_a"));
      ICON_TRY(state.from_b, counters_from_json(object, "from_b"));
    }
    if (static_cast<std::int64_t>(from + kStatusPageLinks) >= total) return states;
  }
}

Status relay_set(const std::string& socket_path, const std::string& link, const Shape& shape,
                 bool up) {
  ICON_TRY(UniqueFd relay, connect_to(socket_path));
  json::Object request{{"op", "set"}, {"link", link}, {"up", up}};
  shape_to_json(shape, request);
  ICON_TRY([[maybe_unused]] json::Object reply, ask(relay, request));
  return {};
}

}  // namespace icon::lab
