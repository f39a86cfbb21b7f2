#include "supervisor/dht/dht_node.h"

#include <opendht/dhtrunner.h>

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <utility>

namespace icon::supervisor {
namespace {

namespace asio = boost::asio;

// Values of ours stand apart from what others keep in the same network.
dht::InfoHash place_of(const std::string& key) { return dht::InfoHash::get("icon1 " + key); }

// One look-up. Touched on the loop's thread only; the table's thread posts to it.
struct Search {
  Search(IoContext& loop, const DhtLimits& limits, std::size_t keys)
      : bounds(limits), ended(loop, limits.lookup_limit), unfinished(keys) {}

  void take(const std::string& key, std::string value) {
    std::size_t& count = counts[key];
    if (value.size() > bounds.value_bytes_max || count >= bounds.values_per_key_max ||
        bytes + value.size() > bounds.bytes_max) {
      ++found.left_out;
      return;
    }
    ++count;
    bytes += value.size();
    found.values.push_back({key, std::move(value)});
  }

  DhtLimits bounds;
  asio::steady_timer ended;
  std::size_t unfinished;
  std::size_t bytes = 0;
  std::map<std::string, std::size_t> counts;
  DhtFound found;
};

class OpenDhtNode final : public DhtNode {
 public:
  OpenDhtNode(IoContext& loop, DhtLimits limits) : loop_(loop), limits_(limits) {}
  ~OpenDhtNode() override { runner_.join(); }

  Status start(const DhtOptions& options) {
    dht::DhtRunner::Config config;
    auto& node = config.dht_config.node_config;
    node.max_req_per_sec = limits_.requests_per_second_max;
    node.max_store_size = limits_.store_bytes_max;
    node.max_store_keys = limits_.store_keys_max;
    node.public_stable = true;
    sockaddr_storage storage{};
    const auto length = options.listen.address.to_sockaddr(options.listen.port, storage);
    (options.listen.address.is_v4() ? config.bind4 : config.bind6) = dht::SockAddr(storage, length);
    try {
      runner_.run(config, {});
      for (const std::string& other : options.bootstrap) runner_.bootstrap(other);
    } catch (const std::exception& problem) {
      return fail(Code::kIo, "DHT at " + options.listen.to_string() + ": " + problem.what());
    }
    const auto family = options.listen.address.is_v4() ? AF_INET : AF_INET6;
    if (runner_.getBoundPort(static_cast<sa_family_t>(family)) == 0)
      return fail(Code::kIo, "DHT at " + options.listen.to_string() + ": cannot be bound");
    return {};
  }

  Status publish(std::vector<std::string> keys, std::string value) override {
    if (keys.size() > limits_.keys_max)
      return fail(Code::kLimit, "more than " + std::to_string(limits_.keys_max) + " networks");
    for (const auto& [place, id] : published_) runner_.cancelPut(place, id);
    published_.clear();
    for (const std::string& key : keys) {
      auto entry = std::make_shared<dht::Value>(dht::Blob(value.begin(), value.end()));
      entry->id = std::uniform_int_distribution<dht::Value::Id>{1}(random_);
      published_.emplace_back(place_of(key), entry->id);
      runner_.put(published_.back().first, std::move(entry), dht::DoneCallback{},
                  dht::time_point::max(), true);
    }
    return {};
  }

  Task<Result<DhtFound>> look_up(std::vector<std::string> keys) override {
    if (keys.size() > limits_.keys_max || under_way_ >= limits_.lookups_max)
      co_return fail(Code::kLimit, "too many networks, or too many look-ups under way");
    if (keys.empty()) co_return DhtFound{};
    const auto search = std::make_shared<Search>(loop_, limits_, keys.size());
    for (const std::string& key : keys) ask(search, key);
    ++under_way_;
    const auto ended = co_await search->ended.async_wait(asio::as_tuple(asio::use_awaitable));
    (void)ended;
    --under_way_;
    co_return std::move(search->found);
  }

  std::size_t good_nodes() const override {
    return runner_.getNodesStats(AF_INET).good_nodes + runner_.getNodesStats(AF_INET6).good_nodes;
  }

 private:
  void ask(const std::shared_ptr<Search>& search, const std::string& key) {
    dht::GetCallback take = [this, search,
                             key](const std::vector<std::shared_ptr<dht::Value>>& values) {
      for (const auto& value : values) {
        std::string text(value->data.begin(), value->data.end());
        asio::post(loop_, [search, key, text = std::move(text)]() mutable {
          search->take(key, std::move(text));
        });
      }
      return true;
    };
    dht::DoneCallbackSimple done = [this, search](bool) {
      asio::post(loop_, [search] {
        if (--search->unfinished == 0) search->ended.cancel();
      });
    };
    runner_.get(place_of(key), std::move(take), std::move(done));
  }

  IoContext& loop_;
  DhtLimits limits_;
  dht::DhtRunner runner_;
  std::random_device random_;
  std::vector<std::pair<dht::InfoHash, dht::Value::Id>> published_;
  std::size_t under_way_ = 0;
};

}  // namespace

Result<std::unique_ptr<DhtNode>> start_dht_node(IoContext& loop, DhtOptions options) {
  auto node = std::make_unique<OpenDhtNode>(loop, options.limits);
  ICON_CHECK(node->start(options));
  return node;
}

}  // namespace icon::supervisor
