// What arrives at a host before an ICON does: trees of files out of a request's body.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "base/http_server.h"
#include "base/result.h"
#include "base/task.h"
#include "migration/archive.h"

namespace icon::supervisor {

// `directories`: where each part of the archive goes. Errors: as migration::read_tar().
Task<Result<migration::ArchiveReport>> extract_body(http::BodyReader& body,
                                                    std::map<std::string, std::string> directories,
                                                    std::uint64_t bytes_max);

struct ArrivingImage {
  std::string rootfs;  // Containers::image_rootfs()
  std::string digest;
  std::string suffix;  // of its temporary name; nobody else's
  std::uint64_t bytes_max = 0;
  std::string state_dir;  // Config's, for what becomes of one that is not wanted
};

// Under its name only once its digest is right. How many bytes came. Errors: kUnauthenticated (it
// is another), and as above.
Task<Result<std::uint64_t>> store_image(ArrivingImage image, http::BodyReader& body);

}  // namespace icon::supervisor
