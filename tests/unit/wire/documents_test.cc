#include "wire/documents.h"

#include <gtest/gtest.h>

#include <boost/json/serialize.hpp>
#include <limits>

#include "wire/birth.h"
#include "wire/continuity.h"
#include "wire/kin.h"

namespace icon::wire {
namespace {

constexpr UtcMillis kNow = 1'700'000'000'000;
constexpr auto kHigh = std::numeric_limits<std::int64_t>::max();

const KeyPair& provider_key() {
  static const KeyPair key = KeyPair::generate();
  return key;
}
const KeyPair& icon_key() {
  static const KeyPair key = KeyPair::generate();
  return key;
}

Offer offer() {
  Offer document;
  document.provider = provider_key().public_key();
  document.provider_name = "edge-1";
  document.nonce = "n-1";
  document.resources = {500, 256 << 20, 100'000'000};
  document.slot_seconds = 3600;
  document.price_ucredits = 100'000;
  document.api = *Endpoint::parse("198.51.100.7:7946");
  document.public_address = *Address::parse("198.51.100.7");
  document.issued_ms = kNow;
  document.expires_ms = kNow + 30'000;
  return document;
}

Bid bid() {
  Bid document;
  document.icon = icon_key().public_key();
  document.provider = provider_key().public_key();
  document.offer_digest = "0a";
  document.resources = {500, 256 << 20, 100'000'000};
  document.slot_seconds = 3600;
  document.price_ucredits = 100'000;
  document.epoch = 2;
  document.nonce = "n-2";
  document.issued_ms = kNow;
  document.expires_ms = kNow + 30'000;
  return document;
}

Lease lease() {
  Lease document;
  document.lease_id = "lease-1";
  document.provider = provider_key().public_key();
  document.bid = *seal(icon_key(), bid());
  document.issued_ms = kNow;
  document.start_ms = kNow;
  document.expires_ms = kNow + 3'600'000;
  return document;
}

template <class Document>
Document a_move() {
  Document document;
  document.icon = icon_key().public_key();
  document.migration_id = "m_1";
  document.epoch = 2;
  document.from = provider_key().public_key();
  document.to = icon_key().public_key();
  document.issued_ms = kNow;
  document.expires_ms = kNow + 30'000;
  return document;
}

MoveOrder order() {
  auto document = a_move<MoveOrder>();
  document.lease_id = "lease-1";
  document.redirect = "forward";
  document.reason = "latency";
  return document;
}

Manifest manifest() {
  auto document = a_move<Manifest>();
  document.files = {{"pages-1.img", "12:00ff"}};
  document.removed = {"var/old"};
  return document;
}

Receipt receipt() {
  Receipt document;
  document.provider = provider_key().public_key();
  document.icon = icon_key().public_key();
  document.lease_id = "lease-1";
  document.used_seconds = 60;
  document.charged_ucredits = 90'000;
  document.refunded_ucredits = 10'000;
  document.issued_ms = kNow;
  return document;
}

Birth birth(std::size_t generations = 1) {
  Birth document;
  document.parent = icon_key().public_key();
  document.child = provider_key().public_key();
  document.migration_id = "m_1";
  document.mode = Birth::Mode::kFresh;
  document.parent_epoch = 3;
  for (std::size_t i = 0; i < generations; ++i)
    document.ancestors.push_back(KeyPair::generate().public_key());
  document.issued_ms = kNow;
  document.expires_ms = kNow + 30'000;
  return document;
}

KinPlace kin_place_of(const KeyPair& key) {
  return {key.public_key(), provider_key().public_key(), *Endpoint::parse("192.0.2.1:7946"),
          *Address::parse("192.0.2.1")};
}

KinReport kin_report() {
  KinReport report;
  report.child = kin_place_of(icon_key());
  report.to = provider_key().public_key();
  report.state = KinReport::State::kDraining;
  report.groups = {{*Prefix::parse("198.51.100.0/24"), 4, 5'000}};
  report.issued_ms = kNow;
  report.expires_ms = kNow + 60'000;
  return report;
}

KinWord kin_word() {
  KinWord word;
  word.parent = kin_place_of(icon_key());
  word.child = provider_key().public_key();
  word.groups = kin_report().groups;
  word.leads = true;
  word.heard_ms = kNow - 1;
  word.above = {kin_place_of(KeyPair::generate())};
  word.issued_ms = kNow;
  word.expires_ms = kNow + 60'000;
  return word;
}

template <class Document>
void expect_round_trip(const KeyPair& key, const Document& document) {
  const auto sealed = seal(key, document);
  ASSERT_TRUE(sealed);
  const auto read = parse_envelope(boost::json::serialize(sealed->to_json()));
  ASSERT_TRUE(read) << read.error().message;
  const auto opened = open<Document>(*read);
  ASSERT_TRUE(opened) << opened.error().message;
  EXPECT_EQ(opened->to_json(), document.to_json());
}

ContinuityProposal proposal() {
  ContinuityProposal document;
  document.from = icon_key().public_key();
  document.to = provider_key().public_key();
  document.sequence = 3;
  document.resources = {4'000, std::int64_t{8} << 30, 1'000'000'000};
  document.standbys_max = 4;
  document.staged_bytes_max = 1 << 30;
  document.issued_ms = kNow;
  document.expires_ms = kNow + 3'600'000;
  return document;
}

ContinuityContract contract() {
  ContinuityContract document;
  document.provider = provider_key().public_key();
  document.proposal = *seal(icon_key(), proposal());
  document.resources = {2'000, std::int64_t{8} << 30, 1'000'000'000};
  document.issued_ms = kNow;
  document.expires_ms = kNow + 3'600'000;
  return document;
}

StandbyOrder standby() {
  const static KeyPair from = KeyPair::generate();
  StandbyOrder document;
  document.icon = icon_key().public_key();
  document.standby_id = "s-1";
  document.epoch = 2;
  document.from = from.public_key();
  document.to = provider_key().public_key();
  document.issued_ms = kNow;
  document.expires_ms = kNow + 600'000;
  return document;
}

StandbyReceipt standby_receipt() {
  StandbyReceipt document;
  document.provider = provider_key().public_key();
  document.holder = icon_key().public_key();
  document.icon = icon_key().public_key();
  document.standby_id = "s-1";
  document.end = "used";
  document.resources = {500, 1, 1};
  document.kept_ms = 1'000;
  document.staged_bytes = 10;
  document.price_ucredits = 7;
  document.issued_ms = kNow;
  return document;
}

TEST(Documents, RoundTrips) {
  expect_round_trip(icon_key(), proposal());
  expect_round_trip(provider_key(), contract());
  expect_round_trip(icon_key(), standby());
  expect_round_trip(provider_key(), standby_receipt());
  expect_round_trip(provider_key(), offer());
  expect_round_trip(icon_key(), bid());
  expect_round_trip(provider_key(), lease());
  expect_round_trip(icon_key(), order());
  expect_round_trip(provider_key(), a_move<Commit>());
  expect_round_trip(provider_key(), manifest());
  expect_round_trip(provider_key(), receipt());
  expect_round_trip(icon_key(), birth());
  expect_round_trip(icon_key(), birth(kAncestorsMax));
  expect_round_trip(icon_key(), kin_report());
  expect_round_trip(icon_key(), kin_word());
}

TEST(Documents, SomebodyElsesSignatureIsNone) {
  EXPECT_EQ(open<Offer>(*seal(icon_key(), offer())).error().code, Code::kUnauthenticated);
  EXPECT_EQ(open<Bid>(*seal(provider_key(), bid())).error().code, Code::kUnauthenticated);
  EXPECT_EQ(open<MoveOrder>(*seal(provider_key(), order())).error().code, Code::kUnauthenticated);
  EXPECT_EQ(open<Birth>(*seal(provider_key(), birth())).error().code, Code::kUnauthenticated);
  EXPECT_EQ(open<Commit>(*seal(icon_key(), a_move<Commit>())).error().code, Code::kUnauthenticated);
}

// A commit has all the fields of a manifest but one: the type keeps them apart.
TEST(Documents, OneTypeIsNotAnother) {
  const auto commit = *seal(provider_key(), a_move<Commit>());
  EXPECT_FALSE(open<Manifest>(commit));
  auto disguised = *seal(provider_key(), manifest());
  disguised.type = "commit";
  EXPECT_EQ(open<Commit>(disguised).error().code, Code::kUnauthenticated);
}

// Every field absent, of every other type, and outside its range.
template <class Document, class Value>
void expect_refused(const Document& document, const std::string& key, const Value& value) {
  auto body = document.to_json();
  ASSERT_TRUE(body.contains(key)) << key;
  body[key] = value;
  EXPECT_FALSE(Document::from_json(body))
      << Document::kType << "." << key << " = " << boost::json::serialize(body[key]);
}

template <class Document>
void expect_strict(const Document& document) {
  const auto good = document.to_json();
  ASSERT_TRUE(Document::from_json(good));
  for (const auto& entry : good) {
    const std::string key(entry.key());
    auto body = good;
    body.erase(key);
    EXPECT_FALSE(Document::from_json(body)) << Document::kType << " without " << key;
    for (const json::Value& value :
         {json::Value(nullptr), json::Value(true), json::Value(1.5), json::Value(-1),
          json::Value(std::numeric_limits<std::uint64_t>::max())})
      expect_refused(document, key, value);
    if (!entry.value().is_string()) expect_refused(document, key, "1");
    if (!entry.value().is_array()) expect_refused(document, key, json::Array());
    if (!entry.value().is_object()) expect_refused(document, key, json::Object());
    if (entry.value().is_string()) expect_refused(document, key, std::string(1 << 12, 'a'));
  }
}

TEST(Documents, EveryFieldIsChecked) {
  expect_strict(offer());
  expect_strict(bid());
  expect_strict(lease());
  expect_strict(order());
  expect_strict(a_move<Commit>());
  expect_strict(manifest());
  expect_strict(receipt());
  expect_strict(birth());
  expect_strict(proposal());
  expect_strict(contract());
  expect_strict(standby());
  expect_strict(standby_receipt());
}

TEST(Continuity, AContractGivesNoMoreThanWasAskedFor) {
  ASSERT_TRUE(contract().verified_proposal());
  EXPECT_EQ(contract().verified_proposal()->resources.cpu_millis, 2'000);
  auto more = contract();
  more.resources.cpu_millis = 4'001;
  EXPECT_EQ(more.verified_proposal().error().code, Code::kInvalid);
  auto longer = contract();
  ++longer.expires_ms;
  EXPECT_EQ(longer.verified_proposal().error().code, Code::kInvalid);
  auto forged = contract();
  forged.proposal.body["standbys_max"] = 200;
  EXPECT_EQ(forged.verified_proposal().error().code, Code::kUnauthenticated);
  auto stolen = contract();
  stolen.provider = icon_key().public_key();
  EXPECT_EQ(stolen.verified_proposal().error().code, Code::kUnauthenticated);
  EXPECT_FALSE(open<ContinuityContract>(*seal(icon_key(), contract())));
  EXPECT_FALSE(open<StandbyOrder>(*seal(provider_key(), standby())));
  expect_refused(proposal(), "to", icon_key().id());
  expect_refused(proposal(), "expires_ms", kNow);
  expect_refused(proposal(), "expires_ms", kNow + (kContractSecondsMax + 1) * 1000);
  expect_refused(proposal(), "standbys_max", kStandbysMax + 1);
  expect_refused(standby(), "standby_id", "../s");
}

template <class Document>
void expect_times_checked(const Document& document) {
  for (const char* key : {"issued_ms", "expires_ms"}) expect_refused(document, key, kHigh);
}

TEST(Kin, WhatMakesNoSenseIsRefused) {
  auto twice = kin_report();
  twice.groups.push_back(twice.groups.front());
  EXPECT_FALSE(KinReport::from_json(twice.to_json()));
  auto to_himself = kin_report();
  to_himself.to = icon_key().public_key();
  EXPECT_FALSE(KinReport::from_json(to_himself.to_json()));
  auto odd = kin_report().to_json();
  odd["state"] = "asleep";
  EXPECT_FALSE(KinReport::from_json(odd));
  auto own_child = kin_word();
  own_child.child = icon_key().public_key();
  EXPECT_FALSE(KinWord::from_json(own_child.to_json()));
  EXPECT_FALSE(open<KinWord>(*seal(provider_key(), kin_word())));
}

TEST(Birth, ALineWithoutCirclesOfLimitedLength) {
  expect_times_checked(birth());
  EXPECT_FALSE(Birth::from_json(birth(kAncestorsMax + 1).to_json()));
  expect_refused(birth(), "mode", "twin");
  expect_refused(birth(), "mode", "clone ");
  expect_refused(birth(), "parent_epoch", 0);
  expect_refused(birth(), "parent_epoch", kHigh);
  expect_refused(birth(), "migration_id", "../m");
  expect_refused(birth(), "child", icon_key().id());  // its own parent
  for (const auto& again : {icon_key().id(), provider_key().id()})
    expect_refused(birth(), "ancestors", json::Array{json::Value(again)});
  const auto above = KeyPair::generate().id();
  expect_refused(birth(), "ancestors", json::Array{json::Value(above), json::Value(above)});
  expect_refused(birth(), "ancestors", json::Array{json::Value(1)});
  expect_refused(birth(), "ancestors", json::Array{json::Value("x")});
}

TEST(Documents, Ranges) {
  expect_times_checked(offer());
  expect_times_checked(bid());
  expect_times_checked(lease());
  expect_times_checked(order());
  expect_times_checked(manifest());
  expect_refused(lease(), "start_ms", kHigh);
  expect_refused(receipt(), "issued_ms", kHigh);
  for (const json::Value& value : {json::Value(0), json::Value(kSlotSecondsMax + 1)}) {
    expect_refused(offer(), "slot_seconds", value);
    expect_refused(bid(), "slot_seconds", value);
  }
  expect_refused(offer(), "price_ucredits", kMicroCreditsMax + 1);
  expect_refused(bid(), "price_ucredits", kMicroCreditsMax + 1);
  expect_refused(receipt(), "charged_ucredits", kMicroCreditsMax + 1);
  expect_refused(receipt(), "refunded_ucredits", kMicroCreditsMax + 1);
  expect_refused(receipt(), "used_seconds", kSlotSecondsMax + 1);
  for (const json::Value& value : {json::Value(0), json::Value((1LL << 48) + 1)}) {
    expect_refused(bid(), "epoch", value);
    expect_refused(order(), "epoch", value);
    expect_refused(a_move<Commit>(), "epoch", value);
  }
  for (const char* key : {"cpu_millis", "memory_bytes", "bandwidth_bps"})
    for (const json::Value& value :
         {json::Value(-1), json::Value((1LL << 50) + 1), json::Value("1"), json::Value(1.0)}) {
      auto resources = offer().resources.to_json();
      resources[key] = value;
      EXPECT_FALSE(Resources::from_json(resources)) << key;
      expect_refused(offer(), "resources", resources);
    }
}

TEST(Documents, TokensAreFitForFileNames) {
  for (const char* token : {"", "../x", "a/b", "a b", "a.b", "a\n", "\xc3\xa9", "a\x1b"}) {
    expect_refused(offer(), "nonce", token);
    expect_refused(bid(), "nonce", token);
    expect_refused(bid(), "offer_digest", token);
    expect_refused(lease(), "lease_id", token);
    expect_refused(order(), "migration_id", token);
    expect_refused(order(), "lease_id", token);
    expect_refused(receipt(), "lease_id", token);
  }
  expect_refused(order(), "migration_id", std::string("a\0b", 3));
}

TEST(Documents, TextsAreFitForATerminal) {
  for (const char* text : {"a\nb", "\x1b[2J", "a\x7f", "a\tb",
                           "\xc2\x9b"
                           "2J"}) {
    expect_refused(offer(), "provider_name", text);
    expect_refused(order(), "reason", text);
  }
  auto named = offer();
  named.provider_name = "Caf\xc3\xa9 edge";
  EXPECT_TRUE(Offer::from_json(named.to_json()));
}

TEST(Documents, AddressesAndModes) {
  for (const char* text : {"", "198.51.100.7", "edge.test:7946", "198.51.100.7:0", "[::1]"})
    expect_refused(offer(), "api", text);
  for (const char* text : {"", "edge.test", "198.51.100.7:1"})
    expect_refused(offer(), "public_address", text);
  for (const char* text : {"", "Forward", "both"}) expect_refused(order(), "redirect", text);
  for (const char* key : {"icon", "from", "to"}) expect_refused(order(), key, std::string(52, '1'));
}

TEST(Documents, ManifestFiles) {
  expect_refused(manifest(), "files", json::Object{{"a", 1}});
  for (const char* name : {"", "../a", "/etc/passwd", "a/../../b", "a/..", "./a", "a//b"})
    expect_refused(manifest(), "files", json::Object{{name, "1:00"}});
  for (const char* path : {"", "..", "../a", "/a", "a/"})
    expect_refused(manifest(), "removed", json::Array{path});
  expect_refused(manifest(), "removed", json::Array{1});
  EXPECT_TRUE(Manifest::from_json([] {
    auto body = manifest().to_json();
    body["files"] = json::Object{{"dir/.hidden..x", "1:00"}};
    return body;
  }()));
  json::Object many;
  for (int i = 0; i < 5000; ++i) many[std::to_string(i)] = "1:00";
  expect_refused(manifest(), "files", many);
}

TEST(Lease, BindsBothSides) {
  EXPECT_EQ(lease().verified_bid()->to_json(), bid().to_json());
  auto other = lease();
  other.provider = icon_key().public_key();
  EXPECT_EQ(other.verified_bid().error().code, Code::kUnauthenticated);
  other = lease();
  other.bid.body["price_ucredits"] = 1;
  EXPECT_EQ(other.verified_bid().error().code, Code::kUnauthenticated);
  other = lease();
  other.expires_ms -= 1;
  EXPECT_EQ(other.verified_bid().error().code, Code::kInvalid);
  other = lease();
  other.bid = *seal(provider_key(), offer());
  EXPECT_EQ(other.verified_bid().error().code, Code::kInvalid);
  // The provider cannot make a bid in the ICON's name.
  other.bid = *seal(provider_key(), bid());
  EXPECT_EQ(other.verified_bid().error().code, Code::kUnauthenticated);
}

TEST(Resources, CoversEachOne) {
  const Resources have{2, 2, 2};
  EXPECT_TRUE(have.covers({2, 2, 2}));
  EXPECT_FALSE(have.covers({3, 2, 2}));
  EXPECT_FALSE(have.covers({2, 3, 2}));
  EXPECT_FALSE(have.covers({2, 2, 3}));
}

}  // namespace
}  // namespace icon::wire
