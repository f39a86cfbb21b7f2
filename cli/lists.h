// The listings: what this host's supervisor knows. `-o json` is the API's answer, unchanged.
#pragma once

#include "cli/context.h"

namespace icon::cli {

// Each prints and returns the exit code.
int list_icons(Context& context, bool names_only);
int list_providers(Context& context, const std::string& icon);  // "" = of all ICONs
// Promised against delivered.
int list_record(Context& context, const std::string& icon);
// Of this host; with an ICON's name, those that it has held itself, wherever they were.
int list_leases(Context& context, const std::string& icon);
// Sealed bids of the ICONs here, or of one; `sales`: those that this host has called.
int list_bids(Context& context, const std::string& icon, bool sales);
int list_history(Context& context, const std::string& icon);
int list_stubs(Context& context);
int list_tunnels(Context& context);
int show_status(Context& context);

}  // namespace icon::cli
