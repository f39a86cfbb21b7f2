#!/usr/bin/python3
"""Queues packets to an address, for the peers of bench/migration_gap. Runs in a host's namespace.

Reads commands, one per line, and answers each with "ok" and what it did:
  hold ADDRESS                      from now on its packets wait here (a TUN device)
  route ADDRESS GATEWAY INTERFACE   from now on they go there ("-": no gateway), who waited too
  block TABLE | unblock TABLE       a black hole as that routing table's default: nothing leaves
"""

import errno
import fcntl
import os
import select
import socket
import struct
import sys

DEVICE = "hold0"
TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 1, 0x1000
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1
RTM_NEWROUTE, RTM_DELROUTE = 24, 25
REQUEST, ACK, REPLACE, CREATE = 1, 4, 0x100, 0x400
RTN_UNICAST, RTN_BLACKHOLE = 1, 6
MAIN_TABLE, PROTOCOL_BOOT, SCOPE_UNIVERSE, SCOPE_LINK = 254, 3, 0, 253
DST, OIF, GATEWAY, TABLE = 1, 4, 5, 15
QUEUE_PACKETS = 65536


def open_device():
    fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", DEVICE.encode(), IFF_TUN | IFF_NO_PI))
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        request = fcntl.ioctl(sock, SIOCGIFFLAGS, struct.pack("16sH22x", DEVICE.encode(), 0))
        flags = struct.unpack_from("H", request, 16)[0]
        fcntl.ioctl(sock, SIOCSIFFLAGS, struct.pack("16sH22x", DEVICE.encode(), flags | IFF_UP))
    with open(f"/proc/sys/net/ipv4/conf/{DEVICE}/rp_filter", "w", encoding="ascii") as file:
        file.write("0")
    return fd


class Routes:
    """The kernel's routes by netlink: a process per change would be in the gap."""

    def __init__(self):
        self.socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
        self.socket.bind((0, 0))

    def change(self, message, flags, kind, table=MAIN_TABLE, destination=None, gateway=None,
               device=None):
        def attribute(name, value):
            return struct.pack("HH", 4 + len(value), name) + value

        scope = SCOPE_LINK if device and not gateway else SCOPE_UNIVERSE
        body = struct.pack("BBBBBBBBI", socket.AF_INET, 32 if destination else 0, 0, 0,
                           min(table, 255), PROTOCOL_BOOT, scope, kind, 0)
        body += attribute(TABLE, struct.pack("I", table))
        if destination:
            body += attribute(DST, socket.inet_aton(destination))
        if gateway:
            body += attribute(GATEWAY, socket.inet_aton(gateway))
        if device:
            body += attribute(OIF, struct.pack("I", socket.if_nametoindex(device)))
        self.socket.send(struct.pack("IHHII", 16 + len(body), message, REQUEST | ACK | flags, 1, 0)
                         + body)
        code = -struct.unpack_from("i", self.socket.recv(4096), 16)[0]
        if code and not (message == RTM_DELROUTE and code == errno.ESRCH):
            raise OSError(code, os.strerror(code))


def main():
    device, routes, queue = open_device(), Routes(), []

    def collect():
        while True:
            try:
                packet = os.read(device, 65536)
            except BlockingIOError:
                return
            if len(queue) < QUEUE_PACKETS:
                queue.append(packet)

    def perform(verb, *words):
        if verb == "hold":
            routes.change(RTM_NEWROUTE, CREATE | REPLACE, RTN_UNICAST, destination=words[0],
                          device=DEVICE)
        elif verb == "route":
            address, gateway, interface = words
            routes.change(RTM_NEWROUTE, CREATE | REPLACE, RTN_UNICAST, destination=address,
                          gateway=None if gateway == "-" else gateway, device=interface)
            collect()
            for packet in queue:
                os.write(device, packet)
            count = len(queue)
            queue.clear()
            return count
        elif verb == "block":
            routes.change(RTM_NEWROUTE, CREATE | REPLACE, RTN_BLACKHOLE, table=int(words[0]))
        elif verb == "unblock":
            routes.change(RTM_DELROUTE, 0, RTN_BLACKHOLE, table=int(words[0]))
        return 0

    print("ok 0", flush=True)
    commands = b""
    while True:
        ready = select.select([device, 0], [], [])[0]
        if device in ready:
            collect()
        if 0 in ready:
            data = os.read(0, 4096)
            if not data:
                return
            commands += data
            while b"\n" in commands:
                line, _, commands = commands.partition(b"\n")
                try:
                    print("ok", perform(*line.decode().split()), flush=True)
                except OSError as error:
                    print("failed", error, flush=True)


if __name__ == "__main__":
    sys.exit(main())
