// Which peer an inner address belongs to: longest prefix first, IPv4 and IPv6, over all peers
// ("cryptokey routing", whitepaper section 2). A path-compressed binary trie: the cost of a lookup
// follows the length of the address, not the number of prefixes. Under the engine's lock.
#pragma once

#include <functional>
#include <optional>
#include <vector>

#include "base/address.h"

namespace icon::tunnel::wg {

// A peer's place in the engine. Given again after a peer was removed.
using PeerId = std::uint32_t;
inline constexpr PeerId kNoPeer = 0xffff'ffff;

class AllowedIps {
 public:
  static constexpr std::size_t kPrefixesMax = 131'072;

  // Takes the prefix away from another peer that had it. Errors: kLimit.
  Status insert(const Prefix& prefix, PeerId peer);
  // False when this peer does not hold it.
  bool remove(const Prefix& prefix, PeerId peer);
  void remove_peer(PeerId peer);
  // kNoPeer: none.
  PeerId lookup(const Address& address) const;
  // By 4 or 16 bytes in network order, as they lie in a packet.
  PeerId lookup_v4(const std::uint8_t* address) const;
  PeerId lookup_v6(const std::uint8_t* address) const;
  // In order of address, shorter prefixes first.
  using Visitor = std::function<void(const Prefix&, PeerId)>;
  void for_each(const Visitor& visit) const;
  std::size_t size() const { return size_; }

 private:
  using NodeIndex = std::uint32_t;
  static constexpr NodeIndex kNone = 0xffff'ffff;
  struct Node {
    std::array<std::uint8_t, 16> bits{};
    std::array<NodeIndex, 2> child{kNone, kNone};
    PeerId peer = kNoPeer;
    std::uint8_t length = 0;
  };

  static Status too_many();
  NodeIndex* find_link(const std::uint8_t* bits, int length, bool is_v4);
  // On which side of a branch after `place` bits a node belongs.
  std::size_t child_of(NodeIndex node, int place) const;
  NodeIndex make(const std::uint8_t* bits, int length, PeerId peer);
  void release(NodeIndex index);
  void collapse(NodeIndex* link);
  void remove_peer_below(NodeIndex* link, PeerId peer);
  void visit_below(NodeIndex index, bool is_v4, const Visitor& visit) const;
  template <int kBytes>
  PeerId find(NodeIndex index, const std::uint8_t* address) const;

  std::vector<Node> nodes_;
  std::vector<NodeIndex> free_;
  NodeIndex root_v4_ = kNone;
  NodeIndex root_v6_ = kNone;
  std::size_t size_ = 0;
};

}  // namespace icon::tunnel::wg
