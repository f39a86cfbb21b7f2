#include "agent/dns_keeper.h"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/json/serialize.hpp>
#include <memory>
#include <utility>

#include "agent/dns_update.h"
#include "base/file.h"
#include "base/log.h"

namespace icon::agent {
namespace {

namespace asio = boost::asio;

constexpr std::int64_t kVersion = 1;
constexpr std::size_t kFileBytesMax = 64 << 10;
constexpr const char* kFile = "/names.json";
constexpr Millis kReapMax{2'000};

// A child that tells Init how it ended.
struct Child {
  explicit Child(const asio::any_io_executor& executor)
      : ended(executor, asio::steady_timer::time_point::max()) {}
  asio::steady_timer ended;
  std::optional<int> status;
};

DnsOutcome failure(std::string code, std::string message) {
  DnsOutcome outcome;
  outcome.code = std::move(code);
  outcome.message = std::move(message);
  return outcome;
}

}  // namespace

void DnsKeeper::load() {
  if (std::exchange(loaded_, true)) return;
  const auto text = read_file(parts_.state_dir + kFile, kFileBytesMax);
  if (!text) return;
  const auto read = [&]() -> Status {
    ICON_TRY(const auto object, json::parse_object(*text, kFileBytesMax));
    ICON_TRY(const auto version, json::get_int(object, "version", 1, kVersion));
    (void)version;
    ICON_TRY(const auto here, json::get_string(object, "here", 64));
    ICON_TRY(here_, Address::parse(here));
    ICON_TRY(const auto* former, json::get_array(object, "former", kDnsFormerMax));
    for (const auto& value : *former) {
      if (!value.is_object()) return fail(Code::kInvalid, "a former host is no object");
      ICON_TRY(const auto address, json::get_string(value.get_object(), "address", 64));
      Former each;
      ICON_TRY(each.address, Address::parse(address));
      ICON_TRY(each.until_ms, json::get_int(value.get_object(), "until_ms", 0, INT64_MAX / 2));
      former_.push_back(each);
    }
    return {};
  }();
  if (!read) log::warn("dns.file_damaged", {{"message", read.error().message}});
}

void DnsKeeper::save() {
  json::Array former;
  for (const auto& each : former_)
    former.push_back(
        json::Object{{"address", each.address.to_string()}, {"until_ms", each.until_ms}});
  const json::Object file{{"version", kVersion},
                          {"here", here_ ? here_->to_string() : "0.0.0.0"},
                          {"former", std::move(former)}};
  const auto saved =
      write_file_atomic(parts_.state_dir + kFile, boost::json::serialize(file), 0600);
  if (!saved) log::warn("dns.not_saved", {{"message", saved.error().message}});
}

std::vector<Address> DnsKeeper::wanted(const DnsPlaces& places) {
  const UtcMillis now_ms = parts_.clock.utc_ms();
  bool changed = false;
  if (places.here && here_ != places.here) {
    if (here_) former_.insert(former_.begin(), Former{*here_, places.slot_end_ms});
    here_ = places.here;
    changed = true;
  }
  // A renewal of the lease here is one of our stubs elsewhere, too.
  for (auto& each : former_)
    if (each.until_ms < places.slot_end_ms) each.until_ms = places.slot_end_ms, changed = true;
  changed |= std::erase_if(former_, [&](const Former& each) {
               return each.address == here_ || each.until_ms <= now_ms;
             }) > 0;
  if (former_.size() > kDnsFormerMax) former_.resize(kDnsFormerMax);
  if (changed) save();
  std::vector<Address> want;
  if (places.leaving) return want;
  using Own = DnsUpdatePolicy::Own;
  const Own own = parts_.policy->own;
  if (own != Own::kOff && here_) want.push_back(*here_);
  if (own == Own::kAdd)
    for (const auto& each : former_) want.push_back(each.address);
  want.insert(want.end(), places.replicas.begin(), places.replicas.end());
  std::sort(want.begin(), want.end());
  want.erase(std::unique(want.begin(), want.end()), want.end());
  if (want.size() > kDnsAddressesMax) want.resize(kDnsAddressesMax);
  return want;
}

void DnsKeeper::keep(const DnsPlaces& places, const std::string& owner) {
  if (!used() || closed_) return;
  load();
  owner_ = owner;
  auto want = wanted(places);
  // What is new is tried at once, unless the last attempt failed: then it has its turn.
  const bool is_new = want_ != want;
  want_ = std::move(want);
  const UtcMillis now_ms = parts_.clock.utc_ms();
  const bool due = now_ms >= next_ms_ || next_ms_ - now_ms > kDnsAgain.count();
  const bool goes_well = failures_ == 0 || places.leaving;
  if (running_ || !(due || (is_new && goes_well))) return;
  running_ = true;
  parts_.tasks.spawn("dns", update_task());
}

void DnsKeeper::forget() {
  loaded_ = false;
  owner_.clear();
  want_.reset();
  present_.reset();
  here_.reset();
  former_.clear();
  foreign_.clear();
  code_.clear();
  message_.clear();
  failures_ = done_ms_ = next_ms_ = 0;
}

Task<void> DnsKeeper::update_task() {
  struct Done {
    bool& running;
    ~Done() { running = false; }
  } done{running_};
  bool again = true;
  while (again) {
    const auto asked = *want_;
    const auto outcome = co_await run_child();
    if (outcome.code == "cancelled") {
      next_ms_ = 0;  // with the next look
      // The last wish is not given up with the round that was under way when the service ended.
      if (!then_) co_return;
      continue;
    }
    if (outcome.code.empty()) present_ = asked;
    note(outcome);
    // Something has changed meanwhile; there is no later time for the last wish.
    again = want_ != asked && (outcome.code.empty() || then_);
  }
  if (then_) std::exchange(then_, {})();
}

// Cancelled or too slow, it is killed, and reaped before this returns.
Task<DnsOutcome> DnsKeeper::run_child() {
  const auto& policy = *parts_.policy;
  const DnsRequest request{policy.server, policy.zone, policy.name, policy.key_file,
                           policy.ttl_s,  owner_,      *want_,      parts_.clock.utc_ms()};
  const auto executor = co_await asio::this_coro::executor;
  unlink((parts_.state_dir + kDnsOutcomeFile).c_str());
  const auto written = write_file_atomic(parts_.state_dir + kDnsRequestFile,
                                         boost::json::serialize(request.to_json()), 0600);
  if (!written) co_return failure("failed", written.error().message);
  const auto child = std::make_shared<Child>(executor);
  const std::vector<std::string> argv{"/proc/self/exe", "dns-update", parts_.state_dir};
  const auto pid = parts_.run(argv, [child](int status) {
    child->status = status;
    child->ended.cancel();
  });
  if (!pid) co_return failure("failed", pid.error().message);
  co_await asio::this_coro::throw_if_cancelled(false);
  boost::system::error_code ignored;
  child->ended.expires_after(kDnsRunMax);
  if (!child->status)
    co_await child->ended.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  const bool in_time = child->status.has_value();
  const auto cancellation = co_await asio::this_coro::cancellation_state;
  const bool is_cancelled = cancellation.cancelled() != asio::cancellation_type::none;
  if (!in_time) {
    kill(*pid, SIGKILL);
    co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
    child->ended.expires_after(kReapMax);
    co_await child->ended.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  }
  if (!in_time && is_cancelled) co_return failure("cancelled", "");
  if (!in_time) co_return failure("timeout", "the update did not end in time");
  if (*child->status != 0)
    co_return failure("failed", "the update ended with status " + std::to_string(*child->status));
  const auto text = read_file(parts_.state_dir + kDnsOutcomeFile, kFileBytesMax);
  if (!text) co_return failure("failed", text.error().message);
  const auto object = json::parse_object(*text, kFileBytesMax);
  auto outcome = object ? DnsOutcome::from_json(*object) : Result<DnsOutcome>(fail(object.error()));
  if (!outcome) co_return failure("failed", outcome.error().message);
  co_return std::move(*outcome);
}

void DnsKeeper::note(const DnsOutcome& outcome) {
  const UtcMillis now_ms = parts_.clock.utc_ms();
  const auto& name = parts_.policy->name;
  const bool repeated =
      std::exchange(code_, outcome.code) == outcome.code && message_ == outcome.message;
  message_ = outcome.message;
  if (!outcome.code.empty()) {
    const int doublings = static_cast<int>(std::min<std::int64_t>(failures_++, 10));
    const auto wait =
        std::min<std::int64_t>(kDnsRetryFirst.count() << doublings, kDnsRetryMax.count());
    next_ms_ = now_ms + wait;
    if (!repeated)
      log::warn("dns.failed", {{"name", name},
                               {"server", parts_.policy->server.to_string()},
                               {"code", code_},
                               {"message", message_},
                               {"again_in_ms", wait},
                               {"consequence", "users are led there by redirection only"}});
    return;
  }
  if (std::exchange(failures_, 0) > 0) log::info("dns.well_again", {{"name", name}});
  done_ms_ = now_ms;
  next_ms_ = now_ms + kDnsAgain.count();
  if (!outcome.added.empty() || !outcome.removed.empty())
    log::info("dns.updated",
              {{"name", name},
               {"added", boost::json::serialize(addresses_json(outcome.added))},
               {"removed", boost::json::serialize(addresses_json(outcome.removed))}});
  if (std::exchange(foreign_, outcome.foreign) != outcome.foreign && !foreign_.empty())
    log::info("dns.foreign",
              {{"name", name},
               {"addresses", boost::json::serialize(addresses_json(foreign_))},
               {"consequence", "there by another hand, and left there when the ICON goes"}});
}

void DnsKeeper::finish(std::function<void()> then) {
  const bool anything = used() && !closed_ && want_ && present_ != want_;
  if (!anything || (!running_ && failures_ > 0)) return then();
  const auto limit = std::make_shared<asio::steady_timer>(parts_.loop, kDnsFarewellMax);
  const auto once = std::make_shared<std::function<void()>>(std::move(then));
  const auto end = [once] {
    if (*once) std::exchange(*once, {})();
  };
  then_ = [limit, end] {
    limit->cancel();
    end();
  };
  limit->async_wait([limit, end](boost::system::error_code error) {
    if (!error) end();
  });
  if (running_) return;
  running_ = true;
  parts_.tasks.spawn("dns", update_task());
}

json::Object DnsKeeper::status_json() const {
  if (!used()) return {};
  const auto& policy = *parts_.policy;
  const char* state = !want_              ? "waiting"
                      : failures_ > 0     ? "failing"
                      : present_ == want_ ? "ok"
                                          : "pending";
  return {{"name", policy.name},
          {"zone", policy.zone},
          {"server", policy.server.to_string()},
          {"state", state},
          {"wanted", addresses_json(want_.value_or(std::vector<Address>()))},
          {"present", addresses_json(present_.value_or(std::vector<Address>()))},
          {"foreign", addresses_json(foreign_)},
          {"code", code_},
          {"message", message_},
          {"failures", failures_},
          {"next_ms", next_ms_},
          {"done_ms", done_ms_}};
}

}  // namespace icon::agent
