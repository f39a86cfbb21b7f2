// The load client against a small redis of its own, on loopback, that can be told to misbehave.
#include "lab/load.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <map>
#include <thread>

#include "base/fd.h"

namespace icon::lab {
namespace {

enum class Fault { kNone, kForgetAReply, kRepeatAReply, kForgetAWrite, kClose };

// Serves one connection; the fault happens at the tenth command.
class SmallRedis {
 public:
  explicit SmallRedis(Fault fault) : fault_(fault) {
    listener_.reset(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof address;
    EXPECT_EQ(bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), length), 0);
    EXPECT_EQ(listen(listener_.get(), 8), 0);
    getsockname(listener_.get(), reinterpret_cast<sockaddr*>(&address), &length);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] { serve(); });
  }
  ~SmallRedis() {
    shutdown(listener_.get(), SHUT_RDWR);
    thread_.join();
  }
  Endpoint endpoint() const { return {*Address::parse("127.0.0.1"), port_}; }

 private:
  void serve() {
    UniqueFd client(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    std::string input;
    char buffer[4096];
    ssize_t got = 0;
    while (client && (got = read(client.get(), buffer, sizeof buffer)) > 0) {
      input.append(buffer, static_cast<std::size_t>(got));
      while (const auto words = next_command(input)) {
        auto reply = answer(*words);
        ++commands_;
        if (commands_ == 10 && fault_ == Fault::kClose) return;
        if (commands_ == 10 && fault_ == Fault::kForgetAReply) reply.clear();
        if (commands_ == 10 && fault_ == Fault::kRepeatAReply) reply += reply;
        if (commands_ == 10 && fault_ == Fault::kForgetAWrite) --counter_;
        if (send(client.get(), reply.data(), reply.size(), MSG_NOSIGNAL) < 0) return;
      }
    }
  }

  static std::optional<std::vector<std::string>> next_command(std::string& input) {
    std::vector<std::string> words;
    std::size_t at = 0;
    const auto number = [&]() -> std::optional<std::size_t> {
      const auto end = input.find("\r\n", at);
      if (end == std::string::npos) return std::nullopt;
      const auto value = std::stoul(input.substr(at + 1, end - at - 1));
      at = end + 2;
      return value;
    };
    const auto count = number();
    for (std::size_t i = 0; count && i < *count; ++i) {
      const auto size = number();
      if (!size || input.size() < at + *size + 2) return std::nullopt;
      words.push_back(input.substr(at, *size));
      at += *size + 2;
    }
    if (!count) return std::nullopt;
    input.erase(0, at);
    return words;
  }

  std::string answer(const std::vector<std::string>& words) {
    if (words[0] == "INCR") return ":" + std::to_string(++counter_) + "\r\n";
    if (words[0] == "SET") {
      value_ = words[2];
      return "+OK\r\n";
    }
    return "$" + std::to_string(value_.size()) + "\r\n" + value_ + "\r\n";
  }

  Fault fault_;
  UniqueFd listener_;
  std::uint16_t port_ = 0;
  int commands_ = 0;
  long counter_ = 0;
  std::string value_;
  std::thread thread_;
};

LoadReport load_against(const SmallRedis& redis) {
  LoadOptions options;
  options.target = redis.endpoint();
  options.sources = {*Address::parse("127.0.0.1")};
  options.rate_per_s = 500;
  options.duration = Millis(100);
  options.drain_max = Millis(200);
  options.report_every = Millis(0);
  const UniqueFd output(open("/dev/null", O_WRONLY | O_CLOEXEC));
  const auto report = run_load(options, -1, output.get());
  EXPECT_TRUE(report.has_value()) << report.error().message;
  return report.value_or(LoadReport{});
}

TEST(Load, AHonestServiceIsFlawless) {
  const auto report = load_against(SmallRedis(Fault::kNone));
  EXPECT_TRUE(flawless(report));
  EXPECT_GT(report.total_replies.right, 20u);
  EXPECT_GT(report.rtt_us_p50, 0);
  EXPECT_GE(report.silence_us_max(), report.silence_any_us);
}

TEST(Load, SeesAForgottenReply) {
  const auto report = load_against(SmallRedis(Fault::kForgetAReply));
  EXPECT_EQ(report.total_replies.lost, 1u);
  EXPECT_EQ(report.alive, 1);
  EXPECT_FALSE(flawless(report));
}

TEST(Load, SeesARepeatedReply) {
  const auto report = load_against(SmallRedis(Fault::kRepeatAReply));
  EXPECT_EQ(report.total_replies.duplicated, 1u);
  EXPECT_EQ(report.total_replies.lost, 0u);
}

TEST(Load, SeesAForgottenWrite) {
  const auto report = load_against(SmallRedis(Fault::kForgetAWrite));
  EXPECT_GT(report.total_replies.wrong + report.total_replies.duplicated, 0u);
  EXPECT_FALSE(flawless(report));
}

TEST(Load, SeesABrokenConnection) {
  const auto report = load_against(SmallRedis(Fault::kClose));
  EXPECT_EQ(report.alive, 0);
  EXPECT_GT(report.total_replies.lost, 0u);
  ASSERT_FALSE(report.errors.empty());
}

TEST(Load, SaysWhyNothingConnects) {
  LoadOptions options;
  options.target = {*Address::parse("127.0.0.1"), 1};
  const auto report = run_load(options, -1, STDOUT_FILENO);
  ASSERT_FALSE(report.has_value());
  EXPECT_EQ(report.error().code, Code::kIo);
  EXPECT_NE(report.error().message.find("127.0.0.1:1"), std::string::npos);
}

}  // namespace
}  // namespace icon::lab
