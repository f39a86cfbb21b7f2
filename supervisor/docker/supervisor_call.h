// icon-runc's two words with the supervisor when an ICON begins with `docker run`: before the
// container is made, and when its first process is there.
#pragma once

#include <string>

#include "base/json.h"
#include "base/result.h"

namespace icon::supervisor {

// Where the supervisor listens unless the runtime's arguments say otherwise.
inline constexpr const char* kSupervisorSocket = "/run/icon/supervisor.sock";

// Whether a container asks to be an ICON: one of the ICON_ variables is set. `config` is the
// bundle's config.json. Pure.
bool wants_to_be_icon(const json::Object& config);

struct PreparedIcon {
  std::string id;
  std::string directory;
};
// Errors: the supervisor's; kUnavailable without one.
Result<PreparedIcon> ask_for_icon(const std::string& socket, const std::string& container,
                                  const std::string& bundle);
Status say_it_is_made(const std::string& socket, const PreparedIcon& icon, int init_pid);

}  // namespace icon::supervisor
