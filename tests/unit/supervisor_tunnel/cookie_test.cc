#include "supervisor/tunnel/wg/cookie.h"

#include "tests/unit/supervisor_tunnel/world.h"

namespace icon::tunnel::wg {
namespace {

using namespace std::chrono_literals;

class Cookie : public testing::Test {
 protected:
  InitiationMessage make_message() {
    InitiationMessage message{};
    randombytes_buf(message.data(), InitiationLayout::kMac1);
    holder.add_macs(message, clock.steady());
    return message;
  }

  const Identity identity = Identity::from_private(Secret::random());
  CookieChecker checker{identity};
  CookieHolder holder{identity.public_key};
  FakeClock clock;
  const Endpoint source = endpoint("192.0.2.1:4000");
};

TEST_F(Cookie, WithoutACookieTheSecondMacIsZero) {
  const auto message = make_message();
  EXPECT_TRUE(checker.is_mac1_valid(message));
  EXPECT_FALSE(checker.is_mac2_valid(message, source, clock.steady()));
  EXPECT_TRUE(std::all_of(message.begin() + InitiationLayout::kMac2, message.end(),
                          [](std::uint8_t byte) { return byte == 0; }));
}

TEST_F(Cookie, ACookieIsForOneAddressAndPort) {
  const auto refused = make_message();
  ASSERT_TRUE(holder.accept(checker.reply(refused, source, clock.steady()), clock.steady()));
  const auto message = make_message();
  EXPECT_TRUE(checker.is_mac1_valid(message));
  EXPECT_TRUE(checker.is_mac2_valid(message, source, clock.steady()));
  EXPECT_FALSE(checker.is_mac2_valid(message, endpoint("192.0.2.2:4000"), clock.steady()));
  EXPECT_FALSE(checker.is_mac2_valid(message, endpoint("192.0.2.1:4001"), clock.steady()));
  EXPECT_FALSE(checker.is_mac2_valid(message, endpoint("[::ffff:c000:201]:4001"), clock.steady()));
}

TEST_F(Cookie, EachFlippedBitOfAReplyIsSeen) {
  const auto reply = checker.reply(make_message(), source, clock.steady());
  for (std::size_t bit = CookieReplyLayout::kNonce * 8; bit < reply.size() * 8; ++bit) {
    CookieReplyMessage changed = reply;
    changed[bit / 8] ^= static_cast<std::uint8_t>(1 << bit % 8);
    ASSERT_FALSE(holder.accept(changed, clock.steady())) << bit;
  }
  EXPECT_TRUE(holder.accept(reply, clock.steady()));
}

TEST_F(Cookie, AReplyCountsOnceAndForTheLastMessageOnly) {
  const auto first = make_message();
  const auto reply = checker.reply(first, source, clock.steady());
  make_message();
  EXPECT_FALSE(holder.accept(reply, clock.steady()));
  const auto fresh = checker.reply(make_message(), source, clock.steady());
  EXPECT_TRUE(holder.accept(fresh, clock.steady()));
  EXPECT_FALSE(holder.accept(fresh, clock.steady()));
}

TEST_F(Cookie, NobodyAskedForThis) {
  EXPECT_FALSE(holder.accept(CookieReplyMessage{}, clock.steady()));
}

TEST_F(Cookie, EndsOnBothSides) {
  ASSERT_TRUE(holder.accept(checker.reply(make_message(), source, clock.steady()), clock.steady()));
  clock.advance(114s);
  EXPECT_TRUE(checker.is_mac2_valid(make_message(), source, clock.steady()));
  const auto last = make_message();
  // Not sent any more when it might be late on arrival.
  clock.advance(1s);
  EXPECT_FALSE(checker.is_mac2_valid(make_message(), source, clock.steady()));
  EXPECT_TRUE(checker.is_mac2_valid(last, source, clock.steady()));
  // The secret behind it is replaced.
  clock.advance(5s);
  EXPECT_FALSE(checker.is_mac2_valid(last, source, clock.steady()));
}

TEST_F(Cookie, CanBeForgotten) {
  ASSERT_TRUE(holder.accept(checker.reply(make_message(), source, clock.steady()), clock.steady()));
  holder.forget();
  EXPECT_FALSE(checker.is_mac2_valid(make_message(), source, clock.steady()));
}

}  // namespace
}  // namespace icon::tunnel::wg
