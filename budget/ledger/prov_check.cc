#include <fmt/format.h>

#include <functional>
#include <map>
#include <set>

#include "budget/ledger/prov.h"

// The PROV constraints, on the JSON alone: what wrote it is not trusted.
// https://www.w3.org/TR/prov-constraints/
namespace icon::budget::ledger {
namespace {

constexpr std::size_t kNameBytesMax = 512;

tl::unexpected<Error> broken(const std::string& what) {
  return fail(Code::kInvalid, "provenance: " + what);
}

Result<json::Object> section(const json::Object& prov, std::string_view key) {
  if (!prov.contains(key)) return json::Object{};
  ICON_TRY(const auto* object, json::get_object(prov, key));
  return *object;
}

// For each relation of one sort: its members by name. `visit` gets the JSON object.
Status each(const json::Object& prov, std::string_view relation,
            const std::function<Status(const json::Object&)>& visit) {
  ICON_TRY(const auto all, section(prov, relation));
  for (const auto& entry : all) {
    const auto* object = entry.value().if_object();
    if (object == nullptr) return broken(std::string(relation) + " holds no object");
    ICON_CHECK(visit(*object));
  }
  return {};
}

class Checker {
 public:
  explicit Checker(const json::Object& prov) : prov_(prov) {}

  Status check() {
    ICON_TRY(entities_, section(prov_, "entity"));
    ICON_TRY(activities_, section(prov_, "activity"));
    ICON_TRY(agents_, section(prov_, "agent"));
    ICON_CHECK(check_generations());
    ICON_CHECK(check_uses());
    ICON_CHECK(check_ends());
    ICON_CHECK(check_agents());
    ICON_CHECK(check_derivations());
    return check_activities();
  }

 private:
  // A member of a relation that must be defined.
  Result<std::string> named(const json::Object& object, std::string_view key,
                            const json::Object& among) {
    ICON_TRY(auto text, json::get_string(object, key, kNameBytesMax));
    if (!among.contains(text)) return broken("'" + text + "' is not defined");
    return text;
  }

  Status check_generations() {
    return each(prov_, "wasGeneratedBy", [&](const json::Object& object) -> Status {
      ICON_TRY(const auto entity, named(object, "prov:entity", entities_));
      ICON_TRY(const auto activity, named(object, "prov:activity", activities_));
      ICON_TRY(auto time, json::get_string(object, "prov:time", 64));
      if (!made_.emplace(entity, std::move(time)).second)
        return broken("'" + entity + "' is made twice");
      return {};
    });
  }

  // What nobody made in here (a document, say) was there before.
  Status check_uses() {
    return each(prov_, "used", [&](const json::Object& object) -> Status {
      ICON_TRY(const auto entity, named(object, "prov:entity", entities_));
      ICON_TRY(const auto activity, named(object, "prov:activity", activities_));
      ICON_TRY(auto time, json::get_string(object, "prov:time", 64));
      const auto made = made_.find(entity);
      if (made != made_.end() && time < made->second)
        return broken("'" + entity + "' is used before it is made");
      if (made == made_.end() && must_be_made(entity))
        return broken("'" + entity + "' is used, but nobody made it");
      auto& last = used_[entity];
      last = std::max(last, time);
      return {};
    });
  }

  static bool must_be_made(std::string_view entity) {
    return entity.starts_with("icon:state-") || entity.starts_with("icon:checkpoint-");
  }

  Status check_ends() {
    return each(prov_, "wasInvalidatedBy", [&](const json::Object& object) -> Status {
      ICON_TRY(const auto entity, named(object, "prov:entity", entities_));
      ICON_TRY(const auto activity, named(object, "prov:activity", activities_));
      ICON_TRY(const auto time, json::get_string(object, "prov:time", 64));
      if (!ended_.insert(entity).second) return broken("'" + entity + "' is ended twice");
      const auto made = made_.find(entity);
      if (made != made_.end() && time < made->second)
        return broken("'" + entity + "' is ended before it is made");
      const auto used = used_.find(entity);
      if (used != used_.end() && used->second > time)
        return broken("'" + entity + "' is used after its end");
      return {};
    });
  }

  Status check_agents() {
    ICON_CHECK(each(prov_, "wasAssociatedWith", [&](const json::Object& object) -> Status {
      ICON_TRY(const auto activity, named(object, "prov:activity", activities_));
      ICON_TRY([[maybe_unused]] const auto agent, named(object, "prov:agent", agents_));
      associated_.insert(activity);
      return {};
    }));
    return each(prov_, "wasAttributedTo", [&](const json::Object& object) -> Status {
      ICON_TRY([[maybe_unused]] const auto entity, named(object, "prov:entity", entities_));
      ICON_TRY([[maybe_unused]] const auto agent, named(object, "prov:agent", agents_));
      return {};
    });
  }

  Status check_activities() {
    for (const auto& entry : activities_) {
      const std::string activity(entry.key());
      const auto* object = entry.value().if_object();
      if (object == nullptr) return broken("'" + activity + "' is no object");
      ICON_TRY(const auto start, json::get_string(*object, "prov:startTime", 64));
      ICON_TRY(const auto end, json::get_string(*object, "prov:endTime", 64));
      if (end < start) return broken("'" + activity + "' ends before it starts");
      if (associated_.count(activity) == 0) return broken("'" + activity + "' has no agent");
    }
    return {};
  }

  // Nothing may be left when whatever derives from nothing that is left is taken away.
  Status check_derivations() {
    std::map<std::string, std::set<std::string>> derived;  // source -> products
    std::map<std::string, int> sources;                    // product -> how many are left
    ICON_CHECK(each(prov_, "wasDerivedFrom", [&](const json::Object& object) -> Status {
      ICON_TRY(const auto product, named(object, "prov:generatedEntity", entities_));
      ICON_TRY(const auto source, named(object, "prov:usedEntity", entities_));
      if (derived[source].insert(product).second) ++sources[product];
      sources.try_emplace(source, 0);
      return {};
    }));
    std::vector<std::string> free;
    for (const auto& [entity, count] : sources)
      if (count == 0) free.push_back(entity);
    std::size_t taken = 0;
    for (; !free.empty(); ++taken) {
      const auto entity = std::move(free.back());
      free.pop_back();
      for (const auto& product : derived[entity])
        if (--sources[product] == 0) free.push_back(product);
    }
    if (taken != sources.size()) return broken("something derives from itself");
    return {};
  }

  const json::Object& prov_;
  json::Object entities_;
  json::Object activities_;
  json::Object agents_;
  std::map<std::string, std::string> made_;  // when
  std::map<std::string, std::string> used_;  // when last
  std::set<std::string> ended_;
  std::set<std::string> associated_;
};

}  // namespace

Status check_prov(const json::Object& prov) { return Checker(prov).check(); }

}  // namespace icon::budget::ledger
