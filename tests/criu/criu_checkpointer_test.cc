// The checkpointer on the real CRIU, a container by the real runc and the real freezer cgroup.
#include "migration/criu_checkpointer.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mount.h>
#include <unistd.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/json/serialize.hpp>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <thread>

#include "base/file.h"
#include "base/json.h"
#include "base/subprocess.h"
#include "migration/memory/page_daemon.h"
#include "migration/memory/page_source.h"
#include "supervisor/cgroup.h"
#include "supervisor/memory_directory.h"
#include "tests/criu/page_carrier.h"

namespace icon::migration {
namespace {

namespace fs = std::filesystem;
using supervisor::Cgroup;
using supervisor::MemoryDirectory;

std::string program(const std::string& name) {
  return fs::read_symlink("/proc/self/exe").parent_path() / name;
}

void must(const Status& status) { ASSERT_TRUE(status) << (status ? "" : status.error().message); }

Command command(std::vector<std::string> argv) {
  Command made;
  made.argv = std::move(argv);
  return made;
}

json::Array strings(std::initializer_list<const char*> texts) {
  json::Array array;
  for (const char* text : texts) array.emplace_back(text);
  return array;
}

Task<Result<std::unique_ptr<HeldRestore>>> restored(Checkpointer& checkpointer,
                                                    RestoreRequest request) {
  ICON_CO_TRY(const auto prepared, co_await checkpointer.prepare_restore(std::move(request)));
  co_return co_await prepared->restore();
}

class CriuTest : public ::testing::Test {
 public:  // the tests hand it to coroutines
  void SetUp() override {
    char name[] = "/tmp/icon-criu-test.XXXXXX";
    base_ = mkdtemp(name);
    tag_ = "icon-criu-" + std::to_string(getpid());
    fs::create_directories(base_ + "/bundle/rootfs/run/icon");
    for (const char* directory : {"proc", "dev", "sys", "tmp"})
      fs::create_directories(base_ + "/bundle/rootfs/" + directory);
    fs::create_directories(base_ + "/run");
    fs::permissions(base_ + "/run", fs::perms::all);
    fs::copy_file(program("ticker"), base_ + "/bundle/rootfs/ticker");
    must(run_checked_blocking(command({"ip", "netns", "add", tag_})));
    // CRIU wants the root to be a mount.
    ASSERT_EQ(mount((base_ + "/bundle/rootfs").c_str(), (base_ + "/bundle/rootfs").c_str(), nullptr,
                    MS_BIND, nullptr),
              0);
    std::ofstream(base_ + "/bundle/config.json") << boost::json::serialize(config());
    auto images = MemoryDirectory::create(base_ + "/images", 1 << 30);
    must(images ? Status{} : Status(fail(images.error())));
    images_ = std::move(*images);
    fs::create_directory(images_.path() + "/images");
    auto cgroup = Cgroup::at("/" + tag_);
    ASSERT_TRUE(cgroup);
    cgroup_.emplace(std::move(*cgroup));
    checkpointer_ =
        std::make_unique<CriuCheckpointer>(CriuOptions{ICON_CRIU, program("icon-criu-hold")});
    run([](CriuTest& test) -> Task<void> {
      must(co_await test.checkpointer_->prepare(test.images_.path()));
    });
    start();
  }

  void TearDown() override {
    run([](CriuTest& test) -> Task<void> { (void)co_await test.cgroup_->kill_all(); });
    (void)run_command_blocking(command(runc({"delete", "--force", tag_})));
    run([](CriuTest& test) -> Task<void> { must(co_await test.cgroup_->remove()); });
    images_.reset();
    EXPECT_EQ(umount2((base_ + "/bundle/rootfs").c_str(), MNT_DETACH), 0);
    must(run_checked_blocking(command({"ip", "netns", "delete", tag_})));
    fs::remove_all(base_);
  }

  void run(Task<void> (*task)(CriuTest&)) {
    IoContext loop;
    boost::asio::co_spawn(loop, task(*this), [](std::exception_ptr error) {
      if (error) std::rethrow_exception(error);
    });
    loop.run();
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
    const auto mounts =
        json::Array{json::Object{{"destination", "/proc"}, {"type", "proc"}, {"source", "proc"}},
                    json::Object{{"destination", "/dev"},
                                 {"type", "tmpfs"},
                                 {"source", "tmpfs"},
                                 {"options", strings({"nosuid", "mode=755"})}},
                    json::Object{{"destination", "/run/icon"},
                                 {"type", "bind"},
                                 {"source", base_ + "/run"},
                                 {"options", strings({"bind", "rw"})}}};
    json::Array namespaces;
    for (const char* type : {"pid", "ipc", "uts", "mount"})
      namespaces.push_back(json::Object{{"type", type}});
    namespaces.push_back(json::Object{{"type", "network"}, {"path", "/run/netns/" + tag_}});
    return {{"ociVersion", "1.0.2"},
            {"process", json::Object{{"user", json::Object{{"uid", uid_}, {"gid", uid_}}},
                                     {"args", strings({"/ticker"})},
                                     {"env", strings({"PATH=/"})},
                                     {"cwd", "/"}}},
            {"root", json::Object{{"path", "rootfs"}}},
            {"mounts", mounts},
            {"linux", json::Object{{"cgroupsPath", "/" + tag_}, {"namespaces", namespaces}}}};
  }

  long ticks() const {
    const auto text = read_file(base_ + "/run/ticks", 64);
    return text && !text->empty() ? std::stol(*text) : 0;
  }
  // Whether the counter moves within `limit`. Polls: the service knows nothing of the test.
  bool ticks_move(Millis limit) const {
    const long before = ticks();
    const auto end = std::chrono::steady_clock::now() + limit;
    while (std::chrono::steady_clock::now() < end) {
      if (ticks() != before) return true;
      std::this_thread::yield();
    }
    return false;
  }

  DumpRequest dump_request() const {
    return {pid_,
            images_.path() + "/images",
            images_.path(),
            cgroup_->freezer_directory(),
            {{"/run/icon", "iconrun", base_ + "/run"}}};
  }
  RestoreRequest restore_request() const {
    RestoreRequest request{images_.path() + "/images",
                           images_.path(),
                           base_ + "/bundle/rootfs",
                           "/run/netns/" + tag_,
                           {},
                           {{"/run/icon", "iconrun", base_ + "/run"}}};
    for (const auto& directory : cgroup_->directories())
      request.cgroup_procs_files.push_back(directory + "/cgroup.procs");
    return request;
  }

  int uid_ = 0;
  std::string base_;
  std::string tag_;
  int pid_ = 0;
  MemoryDirectory images_;
  std::optional<Cgroup> cgroup_;
  std::unique_ptr<CriuCheckpointer> checkpointer_;
};

constexpr Millis kMoves{2'000};
constexpr Millis kStands{100};

TEST_F(CriuTest, ADumpLeavesTheTreeFrozenAndAThawIsARollback) {
  ASSERT_TRUE(ticks_move(kMoves));
  run([](CriuTest& test) -> Task<void> {
    must(co_await test.cgroup_->freeze());
    const auto dumped = co_await test.checkpointer_->dump(test.dump_request());
    must(dumped ? Status{} : Status(fail(dumped.error())));
    EXPECT_GT(dumped->bytes, 0u);
  });
  EXPECT_TRUE(cgroup_->frozen());
  EXPECT_FALSE(ticks_move(kStands));
  must(cgroup_->thaw());
  EXPECT_TRUE(ticks_move(kMoves));
}

TEST_F(CriuTest, ARestoredTreeRunsNothingUntilItIsReleased) {
  ASSERT_TRUE(ticks_move(kMoves));
  run([](CriuTest& test) -> Task<void> {
    must(co_await test.cgroup_->freeze());
    const auto dumped = co_await test.checkpointer_->dump(test.dump_request());
    must(dumped ? Status{} : Status(fail(dumped.error())));
    must(co_await test.cgroup_->kill_all());
    const long at_dump = test.ticks();
    auto held = co_await restored(*test.checkpointer_, test.restore_request());
    must(held ? Status{} : Status(fail(held.error())));
    if (!held) co_return;
    EXPECT_FALSE(test.ticks_move(kStands));
    EXPECT_EQ(test.ticks(), at_dump);
    must(co_await (*held)->release());
    EXPECT_TRUE(test.ticks_move(kMoves));
    EXPECT_GT(test.ticks(), at_dump);  // its memory came along
    EXPECT_EQ(test.cgroup_->processes().size(), 1u);
  });
}

// Whose service it is makes no difference, with and without CAP_SYS_RESOURCE.
class CriuUsers : public CriuTest, public ::testing::WithParamInterface<int> {
 protected:
  CriuUsers() { uid_ = GetParam(); }
};
INSTANTIATE_TEST_SUITE_P(All, CriuUsers, ::testing::Values(0, 1000),
                         [](const auto& info) { return "Uid" + std::to_string(info.param); });

TEST_P(CriuUsers, TheMemoryTravelsApart) {
  ASSERT_TRUE(ticks_move(kMoves));
  run([](CriuTest& test) -> Task<void> {
    const auto executor = co_await boost::asio::this_coro::executor;
    must(co_await test.checkpointer_->memory_can_travel_apart());
    auto source = PageSource::start(
        executor, [&test]() -> Result<std::vector<int>> { return test.cgroup_->processes(); });
    auto daemon = PageDaemon::start(executor, program("icon-pages"), test.images_.path(), 1 << 28,
                                    test.cgroup_->freezer_directory());
    must(source ? Status{} : Status(fail(source.error())));
    must(daemon ? Status{} : Status(fail(daemon.error())));
    bool carried = false;
    auto take = [daemon = *daemon](std::span<const char> bytes) -> Task<Status> {
      co_return co_await daemon->write(bytes);
    };
    boost::asio::co_spawn(executor, test::carry(**source, std::move(take)),
                          [&carried](std::exception_ptr) { carried = true; });
    co_await test::until_converged(**source);
    EXPECT_TRUE(test.ticks_move(kMoves));  // nobody has stopped it
    must(co_await test.cgroup_->freeze());
    must(co_await (*source)->finish());
    auto dump = test.dump_request();
    const std::string dump_dir = dump.image_dir;
    dump.memory_apart = true;
    const auto dumped = co_await test.checkpointer_->dump(std::move(dump));
    must(dumped ? Status{} : Status(fail(dumped.error())));
    const auto received = co_await (*daemon)->received();
    must(received ? Status{} : Status(fail(received.error())));
    EXPECT_TRUE(carried);
    const auto& report = (*source)->report();
    EXPECT_EQ(*received, std::to_string(report.bytes) + ":" + report.digest);
    EXPECT_GE(report.rounds.size(), 2u);
    must(co_await (*daemon)->check());
    must(co_await test.cgroup_->kill_all());
    const long at_dump = test.ticks();
    auto restore = test.restore_request();
    restore.memory_apart = true;
    // Prepared while there is nothing to restore yet.
    fs::rename(dump_dir, dump_dir + ".later");
    fs::create_directory(dump_dir);
    const auto prepared = co_await test.checkpointer_->prepare_restore(std::move(restore));
    must(prepared ? Status{} : Status(fail(prepared.error())));
    fs::remove(dump_dir);
    fs::rename(dump_dir + ".later", dump_dir);
    auto held = co_await (*prepared)->restore();
    must(held ? Status{} : Status(fail(held.error())));
    if (!held) co_return;
    EXPECT_EQ(test.ticks(), at_dump);
    must(co_await (*held)->release());
    const auto resident = co_await PageDaemon::let_live(std::move(*daemon));
    must(resident ? Status{} : Status(fail(resident.error())));
    EXPECT_GT(resident->pages, 0u);
    EXPECT_TRUE(test.ticks_move(kMoves));
    EXPECT_GT(test.ticks(), at_dump);
  });
}

TEST_F(CriuTest, AnAbortedRestoreLeavesNothing) {
  run([](CriuTest& test) -> Task<void> {
    must(co_await test.cgroup_->freeze());
    const auto dumped = co_await test.checkpointer_->dump(test.dump_request());
    must(dumped ? Status{} : Status(fail(dumped.error())));
    must(co_await test.cgroup_->kill_all());
    auto held = co_await restored(*test.checkpointer_, test.restore_request());
    must(held ? Status{} : Status(fail(held.error())));
    if (!held) co_return;
    co_await (*held)->abort();
    must(co_await test.cgroup_->kill_all());
    EXPECT_FALSE(test.ticks_move(kStands));
  });
}

TEST_F(CriuTest, ErrorsCarryCriusOwnWords) {
  run([](CriuTest& test) -> Task<void> {
    auto request = test.restore_request();  // nothing was dumped
    const auto held = co_await restored(*test.checkpointer_, std::move(request));
    EXPECT_FALSE(held);
    if (!held) {
      EXPECT_NE(held.error().message.find("Error ("), std::string::npos) << held.error().message;
    }
  });
}

}  // namespace
}  // namespace icon::migration
