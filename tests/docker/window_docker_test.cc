// The deaths of tests/lab/window_world.h, of containers that Docker owns at both ends.
#include <cstdlib>

#include "tests/docker/docker_engine.h"
#include "tests/lab/window_world.h"

namespace icon::test {
namespace {

class DockerWindowDeaths : public lab::WindowTest {
 protected:
  void change(lab::DemoWorldOptions& options) override {
    options.lab_name = "dw" + std::to_string(getpid());
    options.docker_sockets = {{"a", a_.socket()}, {"b", b_.socket()}};
  }

  void start_service() override {
    if (!is_built_) {
      start_engine(a_, "a");
      start_engine(b_, "b");
      build("agent", ICON_BIN_DIR);
      build("redis", image_context("redis"));
      is_built_ = true;
    }
    const std::string policy = world_->lab().host_directory("a") + "/policy.yaml";
    ASSERT_TRUE(write_file_atomic(policy, lab::kPolicy, 0644));
    const auto started =
        world_->run_icon("a", {"run", "--runtime", "docker", "--image", "icon-redis", "--name",
                               "redis", "--policy", policy, "-p", std::to_string(lab::kRedisPort)});
    ASSERT_TRUE(started) << started.error().message;
  }

  void TearDown() override {
    const bool may_be_left = HasFailure();
    // One runs, or none; what Docker still shows of the others is left over.
    const auto containers = a_.ask({"ps", "--all", "--quiet"}) + b_.ask({"ps", "--all", "--quiet"});
    EXPECT_TRUE(may_be_left || containers.find('\n') == std::string::npos) << containers;
    WindowTest::TearDown();
    for (auto* engine : {&a_, &b_}) {
      EXPECT_EQ(engine->stop(), "");
      EXPECT_EQ(engine->remains(), "");
    }
  }

 private:
  void start_engine(DockerEngine& engine, const std::string& host) {
    engine.add_runtime("icon", ICON_BIN_DIR "/icon-runc", {"--icon-socket", world_->socket(host)});
    const auto started = engine.start();
    ASSERT_TRUE(started) << started.error().message;
  }
  void build(const std::string& name, const std::string& context) {
    a_.ask({"build", "--quiet", "--tag", "icon-" + name, "--file",
            ICON_SOURCE_DIR "/images/" + name + "/Dockerfile", context});
  }

  DockerEngine a_{"c"};
  DockerEngine b_{"d"};
  bool is_built_ = false;
};

// In the everyday run those that differ most from a container of our own.
TEST_F(DockerWindowDeaths, OneCopyOrAClearLoss) {
  const std::vector<lab::Victim> few{lab::Victim::kDestinationHost, lab::Victim::kPages};
  run(std::getenv("ICON_DEATHS") == nullptr ? few : lab::kVictims);
}

}  // namespace
}  // namespace icon::test
