// Moves of an ICON that redirects its users, whatever becomes of the redirector on the old host:
// open connections go on through the tunnel, new ones are told where to go.
#include <signal.h>

#include "tests/eventually.h"
#include "tests/lab/move_world.h"

namespace icon::lab {
namespace {

class RedirectTest : public MoveWorldTest {
 protected:
  void start_service() override {
    must(world_->run_redis(std::string(kPolicy) + "redirect: redirect\n", {}));
  }

  int redirector(const std::string& host) const {
    const auto text = read_file(world_->lab().host_directory(host) + "/run/stub/stub.pid", 64);
    return text ? std::stoi(*text) : 0;
  }
  // What a user who asks `host` in HTTP is told.
  std::string told_by(const std::string& host) {
    Command command;
    command.argv = {"curl",
                    "-s",
                    "--max-time",
                    "5",
                    "-o",
                    "/dev/null",
                    "-w",
                    "%{http_code} %{redirect_url}",
                    "http://" + address(host).to_string() + ":" + std::to_string(kRedisPort) + "/"};
    const auto outcome = world_->lab().run(client(), std::move(command));
    return outcome ? outcome->output : outcome.error().message;
  }
  void expect_led(const std::string& from, const std::string& to) {
    const auto expected =
        "307 http://" + address(to).to_string() + ":" + std::to_string(kRedisPort) + "/";
    // The supervisor looks after its redirector now and then.
    (void)icon::test::eventually([&] { return told_by(from) == expected; }, kMoveMax);
    EXPECT_EQ(told_by(from), expected);
  }
};

TEST_F(RedirectTest, TheRedirectorMayDieBeforeTheEndAndAfterIt) {
  auto users = load("a");
  const auto id = order_move("a", "b");
  wait_for_phase("a", id, "memory");
  const int first = redirector("a");
  ASSERT_GT(first, 1);
  ASSERT_EQ(kill(first, SIGKILL), 0);
  EXPECT_EQ(outcome("a", id), "done");
  expect_led("a", "b");
  const int second = redirector("a");
  EXPECT_NE(second, first);
  ASSERT_EQ(kill(second, SIGKILL), 0);
  expect_led("a", "b");
  EXPECT_NE(redirector("a"), second);
  expect_all_answered(users.stop());
  // Back home, and with nobody to lead it ends.
  EXPECT_EQ(outcome("b", order_move("b", "a")), "done");
  expect_led("b", "a");
  EXPECT_TRUE(icon::test::eventually([&] { return redirector("a") == 0; }, kMoveMax));
  EXPECT_EQ(count_damaged(data_, no_poll).value(), 0);
}

// Who is started again finds a move that is committed, and no redirector that he has prepared.
TEST_F(RedirectTest, ASourceThatDiesAtTheCommitLeavesAStub) {
  auto users = load("a");
  std::string here = "a";
  std::string there = "b";
  const auto id = order_move(here, there);
  wait_for_phase(here, id, "commit");
  must(world_->kill_supervisor("a"));
  if (const int pid = redirector("a"); pid > 1) kill(pid, SIGKILL);
  must(world_->start_supervisor("a"));
  if (expect_one_copy(id, here, there)) expect_led("a", "b");
  data_.redis.address = address(here);
  expect_all_answered(users.stop());
  EXPECT_EQ(count_damaged(data_, no_poll).value(), 0);
}

}  // namespace
}  // namespace icon::lab
