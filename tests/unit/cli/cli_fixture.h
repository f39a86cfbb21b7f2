// Runs `icon` in this process, on a fake supervisor, with its output in strings.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>
#include <string>
#include <vector>

#include "cli/app.h"
#include "tests/unit/cli/fake_supervisor.h"

namespace icon::cli {

class CliTest : public ::testing::Test {
 protected:
  int icon(std::vector<std::string> arguments) {
    out_.str("");
    err_.str("");
    Context context{out_, err_, clock_};
    context.live = live_;
    context.socket = supervisor_.socket_path();
    return run_cli(std::move(arguments), context, "/nonexistent");
  }
  std::string out() const { return out_.str(); }
  std::string err() const { return err_.str(); }

  FakeSupervisor supervisor_;
  SystemClock clock_;
  bool live_ = false;

 private:
  std::ostringstream out_;
  std::ostringstream err_;
};

}  // namespace icon::cli
