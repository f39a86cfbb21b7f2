// `icon ledger`: proves a ledger offline, and prints it for other programs.
#pragma once

#include <string>
#include <vector>

#include "cli/context.h"
#include "wire/envelope.h"

namespace icon::cli {

struct LedgerOptions {
  // The ledger's SQLite file, or its entries, one per line; else an ICON of this host.
  std::string file;
  bool before = false;            // of an ICON: the file before the present one
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

// The documents in a ledger, proved: `file` is a SQLite file, or an ICON of this host.
Outcome<std::vector<wire::Envelope>> ledger_documents(Context& context, const std::string& file);
// Whether it is one: a SQLite file, or nothing on this disk and so an ICON's name.
bool is_ledger(const std::string& file);

}  // namespace icon::cli
