#include "lab/teardown.h"

#include <sys/mount.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <functional>
#include <utility>

#include "lab/lab_files.h"
#include "lab/remains.h"

namespace icon::lab {
namespace {

namespace fs = std::filesystem;

// A process may have started another one while we looked: look again, this often.
constexpr int kRounds = 5;

Status remove_in_rounds(const std::function<Remains()>& scan) {
  Status status;
  for (int round = 0; round < kRounds; ++round) {
    Remains remains = scan();
    // The directories hold the keys by which the rest is recognised: they go last.
    const auto directories = std::exchange(remains.directories, {});
    if (remains.empty()) {
      Remains last;
      last.directories = directories;
      return remove_remains(last);
    }
    status = remove_remains(remains);
  }
  if (!status) return status;
  const Remains remains = scan();
  if (remains.empty()) return {};
  return fail(Code::kIo,
              "still here after " + std::to_string(kRounds) + " attempts:\n" + remains.describe());
}

// What labs share: gone with the last of them.
void remove_shared() {
  std::error_code error;
  // rmdir takes empty directories only: where somebody is still in there, nothing happens.
  rmdir("/sys/fs/cgroup/icon");
  for (const auto& hierarchy : fs::directory_iterator("/sys/fs/cgroup", error))
    rmdir((hierarchy.path() / "icon").c_str());
  if (!labs_present().empty()) return;
  if (fs::exists(made_netns_marker(), error) && fs::is_empty("/run/netns", error)) {
    while (umount2("/run/netns", MNT_DETACH) == 0) {
    }
    rmdir("/run/netns");
  }
  fs::remove(made_netns_marker(), error);
  rmdir(std::string(kLabsDirectory).c_str());
}

}  // namespace

Status take_down(const std::string& lab, const std::vector<int>& spared) {
  auto status = remove_in_rounds([&]() {
    Remains remains = scan_lab(lab);
    std::erase_if(remains.processes, [&](const ProcessIdentity& process) {
      return std::find(spared.begin(), spared.end(), process.pid) != spared.end();
    });
    return remains;
  });
  remove_shared();
  return status;
}

Status take_down_all() {
  auto status = remove_in_rounds(scan_leftovers);
  remove_shared();
  return status;
}

}  // namespace icon::lab
