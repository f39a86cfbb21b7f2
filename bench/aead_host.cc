// One round of bench/aead: how many bytes a second each AEAD backend seals and opens on one core,
// in batches as the tunnel makes them, alone and with the whole protocol around it. Prints JSON.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "supervisor/tunnel/wg/engine.h"

namespace icon::tunnel::wg {
namespace {

constexpr std::size_t kPackets = 43;  // what fits into one UDP_SEGMENT send
constexpr std::size_t kPacketBytes = 1420;
constexpr std::size_t kStride = sealed_bytes(kPacketBytes, kPacketBytes);
constexpr double kMega = 1e6;

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

struct Rates {
  double seal_mb_s = 0;
  double open_mb_s = 0;
};

// `seal` and `open` each handle one batch of packets.
template <class Seal, class Open>
Rates measure(double seconds, Seal seal, Open open) {
  double sealing = 0;
  double opening = 0;
  double bytes = 0;
  for (const auto begin = Clock::now(); seconds_since(begin) < seconds;) {
    const auto before_seal = Clock::now();
    seal();
    sealing += seconds_since(before_seal);
    const auto before_open = Clock::now();
    open();
    opening += seconds_since(before_open);
    bytes += kPackets * kPacketBytes;
  }
  return {bytes / sealing / kMega, bytes / opening / kMega};
}

[[noreturn]] void broken(const char* what) {
  std::fprintf(stderr, "icon-bench-aead: %s\n", what);
  std::exit(1);
}

Rates measure_aead(Aead& aead, double seconds) {
  const Secret key = Secret::random();
  std::vector<std::uint8_t> buffer(kPackets * kStride);
  std::array<AeadJob, kPackets> jobs;
  for (std::size_t i = 0; i < kPackets; ++i)
    jobs[i] = {buffer.data() + i * kStride + kTransportHeaderBytes, kPacketBytes, i};
  return measure(
      seconds, [&] { aead.seal(key, jobs); },
      [&] {
        aead.open(key, jobs);
        for (const AeadJob& job : jobs)
          if (!job.is_authentic) broken("a sealed packet does not open");
      });
}

// Two engines with a session, and a batch of packets between them.
class Tunnels {
 public:
  explicit Tunnels(AeadBackend backend) : buffer_(kPackets * kStride) {
    for (int i = 0; i < 2; ++i) {
      auto engine = Engine::create({.aead = backend, .mtu = kPacketBytes});
      if (!engine) broken(engine.error().message.c_str());
      engines_[i] = std::move(*engine);
      keys_[i] = Secret::random();
      engines_[i]->set_private_key(keys_[i]);
    }
    for (int i = 0; i < 2; ++i) {
      const Key peer = public_key_of(keys_[1 - i]);
      const bool is_known = engines_[i]->add_peer(peer) &&
                            engines_[i]->set_endpoint(peer, kEndpoint) &&
                            engines_[i]->add_allowed_ip(peer, Prefix::of(kInner, 0));
      if (!is_known) broken("no peer");
    }
    connect();
  }

  void seal() {
    std::array<Segment, kPackets> segments;
    for (std::size_t i = 0; i < kPackets; ++i) {
      std::uint8_t* packet = buffer_.data() + i * kStride + kTransportHeaderBytes;
      packet[0] = 0x45;
      packet[2] = kPacketBytes >> 8;
      packet[3] = kPacketBytes & 0xff;
      segments[i] = {packet - kTransportHeaderBytes, kPacketBytes};
    }
    if (engines_[0]->seal(kInner, segments, now(), out_).status != SealStatus::kSealed)
      broken("no session");
    out_.clear();
  }

  void open() {
    std::array<Received, kPackets> batch;
    for (std::size_t i = 0; i < kPackets; ++i)
      batch[i] = {buffer_.data() + i * kStride, kStride, {}, kNoPeer};
    engines_[1]->receive(batch, kEndpoint, now(), out_);
    for (const Received& received : batch)
      if (received.packet.size() != kPacketBytes) broken("a packet was not delivered");
    out_.clear();
  }

 private:
  static inline const Address kInner = Address::v4({10, 0, 0, 1});
  static inline const Endpoint kEndpoint{Address::v4({192, 0, 2, 1}), 1};

  Now now() const { return {clock_.steady(), clock_.utc_ms()}; }

  void connect() {
    Segment first{buffer_.data(), 20};
    engines_[0]->seal(kInner, {&first, 1}, now(), out_);
    for (int to = 1; !out_.datagrams.empty(); to = 1 - to) {
      auto datagrams = std::move(out_.datagrams);
      out_.clear();
      for (auto& datagram : datagrams) {
        Received received{datagram.bytes.data(), datagram.bytes.size(), {}, kNoPeer};
        engines_[to]->receive({&received, 1}, kEndpoint, now(), out_);
      }
    }
  }

  SystemClock clock_;
  std::array<std::unique_ptr<Engine>, 2> engines_;
  std::array<Secret, 2> keys_;
  std::vector<std::uint8_t> buffer_;
  Outbox out_;
};

int run(double seconds) {
  std::string text;
  for (const AeadBackend backend : kAeadBackends) {
    auto aead = Aead::create(backend);
    if (!aead) continue;
    const Rates alone = measure_aead(**aead, seconds);
    Tunnels tunnels(backend);
    const Rates whole = measure(
        seconds, [&] { tunnels.seal(); }, [&] { tunnels.open(); });
    char line[256];
    std::snprintf(line, sizeof line,
                  "%s\"%s\": {\"name\": \"%s\", \"seal\": %.1f, \"open\": %.1f, "
                  "\"tunnel_seal\": %.1f, \"tunnel_open\": %.1f}",
                  text.empty() ? "" : ",\n ", to_string(backend).data(), (*aead)->name().data(),
                  alone.seal_mb_s, alone.open_mb_s, whole.seal_mb_s, whole.open_mb_s);
    text += line;
  }
  std::printf("{%s}\n", text.c_str());
  return 0;
}

}  // namespace
}  // namespace icon::tunnel::wg

int main(int argc, char** argv) {
  const double seconds = argc > 1 ? std::strtod(argv[1], nullptr) : 0.5;
  return icon::tunnel::wg::run(seconds > 0 ? seconds : 0.5);
}
