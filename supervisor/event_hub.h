// Events for those who listen: an ICON's agent (topic "icon/<id>") and people who watch a move
// (topic "migration/<id>"). Nothing is kept for those who come later. Loop thread only.
#pragma once

#include <deque>
#include <list>
#include <map>
#include <memory>
#include <string>

#include "base/clock.h"
#include "base/json.h"
#include "base/result.h"
#include "base/task.h"

namespace icon::supervisor {

class EventHub {
 public:
  static constexpr std::size_t kQueueMax = 256;  // per listener; one that lags is cut off
  static constexpr std::size_t kListenersPerTopicMax = 16;

  class Listener {
   public:
    virtual ~Listener() = default;
    // The next event, as one line of JSON. Errors: kTimeout after `limit`, kCancelled when the hub
    // closed the topic, kLimit when the listener lagged.
    virtual Task<Result<std::string>> next(Millis limit) = 0;
  };

  explicit EventHub(IoContext& loop);
  ~EventHub();

  // Errors: kLimit.
  Result<std::unique_ptr<Listener>> listen(const std::string& topic);
  void publish(const std::string& topic, const json::Object& event);
  // Ends the listeners of a topic once they have read what is queued.
  void close(const std::string& topic);
  std::size_t listeners(const std::string& topic) const;
  // Waits until nobody listens: how a quiesced agent says that it is ready. Errors: kTimeout.
  Task<Status> until_nobody_listens(const std::string& topic, Millis limit);

  // Errors: kTimeout.
  Task<Status> until_somebody_listens(const std::string& topic, Millis limit);

  static std::string icon_topic(const std::string& icon_id) { return "icon/" + icon_id; }
  static std::string reseed_topic(const std::string& icon_id) { return "reseed/" + icon_id; }
  static std::string plan_topic(const std::string& icon_id, const std::string& request) {
    return "plan/" + icon_id + "/" + request;
  }
  static std::string migration_topic(const std::string& id) { return "migration/" + id; }

 private:
  struct State;
  class Queue;
  Task<bool> until_listened(std::string topic, bool wanted, Millis limit);
  std::shared_ptr<State> state_;
};

}  // namespace icon::supervisor
