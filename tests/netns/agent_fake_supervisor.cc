#include "agent_fake_supervisor.h"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/json/serialize.hpp>
#include <chrono>

#include "base/clock.h"
#include "base/encoding.h"
#include "budget/auction/cell.h"
#include "budget/auction/record.h"
#include "wire/ping.h"

namespace icon::agent {
namespace {

// Lets a handler be written as a plain function of the parsed body.
http::Handler plain(std::function<http::Response(const json::Object&)> answer) {
  return [answer = std::move(answer)](http::Request request) -> Task<http::Response> {
    json::Object body;
    if (!request.body.empty()) {
      auto parsed = json::parse_object(request.body, 4 << 20);
      if (!parsed) co_return http::error_response(parsed.error());
      body = std::move(*parsed);
    }
    co_return answer(body);
  };
}

UtcMillis now_ms() { return SystemClock().utc_ms(); }

}  // namespace

FakeSupervisor::FakeSupervisor(IoContext& loop, std::string socket_path, PublicKey icon)
    : loop_(loop), socket_path_(std::move(socket_path)), icon_(icon), news_(loop) {
  router_.on("GET", "/v1/self", plain([this](const json::Object&) { return self(); }));
  const auto answer_offer = plain([this](const auto& body) { return offer(body); });
  router_.on("POST", "/v1/self/offers",
             [this, answer_offer](http::Request request) -> Task<http::Response> {
               ++offers_asked;
               boost::asio::steady_timer never(loop_, std::chrono::steady_clock::time_point::max());
               if (holds_offers) co_await never.async_wait(boost::asio::use_awaitable);
               co_return co_await answer_offer(std::move(request));
             });
  router_.on("POST", "/v2/self/reservations",
             plain([this](const auto& body) { return reserve(body); }));
  router_.on("POST", "/v2/self/leases", plain([this](const auto& body) { return sell(body); }));
  router_.on("POST", "/v2/self/sales", plain([this](const auto& body) { return run_sale(body); }));
  router_.on("GET", "/v2/self/lease", plain([this](const auto&) { return own_lease(); }));
  router_.on("POST", "/v2/self/renewals", plain([this](const auto& body) { return renew(body); }));
  router_.on("POST", "/v2/self/documents",
             plain([this](const auto& body) { return papers(body); }));
  router_.on("POST", "/v1/self/pings", plain([this](const auto& body) { return pings(body); }));
  router_.on("POST", "/v1/self/migrations",
             plain([this](const auto& body) { return order(body); }));
  router_.on("POST", "/v1/self/decisions", plain([this](const auto& body) {
               decisions.push_back(body);
               return http::Response{204, {}, {}};
             }));
  router_.on("POST", "/v1/self/plan", plain([this](const auto& body) {
               plans.push_back(body);
               return http::Response{204, {}, {}};
             }));
  router_.on("PUT", "/v1/self/status", plain([this](const auto& body) {
               status = body;
               ++statuses;
               return http::Response{204, {}, {}};
             }));
  router_.on_stream("GET", "/v1/self/events",
                    [this](http::Request, http::LineWriter& lines) { return stream(lines); });
  listen();
}

void FakeSupervisor::listen() {
  auto server = http::serve_unix(loop_, socket_path_, 0600, icon_.id(), router_, {});
  if (server) server_ = std::move(*server);
}

bool FakeSupervisor::run_until(const std::function<bool()>& done, Millis limit) {
  const auto end = std::chrono::steady_clock::now() + limit;
  while (!done()) {
    if (std::chrono::steady_clock::now() > end) return false;
    loop_.restart();
    loop_.run_one_for(Millis(20));
  }
  return true;
}

Task<void> FakeSupervisor::stream(http::LineWriter& lines) {
  struct Counter {
    explicit Counter(int& value) : value_(value) { ++value_; }
    ~Counter() { --value_; }
    int& value_;
  } counter(streams_);
  ++hellos;
  if (!co_await lines.write_line(R"({"event":"hello"})")) co_return;
  for (;;) {
    while (!events_.empty()) {
      const std::string line = boost::json::serialize(events_.front());
      events_.pop_front();
      if (!co_await lines.write_line(line)) co_return;
    }
    news_.expires_after(Millis(60'000));
    co_await news_.async_wait(boost::asio::as_tuple(boost::asio::use_awaitable));
  }
}

json::Object FakeSupervisor::host_join() const {
  wire::LifeEvent event;
  event.activity = wire::LifeEvent::Activity::kHostJoin;
  event.id = supervisor.id();
  event.actor = event.icon = supervisor.public_key();
  event.made.push_back({"host-" + supervisor.id(), {}});
  event.started_ms = event.finished_ms = 1'700'000'000'000;
  return wire::seal(supervisor, event)->to_json();
}

http::Response FakeSupervisor::self() const {
  json::Array port_list;
  for (const auto port : ports)
    port_list.push_back(json::Object{{"proto", "tcp"}, {"container", port}, {"public", port}});
  json::Value own_lease = nullptr;
  if (current_lease_) own_lease = lease->to_json();
  return http::json_response(
      200, json::Object{{"icon", icon_.id()},
                        {"name", "test"},
                        {"epoch", epoch},
                        {"overlay", "100.64.0.1"},
                        {"supervisor", json::Object{{"id", supervisor.id()},
                                                    {"provider_name", provider_name},
                                                    {"api", "192.0.2.1:7946"},
                                                    {"public_address", public_address}}},
                        {"ports", port_list},
                        {"resources", wire::Resources{}.to_json()},
                        {"lease", own_lease},
                        {"host_join", host_join()},
                        {"providers", json::Array{}}});
}

http::Response FakeSupervisor::offer(const json::Object& body) {
  const std::string api(body.at("api").as_string());
  const std::string expected(body.at("id").as_string());
  const auto found = providers.find(api);
  if (found == providers.end())
    return http::error_response({Code::kTimeout, "connect to " + api + ": no answer"});
  FakeProvider& provider = *found->second;
  ++provider.offers;
  if (provider.full) return http::error_response({Code::kLimit, "no room"});
  if (provider.lies)
    return http::error_response(
        {Code::kUnauthenticated, "expected " + expected + ", met " + KeyPair::generate().id()});
  wire::Offer offer;
  offer.provider = provider.key.public_key();
  offer.provider_name = provider.name;
  offer.nonce = std::string(body.at("nonce").as_string());
  offer.resources = *wire::Resources::from_json(body.at("resources").as_object());
  offer.slot_seconds = body.at("slot_seconds").as_int64();
  offer.price_ucredits = provider.price_ucredits;
  offer.api = *Endpoint::parse(api);
  offer.public_address = offer.api.address;
  offer.issued_ms = now_ms();
  offer.expires_ms = now_ms() + 60'000;
  return http::json_response(200,
                             json::Object{{"offer", wire::seal(provider.key, offer)->to_json()},
                                          {"observed_id", provider.key.id()},
                                          {"connect_rtt_us", provider.connect_rtt_us}});
}

http::Response FakeSupervisor::pings(const json::Object& body) {
  FakeProvider& provider = *providers.at(std::string(body.at("api").as_string()));
  ++provider.pings;
  if (!provider.ping_us) return http::error_response({Code::kNotFound, "no such path"});
  const auto envelope = wire::parse_envelope(body.at("request"));
  const auto asked = envelope ? wire::open<wire::PingRequest>(*envelope) : fail(envelope.error());
  if (!asked) return http::error_response(asked.error());
  wire::PingReport report;
  report.provider = provider.key.public_key();
  report.request_digest = envelope->digest();
  for (const auto& target : asked->targets)
    report.figures.push_back({target, *provider.ping_us, 3, ""});
  report.issued_ms = now_ms();
  report.expires_ms = now_ms() + 60'000;
  const auto sealed = wire::seal(provider.key, report);
  return http::json_response(200, json::Object{{"report", sealed->to_json()}});
}

http::Response FakeSupervisor::reserve(const json::Object& body) {
  FakeProvider& provider = *providers.at(std::string(body.at("api").as_string()));
  const auto envelope = wire::parse_envelope(body.at("bid"));
  const auto bid = envelope ? wire::open<wire::Bid>(*envelope) : fail(envelope.error());
  if (!bid) return http::error_response(bid.error());
  bids.push_back(*bid);
  if (purse_held() != 0) held_too_early = true;
  const auto until_ms = now_ms() + 10'000;
  reservation_ = *wire::seal(
      provider.key, wire::Reservation{provider.key.public_key(), *envelope, now_ms(), until_ms});
  return http::json_response(200, json::Object{{"reservation", reservation_->to_json()}});
}

std::int64_t FakeSupervisor::purse_held() const {
  return status.contains("purse") ? status.at("purse").as_object().at("held_ucredits").as_int64()
                                  : 0;
}

http::Response FakeSupervisor::sell(const json::Object& body) {
  FakeProvider& provider = *providers.at(std::string(body.at("api").as_string()));
  ++provider.leases;
  const auto confirmation = wire::parse_envelope(body.at("confirmation"));
  const auto yes =
      confirmation ? wire::open<wire::Confirmation>(*confirmation) : fail(confirmation.error());
  if (!yes) return http::error_response(yes.error());
  if (!reservation_ || yes->reservation_digest != reservation_->digest())
    return http::error_response({Code::kNotFound, "no such reservation"});
  const auto& bid = bids.back();
  wire::Lease sold;
  sold.lease_id = random_token(9);
  sold.provider = provider.key.public_key();
  sold.bid = wire::Reservation::from_json(reservation_->body)->bid;
  sold.issued_ms = sold.start_ms = now_ms();
  sold.expires_ms = now_ms() + bid.slot_seconds * 1000;
  lease = *wire::seal(provider.key, sold);
  const wire::LeaseTerms terms{sold.provider, sold.lease_id, 990, 1000, 1000, 1000, now_ms()};
  const auto sealed_terms = *wire::seal(provider.key, terms);
  papers_[sold.lease_id] = {*lease, sealed_terms};
  ends_[sold.lease_id] = sold.expires_ms;
  return http::json_response(
      200, json::Object{{"lease", lease->to_json()}, {"terms", sealed_terms.to_json()}});
}

void FakeSupervisor::begin_sale() {
  auto& call = sale->call;
  const auto now = now_ms();
  secret_ = blake2b(random_token(32));
  call.auctioneer = auctioneer().public_key();
  if (sale->other) call.rule = wire::AuctionCall::Rule::kDouble;
  call.nonce = random_token(9);
  call.resources = {500, 256LL << 20, 100'000'000};
  call.slot_seconds = 3'600;
  call.slots = sale->other ? 0 : 1;
  call.deposit_ucredits = 10;
  call.seed_commitment = budget::auction::seed_commitment(secret_);
  call.issued_ms = now;
  call.commit_until_ms = now + sale->step.count();
  call.reveal_until_ms = call.commit_until_ms + sale->step.count();
  call.start_ms = sale->other ? 0 : call.reveal_until_ms;
  call.expires_ms = call.reveal_until_ms + 60'000;
  sale->documents = {*wire::seal(auctioneer(), call)};
}

wire::Envelope FakeSupervisor::commit_to_sale(const KeyPair& by, wire::MicroCredits price) {
  const auto id = sale->documents.front().digest();
  const auto& call = sale->call;
  const bool sells = sale->other != nullptr;
  const wire::AuctionBid bid{id,
                             by.public_key(),
                             sells ? wire::AuctionBid::Side::kSell : wire::AuctionBid::Side::kBuy,
                             call.resources,
                             sells ? budget::auction::current_window(call) : call.start_ms,
                             call.slot_seconds,
                             price,
                             random_token(18)};
  const auto sealed = *wire::seal(by, bid);
  sale->commits.push_back(
      *wire::seal(by, wire::AuctionCommit{id, by.public_key(), sealed.digest(), call.issued_ms}));
  return sealed;
}

// The close, with the others' commits; their bids, and the outcome when all have revealed.
void FakeSupervisor::advance_sale() {
  const auto& key = auctioneer();
  const auto id = sale->documents.front().digest();
  if (!sale->closed && now_ms() >= sale->call.commit_until_ms && !sale->commits.empty()) {
    std::vector<wire::Envelope> others;
    if (sale->other) {
      others.push_back(commit_to_sale(sale->provider->key, 1));
      others.push_back(commit_to_sale(sale->other->key, sale->rival));
    } else {
      others.push_back(commit_to_sale(rival_, sale->rival));
    }
    const auto close = budget::auction::close_auction(key, sale->documents.front(), sale->commits,
                                                      secret_, now_ms());
    for (const auto& each : sale->commits) sale->documents.push_back(each);
    sale->documents.push_back(*close);
    for (const auto& bid : others) {
      if (!sale->rival_shows) break;
      sale->documents.push_back(bid);
      sale->documents.push_back(
          *wire::seal(key, wire::AuctionAck{id, key.public_key(), bid.digest(), now_ms()}));
    }
    sale->closed = true;
  }
  const bool all = sale->rival_shows && sale->reveals > 0;
  if (sale->closed && !sale->has_outcome && (all || now_ms() >= sale->call.reveal_until_ms)) {
    auto outcome = *budget::auction::settle_auction(key, sale->documents, now_ms());
    if (sale->forged) {
      auto body = *wire::AuctionOutcome::from_json(outcome.body);
      body.trades = 0;
      outcome = *wire::seal(key, body);
    }
    sale->documents.push_back(outcome);
    sale->has_outcome = true;
  }
}

// Who sells in an exchange says where it is.
http::Response FakeSupervisor::list_sales(const FakeProvider* asked) {
  json::Object answer{{"sales", json::Array{}}};
  if (sale->other && asked != nullptr) {
    if (asked == sale->provider || asked == sale->other)
      answer["exchange"] = json::Object{{"id", rival_.id()}, {"api", kExchangeApi}};
    return http::json_response(200, answer);
  }
  exchange_lists += sale->other != nullptr;
  if (sale->other)
    answer["sellers"] =
        json::Array{json::Value(sale->provider->key.id()), json::Value(sale->other->key.id())};
  if (sale->other || asked == sale->provider)
    answer["sales"] = json::Array{json::Object{{"sale", sale->documents.front().digest()},
                                               {"call", sale->documents.front().to_json()}}};
  return http::json_response(200, answer);
}

http::Response FakeSupervisor::run_sale(const json::Object& body) {
  const std::string api(body.at("api").as_string());
  const auto found = providers.find(api);
  const auto* asked = found == providers.end() ? nullptr : found->second;
  if (!sale || (asked == nullptr && api != kExchangeApi))
    return http::json_response(200, json::Object{{"sales", json::Array{}}});
  if (sale->documents.empty()) begin_sale();
  advance_sale();
  const auto what = body.at("what").as_string();
  const auto id = sale->documents.front().digest();
  if (what == "list") return list_sales(asked);
  // An exchange has no slots, and its sellers no auction.
  if (sale->other && (what == "claim") != (asked == sale->provider))
    return http::error_response({Code::kNotFound, "no such sale here"});
  if (what == "commit") {
    if (sale->commits.empty()) sale->commits = {*wire::parse_envelope(body.at("commit"))};
    return http::json_response(200, json::Object{});
  }
  if (what == "reveal") {
    using Ear = Sale::Ear;
    if (!sale->closed) return http::error_response({Code::kConflict, "sealed"});
    const http::Response silence = http::error_response({Code::kTimeout, "no answer"});
    if (sale->ear == Ear::kDeaf || (sale->ear == Ear::kNoAnswer && sale->reveals > 0))
      return silence;
    const auto bid = *wire::parse_envelope(body.at("bid"));
    const auto& key = auctioneer();
    const wire::AuctionAck ack{id, key.public_key(), bid.digest(), now_ms()};
    sale->documents.push_back(bid);
    sale->documents.push_back(*wire::seal(key, ack));
    ++sale->reveals;
    if (sale->ear == Ear::kNoAnswer) return silence;
    return http::json_response(200, json::Object{{"ack", sale->documents.back().to_json()}});
  }
  if (what == "documents") {
    json::Array documents;
    for (const auto& document : sale->documents) documents.emplace_back(document.to_json());
    return http::json_response(200, json::Object{{"documents", documents}});
  }
  wire::Offer offer;
  offer.provider = sale->provider->key.public_key();
  offer.provider_name = sale->provider->name;
  offer.nonce = random_token(9);
  offer.resources = sale->call.resources;
  offer.slot_seconds = sale->call.slot_seconds;
  offer.price_ucredits = sale->rival;
  offer.api = *Endpoint::parse(sale->provider->api);
  offer.public_address = offer.api.address;
  offer.issued_ms = now_ms();
  offer.expires_ms = now_ms() + 60'000;
  return http::json_response(
      200, json::Object{{"offer", wire::seal(sale->provider->key, offer)->to_json()}});
}

http::Response FakeSupervisor::own_lease() const {
  if (!current_lease_) return http::error_response({Code::kNotFound, "no lease"});
  const auto id = wire::Lease::from_json(lease->body)->lease_id;
  json::Array documents;
  for (const auto& paper : papers_.at(id)) documents.emplace_back(paper.to_json());
  const auto price = wire::open<wire::Lease>(*lease)->verified_bid()->price_ucredits;
  return http::json_response(
      200, json::Object{{"documents", documents}, {"renewal_price_ucredits", price}});
}

http::Response FakeSupervisor::renew(const json::Object& body) {
  const auto envelope = wire::parse_envelope(body.at("renewal"));
  const auto asked = envelope ? wire::open<wire::Renewal>(*envelope) : fail(envelope.error());
  if (!asked) return http::error_response(asked.error());
  auto& papers = papers_.at(asked->lease_id);
  for (const auto& paper : papers) {
    const auto known = wire::open<wire::RenewedLease>(paper);
    if (known && known->renewal.digest() == envelope->digest())
      return http::json_response(200, json::Object{{"renewed_lease", paper.to_json()}});
  }
  renewals.push_back(*asked);
  auto& end_ms = ends_[asked->lease_id];
  end_ms += asked->seconds * 1000;
  papers.push_back(*wire::seal(
      supervisor, wire::RenewedLease{supervisor.public_key(), *envelope, now_ms(), end_ms}));
  if (std::exchange(lose_next_renewal, false))
    return http::error_response({Code::kTimeout, "the answer is lost"});
  return http::json_response(200, json::Object{{"renewed_lease", papers.back().to_json()}});
}

http::Response FakeSupervisor::papers(const json::Object& body) const {
  json::Array documents;
  for (const auto& paper : papers_.at(std::string(body.at("lease_id").as_string())))
    documents.emplace_back(paper.to_json());
  return http::json_response(200, json::Object{{"documents", documents}});
}

void FakeSupervisor::close_lease(const std::string& lease_id, const FakeProvider& by,
                                 std::int64_t used_seconds) {
  auto& papers = papers_.at(lease_id);
  wire::Receipt receipt;
  receipt.provider = by.key.public_key();
  receipt.icon = icon_;
  receipt.lease_id = lease_id;
  receipt.used_seconds = used_seconds;
  auto left = used_seconds;
  for (const auto& paper : papers) {
    wire::MicroCredits price = 0;
    std::int64_t seconds = 0;
    if (const auto lease = wire::open<wire::Lease>(paper)) {
      price = lease->verified_bid()->price_ucredits;
      seconds = lease->verified_bid()->slot_seconds;
    } else if (const auto renewed = wire::open<wire::RenewedLease>(paper)) {
      const auto asked = wire::Renewal::from_json(renewed->renewal.body);
      price = asked->price_ucredits;
      seconds = asked->seconds;
    } else {
      continue;
    }
    const auto used = std::min(left, seconds);
    left -= used;
    const auto charged = (price * used + seconds - 1) / seconds;
    receipt.charged_ucredits += charged;
    receipt.refunded_ucredits += price - charged;
  }
  receipt.issued_ms = now_ms();
  papers.push_back(*wire::seal(by.key, receipt));
}

http::Response FakeSupervisor::order(const json::Object& body) {
  const auto envelope = wire::parse_envelope(body.at("order"));
  const auto order = envelope ? wire::open<wire::MoveOrder>(*envelope) : fail(envelope.error());
  if (!order) return http::error_response(order.error());
  orders.push_back(*order);
  if (quiesce_on_order) send({{"event", "quiesce"}, {"migration", order->migration_id}});
  return http::json_response(202, json::Object{{"migration", order->migration_id}});
}

void FakeSupervisor::become(const FakeProvider& provider) {
  supervisor = KeyPair::from_seed([&] {
    std::array<std::uint8_t, 32> seed{};
    std::copy(provider.key.seed().begin(), provider.key.seed().end(), seed.begin());
    return seed;
  }());
  provider_name = provider.name;
  public_address = Endpoint::parse(provider.api)->address.to_string();
  ++epoch;
  current_lease_ = true;
}

}  // namespace icon::agent
