// How the money of one budget is spread over a tree of ICONs. Totals are sums so far: of two
// documents between the same parties the higher total holds, in whatever order they come.
#pragma once

#include <vector>

#include "wire/documents.h"

namespace icon::wire {

inline constexpr std::size_t kAncestorsMax = 16;

// Parent -> child: you may spend this much of mine, in total. Signed by the parent.
struct Share {
  static constexpr std::string_view kType = "share";
  PublicKey parent;
  PublicKey child;
  MicroCredits total_ucredits = 0;
  // Who stands above the parent, the nearest first: who may adopt the child when the parent is
  // gone.
  std::vector<PublicKey> ancestors;
  UtcMillis issued_ms = 0;

  json::Object to_json() const;
  static Result<Share> from_json(const json::Object& body);
  const PublicKey& must_be_signed_by() const { return parent; }
};

// Child -> its grantor, or an ancestor of that: of what the grantor gave me, so much is yours
// again, in total. Signed by the child, who has already taken it out of its purse.
struct ShareReturn {
  static constexpr std::string_view kType = "share_return";
  PublicKey child;
  PublicKey grantor;
  PublicKey to;
  MicroCredits total_ucredits = 0;
  UtcMillis issued_ms = 0;

  json::Object to_json() const;
  static Result<ShareReturn> from_json(const json::Object& body);
  const PublicKey& must_be_signed_by() const { return child; }
};

}  // namespace icon::wire
