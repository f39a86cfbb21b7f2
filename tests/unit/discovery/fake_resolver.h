// A resolver that answers from a table. What is not in the table does not exist.
#pragma once

#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "discovery/resolver.h"

namespace icon::discovery {

class FakeResolver final : public Resolver {
 public:
  Task<Result<Answer>> query(std::string name, RecordType type) override {
    // As with the real one, the answer comes in a later turn of the loop.
    co_await boost::asio::post(co_await boost::asio::this_coro::executor,
                               boost::asio::use_awaitable);
    const Key key{name, type};
    ++asked[key];
    if (const auto error = errors.find(key); error != errors.end()) co_return fail(error->second);
    const auto found = answers.find(key);
    if (found == answers.end()) co_return Answer{};
    co_return found->second;
  }
  void start_budget(Millis budget) override { last_budget = budget; }
  void close() override { ++closed; }

  using Key = std::pair<std::string, RecordType>;
  Answer& at(const std::string& name, RecordType type, std::uint32_t ttl_s = 300) {
    Answer& answer = answers[{name, type}];
    answer.ttl_s = ttl_s;
    return answer;
  }
  void add_hop(const char* address, const std::string& name) {
    at(reverse_name(*Address::parse(address)), RecordType::kPtr).names.push_back(name);
  }
  // One provider the way `icon provider dns-records` writes it.
  void add_provider(const std::string& domain, const std::string& host, const char* address,
                    const std::string& text, std::uint16_t priority = 10) {
    at("_icon._tcp." + domain, RecordType::kSrv).srv.push_back({priority, 1, 7946, host});
    at(host, RecordType::kA).addresses.push_back(*Address::parse(address));
    at("_icon._tcp." + domain, RecordType::kTxt).texts.push_back(text);
  }

  std::map<Key, Answer> answers;
  std::map<Key, Error> errors;
  std::map<Key, int> asked;
  Millis last_budget{0};
  int closed = 0;
};

}  // namespace icon::discovery
