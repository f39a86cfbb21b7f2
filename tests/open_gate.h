// Holds whoever opens a file or directory until the test lets them through: an event that tells
// that something has come that far, and a way to keep it there (fanotify(7), permission events).
// When the test ends, the kernel lets everybody through.
#pragma once

#include <fcntl.h>
#include <poll.h>
#include <sys/fanotify.h>
#include <unistd.h>

#include <string>

#include "base/clock.h"
#include "base/fd.h"

namespace icon::test {

class OpenGate {
 public:
  // `path` exists; the gate stays with it when it is renamed.
  explicit OpenGate(const std::string& path)
      : group_(fanotify_init(FAN_CLASS_CONTENT | FAN_CLOEXEC, O_RDONLY | O_CLOEXEC)) {
    is_set_ = group_ && fanotify_mark(group_.get(), FAN_MARK_ADD, FAN_OPEN_PERM | FAN_ONDIR,
                                      AT_FDCWD, path.c_str()) == 0;
  }

  // Needs CAP_SYS_ADMIN and a kernel with CONFIG_FANOTIFY_ACCESS_PERMISSIONS.
  bool is_set() const { return is_set_; }
  // Whether somebody came before `limit`. From then on they wait.
  bool wait_for_visitor(Millis limit) {
    pollfd ready{group_.get(), POLLIN, 0};
    if (poll(&ready, 1, static_cast<int>(limit.count())) != 1) return false;
    fanotify_event_metadata event{};
    if (read(group_.get(), &event, sizeof event) != static_cast<ssize_t>(sizeof event))
      return false;
    visited_.reset(event.fd);
    return true;
  }
  // For them and for all who come later.
  void open() {
    group_.reset();
    visited_.reset();
  }

 private:
  UniqueFd visited_;
  UniqueFd group_;
  bool is_set_ = false;
};

}  // namespace icon::test
