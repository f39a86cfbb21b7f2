// TLS identity from an Ed25519 key: a self-signed certificate made in memory, and the pin by which
// the other side is checked. The key, not the certificate, is the identity: names, issuers and
// dates in the certificate mean nothing.
#pragma once

#include <boost/asio/ssl/context.hpp>
#include <memory>
#include <string>

#include "base/keys.h"
#include "base/result.h"

namespace icon::tls {

// PEM texts, for libcurl's blobs. Wipe `private_key_pem` after use.
struct Certificate {
  std::string certificate_pem;
  std::string private_key_pem;
};
Result<Certificate> self_signed(const KeyPair& key);

// TLS 1.3, requires a client certificate with an Ed25519 key and accepts any such key.
Result<std::unique_ptr<boost::asio::ssl::context>> server_context(const KeyPair& key);

// "sha256//<base64>" of the key's SubjectPublicKeyInfo, for CURLOPT_PINNEDPUBLICKEY.
std::string curl_pin(const PublicKey& key);

// The Ed25519 key of the peer's certificate. `openssl_ssl` is an SSL*. Errors: kUnauthenticated.
Result<PublicKey> peer_key(void* openssl_ssl);

// For a client: during the handshake, before a byte of the request leaves, `judge` sees the key
// that the server's certificate holds (that the server owns it, TLS proves next) and says whether
// to go on. `openssl_ssl_ctx` is an SSL_CTX*; `judge` and `context` must live as long as handshakes
// may start with it. A certificate without an Ed25519 key always fails.
using Judge = bool (*)(const PublicKey& key, void* context);
void judge_servers(void* openssl_ssl_ctx, Judge judge, void* context);

}  // namespace icon::tls
