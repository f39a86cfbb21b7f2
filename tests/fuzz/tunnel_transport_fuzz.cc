// A session under attack: batches of true, repeated, truncated, changed and invented datagrams, and
// true ones whose inner packet is anything. Each true one is delivered at most once, what is
// delivered lies within its datagram and comes from an allowed source, and all else is counted.
#include <set>

#include "supervisor/tunnel/wg/inner_packet.h"
#include "tests/fuzz/byte_source.h"
#include "tests/fuzz/tunnel_world.h"

namespace icon::fuzz {
namespace {

constexpr std::size_t kStepsMax = 64;
constexpr std::size_t kPiecesMax = 96;
enum Kind : std::uint8_t { kTrue, kRepeated, kTruncated, kChanged, kRaw, kInner, kKinds };

struct Session {
  TunnelWorld world;
  std::vector<std::vector<std::uint8_t>> sealed;  // all that a ever sent
  std::vector<std::vector<std::uint8_t>> batch;
  std::size_t true_packets = 0;
  std::size_t delivered = 0;

  void add(std::string_view packet) {
    sealed.push_back(world.send(world.a, world.b, packet));
    batch.push_back(sealed.back());
  }
  void deliver();
};

void Session::deliver() {
  std::vector<wg::Received> received;
  for (auto& datagram : batch)
    received.push_back({datagram.data(), datagram.size(), {}, wg::kNoPeer});
  const std::uint64_t before = world.b.drops();
  world.b.engine->receive(received, world.a.at, world.now, world.b.out);
  std::size_t taken = 0;
  for (std::size_t i = 0; i < received.size(); ++i) {
    const auto& each = received[i];
    if (each.packet.empty()) continue;
    ++taken;
    ICON_FUZZ_REQUIRE(each.peer == 0);
    ICON_FUZZ_REQUIRE(each.packet.data() == each.datagram + wg::kTransportHeaderBytes);
    ICON_FUZZ_REQUIRE(each.packet.size() + wg::kTransportOverhead <= each.bytes);
    const auto parsed = wg::parse_inner_packet(each.packet);
    ICON_FUZZ_REQUIRE(parsed && parsed->is_v4 && parsed->bytes == each.packet.size());
    ICON_FUZZ_REQUIRE(
        std::equal(parsed->source, parsed->source + 4, world.a.inner.bytes().begin()));
  }
  delivered += taken;
  // Whatever was not delivered was counted once.
  ICON_FUZZ_REQUIRE(world.b.drops() - before + taken == received.size());
  ICON_FUZZ_REQUIRE(delivered <= sealed.size());
  batch.clear();
}

}  // namespace

ICON_FUZZ_TARGET(tunnel_transport) {
  Session session;
  session.world.connect();
  ByteSource source(input);
  for (std::size_t step = 0; step < kStepsMax && !source.empty(); ++step) {
    const std::uint8_t choice = source.byte();
    const bool has_sent = !session.sealed.empty();
    const auto pick = [&] { return session.sealed[source.byte() % session.sealed.size()]; };
    switch (choice % kKinds) {
      case kTrue:
        session.add(TunnelWorld::packet());
        ++session.true_packets;
        break;
      case kRepeated:
        if (has_sent) session.batch.push_back(pick());
        break;
      case kTruncated:
        if (has_sent) {
          auto datagram = pick();
          datagram.resize(datagram.size() * source.byte() / 256);
          session.batch.push_back(std::move(datagram));
        }
        break;
      case kChanged:
        if (has_sent) {
          auto datagram = pick();
          apply_mask(datagram, source.text(kPiecesMax), datagram.size());
          session.batch.push_back(std::move(datagram));
        }
        break;
      case kRaw: {
        const std::string text = source.text(kPiecesMax);
        session.batch.emplace_back(text.begin(), text.end());
        break;
      }
      case kInner: {
        const std::string text = source.text(kPiecesMax);
        // Nothing at all is a keepalive: neither delivered nor dropped.
        if (!text.empty()) session.add(text);
        break;
      }
    }
    if (choice & 0x80) session.deliver();
  }
  session.deliver();
  // The session still works.
  session.batch.clear();
  const std::size_t before = session.delivered;
  session.add(TunnelWorld::packet());
  session.deliver();
  ICON_FUZZ_REQUIRE(session.delivered == before + 1);
}

}  // namespace icon::fuzz
