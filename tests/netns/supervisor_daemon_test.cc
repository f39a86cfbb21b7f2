// The real daemon, runc, agent and kernel, on one host:
//
//   namespace icon-core-<pid>a: lo 192.0.2.10, icon-supervisor --DNAT--> veth --> ICON (echo)
#include <fcntl.h>
#include <poll.h>
#include <sys/un.h>

#include <cstring>

#include "supervisor/journal.h"
#include "tests/netns/supervisor_host.h"
#include "tests/open_gate.h"

namespace icon::test {
namespace {

constexpr const char* kEcho = R"(["icon-core-echo","echo","7000"])";

// A Docker Engine that takes every connection and never answers.
class HungEngine {
 public:
  explicit HungEngine(const std::string& path)
      : fd_(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_un place{};
    place.sun_family = AF_UNIX;
    std::strncpy(place.sun_path, path.c_str(), sizeof place.sun_path - 1);
    EXPECT_EQ(bind(fd_, reinterpret_cast<const sockaddr*>(&place), sizeof place), 0);
    EXPECT_EQ(listen(fd_, 16), 0);
  }
  HungEngine(const HungEngine&) = delete;
  HungEngine& operator=(const HungEngine&) = delete;
  ~HungEngine() { close(fd_); }
  bool is_asked() const {
    pollfd asked{fd_, POLLIN, 0};
    return poll(&asked, 1, 20'000) == 1;
  }

 private:
  int fd_;
};

supervisor::LeaseRecord active_lease(const std::string& icon, std::int64_t start_ms,
                                     std::int64_t expires_ms) {
  supervisor::LeaseRecord lease;
  lease.lease_id = "lease-1";
  lease.icon = icon;
  lease.role = "sold";
  lease.state = "active";
  lease.slot_seconds = 10;
  lease.price_ucredits = 100;
  lease.start_ms = start_ms;
  lease.expires_ms = expires_ms;
  return lease;
}

class SupervisorDaemonTest : public ::testing::Test {
 protected:
  std::string run_echo() {
    icon_ = host_.run_icon("echo", kEcho, R"(["7000:9000"])");
    EXPECT_TRUE(host_.reachable(9000));  // it has said by then what SIGTERM does
    return SupervisorHost::text(icon_, "id");
  }
  void remove(const std::string& icon, const std::string& expected_status) {
    const auto answer = host_.ask("DELETE", "/v1/icons/" + icon + "?grace_ms=5000");
    ASSERT_TRUE(answer) << answer.error().message;
    EXPECT_EQ(answer->status, 200) << answer->body;
    EXPECT_EQ(answer->body, R"({"exit_status":)" + expected_status + "}\n");
    EXPECT_EQ(host_.left_overs(), "") << host_.log();
  }

  SupervisorHost host_{"a", "192.0.2.10"};
  json::Object icon_;
};

TEST_F(SupervisorDaemonTest, RunsAContainerAndRemovesEveryTrace) {
  host_.start();
  const auto id = run_echo();
  ASSERT_FALSE(id.empty());
  EXPECT_EQ(host_.state_of("echo"), "running");
  EXPECT_EQ(host_.state_of(id.substr(0, 10)), "running");
  EXPECT_EQ(host_.get("/v1/icons").at("icons").as_array().size(), 1u);
  EXPECT_TRUE(host_.reachable(9000)) << host_.log();
  // The agent speaks through the ICON's own socket.
  EXPECT_TRUE(eventually([&] {
    const auto shown = host_.get("/v1/icons/echo");
    const auto* status = shown.if_contains("status");
    return status != nullptr && SupervisorHost::text(status->as_object(), "lifecycle") == "ACTIVE";
  })) << host_.log();
  const auto movable = host_.get("/v1/icons/echo/movable");
  EXPECT_EQ(movable.at("movable"), true) << boost::json::serialize(movable);
  EXPECT_EQ(movable.at("processes"), 2);  // the agent and the service
  const auto self = host_.ask("GET", "/v1/self", "", host_.icon_dir(id) + "/run/supervisor.sock");
  ASSERT_TRUE(self) << self.error().message;
  EXPECT_NE(self->body.find("\"icon\":\"" + id), std::string::npos);

  EXPECT_EQ(*read_file(host_.icon_dir(id) + "/bundle/rootfs/etc/resolv.conf", 1000),
            "nameserver 192.0.2.53\n");
  EXPECT_FALSE(std::filesystem::exists(host_.image() + "/etc")) << "the image was written to";
  const auto logs = host_.ask("GET", "/v1/icons/echo/logs?source=service");
  EXPECT_NE(logs->body.find("listening on 7000"), std::string::npos);
  EXPECT_NE(host_.ask("GET", "/metrics")->body.find("icon_icons{state=\"running\"} 1"),
            std::string::npos);
  remove("echo", "7");
  EXPECT_EQ(host_.dial(9000), -1);
  EXPECT_EQ(host_.get("/v1/icons").at("icons").as_array().size(), 0u);
  EXPECT_EQ(host_.stop(SIGTERM), 0);
  EXPECT_FALSE(std::filesystem::exists(host_.socket()));
}

TEST_F(SupervisorDaemonTest, KilledAndStartedAgainItAdopts) {
  host_.start();
  const auto id = run_echo();
  ASSERT_TRUE(host_.reachable(9000)) << host_.log();
  const int open_connection = host_.dial(9000);
  ASSERT_TRUE(SupervisorHost::echoes(open_connection, "before"));
  EXPECT_EQ(host_.stop(SIGKILL), 137);
  EXPECT_TRUE(SupervisorHost::echoes(open_connection, "nobody supervises"));
  EXPECT_TRUE(host_.reachable(9000));
  host_.start();
  EXPECT_TRUE(SupervisorHost::echoes(open_connection, "after"));
  EXPECT_TRUE(host_.reachable(9000));
  const auto shown = host_.get("/v1/icons/echo");
  EXPECT_EQ(SupervisorHost::text(shown, "state"), "running");
  EXPECT_EQ(shown.at("pid"), icon_.at("pid"));
  // The agent comes back by itself, and hears.
  EXPECT_TRUE(eventually([&] {
    return host_.ask("POST", "/v1/icons/echo/migrate", R"({"to":"192.0.2.99:7946"})")->status ==
           202;
  })) << host_.log();
  close(open_connection);
  remove(id, "null");  // somebody else's child by now: nobody told us
}

// A tenant may leave millions of files; one of its directories is held for all of them.
TEST_F(SupervisorDaemonTest, NobodyWaitsForTheRemovalOfAnIconsFiles) {
  host_.start();
  const std::string many = host_.icon_dir(run_echo()) + "/run/many";
  std::filesystem::create_directory(many);
  for (int i = 0; i < 2'000; ++i) std::ofstream(many + "/" + std::to_string(i)) << "x";
  const auto removed_is_empty = [&] {
    return std::filesystem::is_empty(host_.directory() + "/state/removed");
  };
  OpenGate gate(many);
  ASSERT_TRUE(gate.is_set());
  remove("echo", "7");
  ASSERT_TRUE(gate.wait_for_visitor(Millis(20'000))) << host_.log();
  EXPECT_FALSE(removed_is_empty());
  // But for what nobody else may have.
  for (const auto& entry :
       std::filesystem::directory_iterator(host_.directory() + "/state/removed"))
    EXPECT_FALSE(std::filesystem::exists(entry.path() / "run/icon.key"));
  EXPECT_EQ(host_.get("/v1/icons").at("icons").as_array().size(), 0u);
  run_echo();
  EXPECT_TRUE(host_.reachable(9000)) << host_.log();
  remove("echo", "7");
  // Killed over it, the next one goes on.
  EXPECT_EQ(host_.stop(SIGKILL), 137);
  gate.open();
  EXPECT_FALSE(removed_is_empty());
  host_.start();
  EXPECT_TRUE(eventually(removed_is_empty)) << host_.log();
  EXPECT_EQ(host_.left_overs(), "");
}

// An agent that was away when the operator let go must not stay held for ever.
TEST_F(SupervisorDaemonTest, AnAgentThatComesBackHearsWhetherItIsHeld) {
  const auto says_held = [&](bool held) {
    return eventually([&] {
      const auto status = host_.get("/v1/icons/echo").at("status");
      return status.is_object() && status.as_object().contains("held") && status.at("held") == held;
    });
  };
  host_.start();
  const auto id = run_echo();
  ASSERT_EQ(host_.ask("POST", "/v1/icons/echo/hold")->status, 200);
  ASSERT_TRUE(says_held(true)) << host_.log();
  EXPECT_EQ(host_.stop(SIGKILL), 137);
  host_.start();
  ASSERT_EQ(host_.ask("POST", "/v1/icons/echo/unhold")->status, 200);
  EXPECT_TRUE(says_held(false)) << host_.log();
  remove(id, "null");
}

TEST_F(SupervisorDaemonTest, WhatEndedWhileNobodyLookedIsFound) {
  host_.start();
  run_echo();
  host_.stop(SIGKILL);
  const auto pid = static_cast<int>(icon_.at("pid").as_int64());
  kill(pid, SIGKILL);
  ASSERT_TRUE(eventually([&] {  // its namespace goes first
    const auto stat = read_file("/proc/" + std::to_string(pid) + "/stat", 4096);
    return !stat || stat->find(") Z ") != std::string::npos;
  }));
  host_.start();
  EXPECT_EQ(host_.state_of("echo"), "failed");
  EXPECT_EQ(SupervisorHost::text(host_.get("/v1/icons/echo"), "error"),
            "ended while no supervisor ran");
  remove("echo", "null");
}

TEST_F(SupervisorDaemonTest, AServiceThatEndsFreesAllButItsLogs) {
  host_.start();
  const auto icon = host_.run_icon("short", R"(["/bin/icon-core-echo","exit","5"])", "[]");
  const auto id = SupervisorHost::text(icon, "id");
  ASSERT_TRUE(eventually([&] { return host_.state_of("short") == "stopped"; })) << host_.log();
  EXPECT_EQ(host_.get("/v1/icons/short").at("exit_status"), 5);
  EXPECT_NE(host_.ask("GET", "/v1/icons/short/logs")->body.find("ending with 5"),
            std::string::npos);
  EXPECT_EQ(host_.ask("GET", "/v1/icons/short/movable")->status, 409);
  EXPECT_EQ(host_.left_overs(), id + "\n");  // the directory with the logs
  remove("short", "5");
}

TEST_F(SupervisorDaemonTest, FailedStartsLeaveNothing) {
  host_.start();
  run_echo();
  const auto refused = [&](const std::string& body, int status, const std::string& words) {
    const auto answer = host_.ask("POST", "/v1/icons", body);
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->status, status) << answer->body;
    EXPECT_NE(answer->body.find(words), std::string::npos) << answer->body;
  };
  const std::string root = R"("rootfs":")" + host_.image() + "\"";
  refused(R"({"name":"x","rootfs":"/nowhere","command":["a"]})", 404, "/nowhere does not exist");
  refused(R"({"name":"x",)" + root + R"(,"command":["nope"]})", 400, "command nope");
  refused(R"({"name":"x",)" + root + R"(,"command":["../../bin/sh"]})", 400, "no program");
  refused(R"({"name":"x",)" + root + R"(,"command":[]})", 400, "no command");
  refused(R"({"name":"echo",)" + root + R"(,"command":["icon-core-echo"]})", 409, "named echo");
  refused(R"({"name":"x",)" + root + R"(,"command":["icon-core-echo"],"ports":["1:9000"]})", 409,
          "9000");
  refused(
      R"({"name":"x",)" + root +
          R"(,"command":["icon-core-echo"],"resources":{"cpu_millis":9000,"memory_bytes":0,"bandwidth_bps":0}})",
      413, "not enough");
  refused(R"({"name":"x","command":["a"]})", 400, "rootfs");
  refused("{", 400, "");
  remove("echo", "7");
}

TEST_F(SupervisorDaemonTest, SigtermLeavesIconsUnlessToldOtherwise) {
  host_.start();
  run_echo();
  ASSERT_TRUE(host_.reachable(9000));
  EXPECT_EQ(host_.stop(SIGTERM), 0);
  EXPECT_FALSE(std::filesystem::exists(host_.socket()));
  EXPECT_TRUE(host_.reachable(9000));
  host_.start({"--stop-icons"});
  EXPECT_EQ(host_.state_of("echo"), "running");
  EXPECT_EQ(host_.stop(SIGTERM), 0);
  EXPECT_EQ(host_.dial(9000), -1);
  host_.start();
  EXPECT_EQ(host_.state_of("echo"), "stopped");
  remove("echo", "null");
}

TEST_F(SupervisorDaemonTest, WhenItsSlotIsOverAnIconEnds) {
  host_.start();
  const auto id = run_echo();
  ASSERT_TRUE(host_.reachable(9000));
  host_.stop(SIGKILL);
  {
    // As if the ICON had moved in on a lease that has just run out.
    const auto journal = supervisor::Journal::open(host_.directory() + "/state/journal.db");
    ASSERT_TRUE(journal) << journal.error().message;
    auto icon = **(*journal)->find_icon(id);
    const auto lease = active_lease(id, icon.started_ms, icon.started_ms + 1);
    icon.lease_id = lease.lease_id;
    ASSERT_TRUE((*journal)->put_lease(lease));
    ASSERT_TRUE((*journal)->put_icon(icon));
  }
  host_.start();
  EXPECT_TRUE(eventually([&] { return host_.state_of("echo") == "failed"; })) << host_.log();
  EXPECT_EQ(SupervisorHost::text(host_.get("/v1/icons/echo"), "error"),
            "the slot of its lease is over");
  EXPECT_EQ(host_.dial(9000), -1);
  const auto leases = host_.get("/v1/leases").at("leases").as_array();
  ASSERT_EQ(leases.size(), 1u);
  EXPECT_EQ(leases.at(0).at("state"), "expired");
  EXPECT_FALSE(leases.at(0).at("receipt").as_object().empty());
  remove("echo", "null");
}

// Each container that it does not remove is waited for 60 s.
TEST_F(SupervisorDaemonTest, ADockerThatHangsKeepsNoLeaseOpen) {
  const std::string state = host_.directory() + "/state";
  const HungEngine docker(host_.directory() + "/engine.sock");
  host_.write_config("docker_socket: " + host_.directory() + "/engine.sock\n");
  std::filesystem::create_directories(state + "/docker-left-over");
  for (const char* container : {"/docker-left-over/c1", "/docker-left-over/c2"})
    std::ofstream(state + container) << "an ICON";
  {
    const auto journal = supervisor::Journal::open(state + "/journal.db");
    ASSERT_TRUE(journal) << journal.error().message;
    const auto now = SystemClock().utc_ms();
    const auto lease = active_lease(std::string(52, 'a'), now, now + 5'000);
    ASSERT_TRUE((*journal)->put_lease(lease));
  }
  host_.start();
  ASSERT_TRUE(docker.is_asked()) << host_.log();
  const auto lease_is = [&](const char* expected) {
    const auto leases = host_.get("/v1/leases").at("leases").as_array();
    return leases.size() == 1 && leases.at(0).at("state") == expected;
  };
  EXPECT_TRUE(eventually([&] { return lease_is("expired"); }, Millis(60'000))) << host_.log();
  EXPECT_TRUE(std::filesystem::exists(state + "/docker-left-over/c2"));
}

#ifdef ICON_HAS_DHT
TEST_F(SupervisorDaemonTest, AdvertisesItselfInADhtAndCarriesLookups) {
  const std::string program = std::string(ICON_BIN_DIR) + "/icon-dht";
  const auto node = [&](const std::string& name, const std::string& port,
                        const std::vector<std::string>& more) {
    ChildProcess::Options options;
    options.argv = {
        "nsenter",  "--net=/run/netns/" + host_.netns(), program, "--listen", "127.0.0.1:" + port,
        "--socket", host_.directory() + "/" + name};
    options.argv.insert(options.argv.end(), more.begin(), more.end());
    return ChildProcess::start(std::move(options));
  };
  const auto near = node("near.sock", "4222", {});
  const auto far = node("far.sock", "4223", {"--bootstrap", "127.0.0.1:4222"});
  ASSERT_TRUE(near && far);
  const std::string far_socket = host_.directory() + "/far.sock";
  ASSERT_TRUE(eventually([&] {
    const auto status = host_.ask("GET", "/v1/status", "", far_socket);
    return status && status->body.find("{\"good_nodes\":1}") == 0;
  }));
  host_.write_config("dht: {socket: " + host_.directory() + "/near.sock}\n");
  host_.start();
  const auto id = run_echo();
  ASSERT_FALSE(id.empty());
  const std::string question = R"({"keys":["192.0.2.0/24"]})";
  // Somebody far away finds this host, and so does an ICON on it.
  EXPECT_TRUE(eventually([&] {
    const auto found = host_.ask("POST", "/v1/lookups", question, far_socket);
    return found && found->body.find(host_.id()) != std::string::npos;
  })) << host_.log();
  const std::string own = host_.icon_dir(id) + "/run/supervisor.sock";
  const auto found = host_.ask("POST", "/v1/self/dht", question, own);
  ASSERT_TRUE(found) << found.error().message;
  EXPECT_NE(found->body.find(host_.id()), std::string::npos) << found->body;
  EXPECT_EQ(host_.ask("POST", "/v1/self/dht", R"({"keys":["x"]})", own)->status, 400);
  remove("echo", "7");
}
#endif

TEST_F(SupervisorDaemonTest, HostileFilesOfAnIconStayInside) {
  host_.start();
  const auto id = run_echo();
  // A container may write its run directory: a link where a log was must not be followed.
  const std::string log = host_.icon_dir(id) + "/run/log/service.log";
  std::filesystem::remove(log);
  std::filesystem::create_symlink("/etc/passwd", log);
  EXPECT_EQ(host_.ask("GET", "/v1/icons/echo/logs")->body, "");
  remove("echo", "7");
}

TEST_F(SupervisorDaemonTest, BadConfigurationsAndConflicts) {
  host_.start();
  const std::string program = std::string(ICON_BIN_DIR) + "/icon-supervisor";
  const std::string enter = "nsenter --net=/run/netns/" + host_.netns() + " ";
  const std::string config = host_.directory() + "/config.yaml";
  EXPECT_NE(run_text(program + " --config " + config + " --check-config; echo $?").find("good"),
            std::string::npos);
  EXPECT_NE(run_text(enter + program + " --config " + config + "; echo exit $?")
                .find("another icon-supervisor uses this journal"),
            std::string::npos);
  host_.write_config("capacty: {}\n");
  const auto bad = run_text(program + " --config " + config + "; echo exit $?");
  EXPECT_NE(bad.find("'capacty': no such key"), std::string::npos);
  EXPECT_NE(bad.find("exit 2"), std::string::npos);
}

}  // namespace
}  // namespace icon::test
