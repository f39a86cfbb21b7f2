// Two or more engines and the wire between them, in the hands of a test: it decides what arrives,
// when, in which order, and what time it is.
#pragma once

#include <gtest/gtest.h>
#include <sodium.h>

#include <deque>
#include <string>
#include <string_view>

#include "base/encoding.h"
#include "supervisor/tunnel/wg/engine.h"
#include "supervisor/tunnel/wg/peer.h"

namespace icon::tunnel::wg {

inline std::vector<std::uint8_t> from_hex(std::string_view text) {
  std::vector<std::uint8_t> bytes(text.size() / 2);
  std::size_t length = 0;
  EXPECT_EQ(
      sodium_hex2bin(bytes.data(), bytes.size(), text.data(), text.size(), " ", &length, nullptr),
      0);
  bytes.resize(length);
  return bytes;
}

template <std::size_t kSize>
std::array<std::uint8_t, kSize> array_from_hex(std::string_view text) {
  std::array<std::uint8_t, kSize> out{};
  const auto bytes = from_hex(text);
  EXPECT_EQ(bytes.size(), kSize);
  std::copy_n(bytes.begin(), std::min(bytes.size(), kSize), out.begin());
  return out;
}

inline Secret secret_from_hex(std::string_view text) { return Secret(array_from_hex<32>(text)); }

template <class Container>
std::string to_hex(const Container& bytes) {
  std::string text(bytes.size() * 2 + 1, '\0');
  sodium_bin2hex(text.data(), text.size(), bytes.data(), bytes.size());
  text.pop_back();
  return text;
}

inline Address address(std::string_view text) { return *Address::parse(text); }
inline Prefix prefix(std::string_view text) { return *Prefix::parse(text); }
inline Endpoint endpoint(std::string_view text) { return *Endpoint::parse(text); }

// An IPv4 or IPv6 packet of `payload` bytes between two addresses; its content follows from `mark`.
inline std::vector<std::uint8_t> make_packet(const Address& source, const Address& destination,
                                             std::size_t payload, std::uint8_t mark = 0) {
  const bool is_v4 = source.is_v4();
  const std::size_t header = is_v4 ? 20 : 40;
  std::vector<std::uint8_t> packet(header + payload, mark);
  std::fill_n(packet.begin(), header, std::uint8_t{0});
  const std::size_t length = is_v4 ? packet.size() : payload;
  packet[0] = is_v4 ? 0x45 : 0x60;
  packet[is_v4 ? 2 : 4] = static_cast<std::uint8_t>(length >> 8);
  packet[is_v4 ? 3 : 5] = static_cast<std::uint8_t>(length);
  std::copy(source.bytes().begin(), source.bytes().end(), packet.begin() + (is_v4 ? 12 : 8));
  std::copy(destination.bytes().begin(), destination.bytes().end(),
            packet.begin() + (is_v4 ? 16 : 24));
  return packet;
}

using Datagram = std::vector<std::uint8_t>;

// One engine with its address, what it wants sent and what it delivered.
struct Node {
  explicit Node(std::string_view inner_text, std::string_view endpoint_text,
                EngineOptions options = {})
      : inner(address(inner_text)), at(endpoint(endpoint_text)) {
    auto created = Engine::create(options);
    EXPECT_TRUE(created) << created.error().message;
    engine = std::move(*created);
    key = Secret::random();
    engine->set_private_key(key);
    public_key = public_key_of(key);
  }

  void know(const Node& other, bool with_endpoint = true) {
    EXPECT_TRUE(engine->add_peer(other.public_key));
    EXPECT_TRUE(engine->add_allowed_ip(other.public_key,
                                       Prefix::of(other.inner, other.inner.is_v4() ? 32 : 128)));
    if (!with_endpoint) return;
    EXPECT_TRUE(engine->set_endpoint(other.public_key, other.at));
  }

  PeerState peer(const Node& other) const {
    for (const PeerState& state : engine->peers())
      if (state.public_key == other.public_key) return state;
    ADD_FAILURE() << "no such peer";
    return {};
  }

  std::uint64_t drops(Drop drop) const { return engine->drops()[drop]; }
  std::uint64_t drops() const {
    std::uint64_t sum = 0;
    for (std::size_t i = 0; i < kDropKinds; ++i) sum += engine->drops()[static_cast<Drop>(i)];
    return sum;
  }

  Address inner;
  Endpoint at;
  Secret key;
  Key public_key{};
  std::unique_ptr<Engine> engine;
  Outbox out;
  std::deque<OutDatagram> wire;  // sent, not yet arrived anywhere
  std::vector<std::vector<std::uint8_t>> delivered;
  std::uint64_t wakes = 0;
};

class World : public testing::Test {
 protected:
  Now now() const { return {clock.steady(), clock.utc_ms()}; }

  void collect(Node& node) {
    for (OutDatagram& datagram : node.out.datagrams) node.wire.push_back(std::move(datagram));
    node.wakes += node.out.wake ? 1 : 0;
    node.out.clear();
  }

  // Time passes; timers of all nodes run when they are due, and only then.
  void advance(std::initializer_list<Node*> nodes, Millis by, bool is_connected = true) {
    const SteadyTime end = clock.steady() + by;
    for (;;) {
      SteadyTime next = end;
      for (Node* node : nodes) next = std::min(next, node->engine->deadline());
      if (next > clock.steady()) {
        const auto step = std::chrono::ceil<Millis>(next - clock.steady());
        clock.advance(std::min(step, std::chrono::ceil<Millis>(end - clock.steady())));
      }
      for (Node* node : nodes) {
        node->engine->tick(now(), node->out);
        collect(*node);
      }
      if (is_connected && nodes.size() == 2) exchange(**nodes.begin(), **(nodes.begin() + 1));
      if (clock.steady() >= end) return;
    }
  }

  // What leaves by the wire for one packet; counted there.
  SealStatus send(Node& from, const Node& to, std::size_t payload = 100, std::uint8_t mark = 0) {
    return send_packet(from, to.inner, make_packet(from.inner, to.inner, payload, mark));
  }

  SealStatus send_packet(Node& from, const Address& destination,
                         const std::vector<std::uint8_t>& packet) {
    Datagram buffer(kTransportHeaderBytes + packet.size() + kSealRoomAfter, 0xee);
    std::copy(packet.begin(), packet.end(), buffer.begin() + kTransportHeaderBytes);
    Segment segment{buffer.data(), packet.size()};
    const SealResult result = from.engine->seal(destination, {&segment, 1}, now(), from.out);
    if (result.status == SealStatus::kSealed) {
      buffer.resize(segment.bytes);
      from.wire.push_back({std::move(buffer), result.endpoint});
    }
    collect(from);
    return result.status;
  }

  // A datagram arrives.
  void arrive(Node& at, Datagram datagram, const Endpoint& source) {
    Received received{datagram.data(), datagram.size(), {}, kNoPeer};
    at.engine->receive({&received, 1}, source, now(), at.out);
    if (!received.packet.empty())
      at.delivered.emplace_back(received.packet.begin(), received.packet.end());
    collect(at);
  }

  // All that is under way arrives, until silence.
  void exchange(Node& a, Node& b) {
    for (int round = 0; round < 1000 && !(a.wire.empty() && b.wire.empty()); ++round) {
      flow(a, b);
      flow(b, a);
    }
    EXPECT_TRUE(a.wire.empty() && b.wire.empty()) << "they never stop talking";
  }
  void flow(Node& from, Node& to) {
    for (std::size_t count = from.wire.size(); count > 0; --count) {
      OutDatagram datagram = std::move(from.wire.front());
      from.wire.pop_front();
      arrive(to, std::move(datagram.bytes), from.at);
    }
  }
  static Datagram take(Node& from) {
    if (from.wire.empty()) {
      ADD_FAILURE() << "nothing on the wire";
      return {};
    }
    Datagram bytes = std::move(from.wire.front().bytes);
    from.wire.pop_front();
    return bytes;
  }
  static MessageType type_of(const Datagram& datagram) {
    return datagram.size() < 4 ? MessageType{} : MessageType{get_u32(datagram.data())};
  }

  // Both know each other, and a packet has gone through.
  void connect(Node& a, Node& b) {
    a.know(b);
    b.know(a);
    send(a, b);
    exchange(a, b);
    ASSERT_EQ(b.delivered.size(), 1U);
    b.delivered.clear();
  }

  FakeClock clock;
};

}  // namespace icon::tunnel::wg
