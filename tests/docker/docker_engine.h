// One real dockerd with everything of its own: data, state, socket, process file. No bridge, no
// firewall rules, no address forwarding: containers have the loopback. The destructor removes the
// containers, ends the engine and leaves nothing, whatever the test did.
#pragma once

#include <boost/json/object.hpp>
#include <optional>
#include <string>
#include <vector>

#include "base/subprocess.h"

namespace icon::test {

// Root directories that the build made: <build>/images/NAME/rootfs.
std::string image_context(const std::string& name);

class DockerEngine {
 public:
  // `name` tells two engines of one test apart: one letter.
  explicit DockerEngine(const std::string& name);
  ~DockerEngine();
  DockerEngine(const DockerEngine&) = delete;
  DockerEngine& operator=(const DockerEngine&) = delete;

  // A further runtime, before start(): "runtimes" in daemon.json.
  void add_runtime(const std::string& name, const std::string& path,
                   const std::vector<std::string>& arguments);
  // Returns when the engine answers. Errors: kNotFound (no dockerd), kTimeout, kIo: its own words.
  Status start();
  // Removes all containers, ends the engine, unmounts. What is wrong with it, or nothing.
  std::string stop();
  // What of this engine is still on the machine: processes, mounts, cgroups. Empty: nothing.
  std::string remains() const;

  // The docker client against this engine. Both streams are in the outcome.
  CommandOutcome docker(std::vector<std::string> arguments, std::string input = "") const;
  // Its standard output, less the newline at the end; a failure is the test's.
  std::string ask(std::vector<std::string> arguments) const;
  // Waits until `docker logs` of a container holds `text`.
  bool said(const std::string& container, const std::string& text) const;

  const std::string& directory() const { return directory_; }
  std::string socket() const { return directory_ + "/docker.sock"; }
  std::string cgroup() const { return "/" + name_; }

 private:
  std::string name_;
  std::string directory_;
  boost::json::object runtimes_;
  std::optional<ChildProcess> daemon_;
};

}  // namespace icon::test
