// The control socket: a few clients at once, each with a limited request and a
// limited time. Nothing here may block the receiving thread, which serves it
// between packets.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/fd.h"
#include "base/result.h"

namespace icon::tunnel {

// Where `wg` looks for user-space tunnels.
inline constexpr const char* kWireGuardDirectory = "/var/run/wireguard";

// The link to `socket_path` where `wg` looks is gone; another tunnel's stays. For who cleans up
// after a process that could not.
void unpublish(const std::string& interface, const std::string& socket_path);

class ControlServer {
 public:
  static constexpr std::size_t kClientsMax = 8;
  static constexpr Millis kClientTimeout{2'000};

  // The answer to one request, which comes without its empty line.
  using Handler = std::function<std::string(std::string_view request)>;

  // A socket of mode 0600 at `path`. REQUIRES the interface to be in our hands: a socket that is
  // there is a dead process's.
  static Result<std::unique_ptr<ControlServer>> create(const std::string& path, const Clock& clock,
                                                       Handler handler);
  // A link to it where `wg` looks, unless another living tunnel has the name.
  void publish(const std::string& interface);
  ~ControlServer();  // socket and link are gone

  // Readable when serve() has something to do, or when deadline() has come.
  int fd() const { return events_.get(); }
  void serve();
  SteadyTime deadline() const;

 private:
  struct Client {
    UniqueFd fd;
    std::string request;
    std::string answer;
    std::size_t answered = 0;
    SteadyTime begun;
    ~Client();
  };

  ControlServer(const Clock& clock, Handler handler)
      : clock_(clock), handler_(std::move(handler)) {}
  Status listen(const std::string& path);
  void accept_client();
  // False when the connection is done with.
  bool read_request(Client& client);
  bool write_answer(Client& client);

  const Clock& clock_;
  Handler handler_;
  UniqueFd events_;  // an epoll
  UniqueFd listener_;
  std::string path_;
  std::string interface_;
  std::vector<std::unique_ptr<Client>> clients_;
};

}  // namespace icon::tunnel
