// A service whose checkpoint is larger than the slot that was bought for it. The images lie on a
// tmpfs of the destination, which is in no ICON's cgroup.
#include <gtest/gtest.h>

#include <boost/json/serialize.hpp>

#include "base/file.h"
#include "lab/load_client.h"
#include "tests/eventually.h"
#include "tests/lab/world_fixture.h"

namespace icon::lab {
namespace {

constexpr const char* kPolicy =
    "latency: {objective: 1s}\n"  // no moves of its own
    "slot: {memory: 64MiB}\n"
    "budget: 5.0\n";
// Open files without a name travel in the images: 540 MiB of them, where four times the slot's
// memory and 256 MiB are allowed.
constexpr const char* kService =
    "import http.server as h\n"
    "import os\n"
    "files = []\n"
    "for i in range(9):\n"
    "    files.append(open('/gone', 'wb'))\n"
    "    os.unlink('/gone')\n"
    "    for _ in range(60): files[-1].write(b'x' * (1 << 20))\n"
    "    files[-1].flush()\n"
    "os.chdir('/srv')\n"
    "h.SimpleHTTPRequestHandler.protocol_version = 'HTTP/1.1'\n"
    "h.ThreadingHTTPServer(('', 8000), h.SimpleHTTPRequestHandler).serve_forever()\n";
constexpr std::uint16_t kPort = 8000;
constexpr Millis kServedMax{60'000};

class SmallSlotTest : public WorldTest {
 protected:
  void SetUp() override {
    DemoWorldOptions options;
    options.topology_text =
        read_file(ICON_SOURCE_DIR "/lab/topologies/three-hosts.yaml", 1 << 16).value();
    options.rootfs = ICON_SERVICE_ROOTS "/python";
    options.origin = "a";
    bring_up("ss", std::move(options));
  }
  void expect_served(const std::string& host) {
    LoadOptions options;
    options.target = {address(host), kPort};
    options.sources = world_->lab().users("client").value();
    options.connections = 2;
    options.protocol.name = "http";
    EXPECT_TRUE(icon::test::eventually(
        [&] {
          auto users = LoadClient::start(world_->lab(), "client", options);
          const auto report = users ? users->stop() : Result<LoadReport>(fail(users.error()));
          return report && report->total_replies.right > 0;
        },
        kServedMax));
  }
  static bool is_empty(const std::string& directory) {
    return !std::filesystem::exists(directory) || std::filesystem::is_empty(directory);
  }
};

TEST_F(SmallSlotTest, ImagesBeyondWhatTheSlotAllowsAreRefusedAndNothingStays) {
  const std::string policy = world_->lab().host_directory("a") + "/policy.yaml";
  ASSERT_TRUE(write_file_atomic(policy, kPolicy, 0644));
  const auto begun = world_->run_icon(
      "a", {"run", "--name", "large", "--rootfs", world_->options().rootfs, "--policy", policy,
            "-p", std::to_string(kPort), "--", "/usr/bin/python3", "-c", kService});
  ASSERT_TRUE(begun) << begun.error().message;
  expect_served("a");
  const auto said =
      world_->run_icon("a", {"migrate", "large", "--to", address("b").to_string() + ":7946"});
  ASSERT_FALSE(said) << *said;
  const auto migrations = world_->get("a", "/v1/migrations")->at("migrations").as_array();
  ASSERT_EQ(migrations.size(), 1u);
  const auto& move = migrations.at(0).as_object();
  EXPECT_EQ(move.at("state"), "rolled_back");
  EXPECT_EQ(
      move.at("error"),
      "part 'checkpoint' of the archive holds more than 536870912 bytes, the limit of a slot of "
      "67108864 bytes of memory");
  expect_served("a");
  const std::string there = world_->lab().host_directory("b");
  EXPECT_TRUE(is_empty(there + "/state/icons"));
  EXPECT_TRUE(is_empty(there + "/run/checkpoints"));
}

}  // namespace
}  // namespace icon::lab
