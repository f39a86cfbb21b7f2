// Connection tracking's table, read and thinned out over netlink. For threads that may block: the
// kernel walks the whole table for every call, whatever comes back.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <set>
#include <string>
#include <vector>

#include "base/address.h"
#include "base/result.h"

struct mnl_socket;
struct nlmsghdr;

namespace icon::net {

// One connection, as its first packet had it, and as its answers have it.
struct TrackedConnection {
  std::uint8_t protocol = 0;
  std::uint8_t tcp_state = 0;  // enum tcp_conntrack
  std::uint32_t mark = 0;
  Endpoint from;
  Endpoint to;
  Endpoint answer_from;
  Endpoint answer_to;
  // Both ends have closed it, or one has reset it: TCP in LAST_ACK, TIME_WAIT or CLOSE.
  bool has_ended() const;
  // TCP, in both directions.
  bool is_established() const;
};

// Owned by one thread at a time; movable.
class Conntrack {
 public:
  using Condition = std::function<bool(const TrackedConnection&)>;

  // More connections than this are not all listed where a filter of the kernel's can choose.
  static constexpr std::size_t kListedMax = 10'000;
  // Of the network namespace that the calling thread is in. Errors: kIo, kRefused.
  static Result<Conntrack> open(std::size_t listed_max = kListedMax);
  Conntrack(Conntrack&& other) noexcept;
  Conntrack& operator=(Conntrack&& other) noexcept;
  ~Conntrack();

  // Which connections of an address: those that it answers, or also those that it has opened.
  enum class Side { kAnswers, kBoth };
  // Removes the connections of `addresses` for which `gone` holds. Their number. What ends by
  // itself meanwhile is no error. Errors: kIo.
  Result<std::size_t> erase(const std::set<Address>& addresses, Side side, const Condition& gone);
  // The same for all.
  Result<std::size_t> erase(const Condition& gone);

 private:
  using Parse = int (*)(const nlmsghdr*, void*);
  Conntrack(mnl_socket* socket, std::size_t listed_max)
      : socket_(socket), listed_max_(listed_max) {}
  // What names a connection to the kernel: attributes, as it sent them.
  struct Handle {
    std::uint8_t family = 0;
    std::string attributes;
  };
  struct Listing;
  static int parse(const nlmsghdr* header, void* listing);
  int exchange(nlmsghdr* message, Parse parse, void* data);
  Status list(nlmsghdr* request, Listing& listing);
  Result<std::size_t> remove(const std::vector<Handle>& handles);
  mnl_socket* socket_ = nullptr;
  std::size_t listed_max_;
  std::uint32_t sequence_ = 0;
};

}  // namespace icon::net
