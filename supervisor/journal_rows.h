// Journal records as JSON texts: what the `data` columns hold. Private to the journal. Reading is
// tolerant of absent fields (an older version wrote the row) and strict about types.
#pragma once

#include <string>

#include "base/result.h"
#include "supervisor/journal.h"

namespace icon::supervisor {

json::Object to_row(const IconRecord& record);
json::Object to_row(const MigrationRecord& record);
json::Object to_row(const StubRecord& record);
json::Object to_row(const LeaseRecord& record);
json::Object to_row(const DecisionRecord& record);

Status from_row(const json::Object& row, IconRecord& record);
Status from_row(const json::Object& row, MigrationRecord& record);
Status from_row(const json::Object& row, StubRecord& record);
Status from_row(const json::Object& row, LeaseRecord& record);
Status from_row(const json::Object& row, DecisionRecord& record);

}  // namespace icon::supervisor
