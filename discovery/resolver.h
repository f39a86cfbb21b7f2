// Questions to the DNS as an interface: c-ares on the real network, a fake in tests, a cache around
// either.
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "base/task.h"
#include "discovery/dns_message.h"

namespace icon::discovery {

// Loop thread only.
class Resolver {
 public:
  virtual ~Resolver() = default;
  // Errors: kInvalid (not a name, malformed answer), kTimeout, kIo, kRefused, kUnavailable (no
  // server answers), kCancelled (closed meanwhile).
  virtual Task<Result<Answer>> query(std::string name, RecordType type) = 0;
  // All queries from now on share `budget`: what is not answered by then fails with kTimeout.
  virtual void start_budget(Millis budget) = 0;
  // Ends what is under way and closes every socket; the next query opens again.
  virtual void close() = 0;

  Task<Result<Answer>> ptr(Address address);
  Task<Result<Answer>> srv(std::string name) { return query(std::move(name), RecordType::kSrv); }
  Task<Result<Answer>> txt(std::string name) { return query(std::move(name), RecordType::kTxt); }
  Task<Result<Answer>> a(std::string name) { return query(std::move(name), RecordType::kA); }
  Task<Result<Answer>> aaaa(std::string name) { return query(std::move(name), RecordType::kAaaa); }
};

struct ResolverOptions {
  std::vector<std::string> servers{};  // "192.0.2.1", "192.0.2.1:5353"; empty: /etc/resolv.conf
  std::size_t in_flight_max = 100;     // more than this makes c-ares slower, not faster
  std::size_t waiting_max = 4096;      // beyond: kLimit
  Millis try_timeout{1'000};           // doubles with each try
  int tries = 2;
  Millis query_timeout{3'500};
  // So many queries in a row without any answer: the servers are taken for dead, the rest of the
  // queries fails at once until `dead_for` has passed.
  int dead_after = 24;
  Millis dead_for{5'000};
};

// Sockets exist only between the first query and close().
// `loop` must outlive the resolver and run on the thread that calls it.
// Errors: kInvalid for a server that is not an address.
Result<std::unique_ptr<Resolver>> make_cares_resolver(IoContext& loop, ResolverOptions options);

struct CacheLimits {
  std::size_t entries_max = 4096;
  std::uint32_t ttl_s_min = 5;
  std::uint32_t ttl_s_max = 3600;
  std::uint32_t negative_ttl_s_max = 300;
};

// Keeps answers, also empty ones, for their TTL; failures are not kept. The least recently used
// goes first. `inner` and `clock` are borrowed. close() keeps the entries.
class CachingResolver final : public Resolver {
 public:
  CachingResolver(Resolver& inner, const Clock& clock, CacheLimits limits);
  Task<Result<Answer>> query(std::string name, RecordType type) override;
  void start_budget(Millis budget) override { inner_.start_budget(budget); }
  void close() override { inner_.close(); }

  std::size_t size() const { return entries_.size(); }
  std::uint64_t hits() const { return hits_; }

 private:
  struct Entry {
    std::string key;
    Answer answer;
    SteadyTime expires;
  };
  void remember(std::string key, const Answer& answer);

  Resolver& inner_;
  const Clock& clock_;
  CacheLimits limits_;
  std::list<Entry> entries_;  // most recently used first
  std::unordered_map<std::string, std::list<Entry>::iterator> index_;
  std::uint64_t hits_ = 0;
};

}  // namespace icon::discovery
