// Cookie replies: only the true answer to the last handshake message is accepted, and a message
// with another second MAC than the cookie's is not.
#include "supervisor/tunnel/wg/cookie.h"
#include "tests/fuzz/tunnel_world.h"

namespace icon::fuzz {
namespace {

enum Kind : std::uint8_t { kRaw, kChangedReply, kChangedMac2, kKinds };

}  // namespace

ICON_FUZZ_TARGET(tunnel_cookie) {
  if (input.empty()) return;
  const auto kind = static_cast<std::uint8_t>(input[0]) % kKinds;
  const std::string_view content = input.substr(1);
  const SteadyTime now{std::chrono::hours(1)};
  wg::Secret private_key;
  private_key.bytes().fill(7);
  static const wg::Identity identity = wg::Identity::from_private(private_key);
  const Endpoint source{Address::v4({192, 0, 2, 9}), 9};
  wg::CookieChecker checker(identity);
  wg::CookieHolder holder(identity.public_key);

  wg::InitiationMessage message{};
  std::copy_n(content.begin(), std::min(content.size(), wg::InitiationLayout::kMac1),
              message.begin());
  holder.add_macs(message, now);
  ICON_FUZZ_REQUIRE(checker.is_mac1_valid(message));
  ICON_FUZZ_REQUIRE(!checker.is_mac2_valid(message, source, now));
  const wg::CookieReplyMessage reply = checker.reply(message, source, now);

  if (kind == kRaw) {
    wg::CookieReplyMessage raw{};
    std::copy_n(content.begin(), std::min(content.size(), raw.size()), raw.begin());
    ICON_FUZZ_REQUIRE(!holder.accept(raw, now));
  }
  if (kind == kChangedReply) {
    std::vector<std::uint8_t> changed(reply.begin(), reply.end());
    // Type and index in front are the engine's to look at.
    const std::string mask =
        std::string(wg::CookieReplyLayout::kNonce, '\0') + std::string(content);
    if (apply_mask(changed, mask, changed.size())) {
      wg::CookieReplyMessage copy{};
      std::copy(changed.begin(), changed.end(), copy.begin());
      ICON_FUZZ_REQUIRE(!holder.accept(copy, now));
    }
  }
  ICON_FUZZ_REQUIRE(holder.accept(reply, now));
  holder.add_macs(message, now);
  ICON_FUZZ_REQUIRE(checker.is_mac2_valid(message, source, now));
  if (kind == kChangedMac2) {
    std::vector<std::uint8_t> changed(message.begin(), message.end());
    const bool is_changed = apply_mask(changed, content, changed.size());
    ICON_FUZZ_REQUIRE(checker.is_mac2_valid(changed, source, now) == !is_changed);
  }
  // Through the engine: a reply to nothing.
  static TunnelWorld world;
  std::vector<std::uint8_t> datagram(content.begin(), content.end());
  datagram.resize(wg::CookieReplyLayout::kBytes);
  wg::put_u32(datagram.data(), static_cast<std::uint32_t>(wg::MessageType::kCookieReply));
  const std::uint64_t before = world.b.drops();
  world.arrive(world.b, datagram, world.a);
  ICON_FUZZ_REQUIRE(world.b.drops() == before + 1);
}

}  // namespace icon::fuzz
