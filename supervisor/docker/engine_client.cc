#include "supervisor/docker/engine_client.h"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/json/serialize.hpp>
#include <optional>
#include <sstream>

#include "base/socket_path.h"
#include "supervisor/curl_loop.h"

namespace icon::supervisor {
namespace {

namespace asio = boost::asio;

constexpr std::size_t kAnswerBytesMax = 8 << 20;
constexpr std::size_t kWordsMax = 1024;
constexpr std::size_t kPathListBytesMax = 64 << 10;
constexpr long kConnectionsIdleMax = 2;
constexpr Millis kImportLimit{60'000};
constexpr Millis kRemoveLimit{60'000};
constexpr Millis kStopLimit{120'000};       // the container may have a grace of its own
constexpr std::size_t kTarEndBytes = 1024;  // an archive without entries
constexpr const char* kRuntime = "icon";

struct FreeEasy {
  void operator()(CURL* easy) const { curl_easy_cleanup(easy); }
};
struct FreeList {
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};

Code code_of(long status) {
  switch (status) {
    case 400:
      return Code::kInvalid;
    case 404:
      return Code::kNotFound;
    case 409:
      return Code::kConflict;
    default:
      return Code::kIo;
  }
}

Result<std::vector<std::string>> texts(const json::Object& object, std::string_view key) {
  std::vector<std::string> words;
  const auto* value = object.if_contains(key);
  if (value == nullptr || value->is_null()) return words;
  ICON_TRY(const auto* array, json::get_array(object, key, kWordsMax));
  for (const auto& item : *array) {
    if (!item.is_string()) return fail(Code::kInvalid, "'" + std::string(key) + "' holds no texts");
    words.emplace_back(item.get_string());
  }
  return words;
}

}  // namespace

struct EngineClient::Transfer {
  explicit Transfer(IoContext& loop) : news(loop) {}
  Transfer(const Transfer&) = delete;
  Transfer& operator=(const Transfer&) = delete;

  asio::steady_timer news;  // cancelled at the end
  std::unique_ptr<CURL, FreeEasy> easy;
  std::unique_ptr<curl_slist, FreeList> headers;
  SocketPath socket;
  char error_text[CURL_ERROR_SIZE] = {};
  std::string body;
  std::optional<CURLcode> done;

  static std::size_t on_body(char* data, std::size_t, std::size_t size, void* pointer) {
    auto* self = static_cast<Transfer*>(pointer);
    if (self->body.size() + size > kAnswerBytesMax) return 0;
    self->body.append(data, size);
    return size;
  }

  // `call` must outlive the transfer.
  Status set_up(const std::string& socket_path, const EngineCall& call) {
    auto place = SocketPath::of(socket_path);
    if (!place)
      return fail(Code::kUnavailable,
                  "no Docker Engine at " + socket_path + ": " + place.error().message);
    socket = std::move(*place);
    easy.reset(curl_easy_init());
    if (!easy) return fail(Code::kInternal, "libcurl: no handle");
    const std::string url = "http://docker" + call.target;
    curl_easy_setopt(easy.get(), CURLOPT_URL, url.c_str());
    curl_easy_setopt(easy.get(), CURLOPT_PROTOCOLS_STR, "http");
    curl_easy_setopt(easy.get(), CURLOPT_PROXY, "");
    curl_easy_setopt(easy.get(), CURLOPT_UNIX_SOCKET_PATH, socket.text.c_str());
    curl_easy_setopt(easy.get(), CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy.get(), CURLOPT_ERRORBUFFER, error_text);
    curl_easy_setopt(easy.get(), CURLOPT_WRITEFUNCTION, &Transfer::on_body);
    curl_easy_setopt(easy.get(), CURLOPT_WRITEDATA, this);
    curl_easy_setopt(easy.get(), CURLOPT_TIMEOUT_MS, static_cast<long>(call.limit.count()));
    if (call.method == "POST") {
      curl_easy_setopt(easy.get(), CURLOPT_POST, 1L);
      curl_easy_setopt(easy.get(), CURLOPT_POSTFIELDSIZE_LARGE,
                       static_cast<curl_off_t>(call.body.size()));
      curl_easy_setopt(easy.get(), CURLOPT_POSTFIELDS, call.body.data());
      headers.reset(curl_slist_append(nullptr, ("Content-Type: " + call.content_type).c_str()));
      headers.reset(curl_slist_append(headers.release(), "Expect:"));
      curl_easy_setopt(easy.get(), CURLOPT_HTTPHEADER, headers.get());
    }
    curl_easy_setopt(easy.get(), CURLOPT_CUSTOMREQUEST, call.method.c_str());
    return {};
  }
};

EngineClient::EngineClient(IoContext& loop, std::string socket_path)
    : loop_(loop), socket_path_(std::move(socket_path)) {}

EngineClient::~EngineClient() {
  if (curl_) curl_->shut_down();
}

Task<Result<std::string>> EngineClient::call(EngineCall call) {
  if (!curl_) {
    ICON_CO_TRY(curl_, CurlLoop::create(loop_, kConnectionsIdleMax));
  }
  Transfer transfer(loop_);
  ICON_CO_CHECK(transfer.set_up(socket_path_, call));
  // Also when the coroutine is cancelled: libcurl lets go before the transfer dies.
  const auto leave = [curl = curl_](Transfer* gone) { curl->remove(gone->easy.get()); };
  const std::unique_ptr<Transfer, decltype(leave)> on_every_way_out(&transfer, leave);
  transfer.news.expires_at(asio::steady_timer::time_point::max());
  ICON_CO_CHECK(curl_->add(transfer.easy.get(), [&transfer](CURLcode code) {
    transfer.done = code;
    transfer.news.cancel();
  }));
  while (!transfer.done) co_await transfer.news.async_wait(asio::as_tuple(asio::use_awaitable));
  const std::string what = "Docker at " + socket_path_ + ": " + call.method + " " + call.target;
  if (*transfer.done == CURLE_COULDNT_CONNECT)
    co_return fail(Code::kUnavailable, "no Docker Engine answers at " + socket_path_ +
                                           ": start it, or set docker_socket");
  if (*transfer.done != CURLE_OK)
    co_return fail(*transfer.done == CURLE_OPERATION_TIMEDOUT ? Code::kTimeout : Code::kIo,
                   what + ": " + transfer.error_text);
  long status = 0;
  curl_easy_getinfo(transfer.easy.get(), CURLINFO_RESPONSE_CODE, &status);
  if (status < 400) co_return std::move(transfer.body);
  const auto object = json::parse_object(transfer.body, kAnswerBytesMax);
  const auto words = object ? json::get_string(*object, "message", kAnswerBytesMax)
                            : Result<std::string>(fail(Code::kInvalid, ""));
  co_return fail(code_of(status),
                 "Docker: " + (words ? *words : what + ": HTTP " + std::to_string(status)));
}

Task<Result<json::Object>> EngineClient::ask(EngineCall question) {
  ICON_CO_TRY(const auto text, co_await call(std::move(question)));
  co_return json::parse_object(text, kAnswerBytesMax);
}

Task<Status> EngineClient::check_runtime() {
  EngineCall question;
  question.target = "/info";
  ICON_CO_TRY(const auto info, co_await ask(std::move(question)));
  ICON_CO_TRY(const auto* runtimes, json::get_object(info, "Runtimes"));
  if (runtimes->contains(kRuntime)) co_return Status{};
  co_return fail(Code::kUnavailable,
                 "the Docker Engine has no runtime 'icon': add \"runtimes\": {\"icon\": {\"path\": "
                 "\".../icon-runc\"}} to its daemon.json and restart it");
}

Task<Result<DockerImage>> EngineClient::image(std::string name) {
  EngineCall question;
  question.target = "/images/" + name + "/json";
  ICON_CO_TRY(const auto object, co_await ask(std::move(question)));
  ICON_CO_TRY(const auto* driver, json::get_object(object, "GraphDriver"));
  ICON_CO_TRY(const auto driver_name, json::get_string(*driver, "Name"));
  if (driver_name != "overlay2")
    co_return fail(Code::kUnavailable, "the engine's storage driver is " + driver_name +
                                           ", not overlay2: unpack the image and give --rootfs");
  ICON_CO_TRY(const auto* data, json::get_object(*driver, "Data"));
  DockerImage image;
  ICON_CO_TRY(auto top, json::get_string(*data, "UpperDir", kPathListBytesMax));
  image.layers.push_back(std::move(top));
  ICON_CO_TRY(const auto lower, json::get_string_or(*data, "LowerDir", "", kPathListBytesMax));
  std::istringstream below(lower);
  for (std::string layer; std::getline(below, layer, ':');) image.layers.push_back(layer);
  ICON_CO_TRY(const auto* config, json::get_object(object, "Config"));
  ICON_CO_TRY(image.entrypoint, texts(*config, "Entrypoint"));
  ICON_CO_TRY(image.command, texts(*config, "Cmd"));
  ICON_CO_TRY(image.env, texts(*config, "Env"));
  ICON_CO_TRY(image.cwd, json::get_string_or(*config, "WorkingDir", ""));
  ICON_CO_TRY(image.user, json::get_string_or(*config, "User", ""));
  co_return image;
}

Task<Status> EngineClient::make_empty_image(std::string name) {
  EngineCall question;
  question.target = "/images/" + name + "/json";
  const auto known = co_await call(std::move(question));
  if (known) co_return Status{};
  if (known.error().code != Code::kNotFound) co_return fail(known.error());
  EngineCall import;
  import.method = "POST";
  import.target = "/images/create?fromSrc=-&repo=" + name;
  import.body.assign(kTarEndBytes, '\0');
  import.content_type = "application/x-tar";
  import.limit = kImportLimit;
  ICON_CO_TRY(const auto said, co_await call(std::move(import)));
  if (said.find("\"error\"") != std::string::npos)
    co_return fail(Code::kIo, "Docker imports no image: " + said.substr(0, 500));
  co_return Status{};
}

Task<Result<std::string>> EngineClient::create_container(std::string name, json::Object body) {
  EngineCall creation;
  creation.method = "POST";
  creation.target = "/containers/create?name=" + name;
  creation.body = boost::json::serialize(body);
  ICON_CO_TRY(const auto answer, co_await ask(std::move(creation)));
  co_return json::get_string(answer, "Id");
}

Task<Status> EngineClient::start_container(std::string id, Millis limit) {
  EngineCall start;
  start.method = "POST";
  start.target = "/containers/" + id + "/start";
  start.limit = limit;
  const auto started = co_await call(std::move(start));
  if (!started) co_return fail(started.error());
  co_return Status{};
}

Task<Result<json::Object>> EngineClient::inspect_container(std::string id_or_name) {
  EngineCall question;
  question.target = "/containers/" + id_or_name + "/json";
  co_return co_await ask(std::move(question));
}

Task<Status> EngineClient::stop_container(std::string id) {
  EngineCall stop;
  stop.method = "POST";
  stop.target = "/containers/" + id + "/stop";
  stop.limit = kStopLimit;
  const auto stopped = co_await call(std::move(stop));
  if (!stopped) co_return fail(stopped.error());
  co_return Status{};
}

Task<Status> EngineClient::rename_container(std::string id, std::string name) {
  EngineCall renaming;
  renaming.method = "POST";
  renaming.target = "/containers/" + id + "/rename?name=" + name;
  const auto renamed = co_await call(std::move(renaming));
  if (!renamed) co_return fail(renamed.error());
  co_return Status{};
}

Task<Result<int>> EngineClient::container_pid(std::string id) {
  ICON_CO_TRY(const auto container, co_await inspect_container(id));
  ICON_CO_TRY(const auto* state, json::get_object(container, "State"));
  ICON_CO_TRY(const auto pid, json::get_int(*state, "Pid", 0, 1 << 22));
  if (pid > 0) co_return static_cast<int>(pid);
  ICON_CO_TRY(const auto status, json::get_int_or(*state, "ExitCode", 0, -1, 1 << 20));
  co_return fail(Code::kNotFound, "the container ended at once, with status " +
                                      std::to_string(status) + ": see docker logs " +
                                      id.substr(0, 12));
}

Task<Result<int>> EngineClient::exit_status(std::string id, Millis limit) {
  EngineCall wait;
  wait.method = "POST";
  wait.target = "/containers/" + id + "/wait?condition=not-running";
  wait.limit = limit;
  ICON_CO_TRY(const auto answer, co_await ask(std::move(wait)));
  ICON_CO_TRY(const auto status, json::get_int(answer, "StatusCode", -1, 1 << 20));
  co_return static_cast<int>(status);
}

Task<Result<std::string>> EngineClient::find_container(std::string icon_id) {
  EngineCall question;
  // {"label":["icon.id=..."]}
  question.target = "/containers/json?all=1&filters=%7B%22label%22%3A%5B%22" +
                    std::string(kIconLabel) + "%3D" + icon_id + "%22%5D%7D";
  ICON_CO_TRY(const auto text, co_await call(std::move(question)));
  ICON_CO_TRY(const auto list, json::parse(text, kAnswerBytesMax));
  if (!list.is_array() || list.get_array().empty()) co_return std::string();
  if (!list.get_array().front().is_object())
    co_return fail(Code::kInvalid, "Docker: no containers");
  co_return json::get_string(list.get_array().front().get_object(), "Id");
}

Task<Status> EngineClient::remove_container(std::string id) {
  EngineCall removal;
  removal.method = "DELETE";
  removal.target = "/containers/" + id + "?force=1&v=1";
  removal.limit = kRemoveLimit;
  const auto removed = co_await call(std::move(removal));
  if (!removed && removed.error().code != Code::kNotFound) co_return fail(removed.error());
  co_return Status{};
}

}  // namespace icon::supervisor
