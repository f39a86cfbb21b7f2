#include "budget/ledger/prov.h"

#include "budget/ledger/ledger.h"
#include "tests/unit/budget_ledger/store_rules.h"

namespace icon::budget::ledger {
namespace {

using ::testing::HasSubstr;

json::Object sample_prov() {
  const SampleLife life;
  MemoryLedgerStore store;
  Ledger ledger(store, life.origin, "life");
  for (const auto& document : life.documents) (void)*ledger.append(document, SampleLife::kStart);
  Report report;
  return to_prov(*verified_entries(store, report));
}

json::Object& in(json::Object& prov, const char* section) { return prov.at(section).as_object(); }
json::Object& first(json::Object& prov, const char* section) {
  return in(prov, section).begin()->value().as_object();
}
std::string broken(const json::Object& prov) {
  const auto checked = check_prov(prov);
  return checked ? "valid" : checked.error().message;
}

TEST(ProvTest, ALifeIsValidProvenance) {
  auto prov = sample_prov();
  EXPECT_EQ(broken(prov), "valid");
  EXPECT_EQ(in(prov, "activity").size(), 9u);
  EXPECT_EQ(in(prov, "agent").size(), 4u);
  EXPECT_EQ(in(prov, "wasGeneratedBy").size(), 7u);  // 2 hosts, 3 states, 2 checkpoints
  EXPECT_EQ(in(prov, "wasDerivedFrom").size(), 4u);
  EXPECT_EQ(in(prov, "wasInvalidatedBy").size(), 3u);
  EXPECT_EQ(in(prov, "wasAttributedTo").size(), 10u);
  EXPECT_EQ(first(prov, "activity").at("prov:startTime").as_string(),
            "2023-11-14T22:13:20.000+00:00");
}

TEST(ProvTest, EveryActivityHasAnAgent) {
  auto prov = sample_prov();
  auto& associations = in(prov, "wasAssociatedWith");
  associations.erase(associations.begin());
  EXPECT_THAT(broken(prov), HasSubstr("has no agent"));
  prov = sample_prov();
  in(prov, "agent").clear();
  EXPECT_THAT(broken(prov), HasSubstr("is not defined"));
}

TEST(ProvTest, MadeBeforeUsed) {
  auto prov = sample_prov();
  for (auto& each : in(prov, "wasGeneratedBy"))
    each.value().as_object()["prov:time"] = "2099-01-01T00:00:00.000+00:00";
  EXPECT_THAT(broken(prov), HasSubstr("is used before it is made"));
  prov = sample_prov();
  in(prov, "wasGeneratedBy").clear();
  EXPECT_THAT(broken(prov), HasSubstr("nobody made it"));
  prov = sample_prov();
  auto& made = in(prov, "wasGeneratedBy");
  made["_:again"] = made.begin()->value();
  EXPECT_THAT(broken(prov), HasSubstr("is made twice"));
}

TEST(ProvTest, NotUsedAfterItsEnd) {
  auto prov = sample_prov();
  for (auto& each : in(prov, "wasInvalidatedBy"))
    each.value().as_object()["prov:time"] = "2000-01-01T00:00:00.000+00:00";
  EXPECT_THAT(broken(prov), HasSubstr("is ended before it is made"));
}

TEST(ProvTest, NothingDerivesFromItself) {
  auto prov = sample_prov();
  auto& derivations = in(prov, "wasDerivedFrom");
  // checkpoint 1 -> state 2 -> checkpoint 2, and now back to checkpoint 1.
  derivations["_:back"] = json::Object{{"prov:generatedEntity", "icon:checkpoint-m1"},
                                       {"prov:usedEntity", "icon:checkpoint-m2"}};
  EXPECT_THAT(broken(prov), HasSubstr("derives from itself"));
}

TEST(ProvTest, TimeRunsForwards) {
  auto prov = sample_prov();
  first(prov, "activity")["prov:endTime"] = "2000-01-01T00:00:00.000+00:00";
  EXPECT_THAT(broken(prov), HasSubstr("ends before it starts"));
}

}  // namespace
}  // namespace icon::budget::ledger
