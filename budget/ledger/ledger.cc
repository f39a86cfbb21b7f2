#include "budget/ledger/ledger.h"

#include <fmt/format.h>

#include <algorithm>

#include "budget/ledger/documents.h"

namespace icon::budget::ledger {
namespace {

struct Link {
  std::int64_t sequence = 0;
  std::string digest = kGenesis;
};

Result<Link> link_of(const LedgerStore::Last& last, const std::string& name) {
  if (last.sequence == 0) return Link{};
  ICON_TRY(const auto envelope, wire::parse_envelope(last.text));
  ICON_TRY(const auto entry, wire::open<wire::LedgerEntry>(envelope));
  if (entry.ledger != name || entry.sequence != last.sequence)
    return fail(Code::kInvalid, "ledger: its last entry belongs elsewhere");
  return Link{entry.sequence, envelope.digest()};
}

tl::unexpected<Error> at(std::int64_t sequence, const Error& error) {
  return fail(error.code, fmt::format("ledger: entry {}: {}", sequence, error.message));
}

}  // namespace

Result<std::string> Ledger::append(const wire::Envelope& document, UtcMillis now_ms) {
  ICON_CHECK(check_document(document));
  ICON_TRY(const auto body, json::canonical(document.to_json()));
  if (body.size() > wire::kLedgerDocumentBytesMax)
    return fail(Code::kLimit, "ledger: the document is too large; record its digest instead");
  for (int attempt = 0; attempt < kAppendAttemptsMax; ++attempt) {
    ICON_TRY(const auto last, store_->last());
    ICON_TRY(const auto link, link_of(last, name_));
    ICON_TRY(const auto envelope,
             wire::seal(*key_, wire::LedgerEntry{name_, link.sequence + 1, link.digest,
                                                 key_->public_key(), now_ms, document}));
    ICON_TRY(const auto text, json::canonical(envelope.to_json()));
    auto appended = store_->append(link.sequence + 1, text);
    // No answer: the same entry again tells whether it is there.
    if (!appended && appended.error().code == Code::kTimeout)
      appended = store_->append(link.sequence + 1, text);
    if (appended) return envelope.digest();
    if (appended.error().code != Code::kConflict) return fail(appended.error());
  }
  return fail(Code::kLimit, "ledger: others were faster too often");
}

Result<wire::LedgerEntry> Verifier::add(std::string_view text) {
  const auto sequence = report_.entries + 1;
  if (text.size() > kEntryBytesMax)
    return fail(Code::kLimit, fmt::format("ledger: entry {} is too large", sequence));
  const auto envelope = wire::parse_envelope(text);
  if (!envelope) return at(sequence, envelope.error());
  auto entry = wire::open<wire::LedgerEntry>(*envelope);
  if (!entry) return at(sequence, entry.error());
  const auto& before = report_.entries == 0 ? kGenesis : report_.head;
  if (entry->sequence != sequence || entry->previous != before)
    return fail(
        Code::kInvalid,
        fmt::format("ledger: entry {} does not follow: one is missing or was changed", sequence));
  if (report_.entries > 0 && entry->ledger != report_.name)
    return fail(Code::kInvalid, fmt::format("ledger: entry {} is of another ledger", sequence));
  if (const auto checked = check_document(entry->document); !checked)
    return at(sequence, checked.error());
  if (report_.entries == 0) {
    report_.name = entry->ledger;
    report_.first_ms = entry->recorded_ms;
  }
  report_.entries = sequence;
  report_.head = envelope->digest();
  report_.last_ms = entry->recorded_ms;
  ++report_.types[entry->document.type];
  report_.writers.insert(entry->writer);
  return std::move(*entry);
}

Result<std::vector<wire::LedgerEntry>> verified_entries(LedgerStore& store, Report& report) {
  Verifier verifier;
  std::vector<wire::LedgerEntry> entries;
  for (;;) {
    ICON_TRY(const auto texts, store.read(static_cast<std::int64_t>(entries.size()) + 1));
    if (texts.empty()) break;
    for (const auto& text : texts) {
      ICON_TRY(auto entry, verifier.add(text));
      entries.push_back(std::move(entry));
    }
  }
  report = verifier.report();
  return entries;
}

Result<LedgerStore::Last> MemoryLedgerStore::last() {
  if (texts_.empty()) return Last{};
  return Last{static_cast<std::int64_t>(texts_.size()), texts_.back()};
}

Status MemoryLedgerStore::append(std::int64_t sequence, const std::string& text) {
  const auto lose = std::exchange(lose_next_, std::nullopt);
  if (lose && !*lose) return fail(Code::kTimeout, "ledger store: told to lose the request");
  const auto index = static_cast<std::size_t>(sequence - 1);
  if (index < texts_.size() && texts_[index] == text) return {};
  if (index != texts_.size()) return fail(Code::kConflict, "ledger store: that entry is taken");
  texts_.push_back(text);
  if (lose) return fail(Code::kTimeout, "ledger store: told to lose the answer");
  return {};
}

Result<std::vector<std::string>> MemoryLedgerStore::read(std::int64_t first) {
  const auto begin = std::min(texts_.size(), static_cast<std::size_t>(first - 1));
  const auto end = std::min(texts_.size(), begin + kReadMax);
  return std::vector<std::string>(texts_.begin() + static_cast<std::ptrdiff_t>(begin),
                                  texts_.begin() + static_cast<std::ptrdiff_t>(end));
}

}  // namespace icon::budget::ledger
