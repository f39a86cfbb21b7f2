#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <filesystem>
#include <memory>
#include <thread>
#include <vector>

#include "supervisor/tunnel/device_control.h"

namespace icon::tunnel {
namespace {

class ControlTest : public ::testing::Test {
 protected:
  ControlTest() {
    char pattern[] = "/tmp/icon-control-XXXXXX";
    directory_ = mkdtemp(pattern);
    path_ = directory_ + "/wg0.sock";
  }
  ~ControlTest() override { std::filesystem::remove_all(directory_); }

  SystemClock clock_;
  std::string directory_;
  std::string path_;
};

// 0, or connect's error.
int knock(const std::string& path) {
  UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::copy(path.begin(), path.end(), address.sun_path);
  return connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0 ? 0 : errno;
}

// A socket that refuses is one that wg unlinks: for good.
TEST_F(ControlTest, NobodyIsRefusedWhileItComes) {
  std::atomic<bool> done = false;
  std::atomic<int> refused = 0;
  std::atomic<int> connected = 0;
  std::thread visitor([&] {
    while (!done) {
      const int error = knock(path_);
      refused += error == ECONNREFUSED;
      connected += error == 0;
    }
  });
  // The last one's name is the next one's.
  std::vector<std::unique_ptr<ControlServer>> servers;
  for (int i = 0; i < 300; ++i) {
    auto server = ControlServer::create(path_, clock_, [](auto) { return "errno=0\n\n"; });
    EXPECT_TRUE(server);
    if (server) servers.push_back(std::move(*server));
  }
  done = true;
  visitor.join();
  EXPECT_EQ(refused, 0);
  EXPECT_GT(connected, 0);
  servers.clear();
  EXPECT_TRUE(std::filesystem::is_empty(directory_));
}

TEST_F(ControlTest, OnlyItsOwnerMaySpeakToIt) {
  const auto server = ControlServer::create(path_, clock_, [](auto) { return ""; });
  ASSERT_TRUE(server);
  EXPECT_EQ(std::filesystem::status(path_).permissions(), std::filesystem::perms(0600));
}

TEST_F(ControlTest, APathThatNoSocketCanHaveIsRefused) {
  const auto server = ControlServer::create(directory_ + "/" + std::string(100, 'x'), clock_,
                                            [](auto) { return ""; });
  ASSERT_FALSE(server);
  EXPECT_EQ(server.error().code, Code::kInvalid);
}

}  // namespace
}  // namespace icon::tunnel
