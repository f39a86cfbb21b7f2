// What icon-pages leaves beside itself: a second process with the same descriptors. Were the last
// descriptor of a userfaultfd closed before all pages are in place, the kernel would give empty
// pages for those that are missing, and nobody would notice. While the keeper has it the restored
// processes wait instead; when icon-pages ends too early the keeper ends them: what is lost is lost
// aloud. One per process, made while it is small and has one thread.
#pragma once

#include <atomic>
#include <string>

#include "base/result.h"

namespace icon::migration {

class PageKeeper {
 public:
  // Errors: kIo.
  static Result<PageKeeper> start();

  // From now on the processes in this cgroup (its directory) end with us. Errors: kIo.
  Status guard(const std::string& cgroup);
  // All pages are in place: it ends with us and touches nobody.
  void let_go();

 private:
  struct Shared {
    std::atomic<int> cgroup_fd = -1;  // the descriptors are shared, their numbers too
    std::atomic<bool> is_guarding = false;
  };
  explicit PageKeeper(Shared* shared) : shared_(shared) {}
  [[noreturn]] static void keep(int page_server, const Shared& shared);

  Shared* shared_;  // for as long as the process lives
};

}  // namespace icon::migration
