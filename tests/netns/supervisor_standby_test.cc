// Standbys between two real supervisors of one owner, each in a namespace of its own:
//
//   icon-core-<pid>a 192.0.2.10 (holder) --veth-- icon-core-<pid>b 192.0.2.20 (keeps room)
//
// In the second half the test speaks with a's key in a's namespace, and says what no honest holder
// would.
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/this_coro.hpp>
#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <thread>

#include "base/encoding.h"
#include "migration/worker.h"
#include "supervisor/container_spec.h"
#include "supervisor/peer_client.h"
#include "tests/netns/supervisor_host.h"
#include "wire/continuity.h"

namespace icon::test {
namespace {

using supervisor::PeerClient;
using supervisor::PeerRequest;

constexpr std::int64_t kBytesMax = 600'000;  // of a contract that the test makes
const wire::Resources kRoom{1'000, 2'000'000'000, 100'000'000};

class StandbyTest : public ::testing::Test {
 protected:
  void SetUp() override {
    SupervisorHost::join(a_, b_);
    // Who they are is known once they have begun.
    a_.start();
    b_.start();
    a_.stop(SIGTERM);
    begin(600);
    a_key_ = *KeyPair::load(a_.directory() + "/state/host.key", false);
    ASSERT_EQ(a_key_->id(), a_.id());
  }
  void TearDown() override { EXPECT_EQ(b_.left_overs(), ""); }
  void begin(int standby_seconds) {
    b_.stop(SIGTERM);
    a_.write_config(
        cluster("{name: b, id: " + b_.id() + ", api: \"" + b_.api() + "\"}", standby_seconds));
    b_.write_config(cluster("{name: a, id: " + a_.id() + ", api: \"" + a_.api() +
                                "\"}, {name: c, id: " + c_.id() + ", api: \"192.0.2.30:7946\"}",
                            standby_seconds));
    b_.start();
  }
  static std::string cluster(const std::string& siblings, int standby_seconds) {
    return "continuity: {mode: cluster, standbys_max: 2, staged_bytes_max: 200000000, "
           "contract_seconds: 600, standby_seconds: " +
           std::to_string(standby_seconds) + ", siblings: [" + siblings + "]}\n";
  }

  // ---- A call as another host, from a's namespace.
  http::Response call(const KeyPair& as, const std::string& method, const std::string& target,
                      const json::Object& body, const std::string& layer = "") {
    http::Response answer;
    std::thread caller([&] {
      const auto netns = open_netns(a_.netns());
      ASSERT_TRUE(netns);
      (void)in_netns(*netns, [&]() -> Status {
        IoContext loop;
        auto client = *PeerClient::create(loop, as);
        PeerRequest request;
        request.api = *Endpoint::parse(b_.api());
        request.peer = PublicKey::from_id(b_.id()).value();
        request.method = method;
        request.target = target;
        if (!body.empty()) request.body = boost::json::serialize(body);
        boost::asio::co_spawn(loop, say(*client, std::move(request), layer, answer),
                              boost::asio::detached);
        loop.run();
        return {};
      });
    });
    caller.join();
    return answer;
  }
  static Task<void> say(PeerClient& client, PeerRequest request, std::string layer,
                        http::Response& answer) {
    std::unique_ptr<migration::TarSource> tar;
    std::optional<supervisor::UploadOf<migration::TarSource>> upload;
    if (!layer.empty()) {
      std::vector<migration::TreePart> parts{{"upper", layer + "/upper"}, {"bin", layer + "/bin"}};
      const auto executor = co_await boost::asio::this_coro::executor;
      tar = std::move(*migration::TarSource::start(executor, std::move(parts)));
      upload.emplace(*tar);
      request.upload = &*upload;
    }
    const auto said = co_await client.call(std::move(request));
    answer = said ? said->response : http::Response{0, "", said.error().message};
  }
  static std::string code_of(const http::Response& answer) {
    const auto body = http::body_or_error(answer);
    return body ? "" : std::string(to_string(body.error().code));
  }

  static ::testing::AssertionResult is_open(const http::Response& answer) {
    if (answer.status == 201) return ::testing::AssertionSuccess();
    return ::testing::AssertionFailure() << answer.body;
  }

  // ---- What a holder says.
  wire::Envelope contract(const KeyPair& holder) {
    wire::ContinuityProposal proposal;
    proposal.from = holder.public_key();
    proposal.to = *PublicKey::from_id(b_.id());
    proposal.issued_ms = SystemClock().utc_ms();
    proposal.sequence = proposal.issued_ms;
    proposal.resources = kRoom;
    proposal.standbys_max = 2;
    proposal.staged_bytes_max = kBytesMax;
    proposal.expires_ms = proposal.issued_ms + 300'000;
    const auto answer = call(holder, "POST", "/v1/continuity/contracts",
                             {{"proposal", wire::seal(holder, proposal)->to_json()}});
    EXPECT_EQ(answer.status, 200) << answer.body;
    return *wire::parse_envelope(json::parse_object(answer.body, 1 << 20)->at("contract"));
  }
  wire::StandbyOrder order(const KeyPair& icon, std::int64_t epoch = 1) {
    wire::StandbyOrder order;
    order.icon = icon.public_key();
    order.standby_id = random_token(16);
    order.epoch = epoch;
    order.from = a_key_->public_key();
    order.to = *PublicKey::from_id(b_.id());
    order.issued_ms = SystemClock().utc_ms();
    order.expires_ms = order.issued_ms + 120'000;
    return order;
  }
  json::Object request(const wire::Envelope& contract, const wire::Envelope& order,
                       std::int64_t cpu_millis = 400) {
    supervisor::ContainerSpec spec;
    spec.name = "svc";
    spec.command = {"svc"};
    spec.resources = {cpu_millis, 1'000'000, 1'000};
    return {{"contract", contract.to_json()},
            {"order", order.to_json()},
            {"name", "svc"},
            {"spec", spec.to_json()},
            {"image", std::string(64, 'a')},
            {"tunnel",
             json::Object{{"public_key", std::string(64, '1')}, {"endpoint", "192.0.2.10:51900"}}},
            {"anew", false}};
  }
  http::Response open(const wire::Envelope& contract, const KeyPair& icon,
                      const wire::StandbyOrder& order, std::int64_t cpu_millis = 400) {
    return call(*a_key_, "POST", "/v1/standbys",
                request(contract, *wire::seal(icon, order), cpu_millis));
  }
  http::Response put_layer(const std::string& standby, std::size_t bytes) {
    const std::string layer = a_.directory() + "/layer";
    std::filesystem::create_directories(layer + "/upper");
    std::filesystem::create_directories(layer + "/bin");
    std::ofstream(layer + "/upper/data") << std::string(bytes, 'x');
    return call(*a_key_, "PUT", "/v1/standbys/" + standby + "/layer", {}, layer);
  }
  void close(const std::string& standby) {
    const auto closed = call(*a_key_, "DELETE", "/v1/standbys/" + standby, {});
    EXPECT_EQ(closed.status, 200) << closed.body;
  }
  std::size_t kept() { return b_.get("/v1/continuity").at("standbys").as_array().size(); }

  SupervisorHost a_{"a", "192.0.2.10"};
  SupervisorHost b_{"b", "192.0.2.20"};
  KeyPair c_ = KeyPair::generate();
  std::optional<KeyPair> a_key_;
};

TEST_F(StandbyTest, AnIconIsPreparedForAtTheSiblingAndAgainAfterItsDeath) {
  a_.start();
  const auto icon = a_.run_icon("echo", R"(["icon-core-echo","echo","7000"])", "[]");
  const auto id = SupervisorHost::text(icon, "id");
  const auto is_held = [&](bool ready) {
    return eventually(
        [&] {
          const auto all = a_.get("/v1/continuity");
          for (const auto& standby : all.at("standbys").as_array())
            if (standby.at("role") == "held") return standby.at("ready").as_bool() == ready;
          return false;
        },
        Millis(60'000));
  };
  ASSERT_TRUE(is_held(true)) << a_.log() << b_.log();
  const std::string agent = b_.icon_dir(id) + "/run/bin/icon-agent";
  EXPECT_TRUE(std::filesystem::exists(agent));
  EXPECT_EQ(kept(), 1u);
  // Where its owner's orders may lead it its agent has to know, though only `siblings` says so.
  const auto self = *a_.ask("GET", "/v1/self", "", a_.icon_dir(id) + "/run/supervisor.sock");
  EXPECT_NE(self.body.find(b_.id()), std::string::npos) << self.body;

  b_.stop(SIGKILL);
  b_.start();
  EXPECT_FALSE(std::filesystem::exists(agent)) << "it begins with nothing";
  ASSERT_TRUE(is_held(false));
  ASSERT_TRUE(is_held(true)) << a_.log() << b_.log();
  EXPECT_TRUE(std::filesystem::exists(agent));

  // The ICON ends: what is kept for it is given back.
  EXPECT_TRUE(a_.ask("DELETE", "/v1/icons/echo?grace_ms=2000"));
  EXPECT_TRUE(eventually([&] { return kept() == 0; })) << b_.log();
  EXPECT_EQ(a_.left_overs(), "");
}

// However short its time is: what was sent once is not sent again.
TEST_F(StandbyTest, AStandbyIsRenewedBeforeItIsOver) {
  begin(10);
  a_.start();
  a_.run_icon("echo", R"(["icon-core-echo","echo","7000"])", "[]");
  const auto times = [&](const std::string& event) {
    const auto log = b_.log();
    std::size_t count = 0;
    for (auto at = log.find(event); at != std::string::npos; at = log.find(event, at + 1)) ++count;
    return count;
  };
  EXPECT_TRUE(eventually([&] { return times("standby.given") >= 4; }, Millis(60'000)));
  EXPECT_EQ(times("standby.closed"), 0u) << b_.log();
  EXPECT_TRUE(a_.ask("DELETE", "/v1/icons/echo?grace_ms=2000"));
  EXPECT_TRUE(eventually([&] { return kept() == 0; })) << b_.log();
  EXPECT_EQ(a_.left_overs(), "");
}

// A brake that is lifted while its agent does not listen is lifted all the same: else whoever
// orders its moves waits for ever.
TEST_F(StandbyTest, ABrakeIsLiftedForAnAgentThatWasNotThere) {
  a_.start();
  a_.run_icon("echo", R"(["icon-core-echo","echo","7000"])", "[]");
  const auto is_held = [&](bool held) {
    return eventually([&] {
      const auto icon = a_.get("/v1/icons/echo");
      const auto* status = icon.if_contains("status");
      if (status == nullptr || !status->is_object()) return false;
      const auto* said = status->as_object().if_contains("held");
      return said != nullptr && said->as_bool() == held;
    });
  };
  ASSERT_TRUE(is_held(false));
  ASSERT_EQ(a_.ask("POST", "/v1/icons/echo/hold")->status, 200);
  ASSERT_TRUE(is_held(true));
  a_.stop(SIGKILL);
  a_.start();
  ASSERT_EQ(a_.ask("POST", "/v1/icons/echo/unhold")->status, 200);
  EXPECT_TRUE(is_held(false)) << a_.log();
  EXPECT_TRUE(a_.ask("DELETE", "/v1/icons/echo?grace_ms=2000"));
  EXPECT_TRUE(eventually([&] { return kept() == 0; })) << b_.log();
  EXPECT_EQ(a_.left_overs(), "");
}

TEST_F(StandbyTest, OrdersAreForOneHostOneEpochAndOneTime) {
  const auto icon = KeyPair::generate();
  const auto terms = contract(*a_key_);
  const auto good = order(icon, 3);
  ASSERT_TRUE(is_open(open(terms, icon, good)));
  EXPECT_EQ(code_of(open(terms, icon, good)), "conflict") << "replayed";

  auto wrong = order(icon, 3);
  wrong.from = c_.public_key();
  EXPECT_EQ(code_of(open(terms, icon, wrong)), "unauthenticated") << "another holder's";
  wrong = order(icon, 3);
  wrong.to = c_.public_key();
  EXPECT_EQ(code_of(open(terms, icon, wrong)), "unauthenticated") << "for another host";
  wrong = order(icon, 3);
  EXPECT_EQ(code_of(open(terms, c_, wrong)), "unauthenticated") << "not signed by the ICON";
  wrong.issued_ms -= 600'000;
  wrong.expires_ms = wrong.issued_ms + 60'000;
  EXPECT_EQ(code_of(open(terms, icon, wrong)), "expired");
  EXPECT_EQ(code_of(open(terms, icon, order(icon, 2))), "conflict") << "of an epoch that is over";

  // c has a contract too, and sees nothing of a's.
  const auto theirs = contract(c_);
  EXPECT_EQ(code_of(call(*a_key_, "POST", "/v1/standbys",
                         request(theirs, *wire::seal(icon, order(icon, 3))))),
            "unauthenticated")
      << "another's contract";
  for (const char* method : {"GET", "DELETE"})
    EXPECT_EQ(code_of(call(c_, method, "/v1/standbys/" + good.standby_id, {})), "unauthenticated");
  EXPECT_EQ(kept(), 1u);

  // What was kept, and what was said, after a death.
  b_.stop(SIGKILL);
  b_.start();
  EXPECT_EQ(b_.left_overs(), "");
  EXPECT_EQ(code_of(call(*a_key_, "GET", "/v1/standbys/" + good.standby_id, {})), "not_found");
  EXPECT_EQ(code_of(open(terms, icon, good)), "conflict") << "replayed";
  const auto again = order(icon, 3);
  EXPECT_TRUE(is_open(open(terms, icon, again))) << "the contract stands";
  const auto renewal = order(icon, 3);
  EXPECT_TRUE(is_open(open(terms, icon, renewal)));
  EXPECT_EQ(code_of(call(*a_key_, "DELETE", "/v1/standbys/" + again.standby_id, {})), "not_found")
      << "renewed: it has another name";
  close(renewal.standby_id);
}

TEST_F(StandbyTest, NothingAboveTheContract) {
  const auto one = KeyPair::generate();
  const auto two = KeyPair::generate();
  const auto terms = contract(*a_key_);
  const auto first = order(one);
  ASSERT_TRUE(is_open(open(terms, one, first, 600)));
  EXPECT_EQ(code_of(open(terms, two, order(two), 600)), "limit") << "1200 of 1000 m";
  const auto second = order(two);
  ASSERT_TRUE(is_open(open(terms, two, second, 400)));
  const auto three = KeyPair::generate();
  EXPECT_EQ(code_of(open(terms, three, order(three), 0)), "limit") << "the third of two";
  EXPECT_EQ(b_.get("/v1/status").at("free").at("cpu_millis"), 1'000);

  // Its bytes are for all standbys together, and one that has had too many is gone.
  EXPECT_EQ(code_of(put_layer(first.standby_id, 400'000)), "");
  EXPECT_EQ(code_of(put_layer(first.standby_id, 1'000)), "conflict") << "it has one";
  EXPECT_EQ(code_of(put_layer(second.standby_id, 400'000)), "limit");
  EXPECT_EQ(code_of(call(*a_key_, "GET", "/v1/standbys/" + second.standby_id, {})), "not_found");
  EXPECT_EQ(kept(), 1u);
  EXPECT_FALSE(std::filesystem::exists(b_.icon_dir(two.id())));
  // What is given back may be used again.
  close(first.standby_id);
  const auto third = order(two);
  ASSERT_TRUE(is_open(open(terms, two, third)));
  EXPECT_EQ(code_of(put_layer(third.standby_id, 400'000)), "");
  close(third.standby_id);

  // A contract that another has replaced opens nothing.
  const auto newer = contract(*a_key_);
  EXPECT_EQ(code_of(open(terms, one, order(one))), "expired");
  const auto last = order(one);
  EXPECT_TRUE(is_open(open(newer, one, last)));
  close(last.standby_id);
}

}  // namespace
}  // namespace icon::test
