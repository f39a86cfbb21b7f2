// Files of signed documents: one JSON envelope per line.
#pragma once

#include <string>
#include <vector>

#include "cli/exit_codes.h"
#include "wire/envelope.h"

namespace icon::cli {

// Shapes only; nothing is verified. Failures: kNotFound, kUsage (a line is no document), kFailed.
Outcome<std::vector<wire::Envelope>> read_documents(const std::vector<std::string>& files);

}  // namespace icon::cli
