#include "base/tls.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <boost/system/system_error.hpp>
#include <cstring>

#include "base/encoding.h"

namespace icon::tls {
namespace {

template <auto Free>
struct Freer {
  template <class T>
  void operator()(T* object) const {
    Free(object);
  }
};
using Key = std::unique_ptr<EVP_PKEY, Freer<EVP_PKEY_free>>;
using X509Certificate = std::unique_ptr<X509, Freer<X509_free>>;
using Bio = std::unique_ptr<BIO, Freer<BIO_free_all>>;

// RFC 8410: the SubjectPublicKeyInfo of an Ed25519 key is this, then the key.
constexpr std::array<std::uint8_t, 12> kSpkiPrefix = {0x30, 0x2a, 0x30, 0x05, 0x06, 0x03,
                                                      0x2b, 0x65, 0x70, 0x03, 0x21, 0x00};

tl::unexpected<Error> openssl_failed(const char* what) {
  char text[256] = "unknown";
  ERR_error_string_n(ERR_get_error(), text, sizeof text);
  ERR_clear_error();
  return fail(Code::kInternal, std::string(what) + ": " + text);
}

Result<Key> private_key(const KeyPair& key) {
  const auto seed = key.seed();
  Key result(EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, nullptr, seed.data(), seed.size()));
  if (!result) return openssl_failed("Ed25519 key");
  return result;
}

Result<X509Certificate> certificate_for(EVP_PKEY* key) {
  X509Certificate certificate(X509_new());
  if (!certificate) return openssl_failed("X509_new");
  X509_set_version(certificate.get(), X509_VERSION_3);
  std::int32_t serial = 0;
  RAND_bytes(reinterpret_cast<unsigned char*>(&serial), sizeof serial);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate.get()), serial & 0x7fffffff);
  // Nobody looks at the dates; RFC 5280's "no well-defined end" says so to those who would.
  ASN1_TIME_set_string(X509_getm_notBefore(certificate.get()), "20000101000000Z");
  ASN1_TIME_set_string(X509_getm_notAfter(certificate.get()), "99991231235959Z");
  X509_NAME* name = X509_get_subject_name(certificate.get());
  X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                             reinterpret_cast<const unsigned char*>("icon"), -1, -1, 0);
  X509_set_issuer_name(certificate.get(), name);
  X509_set_pubkey(certificate.get(), key);
  if (X509_sign(certificate.get(), key, nullptr) == 0) return openssl_failed("sign certificate");
  return certificate;
}

std::string text_of(BIO* bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  return {data, static_cast<std::size_t>(size)};
}

Result<PublicKey> certificate_key(X509* certificate) {
  EVP_PKEY* key = certificate != nullptr ? X509_get0_pubkey(certificate) : nullptr;
  if (key == nullptr || EVP_PKEY_get_base_id(key) != EVP_PKEY_ED25519)
    return fail(Code::kUnauthenticated, "the peer's certificate holds no Ed25519 key");
  PublicKey result;
  std::size_t size = result.bytes.size();
  if (EVP_PKEY_get_raw_public_key(key, result.bytes.data(), &size) != 1 ||
      size != result.bytes.size())
    return fail(Code::kUnauthenticated, "the peer's Ed25519 key cannot be read");
  return result;
}

// Stands in for OpenSSL's chain verification, which asks about names and issuers that mean nothing
// here.
int accept_any_ed25519(X509_STORE_CTX* store, void*) {
  return certificate_key(X509_STORE_CTX_get0_cert(store)) ? 1 : 0;
}

struct JudgeCall {
  Judge judge;
  void* context;
};

// JudgeCall lives and dies with its SSL_CTX.
int judge_index() {
  static const int index = SSL_CTX_get_ex_new_index(
      0, nullptr, nullptr, nullptr, [](void*, void* pointer, CRYPTO_EX_DATA*, int, long, void*) {
        delete static_cast<JudgeCall*>(pointer);
      });
  return index;
}

int ask_judge(X509_STORE_CTX* store, void* argument) {
  const auto* call = static_cast<const JudgeCall*>(argument);
  const auto key = certificate_key(X509_STORE_CTX_get0_cert(store));
  return key && call->judge(*key, call->context) ? 1 : 0;
}

}  // namespace

Result<Certificate> self_signed(const KeyPair& key) {
  ICON_TRY(const auto secret, private_key(key));
  ICON_TRY(const auto certificate, certificate_for(secret.get()));
  Bio public_text(BIO_new(BIO_s_mem()));
  Bio secret_text(BIO_new(BIO_s_secmem()));
  if (!public_text || !secret_text ||
      PEM_write_bio_X509(public_text.get(), certificate.get()) != 1 ||
      PEM_write_bio_PrivateKey(secret_text.get(), secret.get(), nullptr, nullptr, 0, nullptr,
                               nullptr) != 1)
    return openssl_failed("write certificate");
  return Certificate{text_of(public_text.get()), text_of(secret_text.get())};
}

Result<std::unique_ptr<boost::asio::ssl::context>> server_context(const KeyPair& key) {
  ICON_TRY(const auto secret, private_key(key));
  ICON_TRY(const auto certificate, certificate_for(secret.get()));
  std::unique_ptr<boost::asio::ssl::context> result;
  try {
    result = std::make_unique<boost::asio::ssl::context>(boost::asio::ssl::context::tlsv13_server);
  } catch (const boost::system::system_error& error) {
    return fail(Code::kInternal, std::string("TLS: ") + error.what());
  }
  SSL_CTX* context = result->native_handle();
  // No resumption: a ticket would let a key's holder come back without proving it again.
  SSL_CTX_set_options(context, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION);
  SSL_CTX_set_num_tickets(context, 0);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  SSL_CTX_set_cert_verify_callback(context, accept_any_ed25519, nullptr);
  if (SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION) != 1 ||
      SSL_CTX_set_ciphersuites(context,
                               "TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256:"
                               "TLS_AES_256_GCM_SHA384") != 1 ||
      SSL_CTX_set1_sigalgs_list(context, "ed25519") != 1 ||
      SSL_CTX_use_certificate(context, certificate.get()) != 1 ||
      SSL_CTX_use_PrivateKey(context, secret.get()) != 1)
    return openssl_failed("TLS server set-up");
  return result;
}

std::string curl_pin(const PublicKey& key) {
  std::array<std::uint8_t, 44> spki{};
  std::memcpy(spki.data(), kSpkiPrefix.data(), kSpkiPrefix.size());
  std::memcpy(spki.data() + kSpkiPrefix.size(), key.bytes.data(), key.bytes.size());
  std::array<std::uint8_t, SHA256_DIGEST_LENGTH> digest{};
  SHA256(spki.data(), spki.size(), digest.data());
  return "sha256//" + base64_encode_standard(digest);
}

Result<PublicKey> peer_key(void* openssl_ssl) {
  const X509Certificate certificate(SSL_get1_peer_certificate(static_cast<SSL*>(openssl_ssl)));
  return certificate_key(certificate.get());
}

void judge_servers(void* openssl_ssl_ctx, Judge judge, void* context) {
  auto* ssl_context = static_cast<SSL_CTX*>(openssl_ssl_ctx);
  auto* call = new JudgeCall{judge, context};  // freed with the SSL_CTX
  SSL_CTX_set_ex_data(ssl_context, judge_index(), call);
  SSL_CTX_set_verify(ssl_context, SSL_VERIFY_PEER, nullptr);
  SSL_CTX_set_cert_verify_callback(ssl_context, ask_judge, call);
}

}  // namespace icon::tls
