#include "agent/dns_update.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <ldns/ldns.h>
#include <openssl/crypto.h>
#include <sodium.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <boost/json/serialize.hpp>
#include <cstdio>
#include <memory>

#include "base/assert.h"
#include "base/fd.h"
#include "base/file.h"

namespace icon::agent {
namespace {

constexpr std::size_t kFileBytesMax = 64 << 10;
constexpr std::uint16_t kFudgeSeconds = 300;  // RFC 8945, 10
constexpr std::size_t kTsigErrorField = 5;
constexpr int kTsigBadSig = 16;
constexpr int kTsigBadKey = 17;
constexpr int kTsigBadTime = 18;
constexpr std::size_t kTextBytesMax = 255;  // of one string of a TXT record

struct Free {
  void operator()(ldns_pkt* packet) const { ldns_pkt_free(packet); }
  void operator()(ldns_rr* record) const { ldns_rr_free(record); }
  void operator()(ldns_rdf* field) const { ldns_rdf_deep_free(field); }
  void operator()(ldns_buffer* buffer) const { ldns_buffer_free(buffer); }
  void operator()(std::uint8_t* bytes) const { std::free(bytes); }
  void operator()(char* text) const { std::free(text); }
};
using Packet = std::unique_ptr<ldns_pkt, Free>;
using Record = std::unique_ptr<ldns_rr, Free>;
using Field = std::unique_ptr<ldns_rdf, Free>;

// Why it did not work, as DnsOutcome has it.
struct Failure {
  std::string code;
  std::string message;
};

Failure failed(ldns_status status, const std::string& attempted) {
  return {"failed", attempted + ": " + ldns_get_errorstr_by_id(status)};
}

Result<Field> name_field(const std::string& name) {
  Field field(ldns_dname_new_frm_str(name.c_str()));
  if (!field) return fail(Code::kInvalid, "no name of the DNS: " + name);
  return field;
}

// Everything that one run needs. Not for more than one thread.
class Session {
 public:
  Session(const DnsRequest& request, const TsigKey& key)
      : request_(request), key_(key), mark_(std::string(kDnsMarkLabel) + "." + request.name) {}

  DnsOutcome run();

 private:
  using Step = tl::expected<Packet, Failure>;

  // What the name holds, as records and as we understand them.
  struct Rrset {
    std::string name;
    ldns_rr_type type;
    std::vector<Record> records;
  };
  std::optional<Failure> look();
  std::optional<Failure> ask(const std::string& name, ldns_rr_type type);
  std::optional<Failure> change(const DnsPlan& plan, bool& raced);
  Step exchange(ldns_pkt* packet, bool is_signed);
  std::optional<Failure> check(ldns_pkt* answer, bool& raced) const;
  void require_as_seen(ldns_pkt* packet, const Rrset& set) const;
  void push(ldns_pkt* packet, const std::string& name, ldns_rr_class how, ldns_rr_type type,
            Field value) const;

  const DnsRequest& request_;
  const TsigKey& key_;
  const std::string mark_;
  std::vector<Rrset> sets_;
  DnsSeen seen_;
};

// A TXT record is a row of strings, each a length byte and text. Marks are one string.
std::string text_of(const ldns_rr* record) {
  const auto* field = ldns_rr_rd_count(record) == 1 ? ldns_rr_rdf(record, 0) : nullptr;
  if (field == nullptr || ldns_rdf_size(field) < 1) return "";
  return {reinterpret_cast<const char*>(ldns_rdf_data(field)) + 1, ldns_rdf_size(field) - 1};
}

std::optional<Address> address_of(const ldns_rr* record) {
  const auto* field = ldns_rr_rd_count(record) == 1 ? ldns_rr_rdf(record, 0) : nullptr;
  if (field == nullptr) return std::nullopt;
  const auto* bytes = ldns_rdf_data(field);
  if (ldns_rdf_size(field) == 4) return Address::v4({bytes[0], bytes[1], bytes[2], bytes[3]});
  if (ldns_rdf_size(field) != 16) return std::nullopt;
  std::array<std::uint8_t, 16> sixteen{};
  std::copy_n(bytes, sixteen.size(), sixteen.begin());
  return Address::v6(sixteen);
}

Session::Step Session::exchange(ldns_pkt* packet, bool is_signed) {
  Field our_mac;
  if (is_signed) {
    const auto status = ldns_pkt_tsig_sign(packet, key_.name.c_str(), key_.secret.c_str(),
                                           kFudgeSeconds, key_.algorithm.c_str(), nullptr);
    if (status != LDNS_STATUS_OK) return tl::unexpected(failed(status, "signing the update"));
    our_mac.reset(ldns_rdf_clone(ldns_rr_rdf(ldns_pkt_tsig(packet), 3)));
  }
  const std::unique_ptr<ldns_buffer, Free> out(ldns_buffer_new(LDNS_MAX_PACKETLEN));
  if (const auto status = ldns_pkt2buffer_wire(out.get(), packet); status != LDNS_STATUS_OK)
    return tl::unexpected(failed(status, "writing the question"));
  sockaddr_storage to{};
  const auto length = request_.server.address.to_sockaddr(request_.server.port, to);
  const timeval limit{kDnsAnswerMax.count() / 1000, kDnsAnswerMax.count() % 1000 * 1000};
  std::uint8_t* raw = nullptr;
  std::size_t size = 0;
  // TCP: nothing is cut off, and nobody answers who was not asked.
  const auto sent = ldns_tcp_send(&raw, out.get(), &to, length, limit, &size);
  const std::unique_ptr<std::uint8_t, Free> bytes(raw);
  if (sent != LDNS_STATUS_OK || size == 0)
    return tl::unexpected(
        Failure{"unreachable", "no answer from " + request_.server.to_string() + " by TCP"});
  ldns_pkt* parsed = nullptr;
  const auto read = ldns_wire2pkt(&parsed, bytes.get(), size);
  Packet answer(parsed);
  if (read != LDNS_STATUS_OK) return tl::unexpected(failed(read, "reading the answer"));
  if (!ldns_pkt_qr(answer.get()) || ldns_pkt_id(answer.get()) != ldns_pkt_id(packet))
    return tl::unexpected(Failure{"failed", "the answer is to another question"});
  // There is nothing longer than TCP to ask by.
  if (ldns_pkt_tc(answer.get()))
    return tl::unexpected(Failure{"truncated", "the server cuts off its answer by TCP"});
  if (!is_signed) return answer;
  // Whoever does not know the key cannot sign that he refuses it: that is believed unsigned, and
  // only that. Nothing follows from it but another attempt.
  const bool refuses = ldns_pkt_get_rcode(answer.get()) != LDNS_RCODE_NOERROR;
  if (!refuses && !ldns_pkt_tsig_verify(answer.get(), bytes.get(), size, key_.name.c_str(),
                                        key_.secret.c_str(), our_mac.get()))
    return tl::unexpected(
        Failure{"unsigned", "the server's answer is not signed with the key, as it must be"});
  return answer;
}

std::optional<Failure> Session::check(ldns_pkt* answer, bool& raced) const {
  const auto code = ldns_pkt_get_rcode(answer);
  if (code == LDNS_RCODE_NOERROR) return std::nullopt;
  const auto* tsig = ldns_pkt_tsig(answer);
  if (code == LDNS_RCODE_NOTAUTH && tsig != nullptr && ldns_rr_rd_count(tsig) > kTsigErrorField) {
    switch (ldns_rdf2native_int16(ldns_rr_rdf(tsig, kTsigErrorField))) {
      case 0:
        break;
      case kTsigBadSig:
        return Failure{"badsig", "the server has another secret for the key " + key_.name};
      case kTsigBadKey:
        return Failure{"badkey", "the server does not know the key " + key_.name +
                                     ", or lets it change nothing of " + request_.name};
      case kTsigBadTime:
        return Failure{"badtime", "the server's clock and the one here differ by more than " +
                                      std::to_string(kFudgeSeconds) + " s"};
      default:
        return Failure{"failed", "the server does not take the signature"};
    }
  }
  switch (code) {
    case LDNS_RCODE_NXRRSET:
    case LDNS_RCODE_YXRRSET:
    case LDNS_RCODE_YXDOMAIN:
    case LDNS_RCODE_NXDOMAIN:
      raced = true;
      return Failure{"contended", "somebody else changes the name all the time"};
    case LDNS_RCODE_REFUSED:
      return Failure{"refused",
                     "the server does not let the key " + key_.name + " change " + request_.name};
    case LDNS_RCODE_NOTAUTH:
    case LDNS_RCODE_NOTZONE:
      return Failure{"notauth", "the server does not keep the zone " + request_.zone};
    case LDNS_RCODE_NOTIMPL:
      return Failure{"notimpl", "the server takes no updates"};
    default:
      break;
  }
  const std::unique_ptr<char, Free> name(ldns_pkt_rcode2str(code));
  return Failure{"failed", std::string("the server says ") + (name ? name.get() : "no")};
}

// One record set of the zone. A name that is an alias is nobody's to add to.
std::optional<Failure> Session::ask(const std::string& name, ldns_rr_type type) {
  auto owner = name_field(name);
  if (!owner) return Failure{"failed", owner.error().message};
  const Packet question(ldns_pkt_query_new(owner->release(), type, LDNS_RR_CLASS_IN, 0));
  ldns_pkt_set_random_id(question.get());
  auto answer = exchange(question.get(), false);
  if (!answer) return answer.error();
  const auto code = ldns_pkt_get_rcode(answer->get());
  bool raced = false;
  if (code == LDNS_RCODE_REFUSED)
    return Failure{"refused", "the server answers no question about " + name};
  if (code != LDNS_RCODE_NXDOMAIN)
    if (auto failure = check(answer->get(), raced)) return failure;
  if (!ldns_pkt_aa(answer->get()))
    return Failure{"notauth", "the server does not keep the zone " + request_.zone};
  Rrset set{name, type, {}};
  const auto* asked = ldns_rr_list_rr(ldns_pkt_question(question.get()), 0);
  const auto* records = ldns_pkt_answer(answer->get());
  for (std::size_t i = 0; i < ldns_rr_list_rr_count(records); ++i) {
    const auto* record = ldns_rr_list_rr(records, i);
    if (ldns_dname_compare(ldns_rr_owner(record), ldns_rr_owner(asked)) != 0) continue;
    if (ldns_rr_get_type(record) == LDNS_RR_TYPE_CNAME)
      return Failure{"alias", name + " is an alias (CNAME): no address can stand beside it"};
    if (ldns_rr_get_type(record) != type) continue;  // signatures
    if (set.records.size() == kDnsAddressesMax)
      return Failure{"failed",
                     name + " has more than " + std::to_string(kDnsAddressesMax) + " records"};
    if (type == LDNS_RR_TYPE_TXT) {
      seen_.texts.push_back(text_of(record));
    } else {
      const auto address = address_of(record);
      if (!address) return Failure{"failed", name + " has an address that is none"};
      seen_.addresses.push_back(*address);
    }
    set.records.emplace_back(ldns_rr_clone(record));
  }
  sets_.push_back(std::move(set));
  return std::nullopt;
}

std::optional<Failure> Session::look() {
  sets_.clear();
  seen_ = {};
  for (const auto type : {LDNS_RR_TYPE_A, LDNS_RR_TYPE_AAAA})
    if (auto failure = ask(request_.name, type)) return failure;
  return ask(mark_, LDNS_RR_TYPE_TXT);
}

// RFC 2136, 2.4.2 and 2.4.3: the set has these records and no others, or there is none.
void Session::require_as_seen(ldns_pkt* packet, const Rrset& set) const {
  for (const auto& record : set.records) {
    ldns_rr* same = ldns_rr_clone(record.get());
    ldns_rr_set_ttl(same, 0);
    ldns_pkt_push_rr(packet, LDNS_SECTION_ANSWER, same);
  }
  if (!set.records.empty()) return;
  ldns_rr* none = ldns_rr_new();
  ldns_rr_set_owner(none, ldns_dname_new_frm_str(set.name.c_str()));
  ldns_rr_set_class(none, LDNS_RR_CLASS_NONE);
  ldns_rr_set_type(none, set.type);
  ldns_rr_set_ttl(none, 0);
  ldns_pkt_push_rr(packet, LDNS_SECTION_ANSWER, none);
}

// RFC 2136, 2.5.1 (class IN: add) and 2.5.4 (class NONE: this record and no other).
void Session::push(ldns_pkt* packet, const std::string& name, ldns_rr_class how, ldns_rr_type type,
                   Field value) const {
  ldns_rr* record = ldns_rr_new();
  ldns_rr_set_owner(record, ldns_dname_new_frm_str(name.c_str()));
  ldns_rr_set_class(record, how);
  ldns_rr_set_type(record, type);
  ldns_rr_set_ttl(record, how == LDNS_RR_CLASS_IN ? static_cast<std::uint32_t>(request_.ttl_s) : 0);
  ldns_rr_push_rdf(record, value.release());
  ldns_pkt_push_rr(packet, LDNS_SECTION_AUTHORITY, record);
}

Field address_field(const Address& address) {
  const auto bytes = address.bytes();
  return Field(ldns_rdf_new_frm_data(address.is_v4() ? LDNS_RDF_TYPE_A : LDNS_RDF_TYPE_AAAA,
                                     bytes.size(), bytes.data()));
}

Field text_field(const std::string& text) {
  ICON_ASSERT(text.size() <= kTextBytesMax);  // ours, or as one string of a record held it
  std::string bytes(1, static_cast<char>(text.size()));
  bytes += text;
  return Field(ldns_rdf_new_frm_data(LDNS_RDF_TYPE_STR, bytes.size(), bytes.data()));
}

std::optional<Failure> Session::change(const DnsPlan& plan, bool& raced) {
  const Packet packet(ldns_pkt_new());
  ldns_pkt_set_opcode(packet.get(), LDNS_PACKET_UPDATE);
  ldns_pkt_set_random_id(packet.get());
  ldns_rr* zone = ldns_rr_new();
  ldns_rr_set_question(zone, true);
  ldns_rr_set_owner(zone, ldns_dname_new_frm_str(request_.zone.c_str()));
  ldns_rr_set_type(zone, LDNS_RR_TYPE_SOA);
  ldns_rr_set_class(zone, LDNS_RR_CLASS_IN);
  ldns_pkt_push_rr(packet.get(), LDNS_SECTION_QUESTION, zone);
  for (const auto& set : sets_) require_as_seen(packet.get(), set);
  const auto type = [](const Address& address) {
    return address.is_v4() ? LDNS_RR_TYPE_A : LDNS_RR_TYPE_AAAA;
  };
  for (const auto& address : plan.remove)
    push(packet.get(), request_.name, LDNS_RR_CLASS_NONE, type(address), address_field(address));
  for (const auto& address : plan.add)
    push(packet.get(), request_.name, LDNS_RR_CLASS_IN, type(address), address_field(address));
  for (const auto& text : plan.remove_marks)
    push(packet.get(), mark_, LDNS_RR_CLASS_NONE, LDNS_RR_TYPE_TXT, text_field(text));
  for (const auto& text : plan.add_marks)
    push(packet.get(), mark_, LDNS_RR_CLASS_IN, LDNS_RR_TYPE_TXT, text_field(text));
  auto answer = exchange(packet.get(), true);
  if (!answer) return answer.error();
  return check(answer->get(), raced);
}

DnsOutcome Session::run() {
  DnsOutcome outcome;
  for (int attempt = 0; attempt < kDnsAttemptsMax; ++attempt) {
    bool raced = false;
    auto failure = look();
    DnsPlan plan;
    if (!failure) {
      plan = plan_dns(seen_, request_.owner, request_.want, request_.now_ms);
      outcome.foreign = plan.foreign;
      if (!plan.empty()) failure = change(plan, raced);
    }
    outcome.code = failure ? failure->code : "";
    outcome.message = failure ? failure->message : "";
    if (!failure) {
      outcome.added = plan.add;
      outcome.removed = plan.remove;
    }
    if (!raced) break;
  }
  return outcome;
}

}  // namespace

Result<TsigKey> load_tsig_key(const std::string& path) {
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  if (!fd) return fail_errno("open " + path);
  struct stat info {};
  if (fstat(fd.get(), &info) != 0) return fail_errno("stat " + path);
  if (!S_ISREG(info.st_mode)) return fail(Code::kRefused, path + " is no regular file");
  if ((info.st_mode & 077) != 0)
    return fail(Code::kRefused, path + " can be read by others: chmod 600 it");
  if (info.st_uid != geteuid()) return fail(Code::kRefused, path + " belongs to another user");
  std::string text(kDnsKeyBytesMax + 1, '\0');
  const ssize_t count = read(fd.get(), text.data(), text.size());
  Result<TsigKey> key = fail_errno("read " + path);
  if (count > static_cast<ssize_t>(kDnsKeyBytesMax))
    key =
        fail(Code::kLimit, path + " is larger than " + std::to_string(kDnsKeyBytesMax) + " bytes");
  else if (count >= 0)
    key = parse_tsig_key(std::string_view(text).substr(0, static_cast<std::size_t>(count)));
  sodium_memzero(text.data(), text.size());
  if (!key && key.error().code == Code::kInvalid)
    return fail(Code::kInvalid, path + ": " + key.error().message);
  return key;
}

DnsOutcome update_dns(const DnsRequest& request) {
  // The image's openssl.cnf may want things that a static program cannot load.
  OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, nullptr);
  const auto key = load_tsig_key(request.key_file);
  if (!key) {
    DnsOutcome outcome;
    outcome.code = "key_file";
    outcome.message = key.error().message;
    return outcome;
  }
  return Session(request, *key).run();
}

int run_dns_update(const std::string& state_dir) {
  // No core file has the secret in it; and it ends though its agent is gone, whatever the server
  // does.
  const rlimit none{};
  setrlimit(RLIMIT_CORE, &none);
  alarm(static_cast<unsigned>(kDnsRunMax.count() / 1000));
  const auto text = read_file(state_dir + kDnsRequestFile, kFileBytesMax);
  const auto object =
      text ? json::parse_object(*text, kFileBytesMax) : Result<json::Object>(fail(text.error()));
  const auto request =
      object ? DnsRequest::from_json(*object) : Result<DnsRequest>(fail(object.error()));
  if (!request) {
    std::fprintf(stderr, "icon-agent dns-update: %s\n", request.error().message.c_str());
    return 2;
  }
  const auto outcome = update_dns(*request);
  const auto written = write_file_atomic(state_dir + kDnsOutcomeFile,
                                         boost::json::serialize(outcome.to_json()), 0600);
  if (written) return 0;
  std::fprintf(stderr, "icon-agent dns-update: %s\n", written.error().message.c_str());
  return 1;
}

}  // namespace icon::agent
