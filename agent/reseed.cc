#include "agent/reseed.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <charconv>
#include <filesystem>
#include <memory>
#include <optional>
#include <set>

#include "agent/reseed_protocol.h"
#include "base/file.h"
#include "base/log.h"

namespace icon::agent {
namespace {

namespace asio = boost::asio;
constexpr std::size_t kProcFileBytesMax = 4096;
constexpr std::size_t kAnswerBytesMax = 256;

int number_of(const std::string& text) {
  int number = 0;
  const auto end = text.data() + text.size();
  return std::from_chars(text.data(), end, number).ptr == end ? number : 0;
}

// Sends the word to the library's threads; the processes that were told.
std::set<int> tell_preloaded() {
  std::set<int> told;
  std::error_code error;
  for (const auto& process : std::filesystem::directory_iterator("/proc", error)) {
    const int pid = number_of(process.path().filename().string());
    if (pid <= 0 || pid == getpid()) continue;
    std::error_code gone;
    for (const auto& task : std::filesystem::directory_iterator(process.path() / "task", gone)) {
      const auto name = read_file((task.path() / "comm").string(), kProcFileBytesMax);
      if (!name || *name != std::string(kReseedThread) + "\n") continue;
      const int tid = number_of(task.path().filename().string());
      if (syscall(SYS_tgkill, pid, tid, kReseedSignal) == 0) told.insert(pid);
    }
  }
  return told;
}

bool is_alive(int pid) { return kill(pid, 0) == 0 || errno == EPERM; }

// The FIFO, gone with the object.
class Answers {
 public:
  static Result<std::unique_ptr<Answers>> open(asio::any_io_executor executor, std::string path) {
    unlink(path.c_str());
    if (mkfifo(path.c_str(), 0600) != 0) return fail_errno("mkfifo " + path);
    // Services may run as other users than the agent.
    if (chmod(path.c_str(), 0622) != 0) return fail_errno("chmod " + path);
    const int fd = ::open(path.c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) return fail_errno("open " + path);
    return std::unique_ptr<Answers>(new Answers(std::move(executor), std::move(path), fd));
  }
  ~Answers() { unlink(path_.c_str()); }

  Task<Result<std::vector<int>>> next() {
    char buffer[kAnswerBytesMax];
    boost::system::error_code error;
    const std::size_t count = co_await fifo_.async_read_some(
        asio::buffer(buffer), asio::redirect_error(asio::use_awaitable, error));
    if (error) co_return fail(Code::kTimeout, "nobody answered any more");
    text_.append(buffer, count);
    std::vector<int> pids;
    for (auto end = text_.find('\n'); end != std::string::npos; end = text_.find('\n')) {
      pids.push_back(number_of(text_.substr(0, end)));
      text_.erase(0, end + 1);
    }
    if (text_.size() > kAnswerBytesMax) co_return fail(Code::kInvalid, "an answer without end");
    co_return pids;
  }
  void close() {
    boost::system::error_code ignored;
    fifo_.close(ignored);
  }

 private:
  Answers(asio::any_io_executor executor, std::string path, int fd)
      : fifo_(std::move(executor), fd), path_(std::move(path)) {}
  asio::posix::stream_descriptor fifo_;
  std::string path_;
  std::string text_;
};

// The policy's command; the exit status arrives from Init, which reaps all children.
struct Hook {
  explicit Hook(asio::any_io_executor executor)
      : ended(std::move(executor), asio::steady_timer::time_point::max()) {}
  asio::steady_timer ended;
  std::optional<int> status;
};

Task<Status> run_command(Init& init, const ReplicatePolicy& policy) {
  if (policy.command.empty()) co_return Status{};
  const auto hook = std::make_shared<Hook>(co_await asio::this_coro::executor);
  auto on_exit = [hook](int status) {
    hook->status = status;
    hook->ended.cancel();
  };
  ICON_CO_TRY(const int pid, init.run(policy.command, std::move(on_exit)));
  hook->ended.expires_after(Millis(policy.limit_ms));
  boost::system::error_code ignored;
  if (!hook->status)
    co_await hook->ended.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  if (!hook->status) {
    kill(pid, SIGKILL);
    co_return fail(Code::kTimeout, "the hook's command did not end within " +
                                       std::to_string(policy.limit_ms) + " ms");
  }
  if (*hook->status != 0)
    co_return fail(Code::kRefused,
                   "the hook's command ended with status " + std::to_string(*hook->status));
  co_return Status{};
}

}  // namespace

Task<Result<std::size_t>> reseed(Init& init, const ReplicatePolicy& policy, std::string run_dir) {
  const auto executor = co_await asio::this_coro::executor;
  ICON_CO_TRY(auto opened, Answers::open(executor, run_dir + kReseedFifo));
  const std::shared_ptr<Answers> answers = std::move(opened);
  const auto told = tell_preloaded();
  if (policy.signal != 0) init.forward(policy.signal);
  asio::steady_timer limit(executor, Millis(policy.limit_ms));
  limit.async_wait([answers](boost::system::error_code error) {
    if (!error) answers->close();
  });
  auto missing = told;
  while (!missing.empty()) {
    const auto pids = co_await answers->next();
    if (pids)
      for (const int pid : *pids) missing.erase(pid);
    else
      std::erase_if(missing, [](int pid) { return !is_alive(pid); });
    if (!pids && !missing.empty())
      co_return fail(Code::kTimeout, std::to_string(missing.size()) +
                                         " processes did not reseed, the first is " +
                                         std::to_string(*missing.begin()));
    if (!pids) break;
  }
  limit.cancel();
  ICON_CO_CHECK(co_await run_command(init, policy));
  if (told.empty() && policy.command.empty() && policy.signal == 0)
    log::warn("replica.not_reseeded", {{"consequence", kUnreseeded}});
  log::info("replica.reseeded", {{"processes", told.size()},
                                 {"command", policy.command.empty() ? "" : policy.command.front()},
                                 {"signal", policy.signal}});
  co_return told.size();
}

}  // namespace icon::agent
