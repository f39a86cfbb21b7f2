// A real knotd whose zone may be changed with a key, in a namespace of its own or another's.
#pragma once

#include <gtest/gtest.h>
#include <signal.h>

#include <filesystem>
#include <optional>
#include <string>

#include "base/file.h"
#include "base/subprocess.h"
#include "tests/eventually.h"

namespace icon::test {

inline constexpr const char* kDnsSecret = "aWNvbi10ZXN0LXNlY3JldC1vZi0zMi1ieXRlcy0wMTIzNA==";
inline constexpr const char* kDnsSecretBytes = "icon-test-secret-of-32-bytes-01234";

// Zone "dyn.test", in which the key "icon.key." may change everything, "weak.key." one other name.
class UpdatedDns {
 public:
  UpdatedDns(std::string netns, std::string address, std::string directory)
      : netns_(std::move(netns)), address_(std::move(address)), directory_(std::move(directory)) {}

  void start(const std::string& records = "") {
    std::filesystem::create_directories(directory_);
    if (!std::filesystem::exists(directory_ + "/dyn.test.zone")) {
      ASSERT_TRUE(write_file_atomic(
          directory_ + "/dyn.test.zone",
          "$TTL 60\n@ SOA ns.dyn.test. host.dyn.test. 1 3600 600 86400 60\n@ NS ns.dyn.test.\n"
          "ns A 192.0.2.53\n" +
              records,
          0644));
    }
    const auto key = [](const std::string& name) {
      return "  - id: " + name + "\n    algorithm: hmac-sha256\n    secret: " + kDnsSecret + "\n";
    };
    const std::string config =
        "server:\n    rundir: " + directory_ + "\n    listen: " + address_ +
        "@53\n    user: root\n    udp-workers: 1\n    tcp-workers: 1\n"
        "    background-workers: 1\nlog:\n  - target: " +
        directory_ + "/knot.log\n    any: info\ndatabase:\n    storage: " + directory_ +
        "\n    timer-db-max-size: 16M\n    journal-db-max-size: 32M\n    kasp-db-max-size: 16M\n"
        "key:\n" +
        key("icon.key.") + key("weak.key.") +
        "acl:\n  - id: icon\n    key: icon.key.\n    action: update\n"
        "  - id: weak\n    key: weak.key.\n    action: update\n    update-owner: name\n"
        "    update-owner-match: equal\n    update-owner-name: elsewhere\n"
        "zone:\n  - domain: dyn.test\n    storage: " +
        directory_ + "\n    file: dyn.test.zone\n    acl: [icon, weak]\n    zonefile-sync: 0\n";
    ASSERT_TRUE(write_file_atomic(directory_ + "/knot.conf", config, 0644));
    ChildProcess::Options options;
    options.argv = {"nsenter", "--net=/run/netns/" + netns_, "knotd", "-c",
                    directory_ + "/knot.conf"};
    auto started = ChildProcess::start(std::move(options));
    ASSERT_TRUE(started) << started.error().message;
    knot_.emplace(std::move(*started));
    ASSERT_TRUE(eventually([&] { return !of("ns.dyn.test", "A").empty(); }));
  }
  void stop() {
    if (knot_) knot_->stop();
    knot_.reset();
  }

  // It takes connections and says nothing any more; or goes on.
  void pause() { knot_->signal(SIGSTOP); }
  void resume() { knot_->signal(SIGCONT); }

  // The records as kdig prints them, sorted, one a line.
  std::string of(const std::string& name, const std::string& type) const {
    Command line;
    line.argv = {"/bin/sh", "-c",
                 "nsenter --net=/run/netns/" + netns_ + " kdig +short +time=1 +retry=0 @" +
                     address_ + " " + name + " " + type + " 2>/dev/null | grep -v '^;' | sort"};
    const auto outcome = run_command_blocking(std::move(line));
    return outcome ? outcome->output : "";
  }
  const std::string& address() const { return address_; }
  const std::string& directory() const { return directory_; }

  // `line` as a key file of ours, or of everybody.
  std::string key_file(const std::string& name, const std::string& line, unsigned mode = 0600) {
    const std::string path = directory_ + "/" + name;
    EXPECT_TRUE(write_file_atomic(path, line + "\n", mode));
    return path;
  }
  std::string good_key() { return key_file("good", std::string("icon.key:") + kDnsSecret); }

 private:
  std::string netns_;
  std::string address_;
  std::string directory_;
  std::optional<ChildProcess> knot_;
};

}  // namespace icon::test
