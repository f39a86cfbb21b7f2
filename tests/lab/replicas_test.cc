// Replicas on the real kernel: one service, its clones at other providers, what they share (their
// parent's memory) and what they must not (keys, connections, randomness).
//
//   client --- router --- a (the parent), b .. i (a replica each)
#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <boost/json/serialize.hpp>
#include <map>
#include <optional>
#include <set>
#include <sstream>

#include "base/encoding.h"
#include "base/file.h"
#include "base/http_client.h"
#include "base/keys.h"
#include "base/netns.h"
#include "tests/lab/process_memory.h"
#include "tests/lab/proved_ledger.h"
#include "tests/lab/world_fixture.h"
#include "wire/birth.h"

namespace icon::lab {
namespace {

constexpr Millis kReplicaMax{60'000};
constexpr std::uint16_t kPort = 8080;
constexpr std::uint16_t kTwinPort = 8081;
constexpr const char* kHosts = "abcdefghi";
constexpr const char* kPolicy =
    "name: test\n"
    "latency: {objective: 1s}\n"  // no moves of its own
    "slot: {memory: 2GiB}\n"
    "budget: 5.0\n";

std::string topology() {
  std::string text = "routers: [router]\nhosts: [client";
  for (const char* host = kHosts; *host != '\0'; ++host) text += std::string(", ") + *host;
  text += "]\nlinks:\n  - {name: client, a: router, b: client}\n";
  std::string domains = "domains:\n  - {name: net.test, nodes: [router]}\n";
  std::string providers = "providers:\n";
  for (const char* at = kHosts; *at != '\0'; ++at) {
    const std::string host(1, *at);
    text += "  - {name: host-" + host + ", a: router, b: " + host + "}\n";
    domains += "  - {name: " + host + ".test, nodes: [" + host + "]}\n";
    providers += "  - {node: " + host + "}\n";
  }
  return text + domains + "  - {name: client.test, nodes: [client]}\n" + providers +
         "users:\n  - {node: client, count: 2}\n";
}

// One connection of a user, blocking.
class User {
 public:
  User(const std::string& netns, const Endpoint& to) {
    const auto there = open_netns(netns);
    if (!there) return;
    (void)in_netns(*there, [&]() -> Status {
      fd_ = UniqueFd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
      return {};
    });
    const timeval limit{10, 0};
    setsockopt(fd_.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(to.port);
    inet_pton(AF_INET, to.address.to_string().c_str(), &address.sin_addr);
    if (connect(fd_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
      fd_.reset();
  }
  bool connected() const { return static_cast<bool>(fd_); }

  // What the service draws; nothing when the connection is dead.
  std::optional<json::Object> draw() {
    static constexpr std::string_view kRequest = "GET / HTTP/1.1\r\nHost: dice\r\n\r\n";
    if (send(fd_.get(), kRequest.data(), kRequest.size(), MSG_NOSIGNAL) < 0) return std::nullopt;
    std::string answer;
    char buffer[2048];
    while (answer.empty() || answer.back() != '}') {
      const ssize_t count = recv(fd_.get(), buffer, sizeof buffer, 0);
      if (count <= 0) return std::nullopt;
      answer.append(buffer, static_cast<std::size_t>(count));
    }
    const auto body = json::parse_object(answer.substr(answer.find('{')), 4096);
    return body ? std::optional(*body) : std::nullopt;
  }

 private:
  UniqueFd fd_;
};

class ReplicasTest : public WorldTest {
 protected:
  void SetUp() override {
    DemoWorldOptions options;
    options.topology_text = topology();
    options.rootfs = ICON_DICE_ROOT;
    options.origin = "a";
    bring_up("rt", std::move(options));
  }

  void run(const std::string& name, std::uint16_t port, bool preloads,
           const std::string& policy_text = kPolicy) {
    const std::string policy = world_->lab().host_directory("a") + "/" + name + ".yaml";
    ASSERT_TRUE(write_file_atomic(policy, policy_text, 0644));
    std::vector<std::string> words{"run",      "--name", name, "--rootfs",          ICON_DICE_ROOT,
                                   "--policy", policy,   "-p", std::to_string(port)};
    if (preloads) {
      words.emplace_back("-e");
      words.emplace_back("LD_PRELOAD=/run/icon/bin/libicon-reseed.so");
    }
    for (const char* word : {"--", "/usr/bin/python3", "/srv/dice.py"}) words.emplace_back(word);
    words.push_back(std::to_string(port));
    const auto said = world_->run_icon("a", words);
    ASSERT_TRUE(said) << said.error().message;
    // It tells nobody when it is ready.
    ASSERT_TRUE(icon::test::eventually([&] { return user("a", port).connected(); }));
  }

  User user(const std::string& host, std::uint16_t port) const {
    return User(world_->lab().netns("client"), {address(host), port});
  }

  // How the replication ended at the parent's host.
  std::string replicate(const std::string& name, const std::string& to) {
    const std::size_t before = migrations().size();
    http::UnixRequest request;
    request.socket_path = world_->socket("a");
    request.method = "POST";
    request.target = "/v1/icons/" + name + "/replicate";
    request.body = R"({"to":")" + address(to).to_string() + R"(:7946"})";
    const auto answer = http::request_blocking(request);
    if (!answer || answer->status != 202) return answer ? answer->body : "no answer";
    // The agent buys first; that has no event of its own.
    std::string state = "not in time";
    (void)icon::test::eventually(
        [&] {
          const auto now = migrations();
          if (now.size() <= before) return false;
          state = now.front().as_object().at("state").as_string();
          return state == "done" || state == "rolled_back";
        },
        kReplicaMax);
    // The agent must have heard of it before it takes another order.
    EXPECT_TRUE(icon::test::eventually([&] { return lifecycle(name) == "ACTIVE"; }));
    return state;
  }

  json::Array migrations() const {
    const auto body = world_->get("a", "/v1/migrations");
    return body ? body->at("migrations").as_array() : json::Array{};
  }

  std::string lifecycle(const std::string& name) const {
    const auto status = status_of("a", name);
    const auto* state = status.if_contains("lifecycle");
    return state == nullptr ? "" : std::string(state->as_string());
  }
};

std::string hex_of(const std::string& bytes) {
  return hex_encode(std::span(reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()));
}

std::string key_bytes(const std::string& run_dir) {
  std::string text = read_file(run_dir + "/icon.key", 256).value_or("");
  while (!text.empty() && text.back() == '\n') text.pop_back();
  const auto bytes = hex_decode(text, 32).value_or(std::vector<std::uint8_t>());
  return {bytes.begin(), bytes.end()};
}

TEST_F(ReplicasTest, EightClonesHaveNothingSecretInCommon) {
  run("dice", kPort, true);
  ASSERT_FALSE(HasFailure());
  auto before = user("a", kPort);
  ASSERT_TRUE(before.draw());
  const auto parent = icon_at("a", "dice");
  const std::string parent_id(parent.at("id").as_string());
  const std::string parent_key = key_bytes(run_dir("a", parent_id));
  ASSERT_EQ(parent_key.size(), 32u);

  std::vector<std::string> siblings;  // their keys
  std::set<std::string> ids{parent_id};
  std::set<std::string> overlays{std::string(parent.at("overlay").as_string())};
  std::set<std::string> generations{
      read_file(run_dir("a", parent_id) + "/generation", 256).value_or("")};
  for (const char* at = kHosts + 1; *at != '\0'; ++at) {
    const std::string host(1, *at);
    ASSERT_EQ(replicate("dice", host), "done") << host;
    const auto replica = icon_at(host, "dice");
    ASSERT_TRUE(replica.contains("id")) << host;
    const std::string id(replica.at("id").as_string());
    EXPECT_EQ(replica.at("state").as_string(), "running");
    EXPECT_EQ(replica.at("epoch").as_int64(), 1);
    ids.insert(id);
    overlays.insert(std::string(replica.at("overlay").as_string()));
    const std::string own = run_dir(host, id);
    generations.insert(read_file(own + "/generation", 256).value_or(""));
    const auto birth_json =
        json::parse_object(read_file(own + "/birth.json", 1 << 16).value_or(""), 1 << 16);
    ASSERT_TRUE(birth_json);
    const auto birth =
        wire::open<wire::Birth>(wire::parse_envelope(json::Value(*birth_json)).value());
    ASSERT_TRUE(birth);
    EXPECT_EQ(birth->parent.id(), parent_id);
    EXPECT_EQ(birth->child.id(), id);
    // The parent's key is neither in its files nor left in its memory.
    EXPECT_NE(key_bytes(own), parent_key);
    EXPECT_FALSE(holds(replica.at("pid").as_int64(), parent_key)) << host;
    EXPECT_FALSE(holds(replica.at("pid").as_int64(), hex_of(parent_key))) << host;
    EXPECT_TRUE(holds(replica.at("pid").as_int64(), key_bytes(own)));  // it is looked for well
    for (const auto& sibling : siblings) {
      EXPECT_FALSE(holds(replica.at("pid").as_int64(), sibling)) << host;
      EXPECT_FALSE(holds(replica.at("pid").as_int64(), hex_of(sibling))) << host;
    }
    siblings.push_back(key_bytes(own));
    // Its life begins with its parent's word, and with nothing else of its parent's.
    EXPECT_EQ(proved_ledger(own),
              (std::map<std::string, int>{
                  {"birth", 1}, {"host_join", 1}, {"icon_join", 1}, {"lease", 1}}));
  }
  EXPECT_EQ(ids.size(), 9u);
  EXPECT_EQ(overlays.size(), 9u);
  EXPECT_EQ(generations.size(), 9u);

  // The parent's user has noticed nothing, and nobody answers him twice.
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(before.draw());
  std::set<std::string> openssl;
  std::set<std::string> python;
  std::set<std::string> node;
  for (const char* at = kHosts; *at != '\0'; ++at) {
    const auto drawn = user(std::string(1, *at), kPort).draw();
    ASSERT_TRUE(drawn) << *at;
    openssl.insert(std::string(drawn->at("openssl").as_string()));
    python.insert(std::string(drawn->at("python").as_string()));
    node.insert(std::string(drawn->at("node").as_string()));
  }
  EXPECT_EQ(openssl.size(), 9u);
  EXPECT_EQ(python.size(), 9u);
  EXPECT_EQ(node.size(), 9u);

  // I4: what the parent has paid is what the leases of its replicas cost.
  const auto purse = icon_at("a", "dice").at("status").at("purse").as_object();
  EXPECT_EQ(purse.at("spent_ucredits").as_int64(), 8 * kDemoPriceUcredits);
  EXPECT_EQ(purse.at("held_ucredits").as_int64(), 0);
  auto told = proved_ledger(run_dir("a", parent_id));
  for (const char* kind : {"birth", "bid", "confirmation", "lease", "replica"})
    EXPECT_EQ(told[kind], 8) << kind;
}

// Without the hook the same numbers come out of two copies: what the hook is for, and the proof
// that the test above would notice.
TEST_F(ReplicasTest, TwinsWithoutAHookDrawTheSameNumbers) {
  run("twins", kTwinPort, false);
  ASSERT_FALSE(HasFailure());
  ASSERT_EQ(replicate("twins", "b"), "done");
  ASSERT_EQ(replicate("twins", "c"), "done");
  const auto one = user("b", kTwinPort).draw();
  const auto other = user("c", kTwinPort).draw();
  ASSERT_TRUE(one && other);
  EXPECT_EQ(*one, *other);
  // Which they say themselves.
  EXPECT_TRUE(icon::test::eventually([&] {
    const auto status = status_of("b", "twins");
    return status.contains("warnings") && status.at("warnings").as_array().size() == 1;
  }));
  const auto said = world_->run_icon("b", {"status"});
  ASSERT_TRUE(said) << said.error().message;
  EXPECT_NE(said->find("warning: nothing in this clone was reseeded"), std::string::npos) << *said;
}

// A copy whose hook fails serves nobody, and its parent goes on.
TEST_F(ReplicasTest, ACopyThatIsNotReseededIsGivenUp) {
  run("dice", kPort, true,
      std::string(kPolicy) +
          "replicate: {command: [/usr/bin/python3, -c, 'raise SystemExit(3)']}\n");
  ASSERT_FALSE(HasFailure());
  auto before = user("a", kPort);
  ASSERT_TRUE(before.draw());
  EXPECT_EQ(replicate("dice", "b"), "rolled_back");
  EXPECT_TRUE(before.draw());
  EXPECT_FALSE(icon_at("b", "dice").contains("id"));
  EXPECT_FALSE(user("b", kPort).connected());
  const auto purse = icon_at("a", "dice").at("status").at("purse").as_object();
  EXPECT_EQ(purse.at("spent_ucredits").as_int64(), 0);
  EXPECT_EQ(purse.at("held_ucredits").as_int64(), 0);
}

TEST_F(ReplicasTest, AFreshReplicaStartsFromTheImage) {
  run("dice", kPort, false, std::string(kPolicy) + "replicate: {mode: fresh}\n");
  ASSERT_FALSE(HasFailure());
  EXPECT_EQ(replicate("dice", "b"), "done");
  const auto replica = icon_at("b", "dice");
  ASSERT_TRUE(replica.contains("id"));
  EXPECT_NE(replica.at("id"), icon_at("a", "dice").at("id"));
  ASSERT_TRUE(icon::test::eventually([&] { return user("b", kPort).connected(); }));
  const auto one = user("a", kPort).draw();
  const auto other = user("b", kPort).draw();
  ASSERT_TRUE(one && other);
  EXPECT_NE(*one, *other);
}

}  // namespace
}  // namespace icon::lab
