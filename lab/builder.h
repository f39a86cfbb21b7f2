// Brings a lab up, step by step. Internal to lab.cc.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "base/subprocess.h"
#include "lab/lab.h"
#include "lab/lab_files.h"

namespace icon::lab {

// Owner: Lab::up(). Each step needs the ones before it. What a failed step leaves is Lab::down()'s.
class Builder {
 public:
  explicit Builder(UpOptions options) : options_(std::move(options)), files_(options_.name) {}

  // Reads the topology and looks for the programs; touches nothing. Errors: as Lab::up().
  Status prepare();
  // Takes the name. Errors: kConflict when it is taken.
  Status claim();
  Status start_guard();
  Status build();
  // The lab; the builder is empty afterwards.
  Lab finish();

 private:
  Status make_files();
  Status create_namespaces();
  Status start_relay();
  Status configure_nodes();
  Status write_dns_files();
  Status start_name_servers();
  // Starts a service that outlives us, with its output in a log file. `node`: "" for outside.
  Result<ChildProcess> start_service(const std::string& node, std::vector<std::string> argv,
                                     const std::string& log,
                                     std::vector<std::pair<int, int>> inherit = {});
  void keep(ChildProcess child);
  Status write_state() const;

  UpOptions options_;
  LabFiles files_;
  Lab lab_;
  std::string ip_;
  std::string relay_;
  std::string guard_;
  std::string knotd_;
  std::string unbound_;
};

}  // namespace icon::lab
