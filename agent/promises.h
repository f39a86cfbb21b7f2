// Keeps providers to their word: what was promised at a move, what is seen afterwards, and what
// follows from it. The rules are in budget/promise_record.h; this looks, remembers on disk, and
// says so.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "agent/decide.h"
#include "agent/host_meter.h"
#include "agent/provider_book.h"
#include "budget/promise_record.h"

namespace icon::agent {

// Owner: Rounds. Loop thread. Its file travels with the ICON.
class Promises {
 public:
  Promises(const Clock& clock, std::string path);

  // A new process has learnt where it runs. If that is where the last one had ordered a move to,
  // the move happened, and its promises hold; those of any other place are over.
  void woke_at(const std::string& provider_id);
  // A move to `provider` is about to be ordered: this is what it promises for the users seen now.
  // `from`: where we are. On disk when it returns: the next process may begin at the destination.
  void prepare(const KnownProvider& provider, const Observations& seen, const Policy& policy,
               KnownProvider from);
  // How the order ended; `paid` for the slot.
  void ended(bool moved, wire::MicroCredits paid);
  // We are somewhere: nothing that was measured elsewhere counts.
  void arrived() { meter_.restart(), ticked_.reset(); }
  // We are somebody else: all of it was another's.
  void forget();
  // At every report: time passes.
  void tick();
  // At every decision. A sentence when the place has broken its promise, the first time or again.
  void look(const HereView& here, const std::vector<budget::PrefixView>& prefixes,
            const Policy& policy);
  bool pending() const {
    return record_.here() && record_.here()->state == budget::PromiseState::kOpen;
  }
  // Non-empty: the promise of this place is broken, and how.
  const std::string& broken() const { return broken_; }
  // Where we came from: a way back.
  const std::optional<KnownProvider>& previous() const { return previous_; }
  // Fills in what is on record about each.
  void apply(std::vector<ProviderView>& providers) const;

  json::Array status_json() const;

 private:
  void load();
  void read_places(const json::Object& object);
  void save();
  void say(budget::PromiseState state);

  const Clock& clock_;
  std::string path_;
  budget::PromiseRecord record_;
  std::optional<budget::Promise> prepared_;
  std::optional<KnownProvider> prepared_from_;
  std::optional<KnownProvider> previous_;
  std::string broken_;
  HostMeter meter_;
  std::optional<UtcMillis> ticked_;
  UtcMillis saved_ms_ = 0;
};

}  // namespace icon::agent
