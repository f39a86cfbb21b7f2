// lab_owner TOPOLOGY NAME: owns a bound lab with things going on in it, says "up" and waits for its
// own end.
#include <sys/mount.h>
#include <unistd.h>

#include <cstdio>

#include "base/file.h"
#include "lab/lab.h"

namespace {

icon::Result<icon::lab::Lab> make_lab(const char* file, const char* name) {
  ICON_TRY(std::string text, icon::read_file(file, icon::lab::kTopologyBytesMax));
  ICON_TRY(icon::lab::Lab lab,
           icon::lab::Lab::up(
               {.name = name, .topology_text = std::move(text), .bound_to_caller = true}));
  // A process that would outlive us and a mount that nobody would miss.
  icon::lab::RunOptions options;
  options.argv = {"sleep", "1000"};
  options.die_with_parent = false;
  options.new_session = true;
  ICON_TRY(icon::ChildProcess sleeper, lab.spawn("host-a", std::move(options)));
  sleeper.release();
  const std::string state = lab.host_directory("host-a") + "/state";
  ICON_CHECK(icon::make_directories(state));
  if (mount("none", state.c_str(), "tmpfs", 0, "size=1m") != 0) return icon::fail_errno("mount");
  return lab;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  const auto lab = make_lab(argv[1], argv[2]);
  if (!lab) return std::fprintf(stderr, "lab_owner: %s\n", lab.error().message.c_str()), 1;
  std::puts("up");
  std::fflush(stdout);
  for (;;) pause();
}
