// What icon-runc understands of its caller, of runc's records and of an image; no engine needed.
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <filesystem>
#include <thread>

#include "base/file.h"
#include "base/http_server.h"
#include "base/json.h"
#include "supervisor/config.h"
#include "supervisor/container.h"
#include "supervisor/docker/adoption.h"
#include "supervisor/docker/container_bundle.h"
#include "supervisor/docker/docker_containers.h"
#include "supervisor/docker/image_root.h"
#include "supervisor/docker/oci_arguments.h"
#include "supervisor/docker/restore_launcher.h"
#include "supervisor/docker/runc_state.h"
#include "supervisor/docker/shell_order.h"
#include "supervisor/docker/supervisor_call.h"
#include "supervisor/image_store.h"

namespace icon::supervisor {
namespace {

class DockerRuncTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char path[] = "/tmp/icrunc.XXXXXX";
    root_ = mkdtemp(path);
    // Where a socket's path does not fit into sockaddr_un, as below a long state directory.
    directory_ = root_ + "/" + std::string(120, 'i');
    std::filesystem::create_directory(directory_);
  }
  void TearDown() override { std::filesystem::remove_all(root_); }
  std::string root_;
  std::string directory_;
};

// An engine that is busy (or gone) when its container should go.
TEST_F(DockerRuncTest, AContainerThatDockerDidNotRemoveIsNotForgotten) {
  IoContext loop;
  http::Router engine;
  int asked = 0;
  engine.on("DELETE", "/containers/{id}", [&](http::Request request) -> Task<http::Response> {
    EXPECT_EQ(request.params["id"], "0123abcd");
    http::Response answer{++asked < 3 ? 500 : 204, "application/json", "{}"};
    co_return answer;
  });
  Config config;
  config.state_dir = directory_ + "/state";
  config.docker_socket = directory_ + "/docker.sock";
  auto server = http::serve_unix(loop, config.docker_socket, 0600, "", engine, {});
  ASSERT_TRUE(server) << server.error().message;
  ContainerPaths place;
  place.directory = directory_ + "/icon";
  std::filesystem::create_directories(place.directory);
  ShellOrder order;
  order.container = "0123abcd";
  order.rootfs = "/rootfs";
  order.runc = "runc";
  ASSERT_TRUE(order.write(place.directory));
  DockerContainers containers(loop, config);
  auto work = [&]() -> Task<void> {
    EXPECT_FALSE(co_await containers.remove("icon", place));
    // Its files are gone, and the supervisor is another one.
    std::filesystem::remove_all(place.directory);
    DockerContainers later(loop, config);
    co_await later.remove_left_over();
    EXPECT_EQ(asked, 2);
    co_await later.remove_left_over();
    EXPECT_EQ(asked, 3);
    co_await later.remove_left_over();
    EXPECT_EQ(asked, 3) << "it is gone";
    (*server)->stop();
  };
  boost::asio::co_spawn(loop, work, boost::asio::detached);
  loop.run_for(std::chrono::seconds(20));
  EXPECT_EQ(asked, 3);
}

TEST(ImageStore, KeepsWhatIsUsedAndTheNewest) {
  char path[] = "/tmp/icimages.XXXXXX";
  const std::filesystem::path store = mkdtemp(path);
  const auto now = std::filesystem::file_time_type::clock::now();
  const auto put = [&](const std::string& digest, std::size_t bytes, int days) {
    std::filesystem::create_directories(store / digest / "rootfs/bin");
    ASSERT_TRUE(write_file_atomic(store / digest / "rootfs/bin/x", std::string(bytes, 'x'), 0600));
    std::filesystem::last_write_time(store / digest, now - std::chrono::hours(24 * days));
  };
  put("used", 100, 30);
  put("ancient", 100, 8);
  put("older", 600, 3);
  put("newer", 600, 2);
  put("half.migration", 100, 30);
  measure_images(store);
  const ImageLimits limits{std::chrono::hours(7 * 24), 1000};
  const auto gone = set_old_images_aside(store, {"used"}, limits, now);
  EXPECT_EQ(gone, (std::vector<std::string>{store / "ancient.old", store / "older.old"}));
  for (const auto* stays : {"used", "newer", "half.migration"})
    EXPECT_TRUE(std::filesystem::exists(store / stays / "rootfs")) << stays;
  // Its use has just ended: its days begin.
  EXPECT_TRUE(set_old_images_aside(store, {}, limits, now).empty());
  std::filesystem::remove_all(store);
}

TEST(OciArguments, WhatContainerdSays) {
  const std::vector<std::string> words{"--root",
                                       "/run/docker/runtime-runc/moby",
                                       "--log",
                                       "/b/log.json",
                                       "--log-format",
                                       "json",
                                       "--systemd-cgroup",
                                       "create",
                                       "--bundle",
                                       "/b",
                                       "--pid-file=/b/init.pid",
                                       "abc"};
  auto parsed = parse_oci_arguments(words);
  EXPECT_EQ(parsed.command, "create");
  EXPECT_EQ(parsed.global_option("--root"), "/run/docker/runtime-runc/moby");
  EXPECT_EQ(parsed.option("--bundle"), "/b");
  EXPECT_EQ(parsed.option("--pid-file"), "/b/init.pid");
  EXPECT_EQ(parsed.option("--console-socket"), "");
  EXPECT_EQ(parsed.id(), "abc");
  EXPECT_EQ(parsed.all(), words);
  parsed.set_option("--bundle", "/icon/bundle");
  parsed.drop_flag("--systemd-cgroup");
  parsed.drop_option("--icon-socket");
  EXPECT_EQ(parsed.option("--bundle"), "/icon/bundle");
  EXPECT_EQ(parsed.all().size(), words.size() - 1);
}

TEST(OciArguments, NothingAndOptionsAlone) {
  EXPECT_EQ(parse_oci_arguments({}).command, "");
  EXPECT_EQ(parse_oci_arguments({}).id(), "");
  EXPECT_EQ(parse_oci_arguments({"--version"}).command, "");
  EXPECT_EQ(parse_oci_arguments({"--root"}).all(), std::vector<std::string>{"--root"});
}

constexpr const char* kState = R"({"id":"abc","init_process_pid":77,"init_process_start":5,
  "namespace_paths":{"NEWNET":"/proc/77/ns/net","NEWUSER":"/proc/7/ns/user"},
  "config":{"rootfs":"/shell","hostname":"h"},"cgroup_paths":{"pids":"/c"}})";

TEST(RuncState, AnotherProcessIsTheFirst) {
  const auto changed = with_other_init(kState, 4242, 1'234'567, "/root");
  ASSERT_TRUE(changed) << changed.error().message;
  const auto object = json::parse_object(*changed, 1 << 16).value();
  EXPECT_EQ(json::get_int(object, "init_process_pid", 1, 1 << 22).value(), 4242);
  EXPECT_EQ(json::get_int(object, "init_process_start", 0, 1 << 30).value(), 1'234'567);
  EXPECT_EQ(object.at("namespace_paths").at("NEWNET").as_string(), "/proc/4242/ns/net");
  EXPECT_EQ(object.at("namespace_paths").at("NEWUSER").as_string(), "/proc/7/ns/user");
  EXPECT_EQ(object.at("config").at("rootfs").as_string(), "/root");
  EXPECT_EQ(object.at("config").at("hostname").as_string(), "h");
  EXPECT_EQ(object.at("cgroup_paths").at("pids").as_string(), "/c");
}

TEST(RuncState, NonsenseIsRefused) {
  EXPECT_FALSE(with_other_init("", 1, 1, "/"));
  EXPECT_FALSE(with_other_init("{}", 1, 1, "/"));
  EXPECT_FALSE(with_other_init(R"({"init_process_pid":"x"})", 1, 1, "/"));
}

TEST_F(DockerRuncTest, AnAdoptedContainerIsStartedOnce) {
  ASSERT_TRUE(write_file_atomic(directory_ + "/state.json", kState, 0600));
  ASSERT_TRUE(write_file_atomic(directory_ + "/exec.fifo", "", 0600));
  EXPECT_EQ(read_init_pid(directory_).value(), 77);
  EXPECT_FALSE(take_adopted_mark(directory_));
  ASSERT_TRUE(adopt_init(directory_, getpid(), "/root"));
  EXPECT_EQ(read_init_pid(directory_).value(), getpid());
  EXPECT_FALSE(std::filesystem::exists(directory_ + "/exec.fifo"));
  EXPECT_TRUE(take_adopted_mark(directory_));
  EXPECT_FALSE(take_adopted_mark(directory_));
}

TEST_F(DockerRuncTest, AnOrderIsGoodForOneStart) {
  EXPECT_EQ(ShellOrder::read(directory_).error().code, Code::kNotFound);
  ShellOrder order;
  order.container = "abc";
  order.restore = true;
  order.rootfs = "/r";
  order.cgroup_procs_files = {"/a", "/b"};
  ASSERT_TRUE(order.write(directory_));
  const auto read = ShellOrder::read(directory_);
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(read->container, "abc");
  EXPECT_TRUE(read->restore);
  EXPECT_EQ(read->cgroup_procs_files, order.cgroup_procs_files);
  EXPECT_TRUE(take_order(directory_).value());
  EXPECT_FALSE(take_order(directory_).value());
}

// The whole way: what the supervisor starts hands its words over and ends as the restore did.
TEST_F(DockerRuncTest, TheLauncherEndsAsTheRestoreDid) {
  const auto listening = listen_unix(directory_ + kRestoreSocket, SOCK_SEQPACKET);
  ASSERT_TRUE(listening) << listening.error().message;
  setenv("ICON_HOLD_SOCKET", "/hold", 1);
  const UniqueFd input(dup(STDIN_FILENO));
  int status = -1;
  const std::vector<std::string> command{"hold", "exec", "criu", "", "-D", "/i"};
  std::thread launcher([&] { status = launch_restore(directory_, command); });
  const auto call = accept_restore_call(listening->get());
  ASSERT_TRUE(call) << call.error().message;
  EXPECT_EQ(call->hold_socket, "/hold");
  EXPECT_EQ(call->command, command);
  EXPECT_TRUE(call->input);
  EXPECT_TRUE(call->netns);
  answer_restore_call(*call, 3);
  launcher.join();
  EXPECT_EQ(status, 3);
  unsetenv("ICON_HOLD_SOCKET");
  dup2(input.get(), STDIN_FILENO);
}

TEST_F(DockerRuncTest, WithoutAWaitingPlaceTheLauncherFails) {
  EXPECT_NE(launch_restore(directory_, {"restore"}), 0);
}

DockerImage image_of(std::vector<std::string> entrypoint, std::vector<std::string> command) {
  DockerImage image;
  image.entrypoint = std::move(entrypoint);
  image.command = std::move(command);
  image.env = {"PATH=/bin", "A=image"};
  image.cwd = "/srv";
  return image;
}

TEST(DockerRun, VariablesSpeakToUsAndGoNoFurther) {
  ContainerSpec spec;
  spec.env = {"A=b", "ICON_NAME=web", "ICON_PUBLISH=8080:80,5353:53/udp",
              "ICON_POLICY=budget: 5\n"};
  ASSERT_TRUE(take_icon_variables(spec));
  EXPECT_EQ(spec.name, "web");
  EXPECT_EQ(spec.policy_yaml, "budget: 5\n");
  EXPECT_EQ(spec.env, std::vector<std::string>{"A=b"});
  ASSERT_EQ(spec.ports.size(), 2u);
  EXPECT_EQ(spec.ports[0].proto, "tcp");
  EXPECT_EQ(spec.ports[0].container, 80);
  EXPECT_EQ(spec.ports[0].published, 8080);
  EXPECT_EQ(spec.ports[1].proto, "udp");
  EXPECT_EQ(spec.ports[1].published, 5353);
  spec.env = {"ICON_PUBLISH=http"};
  EXPECT_EQ(take_icon_variables(spec).error().code, Code::kInvalid);
}

TEST(DockerRun, OnlyWhoAsksBecomesAnIcon) {
  const auto config = [](const std::string& variable) {
    return json::parse_object(R"({"process":{"env":["PATH=/bin",")" + variable + R"("]}})", 1 << 10)
        .value();
  };
  EXPECT_TRUE(wants_to_be_icon(config("ICON_PUBLISH=")));
  EXPECT_FALSE(wants_to_be_icon(config("ICONS=1")));
  EXPECT_FALSE(wants_to_be_icon(json::Object{}));
}

TEST(DockerRun, LayersAreReadFromTheMount) {
  EXPECT_EQ(lower_directories("rw,lowerdir=/a:/b,upperdir=/u,workdir=/w"),
            (std::vector<std::string>{"/a", "/b"}));
  EXPECT_TRUE(lower_directories("rw,size=1").empty());
}

TEST_F(DockerRuncTest, ABundleWithAVolumeIsRefused) {
  EXPECT_EQ(read_docker_bundle("relative").error().code, Code::kInvalid);
  ASSERT_TRUE(write_file_atomic(directory_ + "/config.json",
                                R"({"process":{"args":["/x"],"env":[]},"root":{"path":"/r"},
      "mounts":[{"destination":"/etc/hosts","type":"bind","source":"/d/hosts"},
                {"destination":"/data","type":"bind","source":"/srv"}]})",
                                0600));
  const auto read = read_docker_bundle(directory_);
  ASSERT_FALSE(read);
  EXPECT_NE(read.error().message.find("a volume at /data"), std::string::npos);
}

TEST(ImageDefaults, TheAgentsTwoLinesComeOff) {
  ContainerSpec spec;
  spec.env = {"A=mine"};
  ASSERT_TRUE(take_image_defaults(image_of({"/icon-agent", "--"}, {"redis-server", "x"}), spec));
  EXPECT_EQ(spec.command, (std::vector<std::string>{"redis-server", "x"}));
  EXPECT_EQ(spec.env, (std::vector<std::string>{"A=mine", "PATH=/bin"}));
  EXPECT_EQ(spec.cwd, "/srv");
}

TEST(ImageDefaults, WhatTheCallerSaysWins) {
  ContainerSpec spec;
  spec.command = {"own"};
  spec.cwd = "/here";
  auto image = image_of({"entry"}, {"argument"});
  image.user = "33:34";
  ASSERT_TRUE(take_image_defaults(image, spec));
  EXPECT_EQ(spec.command, std::vector<std::string>{"own"});
  EXPECT_EQ(spec.cwd, "/here");
  EXPECT_EQ(spec.uid, 33u);
  EXPECT_EQ(spec.gid, 34u);
  image.user = "redis";
  ContainerSpec other;
  EXPECT_EQ(take_image_defaults(image, other).error().code, Code::kInvalid);
}

// The image's own files say who that is, the topmost layer's first.
TEST_F(DockerRuncTest, ANamedUserIsLookedUpInTheImage) {
  auto image = image_of({"entry"}, {});
  image.layers = {directory_ + "/top", directory_ + "/base"};
  ASSERT_TRUE(make_directories(directory_ + "/top/etc"));
  ASSERT_TRUE(make_directories(directory_ + "/base/etc"));
  ASSERT_TRUE(write_file_atomic(directory_ + "/base/etc/passwd", "redis:x:1:1::/:/x\n", 0644));
  ASSERT_TRUE(write_file_atomic(directory_ + "/top/etc/passwd",
                                "root:x:0:0\nredis:x:102:103::/:/x\nbad:x:y:z\nshort\n", 0644));
  ASSERT_TRUE(write_file_atomic(directory_ + "/base/etc/group", "www-data:x:33:\n", 0644));
  const auto ids = [&](const std::string& user) {
    image.user = user;
    ContainerSpec spec;
    const auto taken = take_image_defaults(image, spec);
    return taken ? std::to_string(spec.uid) + ":" + std::to_string(spec.gid)
                 : std::string(to_string(taken.error().code));
  };
  EXPECT_EQ(ids("redis"), "102:103");
  EXPECT_EQ(ids("redis:www-data"), "102:33");
  EXPECT_EQ(ids("102"), "102:103");
  EXPECT_EQ(ids("1000"), "1000:0");
  EXPECT_EQ(ids("1000:www-data"), "1000:33");
  EXPECT_EQ(ids("nobody"), to_string(Code::kInvalid));
  EXPECT_EQ(ids("redis:nogroup"), to_string(Code::kInvalid));
  EXPECT_EQ(ids("bad"), to_string(Code::kInvalid));
  EXPECT_EQ(ids("4294967296"), to_string(Code::kInvalid));
}

// As the Engine 20.10 says it, less what nobody reads.
constexpr const char* kInspected = R"({"Id":"4f1c","Name":"/redis","Path":"/icon-agent",
  "Args":["--","/usr/bin/redis-server","/etc/redis/icon.conf"],"Image":"sha256:12",
  "State":{"Status":"running","Running":true,"Paused":false,"Restarting":false,"Pid":4711},
  "HostConfig":{"Memory":268435456,"NanoCpus":500000000,"CpuQuota":0,"CpuPeriod":0,
    "NetworkMode":"default","ReadonlyRootfs":false,"Privileged":false,"AutoRemove":false,
    "PidMode":"","IpcMode":"private","CapAdd":null,"Devices":[],
    "PortBindings":{"6379/tcp":[{"HostIp":"","HostPort":"16379"}],"53/udp":[{"HostPort":""}]}},
  "GraphDriver":{"Name":"overlay2","Data":{"UpperDir":"/d/diff"}},"Mounts":[],
  "Config":{"Hostname":"4f1c","User":"redis","Tty":false,"Env":["PATH=/bin","A=b"],
    "Image":"icon-redis","WorkingDir":"/srv","Labels":{}}})";

json::Object inspected() { return *json::parse_object(kInspected, 1 << 20); }

TEST(Adoption, AContainerAsDockerRunMakesIt) {
  const auto adoption = read_adoption(inspected());
  ASSERT_TRUE(adoption) << adoption.error().message;
  EXPECT_EQ(adoption->container, "4f1c");
  EXPECT_EQ(adoption->name, "redis");
  EXPECT_EQ(adoption->pid, 4711);
  EXPECT_EQ(adoption->upper, "/d/diff");
  EXPECT_EQ(adoption->service.command,
            (std::vector<std::string>{"/usr/bin/redis-server", "/etc/redis/icon.conf"}));
  EXPECT_EQ(adoption->service.user, "redis");
  EXPECT_EQ(adoption->service.cwd, "/srv");
  EXPECT_EQ(adoption->spec.resources.memory_bytes, 256 << 20);
  EXPECT_EQ(adoption->spec.resources.cpu_millis, 500);
  EXPECT_EQ(adoption->spec.ports,
            (std::vector<PortMapping>{{"tcp", 6379, 16379}, {"udp", 53, 53}}));
  EXPECT_TRUE(adoption->spec.docker);
}

TEST(Adoption, WhatAnIconCannotHaveIsNamedWithTheWayOut) {
  auto container = inspected();
  container["Path"] = "/usr/bin/redis-server";
  container["Mounts"] = json::Array{json::Object{{"Destination", "/data"}}};
  container["Config"].as_object()["Tty"] = true;
  container["HostConfig"].as_object()["Privileged"] = true;
  container["HostConfig"].as_object()["PidMode"] = "host";
  const auto adoption = read_adoption(container);
  ASSERT_FALSE(adoption);
  EXPECT_EQ(adoption.error().code, Code::kRefused);
  for (const char* part : {"container redis", "volume at /data", "the agent's two lines", "--tty",
                           "--privileged", "PidMode is host"})
    EXPECT_NE(adoption.error().message.find(part), std::string::npos) << part;
}

TEST(Adoption, WhatDoesNotRunOrIsOneAlready) {
  auto stopped = inspected();
  stopped["State"].as_object()["Pid"] = 0;
  EXPECT_EQ(read_adoption(stopped).error().code, Code::kRefused);
  auto labelled = inspected();
  labelled["Config"].as_object()["Labels"] = json::Object{{kIconLabel, "x"}};
  EXPECT_EQ(read_adoption(labelled).error().code, Code::kConflict);
  auto named = inspected();
  named["Config"].as_object()["Env"] = json::Array{"ICON_NAME=redis"};
  EXPECT_EQ(read_adoption(named).error().code, Code::kConflict);
  EXPECT_FALSE(read_adoption({}));
}

TEST(Adoption, DockersStreamsAndMountsDoNotCount) {
  migration::MovableReport report;
  for (const char* kind : {"pipe_outside", "io_uring", "volume", "outside_mount"})
    report.obstacles.push_back({kind, 1, 1, "x", "", "", "", true});
  drop_dockers_own(report);
  ASSERT_EQ(report.obstacles.size(), 1u);
  EXPECT_EQ(report.obstacles[0].kind, "io_uring");
}

}  // namespace
}  // namespace icon::supervisor
