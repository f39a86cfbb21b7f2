#include "base/log.h"

#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <chrono>
#include <memory>

namespace icon::log {
namespace {

struct Sink {
  std::shared_ptr<spdlog::logger> logger;
  bool human = false;
};

Sink& sink() {
  static Sink instance{
      std::make_shared<spdlog::logger>("icon", std::make_shared<spdlog::sinks::stderr_sink_mt>()),
      false};
  return instance;
}

spdlog::level::level_enum to_spdlog(Level level) {
  switch (level) {
    case Level::kDebug:
      return spdlog::level::debug;
    case Level::kInfo:
      return spdlog::level::info;
    case Level::kWarn:
      return spdlog::level::warn;
    case Level::kError:
      return spdlog::level::err;
  }
  return spdlog::level::info;
}

std::string human_line(std::string_view event, Fields fields) {
  std::string line(event);
  for (const auto& field : fields) {
    line += ' ';
    line += field.key;
    line += '=';
    line += boost::json::serialize(field.value);
  }
  return line;
}

std::string json_line(Level level, std::string_view event, Fields fields) {
  const auto now = std::chrono::duration_cast<std::chrono::milliseconds>(
                       std::chrono::system_clock::now().time_since_epoch())
                       .count();
  const auto name = spdlog::level::to_string_view(to_spdlog(level));
  boost::json::object line{
      {"time_ms", now}, {"level", std::string_view(name.data(), name.size())}, {"event", event}};
  for (const auto& field : fields) line.insert_or_assign(field.key, field.value);
  return boost::json::serialize(line);
}

}  // namespace

void init(Level level, const std::string& path, bool human) {
  spdlog::sink_ptr target;
  if (path.empty())
    target = std::make_shared<spdlog::sinks::stderr_sink_mt>();
  else
    target = std::make_shared<spdlog::sinks::basic_file_sink_mt>(path);
  target->set_pattern(human ? "%H:%M:%S.%e %v" : "%v");
  auto logger = std::make_shared<spdlog::logger>("icon", std::move(target));
  logger->set_level(to_spdlog(level));
  logger->flush_on(spdlog::level::debug);
  sink() = {std::move(logger), human};
}

void write(Level level, std::string_view event, Fields fields) {
  auto& [logger, human] = sink();
  const auto target_level = to_spdlog(level);
  if (!logger->should_log(target_level)) return;
  logger->log(target_level, human ? human_line(event, fields) : json_line(level, event, fields));
}

}  // namespace icon::log
