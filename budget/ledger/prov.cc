#include "budget/ledger/prov.h"

#include <fmt/format.h>

#include <ctime>
#include <map>

#include "budget/ledger/life.h"

namespace icon::budget::ledger {
namespace {

std::string name(const std::string& local) { return "icon:" + local; }
std::string agent_name(const PublicKey& key) { return name("key-" + key.id()); }

// RFC 3339 in UTC with milliseconds: texts of one length, so that they sort as the times do.
std::string time_text(UtcMillis ms) {
  const std::time_t seconds = ms / 1000;
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}+00:00", parts.tm_year + 1900,
                     parts.tm_mon + 1, parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec,
                     ms % 1000);
}

class Writer {
 public:
  void add(const wire::LedgerEntry& entry) {
    agent(entry.document.signer);
    const auto document = name(document_entity(entry.document));
    entity(document, "document", {{"icon:documentType", entry.document.type}});
    relate("wasAttributedTo",
           {{"prov:entity", document}, {"prov:agent", agent_name(entry.document.signer)}});
    if (const auto event = wire::LifeEvent::from_json(entry.document.body);
        event && entry.document.type == wire::LifeEvent::kType)
      add(*event);
  }

  json::Object take() {
    json::Object prov{{"prefix", json::Object{{"icon", "urn:icon:"}}}};
    for (auto& [section, content] : sections_) prov[section] = std::move(content);
    return prov;
  }

 private:
  void add(const wire::LifeEvent& event) {
    const auto activity = name(std::string(to_string(event.activity)) + '-' + event.id);
    const auto started = time_text(event.started_ms);
    const auto finished = time_text(event.finished_ms);
    sections_["activity"][activity] =
        json::Object{{"prov:startTime", started},
                     {"prov:endTime", finished},
                     {"prov:type", "icon:" + std::string(to_string(event.activity))},
                     {"icon:subject", event.icon.id()}};
    relate("wasAssociatedWith",
           {{"prov:activity", activity}, {"prov:agent", agent_name(event.actor)}});
    for (const auto& used : event.used) {
      entity(name(used));
      relate("used",
             {{"prov:activity", activity}, {"prov:entity", name(used)}, {"prov:time", started}});
    }
    for (const auto& made : event.made) {
      entity(name(made.entity));
      relate("wasGeneratedBy", {{"prov:entity", name(made.entity)},
                                {"prov:activity", activity},
                                {"prov:time", finished}});
      for (const auto& from : made.from)
        relate("wasDerivedFrom", {{"prov:generatedEntity", name(made.entity)},
                                  {"prov:usedEntity", name(from)},
                                  {"prov:activity", activity}});
    }
    for (const auto& ended : event.ended) {
      entity(name(ended));
      relate("wasInvalidatedBy",
             {{"prov:entity", name(ended)}, {"prov:activity", activity}, {"prov:time", finished}});
    }
  }

  void agent(const PublicKey& key) {
    sections_["agent"][agent_name(key)] = json::Object{{"icon:id", key.id()}};
  }
  void entity(const std::string& entity_name, std::string_view kind = {},
              json::Object attributes = {}) {
    auto& entities = sections_["entity"];
    if (entities.contains(entity_name)) return;
    const auto local = entity_name.substr(entity_name.find(':') + 1);
    attributes["prov:type"] =
        "icon:" + (kind.empty() ? local.substr(0, local.find('-')) : std::string(kind));
    entities[entity_name] = std::move(attributes);
  }
  void relate(const std::string& relation, json::Object what) {
    sections_[relation]["_:r" + std::to_string(++relations_)] = std::move(what);
  }

  std::map<std::string, json::Object> sections_;
  int relations_ = 0;
};

}  // namespace

json::Object to_prov(std::span<const wire::LedgerEntry> entries) {
  Writer writer;
  for (const auto& entry : entries) writer.add(entry);
  return writer.take();
}

}  // namespace icon::budget::ledger
