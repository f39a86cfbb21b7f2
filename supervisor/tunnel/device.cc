#include "supervisor/tunnel/device.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "base/log.h"

namespace icon::tunnel {
namespace {

constexpr int kBatchesPerTurn = 32;  // then the timers and the control socket are looked at
constexpr int kWaitMax = 60'000;
constexpr int kSpareSockets = 4;

Result<UniqueFd> make_eventfd() {
  UniqueFd fd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!fd) return fail_errno("eventfd");
  return fd;
}

}  // namespace

Device::Device(DeviceOptions options, const Clock& clock)
    : options_(std::move(options)), clock_(clock) {
  if (options_.socket_path.empty())
    options_.socket_path = std::string(kWireGuardDirectory) + "/" + options_.interface + ".sock";
}

Result<std::unique_ptr<Device>> Device::create(DeviceOptions options, const Clock& clock) {
  std::unique_ptr<Device> device(new Device(std::move(options), clock));
  const std::string& interface = device->options_.interface;
  ICON_TRY(device->tun_, open_offloaded_tun(interface, /*persistent=*/true));
  ICON_CHECK(device->prepare_sockets());
  ICON_CHECK(device->listen_udp(0));
  wg::EngineOptions engine;
  engine.aead = device->options_.aead;
  ICON_TRY(device->engine_, wg::Engine::create(engine));
  ICON_TRY(device->wake_, make_eventfd());
  ICON_TRY(device->stop_sender_, make_eventfd());
  ICON_TRY(device->sender_ended_, make_eventfd());
  ICON_TRY(device->control_, ControlServer::create(device->options_.socket_path, clock,
                                                   [self = device.get()](std::string_view request) {
                                                     return self->answer(request);
                                                   }));
  if (device->options_.publish) device->control_->publish(interface);
  device->plane_.reset(new DataPlane{interface, device->tun_.fd, *device->engine_, device->socket_,
                                     clock, device->wake_.get()});
  return device;
}

Status Device::prepare_sockets() {
  for (int i = 0; i < kSpareSockets; ++i) {
    ICON_TRY(auto socket, UdpSocket::create(options_.fwmark));
    spare_sockets_.push_back(std::move(socket));
  }
  return {};
}

Status Device::listen_udp(std::uint16_t port) {
  if (spare_sockets_.empty()) {
    // Without privileges: smaller buffers; with a mark, an error.
    ICON_TRY(auto socket, UdpSocket::create(options_.fwmark));
    spare_sockets_.push_back(std::move(socket));
  }
  ICON_CHECK(spare_sockets_.back()->bind(port));
  const auto before = socket_.get();
  std::shared_ptr<UdpSocket> socket = std::move(spare_sockets_.back());
  spare_sockets_.pop_back();
  if (before && events_) {
    epoll_ctl(events_.get(), EPOLL_CTL_DEL, before->fd(), nullptr);
    ICON_CHECK(watch(socket->fd()));
  }
  socket_.set(std::move(socket));
  return {};
}

Status Device::watch(int fd) {
  epoll_event event{EPOLLIN, {.fd = fd}};
  if (epoll_ctl(events_.get(), EPOLL_CTL_ADD, fd, &event) != 0) return fail_errno("epoll");
  return {};
}

int Device::wait_ms() {
  const SteadyTime next = std::min(engine_->deadline(), control_->deadline());
  if (next == SteadyTime::max()) return kWaitMax;
  const auto left = std::chrono::ceil<Millis>(next - clock_.steady()).count();
  return static_cast<int>(std::clamp<std::int64_t>(left, 0, kWaitMax));
}

Status Device::receive_until(int stop_fd) {
  events_.reset(epoll_create1(EPOLL_CLOEXEC));
  if (!events_) return fail_errno("epoll");
  for (const int fd :
       {stop_fd, sender_ended_.get(), wake_.get(), control_->fd(), socket_.get()->fd()})
    ICON_CHECK(watch(fd));
  ReceivePath receive(*plane_, tun_.offload);
  wg::Outbox outbox;
  for (;;) {
    std::array<epoll_event, 8> events{};
    const int count =
        epoll_wait(events_.get(), events.data(), static_cast<int>(events.size()), wait_ms());
    if (count < 0 && errno != EINTR) return fail_errno("epoll");
    bool network = false;
    for (int i = 0; i < count; ++i) {
      const int fd = events[static_cast<std::size_t>(i)].data.fd;
      if (fd == stop_fd || fd == sender_ended_.get()) return {};
      eventfd_t ignored = 0;
      if (fd == wake_.get()) (void)eventfd_read(fd, &ignored);
      network = network || fd == socket_.get()->fd();
    }
    for (int batch = 0; network && batch < kBatchesPerTurn && receive.step(); ++batch) {
    }
    const wg::Now now = now_of(clock_);
    if (engine_->deadline() <= now.steady) {
      engine_->tick(now, outbox);
      send_outbox(outbox, *socket_.get());
    }
    control_->serve();
  }
}

Status Device::run(int stop_fd) {
  std::thread sender([this] {
    SendPath(*plane_).run(stop_sender_.get());
    (void)eventfd_write(sender_ended_.get(), 1);
  });
  Status status = receive_until(stop_fd);
  (void)eventfd_write(stop_sender_.get(), 1);
  sender.join();
  control_.reset();
  // Deleted from outside, or gone with the descriptor now.
  (void)drop_persistence(tun_.fd);
  return status;
}

}  // namespace icon::tunnel
