#include "wire/advertisement.h"

#include "wire/fields.h"

namespace icon::wire {
namespace {

constexpr std::size_t kNameBytesMax = 253;

template <class Thing>
Status read_list(const json::Object& body, std::string_view key, std::size_t max,
                 std::vector<Thing>& out) {
  const std::string what = "'" + std::string(key) + "': ";
  ICON_TRY(const auto* list, json::get_array(body, key, max));
  for (const auto& item : *list) {
    if (!item.is_string()) return fail(Code::kInvalid, what + "not a list of texts");
    const auto& text = item.get_string();
    ICON_TRY(const auto thing, Thing::parse({text.data(), text.size()}));
    out.push_back(thing);
  }
  if (out.empty()) return fail(Code::kInvalid, what + "is empty");
  return {};
}

template <class Thing>
json::Array texts_of(const std::vector<Thing>& things) {
  json::Array list;
  for (const auto& thing : things) list.emplace_back(thing.to_string());
  return list;
}

}  // namespace

json::Object Advertisement::to_json() const {
  return {{"provider", provider.id()},      {"name", name},   {"apis", texts_of(apis)},
          {"networks", texts_of(networks)}, {"nonce", nonce}, {"issued_ms", issued_ms},
          {"expires_ms", expires_ms}};
}

Result<Advertisement> Advertisement::from_json(const json::Object& body) {
  Advertisement advertisement;
  ICON_TRY(advertisement.provider, get_key(body, "provider"));
  ICON_TRY(advertisement.name, get_text(body, "name", kNameBytesMax));
  if (advertisement.name.empty()) return fail(Code::kInvalid, "'name': is empty");
  ICON_CHECK(read_list(body, "apis", kAdvertisedApisMax, advertisement.apis));
  for (const Endpoint& api : advertisement.apis)
    if (api.port == 0) return fail(Code::kInvalid, "'apis': port 0");
  ICON_CHECK(read_list(body, "networks", kAdvertisedNetworksMax, advertisement.networks));
  ICON_TRY(advertisement.nonce, get_token(body, "nonce"));
  ICON_CHECK(read_times(body, advertisement));
  if (advertisement.expires_ms - advertisement.issued_ms > kAdvertisementMsMax)
    return fail(Code::kInvalid, "'expires_ms': an advertisement lasts a day at most");
  return advertisement;
}

std::vector<Prefix> advertised_networks(const Address& address) {
  if (address.is_v4()) return {Prefix::of(address, 24), Prefix::of(address, 16)};
  return {Prefix::of(address, 48), Prefix::of(address, 32)};
}

}  // namespace icon::wire
