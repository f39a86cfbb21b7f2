// The world of the agent's tests with users and a supervisor that only talks:
//
//   user 203.0.113.2 --- relay, 10 ms each way --- 203.0.113.1 host: agent + echo service
//                                                run directory: socket of a fake supervisor
#pragma once

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <boost/json/serialize.hpp>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

#include "agent_fake_supervisor.h"
#include "base/encoding.h"
#include "base/file.h"
#include "base/netns.h"
#include "base/subprocess.h"
#include "budget/ledger/prov.h"
#include "budget/ledger/sqlite_ledger_store.h"
#include "budget/promise_record.h"
#include "lab/relay.h"

namespace icon::agent {

using ::testing::AnyOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

inline constexpr std::uint16_t kPort = 7;
inline constexpr Millis kLimit{30'000};

inline void must(std::vector<std::string> argv) {
  Command command;
  command.argv = std::move(argv);
  const auto status = run_checked_blocking(std::move(command));
  ASSERT_TRUE(status) << status.error().message;
}

// Users that send a byte and wait for its echo, again and again.
class Users {
 public:
  Users(const UniqueFd& netns, int connections) {
    const auto made = in_netns(netns, [&]() -> Status {
      for (int i = 0; i < connections; ++i) {
        UniqueFd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
        sockaddr_storage storage{};
        const socklen_t size = Address::parse("203.0.113.1")->to_sockaddr(kPort, storage);
        const timeval limit{10, 0};
        setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
        if (connect(fd.get(), reinterpret_cast<sockaddr*>(&storage), size) != 0)
          return fail_errno("connect");
        sockets_.push_back(std::move(fd));
      }
      return {};
    });
    EXPECT_TRUE(made) << made.error().message;
    thread_ = std::thread([this] { talk(); });
  }
  ~Users() {
    stop_ = true;
    thread_.join();
  }
  std::size_t connected() const { return sockets_.size(); }

 private:
  void talk() {
    while (!stop_) {
      for (const auto& fd : sockets_) {
        char byte = 'x';
        if (send(fd.get(), &byte, 1, MSG_NOSIGNAL) != 1 || recv(fd.get(), &byte, 1, 0) != 1) return;
      }
    }
  }
  std::vector<UniqueFd> sockets_;
  std::atomic<bool> stop_ = false;
  std::thread thread_;
};

class AgentSupervisorTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(geteuid(), 0U) << "this test makes network namespaces: run it as root";
    host_ = "icon-agt-" + std::to_string(getpid()) + "-host";
    user_ = "icon-agt-" + std::to_string(getpid()) + "-user";
    char directory[] = "/tmp/icon-agt-run.XXXXXX";
    ASSERT_NE(mkdtemp(directory), nullptr);
    run_dir_ = directory;
    std::filesystem::create_directory(run_dir_ + "/log");
    ASSERT_TRUE(write_file_atomic(run_dir_ + "/icon.key", hex_encode(icon_.seed()) + "\n", 0600));
    make_network();
    near_.name = "near";
    near_.api = "192.0.2.10:7946";
    liar_.name = "liar";
    liar_.api = "192.0.2.11:7946";
    liar_.lies = true;
    dear_.name = "dear";
    dear_.api = "192.0.2.12:7946";
    dear_.price_ucredits = 900'000'000;
    fake_.emplace(loop_, run_dir_ + "/supervisor.sock", icon_.public_key());
    fake_->ports = {kPort};
    for (auto* provider : {&near_, &liar_, &dear_}) fake_->providers[provider->api] = provider;
  }

  void TearDown() override {
    if (HasFailure()) {
      const auto log = read_file(run_dir_ + "/log/agent.log", 16 << 20);
      std::fprintf(stderr, "%s\n", log ? log->c_str() : "no agent.log");
    }
    users_.reset();
    agent_.reset();
    fake_.reset();
    if (relay_thread_.joinable()) {
      const std::uint64_t one = 1;
      EXPECT_EQ(write(relay_stop_.get(), &one, sizeof one), 8);
      relay_thread_.join();
    }
    relay_.reset();
    for (const auto& name : {host_, user_}) must({"ip", "netns", "delete", name});
    std::filesystem::remove_all(run_dir_);
  }

  void make_network() {
    for (const auto& name : {host_, user_}) must({"ip", "netns", "add", name});
    lab::RelayLink link;
    link.name = "wan";
    link.a = {host_, "wan"};
    link.b = {user_, "wan"};
    link.shape.delay_ms = 10;
    auto relay = lab::Relay::create({run_dir_ + "/relay.sock", {link}});
    ASSERT_TRUE(relay) << relay.error().message;
    relay_ = std::move(*relay);
    relay_stop_ = UniqueFd(eventfd(0, EFD_CLOEXEC));
    relay_thread_ = std::thread([this] { (void)relay_->run(relay_stop_.get()); });
    const auto set_up = [](const std::string& name, const std::string& address) {
      must({"ip", "-n", name, "link", "set", "lo", "up"});
      must({"ip", "-n", name, "address", "add", address, "dev", "wan"});
      must({"ip", "-n", name, "link", "set", "wan", "up"});
    };
    set_up(host_, "203.0.113.1/24");
    set_up(user_, "203.0.113.2/24");
  }

  std::string policy(const std::string& more = "") const {
    const auto provider = [](const FakeProvider& p) {
      return "  - {name: " + p.name + ", id: " + p.key.id() + ", api: \"" + p.api +
             "\", rtt: 1ms}\n";
    };
    return "latency: {objective: 5ms}\nbudget: 1\ninterval: 200ms\nrounds: 1\ncooldown: 5m\n"
           "margin: 0\nproviders:\n" +
           provider(near_) + provider(liar_) + provider(dear_) + more;
  }

  void start_agent(const std::string& policy_text) {
    std::ofstream(run_dir_ + "/policy.yaml") << policy_text;
    auto netns = open_netns(host_);
    ASSERT_TRUE(netns);
    ChildProcess::Options options;
    options.argv = {std::string(ICON_BIN_DIR) + "/icon-agent",
                    "--run-dir",
                    run_dir_,
                    "--",
                    std::string(ICON_BIN_DIR) + "/icon-agent-test-service",
                    "echo",
                    std::to_string(kPort)};
    options.before_exec = [fd = netns->get()] { return setns(fd, CLONE_NEWNET); };
    auto child = ChildProcess::start(std::move(options));
    ASSERT_TRUE(child) << child.error().message;
    agent_.emplace(std::move(*child));
    ASSERT_TRUE(fake_->run_until([&] { return fake_->connected() && fake_->statuses > 0; }));
  }
  // With its service, as the end of a container would.
  void kill_agent() {
    const std::string pid = std::to_string(agent_->pid());
    std::istringstream children(
        read_file("/proc/" + pid + "/task/" + pid + "/children", 4096).value_or(""));
    agent_->signal(SIGKILL);
    ASSERT_TRUE(agent_->wait(kLimit).has_value());
    for (pid_t child = 0; children >> child;) kill(child, SIGKILL);
    ASSERT_TRUE(fake_->run_until([&] { return !fake_->connected(); }));
    fake_->statuses = 0;
  }
  void start_users(int connections) {
    auto netns = open_netns(user_);
    ASSERT_TRUE(netns);
    ASSERT_TRUE(fake_->run_until([&] { return listens(); }));
    users_.emplace(*netns, connections);
  }
  bool listens() const {
    Command command;
    command.argv = {"ip", "netns", "exec", host_, "ss", "-Htln"};
    const auto outcome = run_command_blocking(std::move(command));
    return outcome && outcome->output.find(":7 ") != std::string::npos;
  }

  // What the agent has open, by name.
  std::vector<std::string> descriptors() const {
    std::vector<std::string> names;
    const std::string folder = "/proc/" + std::to_string(agent_->pid()) + "/fd";
    for (const auto& entry : std::filesystem::directory_iterator(folder)) {
      std::error_code gone;
      const auto target = std::filesystem::read_symlink(entry.path(), gone);
      if (!gone) names.push_back(target.string());
    }
    return names;
  }
  std::ptrdiff_t sockets() const {
    const auto names = descriptors();
    return std::count_if(names.begin(), names.end(),
                         [](const auto& name) { return name.starts_with("socket:"); });
  }
  std::string lifecycle() const {
    return fake_->status.contains("lifecycle")
               ? std::string(fake_->status.at("lifecycle").as_string())
               : "";
  }
  std::int64_t purse(const char* field) const {
    return fake_->status.contains("purse")
               ? fake_->status.at("purse").as_object().at(field).as_int64()
               : -1;
  }
  std::string log_text() const {
    const auto log = read_file(run_dir_ + "/log/agent.log", 16 << 20);
    return log ? *log : "";
  }
  void expect_only_travelling_descriptors() const {
    // The end of the connection is the acknowledgement: nothing may be closed later than that.
    for (const auto& name : descriptors())
      EXPECT_THAT(name,
                  AnyOf("/dev/null", StartsWith(run_dir_ + "/log/"), StartsWith("pipe:"),
                        "anon_inode:[eventpoll]", "anon_inode:[eventfd]", "anon_inode:[timerfd]"));
    EXPECT_LE(descriptors().size(), 12U);
  }

  // Its ledger, proved, with a valid provenance: how many documents there are of each kind.
  std::map<std::string, std::int64_t> ledger() const {
    auto store = budget::ledger::SqliteLedgerStore::open(run_dir_ + "/state/ledger.db");
    EXPECT_TRUE(store) << store.error().message;
    budget::ledger::Report report;
    if (!store) return {};
    const auto entries = budget::ledger::verified_entries(*store, report);
    EXPECT_TRUE(entries) << entries.error().message;
    if (!entries) return {};
    const auto valid = budget::ledger::check_prov(budget::ledger::to_prov(*entries));
    EXPECT_TRUE(valid) << valid.error().message;
    for (const auto& entry : *entries)
      if (const auto event = wire::LifeEvent::from_json(entry.document.body))
        ++report.types[std::string(to_string(event->activity))];
    return report.types;
  }

  std::string host_;
  std::string user_;
  std::string run_dir_;
  IoContext loop_{1};
  KeyPair icon_ = KeyPair::generate();
  FakeProvider near_, liar_, dear_;
  std::optional<FakeSupervisor> fake_;
  std::unique_ptr<lab::Relay> relay_;
  UniqueFd relay_stop_;
  std::thread relay_thread_;
  std::optional<ChildProcess> agent_;
  std::optional<Users> users_;
};

}  // namespace icon::agent
