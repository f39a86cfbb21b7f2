// What an orchestrator decides for the ICONs of its swarm: where each should be prepared for, and
// when it should go there. Pure: reports in, decisions out. What a host reports is read with
// limits.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/address.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/keys.h"
#include "wire/documents.h"

namespace icon::supervisor {

inline constexpr std::size_t kSwarmUsersMax = 16;     // of one ICON, the heaviest
inline constexpr std::size_t kSwarmIconsMax = 1024;   // of one host
inline constexpr std::size_t kSwarmTargetsMax = 256;  // whose distance a host tells

struct SwarmUser {
  Address address;
  std::int64_t weight = 0;
};

struct SwarmIcon {
  std::string id;
  std::int64_t epoch = 0;
  wire::Resources resources;
  bool held = false;  // its owner's brake
  std::vector<SwarmUser> users;
};

struct HostReport {
  PublicKey host;
  wire::Resources free;
  std::set<std::string> kept;  // ICONs for which room is kept here, that is not in `free`
  std::vector<SwarmIcon> icons;
  std::map<Address, std::int64_t> rtt_us;  // from here, of users of any ICON of the swarm

  json::Object to_json() const;
  static Result<HostReport> from_json(const json::Object& object);
  // As JSON of so many bytes at most: what is too much is left out, users first.
  static std::string text_of(HostReport report, std::size_t bytes_max);
};

struct SwarmDecision {
  std::string icon;
  std::int64_t epoch = 0;     // for which it holds: over when the ICON has moved
  std::int64_t term = 0;      // of the orchestrator that decided
  std::int64_t sequence = 0;  // of its decisions for this ICON
  PublicKey to;               // prepare there
  bool move = false;          // and go there now

  json::Object to_json() const;
  static Result<SwarmDecision> from_json(const json::Object& object);
};

struct ChoiceLimits {
  int rounds = 2;  // in a row that the same host must win
  std::int64_t gain_us_min = 2'000;
  std::int64_t gain_percent = 20;
  Millis patience{10'000};  // then what was not followed may be decided anew
  Millis settled{3'000};    // so long is prepared at one host before another takes its place
  Millis refused{60'000};   // so long the next best place counts for what was not followed
  // So long stays what has just come: its agent has to look who speaks to it here.
  Millis arrived{3'000};
};

class SwarmChooser {
 public:
  explicit SwarmChooser(ChoiceLimits limits = {}) : limits_(limits) {}

  // `standing`: what was decided before, by whomever. Only what is new comes back, without a term:
  // in turn, beginning behind the ICON for which something was written last.
  std::vector<SwarmDecision> step(const std::vector<HostReport>& reports,
                                  const std::map<std::string, SwarmDecision>& standing,
                                  SteadyTime now);
  // A decision of the last step that stands now. What is not written is decided anew.
  void written(const SwarmDecision& decision, SteadyTime now);

 private:
  struct Memory {
    std::optional<PublicKey> winner;
    int rounds_won = 0;
    SteadyTime decided{};  // when what stands was written
    SteadyTime arrived{};
    std::optional<SteadyTime> since;                       // it is seen where it is
    std::optional<PublicKey> host;                         // where it was
    std::map<std::pair<PublicKey, PublicKey>, int> moves;  // from, to: how often
    std::map<PublicKey, SteadyTime> refused;               // until then: its agent does not go
  };
  // What is looked at for one ICON.
  struct Case {
    const HostReport& here;
    const SwarmIcon& icon;
    std::vector<const HostReport*> others;  // that have room
    const SwarmDecision* before = nullptr;  // what stands
    std::vector<SwarmUser> users;           // of whom it is known how far they are
  };
  void note_refusal(const Case& one, Memory& memory, SteadyTime now) const;
  std::optional<SwarmDecision> choose(const Case& one, Memory& memory, SteadyTime now) const;
  const HostReport& nearest(const Case& one, const Memory& memory) const;
  bool is_much_nearer(std::optional<std::int64_t> there_us,
                      std::optional<std::int64_t> here_us) const;
  PublicKey place_to_prepare(const Case& one, const HostReport& best, const Memory& memory) const;
  bool is_news(const SwarmDecision& decision, const SwarmDecision& old, const Memory& memory,
               SteadyTime now) const;
  std::optional<PublicKey> likely_next(const Memory& memory, const PublicKey& here,
                                       const std::vector<const HostReport*>& others) const;

  ChoiceLimits limits_;
  std::map<std::string, Memory> memory_;  // by ICON
  std::string written_last_;
};

// The users' weighted mean distance from a host; nullopt where it does not know them all.
std::optional<std::int64_t> distance_us(const HostReport& host,
                                        const std::vector<SwarmUser>& users);

// Where the ICONs of a host are prepared for: what was decided last. When an orchestrator dies its
// decisions go with it; what they prepared stays until another decides.
class SwarmPlaces {
 public:
  struct Place {
    std::int64_t epoch = 0;
    PublicKey to;
  };
  void decided(const std::map<std::string, SwarmDecision>& standing);
  // Forgets those that are not here (any more). `here`: by ICON, its epoch.
  const std::map<std::string, Place>& of(const std::map<std::string, std::int64_t>& here);

 private:
  std::map<std::string, Place> places_;
};

// Those users of an ICON that its own host and one of the others have measured: who answers no
// pings says nothing, and holds nobody up. None when these are not half of its use.
std::vector<SwarmUser> measured_users(const SwarmIcon& icon, const HostReport& here,
                                      const std::vector<const HostReport*>& others);

}  // namespace icon::supervisor
