// What providers say about their distance to our users: whom to ask about whom and when, and what
// they answered. Pure but for the clock; bounded.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "agent/provider_book.h"
#include "base/clock.h"
#include "base/keys.h"
#include "wire/ping.h"

namespace icon::agent {

struct PingBookLimits {
  Millis age_max{120'000};  // then a figure is asked for again
  Millis put_off{60'000};   // after an answer that was none
  std::size_t providers_max = 64;
  Millis request_lifetime{30'000};
};

// Owner: the survey. One thread.
class PingBook {
 public:
  explicit PingBook(const Clock& clock, PingBookLimits limits = {})
      : clock_(clock), limits_(limits) {}

  // A signed request about those of `users` with most weight whose figure is missing or old;
  // nullopt when nothing is due. `may_know_private`: users with private addresses are named only
  // to providers that the owner has named himself.
  std::optional<wire::Envelope> due(const KeyPair& key, const PublicKey& provider,
                                    const Representatives& users, bool may_know_private);
  // Errors: kUnauthenticated (another signer, another request), kExpired, kInvalid.
  Status take(const wire::Envelope& report, const PublicKey& provider,
              const std::string& request_digest);
  // It did not answer, or nonsense.
  void put_off(const PublicKey& provider);
  // The figures that are not too old.
  std::map<Prefix, std::int64_t> figures(const std::string& provider_id) const;
  void clear() { books_.clear(); }

 private:
  struct Figure {
    std::optional<std::int64_t> rtt_us;
    SteadyTime at{};
  };
  struct Book {
    std::map<Prefix, Figure> figures;
    std::map<Address, Prefix> asked;  // in the request under way
    SteadyTime not_before{};
  };
  Book* book_of(const PublicKey& provider);
  bool old(const Figure& figure) const { return clock_.steady() - figure.at >= limits_.age_max; }

  const Clock& clock_;
  PingBookLimits limits_;
  std::map<std::string, Book> books_;  // by provider id
};

}  // namespace icon::agent
