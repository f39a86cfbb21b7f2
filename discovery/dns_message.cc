#include "discovery/dns_message.h"

#include <algorithm>
#include <array>
#include <map>
#include <optional>

namespace icon::discovery {
namespace {

constexpr std::uint16_t kTypeCname = 5;
constexpr std::uint16_t kTypeSoa = 6;
constexpr std::uint16_t kClassIn = 1;
constexpr std::size_t kHeaderBytes = 12;
constexpr std::size_t kLabelBytesMax = 63;
constexpr std::size_t kWireNameBytesMax = 255;
constexpr int kPointersMax = 64;  // in one name; a legal name of 255 bytes needs no more

bool is_name_character(char c) {
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

// A name as it stands in the message. `plain` is false when a label holds what no host name holds:
// such a name is compared with nothing and handed to nobody.
struct WireName {
  std::string text;
  bool plain = true;
};

// Reads a DNS message front to back. Every read says whether it fitted.
class Reader {
 public:
  explicit Reader(std::span<const std::uint8_t> message) : message_(message) {}

  std::size_t position() const { return position_; }
  bool skip(std::size_t bytes) {
    if (bytes > message_.size() - position_) return false;
    position_ += bytes;
    return true;
  }
  bool read_u16(std::uint16_t& value) {
    if (message_.size() - position_ < 2) return false;
    value = static_cast<std::uint16_t>(message_[position_] << 8 | message_[position_ + 1]);
    position_ += 2;
    return true;
  }
  bool read_u32(std::uint32_t& value) {
    std::uint16_t high = 0;
    std::uint16_t low = 0;
    if (!read_u16(high) || !read_u16(low)) return false;
    value = static_cast<std::uint32_t>(high) << 16 | low;
    return true;
  }
  // RFC 1035 4.1.4. A pointer must point before the place where it stands, so that no name loops.
  bool read_name(WireName& name) {
    std::size_t at = position_;
    std::size_t wire_bytes = 1;
    int pointers = 0;
    std::optional<std::size_t> after;
    name = {};
    while (true) {
      if (at >= message_.size()) return false;
      const std::uint8_t length = message_[at];
      if (length == 0) {
        position_ = after.value_or(at + 1);
        return true;
      }
      if ((length & 0xc0) == 0xc0) {
        if (at + 1 >= message_.size() || ++pointers > kPointersMax) return false;
        const std::size_t target = static_cast<std::size_t>(length & 0x3f) << 8 | message_[at + 1];
        if (target >= at) return false;
        if (!after) after = at + 2;
        at = target;
        continue;
      }
      wire_bytes += length + std::size_t{1};
      if (length > kLabelBytesMax || wire_bytes > kWireNameBytesMax) return false;
      if (message_.size() - at - 1 < length) return false;
      append_label(name, message_.subspan(at + 1, length));
      at += length + std::size_t{1};
    }
  }

 private:
  static void append_label(WireName& name, std::span<const std::uint8_t> label) {
    if (!name.text.empty()) name.text += '.';
    for (const std::uint8_t byte : label) {
      const char c = lower(static_cast<char>(byte));
      name.plain = name.plain && is_name_character(c);
      name.text += c;
    }
  }

  std::span<const std::uint8_t> message_;
  std::size_t position_ = 0;
};

struct RecordHeader {
  WireName owner;
  std::uint16_t type = 0;
  std::uint16_t record_class = 0;
  std::uint32_t ttl_s = 0;
  std::uint16_t data_bytes = 0;
};

bool read_record_header(Reader& reader, RecordHeader& header) {
  if (!reader.read_name(header.owner) || !reader.read_u16(header.type) ||
      !reader.read_u16(header.record_class) || !reader.read_u32(header.ttl_s) ||
      !reader.read_u16(header.data_bytes))
    return false;
  if (header.ttl_s > 0x7fffffff) header.ttl_s = 0;  // RFC 2181, 8
  return true;
}

void say_once(std::vector<std::string>& lines, std::string line) {
  if (std::find(lines.begin(), lines.end(), line) == lines.end()) lines.push_back(std::move(line));
}

struct Cname {
  std::string target;
  bool plain = true;
  std::uint32_t ttl_s = 0;
};

// Where the records of one type in one message go, owner by owner, before it is known which owner
// is the one that was asked for.
class Collector {
 public:
  Collector(std::span<const std::uint8_t> message, RecordType type)
      : message_(message), type_(type) {}

  // `reader` stands at the record's data and is moved behind it. False: malformed.
  bool take(Reader& reader, const RecordHeader& header) {
    const std::size_t begin = reader.position();
    if (!reader.skip(header.data_bytes)) return false;
    if (header.record_class != kClassIn || !header.owner.plain) return true;
    Reader data(message_.first(begin + header.data_bytes));
    (void)data.skip(begin);
    if (header.type == kTypeCname) return take_cname(data, header);
    if (header.type != static_cast<std::uint16_t>(type_)) return true;
    return take_record(data, header);
  }

  // Follows the CNAMEs from `name`. Nothing at the end of them is an empty answer.
  Answer answer(const std::string& name) {
    std::string owner = name;
    std::uint32_t ttl_s = UINT32_MAX;
    std::vector<std::string> cut;
    for (int depth = 0;; ++depth) {
      const auto found = cnames_.find(owner);
      if (found == cnames_.end()) break;
      if (depth == kCnameDepthMax || !found->second.plain) {
        Answer none;
        none.cut.push_back(found->second.plain ? "more aliases in a row than are followed"
                                               : "an alias that is no host name");
        return none;
      }
      ttl_s = std::min(ttl_s, found->second.ttl_s);
      owner = found->second.target;
    }
    Answer answer = std::move(answers_[owner]);
    if (!answer.empty()) answer.ttl_s = std::min(answer.ttl_s, ttl_s);
    return answer;
  }

 private:
  bool take_cname(Reader& data, const RecordHeader& header) {
    WireName target;
    if (!data.read_name(target)) return false;
    cnames_.try_emplace(header.owner.text, Cname{target.text, target.plain, header.ttl_s});
    return true;
  }

  bool take_record(Reader& data, const RecordHeader& header) {
    auto [place, fresh] = answers_.try_emplace(header.owner.text);
    Answer& answer = place->second;
    if (fresh) answer.ttl_s = header.ttl_s;
    answer.ttl_s = std::min(answer.ttl_s, header.ttl_s);
    switch (type_) {
      case RecordType::kA:
      case RecordType::kAaaa:
        return take_address(data, header, answer);
      case RecordType::kPtr:
        return take_pointer(data, answer);
      case RecordType::kSrv:
        return take_srv(data, answer);
      case RecordType::kTxt:
        return take_text(data, header, answer);
    }
    return false;
  }

  bool take_address(Reader& data, const RecordHeader& header, Answer& answer) {
    const std::size_t bytes = type_ == RecordType::kA ? 4 : 16;
    if (header.data_bytes != bytes) return false;
    if (answer.addresses.size() == kAddressRecordsMax) return over_limit(answer, "addresses");
    const auto* from = message_.data() + data.position();
    if (bytes == 4) {
      answer.addresses.push_back(Address::v4({from[0], from[1], from[2], from[3]}));
      return true;
    }
    std::array<std::uint8_t, 16> sixteen{};
    std::copy_n(from, sixteen.size(), sixteen.begin());
    // An IPv4 address in disguise must be judged as what it is.
    constexpr std::array<std::uint8_t, 12> kMapped{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    const bool mapped = std::equal(kMapped.begin(), kMapped.end(), sixteen.begin());
    answer.addresses.push_back(mapped ? Address::v4({from[12], from[13], from[14], from[15]})
                                      : Address::v6(sixteen));
    return true;
  }

  bool take_pointer(Reader& data, Answer& answer) {
    WireName target;
    if (!data.read_name(target)) return false;
    if (!target.plain || target.text.empty()) return odd_name(answer);
    if (answer.names.size() == kPtrRecordsMax) return over_limit(answer, "PTR records");
    answer.names.push_back(std::move(target.text));
    return true;
  }

  bool take_srv(Reader& data, Answer& answer) {
    SrvRecord record;
    WireName target;
    if (!data.read_u16(record.priority) || !data.read_u16(record.weight) ||
        !data.read_u16(record.port) || !data.read_name(target))
      return false;
    if (!target.plain) return odd_name(answer);
    if (answer.srv.size() == kSrvRecordsMax) return over_limit(answer, "SRV records");
    record.target = std::move(target.text);
    answer.srv.push_back(std::move(record));
    return true;
  }

  bool take_text(Reader& data, const RecordHeader& header, Answer& answer) {
    const std::size_t end = data.position() + header.data_bytes;
    std::string text;
    while (data.position() < end) {
      const std::size_t length = message_[data.position()];
      if (!data.skip(1 + length) || data.position() > end) return false;
      if (!text.empty()) text += ' ';
      const auto* first = reinterpret_cast<const char*>(message_.data()) + data.position() - length;
      text.append(first, length);
    }
    std::size_t total = text.size();
    for (const auto& other : answer.texts) total += other.size();
    if (answer.texts.size() == kTxtRecordsMax) return over_limit(answer, "TXT records");
    if (total > kTxtBytesMax) return over_limit(answer, "TXT bytes");
    answer.texts.push_back(std::move(text));
    return true;
  }

  static bool over_limit(Answer& answer, const std::string& what) {
    say_once(answer.cut, "more " + what + " than are read");
    return true;
  }
  static bool odd_name(Answer& answer) {
    say_once(answer.cut, "a record whose target is no host name");
    return true;
  }

  std::span<const std::uint8_t> message_;
  RecordType type_;
  std::map<std::string, Cname> cnames_;
  std::map<std::string, Answer> answers_;
};

// RFC 2308, 5: an empty answer lives as long as the SOA beside it says. 0 without one.
std::uint32_t negative_ttl_s(Reader& reader, std::uint16_t authority_count) {
  for (std::uint16_t i = 0; i < authority_count; ++i) {
    RecordHeader header;
    if (!read_record_header(reader, header)) return 0;
    if (header.type != kTypeSoa) {
      if (!reader.skip(header.data_bytes)) return 0;
      continue;
    }
    WireName ignored;
    std::uint32_t minimum = 0;
    if (!reader.read_name(ignored) || !reader.read_name(ignored) || !reader.skip(16) ||
        !reader.read_u32(minimum))
      return 0;
    return std::min(header.ttl_s, minimum);
  }
  return 0;
}

}  // namespace

std::string_view to_string(RecordType type) {
  switch (type) {
    case RecordType::kA:
      return "A";
    case RecordType::kPtr:
      return "PTR";
    case RecordType::kTxt:
      return "TXT";
    case RecordType::kAaaa:
      return "AAAA";
    case RecordType::kSrv:
      return "SRV";
  }
  return "?";
}

std::string_view to_string(Dnssec dnssec) {
  switch (dnssec) {
    case Dnssec::kUnchecked:
      return "unchecked";
    case Dnssec::kInsecure:
      return "insecure";
    case Dnssec::kSecure:
      return "secure";
  }
  return "?";
}

Result<std::string> normalise_name(std::string_view name) {
  if (name.ends_with('.')) name.remove_suffix(1);
  if (name.empty() || name.size() > kNameBytesMax)
    return fail(Code::kInvalid, "a name of " + std::to_string(name.size()) + " characters");
  std::string normal;
  normal.reserve(name.size());
  std::size_t label_bytes = 0;
  for (const char raw : name) {
    const char c = lower(raw);
    if (c == '.' ? label_bytes == 0 : !is_name_character(c))
      return fail(Code::kInvalid, "not a host name");
    label_bytes = c == '.' ? 0 : label_bytes + 1;
    if (label_bytes > kLabelBytesMax)
      return fail(Code::kInvalid, "not a host name: label too long");
    normal += c;
  }
  if (label_bytes == 0) return fail(Code::kInvalid, "not a host name");
  return normal;
}

std::string reverse_name(const Address& address) {
  constexpr std::string_view kHex = "0123456789abcdef";
  const auto bytes = address.bytes();
  std::string name;
  for (auto byte = bytes.rbegin(); byte != bytes.rend(); ++byte) {
    if (address.is_v4()) {
      name += std::to_string(*byte) + '.';
    } else {
      name += {kHex[*byte & 15], '.', kHex[*byte >> 4], '.'};
    }
  }
  return name + (address.is_v4() ? "in-addr.arpa" : "ip6.arpa");
}

Result<Answer> parse_answer(std::span<const std::uint8_t> message, std::string_view name,
                            RecordType type) {
  const std::string what = std::string(name) + ' ' + std::string(to_string(type));
  const auto malformed = [&] { return fail(Code::kInvalid, what + ": malformed answer"); };
  Reader reader(message);
  std::uint16_t id = 0;
  std::uint16_t flags = 0;
  std::array<std::uint16_t, 4> counts{};
  if (message.size() < kHeaderBytes || !reader.read_u16(id) || !reader.read_u16(flags))
    return malformed();
  for (auto& count : counts) (void)reader.read_u16(count);
  const int response_code = flags & 15;
  if ((flags & 0x8000) == 0) return malformed();
  if (response_code == 5) return fail(Code::kRefused, what + ": the server refuses");
  if (response_code != 0 && response_code != 3)
    return fail(Code::kIo, what + ": server failure, code " + std::to_string(response_code));

  WireName question;
  std::uint16_t question_type = 0;
  std::uint16_t question_class = 0;
  if (counts[0] != 1 || !reader.read_name(question) || !reader.read_u16(question_type) ||
      !reader.read_u16(question_class))
    return malformed();
  if (!question.plain || question.text != name ||
      question_type != static_cast<std::uint16_t>(type) || question_class != kClassIn)
    return fail(Code::kInvalid, what + ": the answer to another question");

  Collector collector(message, type);
  const std::size_t read_max = std::min<std::size_t>(counts[1], kAnswerRecordsMax);
  for (std::size_t i = 0; i < read_max; ++i) {
    RecordHeader header;
    if (!read_record_header(reader, header) || !collector.take(reader, header)) return malformed();
  }
  Answer answer = collector.answer(question.text);
  if (read_max < counts[1]) say_once(answer.cut, "more records than are read");
  if (answer.empty() && read_max == counts[1]) answer.ttl_s = negative_ttl_s(reader, counts[2]);
  return answer;
}

}  // namespace icon::discovery
