// A user follows a redirection from the old host to the new one; a slowloris does not stop it.
//
//   user 10.77.1.2, .3 --- 10.77.1.1 old host 10.77.2.1 --- 10.77.2.2 new host
//                          nft: 80, 8081 -> icon-stub        python3 -m http.server on 8080
#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <boost/asio/co_spawn.hpp>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "base/netns.h"
#include "base/subprocess.h"
#include "stub/client_limits.h"
#include "stub/stub_process.h"

namespace icon::stub {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr Millis kSlowLimit{5'000};  // RedirectorSettings::request_max
constexpr int kAttackers = 100;

template <class T>
T run(IoContext& loop, Task<T> task) {
  std::optional<T> outcome;
  boost::asio::co_spawn(loop, std::move(task), [&](std::exception_ptr exception, T value) {
    if (!exception) outcome.emplace(std::move(value));
  });
  loop.restart();
  loop.run();
  return std::move(*outcome);
}

Result<CommandOutcome> sh(std::vector<std::string> argv, std::string input = {}) {
  Command command;
  command.argv = std::move(argv);
  command.input = std::move(input);
  return run_command_blocking(std::move(command));
}

class StubRedirectTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(geteuid(), 0u) << "this test makes network namespaces: run it as root";
    const std::string prefix = "icst" + std::to_string(getpid()) + "-";
    user_ = prefix + "user";
    old_ = prefix + "old";
    new_ = prefix + "new";
    char directory[] = "/tmp/icst-redirect.XXXXXX";
    ASSERT_NE(mkdtemp(directory), nullptr);
    directory_ = directory;
    for (const auto& name : {user_, old_, new_}) must({"ip", "netns", "add", name});
    link(user_, "10.77.1.2/24", old_, "10.77.1.1/24");
    link(new_, "10.77.2.2/24", old_, "10.77.2.1/24");
    in(user_, {"ip", "address", "add", "10.77.1.3/24", "dev", "to-old"});
    in(user_, {"ip", "route", "add", "default", "via", "10.77.1.1"});
    in(new_, {"ip", "route", "add", "default", "via", "10.77.2.1"});
    in(old_, {"sysctl", "-qw", "net.ipv4.ip_forward=1"});
    start_service();
    start_stub();
  }

  void TearDown() override {
    stub_.stop();
    service_.reset();
    for (const auto& name : {user_, old_, new_}) (void)sh({"ip", "netns", "delete", name});
    std::filesystem::remove_all(directory_);
  }

  static void must(std::vector<std::string> argv, std::string input = {}) {
    const auto name = argv[0] + ' ' + argv.back();
    const auto outcome = sh(std::move(argv), std::move(input));
    ASSERT_TRUE(outcome) << outcome.error().message;
    ASSERT_TRUE(outcome->ok()) << name << ": " << outcome->error_output;
  }
  static void in(const std::string& netns, std::vector<std::string> argv, std::string input = {}) {
    std::vector<std::string> whole{"ip", "netns", "exec", netns};
    whole.insert(whole.end(), argv.begin(), argv.end());
    must(std::move(whole), std::move(input));
  }
  static void link(const std::string& leaf, const std::string& leaf_address, const std::string& hub,
                   const std::string& hub_address) {
    const auto hub_end = "to-" + leaf.substr(leaf.rfind('-') + 1);
    must({"ip", "-n", leaf, "link", "add", "to-old", "type", "veth", "peer", "name", hub_end,
          "netns", hub});
    for (const auto& [netns, device, address] :
         {std::tuple(leaf, std::string("to-old"), leaf_address),
          std::tuple(hub, hub_end, hub_address)}) {
      must({"ip", "-n", netns, "address", "add", address, "dev", device});
      must({"ip", "-n", netns, "link", "set", device, "up"});
      must({"ip", "-n", netns, "link", "set", "lo", "up"});
    }
  }

  void start_service() {
    std::ofstream(directory_ + "/hello.txt") << "served by the new host\n";
    ChildProcess::Options options;
    options.argv = {"ip", "netns",       "exec",        new_,       "python3",
                    "-m", "http.server", "--directory", directory_, "8080"};
    auto started = ChildProcess::start(std::move(options));
    ASSERT_TRUE(started) << started.error().message;
    service_.emplace(std::move(*started));
    in(new_, {"curl", "-s", "-o", "/dev/null", "--retry", "50", "--retry-connrefused",
              "--retry-delay", "1", "--max-time", "20", "http://10.77.2.2:8080/hello.txt"});
  }

  void start_stub() {
    StubOptions options;
    options.program = ICON_BIN_DIR "/icon-stub";
    options.run_directory = directory_ + "/run";
    std::filesystem::create_directory(options.run_directory);
    options.listen = *Endpoint::parse("0.0.0.0:0");
    const auto netns = open_netns(old_);
    ASSERT_TRUE(netns);
    const auto status = in_netns(*netns, [&]() -> Status {
      ICON_TRY(stub_, run(loop_, StubProcess::start(options)));
      return {};
    });
    ASSERT_TRUE(status) << status.error().message;
    in(old_, {"nft", "-f", "-"},
       "table ip icst {\n chain pre {\n  type nat hook prerouting priority dstnat;\n"
       "  tcp dport { 80, 8081 } redirect to :" +
           std::to_string(stub_.port()) + "\n }\n}\n");
    const auto end = SystemClock().utc_ms() + 60'000;
    const auto routed = run(loop_, stub_.set_routes({{"first", 80, "10.77.2.2", 8080, end},
                                                     {"second", 8081, "10.77.2.9", 81, end}}));
    ASSERT_TRUE(routed) << routed.error().message;
  }

  std::string curl(std::vector<std::string> arguments) {
    std::vector<std::string> argv{"ip", "netns", "exec", user_, "curl", "-s", "--max-time", "8"};
    argv.insert(argv.end(), arguments.begin(), arguments.end());
    const auto outcome = sh(std::move(argv));
    return outcome ? outcome->output : outcome.error().message;
  }

  std::string user_, old_, new_, directory_;
  IoContext loop_{1};
  std::optional<ChildProcess> service_;
  StubProcess stub_;
};

TEST_F(StubRedirectTest, AUserFollowsToTheNewHost) {
  EXPECT_EQ(
      curl({"-L", "-w", "%{num_redirects} %{url_effective}", "http://10.77.1.1/hello.txt?x=1"}),
      "served by the new host\n1 http://10.77.2.2:8080/hello.txt?x=1");
}

TEST_F(StubRedirectTest, EachDialledPortHasItsOwnTarget) {
  EXPECT_THAT(curl({"-i", "http://10.77.1.1:8081/a"}),
              HasSubstr("Location: http://10.77.2.9:81/a\r\n"));
  EXPECT_THAT(curl({"-i", "http://10.77.1.1/a"}),
              HasSubstr("Location: http://10.77.2.2:8080/a\r\n"));
}

TEST_F(StubRedirectTest, AnUploadKeepsItsMethod) {
  // http.server answers a POST with 501: that it was asked at all, by POST, is the point.
  EXPECT_THAT(curl({"-i", "-L", "-d", "a=b", "http://10.77.1.1/form"}),
              HasSubstr("501 Unsupported method ('POST')"));
}

TEST_F(StubRedirectTest, ASlowlorisStopsNobodyElseAndIsCutOff) {
  const auto netns = open_netns(user_);
  ASSERT_TRUE(netns);
  std::vector<UniqueFd> attackers;
  ASSERT_TRUE(in_netns(*netns, [&]() -> Status {
    sockaddr_in target{};
    target.sin_family = AF_INET;
    target.sin_port = htons(80);
    inet_pton(AF_INET, "10.77.1.1", &target.sin_addr);
    for (int i = 0; i < kAttackers; ++i) {
      UniqueFd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
      if (connect(fd.get(), reinterpret_cast<sockaddr*>(&target), sizeof target) != 0)
        return fail_errno("connect");
      (void)!send(fd.get(), "GET / HT", 8, MSG_NOSIGNAL);
      attackers.push_back(std::move(fd));
    }
    return {};
  }));
  const auto statistics = run(loop_, stub_.statistics());
  ASSERT_TRUE(statistics);
  EXPECT_LE(statistics->open, ClientLimitSettings{}.connections_per_client_max);
  EXPECT_THAT(curl({"-L", "--interface", "10.77.1.3", "http://10.77.1.1/hello.txt"}),
              StartsWith("served by the new host"));
  // Each attacker, the last as the first, is closed by the limit for one request.
  const auto started = std::chrono::steady_clock::now();
  for (const auto& fd : attackers) {
    pollfd closed{fd.get(), POLLIN, 0};
    EXPECT_EQ(poll(&closed, 1, static_cast<int>(2 * kSlowLimit.count())), 1);
    char byte = 0;
    EXPECT_LE(recv(fd.get(), &byte, 1, 0), 0);
  }
  EXPECT_LT(std::chrono::steady_clock::now() - started, 2 * kSlowLimit);
}

}  // namespace
}  // namespace icon::stub
