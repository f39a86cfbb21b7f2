// The primitives against published answers.
#include "tests/unit/supervisor_tunnel/world.h"

namespace icon::tunnel::wg {
namespace {

Bytes text(std::string_view view) {
  return {reinterpret_cast<const std::uint8_t*>(view.data()), view.size()};
}

std::vector<std::uint8_t> counting(std::size_t count) {
  std::vector<std::uint8_t> bytes(count);
  for (std::size_t i = 0; i < count; ++i) bytes[i] = static_cast<std::uint8_t>(i);
  return bytes;
}

TEST(Blake2s, Rfc7693AppendixB) {
  EXPECT_EQ(to_hex(blake2s({text("abc")})),
            "508c5e8c327c14e2e1a72ba34eeb452f37458b209ed63a294d999b4c86675982");
  EXPECT_EQ(blake2s({text("a"), {}, text("bc")}), blake2s({text("abc")}));
  EXPECT_EQ(to_hex(blake2s({})),
            "69217a3079908094e11121d042354a7c1f55b6482ca1a51e1b250dfd1ed0eef9");
}

// The input sequences of RFC 7693, appendix E, in the two forms that WireGuard uses (32 bytes
// without a key, 16 bytes with one); the digest over all digests is that of Python's hashlib.
TEST(Blake2s, ManyLengths) {
  const auto sequence = [](std::size_t count, std::uint32_t seed) {
    std::vector<std::uint8_t> out(count);
    std::uint32_t a = 0xdead4bad * seed;
    std::uint32_t b = 1;
    for (auto& byte : out) {
      const std::uint32_t sum = a + b;
      a = b;
      b = sum;
      byte = static_cast<std::uint8_t>(sum >> 24);
    }
    return out;
  };
  std::vector<std::uint8_t> digests;
  for (const std::size_t length : {0U, 3U, 64U, 65U, 255U, 1024U}) {
    const auto input = sequence(length, static_cast<std::uint32_t>(length));
    const Hash hash = blake2s({input});
    digests.insert(digests.end(), hash.begin(), hash.end());
    const auto key = sequence(16, 16);
    const Mac mac = blake2s_mac(key, {input});
    digests.insert(digests.end(), mac.begin(), mac.end());
  }
  EXPECT_EQ(to_hex(blake2s({digests})),
            "20c157f1fbb9c0af984a38b656ac9ea7decb8ab94d15e6f82703d3043c3e0702");
}

TEST(HmacBlake2s, AgreesWithPython) {
  Secret out;
  hmac_blake2s(counting(32), {counting(50)}, out);
  EXPECT_EQ(to_hex(out.bytes()),
            "16dbe549faeb700617b13658d2668ea0d2a8d494e950cb51ae2c25957ff0d4b2");
  hmac_blake2s(counting(64), {counting(64), counting(1)}, out);
  EXPECT_EQ(to_hex(out.bytes()),
            "32a9deda9c7ba3bc146d9e51a0cbc2d0aa9a4e57784cfcc876ae93e3d7008446");
  hmac_blake2s(counting(65), {}, out);
  EXPECT_EQ(to_hex(out.bytes()),
            "019d0d4ece4de18d4db0fe1b3b13460ff4bca4ff2b08d86e50bb1c8a799643ae");
}

TEST(Kdf, IsHkdfWithAnEmptyInfo) {
  const Secret key(array_from_hex<32>(to_hex(counting(32))));
  Secret one;
  Secret two;
  Secret three;
  kdf(key, text("input"), {&one, &two, &three});
  EXPECT_EQ(to_hex(one.bytes()),
            "87b7f70b24183c6db5dc4f6d9f4c47cdb203321aa2a0bef714896adb3107a040");
  EXPECT_EQ(to_hex(two.bytes()),
            "538a02e1eb2e31b7e4d4b82476d1fe2acf50085d3fb584537279195f5d1f5824");
  EXPECT_EQ(to_hex(three.bytes()),
            "9ad858025593be88de0f9442a589cfe84a88dc19e4753d93684d1c5efc4837f9");
  Secret alone;
  kdf(key, text("input"), {nullptr, nullptr, &alone});
  EXPECT_TRUE(alone.equals(three));
  Secret in_place = key;
  kdf(in_place, text("input"), {&in_place, &two});
  EXPECT_TRUE(in_place.equals(one));
}

TEST(X25519, Rfc7748Section6) {
  const Secret alice =
      secret_from_hex("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a");
  const Secret bob =
      secret_from_hex("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb");
  EXPECT_EQ(to_hex(public_key_of(alice)),
            "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a");
  EXPECT_EQ(to_hex(public_key_of(bob)),
            "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f");
  const Identity identity = Identity::from_private(alice);
  const Remote remote = Remote::of(identity, public_key_of(bob), Secret());
  EXPECT_TRUE(remote.is_usable);
  EXPECT_EQ(to_hex(remote.static_static.bytes()),
            "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742");
}

// Points whose product with any scalar is zero: a peer with such a key could be anybody.
TEST(X25519, RefusesPointsOfSmallOrder) {
  const Identity identity = Identity::from_private(Secret::random());
  for (const std::string_view point :
       {"0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
        "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"})
    EXPECT_FALSE(Remote::of(identity, array_from_hex<32>(point), Secret()).is_usable) << point;
}

// draft-irtf-cfrg-xchacha-03, appendix A.3.1.
TEST(XChaCha20Poly1305, DraftA31) {
  const auto key =
      array_from_hex<32>("808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f");
  const auto nonce = array_from_hex<24>("404142434445464748494a4b4c4d4e4f5051525354555657");
  const auto data = from_hex("50515253c0c1c2c3c4c5c6c7");
  constexpr std::string_view kPlain =
      "Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, "
      "sunscreen would be it.";
  std::vector<std::uint8_t> sealed(kPlain.size() + kTagBytes);
  crypto_aead_xchacha20poly1305_ietf_encrypt(sealed.data(), nullptr, text(kPlain).data(),
                                             kPlain.size(), data.data(), data.size(), nullptr,
                                             nonce.data(), key.data());
  EXPECT_EQ(to_hex(sealed),
            "bd6d179d3e83d43b9576579493c0e939572a1700252bfaccbed2902c21396cbb731c7f1b0b4aa6440bf3a8"
            "2f4eda7e39ae64c6708c54c216cb96b72e1213b4522f8c9ba40db5d945b11b69b982c1bb9e3f3fac2bc369"
            "488f76b2383565d3fff921f9664c97637da9768812f615c68b13b52ec0875924c1c7987947deafd8780acf"
            "49");
}

TEST(Timestamp, IsTai64nAndAlwaysGrows) {
  const Timestamp first = next_timestamp(1'700'000'000'999, {});
  EXPECT_EQ(to_hex(first).substr(0, 16), "400000006553f10a");
  // Coarse: the low 24 bits tell nothing.
  EXPECT_EQ(to_hex(first).substr(16), "3b000000");
  Timestamp last = first;
  for (int i = 0; i < 200; ++i) {
    // The clock stands still, then goes back.
    const Timestamp next = next_timestamp(1'700'000'000'999 - i * 1000, last);
    EXPECT_GT(next, last);
    const auto nanoseconds = std::stoul(to_hex(next).substr(16), nullptr, 16);
    EXPECT_LT(nanoseconds, 1'000'000'000U);
    last = next;
  }
  EXPECT_GT(next_timestamp(1'700'000'100'000, last), last);
}

TEST(Secret, ComparesAllBytes) {
  const Secret one = Secret::random();
  for (std::size_t i = 0; i < 32; ++i) {
    Secret other = one;
    EXPECT_TRUE(other.equals(one));
    other.bytes()[i] ^= 1;
    EXPECT_FALSE(other.equals(one));
  }
  EXPECT_TRUE(Secret().is_zero());
}

}  // namespace
}  // namespace icon::tunnel::wg
