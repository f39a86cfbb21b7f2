// icon-pages: holds the memory that a migration brings, and gives it to the restored processes. A
// process of its own, so that the supervisor may end while they still wait for pages. It is run by
// icon-supervisor:
//
//   icon-pages DIRECTORY BYTES_MAX CGROUP
//
// Standard input: the page stream (move_stream.h), then the line "check": the images are in
// DIRECTORY/images. Standard output, a line each:
//   received BYTES DIGEST     the stream has ended; DIRECTORY/lazy-pages.socket is open for CRIU
//   complete PAGES            every page that the images leave out is here
//   resident MS PAGES FAULTS ZERO_FAULTS   all memory is in place; the end
// Anything that goes wrong: one line "error TEXT" and exit status 1. When it ends before
// "resident", however, the restored processes (those in CGROUP) end with it: page_keeper.h.
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <charconv>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <map>
#include <string>

#include "base/fd.h"
#include "base/file.h"
#include "migration/digest.h"
#include "migration/memory/page_keeper.h"
#include "migration/memory/page_server.h"
#include "migration/memory/page_store.h"
#include "migration/memory/pagemap_image.h"
#include "migration/move_stream.h"

namespace icon::migration {
namespace {

constexpr std::uint32_t kRestoreFinished = 0x52535446;  // CRIU: LAZY_PAGES_RESTORE_FINISHED
constexpr std::size_t kProcessesMax = 4096;

Status read_whole(int fd, void* data, std::size_t size) {
  auto* at = static_cast<std::uint8_t*>(data);
  while (size > 0) {
    const ssize_t count = read(fd, at, size);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return fail_errno("read the page stream");
    if (count == 0) return fail(Code::kIo, "the page stream broke off");
    at += count;
    size -= static_cast<std::size_t>(count);
  }
  return {};
}

Status receive(int fd, PageStore& store, std::uint64_t& bytes, std::string& digest) {
  Digest all;
  std::vector<std::uint8_t> data(kFramePagesMax * kPageBytes);
  for (;;) {
    std::array<std::uint8_t, kFrameHeaderBytes> raw{};
    ICON_CHECK(read_whole(fd, raw.data(), raw.size()));
    ICON_TRY(const auto header, FrameHeader::decode(raw));
    all.add(raw.data(), raw.size());
    bytes += raw.size();
    if (header.kind == FrameHeader::Kind::kEnd) break;
    if (header.kind != FrameHeader::Kind::kPages)
      return fail(Code::kInvalid, "a frame that is not for this program");
    const std::size_t size = header.count * kPageBytes;
    ICON_CHECK(read_whole(fd, data.data(), size));
    all.add(data.data(), size);
    bytes += size;
    ICON_CHECK(store.put(header.pid, header.address, {data.data(), size}));
  }
  digest = all.hex();
  return {};
}

using Lazy = std::map<std::uint32_t, std::vector<MemoryRange>>;

// What the images leave out, by process. Errors: kInvalid: a page of it has not arrived.
Result<Lazy> check_images(const PageStore& store) {
  Lazy lazy;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator("images", error)) {
    const std::string name = entry.path().filename();
    constexpr std::string_view kPrefix = "pagemap-";
    std::uint32_t pid = 0;
    if (!name.starts_with(kPrefix) || !name.ends_with(".img") ||
        std::from_chars(name.data() + kPrefix.size(), name.data() + name.size(), pid).ptr !=
            name.data() + name.size() - 4)
      continue;  // "pagemap-shmem-N.img" too
    ICON_TRY(const auto image, read_file(entry.path(), kPagemapBytesMax));
    ICON_TRY(auto ranges,
             lazy_ranges({reinterpret_cast<const std::uint8_t*>(image.data()), image.size()}));
    for (const auto& range : ranges)
      for (std::uint64_t at = range.start; at < range.end;) {
        const auto pages = store.find(pid, at, range.bytes() / kPageBytes);
        if (pages.empty())
          return fail(Code::kInvalid, "page " + std::to_string(at) + " of process " +
                                          std::to_string(pid) + " has not arrived");
        at += pages.size();
      }
    if (lazy.size() >= kProcessesMax) return fail(Code::kLimit, "too many processes");
    lazy[pid] = std::move(ranges);
  }
  if (error) return fail(Code::kIo, "read the images: " + error.message());
  return lazy;
}

Result<UniqueFd> listen_for_criu() {
  UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strcpy(address.sun_path, "lazy-pages.socket");
  if (!fd || bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
      listen(fd.get(), 1) != 0)
    return fail_errno("listen on lazy-pages.socket");
  return fd;
}

// A process and its descriptor, or the end. False: CRIU has finished (or has gone).
Result<bool> hear_criu(int fd, const Lazy& lazy, PageServer& server) {
  std::uint32_t word = 0;
  const ssize_t count = recv(fd, &word, sizeof word, MSG_WAITALL);
  if (count == 0) return fail(Code::kIo, "CRIU gave up");
  if (count != sizeof word) return fail_errno("hear CRIU");
  if (word == kRestoreFinished) return false;
  if (static_cast<std::int32_t>(word) < 0) return true;  // a zombie has no memory
  char byte = 0;
  iovec part{&byte, 1};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  if (recvmsg(fd, &message, MSG_CMSG_CLOEXEC) != 1) return fail_errno("hear CRIU");
  const cmsghdr* header = CMSG_FIRSTHDR(&message);
  if (header == nullptr || header->cmsg_type != SCM_RIGHTS)
    return fail(Code::kIo, "CRIU sent no descriptor");
  int userfault = -1;
  std::memcpy(&userfault, CMSG_DATA(header), sizeof userfault);
  UniqueFd owned(userfault);
  const auto known = lazy.find(word);
  if (known == lazy.end())
    return fail(Code::kInvalid, "process " + std::to_string(word) + " is not in the images");
  server.add(word, std::move(owned), known->second);
  return true;
}

void say(const std::string& line) {
  std::printf("%s\n", line.c_str());
  std::fflush(stdout);
}

Status run(std::uint64_t bytes_max, const std::string& cgroup) {
  ICON_TRY(PageKeeper keeper, PageKeeper::start());
  PageStore store(bytes_max);
  std::uint64_t bytes = 0;
  std::string digest;
  ICON_CHECK(receive(STDIN_FILENO, store, bytes, digest));
  ICON_TRY(const UniqueFd listener, listen_for_criu());
  say("received " + std::to_string(bytes) + " " + digest);
  std::array<char, 6> order{};
  ICON_CHECK(read_whole(STDIN_FILENO, order.data(), order.size()));
  if (std::string_view(order.data(), order.size()) != "check\n")
    return fail(Code::kInvalid, "no such order");
  ICON_TRY(const auto lazy, check_images(store));
  say("complete " + std::to_string(store.pages()));

  UniqueFd criu(accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
  if (!criu) return fail_errno("wait for CRIU");
  ICON_CHECK(keeper.guard(cgroup));
  PageServer server(store);
  for (bool more = true; more;) {
    ICON_TRY(const bool heard, server.turn(criu.get(), /*fill=*/false, -1));
    if (heard) {
      ICON_TRY(more, hear_criu(criu.get(), lazy, server));
    }
  }
  criu.reset();
  // The processes live now: they need us, whatever becomes of our parent.
  prctl(PR_SET_PDEATHSIG, 0);
  const auto start = std::chrono::steady_clock::now();
  while (!server.complete()) ICON_CHECK(server.turn(-1, /*fill=*/true, -1));
  keeper.let_go();
  const auto took = std::chrono::duration_cast<std::chrono::milliseconds>(
      std::chrono::steady_clock::now() - start);
  const auto& statistics = server.statistics();
  say("resident " + std::to_string(took.count()) + " " + std::to_string(statistics.pages_filled) +
      " " + std::to_string(statistics.faults) + " " + std::to_string(statistics.zero_faults));
  return {};
}

}  // namespace
}  // namespace icon::migration

int main(int count, char** arguments) {
  std::uint64_t bytes_max = 0;
  if (count != 4 ||
      std::from_chars(arguments[2], arguments[2] + std::strlen(arguments[2]), bytes_max).ec !=
          std::errc() ||
      chdir(arguments[1]) != 0) {
    std::fprintf(stderr,
                 "icon-pages is run by icon-supervisor: icon-pages DIRECTORY BYTES_MAX "
                 "CGROUP\n");
    return 2;
  }
  signal(SIGPIPE, SIG_IGN);  // who started us may have ended
  const auto done = icon::migration::run(bytes_max, arguments[3]);
  if (done) return 0;
  std::printf("error %s\n", done.error().message.c_str());
  std::fflush(stdout);
  return 1;
}
