// Sockets of every family that a service may use.
#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <linux/netlink.h>
#include <linux/vm_sockets.h>
#include <netinet/in.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>

#include "tests/criu/zoo.h"

namespace icon::zoo {
namespace {

#ifndef IPPROTO_MPTCP
constexpr int IPPROTO_MPTCP = 262;
#endif

int open_socket(int family, int type, int protocol = 0) {
  return must(socket(family, type, protocol), "socket");
}

sockaddr_un local(const char* path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strcpy(address.sun_path, path);
  return address;
}

int connected(const char* path, int type) {
  const int fd = open_socket(AF_UNIX, type);
  const auto address = local(path);
  must(connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address), "connect");
  return fd;
}

int listening(const char* path) {
  const int fd = open_socket(AF_UNIX, SOCK_STREAM);
  const auto address = local(path);
  must(bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address), "bind");
  must(listen(fd, 5), "listen");
  return fd;
}

sockaddr_in internet(const char* host, int port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  inet_pton(AF_INET, host, &address.sin_addr);
  return address;
}

int bound(int type, int protocol, int port) {
  const int fd = open_socket(AF_INET, type, protocol);
  const auto address = internet("127.0.0.1", port);
  must(bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address), "bind");
  if (type == SOCK_STREAM) must(listen(fd, 5), "listen");
  return fd;
}

int internet_connected(int type, int protocol, int port, const char* host = "127.0.0.1") {
  const int fd = open_socket(AF_INET, type, protocol);
  const auto address = internet(host, port);
  must(connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address), "connect");
  return fd;
}

void tcp_pair(bool half_closed) {
  const int server = bound(SOCK_STREAM, 0, 5555);
  const int client = internet_connected(SOCK_STREAM, 0, 5555);
  must(accept(server, nullptr, nullptr), "accept");
  if (half_closed) must(shutdown(client, SHUT_WR), "shutdown");
}

// Nobody answers: packets to this network have no way out of the namespace but its loopback.
void tcp_connecting() {
  const int fd = open_socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK);
  const auto address = internet("127.0.0.1", 5599);
  const int full = bound(SOCK_STREAM, 0, 5599);
  must(listen(full, 0), "listen");
  internet_connected(SOCK_STREAM, 0, 5599);
  (void)connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address);
}

void packet_ring() {
  const int fd = open_socket(AF_PACKET, SOCK_RAW, htons(3));
  tpacket_req ring{};
  ring.tp_block_size = 4096;
  ring.tp_block_nr = 2;
  ring.tp_frame_size = 2048;
  ring.tp_frame_nr = 4;
  must(setsockopt(fd, SOL_PACKET, PACKET_RX_RING, &ring, sizeof ring), "ring");
  if (mmap(nullptr, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED) give_up("mmap");
}

void netlink(int protocol, unsigned groups) {
  const int fd = open_socket(AF_NETLINK, SOCK_RAW, protocol);
  sockaddr_nl address{};
  address.nl_family = AF_NETLINK;
  address.nl_groups = groups;
  must(bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address), "bind");
}

void pair(int type) {
  int ends[2];
  must(socketpair(AF_UNIX, type, 0, ends), "socketpair");
}

// Its name in the file system is gone.
void nameless() {
  listening("/tmp/zoo.sock");
  must(unlink("/tmp/zoo.sock"), "unlink");
}

}  // namespace

Animals sockets() {
  return {
      {"unix_stream_outside", [] { connected("/run/icon/stream.sock", SOCK_STREAM); }},
      {"unix_seqpacket_outside", [] { connected("/run/icon/seqpacket.sock", SOCK_SEQPACKET); }},
      {"unix_datagram_outside", [] { connected("/run/icon/datagram.sock", SOCK_DGRAM); }},
      {"unix_listening", [] { listening("/tmp/zoo.sock"); }},
      {"unix_unlinked", nameless},
      {"unix_waiting",
       [] {
         listening("/tmp/zoo.sock");
         connected("/tmp/zoo.sock", SOCK_STREAM);
       }},
      {"unix_pair_stream", [] { pair(SOCK_STREAM); }},
      {"unix_pair_seqpacket", [] { pair(SOCK_SEQPACKET); }},
      {"unix_pair_datagram", [] { pair(SOCK_DGRAM); }},
      {"unix_half",
       [] {
         int ends[2];
         must(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), "socketpair");
         close(ends[1]);
       }},
      {"netlink_route", [] { netlink(NETLINK_ROUTE, 1); }},
      {"netlink_diag", [] { netlink(NETLINK_SOCK_DIAG, 0); }},
      {"netlink_filter", [] { netlink(NETLINK_NETFILTER, 0); }},
      {"netlink_uevent", [] { netlink(NETLINK_KOBJECT_UEVENT, 1); }},
      {"netlink_generic", [] { netlink(NETLINK_GENERIC, 0); }},
      {"netlink_audit", [] { netlink(NETLINK_AUDIT, 0); }},
      {"netlink_xfrm", [] { netlink(NETLINK_XFRM, 0); }},
      {"raw", [] { open_socket(AF_INET, SOCK_RAW, IPPROTO_ICMP); }},
      {"ping", [] { open_socket(AF_INET, SOCK_DGRAM, IPPROTO_ICMP); }},
      {"packet", [] { open_socket(AF_PACKET, SOCK_RAW, htons(3)); }},
      {"packet_ring", packet_ring},
      {"udp", [] { bound(SOCK_DGRAM, 0, 5555); }},
      {"udp_connected", [] { internet_connected(SOCK_DGRAM, 0, 5555); }},
      {"udplite", [] { bound(SOCK_DGRAM, IPPROTO_UDPLITE, 5555); }},
      {"tcp_listening", [] { bound(SOCK_STREAM, 0, 5555); }},
      {"tcp_connected", [] { tcp_pair(false); }},
      {"tcp_half_closed", [] { tcp_pair(true); }},
      {"tcp_fresh", [] { open_socket(AF_INET, SOCK_STREAM); }},
      {"tcp_waiting",
       [] {
         bound(SOCK_STREAM, 0, 5555);
         internet_connected(SOCK_STREAM, 0, 5555);
       }},
      {"tcp_connecting", tcp_connecting},
      {"mptcp", [] { bound(SOCK_STREAM, IPPROTO_MPTCP, 5555); }},
      {"vsock", [] { open_socket(AF_VSOCK, SOCK_STREAM); }},
  };
}

}  // namespace icon::zoo
