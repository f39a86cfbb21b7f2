// A supervisor for the agent's tests: the ICON's own socket (docs/api.md, section 1) with scripted
// providers behind it. No runtime, no TLS, no money: what the agent says is kept and checked.
#pragma once

#include <boost/asio/steady_timer.hpp>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/digest.h"
#include "base/http_server.h"
#include "base/keys.h"
#include "base/task.h"
#include "wire/auction.h"
#include "wire/ledger.h"
#include "wire/tenancy.h"

namespace icon::agent {

struct FakeProvider {
  std::string name;
  std::string api;  // as the policy names it
  KeyPair key = KeyPair::generate();
  wire::MicroCredits price_ucredits = 1'000;
  bool full = false;                    // nothing at a posted price
  bool lies = false;                    // TLS shows another key than the one that was expected
  std::optional<std::int64_t> ping_us;  // what it says about every user; absent: no ping API
  std::int64_t connect_rtt_us = 900;
  int offers = 0;
  int leases = 0;
  int pings = 0;
};

class FakeSupervisor {
 public:
  // Listens at `socket_path` for the ICON with this id.
  FakeSupervisor(IoContext& loop, std::string socket_path, PublicKey icon);

  void listen();
  void stop() { server_.reset(); }
  // Runs the loop until `done`; false when that takes longer than `limit`.
  bool run_until(const std::function<bool()>& done, Millis limit = Millis(30'000));
  void send(json::Object event) { events_.push_back(std::move(event)), news_.cancel(); }
  bool connected() const { return streams_ > 0; }
  // Somebody else's host now: another supervisor, a later epoch, the lease that was sold.
  void become(const FakeProvider& provider);

  KeyPair supervisor = KeyPair::generate();
  std::string provider_name = "far";
  std::string public_address = "192.0.2.1";  // what users dial
  std::int64_t epoch = 1;
  std::vector<std::uint16_t> ports;
  std::map<std::string, FakeProvider*> providers;  // by api

  // The provider's last word on the lease that is left: so many seconds were used.
  void close_lease(const std::string& lease_id, const FakeProvider& by, std::int64_t used_seconds);

  // One slot of `provider` goes to the highest of two sealed bids; the other is `rival`'s. Or, with
  // an `other` provider, both sell in somebody's exchange: `rival` is what the other asks.
  struct Sale {
    FakeProvider* provider = nullptr;
    wire::MicroCredits rival = 0;
    bool forged = false;  // the outcome is not what the documents give
    FakeProvider* other = nullptr;
    Millis step{1'500};
    wire::AuctionCall call{};
    std::vector<wire::Envelope> documents{};
    std::vector<wire::Envelope> commits{};
    int reveals = 0;
    bool closed = false;
    enum class Ear { kOpen, kDeaf, kNoAnswer };
    Ear ear = Ear::kOpen;      // to reveals; at kNoAnswer they count all the same
    bool rival_shows = true;   // or keeps silent
    bool has_outcome = false;  // signed
  };
  static constexpr const char* kExchangeApi = "192.0.2.99:7946";
  std::optional<Sale> sale;

  // What the agent did.
  std::vector<wire::Bid> bids;
  std::optional<wire::Envelope> lease;
  std::vector<wire::MoveOrder> orders;
  std::vector<json::Object> decisions;
  std::vector<json::Object> plans;
  json::Object status;
  std::vector<wire::Renewal> renewals;
  bool lose_next_renewal = false;  // it is granted, and its answer does not arrive
  int exchange_lists = 0;          // it asked an exchange for its sales
  bool holds_offers = false;       // whoever asks for one waits
  int offers_asked = 0;
  int hellos = 0;
  int statuses = 0;
  // Sent along with the answer to an order.
  bool quiesce_on_order = true;
  // Money was held before a slot was locked.
  bool held_too_early = false;

 private:
  http::Response self() const;
  json::Object host_join() const;
  http::Response offer(const json::Object& body);
  http::Response reserve(const json::Object& body);
  http::Response pings(const json::Object& body);
  http::Response sell(const json::Object& body);
  std::int64_t purse_held() const;
  http::Response order(const json::Object& body);
  http::Response run_sale(const json::Object& body);
  const KeyPair& auctioneer() const { return sale->other ? rival_ : sale->provider->key; }
  http::Response list_sales(const FakeProvider* asked);
  void begin_sale();
  // A commit, and what it is to; a buyer's or a seller's.
  wire::Envelope commit_to_sale(const KeyPair& by, wire::MicroCredits price);
  void advance_sale();
  http::Response own_lease() const;
  http::Response renew(const json::Object& body);
  http::Response papers(const json::Object& body) const;
  Task<void> stream(http::LineWriter& lines);

  IoContext& loop_;
  std::string socket_path_;
  PublicKey icon_;
  http::Router router_;
  std::unique_ptr<http::Server> server_;
  std::deque<json::Object> events_;
  boost::asio::steady_timer news_;
  int streams_ = 0;
  bool current_lease_ = false;
  std::map<std::string, std::vector<wire::Envelope>> papers_;  // by lease
  std::map<std::string, UtcMillis> ends_;
  KeyPair rival_ = KeyPair::generate();
  Digest secret_{};
  std::optional<wire::Envelope> reservation_;
};

}  // namespace icon::agent
