// The agent is PID 1 of what CRIU dumps: it closes what cannot travel, is dumped and restored with
// its service, finds the supervisor of the new place, and still knows everything.
//
//   runc: PID and network namespace, /icon-agent -- /service count /run/icon/count
//   run directory: socket of a fake supervisor (first "far", after the restore "near")
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mount.h>
#include <unistd.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/json/serialize.hpp>
#include <filesystem>
#include <fstream>

#include "agent_fake_supervisor.h"
#include "base/encoding.h"
#include "base/file.h"
#include "base/subprocess.h"
#include "migration/criu_checkpointer.h"
#include "supervisor/cgroup.h"

namespace icon::agent {
namespace {

namespace fs = std::filesystem;
using supervisor::Cgroup;
using ::testing::HasSubstr;
using ::testing::Not;

const std::string kPrograms = ICON_BIN_DIR;

void must(const Status& status) { ASSERT_TRUE(status) << (status ? "" : status.error().message); }

Command command(std::vector<std::string> argv) {
  Command result;
  result.argv = std::move(argv);
  return result;
}

json::Array texts(std::initializer_list<const char*> values) {
  json::Array array;
  for (const char* value : values) array.emplace_back(value);
  return array;
}

class AgentCheckpointTest : public ::testing::Test {
 public:  // the test hands it to a coroutine
  void SetUp() override {
    ASSERT_EQ(geteuid(), 0U) << "this test dumps processes: run it as root";
    char base[] = "/tmp/icon-agt-criu.XXXXXX";
    char images[] = "/dev/shm/icon-agt-criu.XXXXXX";
    ASSERT_NE(mkdtemp(base), nullptr);
    ASSERT_NE(mkdtemp(images), nullptr);
    base_ = base;
    images_ = images;
    tag_ = "icon-agt-criu-" + std::to_string(getpid());
    root_ = base_ + "/bundle/rootfs";
    for (const char* folder : {"proc", "dev", "run/icon"})
      fs::create_directories(root_ + "/" + folder);
    fs::create_directories(base_ + "/run/log");
    fs::copy_file(kPrograms + "/icon-agent", root_ + "/icon-agent");
    fs::copy_file(kPrograms + "/icon-agent-test-service", root_ + "/service");
    must(write_file_atomic(base_ + "/run/icon.key", hex_encode(icon_.seed()) + "\n", 0600));
    std::ofstream(base_ + "/run/policy.yaml") << "budget: 1\nwatch: [7]\n";
    std::ofstream(base_ + "/bundle/config.json") << boost::json::serialize(config());
    must(run_checked_blocking(command({"ip", "netns", "add", tag_})));
    // CRIU wants the root to be a mount.
    ASSERT_EQ(mount(root_.c_str(), root_.c_str(), nullptr, MS_BIND, nullptr), 0);
    auto cgroup = Cgroup::at("/" + tag_);
    ASSERT_TRUE(cgroup) << cgroup.error().message;
    cgroup_.emplace(std::move(*cgroup));
    near_.name = "near";
    near_.api = "192.0.2.10:7946";
    fake_.emplace(loop_, base_ + "/run/supervisor.sock", icon_.public_key());
    fake_->providers[near_.api] = &near_;
    start();
  }

  void TearDown() override {
    if (HasFailure()) std::fprintf(stderr, "%s\n", log_text().c_str());
    run([](AgentCheckpointTest& test) -> Task<void> { (void)co_await test.cgroup_->kill_all(); });
    (void)run_command_blocking(command(runc({"delete", "--force", tag_})));
    run([](AgentCheckpointTest& test) -> Task<void> { must(co_await test.cgroup_->remove()); });
    fake_.reset();
    EXPECT_EQ(umount2(root_.c_str(), MNT_DETACH), 0);
    must(run_checked_blocking(command({"ip", "netns", "delete", tag_})));
    fs::remove_all(images_);
    fs::remove_all(base_);
  }

  void run(Task<void> (*task)(AgentCheckpointTest&)) {
    bool ended = false;
    boost::asio::co_spawn(loop_, task(*this), [&](std::exception_ptr error) {
      ended = true;
      if (error) std::rethrow_exception(error);
    });
    EXPECT_TRUE(fake_->run_until([&] { return ended; }, Millis(60'000)));
  }

  std::vector<std::string> runc(std::vector<std::string> arguments) const {
    arguments.insert(arguments.begin(), {"runc", "--root", base_ + "/runc"});
    return arguments;
  }
  void start() {
    Command create = command(runc(
        {"run", "--detach", "--bundle", base_ + "/bundle", "--pid-file", base_ + "/pid", tag_}));
    create.discard_output = true;
    must(run_checked_blocking(std::move(create)));
    pid_ = std::stoi(read_file(base_ + "/pid", 32).value());
  }

  json::Object config() const {
    const json::Array mounts{
        json::Object{{"destination", "/proc"}, {"type", "proc"}, {"source", "proc"}},
        json::Object{{"destination", "/dev"},
                     {"type", "tmpfs"},
                     {"source", "tmpfs"},
                     {"options", texts({"nosuid", "mode=755"})}},
        json::Object{{"destination", "/run/icon"},
                     {"type", "bind"},
                     {"source", base_ + "/run"},
                     {"options", texts({"bind", "rw"})}}};
    json::Array namespaces;
    for (const char* type : {"pid", "ipc", "uts", "mount"})
      namespaces.push_back(json::Object{{"type", type}});
    namespaces.push_back(json::Object{{"type", "network"}, {"path", "/run/netns/" + tag_}});
    return {{"ociVersion", "1.0.2"},
            {"process", json::Object{{"user", json::Object{{"uid", 0}, {"gid", 0}}},
                                     {"args", texts({"/icon-agent", "--", "/service", "count",
                                                     "/run/icon/count"})},
                                     {"env", texts({"PATH=/"})},
                                     {"cwd", "/"},
                                     {"noNewPrivileges", true}}},
            {"root", json::Object{{"path", "rootfs"}}},
            {"mounts", mounts},
            {"linux", json::Object{{"cgroupsPath", "/" + tag_}, {"namespaces", namespaces}}}};
  }

  migration::DumpRequest dump_request() const {
    return {pid_,
            images_ + "/images",
            images_,
            cgroup_->freezer_directory(),
            {{"/run/icon", "iconrun", base_ + "/run"}}};
  }
  migration::RestoreRequest restore_request() const {
    migration::RestoreRequest request{
        images_ + "/images",  images_, root_,
        "/run/netns/" + tag_, {},      {{"/run/icon", "iconrun", base_ + "/run"}}};
    for (const auto& directory : cgroup_->directories())
      request.cgroup_procs_files.push_back(directory + "/cgroup.procs");
    return request;
  }
  long count() const {
    const auto text = read_file(base_ + "/run/count", 64);
    return text && !text->empty() ? std::stol(*text) : -1;
  }
  std::string log_text() const {
    const auto log = read_file(base_ + "/run/log/agent.log", 1 << 20);
    return log ? *log : "";
  }
  std::string lifecycle() const {
    const auto* value = fake_->status.if_contains("lifecycle");
    return value != nullptr ? std::string(value->as_string()) : "";
  }
  std::size_t descriptors() const {
    return static_cast<std::size_t>(std::distance(
        fs::directory_iterator("/proc/" + std::to_string(pid_) + "/fd"), fs::directory_iterator()));
  }

  std::string base_, images_, tag_, root_;
  int pid_ = 0;
  IoContext loop_{1};
  KeyPair icon_ = KeyPair::generate();
  FakeProvider near_;
  std::optional<FakeSupervisor> fake_;
  std::optional<Cgroup> cgroup_;
  migration::CriuCheckpointer checkpointer_{{ICON_CRIU, kPrograms + "/icon-criu-hold"}};
};

TEST_F(AgentCheckpointTest, GoesOnWhereItIsRestored) {
  fake_->quiesce_on_order = false;
  ASSERT_TRUE(fake_->run_until([&] { return fake_->connected() && count() > 0; }));
  // It owes money when it is frozen: that must not be forgotten.
  fake_->send({{"event", "migrate"}, {"to", near_.api}, {"reason", "operator"}});
  ASSERT_TRUE(fake_->run_until([&] { return fake_->orders.size() == 1; }));
  const std::string migration = fake_->orders[0].migration_id;
  fake_->send({{"event", "quiesce"}, {"migration", migration}});
  ASSERT_TRUE(fake_->run_until([&] { return !fake_->connected(); }));
  EXPECT_LE(descriptors(), 12U);

  run([](AgentCheckpointTest& test) -> Task<void> {
    must(make_directories(test.images_ + "/images", 0700));
    must(co_await test.checkpointer_.prepare(test.images_));
    must(co_await test.cgroup_->freeze());
    const auto dumped = co_await test.checkpointer_.dump(test.dump_request());
    must(dumped ? Status{} : Status(fail(dumped.error())));
    must(co_await test.cgroup_->kill_all());
  });
  const long at_dump = count();
  fake_->become(near_);
  run([](AgentCheckpointTest& test) -> Task<void> {
    const auto prepared = co_await test.checkpointer_.prepare_restore(test.restore_request());
    must(prepared ? Status{} : Status(fail(prepared.error())));
    auto held = co_await (*prepared)->restore();
    must(held ? Status{} : Status(fail(held.error())));
    if (!held) co_return;
    test.pid_ = (*held)->init_pid();
    must(co_await (*held)->release());
  });
  kill(pid_, SIGUSR1);
  ASSERT_TRUE(fake_->run_until([&] { return fake_->connected(); }));
  fake_->send({{"event", "moved"}, {"migration", migration}, {"epoch", 2}});
  ASSERT_TRUE(fake_->run_until([&] {
    const auto* purse = fake_->status.if_contains("purse");
    return lifecycle() == "ACTIVE" && purse != nullptr &&
           purse->as_object().at("spent_ucredits").as_int64() == near_.price_ucredits;
  }));
  ASSERT_TRUE(fake_->run_until([&] { return count() > at_dump; }));  // the service's memory
  EXPECT_THAT(log_text(), HasSubstr("\"moved\":true"));
  EXPECT_THAT(log_text(), Not(HasSubstr("supervisor.lost")));
  EXPECT_EQ(fake_->hellos, 2);

  // Still PID 1: it passes a signal on and ends with its service.
  kill(pid_, SIGTERM);
  EXPECT_TRUE(fake_->run_until([&] { return cgroup_->processes().empty(); }));
}

}  // namespace
}  // namespace icon::agent
