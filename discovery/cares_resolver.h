// Inside of the resolver on the real network: several servers, each through c-ares, each with its
// own pace. A question that is not answered at once is asked again elsewhere and leaves the window:
// names whose servers are dead must not hold up the others. For cares_*.cc only.
#pragma once

#include <boost/asio/steady_timer.hpp>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "discovery/dns_channel.h"
#include "discovery/dns_pace.h"
#include "discovery/resolver.h"

namespace icon::discovery {

// A coroutine that waits for a place. Whoever hands one over sets `server` and wakes it.
struct Waiter {
  explicit Waiter(IoContext& loop) : finished(loop) {}
  boost::asio::steady_timer finished;
  bool woken = false;
  std::size_t server = 0;
  std::optional<Error> refusal;
};
using Waiters = std::list<std::shared_ptr<Waiter>>;

struct Domain {
  std::size_t in_flight = 0;
  Waiters waiting;
  int silent = 0;  // in a row
  SteadyTime dead_until{};
};

inline constexpr int kDoubtfulAfter = 4;  // silences; then a probe is sent

struct Server {
  Server(std::string of, PaceLimits limits) : address(std::move(of)), pace(limits) {}
  std::string address;
  std::shared_ptr<DnsChannel> channel;
  DnsPace pace;
  std::size_t in_flight = 0;
  int silent = 0;  // in a row
  bool probing = false;
  SteadyTime probe_sent{};
  SteadyTime heard{};
  SteadyTime dead_until{};

  bool doubtful() const { return silent >= kDoubtfulAfter; }
};

using Domains = std::unordered_map<std::string, Domain>;

struct Attempt {
  std::size_t server = 0;
  SteadyTime sent{};
  bool open = true;
};

struct Pending {
  Pending(IoContext& loop, std::string asked, RecordType asked_type)
      : name(std::move(asked)), type(asked_type), finished(loop) {}
  std::string what() const { return name + ' ' + std::string(to_string(type)); }

  std::string name;
  RecordType type;
  boost::asio::steady_timer finished;
  std::optional<Result<Answer>> result;
  std::optional<Error> last_error;
  std::vector<Attempt> attempts;
  Domains::value_type* domain = nullptr;
  SteadyTime deadline{};
  SteadyTime next_step{};
  bool slow = false;  // no longer in the window of its first server
  std::list<std::shared_ptr<Pending>>::iterator place;
};

class CaresResolver final : public NetworkResolver {
 public:
  CaresResolver(IoContext& loop, ResolverOptions options, const std::vector<std::string>& servers);
  ~CaresResolver() override { close(); }

  Task<Result<Answer>> query(std::string name, RecordType type) override;
  void start_budget(Millis budget) override {
    budget_end_ = std::chrono::steady_clock::now() + budget;
    closed_ = false;
  }
  void close() override;
  ResolverStats stats() const override;

 private:
  Status usable(const Pending& pending) const;
  Status usable(const Pending& pending, const Domain& domain) const;
  bool all_dead() const;
  Domains::value_type* remember_domain(const std::string& name);
  Task<Status> wait_for_place(Waiters& waiters, std::shared_ptr<Waiter> waiter);
  Task<Status> take_domain_place(std::shared_ptr<Pending> pending);
  void release_domain(Domain& domain);
  std::optional<std::size_t> pick_server(const Pending* again);
  void release_server(std::size_t server);
  void refuse_all(Waiters& waiters, Error error);

  Status begin(const std::shared_ptr<Pending>& pending, std::size_t server);
  Status attempt(const std::shared_ptr<Pending>& pending, std::size_t server, SteadyTime at);
  Status open(Server& server);
  static void on_answer(void* argument, int status, int timeouts, unsigned char* bytes, int length);
  void take_answer(Pending& pending, std::size_t attempt, Result<Answer> answer);
  void take_failure(Pending& pending, Error error);
  void finish(Pending& pending, Result<Answer> result);

  void start_sweep();
  void sweep();
  void step(const std::shared_ptr<Pending>& pending);
  void note_silence(Server& server, SteadyTime sent);
  void probe(Server& server);
  void bury(Server& server);

  IoContext& loop_;
  ResolverOptions options_;
  std::vector<Server> servers_;
  Domains domains_;
  // What is right above a name -> its domain: the public suffix list is slow.
  std::unordered_map<std::string, Domains::value_type*> parents_;
  Waiters waiting_;
  std::list<std::shared_ptr<Pending>> outstanding_;
  boost::asio::steady_timer sweep_;
  bool sweeping_ = false;
  std::size_t in_flight_ = 0;  // in the windows
  std::size_t slow_ = 0;
  std::size_t waiters_ = 0;
  SteadyTime budget_end_ = SteadyTime::max();
  bool closed_ = false;
  ResolverStats stats_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace icon::discovery
