// The destination's handle on icon-pages (pages_main.cc): bytes go in, then it is asked whether all
// has come, then CRIU takes its pages from it. Killed with this object until it is let live. Loop
// thread only.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <csignal>
#include <memory>
#include <span>
#include <string>

#include "base/result.h"
#include "base/subprocess.h"
#include "base/task.h"

namespace icon::migration {

class PageDaemon {
 public:
  // `directory`: where CRIU works, with the images in "images" when check() is called; what it
  // takes is at most `bytes_max`. `cgroup`: the directory of the processes that will
  // need it, and that end with it when it ends too early. Errors: kNotFound (no program), kIo.
  static Result<std::shared_ptr<PageDaemon>> start(boost::asio::any_io_executor executor,
                                                   const std::string& program,
                                                   const std::string& directory,
                                                   std::uint64_t bytes_max,
                                                   const std::string& cgroup);
  // Ends it: who waits for it is told so.
  void stop() { process_.signal(SIGKILL); }

  // A part of the page stream. Errors: kIo when it has given up; received() then says why.
  Task<Status> write(std::span<const char> bytes);
  // The stream has ended: "BYTES:DIGEST". Errors: kInvalid, kLimit and the like, as kIo.
  Task<Result<std::string>> received();
  // What holds the pages lives. Without it a restored tree must not run.
  bool is_alive() const;
  // The images are there: is every page that they leave out? Errors: kIo.
  Task<Status> check();

  // How it ended: milliseconds until all memory was in place, pages, faults, faults on empty pages.
  struct Resident {
    std::int64_t took_ms = 0;
    std::uint64_t pages = 0;
    std::uint64_t faults = 0;
    std::uint64_t zero_faults = 0;
  };
  // The restored tree needs it from now on: it lives until it is done, whatever becomes of us.
  // Returns then. Errors: kIo: it died, and the tree with it or soon.
  static Task<Result<Resident>> let_live(std::shared_ptr<PageDaemon> daemon);

 private:
  PageDaemon(ChildProcess process, boost::asio::posix::stream_descriptor input,
             boost::asio::posix::stream_descriptor output)
      : process_(std::move(process)), input_(std::move(input)), output_(std::move(output)) {}
  // The next line it says, if it begins with `word`: what follows. Errors: kIo, with its own words.
  Task<Result<std::string>> hear(std::string word);

  ChildProcess process_;
  boost::asio::posix::stream_descriptor input_;
  boost::asio::posix::stream_descriptor output_;
  std::string heard_;
};

}  // namespace icon::migration
