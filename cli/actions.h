// What an operator does with an ICON: run it, hold it, stop it, read its logs, ask why it moved.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/json.h"
#include "cli/api.h"
#include "cli/context.h"

namespace icon::cli {

struct RunOptions {
  std::string name;  // "" = the command's file name
  std::string rootfs;
  std::string bundle;
  std::string image;    // of the Docker Engine at this host
  std::string runtime;  // "" = runc
  std::string policy_file;
  std::string dns_key_file;
  std::vector<std::string> ports;
  std::vector<std::string> env;
  double cpu = 0;  // cores; 0 = no limit
  std::string memory;
  std::string bandwidth;
  std::string cwd;
  std::vector<std::string> command;
};

// "PUBLIC[:CONTAINER][/tcp|/udp]" -> "proto:container:public" as the API has it.
Outcome<std::string> api_port(const std::string& text);

// The text of a policy without mistakes.
Outcome<std::string> read_policy_file(const std::string& path);

// What the API says of an ICON that has just begun.
int show_new_icon(Context& context, const json::Object& icon);
int run_icon(Context& context, const RunOptions& options);
int hold_icon(Context& context, const std::string& icon, bool hold);
int stop_icon(Context& context, const std::string& icon, std::int64_t grace_ms);

struct LogOptions {
  std::string icon;
  bool follow = false;
  std::string source = "service";  // or "agent"
  int lines = 100;
};
int show_logs(Context& context, const LogOptions& options);

// `id`: a migration's, a decision's (or the beginning of one), or an ICON: its newest decision.
int explain(Context& context, const std::string& id);
// In plain sentences.
void print_evidence(Context& context, const json::Object& evidence);

}  // namespace icon::cli
