// Under load: cookies instead of curve work, and a limit per source.
#include "tests/unit/supervisor_tunnel/world.h"

namespace icon::tunnel::wg {
namespace {

using namespace std::chrono_literals;

class EngineLoad : public World {
 protected:
  // Handshakes of a stranger that are well-formed up to the first MAC.
  void flood(Node& at, int count, const Endpoint& source) {
    for (int i = 0; i < count; ++i) {
      InitiationMessage message{};
      randombytes_buf(message.data(), InitiationLayout::kMac1);
      put_u32(message.data(), static_cast<std::uint32_t>(MessageType::kInitiation));
      CookieHolder(at.public_key).add_macs(message, clock.steady());
      arrive(at, {message.begin(), message.end()}, source);
    }
  }

  const Endpoint attacker = endpoint("203.0.113.66:6666");
  EngineOptions options{AeadBackend::kAutomatic, 1420, 100, 50};
  Node a{"10.0.0.1", "192.0.2.1:1000"};
  Node b{"10.0.0.2", "192.0.2.2:2000", options};
};

TEST_F(EngineLoad, AFloodMeetsCookies) {
  b.know(a);
  flood(b, 50, attacker);
  EXPECT_FALSE(b.engine->is_under_load(clock.steady()));
  EXPECT_EQ(b.drops(Drop::kForgedHandshake), 50U);
  flood(b, 10, attacker);
  EXPECT_TRUE(b.engine->is_under_load(clock.steady()));
  EXPECT_EQ(b.drops(Drop::kForgedHandshake), 50U);
  EXPECT_EQ(b.drops(Drop::kCookieDemanded), 10U);
  ASSERT_EQ(b.wire.size(), 10U);
  for (const auto& datagram : b.wire) {
    EXPECT_EQ(type_of(datagram.bytes), MessageType::kCookieReply);
    EXPECT_EQ(datagram.endpoint, attacker);
  }
}

TEST_F(EngineLoad, WhoOwnsItsAddressGetsThrough) {
  a.know(b);
  b.know(a);
  flood(b, 60, attacker);
  b.wire.clear();
  send(a, b);
  flow(a, b);
  ASSERT_EQ(b.wire.size(), 1U);
  EXPECT_EQ(type_of(b.wire[0].bytes), MessageType::kCookieReply);
  exchange(a, b);
  EXPECT_TRUE(b.delivered.empty());
  // The flood goes on; the next attempt carries the cookie.
  for (int i = 0; i < 60; ++i) {
    clock.advance(100ms);
    flood(b, 20, attacker);
    b.wire.clear();
    a.engine->tick(now(), a.out);
    collect(a);
    if (!a.wire.empty()) break;
  }
  ASSERT_TRUE(b.engine->is_under_load(clock.steady()));
  exchange(a, b);
  EXPECT_EQ(b.delivered.size(), 1U);
  EXPECT_TRUE(a.peer(b).has_session);
}

TEST_F(EngineLoad, ACookieDoesNotLiftTheLimitPerSource) {
  b.know(a);
  flood(b, 60, attacker);
  const auto reply = take(b);
  CookieHolder holder(b.public_key);
  // A stranger with an address of its own, and many messages.
  int demanded = 0;
  for (int i = 0; i < 100; ++i) {
    InitiationMessage message{};
    randombytes_buf(message.data(), InitiationLayout::kMac1);
    put_u32(message.data(), static_cast<std::uint32_t>(MessageType::kInitiation));
    holder.add_macs(message, clock.steady());
    b.wire.clear();
    arrive(b, {message.begin(), message.end()}, attacker);
    if (b.wire.empty()) continue;
    ++demanded;
    ASSERT_EQ(b.wire[0].bytes.size(), CookieReplyLayout::kBytes);
    CookieReplyMessage cookie{};
    std::copy(b.wire[0].bytes.begin(), b.wire[0].bytes.end(), cookie.begin());
    ASSERT_TRUE(holder.accept(cookie, clock.steady()));
  }
  EXPECT_EQ(demanded, 1);
  EXPECT_EQ(b.drops(Drop::kRateLimited), 99U - RateLimiter::kBurst);
}

TEST_F(EngineLoad, EndsAfterAQuietSecond) {
  b.know(a);
  a.know(b);
  flood(b, 60, attacker);
  clock.advance(999ms);
  EXPECT_TRUE(b.engine->is_under_load(clock.steady()));
  clock.advance(1ms);
  EXPECT_FALSE(b.engine->is_under_load(clock.steady()));
  b.wire.clear();
  send(a, b);
  exchange(a, b);
  EXPECT_EQ(b.delivered.size(), 1U);
}

TEST_F(EngineLoad, MessagesForAnotherKeyDoNotCount) {
  Node c("10.0.0.3", "192.0.2.3:3000");
  for (int i = 0; i < 1000; ++i) {
    InitiationMessage message{};
    put_u32(message.data(), static_cast<std::uint32_t>(MessageType::kInitiation));
    CookieHolder(c.public_key).add_macs(message, clock.steady());
    arrive(b, {message.begin(), message.end()}, attacker);
  }
  EXPECT_FALSE(b.engine->is_under_load(clock.steady()));
  EXPECT_EQ(b.drops(Drop::kBadMac1), 1000U);
}

TEST_F(EngineLoad, SessionsGoOn) {
  connect(a, b);
  flood(b, 100, attacker);
  ASSERT_TRUE(b.engine->is_under_load(clock.steady()));
  b.wire.clear();
  send(a, b);
  send(b, a);
  exchange(a, b);
  EXPECT_EQ(b.delivered.size(), 1U);
  EXPECT_EQ(a.delivered.size(), 1U);
}

TEST_F(EngineLoad, ARespondersAnswerNeedsACookieToo) {
  Node c("10.0.0.3", "192.0.2.3:3000");
  b.know(c);
  c.know(b);
  send(b, c);  // b begins; c's answer meets b under load
  flood(b, 60, attacker);
  const OutDatagram initiation = std::move(b.wire.front());
  b.wire.clear();
  arrive(c, initiation.bytes, b.at);
  flow(c, b);
  ASSERT_EQ(b.wire.size(), 1U);
  EXPECT_EQ(type_of(b.wire[0].bytes), MessageType::kCookieReply);
  flow(b, c);
  EXPECT_EQ(c.drops(Drop::kForgedCookie) + c.drops(Drop::kUnknownIndex), 0U);
  // The next answer has the cookie.
  for (int i = 0; i < 60 && b.wire.empty(); ++i) {
    clock.advance(100ms);
    flood(b, 20, attacker);
    b.wire.clear();
    b.engine->tick(now(), b.out);
    collect(b);
  }
  exchange(b, c);
  EXPECT_EQ(c.delivered.size(), 1U);
}

TEST_F(EngineLoad, AForgedCookieIsCounted) {
  a.know(b);
  send(a, b);
  CookieReplyMessage forged{};
  put_u32(forged.data(), static_cast<std::uint32_t>(MessageType::kCookieReply));
  arrive(a, {forged.begin(), forged.end()}, attacker);
  EXPECT_EQ(a.drops(Drop::kUnknownIndex), 1U);
  const Datagram initiation = take(a);
  std::copy_n(initiation.begin() + 4, 4, forged.begin() + 4);
  arrive(a, {forged.begin(), forged.end()}, attacker);
  EXPECT_EQ(a.drops(Drop::kForgedCookie), 1U);
}

}  // namespace
}  // namespace icon::tunnel::wg
