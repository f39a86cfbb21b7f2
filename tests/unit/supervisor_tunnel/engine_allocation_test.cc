// The data plane does not allocate: every `new` of this program is counted.
#include <atomic>
#include <cstdlib>
#include <new>

#include "tests/unit/supervisor_tunnel/world.h"

namespace {
std::atomic<std::uint64_t> allocations{0};
}  // namespace

void* operator new(std::size_t bytes) {
  allocations.fetch_add(1, std::memory_order_relaxed);
  if (void* memory = std::malloc(bytes == 0 ? 1 : bytes)) return memory;
  throw std::bad_alloc();
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

namespace icon::tunnel::wg {
namespace {

using namespace std::chrono_literals;

class EngineAllocation : public World {
 protected:
  static constexpr std::size_t kPackets = 43;
  static constexpr std::size_t kStride = sealed_bytes(1400, 1420);

  // One batch from one end to the other; how often that allocated.
  std::uint64_t transfer(Node& from, Node& to) {
    for (std::size_t i = 0; i < kPackets; ++i) {
      const auto packet = make_packet(from.inner, to.inner, 1380);
      std::copy(packet.begin(), packet.end(),
                buffer.begin() + static_cast<std::ptrdiff_t>(i * kStride + kTransportHeaderBytes));
      segments[i] = {buffer.data() + i * kStride, packet.size()};
    }
    const std::uint64_t before = allocations;
    const auto result = from.engine->seal(to.inner, segments, now(), from.out);
    for (std::size_t i = 0; i < kPackets; ++i)
      batch[i] = {segments[i].datagram, segments[i].bytes, {}, kNoPeer};
    to.engine->receive(batch, from.at, now(), to.out);
    const std::uint64_t count = allocations - before;
    EXPECT_EQ(result.status, SealStatus::kSealed);
    for (const Received& received : batch) EXPECT_EQ(received.packet.size(), 1400U);
    return count;
  }

  std::vector<std::uint8_t> buffer = std::vector<std::uint8_t>(kPackets * kStride);
  std::array<Segment, kPackets> segments;
  std::array<Received, kPackets> batch;
};

TEST_F(EngineAllocation, NoneWhileASessionLasts) {
  for (const AeadBackend backend : kAeadBackends) {
    if (!Aead::create(backend)) continue;
    Node a("10.0.0.1", "192.0.2.1:1000", {.aead = backend});
    Node b("10.0.0.2", "192.0.2.2:2000", {.aead = backend});
    connect(a, b);
    transfer(a, b);
    transfer(b, a);
    for (int i = 0; i < 500; ++i) {
      clock.advance(100ms);
      ASSERT_EQ(transfer(a, b), 0U) << to_string(backend) << ", batch " << i;
      ASSERT_EQ(i % 3 == 0 ? transfer(b, a) : 0U, 0U) << to_string(backend) << ", batch " << i;
      // A timer that finds nothing to do is put down again: one entry.
      const std::uint64_t before = allocations;
      a.engine->tick(now(), a.out);
      b.engine->tick(now(), b.out);
      ASSERT_LE(allocations - before, 2U) << to_string(backend) << ", batch " << i;
    }
  }
}

TEST_F(EngineAllocation, NoneForRubbish) {
  Node a("10.0.0.1", "192.0.2.1:1000");
  Node b("10.0.0.2", "192.0.2.2:2000");
  connect(a, b);
  std::vector<std::uint8_t> rubbish(kPackets * kStride, 4);
  for (std::size_t i = 0; i < kPackets; ++i)
    batch[i] = {rubbish.data() + i * kStride, i * 30, {}, kNoPeer};
  const std::uint64_t before = allocations;
  for (int i = 0; i < 100; ++i) b.engine->receive(batch, a.at, now(), b.out);
  EXPECT_EQ(allocations - before, 0U);
  EXPECT_EQ(b.drops(), 100 * kPackets);
}

}  // namespace
}  // namespace icon::tunnel::wg
