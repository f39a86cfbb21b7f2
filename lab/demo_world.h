// The demo's world: a lab, a supervisor on every provider's host, and redis as an ICON at the
// origin. Blocking; any one thread at a time. All of it goes with the object unless kept.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/subprocess.h"
#include "lab/lab.h"

namespace icon::lab {

inline constexpr std::uint16_t kRedisPort = 6379;

struct DemoWorldOptions {
  std::string lab_name = "demo";
  std::string topology_text;
  std::string rootfs;  // of redis
  std::string criu;    // the program; empty: whatever the supervisor finds
  std::string origin = "origin";
  // Micro-credits for a slot; providers that are not named here ask kDemoPriceUcredits.
  std::map<std::string, std::int64_t> prices_ucredits;
  std::map<std::string, std::string> docker_sockets;  // of engines that hosts may use
  std::string more_config;                            // lines for every supervisor's configuration
  // Such that need the lab: its addresses and ids.
  std::function<std::string(const Lab& lab, const std::string& node)> config_of;
  bool keep = false;  // the lab and its supervisors stay when this object goes
};
inline constexpr std::int64_t kDemoPriceUcredits = 80'000;

class DemoWorld {
 public:
  // Brings the lab up. Errors: as Lab::up; kNotFound (no origin in the topology, no rootfs).
  static Result<DemoWorld> create(DemoWorldOptions options);

  // Starts a supervisor on the origin and on every provider's host and waits until all answer.
  // `poll` is called while waiting; its error ends the wait. Errors: kTimeout, kIo with the last
  // line of the log of the one that failed.
  Status start_supervisors(const std::function<Status()>& poll);
  // One of them; returns at once. Errors: kIo.
  Status start_supervisor(const std::string& node);
  // SIGKILL, for tests of what survives it. Errors: kNotFound.
  Status kill_supervisor(const std::string& node);
  // Errors: kIo with the last line of the log of one that has ended.
  Status check_supervisors();
  // `icon ARGUMENTS` at a host, for that host's supervisor; what it printed. Errors: kIo with its
  // exit status and what it said; kTimeout.
  Result<std::string> run_icon(const std::string& node, const std::vector<std::string>& arguments);
  // `icon run` at the origin. Errors: as run_icon.
  Status run_redis(const std::string& policy_text, const std::vector<std::string>& arguments);
  // What a person would type, for the same.
  const std::string& run_command_line() const { return run_command_line_; }

  // An API call to the supervisor of `node`, as JSON. Errors: the API's own; as http::request.
  Result<json::Object> get(const std::string& node, const std::string& target) const;
  // JSON lines of a stream that ends, such as logs without follow.
  Result<std::vector<json::Object>> get_lines(const std::string& node,
                                              const std::string& target) const;
  std::string socket(const std::string& node) const;
  std::string log_file(const std::string& node) const;

  const Lab& lab() const { return lab_; }
  const DemoWorldOptions& options() const { return options_; }
  // Hosts with a supervisor, the origin first.
  const std::vector<std::string>& hosts() const { return hosts_; }
  // Domains, ids and addresses of providers -> their hosts.
  const std::map<std::string, std::string>& names() const { return names_; }
  // Providers whose DNS record names another key than their own.
  std::vector<std::string> liars() const;

  // Stops the supervisors and takes the lab away. Errors: kIo naming what stayed.
  Status down();
  // Lets everything live on; down() by `icon lab down`.
  void release();

 private:
  DemoWorld(DemoWorldOptions options, Lab lab)
      : options_(std::move(options)), lab_(std::move(lab)) {}
  void name_hosts();
  std::string config_text(const std::string& node) const;
  std::string last_log_line(const std::string& node) const;

  DemoWorldOptions options_;
  Lab lab_;
  std::vector<std::string> hosts_;
  std::map<std::string, std::string> names_;
  std::string run_command_line_;
  std::vector<std::pair<std::string, ChildProcess>> supervisors_;  // before lab_ in destruction
};

}  // namespace icon::lab
