// zoo ANIMAL: makes it, says so in /run/icon/ready ("ok", or the refusal), and waits.
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "tests/criu/zoo.h"

namespace icon::zoo {
namespace {

// Written under another name first: who sees the file sees all of it.
void say(const std::string& text) {
  const int fd = open("/run/icon/ready.new", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd < 0 || write(fd, text.data(), text.size()) < 0) _exit(3);
  close(fd);
  if (rename("/run/icon/ready.new", "/run/icon/ready") != 0) _exit(4);
}

}  // namespace

void give_up(const char* what) {
  say(std::string(what) + ": " + std::strerror(errno));
  for (;;) pause();
}

int receive_descriptor() {
  const int fd = must(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), "socket");
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strcpy(address.sun_path, "/run/icon/give.sock");
  must(connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address), "connect");
  char byte = 0;
  iovec data{&byte, 1};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr message{};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  must(static_cast<int>(recvmsg(fd, &message, 0)), "recvmsg");
  const cmsghdr* header = CMSG_FIRSTHDR(&message);
  int received = -1;
  if (header != nullptr) std::memcpy(&received, CMSG_DATA(header), sizeof received);
  close(fd);
  return must(received, "receive");
}

}  // namespace icon::zoo

int main(int count, char** arguments) {
  using namespace icon::zoo;
  Animals animals = descriptors();
  animals.merge(sockets());
  animals.merge(processes());
  animals.merge(files());
  const auto animal = animals.find(count > 1 ? arguments[1] : "");
  if (animal == animals.end()) {
    errno = EINVAL;
    give_up("no such animal");
  }
  animal->second();
  say("ok");
  for (;;) pause();
}
