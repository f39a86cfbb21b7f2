// Who this ICON is, from its run directory: its key, and its parent's word if it is a replica.
#pragma once

#include <optional>
#include <string>

#include "base/keys.h"
#include "wire/birth.h"

namespace icon::agent {

struct Identity {
  std::optional<KeyPair> key;                    // without it nothing is bought
  std::optional<wire::Birth> birth;              // genuine, and about this key
  std::optional<wire::Envelope> birth_document;  // the same, as its parent signed it
  // A birth was there, if only a broken one: the policy's budget is the parent's, not ours.
  bool is_child = false;
};

// What is missing or wrong is logged.
Identity load_identity(const std::string& run_dir);

}  // namespace icon::agent
