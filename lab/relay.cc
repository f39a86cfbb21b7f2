#include "lab/relay.h"

#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>

#include <algorithm>
#include <boost/json/serialize.hpp>
#include <cerrno>
#include <cstring>
#include <limits>

#include "base/netns.h"

namespace icon::lab {
namespace {

constexpr std::int64_t kSpinNs = 20'000;  // a sleep this short would end too late
constexpr int kFramesPerTurn = 64;        // per direction, before the others get their turn
constexpr std::size_t kClientsMax = 8;
// struct virtio_net_hdr; the kernel's header for it is not C++ (a member is named "class").
struct VnetHeader {
  std::uint8_t flags;
  std::uint8_t gso_type;  // 0: a single packet
  std::uint16_t header_length;
  std::uint16_t gso_size;
  std::uint16_t checksum_start;
  std::uint16_t checksum_offset;
};
constexpr std::size_t kVnetHeaderBytes = sizeof(VnetHeader);
static_assert(kVnetHeaderBytes == 10);
constexpr unsigned kUdpSegmentation = 0x60;  // TUN_F_USO4 | TUN_F_USO6, from Linux 6.2 on
// epoll tags: a direction's number, or one of these; clients are kClientTag + descriptor.
constexpr std::uint64_t kStopTag = 1ull << 32;
constexpr std::uint64_t kListenTag = 2ull << 32;
constexpr std::uint64_t kClientTag = 4ull << 32;

std::int64_t now_ns() {
  timespec time{};
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * 1'000'000'000LL + time.tv_nsec;
}

void set_offload(int tap, const Shape& shape) {
  const bool whole =
      shape.loss_percent == 0 && (shape.rate_mbit == 0 || shape.rate_mbit >= kOffloadRateMbitMin);
  const unsigned basic = TUN_F_CSUM | (whole ? TUN_F_TSO4 | TUN_F_TSO6 : 0);
  if (whole && ioctl(tap, TUNSETOFFLOAD, basic | kUdpSegmentation) == 0) return;
  // Without offload the link is slower but works.
  (void)ioctl(tap, TUNSETOFFLOAD, basic);
}

Result<UniqueFd> open_tap(const TapPlace& place) {
  ICON_TRY(UniqueFd netns, open_netns(place.netns));
  UniqueFd tap;
  ICON_CHECK(in_netns(netns, [&]() -> Status {
    tap.reset(open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC));
    if (!tap)
      return fail(Code::kUnavailable,
                  std::string("/dev/net/tun: ") + std::strerror(errno) +
                      "; links with delay need the kernel's TUN driver (modprobe tun)");
    ifreq request{};
    std::strncpy(request.ifr_name, place.interface.c_str(), IFNAMSIZ - 1);
    request.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
    if (ioctl(tap.get(), TUNSETIFF, &request) != 0)
      return fail_errno("TAP " + place.interface + " in " + place.netns);
    return {};
  }));
  return tap;
}

// How many packets of how many bytes the frame will be on a wire.
WireSize wire_size(const std::uint8_t* frame, std::size_t length) {
  VnetHeader header{};
  if (length < kVnetHeaderBytes) return {1, length};
  std::memcpy(&header, frame, kVnetHeaderBytes);
  const std::size_t bytes = length - kVnetHeaderBytes;
  if (header.gso_type == 0 || header.gso_size == 0 || header.header_length >= bytes)
    return {1, bytes};
  const std::size_t payload = bytes - header.header_length;
  const std::size_t packets = (payload + header.gso_size - 1) / header.gso_size;
  return {packets, bytes + (packets - 1) * header.header_length};
}

json::Object counters_json(const LineCounters& counters) {
  return {{"packets", counters.packets},
          {"bytes", counters.bytes},
          {"lost", counters.lost},
          {"dropped", counters.dropped}};
}

}  // namespace

Result<std::unique_ptr<Relay>> Relay::create(const RelayStart& start) {
  std::unique_ptr<Relay> relay(new Relay);
  relay->epoll_.reset(epoll_create1(EPOLL_CLOEXEC));
  if (!relay->epoll_) return fail_errno("epoll_create1");
  for (const auto& link : start.links) ICON_CHECK(relay->add_link(link));
  ICON_CHECK(relay->listen(start.socket_path));
  return relay;
}

Status Relay::watch(int fd, std::uint64_t tag) {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u64 = tag;
  if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) return fail_errno("epoll_ctl");
  return {};
}

Status Relay::add_link(const RelayLink& link) {
  CarriedLink carried;
  carried.spec = link;
  carried.first_direction = directions_.size();
  ICON_TRY(carried.tap_a, open_tap(link.a));
  ICON_TRY(carried.tap_b, open_tap(link.b));
  set_offload(carried.tap_a.get(), link.shape);
  set_offload(carried.tap_b.get(), link.shape);
  for (const bool from_a : {true, false}) {
    std::uint64_t seed = 0;
    if (getrandom(&seed, sizeof seed, 0) != sizeof seed) return fail_errno("getrandom");
    Direction direction;
    direction.in = (from_a ? carried.tap_a : carried.tap_b).get();
    direction.out = (from_a ? carried.tap_b : carried.tap_a).get();
    direction.line = std::make_unique<DelayLine>(pool_, seed);
    direction.line->set(link.shape, link.up);
    ICON_CHECK(watch(direction.in, directions_.size()));
    directions_.push_back(std::move(direction));
  }
  links_.push_back(std::move(carried));
  return {};
}

Status Relay::listen(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path)
    return fail(Code::kInvalid, "socket path too long: " + path);
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  listener_.reset(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!listener_) return fail_errno("socket");
  const mode_t before = umask(0177);
  const int bound =
      bind(listener_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
  const int bind_errno = errno;
  umask(before);
  if (bound != 0) return fail_errno("bind " + path, bind_errno);
  if (::listen(listener_.get(), static_cast<int>(kClientsMax)) != 0)
    return fail_errno("listen " + path);
  return watch(listener_.get(), kListenTag);
}

void Relay::receive(Direction& direction) {
  for (int i = 0; i < kFramesPerTurn; ++i) {
    const auto room = direction.line->reserve();
    std::uint8_t* const target = room.empty() ? scratch_.data() : room.data();
    const ssize_t length = read(direction.in, target, kFrameBytesMax);
    if (length <= 0) return;
    const auto size = wire_size(target, static_cast<std::size_t>(length));
    if (room.empty())
      direction.line->refuse(size);
    else
      direction.line->admit(static_cast<std::size_t>(length), size, now_ns());
  }
}

void Relay::deliver(std::int64_t now_ns) {
  for (auto& direction : directions_) {
    for (int i = 0; i < kFramesPerTurn && direction.line->next_due_ns() <= now_ns; ++i) {
      const auto frame = direction.line->front();
      // A refusal (the interface is down) is what a wire with nobody at its end does: nothing.
      (void)!write(direction.out, frame.data(), frame.size());
      direction.line->pop();
    }
  }
}

std::int64_t Relay::next_due_ns() const {
  std::int64_t next = std::numeric_limits<std::int64_t>::max();
  for (const auto& direction : directions_) next = std::min(next, direction.line->next_due_ns());
  return next;
}

Status Relay::run(int stop_fd) {
  ICON_CHECK(watch(stop_fd, kStopTag));
  std::array<epoll_event, 64> events{};
  for (;;) {
    deliver(now_ns());
    const std::int64_t due = next_due_ns();
    timespec wait{};
    const bool nothing_waits = due == std::numeric_limits<std::int64_t>::max();
    if (!nothing_waits) {
      const std::int64_t left = due - now_ns();
      if (left > kSpinNs)
        wait = {(left - kSpinNs) / 1'000'000'000, (left - kSpinNs) % 1'000'000'000};
    }
    const int count = epoll_pwait2(epoll_.get(), events.data(), static_cast<int>(events.size()),
                                   nothing_waits ? nullptr : &wait, nullptr);
    if (count < 0 && errno != EINTR) return fail_errno("epoll_pwait2");
    for (int i = 0; i < count; ++i) {
      const std::uint64_t tag = events[static_cast<std::size_t>(i)].data.u64;
      if (tag == kStopTag) return {};
      if (tag == kListenTag)
        accept_client();
      else if (tag >= kClientTag)
        serve_client(static_cast<int>(tag - kClientTag));
      else
        receive(directions_[tag]);
    }
  }
}

void Relay::accept_client() {
  UniqueFd client(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!client || clients_.size() >= kClientsMax) return;
  if (!watch(client.get(), kClientTag + static_cast<std::uint64_t>(client.get()))) return;
  clients_.push_back(std::move(client));
}

void Relay::serve_client(int fd) {
  std::string request(kRelayMessageBytesMax, '\0');
  const ssize_t length = recv(fd, request.data(), request.size(), 0);
  if (length > 0) {
    request.resize(static_cast<std::size_t>(length));
    const std::string reply = answer(request);
    if (send(fd, reply.data(), reply.size(), MSG_NOSIGNAL) >= 0) return;
  } else if (length < 0 && (errno == EAGAIN || errno == EINTR)) {
    return;
  }
  std::erase_if(clients_, [&](const UniqueFd& client) { return client.get() == fd; });
}

std::string Relay::answer(std::string_view request) {
  const auto result = [&]() -> Result<std::string> {
    ICON_TRY(json::Object object, json::parse_object(request, kRelayMessageBytesMax));
    ICON_TRY(std::string operation, json::get_string(object, "op", 16));
    if (operation == "set") return set_link(object);
    if (operation == "status") return status_page(object);
    return fail(Code::kInvalid, "no such operation: " + operation);
  }();
  if (result) return *result;
  return boost::json::serialize(json::Object{{"error", result.error().message}});
}

Result<std::string> Relay::set_link(const json::Object& request) {
  ICON_TRY(std::string name, json::get_string(request, "link", 64));
  ICON_TRY(Shape shape, shape_from_json(request));
  ICON_TRY(bool up, json::get_bool(request, "up"));
  for (auto& link : links_) {
    if (link.spec.name != name) continue;
    link.spec.shape = shape;
    link.spec.up = up;
    set_offload(link.tap_a.get(), shape);
    set_offload(link.tap_b.get(), shape);
    directions_[link.first_direction].line->set(shape, up);
    directions_[link.first_direction + 1].line->set(shape, up);
    return std::string(R"({"ok":true})");
  }
  return fail(Code::kNotFound, "no link is named " + name);
}

Result<std::string> Relay::status_page(const json::Object& request) const {
  ICON_TRY(const std::int64_t from,
           json::get_int(request, "from", 0, static_cast<std::int64_t>(kLinksMax)));
  json::Array list;
  for (auto i = static_cast<std::size_t>(from); i < links_.size() && list.size() < kStatusPageLinks;
       ++i) {
    const auto& link = links_[i];
    json::Object object{{"name", link.spec.name}, {"up", link.spec.up}};
    shape_to_json(link.spec.shape, object);
    object["from_a"] = counters_json(directions_[link.first_direction].line->counters());
    object["from_b"] = counters_json(directions_[link.first_direction + 1].line->counters());
    list.push_back(std::move(object));
  }
  return boost::json::serialize(json::Object{{"links", std::move(list)}, {"total", links_.size()}});
}

}  // namespace icon::lab
