#include "supervisor/docker/restore_launcher.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "base/socket_path.h"
#include "supervisor/docker/shell_order.h"

namespace icon::supervisor {
namespace {

constexpr std::size_t kCallBytesMax = 64 << 10;
using Descriptors = std::array<int, 2>;
constexpr const char* kHoldVariable = "ICON_HOLD_SOCKET";

// One packet: the hold socket and the command, each word with a zero at its end, and what the
// command gets: standard input, network namespace.
bool send_call(int socket, const std::string& text, const Descriptors& descriptors) {
  iovec part{const_cast<char*>(text.data()), text.size()};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(Descriptors))> control{};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  cmsghdr* header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof(Descriptors));
  std::memcpy(CMSG_DATA(header), descriptors.data(), sizeof(Descriptors));
  return sendmsg(socket, &message, MSG_NOSIGNAL) == static_cast<ssize_t>(text.size());
}

}  // namespace

Result<UniqueFd> listen_unix(const std::string& path, int type) {
  ICON_TRY(const auto place, SocketPath::of(path));
  const sockaddr_un address = place.address();
  UniqueFd fd(socket(AF_UNIX, type | SOCK_CLOEXEC, 0));
  unlink(place.text.c_str());
  if (!fd || bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      listen(fd.get(), 1) != 0)
    return fail_errno("listen on " + path);
  return fd;
}

Result<UniqueFd> connect_unix(const std::string& path, int type) {
  ICON_TRY(const auto place, SocketPath::of(path));
  const sockaddr_un address = place.address();
  UniqueFd fd(socket(AF_UNIX, type | SOCK_CLOEXEC, 0));
  if (!fd || connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    return fail_errno("connect to " + path);
  return fd;
}

int launch_restore(const std::string& icon_directory, const std::vector<std::string>& command) {
  const char* hold = std::getenv(kHoldVariable);
  const auto socket = connect_unix(icon_directory + kRestoreSocket, SOCK_SEQPACKET);
  if (!socket) {
    std::fprintf(stderr, "nobody waits for a restore: %s\n", socket.error().message.c_str());
    return 1;
  }
  const UniqueFd netns(open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC));
  if (!netns) return 1;
  std::string text = hold == nullptr ? "" : hold;
  text.push_back('\0');
  for (const auto& word : command) (text += word).push_back('\0');
  if (text.size() > kCallBytesMax || !send_call(socket->get(), text, {STDIN_FILENO, netns.get()}))
    return 1;
  // Its writer must see that the command is the only reader.
  close(STDIN_FILENO);
  int status = 1;
  if (recv(socket->get(), &status, sizeof status, 0) != sizeof status) return 1;
  return status;
}

Result<RestoreCall> accept_restore_call(int listening_fd) {
  RestoreCall call;
  call.launcher.reset(accept4(listening_fd, nullptr, nullptr, SOCK_CLOEXEC));
  if (!call.launcher) return fail_errno("accept");
  std::string text(kCallBytesMax, '\0');
  iovec part{text.data(), text.size()};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(Descriptors))> control{};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  const ssize_t size = recvmsg(call.launcher.get(), &message, MSG_CMSG_CLOEXEC);
  if (size <= 0) return fail_errno("receive a restore's command line");
  const cmsghdr* header = CMSG_FIRSTHDR(&message);
  if (header == nullptr || header->cmsg_type != SCM_RIGHTS ||
      header->cmsg_len != CMSG_LEN(sizeof(Descriptors)))
    return fail(Code::kInvalid, "a restore's command line came without its descriptors");
  Descriptors descriptors{};
  std::memcpy(descriptors.data(), CMSG_DATA(header), sizeof descriptors);
  call.input.reset(descriptors[0]);
  call.netns.reset(descriptors[1]);
  text.resize(static_cast<std::size_t>(size));
  std::vector<std::string> words;
  for (std::size_t at = 0; at < text.size();) {
    const auto end = text.find('\0', at);
    if (end == std::string::npos)
      return fail(Code::kInvalid, "a restore's command line is cut off");
    words.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  if (words.size() < 2) return fail(Code::kInvalid, "a restore's command line is empty");
  call.hold_socket = words.front();
  call.command.assign(words.begin() + 1, words.end());
  return call;
}

void answer_restore_call(const RestoreCall& call, int exit_status) {
  (void)send(call.launcher.get(), &exit_status, sizeof exit_status, MSG_NOSIGNAL);
}

}  // namespace icon::supervisor
