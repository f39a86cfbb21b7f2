// Looks up every name of a file, "name TYPE" lines as dnsperf reads them, with the resolver that
// the agent uses, without its cache. Prints one line of JSON: time, answers, memory.
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/json/serialize.hpp>
#include <charconv>
#include <cstdio>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "base/json.h"
#include "discovery/parallel.h"
#include "discovery/resolver.h"

namespace icon::discovery {
namespace {

struct Question {
  std::string name;
  RecordType type;
};

struct Tally {
  std::int64_t answered = 0;
  std::int64_t empty = 0;
  std::map<std::string, std::int64_t> failed;  // by error code
};

std::vector<Question> read_questions(const char* path) {
  const std::map<std::string, RecordType> types{{"A", RecordType::kA},
                                                {"AAAA", RecordType::kAaaa},
                                                {"PTR", RecordType::kPtr},
                                                {"SRV", RecordType::kSrv},
                                                {"TXT", RecordType::kTxt}};
  std::vector<Question> questions;
  std::ifstream file(path);
  std::string name;
  std::string type;
  while (file >> name >> type)
    if (const auto found = types.find(type); found != types.end())
      questions.push_back({name, found->second});
  return questions;
}

// Of this program: what getrusage says begins with the size of whoever started it.
std::int64_t memory_peak_kib() {
  std::ifstream status("/proc/self/status");
  std::string word;
  while (status >> word)
    if (std::int64_t kib = 0; word == "VmHWM:" && status >> kib) return kib;
  return 0;
}

Task<void> ask_all(Resolver& resolver, const std::vector<Question>& questions, std::size_t width,
                   Tally& tally) {
  const auto one = [&](std::size_t i) -> Task<void> {
    const auto answer = co_await resolver.query(questions[i].name, questions[i].type);
    if (!answer) {
      ++tally.failed[std::string(to_string(answer.error().code))];
    } else {
      ++(answer->empty() ? tally.empty : tally.answered);
    }
  };
  co_await for_each_index(questions.size(), width, one);
}

int run(const char* path, std::size_t width, ResolverOptions options) {
  const auto questions = read_questions(path);
  const auto memory_before = memory_peak_kib();
  IoContext loop(1);
  auto resolver = make_cares_resolver(loop, options);
  if (!resolver || questions.empty()) {
    std::fprintf(stderr, "icon-bench-dns-host: %s\n",
                 resolver ? "no questions" : resolver.error().message.c_str());
    return 1;
  }
  Tally tally;
  const auto begin = std::chrono::steady_clock::now();
  auto end = begin;
  boost::asio::co_spawn(loop, ask_all(**resolver, questions, width, tally),
                        [&](std::exception_ptr failure) {
                          end = std::chrono::steady_clock::now();
                          (*resolver)->close();
                          if (failure) std::rethrow_exception(failure);
                        });
  loop.run();
  const auto stats = (*resolver)->stats();
  json::Object failed;
  for (const auto& [code, count] : tally.failed) failed[code] = count;
  const json::Object report{{"names", questions.size()},
                            {"answered", tally.answered},
                            {"empty", tally.empty},
                            {"failed", std::move(failed)},
                            {"took_us", std::chrono::duration_cast<Micros>(end - begin).count()},
                            {"packets", stats.packets},
                            {"repeated", stats.repeated},
                            {"in_flight_peak", stats.in_flight_peak},
                            {"window", stats.window},
                            {"memory_kib", memory_peak_kib()},
                            {"memory_grown_kib", memory_peak_kib() - memory_before}};
  std::printf("%s\n", boost::json::serialize(report).c_str());
  return 0;
}

}  // namespace
}  // namespace icon::discovery

int main(int argc, char** argv) {
  if (argc < 4) {
    std::fprintf(stderr, "usage: icon-bench-dns-host FILE WIDTH SERVER...\n");
    return 2;
  }
  const std::string text = argv[2];
  std::size_t width = 0;
  std::from_chars(text.data(), text.data() + text.size(), width);
  icon::discovery::ResolverOptions options;
  options.servers.assign(argv + 3, argv + argc);
  return icon::discovery::run(argv[1], width == 0 ? 1 : width, std::move(options));
}
