// The agent's own ledger: every document of the ICON's life and what became of it, signed, in its
// state directory, so that it travels with the ICON and goes on at the next host.
#pragma once

#include <optional>
#include <string>

#include "base/clock.h"
#include "base/keys.h"
#include "budget/ledger/diary.h"
#include "wire/birth.h"

namespace icon::agent {

// All that is kept travels in the gap of a move: two files of this size at most.
inline constexpr std::int64_t kChronicleBytesMax = 1 << 20;
inline constexpr std::int64_t kChronicleEntriesMax = 2'000;

// Where the ICON is, as far as its ledger is concerned.
struct Whereabouts {
  PublicKey host;
  std::int64_t epoch = 0;
  std::optional<wire::Envelope> lease;                 // under which it runs there
  std::optional<wire::Envelope> host_join;             // the host's own word that it has joined
  std::optional<wire::Envelope> birth = std::nullopt;  // a replica's: its parent's word
};

// A child of this ICON, as far as its ledger is concerned. No secret of anybody's.
struct Replica {
  PublicKey child;
  wire::Birth::Mode mode = wire::Birth::Mode::kClone;
  wire::Envelope birth;
  std::optional<wire::Envelope> lease;  // the child's
};

// Owner: the agent. One thread. Holds no descriptor between calls.
class Chronicle {
 public:
  // `key` is borrowed and outlives it. Errors: of Diary::open.
  static Result<Chronicle> open(const std::string& state_dir, const KeyPair& key,
                                const Clock& clock);

  // Durable when it returns: call it before the act that the document authorises. The same document
  // again is recorded once. Whoever signed it: a replica's are its parent's to record. Errors: of
  // Diary::record.
  Status record(const wire::Envelope& document);
  // The ICON runs there in that epoch: it has joined, or moved. What is known changes nothing.
  Status arrived(const Whereabouts& at);
  // Before it is frozen for `migration`.
  Status checkpointed(const std::string& migration);
  // The replica runs at `host`. Its own life is in a ledger of its own.
  Status replicated(const Replica& replica, const std::string& migration, const PublicKey& host);
  Status ended();

 private:
  Chronicle(budget::ledger::Diary diary, const KeyPair& key, const Clock& clock)
      : diary_(std::move(diary)), key_(&key), clock_(&clock) {}
  budget::ledger::Occasion occasion(const std::string& id) const;
  Status record(const wire::LifeEvent& event);
  void met(const Whereabouts& at);
  std::int64_t epoch() const;
  std::string checkpoint() const;  // entity; empty when there is none

  budget::ledger::Diary diary_;
  const KeyPair* key_;
  const Clock* clock_;
  std::string last_digest_;
};

}  // namespace icon::agent
