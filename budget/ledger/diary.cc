#include "budget/ledger/diary.h"

#include <filesystem>
#include <utility>

#include "base/log.h"

namespace icon::budget::ledger {
namespace {

namespace fs = std::filesystem;
constexpr std::string_view kNextFile = "ledger.next.db";
constexpr std::string_view kState = "state-";
constexpr std::string_view kCheckpoint = "checkpoint-";

bool exists(const std::string& path) {
  std::error_code error;
  return fs::exists(path, error);
}

Status rename_file(const std::string& from, const std::string& to) {
  std::error_code error;
  fs::rename(from, to, error);
  if (error) return fail(Code::kIo, "ledger: " + from + ": " + error.message());
  return {};
}

}  // namespace

Result<Diary> Diary::open(DiaryOptions options, const KeyPair& key) {
  Diary diary(std::move(options), key);
  const auto file = diary.path(kDiaryFile);
  const auto next = diary.path(kNextFile);
  std::error_code ignored;
  // A crash while the next file was begun: it counts when the one before it has made room.
  if (exists(file))
    fs::remove(next, ignored);
  else if (exists(next))
    ICON_CHECK(rename_file(next, file));
  if (!exists(file)) ICON_CHECK(SqliteLedgerStore::create(file));
  ICON_CHECK(diary.take_up());
  return diary;
}

// Read, not proved: the signatures are for whoever does not trust us.
Status Diary::take_up() {
  ICON_TRY(auto store, SqliteLedgerStore::open(path(kDiaryFile)));
  for (;;) {
    ICON_TRY(const auto texts, store.read(entries_ + 1));
    for (const auto& text : texts) {
      ICON_TRY(const auto envelope, wire::parse_envelope(text));
      ICON_TRY(const auto entry, wire::LedgerEntry::from_json(envelope.body));
      ++entries_;
      head_ = envelope.digest();
      note(entry.document, entry.recorded_ms);
    }
    if (texts.empty()) return {};
  }
}

void Diary::note(const wire::Envelope& document, UtcMillis recorded_ms) {
  last_ms_ = std::max(last_ms_, recorded_ms);
  if (document.type != wire::LifeEvent::kType) return;
  const auto event = wire::LifeEvent::from_json(document.body);
  if (!event) return;
  for (const auto& each : event->made) {
    made_.insert(each.entity);
    const bool checkpoint = each.entity.starts_with(kCheckpoint);
    if (checkpoint)
      std::erase_if(living_, [](const auto& name) { return name.starts_with(kCheckpoint); });
    // A child's life is in a ledger of its own, and so is its end.
    const bool child = event->activity == wire::LifeEvent::Activity::kReplica;
    if (checkpoint || (!child && each.entity.starts_with(kState))) living_.insert(each.entity);
  }
  for (const auto& each : event->ended) living_.erase(each);
}

bool Diary::is_full() const {
  if (entries_ >= options_.entries_max) return true;
  std::error_code error;
  const auto bytes = fs::file_size(path(kDiaryFile), error);
  return !error && static_cast<std::int64_t>(bytes) >= options_.bytes_max;
}

// Made under another name; the two renames are what a crash may fall between.
// It begins when the one before ended: what is recorded next may have happened meanwhile.
Status Diary::begin_next() {
  const auto now_ms = last_ms_;
  const auto next = path(kNextFile);
  std::error_code ignored;
  fs::remove(next, ignored);
  ICON_TRY(auto store, SqliteLedgerStore::create(next));
  const auto event = continued({head_.substr(0, 32), key_->public_key(), now_ms, now_ms},
                               key_->public_key(), head_, living_);
  ICON_TRY(const auto document, wire::seal(*key_, event));
  ICON_TRY(auto head, Ledger(store, *key_, options_.name).append(document, now_ms));
  ICON_CHECK(rename_file(path(kDiaryFile), path(kDiaryFileBefore)));
  ICON_CHECK(rename_file(next, path(kDiaryFile)));
  entries_ = 1;
  head_ = std::move(head);
  made_.clear();
  living_.clear();
  note(document, now_ms);
  return {};
}

Status Diary::append(const wire::Envelope& document, UtcMillis now_ms) {
  ICON_TRY(auto store, SqliteLedgerStore::open(path(kDiaryFile)));
  ICON_TRY(head_, Ledger(store, *key_, options_.name).append(document, now_ms));
  ++entries_;
  note(document, now_ms);
  return {};
}

Status Diary::record(const wire::Envelope& document, UtcMillis now_ms) {
  const auto at_ms = not_before(now_ms);
  if (entries_ > 0 && is_full()) ICON_CHECK(begin_next());
  return append(document, at_ms);
}

void Diary::record_all(Diary* diary, const std::vector<wire::Envelope>& documents,
                       UtcMillis now_ms) {
  if (diary == nullptr) return;
  for (const auto& document : documents)
    if (const auto recorded = diary->record(document, now_ms); !recorded) {
      log::error("ledger.not_recorded", {{"type", document.type},
                                         {"code", to_string(recorded.error().code)},
                                         {"message", recorded.error().message}});
      return;
    }
}

Status Diary::record(const wire::LifeEvent& event, UtcMillis now_ms) {
  ICON_TRY(const auto document, wire::seal(*key_, event));
  return record(document, now_ms);
}

}  // namespace icon::budget::ledger
