#include "supervisor/freeze_guard.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <boost/json/serialize.hpp>

#include "base/json.h"

namespace icon::supervisor {
namespace {

constexpr int kGuardPipeFd = 3;
constexpr Millis kDisarmLimit{2'000};

std::string to_text(const FreezeGuard::Undo& undo) {
  json::Array commands;
  for (const auto& argv : undo.commands) {
    json::Array words;
    for (const auto& word : argv) words.emplace_back(word);
    commands.emplace_back(std::move(words));
  }
  return boost::json::serialize(json::Object{{"thaw_file", undo.thaw_file},
                                             {"thaw_text", undo.thaw_text},
                                             {"commands", std::move(commands)}});
}

}  // namespace

Result<FreezeGuard> FreezeGuard::arm(const std::string& program, const Undo& undo) {
  int fds[2];
  if (pipe2(fds, O_CLOEXEC) != 0) return fail_errno("pipe");
  UniqueFd theirs(fds[0]);
  UniqueFd ours(fds[1]);
  ChildProcess::Options options;
  options.argv = {program, to_text(undo)};
  options.inherit = {{theirs.get(), kGuardPipeFd}};
  options.die_with_parent = false;  // outliving us is what it is for
  options.new_session = true;
  ICON_TRY(ChildProcess process, ChildProcess::start(std::move(options)));
  return FreezeGuard(std::move(process), std::move(ours));
}

Status FreezeGuard::disarm() {
  if (!process_) return {};
  const char disarm = 'd';
  const bool said = write(pipe_.get(), &disarm, 1) == 1;
  const auto status = process_->wait(kDisarmLimit);
  if (!status) process_->signal(SIGKILL);
  process_.reset();
  pipe_.reset();
  if (!said || status != 0)
    return fail(Code::kIo, "the freeze guard ended before it was disarmed: it may have thawed");
  return {};
}

FreezeGuard::~FreezeGuard() { (void)disarm(); }

}  // namespace icon::supervisor
