#include "base/keys.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>

#include "base/encoding.h"
#include "base/file.h"

namespace icon {
namespace {

// RFC 8032 section 7.1, test 1: secret 9d61b19d..., public d75a9801...
constexpr std::string_view kSeed =
    "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
constexpr std::string_view kPublic =
    "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";

std::array<std::uint8_t, 32> seed() {
  std::array<std::uint8_t, 32> bytes{};
  const auto decoded = *hex_decode(kSeed, 32);
  std::copy(decoded.begin(), decoded.end(), bytes.begin());
  return bytes;
}

TEST(Keys, KnownKey) {
  const auto pair = KeyPair::from_seed(seed());
  EXPECT_EQ(hex_encode(pair.public_key().bytes), kPublic);
  EXPECT_EQ(hex_encode(pair.seed()), kSeed);
}

TEST(Keys, IdsGoBothWays) {
  const auto pair = KeyPair::generate();
  const auto id = pair.id();
  EXPECT_EQ(id.size(), 52u);
  EXPECT_EQ(*PublicKey::from_id(id), pair.public_key());
  EXPECT_EQ(short_id(id), id.substr(0, 8));
}

TEST(Keys, OnlyOneSpellingOfAnId) {
  const auto id = KeyPair::generate().id();
  std::string upper = id;
  for (auto& c : upper) c = static_cast<char>(std::toupper(c));
  std::string other_end = id;  // the last character carries one bit; the other four must be zero
  other_end.back() = id.back() == 'a' ? 'b' : static_cast<char>(id.back() + 1);
  for (const auto& text : {std::string(), upper, other_end, id + "a", id.substr(1), id + "\n",
                           std::string(52, '1'), std::string(1 << 16, 'a')})
    EXPECT_EQ(PublicKey::from_id(text).error().code, Code::kInvalid) << text.substr(0, 60);
}

TEST(Keys, SignaturesBelongToOneMessageDomainAndKey) {
  const auto pair = KeyPair::generate();
  const auto other = KeyPair::generate();
  auto signature = pair.sign("offer", "message");
  EXPECT_TRUE(verify(pair.public_key(), "offer", "message", signature));
  EXPECT_FALSE(verify(pair.public_key(), "bid", "message", signature));
  EXPECT_FALSE(verify(pair.public_key(), "offer", "massage", signature));
  EXPECT_FALSE(verify(other.public_key(), "offer", "message", signature));
  // The border between domain and message cannot be moved.
  EXPECT_FALSE(verify(pair.public_key(), "offe", "rmessage", signature));
  EXPECT_FALSE(verify(pair.public_key(), "", "offer", signature));
  for (std::size_t i = 0; i < signature.size(); ++i) {
    signature[i] ^= 1;
    EXPECT_FALSE(verify(pair.public_key(), "offer", "message", signature)) << i;
    signature[i] ^= 1;
  }
}

// A key of small order would accept signatures that nobody made.
TEST(Keys, WeakKeysVerifyNothing) {
  PublicKey zero;
  PublicKey one;
  one.bytes[0] = 1;
  const Signature empty{};
  EXPECT_FALSE(verify(zero, "offer", "message", empty));
  EXPECT_FALSE(verify(one, "offer", "message", empty));
  Signature identity{};
  identity[0] = 1;
  EXPECT_FALSE(verify(one, "offer", "message", identity));
}

TEST(Keys, MovingAwayWipes) {
  auto pair = KeyPair::generate();
  const auto id = pair.id();
  KeyPair moved(std::move(pair));
  EXPECT_EQ(moved.id(), id);
  for (const auto byte : pair.seed()) EXPECT_EQ(byte, 0);  // NOLINT: that is what is tested
  EXPECT_TRUE(verify(moved.public_key(), "d", "m", moved.sign("d", "m")));
}

class KeyFile : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/icon-keys-test-XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    directory_ = name;
    path_ = directory_ + "/key";
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }
  std::string directory_;
  std::string path_;
};

TEST_F(KeyFile, IsMadeOnceAndReadBack) {
  EXPECT_EQ(KeyPair::load(path_, false).error().code, Code::kNotFound);
  const auto id = KeyPair::load(path_, true)->id();
  EXPECT_EQ(KeyPair::load(path_, true)->id(), id);
  EXPECT_EQ(KeyPair::load(path_, false)->id(), id);
  struct stat info {};
  ASSERT_EQ(stat(path_.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
}

TEST_F(KeyFile, IsRefusedWhenOthersCanReadIt) {
  ASSERT_TRUE(write_file_atomic(path_, std::string(kSeed) + "\n", 0640));
  EXPECT_EQ(KeyPair::load(path_, true).error().code, Code::kRefused);
}

TEST_F(KeyFile, IsNeverReplacedWhenDamaged) {
  for (const auto& content :
       {std::string(), std::string("\n"), std::string(kSeed.substr(2)), std::string(kSeed) + "00",
        std::string(64, 'g'), std::string(1000, '0')}) {
    ASSERT_TRUE(write_file_atomic(path_, content, 0600));
    EXPECT_FALSE(KeyPair::load(path_, true)) << content;
    EXPECT_EQ(*read_file(path_, 2000), content);
  }
  ASSERT_TRUE(write_file_atomic(path_, std::string(kSeed) + " \n", 0600));
  EXPECT_EQ(hex_encode(KeyPair::load(path_, false)->public_key().bytes), kPublic);
}

}  // namespace
}  // namespace icon
