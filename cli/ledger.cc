#include "cli/ledger.h"

#include <fmt/format.h>
#include <stdlib.h>

#include <algorithm>
#include <boost/json/serialize.hpp>
#include <filesystem>
#include <fstream>

#include "base/file.h"
#include "budget/ledger/etcd_ledger_store.h"
#include "budget/ledger/prov.h"
#include "budget/ledger/sqlite_ledger_store.h"
#include "cli/api.h"
#include "cli/text.h"

namespace icon::cli {
namespace {

// What is no file here; a directory of the ICON's name is its root, not its ledger.
bool names_an_icon(const std::string& file) {
  return !std::filesystem::exists(file) || std::filesystem::is_directory(file);
}

using budget::ledger::LedgerStore;
using budget::ledger::Verifier;

constexpr std::size_t kLedgerFileBytesMax = 1 << 30;
constexpr int kCopiesMax = 3;
constexpr std::string_view kSqliteMagic = "SQLite format 3";

// A ledger as it is read: proved entry by entry.
struct Reading {
  Verifier verifier;
  std::vector<std::string> texts;
  std::vector<wire::LedgerEntry> entries;
  bool head_seen = false;

  Status add(std::string text, const std::string& head) {
    ICON_TRY(auto entry, verifier.add(text));
    head_seen |= verifier.report().head == head;
    texts.push_back(std::move(text));
    entries.push_back(std::move(entry));
    return {};
  }
};

tl::unexpected<Failure> not_whole(const Error& error) {
  return failure(kRefused, error.message, "The entries before it are right; trust none behind it.");
}

Done read_store(LedgerStore& store, const std::string& head, Reading& reading) {
  for (;;) {
    auto texts = store.read(static_cast<std::int64_t>(reading.texts.size()) + 1);
    if (!texts) return failure(texts.error());
    if (texts->empty()) return {};
    for (auto& text : *texts)
      if (const auto added = reading.add(std::move(text), head); !added)
        return not_whole(added.error());
  }
}

Done read_lines(const std::string& content, const std::string& head, Reading& reading) {
  for (std::size_t begin = 0; begin < content.size();) {
    const auto end = std::min(content.find('\n', begin), content.size());
    auto line = content.substr(begin, end - begin);
    begin = end + 1;
    if (line.empty()) continue;
    if (const auto added = reading.add(std::move(line), head); !added)
      return not_whole(added.error());
  }
  return {};
}

Done read_etcd(const LedgerOptions& options, Reading& reading) {
  budget::ledger::EtcdOptions etcd;
  etcd.endpoints = options.etcd;
  etcd.prefix = options.prefix;
  etcd.ca_file = options.ca_file;
  etcd.certificate_file = options.certificate_file;
  etcd.key_file = options.key_file;
  auto store = budget::ledger::EtcdLedgerStore::create(std::move(etcd));
  if (!store) return failure(store.error(), "Name its keys with --prefix /icon/ledger/NAME/.");
  return read_store(*store, options.head, reading);
}

// The ICON's host hands out the file as it stands; a copy is read. The agent may be writing just
// then: such a copy is no whole database, and another one is taken.
Done read_of_icon(Context& context, const LedgerOptions& options, Reading& reading) {
  const Api api(context.socket);
  const auto target =
      "/v1/icons/" + url_encode(options.file) + "/ledger" + (options.before ? "?before=1" : "");
  for (int attempt = 1;; ++attempt) {
    const auto content = api.get(target);
    if (!content) return tl::unexpected(content.error());
    char directory[] = "/tmp/icon-ledger.XXXXXX";
    if (mkdtemp(directory) == nullptr)
      return failure(kFailed, "no room for a copy in /tmp", "Free some space there.");
    const struct Cleanup {
      std::string path;
      ~Cleanup() {
        std::error_code ignored;
        std::filesystem::remove_all(path, ignored);
      }
    } cleanup{directory};
    const auto path = cleanup.path + "/ledger.db";
    if (const auto written = write_file_atomic(path, *content, 0600); !written)
      return failure(written.error());
    auto store = budget::ledger::SqliteLedgerStore::open(path);
    if (store) return read_store(*store, options.head, reading);
    if (attempt == kCopiesMax) return not_whole(store.error());
  }
}

Outcome<Reading> read_ledger(Context& context, const LedgerOptions& options) {
  Reading reading;
  if (options.etcd.empty() == options.file.empty())
    return failure(kUsage, "a ledger's file, or --etcd, is needed");
  if (!options.etcd.empty()) {
    if (const auto read = read_etcd(options, reading); !read) return tl::unexpected(read.error());
    return reading;
  }
  if (names_an_icon(options.file)) {
    if (const auto read = read_of_icon(context, options, reading); !read)
      return tl::unexpected(read.error());
    return reading;
  }
  const auto content = read_file(options.file, kLedgerFileBytesMax);
  if (!content) return failure(content.error());
  if (content->starts_with(kSqliteMagic)) {
    auto store = budget::ledger::SqliteLedgerStore::open(options.file);
    if (!store) return failure(store.error());
    if (const auto read = read_store(*store, options.head, reading); !read)
      return tl::unexpected(read.error());
    return reading;
  }
  if (const auto read = read_lines(*content, options.head, reading); !read)
    return tl::unexpected(read.error());
  return reading;
}

json::Object as_json(const budget::ledger::Report& report) {
  json::Object types;
  for (const auto& [type, count] : report.types) types[type] = count;
  json::Array writers;
  for (const auto& writer : report.writers) writers.push_back(json::Value(writer.id()));
  return {{"ledger", report.name},        {"entries", report.entries},
          {"head", report.head},          {"first_ms", report.first_ms},
          {"last_ms", report.last_ms},    {"documents", std::move(types)},
          {"writers", std::move(writers)}};
}

}  // namespace

bool is_ledger(const std::string& file) {
  if (names_an_icon(file)) return true;
  std::ifstream stream(file, std::ios::binary);
  std::string begin(kSqliteMagic.size(), ' ');
  stream.read(begin.data(), static_cast<std::streamsize>(begin.size()));
  return stream && begin == kSqliteMagic;
}

Outcome<std::vector<wire::Envelope>> ledger_documents(Context& context, const std::string& file) {
  LedgerOptions options;
  options.file = file;
  auto reading = read_ledger(context, options);
  if (!reading) return tl::unexpected(reading.error());
  std::vector<wire::Envelope> documents;
  for (auto& entry : reading->entries) documents.push_back(std::move(entry.document));
  return documents;
}

int verify_ledger(Context& context, const LedgerOptions& options) {
  const auto reading = read_ledger(context, options);
  if (!reading) return report(context, reading.error());
  const auto& found = reading->verifier.report();
  if (!options.head.empty() && !reading->head_seen)
    return report(context, {kRefused, "no entry has the digest " + printable(options.head, 64),
                            "Entries behind that one, or all, were cut off or made anew."});
  if (context.json) {
    context.out << boost::json::serialize(as_json(found)) << '\n';
    return kOk;
  }
  context.out << fmt::format("{}: {} entries, every link and signature is right; {} writers\n",
                             found.name.empty() ? "empty" : found.name, found.entries,
                             found.writers.size());
  for (const auto& [type, count] : found.types)
    context.out << fmt::format("  {:>6} {}\n", count, printable(type, 32));
  context.out << "head " << found.head << '\n';
  return kOk;
}

int export_ledger(Context& context, const LedgerOptions& options) {
  const auto reading = read_ledger(context, options);
  if (!reading) return report(context, reading.error());
  if (!options.prov) {
    for (const auto& text : reading->texts) context.out << text << '\n';
    return kOk;
  }
  const auto prov = budget::ledger::to_prov(reading->entries);
  if (const auto valid = budget::ledger::check_prov(prov); !valid)
    return report(context, {kRefused, valid.error().message,
                            "The ledger is whole, but what its signers claim cannot be."});
  context.out << boost::json::serialize(prov) << '\n';
  return kOk;
}

}  // namespace icon::cli
