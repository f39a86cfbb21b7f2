// `icon check ICON`, `icon check --to PROVIDER` and `icon check --pid N`: what stands in the way of
// a move, with the fix.
#pragma once

#include <string>

#include "cli/context.h"

namespace icon::cli {

// Asks the supervisor; with `to`, whether that provider can take it as well. kRefused when
// something stands in the way.
int check_icon(Context& context, const std::string& icon, const std::string& to);
// Of any ICON: what that provider lacks that this host has.
int check_destination(Context& context, const std::string& to);
// Looks by itself; needs root, but no supervisor.
int check_process(Context& context, int pid);

}  // namespace icon::cli
