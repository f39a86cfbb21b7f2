// Small experiments with the kernel, each in a child process with namespaces of its own, so that
// nothing is left when it ends. Used by `icon check`. Blocking.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"

namespace icon::cli::probe {

// Each succeeds when the kernel did it; the error names the refusal.
Status namespaces();
Status userfaultfd();
Status overlayfs();
Status tun();
Status veth();
// NAT, connection marks and tracking, as the supervisor's rules need them.
Status nftables_nat();
// "v1" or "v2". Errors: kUnavailable.
Result<std::string> cgroup_freezer();
// Of this process. Errors: kIo.
Result<bool> has_capability(int number);
// TCP on all addresses. Errors: kConflict when somebody listens there.
Status port_free(int port);
// Free bytes for unprivileged use on the file system of `path` or of its nearest existing parent.
Result<std::int64_t> free_bytes(const std::string& path);

}  // namespace icon::cli::probe
