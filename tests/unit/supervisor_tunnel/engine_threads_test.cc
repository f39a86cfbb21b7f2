// The thread rules of engine.h at work: one engine with a sending, a receiving and a configuring
// thread, while its peer answers; time runs fast, so that keys are replaced all the while.
#include <atomic>
#include <barrier>
#include <condition_variable>
#include <thread>

#include "tests/unit/supervisor_tunnel/world.h"

namespace icon::tunnel::wg {
namespace {

using namespace std::chrono_literals;

constexpr int kBatches = 4'000;
constexpr std::size_t kBatchPackets = 8;
constexpr std::size_t kBacklogMax = 4 * kBatchPackets;
constexpr Millis kStep{100};  // of time, per batch

// A wire that loses nothing: a queue with an end. Who sends packets waits for room, so that time,
// which goes on with every batch, does not run away from the receiver.
class Wire {
 public:
  void push(Datagram datagram) {
    const std::lock_guard lock(mutex_);
    queue_.push_back(std::move(datagram));
    changed_.notify_all();
  }
  void wait_for_room() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return queue_.size() < kBacklogMax; });
  }
  void close() {
    const std::lock_guard lock(mutex_);
    is_closed_ = true;
    changed_.notify_all();
  }
  // Everything that waits; empty when the wire is closed.
  std::deque<Datagram> take() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return !queue_.empty() || is_closed_; });
    changed_.notify_all();
    return std::exchange(queue_, {});
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Datagram> queue_;
  bool is_closed_ = false;
};

class EngineThreads : public World {
 protected:
  Now now() const {
    const Millis elapsed{elapsed_ms_.load()};
    return {clock.steady() + elapsed, clock.utc_ms() + elapsed.count()};
  }
  static void flush(Outbox& out, Wire& wire) {
    for (OutDatagram& datagram : out.datagrams) wire.push(std::move(datagram.bytes));
    out.clear();
  }
  // Seals a batch and puts on the wire what may go.
  void send_batch(Node& from, const Node& to, Wire& wire, Outbox& out) {
    wire.wait_for_room();
    std::array<Datagram, kBatchPackets> buffers;
    std::array<Segment, kBatchPackets> segments;
    const auto packet = make_packet(from.inner, to.inner, 200);
    for (std::size_t i = 0; i < kBatchPackets; ++i) {
      buffers[i].resize(kTransportHeaderBytes + packet.size() + kSealRoomAfter);
      std::copy(packet.begin(), packet.end(), buffers[i].begin() + kTransportHeaderBytes);
      segments[i] = {buffers[i].data(), packet.size()};
    }
    const auto result = from.engine->seal(to.inner, segments, now(), out);
    flush(out, wire);
    if (result.status != SealStatus::kSealed) return;
    for (std::size_t i = 0; i < kBatchPackets; ++i) {
      buffers[i].resize(segments[i].bytes);
      wire.push(std::move(buffers[i]));
    }
  }
  // Until the wire is closed; returns how many packets were delivered.
  std::uint64_t receive_all(Node& at, const Endpoint& source, Wire& in, Wire& back) {
    std::uint64_t delivered = 0;
    Outbox out;
    for (auto datagrams = in.take(); !datagrams.empty(); datagrams = in.take()) {
      std::vector<Received> batch;
      for (Datagram& datagram : datagrams)
        batch.push_back({datagram.data(), datagram.size(), {}, kNoPeer});
      at.engine->receive(batch, source, now(), out);
      for (const Received& received : batch) delivered += received.packet.empty() ? 0 : 1;
      if (at.engine->deadline() <= now().steady) at.engine->tick(now(), out);
      flush(out, back);
    }
    return delivered;
  }

  std::atomic<std::int64_t> elapsed_ms_{0};
};

TEST_F(EngineThreads, SendReceiveAndConfigureAtOnce) {
  Node a("10.0.0.1", "192.0.2.1:1000");
  Node b("10.0.0.2", "192.0.2.2:2000");
  Node c("10.0.0.3", "192.0.2.3:3000");
  connect(a, b);
  Wire to_a;
  Wire to_b;
  std::atomic<bool> is_done{false};
  std::uint64_t delivered_at_a = 0;
  std::uint64_t delivered_at_b = 0;
  std::thread receiver_a([&] { delivered_at_a = receive_all(a, b.at, to_a, to_b); });
  std::thread receiver_b([&] { delivered_at_b = receive_all(b, a.at, to_b, to_a); });
  std::thread configurer([&] {
    // Once per step of the clock at most: a mutex is not fair, and this thread is not to hold it
    // all the time.
    for (std::int64_t seen = 0; !is_done; seen = elapsed_ms_) {
      elapsed_ms_.wait(seen);
      a.know(c);
      EXPECT_TRUE(a.engine->set_persistent_keepalive(b.public_key, 10s, now()));
      EXPECT_TRUE(a.engine->set_endpoint(b.public_key, b.at));
      EXPECT_EQ(a.engine->peers().size(), 2U);
      EXPECT_TRUE(a.engine->remove_peer(c.public_key));
    }
  });
  // Time goes on for both senders alike: neither comes with all it has once the keys are old.
  std::barrier pace(2);
  std::thread sender_b([&] {
    Outbox out;
    for (int i = 0; i < kBatches; ++i) {
      send_batch(b, a, to_a, out);
      pace.arrive_and_wait();
    }
  });
  Outbox out;
  for (int i = 0; i < kBatches; ++i) {
    send_batch(a, b, to_b, out);
    pace.arrive_and_wait();
    elapsed_ms_ += kStep.count();
    elapsed_ms_.notify_all();
  }
  sender_b.join();
  is_done = true;
  elapsed_ms_ += kStep.count();
  elapsed_ms_.notify_all();
  configurer.join();
  to_a.close();
  to_b.close();
  receiver_a.join();
  receiver_b.join();
  // Keys were replaced some times; nothing was ever forged, and hardly a packet came too late for
  // its key.
  for (Node* node : {&a, &b}) {
    EXPECT_EQ(node->drops(Drop::kForged) + node->drops(Drop::kForgedHandshake), 0U);
    EXPECT_EQ(node->drops(Drop::kSource) + node->drops(Drop::kBadPacket), 0U);
  }
  EXPECT_GE(delivered_at_a, kBatches * kBatchPackets * 9 / 10);
  EXPECT_GE(delivered_at_b, kBatches * kBatchPackets * 9 / 10);
  EXPECT_GT(a.peer(b).statistics.last_handshake_ms, clock.utc_ms());
}

}  // namespace
}  // namespace icon::tunnel::wg
