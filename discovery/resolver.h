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
  // Ends what is under way and closes every socket. Whoever was at work may still ask: that fails
  // with kCancelled until the next start_budget().
  virtual void close() = 0;

  Task<Result<Answer>> ptr(Address address);
  Task<Result<Answer>> srv(std::string name) { return query(std::move(name), RecordType::kSrv); }
  Task<Result<Answer>> txt(std::string name) { return query(std::move(name), RecordType::kTxt); }
  Task<Result<Answer>> a(std::string name) { return query(std::move(name), RecordType::kA); }
  Task<Result<Answer>> aaaa(std::string name) { return query(std::move(name), RecordType::kAaaa); }
};

struct ResolverOptions {
  std::vector<std::string> servers{};  // "192.0.2.1", "192.0.2.1:5353"; empty: /etc/resolv.conf
  // To all servers together. Each server's own share grows and shrinks with what it answers.
  std::size_t in_flight_max = 256;
  std::size_t slow_max = 512;             // beside them: questions that were not answered at once
  std::size_t domain_in_flight_max = 64;  // of one registrable domain, or one reverse /16 or /32
  std::size_t waiting_max = 4096;         // beyond: kLimit
  Millis try_timeout{1'000};              // the longest wait before the next server is asked
  int tries = 3;
  Millis query_timeout{3'500};
  // So many questions without any answer, a probe included: the server is dead until `dead_for` has
  // passed. With no server left, what waits and what comes fails at once.
  int dead_after = 24;
  // So many questions in a row that the servers did not answer while they answered others: those
  // of the domain are dead, and further questions about it fail at once.
  int domain_dead_after = 6;
  Millis dead_for{5'000};
};

struct ResolverStats {
  std::uint64_t queries = 0;   // asked of us
  std::uint64_t packets = 0;   // sent: with repetitions and probes
  std::uint64_t repeated = 0;  // questions asked again
  std::size_t in_flight_peak = 0;
  std::size_t window = 0;  // of the servers together, now
};

class NetworkResolver : public Resolver {
 public:
  virtual ResolverStats stats() const = 0;
};

// Sockets exist only between the first query and close().
// `loop` must outlive the resolver and run on the thread that calls it.
// Errors: kInvalid for a server that is not an address; kIo.
Result<std::unique_ptr<NetworkResolver>> make_cares_resolver(IoContext& loop,
                                                             ResolverOptions options);
// `servers` (or those of /etc/resolv.conf), checked and with their ports.
Result<std::vector<std::string>> dns_servers(const std::vector<std::string>& servers);

struct CacheLimits {
  std::size_t entries_max = 4096;
  std::size_t bytes_max = 1 << 20;  // approximately: of names and records
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
  std::size_t bytes() const { return bytes_; }
  std::uint64_t hits() const { return hits_; }

 private:
  struct Entry {
    std::string key;
    Answer answer;
    SteadyTime expires;
    std::size_t bytes;
  };
  using Place = std::list<Entry>::iterator;
  void remember(std::string key, const Answer& answer);
  void forget(Place place);

  Resolver& inner_;
  const Clock& clock_;
  CacheLimits limits_;
  std::list<Entry> entries_;  // most recently used first
  std::unordered_map<std::string, Place> index_;
  std::size_t bytes_ = 0;
  std::uint64_t hits_ = 0;
};

}  // namespace icon::discovery
