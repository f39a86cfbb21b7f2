// The command line by which containerd's shim calls an OCI runtime, as far as icon-runc must
// understand it. Pure.
#pragma once

#include <string>
#include <vector>

namespace icon::supervisor {

struct OciArguments {
  std::vector<std::string> global;  // before the command: --root, --log, ..
  std::string command;              // "create", "start", ..; empty when there is none
  std::vector<std::string> rest;    // after it, as given

  // Of the global options or the command's. Both "--name value" and "--name=value"; the last wins.
  std::string global_option(const std::string& name) const;
  std::string option(const std::string& name) const;
  // The last word: a container's id in all commands that matter here.
  std::string id() const { return rest.empty() ? "" : rest.back(); }
  // Without the global flag `name`, or an option and its value.
  void drop_flag(const std::string& name);
  void drop_option(const std::string& name);
  // The same call with another value for an option that is there.
  void set_option(const std::string& name, const std::string& value);
  std::vector<std::string> all() const;
};

// `arguments` without the program's own name.
OciArguments parse_oci_arguments(const std::vector<std::string>& arguments);

}  // namespace icon::supervisor
