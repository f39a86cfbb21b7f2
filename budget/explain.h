// Evidence as plain sentences, for `icon explain`. Pure.
#pragma once

#include <string>
#include <vector>

#include "base/json.h"
#include "budget/evidence.h"

namespace icon::budget {

std::vector<std::string> render_evidence(const Evidence& evidence);
// Reads what Evidence::to_json wrote. What cannot be read gives one sentence that says so.
std::vector<std::string> render_evidence(const json::Object& evidence);

}  // namespace icon::budget
