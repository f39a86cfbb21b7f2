// One tunnel at work: the TUN interface, the UDP socket and the control socket around a Peer, in
// one loop. Owner: tunnel_main.cc (or a test). One thread, which is in run() until the end.
#pragma once

#include <sys/socket.h>

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/fd.h"
#include "base/result.h"
#include "supervisor/tunnel/peer.h"
#include "supervisor/tunnel/uapi.h"

namespace icon::tunnel {

struct DeviceOptions {
  std::string interface;
  std::string socket_path;  // control; made with mode 0600
};

class Device final : private PeerSink {
 public:
  // Interface, control socket and a UDP socket on a free port. Errors: kConflict (the interface has
  // a process), kUnavailable, kRefused, kIo.
  static Result<std::unique_ptr<Device>> create(DeviceOptions options, const Clock& clock);
  ~Device() override;
  // Until `stop_fd` is readable or the interface is deleted. Then interface and socket are gone.
  Status run(int stop_fd);

 private:
  struct Client {
    UniqueFd fd;
    std::string request;
    SteadyTime begun;
  };

  Device(DeviceOptions options, const Clock& clock);
  void send_datagram(std::span<const std::uint8_t> datagram) override;
  void deliver_packet(std::span<const std::uint8_t> packet) override;
  Status listen_udp(std::uint16_t port);
  Status listen_control();
  bool read_interface();  // false: it is gone
  void read_network();
  void accept_client();
  // False when the connection is done with.
  bool serve(Client& client);
  std::string answer(std::string_view request);
  Status apply(const Settings& settings);
  Status apply_peer(const PeerSettings& settings);
  DeviceState state() const;
  int poll_timeout_ms() const;

  DeviceOptions options_;
  const Clock& clock_;
  UniqueFd tun_;
  UniqueFd udp_;
  UniqueFd control_;
  std::vector<Client> clients_;
  TunnelKeyPair key_;
  bool has_key_ = false;
  std::uint16_t port_ = 0;
  std::unique_ptr<Peer> peer_;
  Endpoint endpoint_;
  sockaddr_storage address_{};
  socklen_t address_bytes_ = 0;
  alignas(16) std::array<std::uint8_t, 65'536 + 64> buffer_{};
};

}  // namespace icon::tunnel
