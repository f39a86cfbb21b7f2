// How one ICON came from another: the parent's word for its child. A child shows it to prove its
// descent; the providers of both keep it.
#pragma once

#include <string>
#include <vector>

#include "wire/share.h"

namespace icon::wire {

// Signed by the parent. `migration_id` is the replication's, as in the child's MoveOrder.
struct Birth {
  static constexpr std::string_view kType = "birth";
  enum class Mode {
    kClone,  // of the parent's memory and files as they were then
    kFresh,  // the image started anew
  };
  PublicKey parent;
  PublicKey child;
  std::string migration_id;
  Mode mode = Mode::kClone;
  std::int64_t parent_epoch = 0;
  std::vector<PublicKey> ancestors;  // above the parent, the nearest first
  UtcMillis issued_ms = 0;
  UtcMillis expires_ms = 0;  // for the birth to begin; what it says stays true

  json::Object to_json() const;
  static Result<Birth> from_json(const json::Object& body);
  const PublicKey& must_be_signed_by() const { return parent; }
};
std::string_view to_string(Birth::Mode mode);  // "clone", "fresh"

}  // namespace icon::wire
