// icon-freeze-guard: see supervisor/freeze_guard.h. Reads one byte from descriptor 3: 'd' ends it
// without effect, an end of file means that the supervisor died and its freeze must be undone.
#include <unistd.h>

#include <cstdio>

#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "base/subprocess.h"

namespace {

constexpr int kPipeFd = 3;
constexpr std::size_t kPlanBytesMax = 64 << 10;

void undo(const icon::json::Object& plan) {
  using namespace icon;
  const auto file = json::get_string(plan, "thaw_file", 4096);
  const auto text = json::get_string(plan, "thaw_text", 64);
  if (file && text) {
    if (const auto thawed = write_kernel_file(*file, *text); !thawed)
      log::error("freeze_guard.thaw", {{"error", thawed.error().message}});
  }
  const auto commands = json::get_array(plan, "commands", 64);
  if (!commands) return;
  for (const auto& words : **commands) {
    Command command;
    for (const auto& word : words.as_array()) command.argv.emplace_back(word.as_string().c_str());
    if (const auto done = run_checked_blocking(std::move(command)); !done)
      log::error("freeze_guard.undo", {{"error", done.error().message}});
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: icon-freeze-guard PLAN (run by icon-supervisor)\n");
    return 2;
  }
  const auto plan = icon::json::parse_object(argv[1], kPlanBytesMax);
  if (!plan) return 2;
  char byte = 0;
  ssize_t count = 0;
  do {
    count = read(kPipeFd, &byte, 1);
  } while (count < 0 && errno == EINTR);
  if (count == 1 && byte == 'd') return 0;
  undo(*plan);
  return 1;
}
