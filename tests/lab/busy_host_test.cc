// Moves on a host that has much else to do: what strangers' ICONs make its workers do must not
// reach a service that stands still.
#include <filesystem>
#include <fstream>

#include "base/http_client.h"
#include "tests/lab/move_world.h"
#include "tests/open_gate.h"

namespace icon::lab {
namespace {

using icon::test::OpenGate;

class BusyHostTest : public MoveWorldTest {
 protected:
  std::string run_dir_of(const std::string& host, const std::string& name) const {
    return run_dir(host, std::string(icon_at(host, name).at("id").as_string()));
  }
  void run_other(const std::string& host) {
    const auto said =
        world_->run_icon(host, {"run", "--name", "other", "--rootfs", world_->options().rootfs,
                                "--", "/usr/bin/redis-server", "/etc/redis/icon.conf"});
    ASSERT_TRUE(said) << said.error().message;
  }
  void remove_other(const std::string& host) {
    http::UnixRequest request;
    request.socket_path = world_->socket(host);
    request.method = "DELETE";
    request.target = "/v1/icons/other?grace_ms=5000";
    const auto answer = http::request_blocking(std::move(request));
    ASSERT_TRUE(answer && answer->status == 200) << (answer ? answer->body : "no answer");
  }
};

// The bulk worker of the source is held at another ICON's files from before the freeze until the
// move is over.
TEST_F(BusyHostTest, AFrozenServiceDoesNotWaitForBulkWork) {
  run_other("a");
  const std::string held = run_dir_of("a", "other") + "/held";
  const std::string bin = run_dir_of("a", "redis") + "/bin/held";
  std::filesystem::create_directory(held);
  std::ofstream(bin) << "x";
  OpenGate removal(held);
  OpenGate upload(bin);  // goes along with the layer, when that has been listed
  ASSERT_TRUE(removal.is_set() && upload.is_set());
  auto users = load("a");
  const auto id = order_move("a", "b");
  ASSERT_TRUE(upload.wait_for_visitor(kMoveMax));
  remove_other("a");
  ASSERT_TRUE(removal.wait_for_visitor(kMoveMax));
  upload.open();
  EXPECT_EQ(outcome("a", id), "done");
  EXPECT_EQ(icon_state("b"), "running");
  expect_all_answered(users.stop());
  removal.open();
  EXPECT_EQ(count_damaged(data_, no_poll).value(), 0);
}

}  // namespace
}  // namespace icon::lab
