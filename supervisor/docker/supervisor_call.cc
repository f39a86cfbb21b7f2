#include "supervisor/docker/supervisor_call.h"

#include <algorithm>
#include <boost/json/serialize.hpp>

#include "base/http_client.h"

namespace icon::supervisor {
namespace {

constexpr std::size_t kVariablesMax = 4096;
constexpr std::size_t kPathBytesMax = 4096;
constexpr std::size_t kAnswerBytesMax = 64 << 10;
constexpr Millis kAnswerLimit{30'000};
constexpr std::string_view kOurVariables[] = {"ICON_NAME=", "ICON_PUBLISH=", "ICON_POLICY="};

Result<std::string> post(const std::string& socket, std::string target, const json::Object& body) {
  http::UnixRequest request;
  request.socket_path = socket;
  request.method = "POST";
  request.target = std::move(target);
  request.body = boost::json::serialize(body);
  request.timeout = kAnswerLimit;
  const auto answer = http::request_blocking(std::move(request));
  if (!answer)
    return fail(Code::kUnavailable,
                "no supervisor to make this container an ICON: " + answer.error().message);
  return http::body_or_error(*answer);
}

}  // namespace

bool wants_to_be_icon(const json::Object& config) {
  const auto process = json::get_object(config, "process");
  if (!process || (*process)->if_contains("env") == nullptr) return false;
  const auto env = json::get_array(**process, "env", kVariablesMax);
  if (!env) return false;
  return std::any_of((*env)->begin(), (*env)->end(), [](const json::Value& variable) {
    return variable.is_string() &&
           std::any_of(std::begin(kOurVariables), std::end(kOurVariables), [&](auto ours) {
             return std::string_view(variable.get_string()).starts_with(ours);
           });
  });
}

Result<PreparedIcon> ask_for_icon(const std::string& socket, const std::string& container,
                                  const std::string& bundle) {
  const json::Object question{{"container", container}, {"bundle", bundle}};
  ICON_TRY(const auto text, post(socket, "/v1/docker", question));
  ICON_TRY(const auto answer, json::parse_object(text, kAnswerBytesMax));
  PreparedIcon icon;
  ICON_TRY(icon.id, json::get_string(answer, "id"));
  ICON_TRY(icon.directory, json::get_string(answer, "directory", kPathBytesMax));
  return icon;
}

Status say_it_is_made(const std::string& socket, const PreparedIcon& icon, int init_pid) {
  ICON_TRY(const auto text, post(socket, "/v1/docker/" + icon.id, json::Object{{"pid", init_pid}}));
  return {};
}

}  // namespace icon::supervisor
