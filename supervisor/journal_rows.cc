#include "supervisor/journal_rows.h"

#include <limits>

namespace icon::supervisor {
namespace {

constexpr std::size_t kTextMax = 1 << 20;

Status read(const json::Object& row, std::string_view key, std::string& value) {
  ICON_TRY(value, json::get_string_or(row, key, "", kTextMax));
  return {};
}

Status read(const json::Object& row, std::string_view key, std::int64_t& value) {
  ICON_TRY(value, json::get_int_or(row, key, 0, std::numeric_limits<std::int64_t>::min(),
                                   std::numeric_limits<std::int64_t>::max()));
  return {};
}

Status read(const json::Object& row, std::string_view key, json::Object& value) {
  if (row.if_contains(key) == nullptr) return {};
  ICON_TRY(const auto* object, json::get_object(row, key));
  value = *object;
  return {};
}

Status read(const json::Object& row, std::string_view key, json::Array& value) {
  if (row.if_contains(key) == nullptr) return {};
  ICON_TRY(const auto* array, json::get_array(row, key, std::numeric_limits<std::size_t>::max()));
  value = *array;
  return {};
}

Status read(const json::Object& row, std::string_view key, Address& value) {
  std::string text;
  ICON_CHECK(read(row, key, text));
  if (text.empty()) return {};
  ICON_TRY(value, Address::parse(text));
  return {};
}

}  // namespace

json::Object to_row(const IconRecord& record) {
  json::Object row{{"id", record.id},
                   {"name", record.name},
                   {"spec", record.spec.to_json()},
                   {"epoch", record.epoch},
                   {"state", record.state},
                   {"pid", record.pid},
                   {"pid_start_ticks", static_cast<std::int64_t>(record.pid_start_ticks)},
                   {"lower_dir", record.lower_dir},
                   {"image_digest", record.image_digest},
                   {"lease_id", record.lease_id},
                   {"overlay", record.overlay.to_string()},
                   {"hold", record.hold},
                   {"started_ms", record.started_ms},
                   {"error", record.error}};
  if (record.exit_status) row["exit_status"] = *record.exit_status;
  return row;
}

Status from_row(const json::Object& row, IconRecord& record) {
  ICON_CHECK(read(row, "id", record.id));
  ICON_CHECK(read(row, "name", record.name));
  ICON_TRY(const auto* spec, json::get_object(row, "spec"));
  ICON_TRY(record.spec, ContainerSpec::from_json(*spec));
  ICON_CHECK(read(row, "epoch", record.epoch));
  ICON_CHECK(read(row, "state", record.state));
  std::int64_t number = 0;
  ICON_CHECK(read(row, "pid", number));
  record.pid = static_cast<int>(number);
  ICON_CHECK(read(row, "pid_start_ticks", number));
  record.pid_start_ticks = static_cast<std::uint64_t>(number);
  ICON_CHECK(read(row, "lower_dir", record.lower_dir));
  ICON_CHECK(read(row, "image_digest", record.image_digest));
  ICON_CHECK(read(row, "lease_id", record.lease_id));
  ICON_CHECK(read(row, "overlay", record.overlay));
  if (row.if_contains("hold") != nullptr) {
    ICON_TRY(record.hold, json::get_bool(row, "hold"));
  }
  ICON_CHECK(read(row, "started_ms", record.started_ms));
  ICON_CHECK(read(row, "error", record.error));
  if (row.if_contains("exit_status") != nullptr) {
    ICON_CHECK(read(row, "exit_status", number));
    record.exit_status = static_cast<int>(number);
  }
  return {};
}

json::Object to_row(const MigrationRecord& record) {
  return {{"id", record.id},
          {"icon", record.icon},
          {"icon_name", record.icon_name},
          {"role", record.role},
          {"peer", record.peer},
          {"from", record.from},
          {"to", record.to},
          {"epoch", record.epoch},
          {"state", record.state},
          {"reason", record.reason},
          {"error", record.error},
          {"started_ms", record.started_ms},
          {"ended_ms", record.ended_ms},
          {"gap_us", record.gap_us},
          {"bytes", record.bytes},
          {"phases", record.phases},
          {"evidence", record.evidence},
          {"details", record.details}};
}

Status from_row(const json::Object& row, MigrationRecord& record) {
  ICON_CHECK(read(row, "id", record.id));
  ICON_CHECK(read(row, "icon", record.icon));
  ICON_CHECK(read(row, "icon_name", record.icon_name));
  ICON_CHECK(read(row, "role", record.role));
  ICON_CHECK(read(row, "peer", record.peer));
  ICON_CHECK(read(row, "from", record.from));
  ICON_CHECK(read(row, "to", record.to));
  ICON_CHECK(read(row, "epoch", record.epoch));
  ICON_CHECK(read(row, "state", record.state));
  ICON_CHECK(read(row, "reason", record.reason));
  ICON_CHECK(read(row, "error", record.error));
  ICON_CHECK(read(row, "started_ms", record.started_ms));
  ICON_CHECK(read(row, "ended_ms", record.ended_ms));
  ICON_CHECK(read(row, "gap_us", record.gap_us));
  ICON_CHECK(read(row, "bytes", record.bytes));
  ICON_CHECK(read(row, "phases", record.phases));
  ICON_CHECK(read(row, "evidence", record.evidence));
  return read(row, "details", record.details);
}

json::Object to_row(const StubRecord& record) {
  return {{"icon", record.icon},
          {"icon_name", record.icon_name},
          {"next_host", record.next_host},
          {"next_api", record.next_api.to_string()},
          {"next_public", record.next_public.to_string()},
          {"mode", record.mode},
          {"epoch", record.epoch},
          {"until_ms", record.until_ms},
          {"details", record.details}};
}

Status from_row(const json::Object& row, StubRecord& record) {
  ICON_CHECK(read(row, "icon", record.icon));
  ICON_CHECK(read(row, "icon_name", record.icon_name));
  ICON_CHECK(read(row, "next_host", record.next_host));
  std::string api;
  ICON_CHECK(read(row, "next_api", api));
  ICON_TRY(record.next_api, Endpoint::parse(api));
  ICON_CHECK(read(row, "next_public", record.next_public));
  ICON_CHECK(read(row, "mode", record.mode));
  ICON_CHECK(read(row, "epoch", record.epoch));
  ICON_CHECK(read(row, "until_ms", record.until_ms));
  return read(row, "details", record.details);
}

json::Object to_row(const LeaseRecord& record) {
  return {{"lease_id", record.lease_id},
          {"icon", record.icon},
          {"provider", record.provider},
          {"role", record.role},
          {"state", record.state},
          {"resources", record.resources.to_json()},
          {"slot_seconds", record.slot_seconds},
          {"price_ucredits", record.price_ucredits},
          {"start_ms", record.start_ms},
          {"expires_ms", record.expires_ms},
          {"lease", record.lease},
          {"receipt", record.receipt},
          {"documents", record.documents},
          {"recorded", record.recorded}};
}

Status from_row(const json::Object& row, LeaseRecord& record) {
  ICON_CHECK(read(row, "lease_id", record.lease_id));
  ICON_CHECK(read(row, "icon", record.icon));
  ICON_CHECK(read(row, "provider", record.provider));
  ICON_CHECK(read(row, "role", record.role));
  ICON_CHECK(read(row, "state", record.state));
  ICON_TRY(const auto* resources, json::get_object(row, "resources"));
  ICON_TRY(record.resources, wire::Resources::from_json(*resources));
  ICON_CHECK(read(row, "slot_seconds", record.slot_seconds));
  ICON_CHECK(read(row, "price_ucredits", record.price_ucredits));
  ICON_CHECK(read(row, "start_ms", record.start_ms));
  ICON_CHECK(read(row, "expires_ms", record.expires_ms));
  ICON_CHECK(read(row, "lease", record.lease));
  ICON_CHECK(read(row, "documents", record.documents));
  ICON_CHECK(read(row, "recorded", record.recorded));
  return read(row, "receipt", record.receipt);
}

json::Object to_row(const DecisionRecord& record) {
  return {{"id", record.id},
          {"icon", record.icon},
          {"time_ms", record.time_ms},
          {"outcome", record.outcome},
          {"evidence", record.evidence}};
}

Status from_row(const json::Object& row, DecisionRecord& record) {
  ICON_CHECK(read(row, "id", record.id));
  ICON_CHECK(read(row, "icon", record.icon));
  ICON_CHECK(read(row, "time_ms", record.time_ms));
  ICON_CHECK(read(row, "outcome", record.outcome));
  return read(row, "evidence", record.evidence);
}

}  // namespace icon::supervisor
