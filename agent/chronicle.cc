#include "agent/chronicle.h"

#include <charconv>
#include <utility>

#include "base/encoding.h"
#include "base/file.h"
#include "base/log.h"

namespace icon::agent {
namespace {

using budget::ledger::Diary;
namespace life = budget::ledger;

constexpr std::size_t kOccasionIdBytes = 12;
constexpr std::size_t kMigrationIdMax = 128;

// A host may say that it has joined, and nothing else: what it signs becomes part of our history.
bool is_plain_host_join(const wire::Envelope& document, const PublicKey& host, UtcMillis now_ms) {
  const auto event = wire::open<wire::LifeEvent>(document);
  return event && event->activity == wire::LifeEvent::Activity::kHostJoin && event->actor == host &&
         event->icon == host && event->used.empty() && event->ended.empty() &&
         event->made.size() == 1 && event->made[0].entity == life::host_entity(host) &&
         event->made[0].from.empty() && event->started_ms <= event->finished_ms &&
         event->finished_ms <= now_ms;
}

}  // namespace

Result<Chronicle> Chronicle::open(const std::string& state_dir, const KeyPair& key,
                                  const Clock& clock) {
  ICON_CHECK(make_directories(state_dir, 0700));
  ICON_TRY(
      auto diary,
      Diary::open({state_dir, "icon-" + key.id(), kChronicleBytesMax, kChronicleEntriesMax}, key));
  return Chronicle(std::move(diary), key, clock);
}

life::Occasion Chronicle::occasion(const std::string& id) const {
  const auto now_ms = diary_.not_before(clock_->utc_ms());
  return {id.empty() ? random_token(kOccasionIdBytes) : id, key_->public_key(), now_ms, now_ms};
}

Status Chronicle::record(const wire::Envelope& document) {
  auto digest = document.digest();
  if (digest == last_digest_) return {};
  ICON_CHECK(diary_.record(document, clock_->utc_ms()));
  last_digest_ = std::move(digest);
  return {};
}

Status Chronicle::record(const wire::LifeEvent& event) {
  return diary_.record(event, clock_->utc_ms());
}

std::int64_t Chronicle::epoch() const {
  const auto begin = life::state_entity(key_->public_key(), 0);
  const auto prefix = begin.substr(0, begin.size() - 1);
  std::int64_t highest = 0;
  for (const auto& entity : diary_.living()) {
    if (!entity.starts_with(prefix)) continue;
    std::int64_t epoch = 0;
    std::from_chars(entity.data() + prefix.size(), entity.data() + entity.size(), epoch);
    highest = std::max(highest, epoch);
  }
  return highest;
}

std::string Chronicle::checkpoint() const {
  for (const auto& entity : diary_.living())
    if (entity.starts_with("checkpoint-")) return entity;
  return {};
}

void Chronicle::met(const Whereabouts& at) {
  if (!at.host_join || diary_.knows(life::host_entity(at.host))) return;
  const auto now_ms = diary_.not_before(clock_->utc_ms());
  if (!is_plain_host_join(*at.host_join, at.host, now_ms)) {
    log::warn("ledger.host_join_refused", {{"host", short_id(at.host.id())}});
    return;
  }
  if (const auto recorded = record(*at.host_join); !recorded)
    log::error("ledger.not_recorded", {{"message", recorded.error().message}});
}

Status Chronicle::arrived(const Whereabouts& at) {
  const auto self = key_->public_key();
  const auto before = epoch();
  if (at.epoch <= before) return {};
  met(at);
  const auto lease = at.lease ? life::document_entity(*at.lease) : std::string();
  if (before == 0) {
    if (at.lease) ICON_CHECK(record(*at.lease));
    auto joined = life::icon_joins(occasion({}), self, at.host, lease);
    joined.made.front().entity = life::state_entity(self, at.epoch);
    if (at.birth) {
      ICON_CHECK(record(*at.birth));
      joined.used.push_back(life::document_entity(*at.birth));
    }
    return record(joined);
  }
  // Nobody asked us before the freeze, or a cold start: what it was made of is its last state.
  if (checkpoint().empty()) ICON_CHECK(checkpointed(random_token(kOccasionIdBytes)));
  const auto id = checkpoint().substr(std::string_view("checkpoint-").size());
  auto moved = life::moved(occasion(id), self, at.epoch, id, at.host, lease);
  // An epoch may have been used up by a move that came back.
  moved.ended = {life::state_entity(self, before), life::checkpoint_entity(id)};
  return record(moved);
}

Status Chronicle::checkpointed(const std::string& migration) {
  const auto current = epoch();
  if (current == 0 || migration.size() > kMigrationIdMax) return {};
  auto id = migration;
  // The name is a stranger's choice; what was made once cannot be made again.
  if (diary_.knows(life::checkpoint_entity(id))) {
    if (checkpoint() == life::checkpoint_entity(id)) return {};
    id += "-" + random_token(kOccasionIdBytes);
  }
  return record(life::checkpointed(occasion(id), key_->public_key(), current, id));
}

Status Chronicle::replicated(const Replica& replica, const std::string& migration,
                             const PublicKey& host) {
  // It may stand there under a longer name. A fresh one is made of no checkpoint.
  const auto last = checkpoint();
  const bool clone = replica.mode == wire::Birth::Mode::kClone &&
                     last.starts_with(life::checkpoint_entity(migration));
  const auto made_of = clone ? last.substr(std::string_view("checkpoint-").size()) : std::string();
  const auto lease = replica.lease ? life::document_entity(*replica.lease) : std::string();
  auto event = life::replicated(occasion({}), replica.child, made_of, host, lease);
  event.used.push_back(life::document_entity(replica.birth));
  return record(event);
}

Status Chronicle::ended() {
  const auto current = epoch();
  if (current == 0) return {};
  return record(life::ended(occasion({}), key_->public_key(), current));
}

}  // namespace icon::agent
