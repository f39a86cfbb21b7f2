#include "supervisor/event_hub.h"

#include <algorithm>
#include <boost/asio/steady_timer.hpp>
#include <boost/json/serialize.hpp>

namespace icon::supervisor {
namespace asio = boost::asio;

struct EventHub::State {
  explicit State(IoContext& loop) : loop(loop) {}
  IoContext& loop;
  std::map<std::string, std::list<Queue*>> topics;
  std::list<asio::steady_timer*> waiting;  // for somebody who comes or the last who goes
  void wake() {
    for (auto* waiter : waiting) waiter->cancel();
  }
};

class EventHub::Queue final : public EventHub::Listener {
 public:
  Queue(std::shared_ptr<State> state, std::string topic)
      : state_(std::move(state)), topic_(std::move(topic)), something_(state_->loop) {
    state_->topics[topic_].push_back(this);
    state_->wake();
  }
  ~Queue() override {
    const auto topic = state_->topics.find(topic_);
    if (topic == state_->topics.end()) return;
    topic->second.remove(this);
    if (topic->second.empty()) state_->topics.erase(topic);
    state_->wake();
  }

  Task<Result<std::string>> next(Millis limit) override {
    if (lines_.empty() && !lagged_ && !closed_) {
      something_.expires_after(limit);
      co_await something_.async_wait(kNoThrow);
    }
    if (lagged_) co_return fail(Code::kLimit, "the listener reads too slowly");
    if (!lines_.empty()) {
      std::string line = std::move(lines_.front());
      lines_.pop_front();
      co_return line;
    }
    if (closed_) co_return fail(Code::kCancelled, "no more events");
    co_return fail(Code::kTimeout, "no event");
  }

  void push(const std::string& line) {
    if (lines_.size() >= kQueueMax)
      lagged_ = true;
    else
      lines_.push_back(line);
    something_.cancel();
  }
  void close() {
    closed_ = true;
    something_.cancel();
  }

 private:
  std::shared_ptr<State> state_;
  std::string topic_;
  asio::steady_timer something_;
  std::deque<std::string> lines_;
  bool lagged_ = false;
  bool closed_ = false;
};

EventHub::EventHub(IoContext& loop) : state_(std::make_shared<State>(loop)) {}
EventHub::~EventHub() {
  for (auto& [topic, queues] : state_->topics)
    for (auto* queue : queues) queue->close();
}

Result<std::unique_ptr<EventHub::Listener>> EventHub::listen(const std::string& topic) {
  if (listeners(topic) >= kListenersPerTopicMax)
    return fail(Code::kLimit, "too many listeners for these events");
  return std::unique_ptr<Listener>(std::make_unique<Queue>(state_, topic));
}

void EventHub::publish(const std::string& topic, const json::Object& event) {
  const auto found = state_->topics.find(topic);
  if (found == state_->topics.end()) return;
  const std::string line = boost::json::serialize(event);
  for (auto* queue : found->second) queue->push(line);
}

void EventHub::close(const std::string& topic) {
  const auto found = state_->topics.find(topic);
  if (found == state_->topics.end()) return;
  for (auto* queue : found->second) queue->close();
}

std::size_t EventHub::listeners(const std::string& topic) const {
  const auto found = state_->topics.find(topic);
  return found == state_->topics.end() ? 0 : found->second.size();
}

Task<bool> EventHub::until_listened(std::string topic, bool wanted, Millis limit) {
  const auto state = state_;
  asio::steady_timer timer(state->loop);
  const auto place = state->waiting.insert(state->waiting.end(), &timer);
  const auto remove = [&](void*) { state->waiting.erase(place); };
  int nothing = 0;
  const std::unique_ptr<int, decltype(remove)> on_every_way_out(&nothing, remove);
  const auto end = asio::steady_timer::clock_type::now() + limit;
  while ((state->topics.count(topic) > 0) != wanted) {
    if (asio::steady_timer::clock_type::now() >= end) co_return false;
    timer.expires_at(end);
    co_await timer.async_wait(kNoThrow);
  }
  co_return true;
}

Task<Status> EventHub::until_nobody_listens(const std::string& topic, Millis limit) {
  const bool silent = co_await until_listened(topic, false, limit);
  if (!silent) co_return fail(Code::kTimeout, "somebody still listens to " + topic);
  co_return Status{};
}

Task<Status> EventHub::until_somebody_listens(const std::string& topic, Millis limit) {
  const bool heard = co_await until_listened(topic, true, limit);
  if (!heard) co_return fail(Code::kTimeout, "nobody listens to " + topic);
  co_return Status{};
}

}  // namespace icon::supervisor
