// What an ICON's ledger holds: entries, each around one signed document and chained to the one
// before; and the life event, the document by which somebody says what was done to whom.
#pragma once

#include <string>
#include <vector>

#include "wire/documents.h"

namespace icon::wire {

inline constexpr std::size_t kLedgerDocumentBytesMax = 48 << 10;  // leaves room for the entry
inline constexpr std::size_t kLifeEntitiesMax = 64;

// Signed by whoever records; the document inside has a signer of its own.
struct LedgerEntry {
  static constexpr std::string_view kType = "ledger_entry";
  std::string ledger;         // its name
  std::int64_t sequence = 0;  // 1, 2, 3, ...
  std::string previous;       // digest of the entry before; of the first: 64 zeros
  PublicKey writer;
  UtcMillis recorded_ms = 0;
  Envelope document;

  json::Object to_json() const;
  static Result<LedgerEntry> from_json(const json::Object& body);
  const PublicKey& must_be_signed_by() const { return writer; }
};

// Something happened. Entities are names (budget/ledger/life.h makes them): a state of an ICON, a
// checkpoint, a document.
struct LifeEvent {
  static constexpr std::string_view kType = "life";
  enum class Activity { kHostJoin, kIconJoin, kCheckpoint, kMove, kReplica, kEnd, kContinue };
  struct Made {
    std::string entity;
    std::vector<std::string> from;  // what it was made of; each one is also used
  };
  Activity activity = Activity::kIconJoin;
  std::string id;   // of this activity
  PublicKey actor;  // who did it, and says so
  PublicKey icon;   // whose life it is; of a host that joins, the host
  std::vector<std::string> used;
  std::vector<Made> made;
  std::vector<std::string> ended;  // entities that are no more
  UtcMillis started_ms = 0;
  UtcMillis finished_ms = 0;

  json::Object to_json() const;
  static Result<LifeEvent> from_json(const json::Object& body);
  const PublicKey& must_be_signed_by() const { return actor; }
};
std::string_view to_string(LifeEvent::Activity activity);

}  // namespace icon::wire
