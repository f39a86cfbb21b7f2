#include "budget/ledger/life.h"

#include <utility>
#include <vector>

namespace icon::budget::ledger {
namespace {

using Activity = wire::LifeEvent::Activity;

wire::LifeEvent begin(Activity activity, const Occasion& occasion, const PublicKey& icon) {
  wire::LifeEvent event;
  event.activity = activity;
  event.id = occasion.id;
  event.actor = occasion.actor;
  event.icon = icon;
  event.started_ms = occasion.started_ms;
  event.finished_ms = occasion.finished_ms;
  return event;
}

void use(wire::LifeEvent& event, const std::string& entity) {
  if (!entity.empty()) event.used.push_back(entity);
}

}  // namespace

std::string host_entity(const PublicKey& host) { return "host-" + host.id(); }
std::string state_entity(const PublicKey& icon, std::int64_t epoch) {
  return "state-" + icon.id() + '-' + std::to_string(epoch);
}
std::string checkpoint_entity(const std::string& migration_id) {
  return "checkpoint-" + migration_id;
}
std::string document_entity(const wire::Envelope& document) {
  return "document-" + document.digest();
}

wire::LifeEvent host_joins(const Occasion& occasion, const PublicKey& host) {
  auto event = begin(Activity::kHostJoin, occasion, host);
  event.made.push_back({host_entity(host), {}});
  return event;
}

wire::LifeEvent icon_joins(const Occasion& occasion, const PublicKey& icon, const PublicKey& host,
                           const std::string& lease) {
  auto event = begin(Activity::kIconJoin, occasion, icon);
  use(event, host_entity(host));
  use(event, lease);
  event.made.push_back({state_entity(icon, 1), {}});
  return event;
}

wire::LifeEvent checkpointed(const Occasion& occasion, const PublicKey& icon, std::int64_t epoch,
                             const std::string& migration_id) {
  auto event = begin(Activity::kCheckpoint, occasion, icon);
  use(event, state_entity(icon, epoch));
  event.made.push_back({checkpoint_entity(migration_id), {state_entity(icon, epoch)}});
  return event;
}

wire::LifeEvent moved(const Occasion& occasion, const PublicKey& icon, std::int64_t epoch,
                      const std::string& migration_id, const PublicKey& to,
                      const std::string& lease) {
  auto event = begin(Activity::kMove, occasion, icon);
  use(event, checkpoint_entity(migration_id));
  use(event, host_entity(to));
  use(event, lease);
  event.made.push_back({state_entity(icon, epoch), {checkpoint_entity(migration_id)}});
  event.ended.push_back(state_entity(icon, epoch - 1));
  return event;
}

wire::LifeEvent replicated(const Occasion& occasion, const PublicKey& child,
                           const std::string& migration_id, const PublicKey& host,
                           const std::string& lease) {
  auto event = begin(Activity::kReplica, occasion, child);
  std::vector<std::string> from;
  if (!migration_id.empty()) from.push_back(checkpoint_entity(migration_id));
  for (const auto& entity : from) use(event, entity);
  use(event, host_entity(host));
  use(event, lease);
  event.made.push_back({state_entity(child, 1), std::move(from)});
  return event;
}

wire::LifeEvent continued(const Occasion& occasion, const PublicKey& whose, const std::string& head,
                          const std::set<std::string>& living) {
  auto event = begin(Activity::kContinue, occasion, whose);
  use(event, "document-" + head);
  for (const auto& entity : living) {
    if (event.made.size() == wire::kLifeEntitiesMax) break;
    event.made.push_back({entity, {}});
  }
  return event;
}

wire::LifeEvent ended(const Occasion& occasion, const PublicKey& icon, std::int64_t epoch) {
  auto event = begin(Activity::kEnd, occasion, icon);
  use(event, state_entity(icon, epoch));
  event.ended.push_back(state_entity(icon, epoch));
  return event;
}

}  // namespace icon::budget::ledger
