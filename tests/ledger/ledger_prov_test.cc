// python3-prov, who knows PROV-JSON but not us, reads what we export, and means the same by it.
#include <boost/json/serialize.hpp>

#include "base/subprocess.h"
#include "budget/ledger/prov.h"
#include "tests/unit/budget_ledger/store_rules.h"

namespace icon::budget::ledger {
namespace {

constexpr const char* kReader = R"(
import sys
from prov.model import ProvDocument, ProvActivity, ProvEntity, ProvAgent, ProvGeneration, ProvUsage
from prov.model import ProvDerivation, ProvAssociation
document = ProvDocument.deserialize(content=sys.stdin.read(), format='json')
for kind in (ProvEntity, ProvActivity, ProvAgent, ProvGeneration, ProvUsage, ProvDerivation, ProvAssociation):
    print(kind.__name__, len(list(document.get_records(kind))))
starts = [each.get_startTime() for each in document.get_records(ProvActivity)]
print('first', min(starts).isoformat())
again = ProvDocument.deserialize(content=document.serialize(format='json'), format='json')
print('same', again == document)
)";

TEST(LedgerProvTest, AnotherReaderUnderstandsIt) {
  const SampleLife life;
  MemoryLedgerStore store;
  Ledger ledger(store, life.origin, "life");
  for (const auto& document : life.documents)
    ASSERT_TRUE(ledger.append(document, SampleLife::kStart));
  Report report;
  const auto prov = to_prov(*verified_entries(store, report));
  ASSERT_TRUE(check_prov(prov));
  Command command;
  command.argv = {ICON_PYTHON, "-c", kReader};
  command.input = boost::json::serialize(prov);
  const auto outcome = run_command_blocking(std::move(command));
  ASSERT_TRUE(outcome) << outcome.error().message;
  ASSERT_TRUE(outcome->ok()) << outcome->error_output;
  const auto entities = prov.at("entity").as_object().size();
  EXPECT_EQ(outcome->output, "ProvEntity " + std::to_string(entities) +
                                 "\nProvActivity 9\nProvAgent 4\nProvGeneration 7\nProvUsage 11\n"
                                 "ProvDerivation 4\nProvAssociation 9\n"
                                 "first 2023-11-14T22:13:20+00:00\nsame True\n");
}

}  // namespace
}  // namespace icon::budget::ledger
