#include "supervisor/tunnel/wg/allowed_ips.h"

#include <algorithm>
#include <bit>

#include "supervisor/tunnel/wg/messages.h"

namespace icon::tunnel::wg {
namespace {

int bit_at(const std::uint8_t* bits, int place) { return bits[place / 8] >> (7 - place % 8) & 1; }

// How many leading bits two addresses share, at most `limit`.
int common_bits(const std::uint8_t* a, const std::uint8_t* b, int limit) {
  for (int byte = 0; byte * 8 < limit; ++byte) {
    const auto difference = static_cast<std::uint8_t>(a[byte] ^ b[byte]);
    if (difference != 0) return std::min(limit, byte * 8 + std::countl_zero(difference));
  }
  return limit;
}

Prefix prefix_of(const std::array<std::uint8_t, 16>& bits, int length, bool is_v4) {
  if (is_v4) return {Address::v4({bits[0], bits[1], bits[2], bits[3]}), length};
  return {Address::v6(bits), length};
}

}  // namespace

AllowedIps::NodeIndex AllowedIps::make(const std::uint8_t* bits, int length, PeerId peer) {
  Node node;
  std::copy_n(bits, (length + 7) / 8, node.bits.begin());
  if (length % 8 != 0)
    node.bits[static_cast<std::size_t>(length / 8)] &=
        static_cast<std::uint8_t>(0xff << (8 - length % 8));
  node.length = static_cast<std::uint8_t>(length);
  node.peer = peer;
  if (free_.empty()) {
    nodes_.push_back(node);
    return static_cast<NodeIndex>(nodes_.size() - 1);
  }
  const NodeIndex index = free_.back();
  free_.pop_back();
  nodes_[index] = node;
  return index;
}

void AllowedIps::release(NodeIndex index) { free_.push_back(index); }

// Where the way to a prefix ends: the link that leads to its node, or to where it would be put in.
AllowedIps::NodeIndex* AllowedIps::find_link(const std::uint8_t* bits, int length, bool is_v4) {
  NodeIndex* link = is_v4 ? &root_v4_ : &root_v6_;
  while (*link != kNone) {
    Node& node = nodes_[*link];
    if (node.length >= length || common_bits(node.bits.data(), bits, node.length) < node.length)
      break;
    link = &node.child[static_cast<std::size_t>(bit_at(bits, node.length))];
  }
  return link;
}

Status AllowedIps::insert(const Prefix& prefix, PeerId peer) {
  const std::uint8_t* bits = prefix.address.bytes().data();
  const int length = prefix.length;
  if (length < 0 || length > (prefix.address.is_v4() ? 32 : 128))
    return fail(Code::kInvalid, "allowed IP " + prefix.to_string() + ": no such prefix length");
  // A prefix needs its own node and at most one that branches: links stay valid meanwhile.
  if (nodes_.capacity() < nodes_.size() + 2)
    nodes_.reserve(std::max(nodes_.capacity() * 2, std::size_t{16}));
  NodeIndex* link = find_link(bits, length, prefix.address.is_v4());
  const bool is_new_leaf = *link == kNone;
  const int shared = is_new_leaf ? 0
                                 : common_bits(nodes_[*link].bits.data(), bits,
                                               std::min<int>(length, nodes_[*link].length));
  if (!is_new_leaf && shared == length && nodes_[*link].length == length) {
    PeerId& owner = nodes_[*link].peer;
    if (owner == kNoPeer) {
      if (size_ >= kPrefixesMax) return too_many();
      ++size_;
    }
    owner = peer;
    return {};
  }
  if (size_ >= kPrefixesMax) return too_many();
  ++size_;
  const NodeIndex below = *link;
  const NodeIndex leaf = make(bits, length, peer);
  if (is_new_leaf) {
    *link = leaf;
  } else if (shared == length) {
    // The new prefix contains the one that was here.
    nodes_[leaf].child[child_of(below, length)] = below;
    *link = leaf;
  } else {
    const NodeIndex branch = make(bits, shared, kNoPeer);
    nodes_[branch].child[child_of(below, shared)] = below;
    nodes_[branch].child[child_of(leaf, shared)] = leaf;
    *link = branch;
  }
  return {};
}

std::size_t AllowedIps::child_of(NodeIndex node, int place) const {
  return static_cast<std::size_t>(bit_at(nodes_[node].bits.data(), place));
}

Status AllowedIps::too_many() {
  return fail(Code::kLimit, "more than " + std::to_string(kPrefixesMax) +
                                " allowed IPs on one tunnel; remove some");
}

bool AllowedIps::remove(const Prefix& prefix, PeerId peer) {
  const std::uint8_t* bits = prefix.address.bytes().data();
  NodeIndex* parent = nullptr;
  NodeIndex* link = prefix.address.is_v4() ? &root_v4_ : &root_v6_;
  while (*link != kNone && nodes_[*link].length < prefix.length) {
    parent = link;
    link = &nodes_[*link].child[static_cast<std::size_t>(bit_at(bits, nodes_[*link].length))];
  }
  if (*link == kNone) return false;
  Node& node = nodes_[*link];
  if (node.length != prefix.length || node.peer != peer ||
      common_bits(node.bits.data(), bits, node.length) < node.length)
    return false;
  node.peer = kNoPeer;
  --size_;
  collapse(link);
  if (parent != nullptr) collapse(parent);
  return true;
}

// A node that holds no prefix and does not branch is only a detour.
void AllowedIps::collapse(NodeIndex* link) {
  if (*link == kNone) return;
  const Node& node = nodes_[*link];
  if (node.peer != kNoPeer || (node.child[0] != kNone && node.child[1] != kNone)) return;
  const NodeIndex only = node.child[0] != kNone ? node.child[0] : node.child[1];
  release(*link);
  *link = only;
}

void AllowedIps::remove_peer_below(NodeIndex* link, PeerId peer) {
  // No deeper than an address has bits.
  if (*link == kNone) return;
  Node& node = nodes_[*link];
  remove_peer_below(&node.child[0], peer);
  remove_peer_below(&node.child[1], peer);
  if (node.peer == peer) {
    node.peer = kNoPeer;
    --size_;
  }
  collapse(link);
}

void AllowedIps::remove_peer(PeerId peer) {
  remove_peer_below(&root_v4_, peer);
  remove_peer_below(&root_v6_, peer);
}

template <int kBytes>
PeerId AllowedIps::find(NodeIndex index, const std::uint8_t* address) const {
  PeerId found = kNoPeer;
  while (index != kNone) {
    const Node& node = nodes_[index];
    if (common_bits(node.bits.data(), address, node.length) < node.length) break;
    if (node.peer != kNoPeer) found = node.peer;
    if (node.length == kBytes * 8) break;
    index = node.child[static_cast<std::size_t>(bit_at(address, node.length))];
  }
  return found;
}

PeerId AllowedIps::lookup_v4(const std::uint8_t* address) const {
  return find<4>(root_v4_, address);
}

PeerId AllowedIps::lookup_v6(const std::uint8_t* address) const {
  return find<16>(root_v6_, address);
}

PeerId AllowedIps::lookup(const Address& address) const {
  const std::uint8_t* bytes = address.bytes().data();
  return address.is_v4() ? lookup_v4(bytes) : lookup_v6(bytes);
}

void AllowedIps::visit_below(NodeIndex index, bool is_v4, const Visitor& visit) const {
  if (index == kNone) return;
  const Node& node = nodes_[index];
  if (node.peer != kNoPeer) visit(prefix_of(node.bits, node.length, is_v4), node.peer);
  visit_below(node.child[0], is_v4, visit);
  visit_below(node.child[1], is_v4, visit);
}

void AllowedIps::for_each(const Visitor& visit) const {
  visit_below(root_v4_, true, visit);
  visit_below(root_v6_, false, visit);
}

}  // namespace icon::tunnel::wg
