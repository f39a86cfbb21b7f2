#include "supervisor/container_spec.h"

#include <gtest/gtest.h>

#include <boost/json/serialize.hpp>
#include <filesystem>
#include <fstream>

#include "supervisor/oci_config.h"
#include "tests/unit/base/http_rig.h"

namespace icon::supervisor {
namespace {

ContainerSpec good_spec() {
  ContainerSpec spec;
  spec.name = "redis";
  spec.command = {"redis-server", "--port", "6379"};
  spec.env = {"A=b"};
  spec.cwd = "/data";
  spec.uid = 5;
  spec.gid = 6;
  spec.additional_gids = {7};
  spec.ports = {{"tcp", 6379, 6379}, {"udp", 53, 5353}};
  spec.resources = {500, 1 << 28, 1000};
  spec.policy_yaml = "objective_ms: 20\n";
  return spec;
}

TEST(ContainerSpec, ThereAndBack) {
  const auto spec = good_spec();
  ASSERT_TRUE(spec.check());
  const auto again = ContainerSpec::from_json(spec.to_json());
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_EQ(*again, spec);
}

TEST(ContainerSpec, Ports) {
  EXPECT_EQ(*PortMapping::parse("6379"), (PortMapping{"tcp", 6379, 6379}));
  EXPECT_EQ(*PortMapping::parse("8080:80"), (PortMapping{"tcp", 8080, 80}));
  EXPECT_EQ(*PortMapping::parse("udp:53:5353"), (PortMapping{"udp", 53, 5353}));
  for (const char* bad : {"", "0", "65536", "x", "80:", ":80", "sctp:1:2", "1:2:3", "80 "})
    EXPECT_FALSE(PortMapping::parse(bad)) << bad;
}

TEST(ContainerSpec, RefusesWhatIsAbsurd) {
  const auto broken = [](auto change) {
    auto spec = good_spec();
    change(spec);
    return !spec.check() && !ContainerSpec::from_json(spec.to_json());
  };
  EXPECT_TRUE(broken([](ContainerSpec& s) { s.name = ""; }));
  EXPECT_TRUE(broken([](ContainerSpec& s) { s.name = "../x"; }));
  EXPECT_TRUE(broken([](ContainerSpec& s) { s.name = std::string(64, 'x'); }));
  EXPECT_TRUE(broken([](ContainerSpec& s) { s.command.clear(); }));
  EXPECT_TRUE(broken([](ContainerSpec& s) { s.command[0] = ""; }));
  EXPECT_TRUE(broken([](ContainerSpec& s) { s.command[0] = std::string("a\0b", 3); }));
  EXPECT_TRUE(broken([](ContainerSpec& s) { s.command.resize(1000, "x"); }));
  EXPECT_TRUE(broken([](ContainerSpec& s) { s.env = {"novalue"}; }));
  EXPECT_TRUE(broken([](ContainerSpec& s) { s.env = {"=x"}; }));
  EXPECT_TRUE(broken([](ContainerSpec& s) { s.cwd = "relative"; }));
  EXPECT_TRUE(broken([](ContainerSpec& s) { s.ports.push_back(s.ports[0]); }));
  EXPECT_TRUE(broken([](ContainerSpec& s) { s.policy_yaml = std::string(100'000, 'x'); }));
}

TEST(ContainerSpec, RefusesOtherTypes) {
  auto object = good_spec().to_json();
  object["ports"] = "6379";
  EXPECT_FALSE(ContainerSpec::from_json(object));
  object = good_spec().to_json();
  object["uid"] = -1;
  EXPECT_FALSE(ContainerSpec::from_json(object));
  object = good_spec().to_json();
  object["command"] = json::Array{1, 2};
  EXPECT_FALSE(ContainerSpec::from_json(object));
}

TEST(OciBundle, GivesCommandAndRoot) {
  test::TempDir directory;
  std::ofstream(directory / "config.json")
      << R"({"process":{"args":["/bin/x","y"],"env":["P=1"],"cwd":"/w",)"
      << R"("user":{"uid":3,"gid":4,"additionalGids":[5]}},)"
      << R"("root":{"path":"fs","readonly":true},"hostname":"h"})";
  ContainerSpec spec;
  const auto root = read_bundle(directory.path(), spec);
  ASSERT_TRUE(root) << root.error().message;
  EXPECT_EQ(*root, directory / "fs");
  EXPECT_EQ(spec.command, (std::vector<std::string>{"/bin/x", "y"}));
  EXPECT_EQ(spec.cwd, "/w");
  EXPECT_EQ(spec.uid, 3u);
  EXPECT_EQ(spec.additional_gids, std::vector<std::uint32_t>{5});
  EXPECT_TRUE(spec.read_only_rootfs);
  EXPECT_EQ(read_bundle("/nowhere", spec).error().code, Code::kNotFound);
}

TEST(OciConfig, IsWhatCriuRestores) {
  const auto config =
      oci_config(good_spec(), {"/state/rootfs", "/state/run", "/run/netns/x", "/icon/h/i"});
  const auto& process = config.at("process").as_object();
  const auto& args = process.at("args").as_array();
  EXPECT_EQ(args.at(0), kAgentPath);
  EXPECT_EQ(args.at(1), "--");
  EXPECT_EQ(args.at(2), "redis-server");
  EXPECT_EQ(process.at("terminal"), false);
  EXPECT_EQ(process.at("noNewPrivileges"), true);
  const std::string text = boost::json::serialize(config);
  EXPECT_NE(text.find(R"({"type":"network","path":"/run/netns/x"})"), std::string::npos);
  EXPECT_EQ(text.find("cgroup2"), std::string::npos);
  EXPECT_NE(text.find("PATH=/usr/local/sbin"), std::string::npos);
  EXPECT_EQ(text.find("CAP_SYS_ADMIN"), std::string::npos);
  EXPECT_EQ(text.find("CAP_NET_RAW"), std::string::npos);
  // One bind mount, which CRIU is told about as an external one.
  int binds = 0;
  for (const auto& mount : config.at("mounts").as_array())
    binds += mount.as_object().at("type") == "bind" ? 1 : 0;
  EXPECT_EQ(binds, 1);
}

TEST(OciConfig, KeepsThePathOfTheSpec) {
  auto spec = good_spec();
  spec.env = {"PATH=/only"};
  const std::string text = boost::json::serialize(oci_config(spec, {}));
  EXPECT_EQ(text.find("/usr/local/sbin"), std::string::npos);
}

}  // namespace
}  // namespace icon::supervisor
