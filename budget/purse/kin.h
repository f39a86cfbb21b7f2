// Money between the purses of a tree. Each pair of purses counts totals that only grow, so that a
// message may be lost, late or repeated: the highest total is the truth, whatever came before.
//   a parent logs a share before it signs it        (gone here before it is there)
//   a child logs a return before it signs it        (gone there before it is here)
// A crash in between leaves money in nobody's hands until the message is sent again; it is never
// in two. Pure.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "base/result.h"
#include "budget/money.h"

namespace icon::budget {

inline constexpr std::size_t kKinMax = 1024;       // entries of each sort
inline constexpr std::size_t kKinIdBytesMax = 64;  // of one key's id

// A child's return: of what `grantor` gave, to `to`, who is the grantor or stands above it.
struct Return {
  std::string grantor;
  std::string to;
  auto operator<=>(const Return&) const = default;
};

// The same seen from `to`: who returned it, and through which child of ours the money once went.
struct Credit {
  std::string through;  // equal to `child` when we are the grantor
  std::string child;
  std::string grantor;
  auto operator<=>(const Credit&) const = default;
};

// As they stand in the log, "a/b" and "a/b/c". Errors: kInvalid.
std::string to_id(const Return& what);
std::string to_id(const Credit& what);
Result<Return> return_of(const std::string& id);
Result<Credit> credit_of(const std::string& id);

class Kin {
 public:
  // What each entry would add to its total. Errors: kInvalid (id, or a total above
  // kMicroCreditsMax), kConflict (not above what is known), kLimit (more is returned than was
  // granted or shared; too many kin).
  Result<MicroCredits> more_granted(const std::string& grantor, MicroCredits total) const;
  Result<MicroCredits> more_returned(const std::string& id, MicroCredits total) const;
  Result<MicroCredits> more_shared(const std::string& child, MicroCredits total) const;
  Result<MicroCredits> more_credited(const std::string& id, MicroCredits total) const;

  // REQUIRES: the question above was answered.
  void set_granted(const std::string& grantor, MicroCredits total);
  void set_returned(const std::string& id, MicroCredits total);
  void set_shared(const std::string& child, MicroCredits total);
  void set_credited(const std::string& id, MicroCredits total);

  MicroCredits granted() const { return granted_sum_; }
  MicroCredits returned() const { return returned_sum_; }
  MicroCredits shared() const { return shared_sum_; }
  MicroCredits credited() const { return credited_sum_; }

  const std::map<std::string, MicroCredits>& grants() const { return granted_; }
  const std::map<std::string, MicroCredits>& shares() const { return shared_; }
  const std::map<Return, MicroCredits>& returns() const { return returned_; }
  const std::map<Credit, MicroCredits>& credits() const { return credited_; }
  // Of what `grantor` gave, what has not gone back; of what `child` got, what has not come back.
  MicroCredits left_of_grant(const std::string& grantor) const;
  MicroCredits left_of_share(const std::string& child) const;

  // Through which child the returns of `child` out of what `grantor` gave are credited.
  std::optional<std::string> way_of(const std::string& child, const std::string& grantor) const;

  bool operator==(const Kin&) const = default;

 private:
  std::map<std::string, MicroCredits> granted_;
  std::map<std::string, MicroCredits> shared_;
  std::map<Return, MicroCredits> returned_;
  std::map<Credit, MicroCredits> credited_;
  MicroCredits granted_sum_ = 0;
  MicroCredits returned_sum_ = 0;
  MicroCredits shared_sum_ = 0;
  MicroCredits credited_sum_ = 0;
};

}  // namespace icon::budget
