// One real icon-supervisor in a namespace of its own, with an image of one static program. All
// names begin with icon-core-<pid>; the destructor leaves nothing, whatever the test did.
#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/socket.h>

#include <boost/json/serialize.hpp>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/http_client.h"
#include "base/netns.h"
#include "base/subprocess.h"
#include "tests/eventually.h"

namespace icon::test {

inline std::string run_text(const std::string& command) {
  Command line;
  line.argv = {"/bin/sh", "-c", command};
  const auto outcome = run_command_blocking(std::move(line));
  return outcome ? outcome->output + outcome->error_output : outcome.error().message;
}

class SupervisorHost {
 public:
  SupervisorHost(const std::string& letter, const std::string& address)
      : letter_(letter),
        name_("icon-core-" + std::to_string(getpid()) + letter),
        address_(address),
        directory_("/tmp/" + name_) {
    std::filesystem::create_directories(directory_ + "/image/bin");
    std::filesystem::copy_file(std::string(ICON_BIN_DIR) + "/icon-core-echo",
                               directory_ + "/image/bin/icon-core-echo");
    run_text("ip netns add " + name_ + "; ip -n " + name_ + " link set lo up; ip -n " + name_ +
             " addr add " + address + "/32 dev lo");
    write_config("");
  }
  ~SupervisorHost() {
    stop(SIGKILL);
    // What a failed test left: by the only names that can be ours.
    if (!id_.empty()) {
      const std::string short_name = id_.substr(0, 8);
      for (const auto& entry : std::filesystem::directory_iterator("/sys/fs/cgroup"))
        run_text("for p in $(cat " + entry.path().string() + "/icon/" + short_name +
                 "/*/cgroup.procs 2>/dev/null); do kill -9 $p; done");
      run_text("for n in $(ip netns list | grep -o '^icon-" + short_name +
               "-[a-z2-7]*'); do ip netns del $n; done");
      run_text("for m in $(grep -o ' /tmp/" + name_ +
               "/[^ ]*' /proc/self/mountinfo); do umount -l $m; done");
      run_text("for c in /sys/fs/cgroup/*/icon/" + short_name +
               "; do rmdir $c/* $c; done 2>/dev/null");
    }
    run_text("ip netns del " + name_);
    std::error_code ignored;
    std::filesystem::remove_all(directory_, ignored);
  }

  void write_config(const std::string& more) {
    std::ofstream(directory_ + "/config.yaml")
        << "provider_name: " << name_ << "\npublic_address: " << address_
        << "\nlisten: " << address_ << ":7946\nsocket: " << socket()
        << "\nstate_dir: " << directory_ << "/state\nruntime_dir: " << directory_
        << "/run\nresolvers: [192.0.2.53]\n"
        << "capacity: {cpu_millis: 2000, memory_bytes: 4000000000, bandwidth_bps: 1000000000}\n"
        << "prices: {slot_ucredits: 100, cpu_second_ucredits: 10}\nlog: {level: debug, path: "
        << directory_ << "/log}\n"
        << more;
  }

  // A cable between two hosts, and the routes.
  static void join(const SupervisorHost& a, const SupervisorHost& b) {
    run_text("ip link add ve-" + a.letter_ + " netns " + a.name_ + " type veth peer name ve-" +
             b.letter_ + " netns " + b.name_);
    for (const auto& [here, there] : {std::pair(&a, &b), std::pair(&b, &a)})
      run_text("ip -n " + here->name_ + " link set ve-" + here->letter_ + " up; ip -n " +
               here->name_ + " route add " + there->address_ + "/32 dev ve-" + here->letter_ +
               " src " + here->address_);
  }

  // Returns when the sockets are open.
  void start(std::vector<std::string> arguments = {}) {
    ChildProcess::Options options;
    options.argv = {"nsenter", "--net=/run/netns/" + name_,
                    std::string(ICON_BIN_DIR) + "/icon-supervisor", "--config",
                    directory_ + "/config.yaml"};
    options.argv.insert(options.argv.end(), arguments.begin(), arguments.end());
    options.error_fd = -1;
    auto process = ChildProcess::start(std::move(options));
    ASSERT_TRUE(process) << process.error().message;
    process_.emplace(std::move(*process));
    ASSERT_TRUE(eventually([&] { return get("/v1/status").if_contains("id") != nullptr; }))
        << run_text("cat " + directory_ + "/log");
    id_ = text(get("/v1/status"), "id");
  }
  // The exit status.
  int stop(int signal_number) {
    if (!process_) return -1;
    process_->signal(signal_number);
    const auto status = process_->wait(Millis(20'000));
    process_.reset();
    return status.value_or(-1);
  }

  Result<http::Response> ask(const std::string& method, const std::string& target,
                             const std::string& body = "", const std::string& socket_path = "") {
    http::UnixRequest request;
    request.socket_path = socket_path.empty() ? socket() : socket_path;
    request.method = method;
    request.target = target;
    request.body = body;
    request.timeout = Millis(60'000);
    return http::request_blocking(std::move(request));
  }
  json::Object get(const std::string& target) {
    const auto response = ask("GET", target);
    if (!response) return {};
    auto object = json::parse_object(response->body, 1 << 22);
    return object ? std::move(*object) : json::Object();
  }
  json::Object run_icon(const std::string& name, const std::string& command_json,
                        const std::string& ports_json, int expected_status = 201) {
    const auto response =
        ask("POST", "/v1/icons",
            R"({"name":")" + name + R"(","rootfs":")" + image() + R"(","command":)" + command_json +
                R"(,"ports":)" + ports_json + "}");
    if (!response) {
      ADD_FAILURE() << response.error().message;
      return {};
    }
    EXPECT_EQ(response->status, expected_status) << response->body;
    return *json::parse_object(response->body, 1 << 20);
  }
  std::string state_of(const std::string& icon) { return text(get("/v1/icons/" + icon), "state"); }

  // A TCP connection from inside the namespace; -1 when refused.
  int dial(int port) {
    const auto netns = open_netns(name_);
    int fd = -1;
    if (!netns) return fd;
    (void)in_netns(*netns, [&]() -> Status {
      fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
      const timeval limit{5, 0};
      setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
      sockaddr_in to{};
      to.sin_family = AF_INET;
      to.sin_port = htons(static_cast<std::uint16_t>(port));
      inet_pton(AF_INET, address_.c_str(), &to.sin_addr);
      if (::connect(fd, reinterpret_cast<sockaddr*>(&to), sizeof to) != 0) {
        close(fd);
        fd = -1;
      }
      return {};
    });
    return fd;
  }
  static bool echoes(int fd, const std::string& word) {
    if (fd < 0 || send(fd, word.data(), word.size(), MSG_NOSIGNAL) < 0) return false;
    std::string answer(word.size(), '\0');
    return recv(fd, answer.data(), answer.size(), MSG_WAITALL) ==
               static_cast<ssize_t>(answer.size()) &&
           answer == word;
  }
  bool reachable(int port) {
    return eventually([&] {
      const int fd = dial(port);
      const bool good = echoes(fd, "hello");
      if (fd >= 0) close(fd);
      return good;
    });
  }

  // Mounts, cgroups, namespaces and directories of ICONs of this host; empty when all is clean.
  std::string left_overs() const {
    const std::string short_name = id_.substr(0, 8);
    return run_text("grep -o ' " + directory_ + "/[^ ]*' /proc/self/mountinfo; ls -d " +
                    "/sys/fs/cgroup/*/icon/" + short_name + " /sys/fs/cgroup/icon/" + short_name +
                    " 2>/dev/null; ip netns list | grep '^icon-" + short_name + "'; for d in " +
                    directory_ + "/state/icons " + directory_ +
                    "/run/runc; do ls $d 2>/dev/null; done");
  }

  static std::string text(const json::Object& object, const char* key) {
    const auto* value = object.if_contains(key);
    return value != nullptr && value->is_string() ? std::string(value->get_string()) : "";
  }
  std::string api() const { return address_ + ":7946"; }
  const std::string& netns() const { return name_; }
  const std::string& id() const { return id_; }
  const std::string& directory() const { return directory_; }
  std::string socket() const { return directory_ + "/run/supervisor.sock"; }
  std::string image() const { return directory_ + "/image"; }
  std::string icon_dir(const std::string& icon_id) const {
    return directory_ + "/state/icons/" + icon_id;
  }
  std::string log() const { return run_text("cat " + directory_ + "/log"); }

 private:
  std::string letter_;
  std::string name_;
  std::string address_;
  std::string directory_;
  std::string id_;
  std::optional<ChildProcess> process_;
};

}  // namespace icon::test
