#include "cli/brakes.h"

#include <boost/json/serialize.hpp>

#include "cli/actions.h"
#include "cli/api.h"
#include "cli/text.h"

namespace icon::cli {
namespace {

// A round that runs ends first; the supervisor gives up before we do.
constexpr Millis kPlanMax{140'000};

std::string headline(const json::Object& evidence) {
  const auto to = text_of(evidence, "to_name");
  const auto reason = text_of(evidence, "reason");
  const auto outcome = text_of(evidence, "outcome");
  if (outcome == "end") return "would end: its users return to its parent";
  if (to == "-") return "would stay";
  if (reason == "held") return "would go to " + to + ", were it not held";
  if (outcome == "replicate") return "would make a replica at " + to;
  if (outcome == "move") return "would move to " + to;
  return "would stay for now, and leans to " + to;
}

}  // namespace

int plan(Context& context, const std::string& icon) {
  const auto found =
      Api(context.socket).post_object("/v1/icons/" + url_encode(icon) + "/plan", {}, kPlanMax);
  if (!found) return report(context, found.error());
  if (context.json) {
    context.out << boost::json::serialize(*found) << '\n';
    return kOk;
  }
  const auto& evidence = object_of(*found, "evidence");
  context.out << icon << ": " << headline(evidence) << '\n';
  print_evidence(context, evidence);
  return kOk;
}

int cordon(Context& context, const std::string& reason) {
  const auto answer = Api(context.socket).post("/v1/cordon", {{"reason", reason}});
  if (!answer) return report(context, answer.error());
  if (context.json)
    context.out << *answer;
  else
    context.out << "This host takes no new ICONs and sells no slots until: icon uncordon\n";
  return kOk;
}

int uncordon(Context& context) {
  const auto answer = Api(context.socket).remove("/v1/cordon", Api::kTimeout);
  if (!answer) return report(context, answer.error());
  if (context.json)
    context.out << *answer;
  else
    context.out << "This host takes ICONs again\n";
  return kOk;
}

}  // namespace icon::cli
