#include "budget/ledger/etcd_gateway.h"

#include <curl/curl.h>
#include <fmt/format.h>

#include <boost/json/serialize.hpp>

#include "base/encoding.h"

namespace icon::budget::ledger {
namespace {

constexpr std::size_t kPrefixBytesMax = 256;
constexpr long kConnectLimitMs = 1'000;

struct Answer {
  std::string text;
  std::size_t bytes_max = 0;
};

std::size_t take_answer(char* data, std::size_t, std::size_t bytes, void* into) {
  auto& answer = *static_cast<Answer*>(into);
  if (answer.text.size() + bytes > answer.bytes_max) return 0;
  answer.text.append(data, bytes);
  return bytes;
}

}  // namespace

std::string etcd_encoded(std::string_view text) {
  return base64_encode_standard({reinterpret_cast<const std::uint8_t*>(text.data()), text.size()});
}

// etcd writes the standard alphabet with padding; ours reads the URL's without.
Result<std::string> etcd_decoded(std::string text, std::size_t bytes_max) {
  while (!text.empty() && text.back() == '=') text.pop_back();
  for (char& c : text) c = c == '+' ? '-' : c == '/' ? '_' : c;
  ICON_TRY(const auto bytes, base64_decode(text, bytes_max));
  return std::string(bytes.begin(), bytes.end());
}

struct EtcdGateway::Connection {
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
                Answer& answer) const {
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

EtcdGateway::EtcdGateway(EtcdOptions options, std::unique_ptr<Connection> connection)
    : options_(std::move(options)), connection_(std::move(connection)) {}
EtcdGateway::EtcdGateway(EtcdGateway&&) noexcept = default;
EtcdGateway& EtcdGateway::operator=(EtcdGateway&&) noexcept = default;
EtcdGateway::~EtcdGateway() = default;

Result<EtcdGateway> EtcdGateway::create(EtcdOptions options) {
  if (options.endpoints.empty()) return fail(Code::kInvalid, "etcd: no endpoint");
  if (options.prefix.empty() || options.prefix.size() > kPrefixBytesMax)
    return fail(Code::kInvalid, "etcd: the prefix has 1 to 256 bytes");
  auto connection = std::make_unique<Connection>();
  if (connection->handle == nullptr) return fail(Code::kUnavailable, "etcd: libcurl gives nothing");
  return EtcdGateway(std::move(options), std::move(connection));
}

// The nodes in turn, until one answers. A node without a majority answers an error: the next one
// may have one.
Result<json::Object> EtcdGateway::call(const std::string& path, const json::Object& request) {
  const auto body = boost::json::serialize(request);
  std::string why;
  for (std::size_t i = 0; i < options_.endpoints.size(); ++i) {
    const auto index = (connection_->endpoint + i) % options_.endpoints.size();
    Answer answer{{}, options_.answer_bytes_max};
    const auto code = connection_->post(options_, options_.endpoints[index] + path, body, answer);
    long status = 0;
    curl_easy_getinfo(connection_->handle, CURLINFO_RESPONSE_CODE, &status);
    ++traffic_.calls;
    traffic_.sent_bytes += body.size();
    traffic_.received_bytes += answer.text.size();
    if (code == CURLE_OK && status == 200) {
      connection_->endpoint = index;
      return json::parse_object(answer.text, options_.answer_bytes_max);
    }
    ++traffic_.failed;
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

}  // namespace icon::budget::ledger
