#include "cli/migrate.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json/serialize.hpp>
#include <set>
#include <thread>

#include "cli/api.h"
#include "cli/table.h"
#include "cli/text.h"

namespace icon::cli {
namespace {

constexpr Millis kEventIdleMax{30'000};

bool is_success(const std::string& state) {
  return state == "done" || state == "running" || state == "moved";
}
bool is_failure(const std::string& state) {
  return state == "rolled_back" || state == "aborted" || state == "failed";
}

std::set<std::string> ids_of(const json::Object& answer, std::string_view key) {
  std::set<std::string> ids;
  for (const auto& value : array_of(answer, key))
    if (value.is_object()) ids.insert(text_of(value.get_object(), "id"));
  return ids;
}

// One line per phase; on a terminal the line of the running phase is redrawn.
class PhasePrinter {
 public:
  explicit PhasePrinter(Context& context) : context_(context) {}

  // Each stream begins with the phases that are over.
  void on_stream() { repeated_ = printed_; }
  void on_event(const json::Object& event) {
    if (context_.json) return;
    const auto phase = text_of(event, "phase");
    const auto state = text_of(event, "state");
    if (state == "end" && repeated_ > 0) {
      --repeated_;
    } else if (state == "end") {
      line(phase, event, "");
      context_.out << '\n';
      ++printed_;
    } else if (context_.live && (state == "begin" || state == "progress")) {
      line(phase, event, " ...");
    }
    context_.out.flush();
  }
  int printed() const { return printed_; }

 private:
  void line(const std::string& phase, const json::Object& event, const char* tail) {
    const auto bytes = number_of(event, "bytes").value_or(0);
    if (context_.live) context_.out << "\r\033[K";
    auto text = fmt::format("  {:<14} {:>9}  {:>9}{}", phase,
                            human_us(number_of(event, "took_us").value_or(0)),
                            bytes > 0 ? human_bytes(bytes) : "", tail);
    text.erase(text.find_last_not_of(' ') + 1);
    context_.out << text;
  }

  Context& context_;
  int printed_ = 0;
  int repeated_ = 0;
};

class Migration {
 public:
  Migration(Context& context, const MigrateOptions& options)
      : context_(context),
        options_(options),
        api_(context.socket),
        deadline_(context.clock.steady() + options.timeout) {}

  Outcome<json::Object> run() {
    CLI_TRY(const auto icon, api_.get_object("/v1/icons/" + url_encode(options_.icon)));
    icon_id_ = text_of(icon, "id");
    CLI_TRY(const auto moves, api_.get_object("/v1/migrations"));
    CLI_TRY(const auto decisions, api_.get_object(decisions_target()));
    known_moves_ = ids_of(moves, "migrations");
    known_decisions_ = ids_of(decisions, "decisions");
    CLI_TRY(auto requested, api_.post_object("/v1/icons/" + url_encode(icon_id_) +
                                                 (options_.replica ? "/replicate" : "/migrate"),
                                             {{"to", options_.to}}));
    if (!options_.wait) return requested;
    if (!context_.json)
      context_.out << text_of(icon, "name") << " buys a slot at " << printable(options_.to)
                   << " ..." << std::endl;
    CLI_TRY(const auto id, wait_for_begin());
    return follow(id);
  }

 private:
  std::string decisions_target() const { return "/v1/decisions?icon=" + url_encode(icon_id_); }
  bool late() const { return context_.clock.steady() >= deadline_; }
  void pause() const { std::this_thread::sleep_for(options_.poll); }

  // The id of the migration that answers our request. The agent decides: it may also refuse.
  Outcome<std::string> wait_for_begin() {
    const auto limit = std::min(deadline_, context_.clock.steady() + options_.begin_max);
    for (;;) {
      CLI_TRY(const auto moves, api_.get_object("/v1/migrations"));
      for (const auto& value : array_of(moves, "migrations")) {
        if (!value.is_object()) continue;
        const auto& move = value.get_object();
        const auto id = text_of(move, "id");
        if (text_of(move, "icon") == icon_id_ && !known_moves_.contains(id)) return id;
      }
      CLI_TRY(const auto decisions, api_.get_object(decisions_target()));
      for (const auto& value : array_of(decisions, "decisions"))
        if (value.is_object())
          if (auto refusal = refusal_in(value.get_object())) return tl::unexpected(*refusal);
      if (context_.clock.steady() >= limit)
        return failure(
            kTimedOut, "the ICON has ordered no move to " + printable(options_.to),
            "It may still do so. Why not yet: icon logs --source agent " + options_.icon);
      pause();
    }
  }

  // The agent's word on our request, when it is a no.
  std::optional<Failure> refusal_in(const json::Object& decision) const {
    const auto& evidence = object_of(decision, "evidence");
    const auto id = text_of(decision, "id");
    if (known_decisions_.contains(id) || text_of(evidence, "reason") != "operator" ||
        text_of(decision, "outcome") == "move")
      return std::nullopt;
    std::string why = text_of(evidence, "message");
    const auto& candidates = array_of(evidence, "candidates");
    if (!candidates.empty() && candidates[0].is_object())
      why = text_of(candidates[0].get_object(), "message");
    const std::string what =
        options_.replica ? "the ICON gets no replica at " : "the ICON does not move to ";
    return Failure{kRefused, what + printable(options_.to) + ": " + why,
                   "More: icon explain " + id};
  }

  Outcome<json::Object> follow(const std::string& id) {
    PhasePrinter printer(context_);
    for (;;) {
      // A supervisor that restarts in the middle ends the stream; the journal then tells the rest.
      printer.on_stream();
      const auto streamed = api_.stream(
          "/v1/migrations/" + url_encode(id) + "/events",
          [&](const json::Object& event) {
            printer.on_event(event);
            return !late();
          },
          kEventIdleMax);
      const auto move = api_.get_object("/v1/migrations/" + url_encode(id));
      if (move && ended(*move)) return finish(*move, printer.printed());
      if (!move && move.error().exit_code != kNoSupervisor) return tl::unexpected(move.error());
      if (late())
        return failure(kTimedOut,
                       fmt::format("the migration {} did not end within {}", id,
                                   human_duration(options_.timeout.count())),
                       "It goes on: look with `icon ps` and `icon history`.");
      pause();
    }
  }

  static bool ended(const json::Object& move) {
    const auto state = text_of(move, "state");
    return is_success(state) || is_failure(state);
  }

  Outcome<json::Object> finish(const json::Object& move, int printed) {
    // The events of a quick move may all be over before we listened.
    if (printed == 0) {
      PhasePrinter printer(context_);
      for (const auto& value : array_of(move, "phases")) {
        if (!value.is_object()) continue;
        json::Object event = value.get_object();
        event["phase"] = text_of(event, "name");
        event["state"] = "end";
        printer.on_event(event);
      }
    }
    if (is_success(text_of(move, "state"))) return move;
    auto why = text_of(move, "error");
    if (why == "-") why = text_of(move, "state");
    return failure(kRefused, "rolled back, the service runs on where it was: " + why,
                   "More: icon explain " + text_of(move, "id"));
  }

  Context& context_;
  const MigrateOptions& options_;
  Api api_;
  SteadyTime deadline_;
  std::string icon_id_;
  std::set<std::string> known_moves_;
  std::set<std::string> known_decisions_;
};

}  // namespace

int migrate_icon(Context& context, const MigrateOptions& options) {
  const auto outcome = Migration(context, options).run();
  if (!outcome) return report(context, outcome.error());
  if (context.json) {
    context.out << boost::json::serialize(*outcome) << '\n';
    return kOk;
  }
  if (!options.wait) {
    context.out << "Requested. Follow it with: icon history\n";
    return kOk;
  }
  const auto& move = *outcome;
  context.out << coloured(options.replica ? "copied" : "moved", Colour::kGreen, context.colour)
              << fmt::format(": {} now runs at {}{}, epoch {}; it stood still for {}, {} moved\n",
                             text_of(move, "name"), text_of(move, "to"),
                             options.replica ? " too" : "", number_of(move, "epoch").value_or(0),
                             human_us(number_of(move, "gap_us").value_or(0)),
                             human_bytes(number_of(move, "bytes").value_or(0)))
              << "Why, and what it cost: icon explain " << text_of(move, "id") << '\n';
  return kOk;
}

}  // namespace icon::cli
