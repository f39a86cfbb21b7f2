// c-ares against DNS servers on the loopback interface, written here: one that answers, one that
// does not, one that lies. The real servers are in tests/netns/discovery_dns_test.cc.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/ip/udp.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <functional>

#include "discovery/parallel.h"
#include "discovery/resolver.h"
#include "tests/unit/discovery/dns_builder.h"
#include "tests/unit/discovery/run_task.h"

namespace icon::discovery {
namespace {

namespace asio = boost::asio;
using asio::ip::udp;

// Answers each query with what `reply` makes of it; an empty reply is silence.
class LoopbackServer {
 public:
  using Reply = std::function<Bytes(const Bytes&)>;
  LoopbackServer(IoContext& loop, Reply reply)
      : socket_(loop, udp::endpoint(asio::ip::address_v4::loopback(), 0)),
        reply_(std::move(reply)) {
    asio::co_spawn(loop, serve(), asio::detached);
  }
  std::string address() const {
    return "127.0.0.1:" + std::to_string(socket_.local_endpoint().port());
  }
  int queries = 0;

 private:
  Task<void> serve() {
    while (true) {
      Bytes query(4096);
      udp::endpoint from;
      const auto [error, size] = co_await socket_.async_receive_from(
          asio::buffer(query), from, asio::as_tuple(asio::use_awaitable));
      if (error) co_return;
      query.resize(size);
      ++queries;
      const Bytes answer = reply_(query);
      if (!answer.empty()) socket_.send_to(asio::buffer(answer), from);
    }
  }
  udp::socket socket_;
  Reply reply_;
};

// The question as it came, with one A record for it.
Bytes answer_with_a(const Bytes& query) {
  std::size_t end = 12;
  while (end < query.size() && query[end] != 0) end += query[end] + std::size_t{1};
  Bytes answer(query.begin(), query.begin() + static_cast<std::ptrdiff_t>(end + 5));
  answer[2] = 0x81;
  answer[3] = 0x80;
  answer[7] = 1;                // one answer
  answer[10] = answer[11] = 0;  // no OPT record
  put_u16(answer, 0xc00c);
  put_u16(answer, 1);
  put_u16(answer, 1);
  put_u32(answer, 60);
  put_u16(answer, 4);
  answer.insert(answer.end(), {192, 0, 2, 1});
  return answer;
}

std::unique_ptr<Resolver> resolver_to(IoContext& loop, const std::string& server,
                                      ResolverOptions options = {}) {
  options.servers = {server};
  auto resolver = make_cares_resolver(loop, options);
  EXPECT_TRUE(resolver);
  return std::move(*resolver);
}

TEST(CaresResolver, AsksNothingBetweenCloseAndTheNextBudget) {
  IoContext loop(1);
  LoopbackServer server(loop, answer_with_a);
  auto resolver = resolver_to(loop, server.address());
  for (int round = 0; round < 3; ++round) {
    const auto answer = run_task(loop, resolver->a("www.example"));
    ASSERT_TRUE(answer) << answer.error().message;
    EXPECT_EQ(answer->addresses.size(), 1u);
    EXPECT_EQ(answer->ttl_s, 60u);
    resolver->close();
    EXPECT_EQ(run_task(loop, resolver->a("late.example")).error().code, Code::kCancelled);
    resolver->start_budget(Millis(10'000));
  }
  EXPECT_EQ(server.queries, 3);
  resolver->close();
}

TEST(CaresResolver, ManyAtOnceWithinTheLimit) {
  IoContext loop(1);
  LoopbackServer server(loop, answer_with_a);
  auto resolver = resolver_to(loop, server.address(), {.in_flight_max = 10});
  int good = 0;
  const auto ask = [&](std::size_t i) -> Task<void> {
    const auto answer = co_await resolver->a("n" + std::to_string(i) + ".example");
    if (answer && !answer->empty()) ++good;
  };
  const auto all = [&]() -> Task<bool> {
    co_await for_each_index(500, 500, ask);
    co_return true;
  };
  run_task(loop, all());
  EXPECT_EQ(good, 500);
}

TEST(CaresResolver, DeadServerCostsBoundedTime) {
  IoContext loop(1);
  LoopbackServer server(loop, [](const Bytes&) { return Bytes(); });
  auto resolver = resolver_to(loop, server.address(),
                              {.in_flight_max = 10,
                               .try_timeout = Millis(40),
                               .query_timeout = Millis(300),
                               .dead_after = 5});
  int failed = 0;
  const auto ask = [&](std::size_t i) -> Task<void> {
    if (!co_await resolver->a("n" + std::to_string(i) + ".example")) ++failed;
  };
  const auto all = [&]() -> Task<bool> {
    co_await for_each_index(500, 500, ask);
    co_return true;
  };
  const auto begin = std::chrono::steady_clock::now();
  run_task(loop, all());
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(2));
  EXPECT_EQ(failed, 500);
  // Taken for dead: an immediate answer, without a packet.
  const int queries = server.queries;
  EXPECT_EQ(run_task(loop, resolver->a("x.example")).error().code, Code::kUnavailable);
  EXPECT_EQ(server.queries, queries);
}

TEST(CaresResolver, BudgetEndsEverything) {
  IoContext loop(1);
  LoopbackServer server(loop, [](const Bytes&) { return Bytes(); });
  auto resolver = resolver_to(loop, server.address(), {.in_flight_max = 2});
  resolver->start_budget(Millis(100));
  int timeouts = 0;
  const auto ask = [&](std::size_t) -> Task<void> {
    const auto answer = co_await resolver->a("x.example");
    if (!answer && answer.error().code == Code::kTimeout) ++timeouts;
  };
  const auto all = [&]() -> Task<bool> {
    co_await for_each_index(20, 20, ask);
    co_return true;
  };
  const auto begin = std::chrono::steady_clock::now();
  run_task(loop, all());
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(1));
  EXPECT_EQ(timeouts, 20);
}

TEST(CaresResolver, CloseEndsWhatIsUnderWay) {
  IoContext loop(1);
  LoopbackServer server(loop, [](const Bytes&) { return Bytes(); });
  auto resolver = resolver_to(loop, server.address(), {.in_flight_max = 3});
  int cancelled = 0;
  int ended = 0;
  for (int i = 0; i < 10; ++i) {
    asio::co_spawn(loop, resolver->a("x.example"), [&](std::exception_ptr, Result<Answer> answer) {
      if (!answer && answer.error().code == Code::kCancelled) ++cancelled;
      if (++ended == 10) loop.stop();
    });
  }
  loop.poll();
  resolver->close();
  loop.restart();
  loop.run();
  EXPECT_EQ(cancelled, 10);
}

TEST(CaresResolver, NobodyListens) {
  IoContext loop(1);
  auto resolver = resolver_to(loop, "127.0.0.1:1");
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_EQ(run_task(loop, resolver->a("x.example")).error().code, Code::kUnavailable);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(4));
}

TEST(CaresResolver, GarbageIsAnError) {
  IoContext loop(1);
  LoopbackServer server(loop, [](const Bytes& query) {
    Bytes answer = answer_with_a(query);
    answer.resize(answer.size() - 2);
    return answer;
  });
  auto resolver = resolver_to(loop, server.address(),
                              {.try_timeout = Millis(50), .query_timeout = Millis(300)});
  EXPECT_FALSE(run_task(loop, resolver->a("x.example")));
}

// The first label of the question: "n7" of n7.example.
std::string first_label(const Bytes& query) {
  return {query.begin() + 13, query.begin() + 13 + query[12]};
}

TEST(CaresResolver, AnswersForOtherNamesAreNotTaken) {
  IoContext loop(1);
  LoopbackServer other_question(loop, [](const Bytes& query) {
    Bytes answer = answer_with_a(query);
    answer[13] = 'y';
    return answer;
  });
  const ResolverOptions quick{.try_timeout = Millis(30), .query_timeout = Millis(150)};
  auto resolver = resolver_to(loop, other_question.address(), quick);
  EXPECT_EQ(run_task(loop, resolver->a("x.example")).error().code, Code::kTimeout);
  LoopbackServer other_owner(loop, [](const Bytes& query) {
    Bytes answer = answer_with_a(query);
    // The record's owner: the root instead of a pointer to the question.
    const auto owner = answer.end() - 16;
    answer.erase(owner);
    *owner = 0;
    return answer;
  });
  auto second = resolver_to(loop, other_owner.address(), quick);
  const auto answer = run_task(loop, second->a("x.example"));
  ASSERT_TRUE(answer) << answer.error().message;
  EXPECT_TRUE(answer->empty());
}

TEST(CaresResolver, NamesOfDeadServersDoNotHoldUpOthers) {
  IoContext loop(1);
  LoopbackServer server(loop, [](const Bytes& query) {
    const auto label = first_label(query);
    const bool dead = label.size() > 2 && label.ends_with("00");
    return dead ? Bytes() : answer_with_a(query);
  });
  auto resolver =
      resolver_to(loop, server.address(),
                  {.in_flight_max = 8, .try_timeout = Millis(40), .query_timeout = Millis(400)});
  int answered = 0;
  int failed = 0;
  const auto ask = [&](std::size_t i) -> Task<void> {
    const auto name = "n" + std::to_string(i) + ".d" + std::to_string(i) + ".example" + "." + "t" +
                      std::to_string(i);
    if (co_await resolver->a(name)) {
      ++answered;
    } else {
      ++failed;
    }
  };
  const auto all = [&]() -> Task<bool> {
    co_await for_each_index(2000, 2000, ask);
    co_return true;
  };
  run_task(loop, all());
  EXPECT_EQ(answered, 1981);
  EXPECT_EQ(failed, 19);
  // The server itself lives: it was asked, and said so.
  EXPECT_TRUE(run_task(loop, resolver->a("n1.example")));
}

TEST(CaresResolver, ADeadDomainIsGivenUp) {
  IoContext loop(1);
  LoopbackServer server(loop, [](const Bytes& query) {
    return first_label(query).starts_with("d") ? Bytes() : answer_with_a(query);
  });
  auto resolver = resolver_to(loop, server.address(),
                              {.domain_in_flight_max = 2,
                               .try_timeout = Millis(20),
                               .query_timeout = Millis(60),
                               .domain_dead_after = 4});
  int unavailable = 0;
  const auto ask = [&](std::size_t i) -> Task<void> {
    const auto number = std::to_string(i);
    const auto answer = co_await resolver->a("d" + number + ".dead.example");
    if (!answer && answer.error().code == Code::kUnavailable) ++unavailable;
    EXPECT_TRUE(co_await resolver->a("n" + number + ".fine.test"));
  };
  const auto all = [&]() -> Task<bool> {
    co_await for_each_index(100, 100, ask);
    co_return true;
  };
  run_task(loop, all());
  EXPECT_GE(unavailable, 90);
  EXPECT_EQ(run_task(loop, resolver->a("d.dead.example")).error().message,
            "d.dead.example A: nobody answers for dead.example");
}

TEST(CaresResolver, AServerThatRefusesIsPassedOver) {
  IoContext loop(1);
  LoopbackServer refuses(loop, [](const Bytes& query) {
    Bytes answer = answer_with_a(query);
    answer[3] = 0x85;
    return answer;
  });
  LoopbackServer answers(loop, answer_with_a);
  ResolverOptions options;
  options.servers = {refuses.address(), answers.address()};
  auto resolver = make_cares_resolver(loop, options);
  ASSERT_TRUE(resolver);
  EXPECT_TRUE(run_task(loop, (*resolver)->a("x.example")));
}

TEST(CaresResolver, ServersMustBeAddresses) {
  IoContext loop(1);
  for (const char* bad : {"dns.example", "1.2.3.4:99999", "", "1.2.3.4,5.6.7.8"}) {
    ResolverOptions options;
    options.servers = {bad};
    EXPECT_EQ(make_cares_resolver(loop, options).error().code, Code::kInvalid) << bad;
  }
}

}  // namespace
}  // namespace icon::discovery
