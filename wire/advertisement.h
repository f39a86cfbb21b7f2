// A provider's word about itself for places that anybody may write to, such as a DHT: where it is,
// and for which networks. It proves the key and nothing else: an offer is asked for there.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/address.h"
#include "wire/documents.h"

namespace icon::wire {

inline constexpr std::size_t kAdvertisementBytesMax = 4096;  // of the envelope as JSON
inline constexpr std::size_t kAdvertisedApisMax = 4;
inline constexpr std::size_t kAdvertisedNetworksMax = 16;
inline constexpr std::int64_t kAdvertisementMsMax = 24LL * 3'600'000;

struct Advertisement {
  static constexpr std::string_view kType = "advertisement";
  PublicKey provider;
  std::string name;
  std::vector<Endpoint> apis;  // 1 to kAdvertisedApisMax
  // Where it wants to be found. Nobody else can put it elsewhere: it is not taken there.
  std::vector<Prefix> networks;  // 1 to kAdvertisedNetworksMax
  std::string nonce;
  UtcMillis issued_ms = 0;
  UtcMillis expires_ms = 0;

  json::Object to_json() const;
  static Result<Advertisement> from_json(const json::Object& body);
  const PublicKey& must_be_signed_by() const { return provider; }
};

// Under what names an address is looked for, the smallest network first: /24 and /16, /48 and /32.
std::vector<Prefix> advertised_networks(const Address& address);

}  // namespace icon::wire
