// images/ with a real Docker Engine and no registry: every Dockerfile builds with the commands at
// its head, and runs with the agent in its two lines.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "tests/docker/docker_engine.h"
#include "tests/eventually.h"

namespace icon::test {
namespace {

using ::testing::HasSubstr;

std::string dockerfile(const std::string& name) {
  return ICON_SOURCE_DIR "/images/" + name + "/Dockerfile";
}

class DockerImagesTest : public ::testing::Test {
 protected:
  // One engine for all: it takes a second to start.
  static void SetUpTestSuite() {
    engine_ = new DockerEngine("i");
    const auto started = engine_->start();
    ASSERT_TRUE(started) << started.error().message;
    build("agent", ICON_BIN_DIR);
  }
  static void TearDownTestSuite() {
    EXPECT_EQ(engine_->stop(), "");
    EXPECT_EQ(engine_->remains(), "");
    delete std::exchange(engine_, nullptr);
  }
  void SetUp() override { ASSERT_EQ(geteuid(), 0u) << "dockerd needs root"; }

  static void build(const std::string& name, const std::string& context) {
    engine_->ask(
        {"build", "--quiet", "--tag", "icon-" + name, "--file", dockerfile(name), context});
  }
  // Starts the image's own command in the background, with the loopback for a network.
  static std::string start(const std::string& name) {
    build(name, image_context(name));
    return run_detached(name);
  }
  static std::string run_detached(const std::string& name) {
    return engine_->ask({"run", "--detach", "--network", "none", "icon-" + name});
  }
  static std::string exit_code(const std::string& container) {
    return engine_->ask({"wait", container});
  }
  // A request to a service, made by python3 inside its own container.
  static std::string fetch(const std::string& container, const std::string& url) {
    return engine_->ask(
        {"exec", container, "/usr/bin/python3", "-c",
         "import urllib.request; print(urllib.request.urlopen('" + url + "').read().decode())"});
  }

  static DockerEngine* engine_;
};
DockerEngine* DockerImagesTest::engine_ = nullptr;

TEST_F(DockerImagesTest, TheAgentIsAnImageOfItsOwn) {
  EXPECT_THAT(
      engine_->ask({"run", "--rm", "--network", "none", "icon-agent", "/icon-agent", "--version"}),
      HasSubstr("icon-agent "));
  const auto absent =
      engine_->docker({"run", "--rm", "--network", "none", "icon-agent", "/no/such/program"});
  EXPECT_EQ(absent.exit_status, 127);
  EXPECT_THAT(absent.error_output, HasSubstr("/no/such/program"));
}

TEST_F(DockerImagesTest, RedisServesAndStops) {
  const auto redis = start("redis");
  ASSERT_TRUE(engine_->said(redis, "Ready to accept connections"));
  EXPECT_EQ(engine_->ask({"exec", redis, "redis-cli", "ping"}), "PONG");
  const auto logs = engine_->docker({"logs", redis});
  EXPECT_THAT(logs.error_output, HasSubstr("no supervisor here")) << "said once, by the agent";
  EXPECT_THAT(engine_->ask({"top", redis}), HasSubstr("/icon-agent -- /usr/bin/redis-server"));
  engine_->ask({"stop", "--time", "20", redis});
  EXPECT_EQ(exit_code(redis), "0") << "SIGTERM reached redis";
}

TEST_F(DockerImagesTest, OutputExitCodesAndSignalsPass) {
  build("httpd", image_context("httpd"));
  const auto python = [](std::vector<std::string> options, const std::string& program) {
    options.insert(options.begin(), {"run", "--network", "none"});
    options.insert(options.end(), {"icon-httpd", "/usr/bin/python3", "-c", program});
    return engine_->docker(options);
  };
  const auto outcome = python({"--rm"},
                              "import os, sys\n"
                              "os.write(1, b'to-out\\n'); os.write(2, b'to-err\\n'); sys.exit(7)");
  EXPECT_EQ(outcome.exit_status, 7);
  EXPECT_EQ(outcome.output, "to-out\n");
  EXPECT_THAT(outcome.error_output, HasSubstr("to-err\n"));
  const auto named = python({"--detach", "--name", "waiting"},
                            "import os, signal\n"
                            "signal.signal(signal.SIGHUP, lambda *_: os._exit(42))\n"
                            "print('ready', flush=True); signal.pause()");
  ASSERT_TRUE(named.ok()) << named.error_output;
  ASSERT_TRUE(engine_->said("waiting", "ready"));
  engine_->ask({"kill", "--signal", "HUP", "waiting"});
  EXPECT_EQ(exit_code("waiting"), "42");
  EXPECT_EQ(python({"--rm"}, "import os; os.kill(os.getpid(), 11)").exit_status, 128 + SIGSEGV);
}

TEST_F(DockerImagesTest, HttpdCounts) {
  const auto httpd = start("httpd");
  const auto served = [&] {
    return engine_
        ->docker({"exec", httpd, "/usr/bin/python3", "-c",
                  "import socket; socket.create_connection(('127.0.0.1', 8080))"})
        .ok();
  };
  ASSERT_TRUE(eventually(served));
  EXPECT_THAT(fetch(httpd, "http://127.0.0.1:8080/"), HasSubstr("{\"count\": 1, "));
  EXPECT_THAT(fetch(httpd, "http://127.0.0.1:8080/"), HasSubstr("{\"count\": 2, "));
}

TEST_F(DockerImagesTest, NginxHasItsWorkers) {
  const auto nginx = start("nginx");
  const auto workers = [&] {
    const auto tree = engine_->ask({"top", nginx});
    std::size_t count = 0;
    for (auto at = tree.find("nginx: worker process"); at != std::string::npos;
         at = tree.find("nginx: worker process", at + 1))
      ++count;
    return count;
  };
  EXPECT_TRUE(eventually([&] { return workers() == 4; }));
  engine_->ask({"stop", nginx});
  EXPECT_EQ(exit_code(nginx), "0");
}

TEST_F(DockerImagesTest, APythonServiceOnALocalBase) {
  const auto imported =
      engine_->docker({"import", image_context("python") + "/base.tar", "icon-python-base"});
  ASSERT_TRUE(imported.ok()) << imported.error_output;
  build("python", ICON_SOURCE_DIR "/images/python");
  const auto python = run_detached("python");
  ASSERT_TRUE(engine_->said(python, "listening on port 7000"));
  EXPECT_EQ(engine_->ask({"exec", python, "/usr/bin/python3", "-c",
                          "import socket; s = socket.create_connection(('127.0.0.1', 7000)); f = "
                          "s.makefile('rw'); f.write('a\\nb\\n'); f.flush(); "
                          "print(f.readline() + f.readline(), end='')"}),
            "1 a\n2 b");
}

TEST_F(DockerImagesTest, ANodeServiceCounts) {
  const auto node = start("node");
  ASSERT_TRUE(engine_->said(node, "listening on port 8081"));
  EXPECT_EQ(engine_->ask({"exec", node, "/usr/bin/node", "-e",
                          "fetch('http://127.0.0.1:8081/').then(r => r.text()).then(t => "
                          "process.stdout.write(t))"}),
            "{\"count\":1}");
  engine_->ask({"stop", node});
  EXPECT_EQ(exit_code(node), "0");
}

}  // namespace
}  // namespace icon::test
