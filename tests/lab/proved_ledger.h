// An ICON's ledger, once it is proved and its provenance valid.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <string>

#include "budget/ledger/prov.h"
#include "budget/ledger/sqlite_ledger_store.h"
#include "wire/ledger.h"

namespace icon::lab {

// Its documents by kind, life's by activity. `run_dir` as the host has it.
inline std::map<std::string, int> proved_ledger(const std::string& run_dir) {
  namespace ledger = budget::ledger;
  auto store = ledger::SqliteLedgerStore::open(run_dir + "/state/ledger.db");
  EXPECT_TRUE(store) << store.error().message;
  if (!store) return {};
  ledger::Report report;
  const auto entries = ledger::verified_entries(*store, report);
  EXPECT_TRUE(entries) << entries.error().message;
  if (!entries) return {};
  const auto valid = ledger::check_prov(ledger::to_prov(*entries));
  EXPECT_TRUE(valid) << valid.error().message;
  std::map<std::string, int> kinds;
  for (const auto& entry : *entries) {
    const auto event = wire::LifeEvent::from_json(entry.document.body);
    ++kinds[event ? std::string(to_string(event->activity)) : entry.document.type];
  }
  return kinds;
}

}  // namespace icon::lab
