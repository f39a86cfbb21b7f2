// The compiled forward.bpf.c, an ELF object: made at build time.
#pragma once

#include <cstddef>

namespace icon::net {

extern const unsigned char kForwardObject[];
extern const std::size_t kForwardObjectBytes;

}  // namespace icon::net
