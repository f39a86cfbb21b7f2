#include "wire/documents.h"

#include <algorithm>

#include "wire/fields.h"
#include "wire/residence.h"

namespace icon::wire {
namespace {

constexpr std::size_t kFilesMax = 4096;

// A path below some directory: relative, without empty, '.' and '..' parts.
Status check_relative_path(std::string_view path) {
  for (std::size_t begin = 0; begin <= path.size();) {
    const auto end = std::min(path.find('/', begin), path.size());
    const auto part = path.substr(begin, end - begin);
    if (part.empty() || part == "." || part == ".." || part.find('\0') != std::string_view::npos)
      return fail(Code::kInvalid, "manifest: a path leads out of its directory");
    begin = end + 1;
  }
  return {};
}

// The five fields by which order, commit and manifest name one move.
template <class Document>
Status read_move(const json::Object& body, Document& document) {
  ICON_TRY(document.icon, get_key(body, "icon"));
  ICON_TRY(document.migration_id, get_token(body, "migration_id"));
  ICON_TRY(document.epoch, get_epoch(body));
  ICON_TRY(document.from, get_key(body, "from"));
  ICON_TRY(document.to, get_key(body, "to"));
  return read_times(body, document);
}

template <class Document>
json::Object write_move(const Document& document) {
  return {{"icon", document.icon.id()},       {"migration_id", document.migration_id},
          {"epoch", document.epoch},          {"from", document.from.id()},
          {"to", document.to.id()},           {"issued_ms", document.issued_ms},
          {"expires_ms", document.expires_ms}};
}

}  // namespace

json::Object Resources::to_json() const {
  return {
      {"cpu_millis", cpu_millis}, {"memory_bytes", memory_bytes}, {"bandwidth_bps", bandwidth_bps}};
}

Result<Resources> Resources::from_json(const json::Object& object) {
  Resources resources;
  ICON_TRY(resources.cpu_millis, json::get_int(object, "cpu_millis", 0, kResourceMax));
  ICON_TRY(resources.memory_bytes, json::get_int(object, "memory_bytes", 0, kResourceMax));
  ICON_TRY(resources.bandwidth_bps, json::get_int(object, "bandwidth_bps", 0, kResourceMax));
  return resources;
}

json::Object Offer::to_json() const {
  json::Object body{{"provider", provider.id()},
                    {"provider_name", provider_name},
                    {"nonce", nonce},
                    {"resources", resources.to_json()},
                    {"slot_seconds", slot_seconds},
                    {"price_ucredits", price_ucredits},
                    {"api", api.to_string()},
                    {"public_address", public_address.to_string()},
                    {"issued_ms", issued_ms},
                    {"expires_ms", expires_ms}};
  if (!country.empty()) body["country"] = country;
  if (!kind.empty()) body["kind"] = kind;
  return body;
}

Result<Offer> Offer::from_json(const json::Object& body) {
  Offer offer;
  ICON_TRY(offer.provider, get_key(body, "provider"));
  ICON_TRY(offer.provider_name, get_text(body, "provider_name", 255));
  ICON_TRY(offer.country, json::get_string_or(body, "country", "", 2));
  if (!offer.country.empty() && !is_country(offer.country))
    return fail(Code::kInvalid, "field 'country' is not two capital letters");
  ICON_TRY(offer.kind, json::get_string_or(body, "kind", "", kProviderKindBytesMax));
  if (!offer.kind.empty() && !is_provider_kind(offer.kind))
    return fail(Code::kInvalid, "field 'kind' is no kind of provider");
  ICON_TRY(offer.nonce, get_token(body, "nonce"));
  ICON_TRY(offer.resources, get_resources(body));
  ICON_TRY(offer.slot_seconds, json::get_int(body, "slot_seconds", 1, kSlotSecondsMax));
  ICON_TRY(offer.price_ucredits, get_money(body, "price_ucredits"));
  ICON_TRY(const auto api, json::get_string(body, "api", 64));
  ICON_TRY(offer.api, Endpoint::parse(api));
  if (offer.api.port == 0) return fail(Code::kInvalid, "field 'api' has port 0");
  ICON_TRY(const auto address, json::get_string(body, "public_address", 64));
  ICON_TRY(offer.public_address, Address::parse(address));
  ICON_CHECK(read_times(body, offer));
  return offer;
}

json::Object Bid::to_json() const {
  return {{"icon", icon.id()},
          {"provider", provider.id()},
          {"offer_digest", offer_digest},
          {"resources", resources.to_json()},
          {"slot_seconds", slot_seconds},
          {"price_ucredits", price_ucredits},
          {"epoch", epoch},
          {"nonce", nonce},
          {"issued_ms", issued_ms},
          {"expires_ms", expires_ms}};
}

Result<Bid> Bid::from_json(const json::Object& body) {
  Bid bid;
  ICON_TRY(bid.icon, get_key(body, "icon"));
  ICON_TRY(bid.provider, get_key(body, "provider"));
  ICON_TRY(bid.offer_digest, get_token(body, "offer_digest"));
  ICON_TRY(bid.resources, get_resources(body));
  ICON_TRY(bid.slot_seconds, json::get_int(body, "slot_seconds", 1, kSlotSecondsMax));
  ICON_TRY(bid.price_ucredits, get_money(body, "price_ucredits"));
  ICON_TRY(bid.epoch, get_epoch(body));
  ICON_TRY(bid.nonce, get_token(body, "nonce"));
  ICON_CHECK(read_times(body, bid));
  return bid;
}

json::Object Lease::to_json() const {
  return {{"lease_id", lease_id},   {"provider", provider.id()}, {"bid", bid.to_json()},
          {"issued_ms", issued_ms}, {"start_ms", start_ms},      {"expires_ms", expires_ms}};
}

Result<Lease> Lease::from_json(const json::Object& body) {
  Lease lease;
  ICON_TRY(lease.lease_id, get_token(body, "lease_id"));
  ICON_TRY(lease.provider, get_key(body, "provider"));
  ICON_TRY(const auto* bid, json::get_object(body, "bid"));
  ICON_TRY(lease.bid, parse_envelope(json::Value(*bid)));
  ICON_TRY(lease.start_ms, get_time(body, "start_ms"));
  ICON_CHECK(read_times(body, lease));
  return lease;
}

Result<Bid> Lease::verified_bid() const {
  ICON_TRY(auto opened, open<Bid>(bid));
  if (opened.provider != provider)
    return fail(Code::kUnauthenticated, "lease: the bid inside was made to another provider");
  if (expires_ms < start_ms + opened.slot_seconds * 1000)
    return fail(Code::kInvalid, "lease: shorter than the slot that was bid for");
  return opened;
}

json::Object MoveOrder::to_json() const {
  auto body = write_move(*this);
  body["lease_id"] = lease_id;
  body["redirect"] = redirect;
  body["reason"] = reason;
  return body;
}

Result<MoveOrder> MoveOrder::from_json(const json::Object& body) {
  MoveOrder order;
  ICON_CHECK(read_move(body, order));
  ICON_TRY(order.lease_id, get_token(body, "lease_id"));
  ICON_TRY(order.redirect, json::get_string(body, "redirect", 16));
  if (order.redirect != "forward" && order.redirect != "redirect")
    return fail(Code::kInvalid, "field 'redirect' is neither 'forward' nor 'redirect'");
  ICON_TRY(order.reason, get_text(body, "reason", 64));
  return order;
}

json::Object Commit::to_json() const { return write_move(*this); }

Result<Commit> Commit::from_json(const json::Object& body) {
  Commit commit;
  ICON_CHECK(read_move(body, commit));
  return commit;
}

json::Object Manifest::to_json() const {
  auto body = write_move(*this);
  body["files"] = files;
  body["removed"] = removed;
  return body;
}

Result<Manifest> Manifest::from_json(const json::Object& body) {
  Manifest manifest;
  ICON_CHECK(read_move(body, manifest));
  ICON_TRY(const auto* files, json::get_object(body, "files"));
  if (files->size() > kFilesMax) return fail(Code::kLimit, "manifest names too many files");
  for (const auto& entry : *files) {
    ICON_CHECK(check_relative_path(entry.key()));
    if (!entry.value().is_string())
      return fail(Code::kInvalid, "manifest: '" + std::string(entry.key()) + "' is not a string");
  }
  manifest.files = *files;
  ICON_TRY(const auto* removed, json::get_array(body, "removed", kFilesMax));
  for (const auto& path : *removed) {
    if (!path.is_string()) return fail(Code::kInvalid, "manifest: a removed path is no string");
    ICON_CHECK(check_relative_path(path.get_string()));
  }
  manifest.removed = *removed;
  return manifest;
}

json::Object Receipt::to_json() const {
  return {{"provider", provider.id()},
          {"icon", icon.id()},
          {"lease_id", lease_id},
          {"used_seconds", used_seconds},
          {"charged_ucredits", charged_ucredits},
          {"refunded_ucredits", refunded_ucredits},
          {"issued_ms", issued_ms}};
}

Result<Receipt> Receipt::from_json(const json::Object& body) {
  Receipt receipt;
  ICON_TRY(receipt.provider, get_key(body, "provider"));
  ICON_TRY(receipt.icon, get_key(body, "icon"));
  ICON_TRY(receipt.lease_id, get_token(body, "lease_id"));
  ICON_TRY(receipt.used_seconds, json::get_int(body, "used_seconds", 0, kSlotSecondsMax));
  ICON_TRY(receipt.charged_ucredits, get_money(body, "charged_ucredits"));
  ICON_TRY(receipt.refunded_ucredits, get_money(body, "refunded_ucredits"));
  ICON_TRY(receipt.issued_ms, get_time(body, "issued_ms"));
  return receipt;
}

}  // namespace icon::wire
