// Whom this ICON descends from and who descends from it: where they are, whom they serve, which
// money went to whom. Pure state with rules; travels with the ICON as a file.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/json.h"
#include "budget/decision.h"
#include "wire/kin.h"

namespace icon::agent {

inline constexpr std::size_t kChildrenMax = 64;  // ended ones included
inline constexpr std::size_t kFamilyBytesMax = 1 << 20;
// Whoever is silent for so long serves nobody as far as we know.
inline constexpr Millis kKinSilentMax{60'000};
// After so long its place is another's. When it speaks again it is heard like before.
inline constexpr Millis kKinLostMax{600'000};

struct Child {
  enum class State {
    kOrdered,  // the order may have arrived; nobody has said how it ended
    kServing,
    kDraining,
    kEnded,
  };
  wire::KinPlace place;  // where it was made, until it says where it is
  State state = State::kOrdered;
  PublicKey ordered_at;   // the host that took the order, or did not
  std::string migration;  // the replication's, and the hold's that pays for its slot
  std::string provider_name;
  wire::MicroCredits price_ucredits = 0;
  wire::Envelope birth;
  std::optional<wire::Envelope> share;  // of our money, as we signed it
  wire::MicroCredits share_ucredits = 0;
  std::vector<wire::KinGroup> groups;  // whom it was made for; their RTT is the one here
  bool may_end = false;                // it was our own decision
  UtcMillis ordered_ms = 0;
  UtcMillis born_ms = 0;
  UtcMillis heard_ms = 0;     // by our clock; 0: never
  UtcMillis reported_ms = 0;  // issued_ms of the last report
  std::int64_t connections = 0;
  wire::MicroCredits left_ucredits = 0;
  wire::MicroCredits spent_ucredits = 0;
};
std::string_view to_string(Child::State state);

// What a child knows of those above it.
struct Elders {
  std::vector<wire::KinPlace> above;  // the nearest first: whom we report to
  std::vector<wire::KinGroup> groups;
  bool leads = false;
  bool may_end = false;
  UtcMillis heard_ms = 0;   // by our clock; 0: never
  UtcMillis serves_ms = 0;  // since when users are led to us; 0: nobody has said so
  UtcMillis issued_ms = 0;
  UtcMillis acknowledged_ms = 0;                       // of our reports, the last that arrived
  std::optional<wire::Envelope> share = std::nullopt;  // of the parent's money, as it signed it
};

// Owner: Kinship. One thread.
class Family {
 public:
  const std::vector<Child>& children() const { return children_; }
  const Elders& elders() const { return elders_; }
  Elders& elders() { return elders_; }
  Child* find(const PublicKey& icon);
  Child* by_migration(const std::string& migration);

  // Before the order leaves. Of too many, one that has ended goes, or the one that was lost first.
  // Errors: kLimit.
  Status ordered(Child child, UtcMillis now_ms);
  void drop(const std::string& migration);

  // A genuine report addressed to us. Errors: kNotFound (no child of ours), kExpired (older than
  // what is known).
  Status heard(const wire::KinReport& report, UtcMillis now_ms);
  // A genuine word of somebody above. Errors: kRefused (he is not above us), kExpired.
  Status heard(const wire::KinWord& word, UtcMillis now_ms);
  // The nearest above is silent for too long: the next one's turn. False: there is nobody left.
  bool look_higher(UtcMillis now_ms);

  // It has said lately that it serves.
  bool serves(const Child& child, UtcMillis now_ms) const;
  // It has neither ended nor been heard of for kKinLostMax: its host has died, or never made it.
  bool is_lost(const Child& child, UtcMillis now_ms) const;
  // Led to a child at present: it has said lately that it serves.
  bool leads_to(const Child& child, UtcMillis now_ms) const;
  bool is_served_elsewhere(const Prefix& prefix, UtcMillis now_ms) const;
  budget::ReplicaView replicas(std::int64_t max, UtcMillis now_ms) const;

  json::Object to_json() const;
  static Result<Family> from_json(const json::Object& object);  // Errors: kInvalid, kLimit
  // For people.
  json::Object status(UtcMillis now_ms) const;

 private:
  bool make_room(UtcMillis now_ms);
  std::vector<Child> children_;
  Elders elders_;
};

}  // namespace icon::agent
