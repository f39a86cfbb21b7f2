// One tunnel at work: the TUN interface, the UDP socket and the control socket
// around the protocol engine. Owner: tunnel_main.cc (or a test).
//
// Two threads while run() runs: the caller's receives, keeps the timers and
// serves the control socket; one of its own sends.
#pragma once

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "supervisor/tunnel/device_control.h"
#include "supervisor/tunnel/device_receive.h"
#include "supervisor/tunnel/device_send.h"
#include "supervisor/tunnel/uapi.h"

namespace icon::tunnel {

struct DeviceOptions {
  std::string interface;
  std::string socket_path;   // control; empty: where `wg` looks
  bool publish = false;      // with a link to the socket where `wg` looks
  std::uint32_t fwmark = 0;  // of the outer packets
  wg::AeadBackend aead = wg::AeadBackend::kAutomatic;
};

class Device final {
 public:
  // Interface, control socket and a UDP socket on a free port. Everything that
  // needs privileges is done here. Errors: kConflict (the interface has a
  // process), kUnavailable, kRefused, kIo.
  static Result<std::unique_ptr<Device>> create(DeviceOptions options, const Clock& clock);
  // Until `stop_fd` is readable or the interface is deleted. Then interface and
  // socket are gone.
  Status run(int stop_fd);

 private:
  Device(DeviceOptions options, const Clock& clock);
  Status prepare_sockets();
  Status listen_udp(std::uint16_t port);
  Status watch(int fd);
  Status receive_until(int stop_fd);
  int wait_ms();
  // device_config.cc
  std::string answer(std::string_view request);
  Status apply(const Settings& settings);
  Status replace_peer(const wg::Key& key, const Settings& settings);
  Status apply_peer(const PeerSettings& settings);
  Status set_limit(const PeerSettings& settings);
  TunnelState state() const;

  DeviceOptions options_;
  const Clock& clock_;
  OffloadedTun tun_;
  std::unique_ptr<wg::Engine> engine_;
  SocketSlot socket_;
  // Made before privileges go: a change of port takes one.
  std::vector<std::unique_ptr<UdpSocket>> spare_sockets_;
  UniqueFd events_;       // an epoll
  UniqueFd wake_;         // the receiving thread
  UniqueFd stop_sender_;  // eventfds both
  UniqueFd sender_ended_;
  std::unique_ptr<ControlServer> control_;
  std::unique_ptr<DataPlane> plane_;
};

}  // namespace icon::tunnel
