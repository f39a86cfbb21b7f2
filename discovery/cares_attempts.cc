// What becomes of a question that was sent: answered, asked again, given up.
#include <algorithm>
#include <utility>

#include "discovery/cares_resolver.h"

namespace icon::discovery {
namespace {

constexpr Millis kSweepEvery{10};

SteadyTime now() { return std::chrono::steady_clock::now(); }

// What c-ares carries for us.
struct Envelope {
  CaresResolver* resolver;
  std::shared_ptr<Pending> pending;
  std::size_t attempt;
};

}  // namespace

Status CaresResolver::open(Server& server) {
  if (server.channel) return {};
  auto channel = std::make_shared<DnsChannel>(loop_);
  ICON_CHECK(channel->open(server.address, options_.query_timeout));
  server.channel = std::move(channel);
  return {};
}

// From here on the places are given back by finish().
Status CaresResolver::begin(const std::shared_ptr<Pending>& pending, std::size_t server) {
  stats_.in_flight_peak = std::max(stats_.in_flight_peak, in_flight_ + slow_);
  const auto at = now();
  pending->deadline = std::min(at + options_.query_timeout, budget_end_);
  pending->finished.expires_at(SteadyTime::max());
  pending->place = outstanding_.insert(outstanding_.end(), pending);
  pending->attempts.reserve(static_cast<std::size_t>(options_.tries));
  auto status = attempt(pending, server, at);
  if (!status) {
    pending->attempts.push_back({server, at, false});
    if (!pending->result) finish(*pending, fail(status.error()));
  }
  start_sweep();
  return status;
}

Status CaresResolver::attempt(const std::shared_ptr<Pending>& pending, std::size_t index,
                              SteadyTime at) {
  Server& server = servers_[index];
  ICON_CHECK(open(server));
  const auto tries = pending->attempts.size();
  if (tries > 0) ++stats_.repeated;
  ++stats_.packets;
  pending->attempts.push_back({index, at, true});
  pending->next_step = at + server.pace.wait() * (1 << std::min<std::size_t>(tries, 4));
  server.channel->send(pending->name, pending->type, &CaresResolver::on_answer,
                       new Envelope{this, pending, tries});
  return {};
}

void CaresResolver::on_answer(void* argument, int status, int /*timeouts*/, unsigned char* bytes,
                              int length) {
  const std::unique_ptr<Envelope> envelope(static_cast<Envelope*>(argument));
  CaresResolver& self = *envelope->resolver;
  Pending& pending = *envelope->pending;
  Attempt& attempt = pending.attempts[envelope->attempt];
  attempt.open = false;
  const bool answered = bytes != nullptr && length > 0;
  if (answered) {
    Server& server = self.servers_[attempt.server];
    server.heard = now();
    server.silent = 0;
    server.dead_until = {};
  }
  if (pending.result) return;  // a late answer
  if (!answered) return self.take_failure(pending, dns_error(status, pending.what()));
  self.take_answer(
      pending, envelope->attempt,
      parse_answer({bytes, static_cast<std::size_t>(length)}, pending.name, pending.type));
}

void CaresResolver::take_answer(Pending& pending, std::size_t index, Result<Answer> answer) {
  if (!answer) return take_failure(pending, answer.error());
  Attempt& attempt = pending.attempts[index];
  Server& server = servers_[attempt.server];
  const auto rtt = std::chrono::duration_cast<Micros>(server.heard - attempt.sent);
  Attempt& first = pending.attempts.front();
  if (index > 0 && first.open && rtt < server.pace.wait() / 2) {
    servers_[first.server].pace.on_lost(server.heard);
  } else {
    server.pace.on_answer(rtt, !waiting_.empty());
  }
  finish(pending, std::move(answer));
}

// A server that was not asked yet may know better; the sweep asks it.
void CaresResolver::take_failure(Pending& pending, Error error) {
  pending.last_error = std::move(error);
  const auto at = now();
  const auto unasked = [&](const Server& server) {
    const auto index = static_cast<std::size_t>(&server - servers_.data());
    return at >= server.dead_until &&
           std::none_of(pending.attempts.begin(), pending.attempts.end(),
                        [&](const Attempt& attempt) { return attempt.server == index; });
  };
  if (pending.attempts.size() < static_cast<std::size_t>(options_.tries) &&
      std::any_of(servers_.begin(), servers_.end(), unasked)) {
    pending.next_step = at;
    return;
  }
  const bool open = std::any_of(pending.attempts.begin(), pending.attempts.end(),
                                [](const Attempt& attempt) { return attempt.open; });
  if (!open) finish(pending, fail(*pending.last_error));
}

void CaresResolver::finish(Pending& pending, Result<Answer> result) {
  const auto keep = *pending.place;
  const auto& first = pending.attempts.front();
  Domain& domain = pending.domain->second;
  if (result) {
    domain.silent = 0;
  } else if (result.error().code == Code::kTimeout && servers_[first.server].heard > first.sent &&
             ++domain.silent >= options_.domain_dead_after) {
    domain.dead_until = now() + options_.dead_for;
    refuse_all(domain.waiting, {Code::kUnavailable, "nobody answers for " + pending.domain->first});
  }
  pending.result = std::move(result);
  outstanding_.erase(pending.place);
  if (pending.slow) {
    --slow_;
  } else {
    release_server(first.server);
  }
  release_domain(domain);
  pending.finished.cancel();
}

void CaresResolver::start_sweep() {
  if (sweeping_ || outstanding_.empty()) return;
  sweeping_ = true;
  sweep_.expires_after(kSweepEvery);
  sweep_.async_wait([this, alive = alive_](auto error) {
    if (!*alive) return;
    sweeping_ = false;
    if (error) return;
    sweep();
    start_sweep();
  });
}

void CaresResolver::sweep() {
  const auto at = now();
  for (auto next = outstanding_.begin(); next != outstanding_.end();) {
    const auto pending = *next++;
    if (at >= pending->deadline) {
      finish(*pending, fail(pending->last_error.value_or(
                           Error{Code::kTimeout, pending->what() + ": no answer in time"})));
    } else if (at >= pending->next_step) {
      step(pending);
    }
  }
  for (auto& server : servers_)
    if (server.silent >= options_.dead_after && server.probing &&
        at - server.probe_sent >= options_.try_timeout && server.heard < server.probe_sent)
      bury(server);
}

void CaresResolver::step(const std::shared_ptr<Pending>& pending) {
  const Attempt& last = pending->attempts.back();
  note_silence(servers_[last.server], last.sent);
  if (!pending->slow && slow_ < options_.slow_max) {
    pending->slow = true;
    ++slow_;
    release_server(pending->attempts.front().server);
  }
  pending->next_step = pending->deadline;
  if (pending->attempts.size() >= static_cast<std::size_t>(options_.tries)) return;
  const auto server = pick_server(pending.get());
  if (!server) return;
  if (auto status = attempt(pending, *server, now()); !status && !pending->result)
    finish(*pending, fail(status.error()));
}

void CaresResolver::note_silence(Server& server, SteadyTime sent) {
  if (server.heard > sent) return;
  ++server.silent;
  if (server.doubtful() && !server.probing) probe(server);
}

// A question that any server answers, if only by refusing.
void CaresResolver::probe(Server& server) {
  if (!open(server)) return;
  server.probing = true;
  server.probe_sent = now();
  ++stats_.packets;
  server.channel->send(
      ".", RecordType::kA,
      [](void* argument, int, int, unsigned char* bytes, int) {
        Server& probed = *static_cast<Server*>(argument);
        probed.probing = false;
        if (bytes == nullptr) return;
        probed.heard = now();
        probed.silent = 0;
        probed.dead_until = {};
      },
      &server);
}

void CaresResolver::bury(Server& server) {
  server.dead_until = now() + options_.dead_for;
  server.probing = false;
  if (!all_dead()) return;
  const Error error{Code::kUnavailable, "no DNS server answers"};
  refuse_all(waiting_, error);
  for (auto& [name, domain] : domains_) refuse_all(domain.waiting, error);
  while (!outstanding_.empty()) {
    Pending& pending = *outstanding_.front();
    finish(pending, fail(error.code, pending.what() + ": " + error.message));
  }
}

}  // namespace icon::discovery
