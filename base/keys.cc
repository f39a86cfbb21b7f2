#include "base/keys.h"

#include <fcntl.h>
#include <sodium.h>
#include <sys/stat.h>

#include <cstring>
#include <utility>

#include "base/assert.h"
#include "base/encoding.h"
#include "base/fd.h"
#include "base/file.h"

namespace icon {
namespace {

void ensure_sodium() {
  static const int ready = sodium_init();
  ICON_ASSERT(ready >= 0);
}

std::string domain_separated(std::string_view domain, std::string_view message) {
  std::string text = "icon1:";
  text += domain;
  text += '\0';
  text += message;
  return text;
}

constexpr std::size_t kKeyFileBytesMax = 256;

}  // namespace

std::string PublicKey::id() const { return base32_encode(bytes); }

Result<PublicKey> PublicKey::from_id(std::string_view id) {
  PublicKey key;
  const auto decoded = base32_decode(id, key.bytes.size());
  if (!decoded || decoded->size() != key.bytes.size())
    return fail(Code::kInvalid,
                "not an id (52 characters of base32): '" + std::string(id.substr(0, 64)) + "'");
  std::copy(decoded->begin(), decoded->end(), key.bytes.begin());
  return key;
}

std::string short_id(std::string_view id) { return std::string(id.substr(0, 8)); }

KeyPair KeyPair::generate() {
  ensure_sodium();
  KeyPair pair;
  crypto_sign_keypair(pair.public_key_.bytes.data(), pair.secret_.data());
  return pair;
}

KeyPair KeyPair::from_seed(const std::array<std::uint8_t, 32>& seed) {
  ensure_sodium();
  KeyPair pair;
  crypto_sign_seed_keypair(pair.public_key_.bytes.data(), pair.secret_.data(), seed.data());
  return pair;
}

Result<KeyPair> KeyPair::load(const std::string& path, bool create) {
  UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd && errno == ENOENT && create) {
    KeyPair pair = generate();
    std::string text = hex_encode(pair.seed()) + "\n";
    const auto written = write_file_atomic(path, text, 0600);
    sodium_memzero(text.data(), text.size());
    ICON_CHECK(written);
    return pair;
  }
  if (!fd) return fail_errno("key file " + path);
  struct stat info {};
  if (fstat(fd.get(), &info) != 0) return fail_errno("key file " + path);
  if ((info.st_mode & 077) != 0)
    return fail(Code::kRefused, "key file " + path + " is readable by others: chmod 600 it");
  ICON_TRY(std::string text, read_file(path, kKeyFileBytesMax));
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.pop_back();
  std::array<std::uint8_t, 32> seed{};
  const auto decoded = hex_decode(text, seed.size());
  sodium_memzero(text.data(), text.size());
  if (!decoded || decoded->size() != seed.size())
    return fail(Code::kInvalid, "key file " + path + " does not hold 64 hex digits");
  std::copy(decoded->begin(), decoded->end(), seed.begin());
  KeyPair pair = from_seed(seed);
  sodium_memzero(seed.data(), seed.size());
  return pair;
}

KeyPair::KeyPair(KeyPair&& other) noexcept
    : public_key_(other.public_key_), secret_(other.secret_) {
  sodium_memzero(other.secret_.data(), other.secret_.size());
}

KeyPair& KeyPair::operator=(KeyPair&& other) noexcept {
  if (this != &other) {
    public_key_ = other.public_key_;
    secret_ = other.secret_;
    sodium_memzero(other.secret_.data(), other.secret_.size());
  }
  return *this;
}

KeyPair::~KeyPair() { sodium_memzero(secret_.data(), secret_.size()); }

Signature KeyPair::sign(std::string_view domain, std::string_view message) const {
  const std::string text = domain_separated(domain, message);
  Signature signature{};
  crypto_sign_detached(signature.data(), nullptr,
                       reinterpret_cast<const unsigned char*>(text.data()), text.size(),
                       secret_.data());
  return signature;
}

bool verify(const PublicKey& key, std::string_view domain, std::string_view message,
            const Signature& signature) {
  ensure_sodium();
  const std::string text = domain_separated(domain, message);
  return crypto_sign_verify_detached(signature.data(),
                                     reinterpret_cast<const unsigned char*>(text.data()),
                                     text.size(), key.bytes.data()) == 0;
}

}  // namespace icon
