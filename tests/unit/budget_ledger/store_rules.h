// What every LedgerStore does, in memory, on disk and in etcd: one body for all.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "budget/ledger/ledger.h"
#include "tests/unit/budget_ledger/sample_life.h"

namespace icon::budget::ledger {

// REQUIRES: an empty store.
inline void follows_the_rules(LedgerStore& store) {
  const SampleLife life;
  ASSERT_EQ(store.last()->sequence, 0);
  EXPECT_THAT(*store.read(1), testing::IsEmpty());
  Ledger mine(store, life.icon, "life");
  Ledger theirs(store, life.edge, "life");
  std::string head;
  for (const auto& document : life.documents) {
    auto& writer = document.signer == life.edge.public_key() ? theirs : mine;
    const auto digest = writer.append(document, SampleLife::kStart);
    ASSERT_TRUE(digest) << digest.error().message;
    head = *digest;
  }
  const auto last = *store.last();
  EXPECT_EQ(last.sequence, static_cast<std::int64_t>(life.documents.size()));
  // What is taken is taken, by whoever; the same again is fine; gaps are refused.
  EXPECT_TRUE(store.append(last.sequence, last.text));
  EXPECT_EQ(store.append(last.sequence, last.text + " ").error().code, Code::kConflict);
  EXPECT_EQ(store.append(last.sequence + 2, last.text).error().code, Code::kConflict);
  Report report;
  const auto entries = verified_entries(store, report);
  ASSERT_TRUE(entries) << entries.error().message;
  EXPECT_EQ(report.head, head);
  EXPECT_EQ(report.name, "life");
  EXPECT_EQ(report.writers.size(), 2u);
  EXPECT_EQ(report.types.at("life"), 9);
  EXPECT_EQ(report.types.at("lease"), 1);
  Ledger other(store, life.icon, "other");
  EXPECT_EQ(other.append(life.documents[0], SampleLife::kStart).error().code, Code::kInvalid);
}

}  // namespace icon::budget::ledger
