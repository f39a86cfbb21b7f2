#include "supervisor/net/stub_traffic.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <endian.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <sys/time.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>
#include <optional>
#include <vector>

#include "supervisor/net/bpf/maps.h"
#include "supervisor/net/names.h"
#include "supervisor/net/netlink_attributes.h"
#include "supervisor/net/rtnetlink_message.h"

namespace icon::net {
namespace {

constexpr timeval kAnswerTimeout{2, 0};
constexpr int kAttemptsMax = 5;  // a set that changes while it is listed is listed again
constexpr std::uint32_t kStubsPerRead = 4096;

struct Count {
  std::uint64_t packets = 0;
  std::uint64_t bytes = 0;
};
using Counts = std::map<Address, Count>;

Count read_counter(const nlattr* nest) {
  Count count;
  for_each_nested(nest, [&](const nlattr* value) {
    if (mnl_attr_get_payload_len(value) != sizeof(std::uint64_t)) return;
    if (mnl_attr_get_type(value) == NFTA_COUNTER_PACKETS)
      count.packets = be64toh(mnl_attr_get_u64(value));
    if (mnl_attr_get_type(value) == NFTA_COUNTER_BYTES)
      count.bytes = be64toh(mnl_attr_get_u64(value));
  });
  return count;
}

std::optional<Address> read_key(const nlattr* nest) {
  std::optional<Address> address;
  for_each_nested(nest, [&](const nlattr* value) {
    if (mnl_attr_get_type(value) != NFTA_DATA_VALUE) return;
    const auto bytes = mnl_attr_get_payload_len(value);
    if (bytes != 4 && bytes != 16) return;
    read_address(value, address.emplace());
  });
  return address;
}

void read_element(const nlattr* element, Counts& counts) {
  std::optional<Address> key;
  Count count;
  for_each_nested(element, [&](const nlattr* part) {
    if (mnl_attr_get_type(part) == NFTA_SET_ELEM_KEY) key = read_key(part);
    if (mnl_attr_get_type(part) != NFTA_SET_ELEM_EXPR) return;
    for_each_nested(part, [&](const nlattr* expression) {
      if (mnl_attr_get_type(expression) == NFTA_EXPR_DATA) count = read_counter(expression);
    });
  });
  if (key) counts[*key] = count;
}

int read_elements(const nlmsghdr* header, void* data) {
  for_each_attribute(header, sizeof(nfgenmsg), [&](const nlattr* attribute) {
    if (mnl_attr_get_type(attribute) != NFTA_SET_ELEM_LIST_ELEMENTS) return;
    for_each_nested(attribute, [&](const nlattr* element) {
      read_element(element, *static_cast<Counts*>(data));
    });
  });
  return MNL_CB_OK;
}

int read_object(const nlmsghdr* header, void* data) {
  for_each_attribute(header, sizeof(nfgenmsg), [&](const nlattr* attribute) {
    if (mnl_attr_get_type(attribute) == NFTA_OBJ_DATA)
      *static_cast<Count*>(data) = read_counter(attribute);
  });
  return MNL_CB_OK;
}

constexpr std::uint16_t message_type(std::uint16_t what) {
  return static_cast<std::uint16_t>(NFNL_SUBSYS_NFTABLES << 8 | what);
}

class RulesetReader {
 public:
  static Result<RulesetReader> open() {
    mnl_socket* socket = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC);
    if (socket == nullptr) return fail_errno("open an nftables socket");
    RulesetReader reader(socket);
    setsockopt(mnl_socket_get_fd(socket), SOL_SOCKET, SO_RCVTIMEO, &kAnswerTimeout,
               sizeof kAnswerTimeout);
    if (mnl_socket_bind(socket, 0, MNL_SOCKET_AUTOPID) < 0)
      return fail_errno("bind an nftables socket");
    return reader;
  }

  Result<Counts> set(std::uint8_t family, std::string_view name) {
    for (int attempt = 1;; ++attempt) {
      Counts counts;
      Message request(message_type(NFT_MSG_GETSETELEM), NLM_F_DUMP);
      request.family<nfgenmsg>().nfgen_family = family;
      request.put(NFTA_SET_ELEM_LIST_TABLE, std::string(kTable));
      request.put(NFTA_SET_ELEM_LIST_SET, std::string(name));
      const int error = exchange(request.get(), read_elements, &counts);
      if (error == EINTR && attempt < kAttemptsMax) continue;
      if (error != 0) return fail_errno("read the set " + std::string(name), error);
      return counts;
    }
  }

  Result<Count> counter(std::uint8_t family, std::string_view name) {
    Count count;
    Message request(message_type(NFT_MSG_GETOBJ), 0);
    request.family<nfgenmsg>().nfgen_family = family;
    request.put(NFTA_OBJ_TABLE, std::string(kTable));
    request.put(NFTA_OBJ_NAME, std::string(name));
    request.put(NFTA_OBJ_TYPE, htonl(NFT_OBJECT_COUNTER));
    if (const int error = exchange(request.get(), read_object, &count); error != 0)
      return fail_errno("read the counter " + std::string(name), error);
    return count;
  }

 private:
  struct Close {
    void operator()(mnl_socket* socket) const { mnl_socket_close(socket); }
  };
  explicit RulesetReader(mnl_socket* socket) : socket_(socket) {}

  int exchange(nlmsghdr* message, mnl_cb_t parse, void* data) {
    message->nlmsg_seq = ++sequence_;
    if (mnl_socket_sendto(socket_.get(), message, message->nlmsg_len) < 0) return errno;
    alignas(nlmsghdr) char answer[kReceiveBytes];
    for (;;) {
      const ssize_t count = mnl_socket_recvfrom(socket_.get(), answer, sizeof answer);
      if (count < 0) return errno;
      // The rest of an answer that was given up.
      if (reinterpret_cast<const nlmsghdr*>(answer)->nlmsg_seq != sequence_) continue;
      const int state = mnl_cb_run(answer, static_cast<std::size_t>(count), sequence_,
                                   mnl_socket_get_portid(socket_.get()), parse, data);
      if (state < 0) return errno;
      if (state == MNL_CB_STOP) return 0;
    }
  }

  std::unique_ptr<mnl_socket, Close> socket_;
  std::uint32_t sequence_ = 0;
};

void add(StubTraffic& traffic, const icon_traffic& counted) {
  traffic += {counted.packets_to, counted.bytes_to, counted.packets_from, counted.bytes_from,
              counted.connections};
}

}  // namespace

StubTraffic& StubTraffic::operator+=(const StubTraffic& other) {
  packets_to += other.packets_to;
  bytes_to += other.bytes_to;
  packets_from += other.packets_from;
  bytes_from += other.bytes_from;
  connections += other.connections;
  return *this;
}

std::vector<std::pair<std::string, StubTraffic>> busiest_stubs(const StubTraffics& traffic,
                                                               std::size_t most) {
  std::vector<std::pair<std::string, StubTraffic>> stubs(traffic.stubs.begin(),
                                                         traffic.stubs.end());
  const auto bytes = [](const auto& stub) { return stub.second.bytes_to + stub.second.bytes_from; };
  most = std::min(most, stubs.size());
  std::partial_sort(stubs.begin(), stubs.begin() + static_cast<std::ptrdiff_t>(most), stubs.end(),
                    [&](const auto& a, const auto& b) {
                      return bytes(a) != bytes(b) ? bytes(a) > bytes(b) : a.first < b.first;
                    });
  stubs.resize(most);
  return stubs;
}

Status add_ruleset_traffic(TrafficRead& read) {
  ICON_TRY(auto reader, RulesetReader::open());
  for (const std::uint8_t family : kFamilies) {
    ICON_TRY(const Counts to, reader.set(family, kStubTo));
    ICON_TRY(const Counts from, reader.set(family, kStubFrom));
    ICON_TRY(const Counts begun, reader.set(family, kStubBegun));
    for (const auto& [overlay, count] : to)
      read.by_overlay[overlay] += {count.packets, count.bytes, 0, 0, 0};
    for (const auto& [overlay, count] : from)
      read.by_overlay[overlay] += {0, 0, count.packets, count.bytes, 0};
    for (const auto& [overlay, count] : begun)
      read.by_overlay[overlay] += {0, 0, 0, 0, count.packets};
    ICON_TRY(const Count sum_to, reader.counter(family, kSumTo));
    ICON_TRY(const Count sum_from, reader.counter(family, kSumFrom));
    ICON_TRY(const Count sum_begun, reader.counter(family, kSumBegun));
    read.sum += {sum_to.packets, sum_to.bytes, sum_from.packets, sum_from.bytes, sum_begun.packets};
  }
  return {};
}

Status FastTraffic::add_to(TrafficRead& read) const {
  const int cpus = libbpf_num_possible_cpus();
  if (cpus <= 0) return fail_errno("count the processors", -cpus);
  const auto per_stub = static_cast<std::size_t>(cpus);
  std::vector<icon_traffic> sums(per_stub);
  const std::uint32_t zero = 0;
  if (bpf_map_lookup_elem(sum_.get(), &zero, sums.data()) != 0)
    return fail_errno("read the BPF map of the stubs' sum");
  for (const auto& counted : sums) add(read.sum, counted);
  std::vector<std::uint32_t> keys(kStubsPerRead);
  std::vector<icon_traffic> values(kStubsPerRead * per_stub);
  std::uint32_t position = 0;
  for (bool first = true, more = true; more; first = false) {
    std::uint32_t count = kStubsPerRead;
    const int error = bpf_map_lookup_batch(stubs_.get(), first ? nullptr : &position, &position,
                                           keys.data(), values.data(), &count, nullptr);
    more = error == 0;
    if (error != 0 && error != -ENOENT)
      return fail_errno("read the BPF map of the stubs' traffic", -error);
    for (std::uint32_t i = 0; i < count; ++i) {
      std::array<std::uint8_t, 4> bytes{};
      std::memcpy(bytes.data(), &keys[i], bytes.size());
      auto& traffic = read.by_overlay[Address::v4(bytes)];
      for (std::size_t cpu = 0; cpu < per_stub; ++cpu) add(traffic, values[i * per_stub + cpu]);
    }
  }
  return {};
}

}  // namespace icon::net
