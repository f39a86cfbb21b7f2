// Three nodes of a DHT on the loopback of one namespace: what one publishes another finds, and of
// what strangers publish only what a provider has signed counts.
//
//   icon-dht a  127.0.0.1:4222      b, c bootstrap from a
//   icon-dht b  127.0.0.1:4223
//   icon-dht c  127.0.0.1:4224
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/json/serialize.hpp>
#include <filesystem>
#include <fstream>
#include <map>

#include "base/file.h"
#include "base/http_client.h"
#include "base/subprocess.h"
#include "discovery/dht_source.h"
#include "tests/eventually.h"
#include "wire/advertisement.h"
#include "wire/envelope.h"

namespace icon::discovery {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

const std::string kNetwork = "203.0.113.0/24";

// As the agent asks, without a supervisor in between.
class NodeLookup final : public DhtLookup {
 public:
  explicit NodeLookup(std::string socket) : socket_(std::move(socket)) {}
  Task<Result<std::vector<DhtValue>>> values(std::vector<std::string> keys) override {
    json::Array list;
    for (const auto& key : keys) list.emplace_back(key);
    http::UnixRequest request;
    request.socket_path = socket_;
    request.method = "POST";
    request.target = "/v1/lookups";
    request.body = boost::json::serialize(json::Object{{"keys", std::move(list)}});
    ICON_CO_TRY(const auto response, co_await http::request(std::move(request)));
    ICON_CO_TRY(const auto text, http::body_or_error(response));
    ICON_CO_TRY(const auto object, json::parse_object(text, 1 << 20));
    ICON_CO_TRY(left_out, json::get_int(object, "left_out", 0, 1'000));
    ICON_CO_TRY(const auto* values, json::get_array(object, "values", 512));
    std::vector<DhtValue> found;
    for (const auto& item : *values)
      found.push_back(
          {std::string(item.at("key").as_string()), std::string(item.at("value").as_string())});
    co_return found;
  }
  std::int64_t left_out = 0;

 private:
  std::string socket_;
};

class DhtNetwork : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(geteuid(), 0u) << "this test makes a network namespace: run it as root";
    char pattern[] = "/tmp/icon-dht-XXXXXX";
    ASSERT_NE(mkdtemp(pattern), nullptr);
    directory_ = pattern;
    netns_ = directory_.substr(5);
    run({"ip", "netns", "add", netns_});
    run({"ip", "-n", netns_, "link", "set", "lo", "up"});
    start("a");
    ASSERT_TRUE(test::eventually([&] { return ask("a", "GET", "/v1/status").has_value(); }))
        << log_of("a");
    for (const char* name : {"b", "c"}) start(name);
    for (const char* name : {"a", "b", "c"})
      ASSERT_TRUE(test::eventually([&] { return good_nodes(name) >= 1; })) << log_of(name);
  }
  void TearDown() override {
    for (auto& [name, node] : nodes_) node.stop();
    if (!netns_.empty()) run({"ip", "netns", "del", netns_});
    if (!directory_.empty()) std::filesystem::remove_all(directory_);
  }

  static void run(std::vector<std::string> argv) {
    Command command;
    command.argv = std::move(argv);
    const auto status = run_checked_blocking(std::move(command));
    EXPECT_TRUE(status) << status.error().message;
  }
  std::string socket(const std::string& name) const { return directory_ + "/" + name + ".sock"; }
  std::string log_of(const std::string& name) const {
    return read_file(directory_ + "/" + name + ".log", 1 << 20).value_or("no log");
  }

  void start(const std::string& name) {
    UniqueFd log(::open((directory_ + "/" + name + ".log").c_str(), O_CREAT | O_WRONLY, 0600));
    ChildProcess::Options options;
    options.argv = {"nsenter",
                    "--net=/run/netns/" + netns_,
                    std::string(ICON_BIN_DIR) + "/icon-dht",
                    "--listen",
                    "127.0.0.1:" + std::to_string(4222 + (name[0] - 'a')),
                    "--socket",
                    socket(name)};
    if (name != "a") options.argv.insert(options.argv.end(), {"--bootstrap", "127.0.0.1:4222"});
    options.error_fd = log.get();
    auto node = ChildProcess::start(std::move(options));
    ASSERT_TRUE(node) << node.error().message;
    nodes_.emplace(name, std::move(*node));
  }

  Result<std::string> ask(const std::string& name, const std::string& method,
                          const std::string& target, const std::string& body = "") const {
    http::UnixRequest request;
    request.socket_path = socket(name);
    request.method = method;
    request.target = target;
    request.body = body;
    ICON_TRY(const auto response, http::request_blocking(std::move(request)));
    return http::body_or_error(response);
  }
  std::int64_t good_nodes(const std::string& name) const {
    const auto text = ask(name, "GET", "/v1/status");
    if (!text) return 0;
    const auto object = json::parse_object(*text, 1024);
    return object ? json::get_int(*object, "good_nodes", 0, 1'000).value_or(0) : 0;
  }

  static wire::Advertisement word(std::uint8_t seed) {
    wire::Advertisement word;
    word.provider = KeyPair::from_seed({seed}).public_key();
    word.name = "edge" + std::to_string(seed);
    word.apis = {*Endpoint::parse("192.0.2." + std::to_string(seed) + ":7946")};
    word.networks = {*Prefix::parse(kNetwork)};
    word.nonce = "n1";
    word.issued_ms = SystemClock().utc_ms() - 1'000;
    word.expires_ms = word.issued_ms + 1'800'000;
    return word;
  }
  static std::string sealed(const wire::Advertisement& word, std::uint8_t signer) {
    const auto envelope = wire::seal(KeyPair::from_seed({signer}), "advertisement", word.to_json());
    return boost::json::serialize(envelope->to_json());
  }
  void publish(const std::string& node, const std::string& value) {
    const json::Object body{{"keys", json::Array{json::Value(kNetwork)}}, {"value", value}};
    const auto status = ask(node, "PUT", "/v1/advertisement", boost::json::serialize(body));
    ASSERT_TRUE(status) << status.error().message;
  }
  Findings find(const std::string& node) {
    NodeLookup lookup(socket(node));
    const SystemClock clock;
    DhtProviderSource source(lookup, clock, {});
    Surroundings around({}, {*Address::parse("203.0.113.9")});
    Findings findings;
    IoContext loop(1);
    boost::asio::co_spawn(loop, source.find(std::move(around)),
                          [&](std::exception_ptr failure, Findings found) {
                            if (failure) std::rethrow_exception(failure);
                            findings = std::move(found);
                          });
    loop.run();
    left_out_ = lookup.left_out;
    return findings;
  }

  std::string directory_;
  std::string netns_;
  std::map<std::string, ChildProcess> nodes_;
  std::int64_t left_out_ = 0;
};

TEST_F(DhtNetwork, OnePublishesAndAnotherFinds) {
  publish("a", sealed(word(1), 1));
  publish("b", sealed(word(2), 2));
  Findings found;
  ASSERT_TRUE(test::eventually([&] { return (found = find("c")).providers.size() == 2; }));
  EXPECT_THAT(found.rejected, IsEmpty());
  // A fresh word takes the place of the old one; until that is forgotten, both are one provider.
  auto again = word(1);
  again.nonce = "n2";
  publish("a", sealed(again, 1));
  EXPECT_THAT(find("b").providers, SizeIs(2));
  // A parser of strangers' bytes is nobody.
  struct stat info {};
  ASSERT_EQ(stat(("/proc/" + std::to_string(nodes_.at("a").pid())).c_str(), &info), 0);
  EXPECT_NE(info.st_uid, 0u);
}

TEST_F(DhtNetwork, WhatStrangersPublishIsRefused) {
  publish("a", sealed(word(1), 3));  // in another's name
  auto old = word(2);
  old.issued_ms -= 7'200'000;
  old.expires_ms -= 7'200'000;
  publish("b", sealed(old, 2));
  Findings found;
  ASSERT_TRUE(test::eventually([&] { return (found = find("c")).rejected.size() == 2; }));
  EXPECT_THAT(found.providers, IsEmpty());
  std::vector<std::string> reasons;
  for (const auto& rejection : found.rejected) reasons.push_back(rejection.reason);
  EXPECT_THAT(reasons, Contains(HasSubstr("is signed by")));
  EXPECT_THAT(reasons, Contains(HasSubstr("expired")));
  // Too large: the node itself leaves it out.
  publish("c", std::string(5'000, 'x'));
  EXPECT_TRUE(test::eventually([&] { return find("b").providers.empty() && left_out_ == 1; }));
}

TEST_F(DhtNetwork, NonsenseIsAnsweredWithAReason) {
  EXPECT_EQ(ask("a", "POST", "/v1/lookups", "{").error().code, Code::kInvalid);
  EXPECT_EQ(ask("a", "POST", "/v1/lookups", R"({"keys":[1]})").error().code, Code::kInvalid);
  std::string many = "\"x\"";
  for (int i = 0; i < 64; ++i) many += ",\"x\"";
  EXPECT_FALSE(ask("a", "POST", "/v1/lookups", "{\"keys\":[" + many + "]}"));
  EXPECT_THAT(find("a").providers, IsEmpty()) << "nothing was published";
}

}  // namespace
}  // namespace icon::discovery
