// Handshake messages: arbitrary ones, arbitrary ones with a right first MAC, and true ones with
// changed bits. Only the unchanged may have an effect, and afterwards the true peer still gets in.
#include "supervisor/tunnel/wg/cookie.h"
#include "tests/fuzz/tunnel_world.h"

namespace icon::fuzz {
namespace {

enum Kind : std::uint8_t { kRaw, kWithMac1, kChangedInitiation, kChangedResponse, kKinds };

void arrive_raw(TunnelWorld& world, std::string_view content, bool with_mac1) {
  std::vector<std::uint8_t> datagram(content.begin(), content.end());
  if (with_mac1) {
    // As anybody can who knows the public key.
    const bool is_response = !datagram.empty() && datagram[0] % 2 == 0;
    datagram.resize(is_response ? wg::ResponseLayout::kBytes : wg::InitiationLayout::kBytes);
    wg::put_u32(datagram.data(), is_response ? 2 : 1);
    wg::CookieHolder(wg::public_key_of(world.b.key)).add_macs(datagram, world.now.steady);
  }
  const std::uint64_t before = world.b.drops();
  ICON_FUZZ_REQUIRE(world.arrive(world.b, datagram, world.a).packet.empty());
  ICON_FUZZ_REQUIRE(world.b.drops() == before + 1);
  ICON_FUZZ_REQUIRE(world.b.out.datagrams.empty());
}

}  // namespace

ICON_FUZZ_TARGET(tunnel_handshake) {
  if (input.empty()) return;
  const auto kind = static_cast<std::uint8_t>(input[0]) % kKinds;
  const std::string_view content = input.substr(1);
  TunnelWorld world;
  if (kind == kRaw || kind == kWithMac1) arrive_raw(world, content, kind == kWithMac1);

  auto initiation = world.send(world.a, world.b, TunnelWorld::packet());
  ICON_FUZZ_REQUIRE(initiation.size() == wg::InitiationLayout::kBytes);
  if (kind == kChangedInitiation) {
    auto changed = initiation;
    // Without load nobody looks at the second MAC.
    if (apply_mask(changed, content, wg::InitiationLayout::kMac2)) {
      const std::uint64_t before = world.b.drops();
      world.arrive(world.b, changed, world.a);
      ICON_FUZZ_REQUIRE(world.b.out.datagrams.empty());
      ICON_FUZZ_REQUIRE(world.b.drops() == before + 1);
    }
  }
  world.arrive(world.b, initiation, world.a);
  auto response = world.take(world.b);
  ICON_FUZZ_REQUIRE(response.size() == wg::ResponseLayout::kBytes);
  if (kind == kChangedResponse) {
    auto changed = response;
    if (apply_mask(changed, content, wg::ResponseLayout::kMac2)) {
      world.arrive(world.a, changed, world.b);
      ICON_FUZZ_REQUIRE(world.a.out.datagrams.empty());
      ICON_FUZZ_REQUIRE(world.a.drops() == 1);
    }
  }
  world.arrive(world.a, response, world.b);
  auto first = world.take(world.a);
  ICON_FUZZ_REQUIRE(!world.arrive(world.b, first, world.a).packet.empty());
}

}  // namespace icon::fuzz
