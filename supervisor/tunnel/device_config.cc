// What the control socket asks of a tunnel, done on the engine.
#include <algorithm>
#include <cerrno>

#include "base/log.h"
#include "supervisor/tunnel/device.h"

namespace icon::tunnel {
namespace {

int errno_of(Code code) {
  switch (code) {
    case Code::kIo:
      return EADDRINUSE;
    case Code::kRefused:
      return EPERM;
    case Code::kLimit:
      return ENOSPC;
    case Code::kNotFound:
      return ENOENT;
    default:
      return EINVAL;
  }
}

}  // namespace

std::string Device::answer(std::string_view request) {
  if (request == "get=1") return format_get(state());
  const auto settings = parse_set(request);
  const auto status = settings ? apply(*settings) : Status(fail(settings.error()));
  if (status) return "errno=0\n\n";
  log::warn("tunnel.refused",
            {{"interface", options_.interface}, {"error", status.error().message}});
  return "errno=" + std::to_string(errno_of(status.error().code)) + "\n\n";
}

Status Device::apply(const Settings& settings) {
  if (settings.fwmark && *settings.fwmark != options_.fwmark)
    return fail(Code::kRefused, "the mark is chosen when the tunnel starts: --fwmark");
  if (settings.listen_port &&
      (*settings.listen_port != socket_.get()->port() || *settings.listen_port == 0))
    ICON_CHECK(listen_udp(*settings.listen_port));
  if (settings.private_key && !settings.private_key->equals(engine_->private_key()))
    engine_->set_private_key(*settings.private_key);
  if (settings.replace_peers) {
    for (const auto& peer : engine_->peers()) ICON_CHECK(replace_peer(peer.public_key, settings));
  }
  for (const auto& peer : settings.peers) ICON_CHECK(apply_peer(peer));
  return {};
}

// One that stays keeps its session, and nothing else that it is not told again.
Status Device::replace_peer(const wg::Key& key, const Settings& settings) {
  if (std::ranges::find(settings.peers, key, &PeerSettings::public_key) == settings.peers.end()) {
    engine_->remove_peer(key);
    return {};
  }
  ICON_CHECK(engine_->clear_allowed_ips(key));
  ICON_CHECK(engine_->set_persistent_keepalive(key, std::chrono::seconds(0), now_of(clock_)));
  for (const auto& peer : settings.peers)
    if (peer.public_key == key && peer.preshared_key) return {};
  return engine_->set_preshared_key(key, wg::Secret{});
}

Status Device::apply_peer(const PeerSettings& settings) {
  const wg::Key& key = settings.public_key;
  if (settings.remove) {
    engine_->remove_peer(key);
    return {};
  }
  if (!engine_->has_peer(key)) {
    // As others do: our own key among the peers is passed over, for shared
    // configurations.
    if (settings.update_only || key == engine_->public_key()) return {};
    ICON_CHECK(engine_->add_peer(key));
  }
  if (settings.preshared_key) ICON_CHECK(engine_->set_preshared_key(key, *settings.preshared_key));
  if (settings.endpoint) ICON_CHECK(engine_->set_endpoint(key, *settings.endpoint));
  if (settings.replace_allowed_ips) ICON_CHECK(engine_->clear_allowed_ips(key));
  for (const auto& allowed : settings.allowed_ips)
    ICON_CHECK(allowed.remove ? engine_->remove_allowed_ip(key, allowed.prefix)
                              : engine_->add_allowed_ip(key, allowed.prefix));
  const wg::Now now = now_of(clock_);
  if (settings.persistent_keepalive_s)
    ICON_CHECK(engine_->set_persistent_keepalive(
        key, std::chrono::seconds(*settings.persistent_keepalive_s), now));
  if (settings.rate_bits || settings.rate_packets) ICON_CHECK(set_limit(settings));
  if (settings.rekey) {
    wg::Outbox out;
    ICON_CHECK(engine_->rekey(key, now, out));
    send_outbox(out, *socket_.get());
  }
  return {};
}

Status Device::set_limit(const PeerSettings& settings) {
  wg::ReceiveLimit limit;
  for (const auto& peer : engine_->peers())
    if (peer.public_key == settings.public_key) limit = peer.limit;
  limit.bits_per_second = settings.rate_bits.value_or(limit.bits_per_second);
  limit.packets_per_second = settings.rate_packets.value_or(limit.packets_per_second);
  return engine_->set_receive_limit(settings.public_key, limit);
}

TunnelState Device::state() const {
  TunnelState state;
  state.private_key = engine_->private_key();
  state.listen_port = socket_.get()->port();
  state.fwmark = options_.fwmark;
  state.aead = engine_->aead_name();
  for (std::size_t i = 0; i < wg::kDropKinds; ++i) {
    const auto reason = static_cast<wg::Drop>(i);
    state.drops.emplace_back(wg::to_string(reason), engine_->drops()[reason]);
  }
  state.drops.emplace_back("odd_packet", plane_->odd_packets.load());
  state.drops.emplace_back("refused_write", plane_->refused_writes.load());
  for (const auto& peer : engine_->peers()) {
    TunnelPeer& told = state.peers.emplace_back();
    told.public_key = peer.public_key;
    told.preshared_key = peer.preshared_key;
    told.endpoint = peer.endpoint;
    told.last_handshake_ms = peer.statistics.last_handshake_ms;
    told.rx_bytes = peer.statistics.rx_bytes;
    told.tx_bytes = peer.statistics.tx_bytes;
    told.persistent_keepalive_s = static_cast<int>(peer.persistent_keepalive.count());
    told.allowed_ips = peer.allowed_ips;
    told.limit = peer.limit;
    told.limited = peer.over_limit;
  }
  return state;
}

}  // namespace icon::tunnel
