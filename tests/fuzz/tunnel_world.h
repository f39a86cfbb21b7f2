// Two tunnel engines for fuzz targets: fixed keys, a clock that stands still, one session if
// wanted.
#pragma once

#include <algorithm>
#include <string_view>
#include <vector>

#include "supervisor/tunnel/wg/engine.h"
#include "tests/fuzz/fuzz_target.h"

namespace icon::fuzz {

namespace wg = tunnel::wg;

struct TunnelSide {
  TunnelSide(std::uint8_t number, const wg::EngineOptions& options)
      : engine(*wg::Engine::create(options)),
        inner(Address::v4({10, 0, 0, number})),
        at{Address::v4({192, 0, 2, number}), number} {
    key.bytes().fill(number);
    engine->set_private_key(key);
  }
  void know(const TunnelSide& other) {
    const wg::Key peer = wg::public_key_of(other.key);
    ICON_FUZZ_REQUIRE(engine->add_peer(peer));
    ICON_FUZZ_REQUIRE(engine->set_endpoint(peer, other.at));
    ICON_FUZZ_REQUIRE(engine->add_allowed_ip(peer, Prefix::of(other.inner, 32)));
  }
  std::uint64_t drops() const {
    std::uint64_t sum = 0;
    for (std::size_t i = 0; i < wg::kDropKinds; ++i)
      sum += engine->drops()[static_cast<wg::Drop>(i)];
    return sum;
  }

  std::unique_ptr<wg::Engine> engine;
  Address inner;
  Endpoint at;
  wg::Secret key;
  wg::Outbox out;
};

struct TunnelWorld {
  TunnelWorld() {
    a.know(b);
    b.know(a);
  }

  // `from` sends a packet of `payload` to `to`: what is on the wire then.
  std::vector<std::uint8_t> send(TunnelSide& from, const TunnelSide& to, std::string_view packet) {
    std::vector<std::uint8_t> buffer(wg::kTransportHeaderBytes + packet.size() +
                                     wg::kSealRoomAfter);
    std::copy(packet.begin(), packet.end(), buffer.begin() + wg::kTransportHeaderBytes);
    wg::Segment segment{buffer.data(), packet.size()};
    const auto result = from.engine->seal(to.inner, {&segment, 1}, now, from.out);
    if (result.status == wg::SealStatus::kStaged) return take(from);
    buffer.resize(segment.bytes);
    return buffer;
  }
  // The datagram that a side wants sent; empty when there is none.
  std::vector<std::uint8_t> take(TunnelSide& from) {
    std::vector<std::uint8_t> bytes;
    if (!from.out.datagrams.empty()) bytes = std::move(from.out.datagrams.front().bytes);
    from.out.clear();
    return bytes;
  }
  wg::Received arrive(TunnelSide& at, std::vector<std::uint8_t>& datagram, const TunnelSide& from) {
    wg::Received received{datagram.data(), datagram.size(), {}, wg::kNoPeer};
    at.engine->receive({&received, 1}, from.at, now, at.out);
    return received;
  }
  // The handshake; a began it. The packet that began it has arrived.
  void connect() {
    auto initiation = send(a, b, packet());
    arrive(b, initiation, a);
    auto response = take(b);
    arrive(a, response, b);
    auto first = take(a);
    ICON_FUZZ_REQUIRE(!arrive(b, first, a).packet.empty());
    ICON_FUZZ_REQUIRE(b.drops() == 0);
  }
  // An IPv4 packet from a to b.
  static std::string packet() {
    std::string bytes(40, '\0');
    bytes[0] = 0x45;
    bytes[3] = 40;
    bytes[12] = bytes[16] = 10;
    bytes[15] = 1;
    bytes[19] = 2;
    return bytes;
  }

  wg::EngineOptions options{.aead = wg::AeadBackend::kSodium};
  TunnelSide a{1, options};
  TunnelSide b{2, options};
  wg::Now now{SteadyTime(std::chrono::hours(1)), 1'700'000'000'000};
};

// Applies `mask` to the beginning of `bytes`; true when that changed something before `end`.
inline bool apply_mask(std::vector<std::uint8_t>& bytes, std::string_view mask, std::size_t end) {
  bool is_changed = false;
  for (std::size_t i = 0; i < std::min(bytes.size(), mask.size()); ++i) {
    bytes[i] ^= static_cast<std::uint8_t>(mask[i]);
    is_changed = is_changed || (mask[i] != 0 && i < end);
  }
  return is_changed;
}

}  // namespace icon::fuzz
