#include "discovery/unbound_loop.h"

#include <sys/time.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <optional>

#include "base/clock.h"

namespace icon::discovery {
namespace {

namespace asio = boost::asio;

using Callback = void (*)(int, short, void*);

// What waits. Handlers hold it: the event itself may be freed inside its own callback.
struct Wait : std::enable_shared_from_this<Wait> {
  explicit Wait(IoContext& loop) : descriptor(loop), timer(loop) {}

  void start(int of, short which, Callback call, void* with, const timeval* limit) {
    stop();
    bits = which;
    callback = call;
    argument = with;
    active = true;
    timeout.reset();
    if (limit != nullptr) timeout = std::chrono::seconds(limit->tv_sec) + Micros(limit->tv_usec);
    boost::system::error_code error;
    if (of >= 0 && (bits & (UB_EV_READ | UB_EV_WRITE)) != 0) descriptor.assign(of, error);
    arm();
  }
  void stop() {
    active = false;
    ++round;
    if (descriptor.is_open()) descriptor.release();
    timer.cancel();
  }

 private:
  void arm() {
    const auto mine = ++round;
    if (descriptor.is_open()) {
      if ((bits & UB_EV_READ) != 0) wait_for(asio::posix::descriptor_base::wait_read, UB_EV_READ);
      if ((bits & UB_EV_WRITE) != 0)
        wait_for(asio::posix::descriptor_base::wait_write, UB_EV_WRITE);
    }
    if (!timeout) return;
    timer.expires_after(*timeout);
    timer.async_wait([self = shared_from_this(), mine](auto error) {
      if (!error) self->fire(mine, UB_EV_TIMEOUT);
    });
  }
  void wait_for(asio::posix::descriptor_base::wait_type type, short event) {
    descriptor.async_wait(type, [self = shared_from_this(), mine = round, event](auto error) {
      if (!error) self->fire(mine, event);
    });
  }
  void fire(std::uint64_t mine, short event) {
    if (!active || mine != round) return;
    const auto keep = shared_from_this();
    const int fd = descriptor.is_open() ? descriptor.native_handle() : -1;
    const bool again = (bits & UB_EV_PERSIST) != 0;
    if (!again) stop();
    const auto before = round;
    callback(fd, event, argument);
    if (!again || !active || round != before) return;
    // The waits that did not fire end without a word: their round is over.
    if (descriptor.is_open()) descriptor.cancel();
    arm();
  }

  asio::posix::stream_descriptor descriptor;
  asio::steady_timer timer;
  std::optional<Micros> timeout;
  Callback callback = nullptr;
  void* argument = nullptr;
  short bits = 0;
  bool active = false;
  std::uint64_t round = 0;
};

struct Event : ub_event {
  int fd = -1;
  short bits = 0;
  Callback callback = nullptr;
  void* argument = nullptr;
  std::shared_ptr<Wait> wait;
};

Event& of(ub_event* event) { return *static_cast<Event*>(event); }

int start(ub_event* raw, timeval* limit) {
  Event& event = of(raw);
  event.wait->start(event.fd, event.bits, event.callback, event.argument, limit);
  return 0;
}

int stop(ub_event* raw) {
  of(raw).wait->stop();
  return 0;
}

void release(ub_event* raw) {
  stop(raw);
  delete &of(raw);
}

int start_timer(ub_event* raw, ub_event_base* /*base*/, Callback callback, void* argument,
                timeval* limit) {
  Event& event = of(raw);
  event.callback = callback;
  event.argument = argument;
  return start(raw, limit);
}

ub_event_vmt event_table{
    .add_bits = [](ub_event* event,
                   short bits) { of(event).bits = static_cast<short>(of(event).bits | bits); },
    .del_bits = [](ub_event* event,
                   short bits) { of(event).bits = static_cast<short>(of(event).bits & ~bits); },
    .set_fd = [](ub_event* event, int fd) { of(event).fd = fd; },
    .free = release,
    .add = start,
    .del = stop,
    .add_timer = start_timer,
    .del_timer = stop,
    // Not called by libunbound.
    .add_signal = [](ub_event*, timeval*) { return -1; },
    .del_signal = [](ub_event*) { return -1; },
    .winsock_unregister_wsaevent = [](ub_event*) {},
    .winsock_tcp_wouldblock = [](ub_event*, int) {},
};

ub_event* new_event(ub_event_base* base, int fd, short bits, Callback callback, void* argument) {
  auto* event = new Event;
  event->magic = UB_EVENT_MAGIC;
  event->vmt = &event_table;
  event->fd = fd;
  event->bits = bits;
  event->callback = callback;
  event->argument = argument;
  event->wait = std::make_shared<Wait>(*static_cast<UnboundLoop::Base*>(base)->loop);
  return event;
}

ub_event_base_vmt base_table{
    .free = [](ub_event_base*) {},
    .dispatch = [](ub_event_base*) { return -1; },
    .loopexit = [](ub_event_base*, timeval*) { return -1; },
    .new_event = new_event,
    .new_signal = [](ub_event_base*, int, Callback, void*) -> ub_event* { return nullptr; },
    .winsock_register_wsaevent = [](ub_event_base*, void*, Callback, void*) -> ub_event* {
      return nullptr;
    },
};

}  // namespace

UnboundLoop::UnboundLoop(IoContext& loop) {
  base_.magic = UB_EVENT_MAGIC;
  base_.vmt = &base_table;
  base_.loop = &loop;
}

}  // namespace icon::discovery
