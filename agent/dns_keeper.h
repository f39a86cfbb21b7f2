// Keeps the service's name in the owner's DNS at the addresses where it is served: what is wanted,
// what was done about it, and when it is tried again. The work itself is done by a child process
// (dns_update.h); nothing here waits for it but its own task.
#pragma once

#include <sys/types.h>

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "agent/dns_plan.h"
#include "agent/policy.h"
#include "agent/task_group.h"
#include "base/clock.h"

namespace icon::agent {

inline constexpr Millis kDnsRetryFirst{5'000};  // doubles up to the next one
inline constexpr Millis kDnsRetryMax{300'000};
inline constexpr Millis kDnsAgain{600'000};  // when all is well: somebody may have changed it
inline constexpr Millis kDnsFarewellMax{4'000};
inline constexpr std::size_t kDnsFormerMax = 8;  // hosts left, newest first

// Starts a command beside the service; Init::run, in the tests another.
using RunCommand = std::function<Result<pid_t>(const std::vector<std::string>& argv,
                                               std::function<void(int status)> on_exit)>;

// Where the ICON and its replicas serve now.
struct DnsPlaces {
  std::optional<Address> here;
  UtcMillis slot_end_ms = 0;  // of the lease here, which keeps our stubs at other hosts alive
  std::vector<Address> replicas;
  bool leaving = false;  // the service ends: nobody is to be led here any more
};

struct DnsKeeperParts {
  IoContext& loop;
  const Clock& clock;
  TaskGroup& tasks;
  const std::optional<DnsUpdatePolicy>& policy;
  std::string state_dir;
  RunCommand run;
};

// Owner: Rounds. Loop thread. Its memory travels with the process; the child never does: it is
// killed, and gone, before its task has ended.
class DnsKeeper {
 public:
  explicit DnsKeeper(DnsKeeperParts parts) : parts_(std::move(parts)) {}

  bool used() const { return parts_.policy.has_value() && static_cast<bool>(parts_.run); }
  // Now and then, and at each change. `owner`: this ICON's id.
  void keep(const DnsPlaces& places, const std::string& owner);
  void open() { closed_ = false; }
  void close() { closed_ = true; }  // a freeze is near; what is under way is cancelled by the group
  void forget();                    // we are somebody else's copy
  // The process ends: calls `then` when the name is as it is wanted, or the time is over.
  void finish(std::function<void()> then);
  json::Object status_json() const;

 private:
  std::vector<Address> wanted(const DnsPlaces& places);
  void load();
  void save();
  void note(const DnsOutcome& outcome);
  Task<void> update_task();
  Task<DnsOutcome> run_child();

  DnsKeeperParts parts_;
  bool loaded_ = false;
  bool closed_ = true;
  bool running_ = false;
  std::string owner_;
  std::optional<std::vector<Address>> want_;     // nothing was wanted yet
  std::optional<std::vector<Address>> present_;  // as the last good child left it
  std::optional<Address> here_;
  struct Former {
    Address address;
    UtcMillis until_ms = 0;
  };
  std::vector<Former> former_;  // where a stub of ours may still be
  std::vector<Address> foreign_;
  std::string code_;
  std::string message_;
  std::int64_t failures_ = 0;
  UtcMillis done_ms_ = 0;
  UtcMillis next_ms_ = 0;
  std::function<void()> then_;
};

}  // namespace icon::agent
