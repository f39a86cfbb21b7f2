#include "supervisor/move_record.h"

#include "base/log.h"
#include "supervisor/host.h"

namespace icon::supervisor {
namespace {

constexpr Millis kProgressInterval{100};

}  // namespace

Status MoveRecord::save() { return host_.journal->put_migration(record_); }

Status MoveRecord::enter(std::string_view state) {
  record_.state = state;
  return save();
}

void MoveRecord::begin(std::string_view phase) {
  phase_ = phase;
  phase_start_ = last_progress_ = host_.clock.steady();
  phase_start_ms_ = host_.clock.utc_ms();
  host_.events.publish(EventHub::migration_topic(id()),
                       {{"phase", phase}, {"state", "begin"}, {"bytes", 0}, {"took_us", 0}});
}

void MoveRecord::progress(std::uint64_t bytes) {
  const auto now = host_.clock.steady();
  if (now - last_progress_ < kProgressInterval) return;
  last_progress_ = now;
  const auto took = std::chrono::duration_cast<Micros>(now - phase_start_).count();
  host_.events.publish(
      EventHub::migration_topic(id()),
      {{"phase", phase_}, {"state", "progress"}, {"bytes", bytes}, {"took_us", took}});
}

void MoveRecord::end(std::uint64_t bytes) {
  if (phase_.empty()) return;  // begun by a process that has died: nobody knows how long it took
  const auto took = std::chrono::duration_cast<Micros>(host_.clock.steady() - phase_start_).count();
  record_.phases.push_back(json::Object{
      {"name", phase_}, {"started_ms", phase_start_ms_}, {"took_us", took}, {"bytes", bytes}});
  record_.bytes += static_cast<std::int64_t>(bytes);
  log::info("migration.phase", {{"migration", id()},
                                {"role", record_.role},
                                {"phase", phase_},
                                {"took_us", took},
                                {"bytes", bytes}});
  host_.events.publish(EventHub::migration_topic(id()),
                       {{"phase", phase_}, {"state", "end"}, {"bytes", bytes}, {"took_us", took}});
}

void MoveRecord::finish(std::string_view state, const std::string& error) {
  record_.state = state;
  record_.error = error;
  record_.ended_ms = host_.clock.utc_ms();
  if (const auto saved = save(); !saved)
    log::error("migration.journal", {{"migration", id()}, {"error", saved.error().message}});
  log::info("migration.end", {{"migration", id()},
                              {"role", record_.role},
                              {"state", state},
                              {"gap_us", record_.gap_us},
                              {"bytes", record_.bytes},
                              {"error", error}});
  const auto topic = EventHub::migration_topic(id());
  host_.events.publish(topic, {{"phase", "end"},
                               {"state", state},
                               {"bytes", record_.bytes},
                               {"gap_us", record_.gap_us},
                               {"error", error}});
  host_.events.close(topic);
}

}  // namespace icon::supervisor
