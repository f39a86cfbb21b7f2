#include "cli/local.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <boost/json/serialize.hpp>
#include <optional>
#include <vector>

#include "base/address.h"
#include "base/json.h"
#include "base/keys.h"
#include "supervisor/config.h"

namespace icon::cli {
namespace {

constexpr std::size_t kNameBytesMax = 253;
constexpr std::size_t kLabelBytesMax = 63;
constexpr std::size_t kLocationBytesMax = 64;

// A host name without its last dot, lower case. Failures: kUsage.
Outcome<std::string> host_name(std::string name, const char* option) {
  if (!name.empty() && name.back() == '.') name.pop_back();
  std::size_t label_bytes = 0;
  bool good = !name.empty() && name.size() <= kNameBytesMax;
  for (char& c : name) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    const bool plain = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
    good = good && (c == '.' ? label_bytes > 0 : plain && label_bytes < kLabelBytesMax);
    label_bytes = c == '.' ? 0 : label_bytes + 1;
  }
  if (!good || label_bytes == 0)
    return failure(kUsage, fmt::format("{} {}: not a host name", option, name),
                   "For example edge.example.net.");
  return name;
}

struct Record {
  std::string owner;  // absolute, without the last dot
  std::string type;
  std::string data;
};

Outcome<std::string> provider_id(const DnsRecordOptions& options) {
  if (options.key_file.empty() == options.id.empty())
    return failure(kUsage, "give either --key FILE or --id ID",
                   "icon keygen FILE makes a key; the supervisor's own is STATE_DIR/host.key.");
  if (!options.id.empty()) {
    const auto key = PublicKey::from_id(options.id);
    if (!key) return failure(kUsage, "--id: " + key.error().message);
    return options.id;
  }
  const auto key = KeyPair::load(options.key_file, false);
  if (!key) return failure(kUsage, "--key: " + key.error().message);
  return key->id();
}

// What the supervisor's own file says, where the command line says nothing.
Outcome<DnsRecordOptions> complete(DnsRecordOptions options) {
  if (!options.config_file.empty()) {
    const auto config = supervisor::load_config(options.config_file);
    if (!config) return failure(kUsage, options.config_file + ": " + config.error().message);
    const auto address = config->api.address.to_string();
    if (options.host.empty())
      options.host = address;
    else if (options.address.empty() && !Address::parse(options.host))
      options.address = address;
    options.port = config->api.port;
    if (config->public_address6 && options.address6.empty())
      options.address6 = config->public_address6->to_string();
    if (options.key_file.empty() && options.id.empty()) options.key_file = config->key_file;
  }
  if (options.host.empty())
    return failure(kUsage, "give either --host or --config", "The supervisor's file knows both.");
  return options;
}

Outcome<std::vector<Record>> records_of(const DnsRecordOptions& options) {
  CLI_TRY(const auto domain, host_name(options.domain, "--domain"));
  CLI_TRY(const auto id, provider_id(options));
  std::optional<Address> address;
  std::string target;
  if (const auto literal = Address::parse(options.host)) {
    // SRV must name a host (RFC 2782): give the address one.
    address = *literal;
    target = "icon." + domain;
  } else {
    CLI_TRY(target, host_name(options.host, "--host"));
  }
  if (!options.address.empty()) {
    const auto literal = Address::parse(options.address);
    if (!literal) return failure(kUsage, "--address: " + literal.error().message);
    if (target != domain && !target.ends_with("." + domain))
      return failure(kUsage, "--address: " + target + " belongs to another zone than " + domain,
                     "Publish its address there, and leave --address away.");
    address = *literal;
  }
  const auto& location = options.location;
  if (location.size() > kLocationBytesMax ||
      std::any_of(location.begin(), location.end(),
                  [](char c) { return c <= ' ' || c > '~' || c == '"' || c == '\\'; }))
    return failure(kUsage, "--location: at most 64 printable characters without blanks or quotes",
                   "For example --location de-berlin.");
  const auto service = "_icon._tcp." + domain;
  std::vector<Record> records;
  records.push_back(
      {service, "SRV",
       fmt::format("{} {} {} {}.", options.priority, options.weight, options.port, target)});
  records.push_back(
      {service, "TXT",
       fmt::format("\"v=icon1 id={}{}{}\"", id, location.empty() ? "" : " loc=", location)});
  if (address) records.push_back({target, address->is_v4() ? "A" : "AAAA", address->to_string()});
  if (address && address->is_v4() && !options.address6.empty())
    records.push_back({target, "AAAA", options.address6});
  return records;
}

// A line of a zone file (RFC 1035, section 5.1); bind, nsd and knot all read it.
std::string zone_line(const Record& record, std::uint32_t ttl) {
  return fmt::format("{}. {} IN {} {}\n", record.owner, ttl, record.type, record.data);
}

std::string knot_command(const Record& record, const std::string& zone, std::uint32_t ttl) {
  auto data = record.data;
  // knotc takes the data as words of its own; the shell must leave the quotes of TXT alone.
  if (record.type == "TXT") data = "'" + data + "'";
  return fmt::format("knotc zone-set {}. {}. {} {} {}\n", zone, record.owner, ttl, record.type,
                     data);
}

}  // namespace

int generate_key(Context& context, const std::string& path) {
  struct stat existing {};
  if (lstat(path.c_str(), &existing) == 0)
    return report(context, {kRefused, path + " exists: a key is never overwritten",
                            "Choose another name, or move the old key away."});
  const auto key = KeyPair::load(path, true);
  if (!key) return report(context, {kFailed, "make a key: " + key.error().message, ""});
  if (context.json)
    context.out << boost::json::serialize(json::Object{{"id", key->id()}, {"file", path}}) << '\n';
  else
    context.out << key->id() << '\n';
  return kOk;
}

int print_dns_records(Context& context, const DnsRecordOptions& given) {
  const auto completed = complete(given);
  if (!completed) return report(context, completed.error());
  const DnsRecordOptions& options = *completed;
  const auto records = records_of(options);
  if (!records) return report(context, records.error());
  if (context.json) {
    json::Array array;
    for (const auto& record : *records)
      array.push_back(json::Object{{"owner", record.owner + "."},
                                   {"ttl", options.ttl},
                                   {"type", record.type},
                                   {"data", record.data}});
    context.out << boost::json::serialize(json::Object{{"records", std::move(array)}}) << '\n';
    return kOk;
  }
  const auto zone = host_name(options.domain, "--domain").value();
  if (options.format == "knot") {
    context.out << "knotc zone-begin " << zone << ".\n";
    for (const auto& record : *records) context.out << knot_command(record, zone, options.ttl);
    context.out << "knotc zone-commit " << zone << ".\n";
    return kOk;
  }
  context.out << "; Into the zone " << zone << "., then count its SOA serial up and run: "
              << (options.format == "nsd" ? "nsd-control reload " : "rndc reload ") << zone << '\n';
  for (const auto& record : *records) context.out << zone_line(record, options.ttl);
  return kOk;
}

}  // namespace icon::cli
