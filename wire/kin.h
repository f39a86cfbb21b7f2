// What parent and child tell each other while both live: where they are, whom they serve, what is
// left. Each is signed by who speaks, addressed to one other, and worth nothing a minute later.
#pragma once

#include <string>
#include <vector>

#include "base/address.h"
#include "wire/share.h"

namespace icon::wire {

inline constexpr std::size_t kKinGroupsMax = 128;

// Where an ICON is.
struct KinPlace {
  PublicKey icon;
  PublicKey host;
  Endpoint api;            // of the host
  Address public_address;  // what its users dial
  bool operator==(const KinPlace&) const = default;
};

// Users of one network.
struct KinGroup {
  Prefix prefix;
  std::int64_t connections = 0;
  std::int64_t rtt_us = 0;  // where the speaker is; 0: not known
  bool operator==(const KinGroup&) const = default;
};

// Child -> parent, or the ancestor that it hopes will adopt it.
struct KinReport {
  static constexpr std::string_view kType = "kin_report";
  enum class State {
    kServing,
    kDraining,  // wants no new users: lead them elsewhere
    kEnded,     // the last word
  };
  KinPlace child;
  PublicKey to;
  State state = State::kServing;
  std::int64_t connections = 0;
  MicroCredits left_ucredits = 0;
  MicroCredits spent_ucredits = 0;
  std::vector<KinGroup> groups;
  UtcMillis issued_ms = 0;
  UtcMillis expires_ms = 0;

  json::Object to_json() const;
  static Result<KinReport> from_json(const json::Object& body);
  const PublicKey& must_be_signed_by() const { return child.icon; }
};
std::string_view to_string(KinReport::State state);  // "serving", "draining", "ended"

// Parent -> child.
struct KinWord {
  static constexpr std::string_view kType = "kin_word";
  KinPlace parent;
  PublicKey child;
  std::vector<KinGroup> groups;  // whom it is to serve, and how far they are from the parent
  bool leads = false;            // they are led to the child, as far as HTTP goes
  bool may_end = false;          // when it no longer earns its price
  UtcMillis heard_ms = 0;        // issued_ms of the last report that arrived; 0: none
  std::vector<KinPlace> above;   // the parent's own ancestors, the nearest first
  UtcMillis issued_ms = 0;
  UtcMillis expires_ms = 0;

  json::Object to_json() const;
  static Result<KinWord> from_json(const json::Object& body);
  const PublicKey& must_be_signed_by() const { return parent.icon; }
};

json::Object to_json(const KinPlace& place);
json::Object to_json(const KinGroup& group);
// Errors of both: kInvalid.
Result<KinPlace> kin_place(const json::Object& object);
Result<std::vector<KinGroup>> kin_groups(const json::Object& object, std::string_view key);

}  // namespace icon::wire
