#include "budget/ledger/etcd_ledger_store.h"

#include <curl/curl.h>
#include <fmt/format.h>

#include <boost/json/serialize.hpp>

#include "base/encoding.h"

namespace icon::budget::ledger {
namespace {

constexpr std::size_t kAnswerBytesMax = 2 * kReadMax * kEntryBytesMax;
constexpr std::size_t kPrefixBytesMax = 256;
constexpr int kSequenceDigits = 20;  // so that keys sort as numbers do
constexpr long kConnectLimitMs = 1'000;

std::size_t take_answer(char* data, std::size_t, std::size_t bytes, void* into) {
  auto& text = *static_cast<std::string*>(into);
  if (text.size() + bytes > kAnswerBytesMax) return 0;
  text.append(data, bytes);
  return bytes;
}

std::string encoded(std::string_view text) {
  return base64_encode_standard({reinterpret_cast<const std::uint8_t*>(text.data()), text.size()});
}

// etcd writes the standard alphabet with padding; ours reads the URL's without.
Result<std::string> decoded(std::string text) {
  while (!text.empty() && text.back() == '=') text.pop_back();
  for (char& c : text) c = c == '+' ? '-' : c == '/' ? '_' : c;
  ICON_TRY(const auto bytes, base64_decode(text, kEntryBytesMax));
  return std::string(bytes.begin(), bytes.end());
}

struct KeyValue {
  std::string key;
  std::string value;
};

Result<std::vector<KeyValue>> pairs_of(const json::Object& answer) {
  std::vector<KeyValue> pairs;
  if (!answer.contains("kvs")) return pairs;
  ICON_TRY(const auto* kvs, json::get_array(answer, "kvs", kReadMax));
  for (const auto& value : *kvs) {
    const auto* object = value.if_object();
    if (object == nullptr) return fail(Code::kInvalid, "etcd: a pair is no object");
    ICON_TRY(const auto key, json::get_string(*object, "key", 2 * kPrefixBytesMax));
    ICON_TRY(const auto text, json::get_string(*object, "value", 2 * kEntryBytesMax));
    KeyValue pair;
    ICON_TRY(pair.key, decoded(key));
    ICON_TRY(pair.value, decoded(text));
    pairs.push_back(std::move(pair));
  }
  return pairs;
}

json::Object created(const std::string& key, const char* result, int revision) {
  return {{"key", encoded(key)},
          {"target", "CREATE"},
          {"result", result},
          {"create_revision", std::to_string(revision)}};
}

}  // namespace

struct EtcdLedgerStore::Connection {
  CURL* handle = curl_easy_init();
  curl_slist* headers = curl_slist_append(nullptr, "Content-Type: application/json");
  std::size_t endpoint = 0;  // the last one that answered

  Connection() = default;
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;
  ~Connection() {
    curl_slist_free_all(headers);
    curl_easy_cleanup(handle);
  }
  CURLcode post(const EtcdOptions& options, const std::string& url, const std::string& body,
                std::string& answer) const {
    curl_easy_reset(handle);
    curl_easy_setopt(handle, CURLOPT_URL, url.c_str());
    curl_easy_setopt(handle, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(handle, CURLOPT_POSTFIELDSIZE, static_cast<long>(body.size()));
    curl_easy_setopt(handle, CURLOPT_POSTFIELDS, body.c_str());
    curl_easy_setopt(handle, CURLOPT_WRITEFUNCTION, take_answer);
    curl_easy_setopt(handle, CURLOPT_WRITEDATA, &answer);
    curl_easy_setopt(handle, CURLOPT_TIMEOUT_MS, static_cast<long>(options.call_limit.count()));
    curl_easy_setopt(handle, CURLOPT_CONNECTTIMEOUT_MS, kConnectLimitMs);
    curl_easy_setopt(handle, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(handle, CURLOPT_PROTOCOLS_STR, "http,https");
    if (!options.ca_file.empty()) {
      curl_easy_setopt(handle, CURLOPT_CAINFO, options.ca_file.c_str());
      curl_easy_setopt(handle, CURLOPT_SSLCERT, options.certificate_file.c_str());
      curl_easy_setopt(handle, CURLOPT_SSLKEY, options.key_file.c_str());
    }
    return curl_easy_perform(handle);
  }
};

EtcdLedgerStore::EtcdLedgerStore(EtcdOptions options, std::unique_ptr<Connection> connection)
    : options_(std::move(options)), connection_(std::move(connection)) {}
EtcdLedgerStore::EtcdLedgerStore(EtcdLedgerStore&&) noexcept = default;
EtcdLedgerStore::~EtcdLedgerStore() = default;

Result<EtcdLedgerStore> EtcdLedgerStore::create(EtcdOptions options) {
  if (options.endpoints.empty()) return fail(Code::kInvalid, "etcd: no endpoint");
  if (options.prefix.empty() || options.prefix.size() > kPrefixBytesMax)
    return fail(Code::kInvalid, "etcd: the prefix has 1 to 256 bytes");
  auto connection = std::make_unique<Connection>();
  if (connection->handle == nullptr) return fail(Code::kUnavailable, "etcd: libcurl gives nothing");
  return EtcdLedgerStore(std::move(options), std::move(connection));
}

std::string EtcdLedgerStore::key_of(std::int64_t sequence) const {
  return fmt::format("{}{:0{}}", options_.prefix, sequence, kSequenceDigits);
}

// The nodes in turn, until one answers. A node without a majority answers an error: the next one
// may have one.
Result<json::Object> EtcdLedgerStore::call(const std::string& path, const json::Object& request) {
  const auto body = boost::json::serialize(request);
  std::string why;
  for (std::size_t i = 0; i < options_.endpoints.size(); ++i) {
    const auto index = (connection_->endpoint + i) % options_.endpoints.size();
    std::string answer;
    const auto code = connection_->post(options_, options_.endpoints[index] + path, body, answer);
    long status = 0;
    curl_easy_getinfo(connection_->handle, CURLINFO_RESPONSE_CODE, &status);
    if (code == CURLE_OK && status == 200) {
      connection_->endpoint = index;
      return json::parse_object(answer, kAnswerBytesMax);
    }
    why = code == CURLE_OK ? fmt::format("status {}", status) : curl_easy_strerror(code);
    // Another node could say no to what this one may still do: the caller asks again.
    if (path == "/v3/kv/txn" && code != CURLE_COULDNT_CONNECT) {
      connection_->endpoint = (index + 1) % options_.endpoints.size();
      return fail(Code::kTimeout, "etcd: " + options_.endpoints[index] + ": " + why);
    }
  }
  return fail(Code::kUnavailable,
              fmt::format("etcd: none of {} nodes answers: {}", options_.endpoints.size(), why));
}

Result<LedgerStore::Last> EtcdLedgerStore::last() {
  auto end = options_.prefix;
  ++end.back();
  ICON_TRY(const auto answer, call("/v3/kv/range", {{"key", encoded(options_.prefix)},
                                                    {"range_end", encoded(end)},
                                                    {"limit", "1"},
                                                    {"sort_order", "DESCEND"},
                                                    {"sort_target", "KEY"}}));
  ICON_TRY(const auto pairs, pairs_of(answer));
  if (pairs.empty()) return Last{};
  ICON_TRY(const auto envelope, wire::parse_envelope(pairs[0].value));
  ICON_TRY(const auto sequence, json::get_int(envelope.body, "sequence", 1, std::int64_t{1} << 48));
  if (pairs[0].key != key_of(sequence))
    return fail(Code::kInvalid, "etcd: the last entry stands under another's key");
  return Last{sequence, pairs[0].value};
}

Status EtcdLedgerStore::append(std::int64_t sequence, const std::string& text) {
  const auto key = key_of(sequence);
  json::Array compare{created(key, "EQUAL", 0)};
  if (sequence > 1) compare.push_back(created(key_of(sequence - 1), "GREATER", 0));
  json::Array success{
      json::Object{{"request_put", json::Object{{"key", encoded(key)}, {"value", encoded(text)}}}}};
  json::Array failure{json::Object{{"request_range", json::Object{{"key", encoded(key)}}}}};
  ICON_TRY(const auto answer, call("/v3/kv/txn", {{"compare", std::move(compare)},
                                                  {"success", std::move(success)},
                                                  {"failure", std::move(failure)}}));
  if (answer.contains("succeeded")) return {};  // false is left out
  ICON_TRY(const auto* responses, json::get_array(answer, "responses", 1));
  for (const auto& response : *responses) {
    const auto* object = response.if_object();
    if (object == nullptr) continue;
    ICON_TRY(const auto* range, json::get_object(*object, "response_range"));
    ICON_TRY(const auto pairs, pairs_of(*range));
    if (!pairs.empty() && pairs[0].value == text) return {};
  }
  return fail(Code::kConflict, "etcd: entry " + std::to_string(sequence) +
                                   " is taken, or the one before is missing");
}

Result<std::vector<std::string>> EtcdLedgerStore::read(std::int64_t first) {
  auto end = options_.prefix;
  ++end.back();
  ICON_TRY(const auto answer, call("/v3/kv/range", {{"key", encoded(key_of(first))},
                                                    {"range_end", encoded(end)},
                                                    {"limit", std::to_string(kReadMax)}}));
  ICON_TRY(auto pairs, pairs_of(answer));
  std::vector<std::string> texts;
  for (auto& pair : pairs) {
    if (pair.key != key_of(first + static_cast<std::int64_t>(texts.size())))
      return fail(Code::kInvalid, "etcd: an entry is missing before " + pair.key);
    texts.push_back(std::move(pair.value));
  }
  return texts;
}

}  // namespace icon::budget::ledger
