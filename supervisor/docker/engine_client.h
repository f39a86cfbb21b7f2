// The Docker Engine's API on its unix socket, by libcurl. Only what an ICON's container needs.
// Loop thread only.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/json.h"
#include "base/result.h"
#include "base/task.h"

namespace icon::supervisor {

class CurlLoop;

// Every container of an ICON's has it.
inline constexpr const char* kIconLabel = "icon.id";

// An image as the engine has it, in the form in which we can run it without the engine.
struct DockerImage {
  std::vector<std::string> layers;  // directories, the topmost first
  std::vector<std::string> entrypoint;
  std::vector<std::string> command;
  std::vector<std::string> env;
  std::string cwd;
  std::string user;
};

struct EngineCall {
  std::string method = "GET";
  std::string target;
  std::string body;
  std::string content_type = "application/json";
  Millis limit{20'000};
};

class EngineClient {
 public:
  EngineClient(IoContext& loop, std::string socket_path);
  ~EngineClient();

  // Errors: kUnavailable when no engine answers, or it does not know the runtime "icon".
  Task<Status> check_runtime();
  // Errors: kNotFound; kUnavailable when its files do not lie in plain directories (overlay2).
  Task<Result<DockerImage>> image(std::string name);
  // An image without a file, for containers whose root is ours. Idempotent.
  Task<Status> make_empty_image(std::string name);
  // `body` as the API has it; the new id. Errors: kConflict: the name is taken; kNotFound: the
  // image.
  Task<Result<std::string>> create_container(std::string name, json::Object body);
  // Returns when it runs, however long that takes (`limit`). Errors: the runtime's own words.
  Task<Status> start_container(std::string id, Millis limit);
  // As the API says it. Errors: kNotFound.
  Task<Result<json::Object>> inspect_container(std::string id_or_name);
  // In its own time (SIGTERM, then SIGKILL). Not running: fine.
  Task<Status> stop_container(std::string id);
  Task<Status> rename_container(std::string id, std::string name);
  // PID 1 as this host sees it. Errors: kNotFound when it does not run.
  Task<Result<int>> container_pid(std::string id);
  // Waits until it has ended, then its exit status. Errors: kNotFound; kTimeout: it still runs.
  Task<Result<int>> exit_status(std::string id, Millis limit);
  // The container that was created for an ICON, by its label; empty when there is none.
  Task<Result<std::string>> find_container(std::string icon_id);
  // Also a running one, with what it left. Absent: fine.
  Task<Status> remove_container(std::string id);

 private:
  struct Transfer;
  // The answer's body. Errors: kNotFound (404), kConflict (409), kInvalid (400), kUnavailable, kIo.
  Task<Result<std::string>> call(EngineCall call);
  Task<Result<json::Object>> ask(EngineCall call);

  IoContext& loop_;
  const std::string socket_path_;
  std::shared_ptr<CurlLoop> curl_;
};

}  // namespace icon::supervisor
