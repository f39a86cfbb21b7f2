#include "lab/load_client.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <filesystem>

namespace icon::lab {
namespace {

constexpr std::size_t kLineBytesMax = 1 << 20;
constexpr Millis kAnswerMax{5'000};
constexpr Millis kStartMax{5'000};

struct Pipe {
  UniqueFd read_end;
  UniqueFd write_end;
};
Result<Pipe> make_pipe() {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return fail_errno("pipe2");
  return Pipe{UniqueFd(ends[0]), UniqueFd(ends[1])};
}

std::string beside_this_executable(const std::string& name) {
  std::error_code error;
  const auto self = std::filesystem::read_symlink("/proc/self/exe", error);
  return error ? name : (self.parent_path() / name).string();
}

std::vector<std::string> arguments(const LoadOptions& options, const std::string& program) {
  std::vector<std::string> argv{program.empty() ? beside_this_executable("icon-lab-load") : program,
                                options.target.to_string(),
                                "--connections=" + std::to_string(options.connections),
                                fmt::format("--rate={}", options.rate_per_s),
                                "--protocol=" + options.protocol.name,
                                fmt::format("--report-ms={}", options.report_every.count()),
                                fmt::format("--owed-max={}", options.owed_max)};
  for (const auto& source : options.sources) argv.push_back("--source=" + source.to_string());
  if (options.protocol.name == "http") {
    argv.push_back("--path=" + options.protocol.http_path);
    argv.push_back("--host=" + options.protocol.http_host);
    if (!options.protocol.http_expect.empty())
      argv.push_back("--expect=" + options.protocol.http_expect);
  }
  return argv;
}

}  // namespace

Result<LoadClient> LoadClient::start(const Lab& lab, const std::string& node,
                                     const LoadOptions& options, const std::string& program) {
  ICON_TRY(auto commands, make_pipe());
  ICON_TRY(auto reports, make_pipe());
  ICON_TRY(auto errors, make_pipe());
  RunOptions run;
  run.argv = arguments(options, program);
  run.input_fd = commands.read_end.get();
  run.output_fd = reports.write_end.get();
  run.error_fd = errors.write_end.get();
  run.new_session = true;  // a ctrl-C is for whoever drives it
  ICON_TRY(auto child, lab.spawn(node, std::move(run)));
  for (const int fd : {reports.read_end.get(), errors.read_end.get()})
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
  LoadClient client(std::move(child), std::move(commands.write_end), std::move(reports.read_end),
                    std::move(errors.read_end));
  client.drain_max_ = options.drain_max;
  reports.write_end.reset();
  errors.write_end.reset();
  ICON_TRY(auto first, client.next_line(options.connect_max + kStartMax));
  ICON_TRY(const auto event, json::get_string(first, "event"));
  if (event != "connected") return fail(Code::kInternal, "icon-lab-load began with " + event);
  return client;
}

Result<LoadReport> LoadClient::mark(const std::string& next) {
  return ask("mark " + next + "\n", "window", kAnswerMax);
}

Result<LoadReport> LoadClient::report() {
  latest();
  return ask("report\n", "report", kAnswerMax);
}

Result<LoadReport> LoadClient::stop() {
  ICON_TRY(auto report, ask("stop\n", "end", drain_max_ + kAnswerMax));
  child_.wait(kAnswerMax);
  return report;
}

const std::optional<LoadReport>& LoadClient::latest() {
  while (auto line = next_line(Millis(0)))
    if (auto report = LoadReport::from_json(*line)) latest_ = std::move(*report);
  return latest_;
}

Result<LoadReport> LoadClient::ask(const std::string& command, std::string_view event,
                                   Millis limit) {
  // SIGPIPE is ignored neither here nor in every caller: look before writing.
  if (child_.wait(Millis(0))) return ended();
  if (write(commands_.get(), command.data(), command.size()) < 0)
    return fail_errno("write to icon-lab-load");
  const auto deadline = std::chrono::steady_clock::now() + limit;
  while (true) {
    const auto left =
        std::chrono::duration_cast<Millis>(deadline - std::chrono::steady_clock::now());
    ICON_TRY(auto line, next_line(std::max(left, Millis(0))));
    ICON_TRY(const auto kind, json::get_string(line, "event"));
    ICON_TRY(auto report, LoadReport::from_json(line));
    latest_ = report;
    if (kind == event) return report;
  }
}

Result<json::Object> LoadClient::next_line(Millis limit) {
  const auto deadline = std::chrono::steady_clock::now() + limit;
  while (true) {
    if (const auto end = unread_.find('\n'); end != std::string::npos) {
      auto line = json::parse_object(std::string_view(unread_).substr(0, end), kLineBytesMax);
      unread_.erase(0, end + 1);
      return line;
    }
    std::array<char, 16 << 10> buffer;
    const auto got = read(reports_.get(), buffer.data(), buffer.size());
    if (got == 0) return ended();
    if (got > 0) {
      unread_.append(buffer.data(), static_cast<std::size_t>(got));
      if (unread_.size() > kLineBytesMax) return fail(Code::kLimit, "icon-lab-load: line too long");
      continue;
    }
    if (errno != EAGAIN && errno != EINTR) return fail_errno("read from icon-lab-load");
    const auto left =
        std::chrono::duration_cast<Millis>(deadline - std::chrono::steady_clock::now()).count();
    if (left <= 0) return fail(Code::kTimeout, "icon-lab-load did not answer in time");
    pollfd wait{reports_.get(), POLLIN, 0};
    poll(&wait, 1, static_cast<int>(left));
  }
}

tl::unexpected<Error> LoadClient::ended() {
  std::array<char, 4096> buffer;
  const auto got = read(errors_.get(), buffer.data(), buffer.size());
  std::string said(buffer.data(), got > 0 ? static_cast<std::size_t>(got) : 0);
  while (said.ends_with('\n')) said.pop_back();
  return fail(Code::kIo, said.empty() ? "icon-lab-load ended" : said);
}

}  // namespace icon::lab
