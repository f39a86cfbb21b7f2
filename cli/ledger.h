// `icon ledger`: proves a ledger offline, and prints it for other programs.
#pragma once

#include <string>
#include <vector>

#include "cli/context.h"

namespace icon::cli {

struct LedgerOptions {
  std::string file;               // the ledger's SQLite file, or its entries, one per line
  std::vector<std::string> etcd;  // instead of a file: endpoints
  std::string prefix;             // and the prefix of its keys
  std::string ca_file;
  std::string certificate_file;
  std::string key_file;
  std::string head;   // verify: an entry's digest that must be in it
  bool prov = false;  // export: as PROV-JSON instead of entries
};

// Exit: 0 every link and signature is right, 5 not; 1, 2, 4 no reading.
int verify_ledger(Context& context, const LedgerOptions& options);
// Verifies first; what does not verify, or is no valid provenance, is not printed.
int export_ledger(Context& context, const LedgerOptions& options);

}  // namespace icon::cli
