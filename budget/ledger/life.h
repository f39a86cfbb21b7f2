// The events of an ICON's life, as documents ready to be signed: what each uses and makes, so that
// the ledger's provenance hangs together whoever records it. Pure.
#pragma once

#include <set>
#include <string>

#include "wire/ledger.h"

namespace icon::budget::ledger {

struct Occasion {
  std::string id;  // random or the migration's
  PublicKey actor;
  UtcMillis started_ms = 0;
  UtcMillis finished_ms = 0;
};

// Names of entities.
std::string host_entity(const PublicKey& host);
std::string state_entity(const PublicKey& icon, std::int64_t epoch);  // the ICON in that epoch
std::string checkpoint_entity(const std::string& migration_id);
std::string document_entity(const wire::Envelope& document);

wire::LifeEvent host_joins(const Occasion& occasion, const PublicKey& host);
// `lease`: of the slot that it runs in; may be empty at its origin.
wire::LifeEvent icon_joins(const Occasion& occasion, const PublicKey& icon, const PublicKey& host,
                           const std::string& lease);
wire::LifeEvent checkpointed(const Occasion& occasion, const PublicKey& icon, std::int64_t epoch,
                             const std::string& migration_id);
// The checkpoint became the next epoch at `to`.
wire::LifeEvent moved(const Occasion& occasion, const PublicKey& icon, std::int64_t epoch,
                      const std::string& migration_id, const PublicKey& to,
                      const std::string& lease);
// A child with a key of its own, at `host`, made of a checkpoint, or of none (an empty
// `migration_id`): started anew; `lease` as above.
wire::LifeEvent replicated(const Occasion& occasion, const PublicKey& child,
                           const std::string& migration_id, const PublicKey& host,
                           const std::string& lease);
// A new file of a ledger goes on from `head`, the last entry of the one before: what lives is
// stated anew.
wire::LifeEvent continued(const Occasion& occasion, const PublicKey& whose, const std::string& head,
                          const std::set<std::string>& living);
wire::LifeEvent ended(const Occasion& occasion, const PublicKey& icon, std::int64_t epoch);

}  // namespace icon::budget::ledger
