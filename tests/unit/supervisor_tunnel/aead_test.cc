// Every AEAD backend against known answers and against changed bytes.
#include <numeric>

#include "tests/unit/supervisor_tunnel/world.h"

namespace icon::tunnel::wg {
namespace {

// RFC 8439, appendix A.5. There the tag covers associated data as well; WireGuard's packets have
// none, so this tag is that of an independent computation without it.
constexpr char kKeyA5[] = "1c9240a5eb55d38af333888604f6b5f0473917c1402b80099dca5cbc207075c0";
constexpr std::uint64_t kCounterA5 = 0x0807060504030201;
constexpr char kPlainA5[] =
    "496e7465726e65742d4472616674732061726520647261667420646f63756d656e74732076616c696420666f"
    "722061206d6178696d756d206f6620736978206d6f6e74687320616e64206d61792062652075706461746564"
    "2c207265706c616365642c206f72206f62736f6c65746564206279206f7468657220646f63756d656e747320"
    "617420616e792074696d652e20497420697320696e617070726f70726961746520746f2075736520496e7465"
    "726e65742d447261667473206173207265666572656e6365206d6174657269616c206f7220746f2063697465"
    "207468656d206f74686572207468616e206173202fe2809c776f726b20696e2070726f67726573732e2fe280"
    "9d";
constexpr char kSealedA5[] =
    "64a0861575861af460f062c79be643bd5e805cfd345cf389f108670ac76c8cb24c6cfc18755d43eea09ee94e"
    "382d26b0bdb7b73c321b0100d4f03b7f355894cf332f830e710b97ce98c8a84abd0b948114ad176e008d33bd"
    "60f982b1ff37c8559797a06ef4f0ef61c186324e2b3506383606907b6a7c02b0f9f6157b53c867e4b9166c76"
    "7b804d46a59b5216cde7a4e99040c5a40433225ee282a1b0a06c523eaf4534d7f83fa1155b0047718cbc546a"
    "0d072b04b3564eea1b422273f548271a0bb2316053fa76991955ebd63159434ecebb4e466dae5a1073a67276"
    "27097a1049e617d91d361094fa68f0ff77987130305beaba2eda04df997b714d6c6f2c29a6ad5cb4022b0270"
    "9b6e3570b1acaaf1f24f2a644f01acd12b";

class AeadTest : public testing::TestWithParam<AeadBackend> {
 protected:
  void SetUp() override {
    auto created = Aead::create(GetParam());
    if (!created &&
        (GetParam() == AeadBackend::kIpsecMb || GetParam() == AeadBackend::kIpsecMbAvx2))
      GTEST_SKIP() << created.error().message;
    ASSERT_TRUE(created) << created.error().message;
    aead = std::move(*created);
  }

  std::unique_ptr<Aead> aead;
};

TEST_P(AeadTest, Rfc8439A5) {
  const Secret key = secret_from_hex(kKeyA5);
  auto buffer = from_hex(kPlainA5);
  const auto plain = buffer;
  buffer.resize(plain.size() + kTagBytes);
  AeadJob job{buffer.data(), plain.size(), kCounterA5};
  aead->seal(key, {&job, 1});
  EXPECT_EQ(to_hex(buffer), kSealedA5);
  aead->open(key, {&job, 1});
  EXPECT_TRUE(job.is_authentic);
  buffer.resize(plain.size());
  EXPECT_EQ(buffer, plain);
}

// Lengths 0 to 299 and large ones: the hash over the hashes of all results is Python's.
TEST_P(AeadTest, EveryLengthAgreesWithPython) {
  Secret key;
  std::iota(key.bytes().begin(), key.bytes().end(), std::uint8_t{1});
  std::vector<std::size_t> lengths(300);
  std::iota(lengths.begin(), lengths.end(), std::size_t{0});
  lengths.insert(lengths.end(), {1420, 1424, 8192, 65'000});
  std::vector<std::vector<std::uint8_t>> buffers;
  std::vector<AeadJob> jobs;
  for (const std::size_t length : lengths) {
    auto& buffer = buffers.emplace_back(length + kTagBytes);
    for (std::size_t i = 0; i < length; ++i) buffer[i] = static_cast<std::uint8_t>(i * 7 + length);
    jobs.push_back({buffer.data(), length, (std::uint64_t{1} << 63) + length * 0x10001});
  }
  aead->seal(key, jobs);
  std::vector<std::uint8_t> digests;
  for (const auto& buffer : buffers) {
    const Hash digest = blake2s({buffer});
    digests.insert(digests.end(), digest.begin(), digest.end());
  }
  EXPECT_EQ(to_hex(blake2s({digests})),
            "add82c14588019449f8ac04b50c8fb55119ae925d66522332f011dc2be8acb52");
  aead->open(key, jobs);
  for (std::size_t i = 0; i < jobs.size(); ++i) {
    EXPECT_TRUE(jobs[i].is_authentic) << lengths[i];
    for (std::size_t k = 0; k < lengths[i]; ++k)
      ASSERT_EQ(buffers[i][k], static_cast<std::uint8_t>(k * 7 + lengths[i])) << lengths[i];
  }
}

TEST_P(AeadTest, RefusesEachFlippedBit) {
  const Secret key = Secret::random();
  for (const std::size_t bytes : {0U, 1U, 33U, 300U}) {
    std::vector<std::uint8_t> sealed(bytes + kTagBytes, 0x5a);
    AeadJob job{sealed.data(), bytes, 77};
    aead->seal(key, {&job, 1});
    for (std::size_t bit = 0; bit < sealed.size() * 8; ++bit) {
      auto changed = sealed;
      changed[bit / 8] ^= static_cast<std::uint8_t>(1 << bit % 8);
      AeadJob attempt{changed.data(), bytes, 77, true};
      aead->open(key, {&attempt, 1});
      ASSERT_FALSE(attempt.is_authentic) << bytes << " bytes, bit " << bit;
    }
  }
}

TEST_P(AeadTest, RefusesAnotherCounterAndAnotherKey) {
  const Secret key = Secret::random();
  std::vector<std::uint8_t> sealed(64 + kTagBytes);
  AeadJob job{sealed.data(), 64, 1};
  aead->seal(key, {&job, 1});
  for (int bit = 0; bit < 64; ++bit) {
    auto copy = sealed;
    AeadJob attempt{copy.data(), 64, std::uint64_t{1} ^ std::uint64_t{1} << bit, true};
    aead->open(key, {&attempt, 1});
    ASSERT_FALSE(attempt.is_authentic) << bit;
  }
  auto copy = sealed;
  AeadJob attempt{copy.data(), 64, 1, true};
  aead->open(Secret::random(), {&attempt, 1});
  EXPECT_FALSE(attempt.is_authentic);
}

// One forgery in a batch harms nobody else.
TEST_P(AeadTest, JudgesEachOfABatch) {
  const Secret key = Secret::random();
  std::array<std::array<std::uint8_t, 100 + kTagBytes>, 43> buffers{};
  std::vector<AeadJob> jobs;
  for (auto& buffer : buffers) jobs.push_back({buffer.data(), 100, jobs.size()});
  aead->seal(key, jobs);
  for (std::size_t i = 0; i < buffers.size(); i += 5) buffers[i][i] ^= 1;
  aead->open(key, jobs);
  for (std::size_t i = 0; i < jobs.size(); ++i) EXPECT_EQ(jobs[i].is_authentic, i % 5 != 0) << i;
}

TEST_P(AeadTest, WritesNothingBesideItsText) {
  const Secret key = Secret::random();
  for (std::size_t bytes = 0; bytes < 200; ++bytes) {
    std::vector<std::uint8_t> buffer(bytes + kTagBytes + 128, 0xa5);
    AeadJob job{buffer.data() + 64, bytes, bytes};
    aead->seal(key, {&job, 1});
    aead->open(key, {&job, 1});
    ASSERT_TRUE(job.is_authentic);
    const auto is_untouched = [](std::uint8_t byte) { return byte == 0xa5; };
    ASSERT_TRUE(std::all_of(buffer.begin(), buffer.begin() + 64, is_untouched)) << bytes;
    ASSERT_TRUE(std::all_of(buffer.end() - 64, buffer.end(), is_untouched)) << bytes;
  }
}

std::string test_name(const testing::TestParamInfo<AeadBackend>& info) {
  std::string name(to_string(info.param));
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}
INSTANTIATE_TEST_SUITE_P(Backends, AeadTest, testing::ValuesIn(kAeadBackends), test_name);

TEST(AeadChoice, AutomaticIsTheFirstThatWorks) {
  const auto chosen = Aead::create(AeadBackend::kAutomatic);
  ASSERT_TRUE(chosen);
  for (const AeadBackend backend : kAeadBackends) {
    if (!Aead::create(backend)) continue;
    EXPECT_EQ((*chosen)->backend(), backend);
    break;
  }
}

TEST(AeadChoice, NamesAreReadBack) {
  for (const AeadBackend backend : kAeadBackends)
    EXPECT_EQ(parse_aead_backend(to_string(backend)).value(), backend);
  EXPECT_EQ(parse_aead_backend("auto").value(), AeadBackend::kAutomatic);
  EXPECT_EQ(parse_aead_backend("aes").error().code, Code::kInvalid);
  const auto aead = Aead::create(AeadBackend::kOpenssl);
  EXPECT_EQ((*aead)->name(), "openssl");
}

}  // namespace
}  // namespace icon::tunnel::wg
