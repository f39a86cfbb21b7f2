#!/usr/bin/python3
"""The users of a service that is moved: connections that are held open, each asks, waits for its
reply, checks it, and asks again at a steady pace.

  migration_client.py PROTOCOL ADDRESS PORT CONNECTIONS PACE_MS SAMPLES [stay]

says "ready" when all are open, goes on until its input ends, then writes every sample (connection,
asked, answered; CLOCK_MONOTONIC seconds) to the file SAMPLES and the counts to its output.
"""

import array
import base64
import gc
import json
import os
import select
import signal
import socket
import struct
import sys
import time

DRAIN_S = 20.0  # how long the last replies may take
UDP_PATIENCE_S = 1.0  # then the next is sent; what is never answered is lost
CONNECT_S = 20.0
UDP_HELLO_S = 0.2
READ_BYTES = 65536


class Protocol:
    """One connection's dialogue. Stream sockets unless `datagrams`."""

    datagrams = False

    def __init__(self, sock, number):
        self.socket, self.number = sock, number

    def exchange(self, text, complete=None):
        """A question before the measurement; waits for its whole answer."""
        self.socket.sendall(text)
        answer = b""
        while not (complete or self.complete)(answer):
            data = self.socket.recv(READ_BYTES)
            if not data:
                raise ConnectionError(f"the service closed: {answer[:200]!r}")
            answer += data
        return answer

    def hello(self):
        pass

    def finish(self):
        """After the last reply: what is wrong with the state of the connection."""
        return 0


class Redis(Protocol):
    """INCR on a key of its own in database 1: the connection's state must travel, too."""

    def hello(self):
        self.exchange(b"SELECT 1\r\n")
        self.key = b"users:%d" % self.number
        self.exchange(b"DEL %s\r\n" % self.key)

    def ask(self, sequence):
        return b"INCR %s\r\n" % self.key

    def complete(self, reply):
        return reply.endswith(b"\r\n")

    def right(self, reply, sequence):
        return reply == b":%d\r\n" % sequence


class Http(Protocol):
    """GET on a kept connection; the body must always be the first one's."""

    REQUEST = b"GET /index.html HTTP/1.1\r\nHost: users\r\n\r\n"

    def hello(self):
        self.body = self.exchange(self.REQUEST).partition(b"\r\n\r\n")[2]

    def ask(self, sequence):
        return self.REQUEST

    def complete(self, reply):
        head, separator, body = reply.partition(b"\r\n\r\n")
        if not separator:
            return False
        for line in head.split(b"\r\n"):
            if line.lower().startswith(b"content-length:"):
                return len(body) >= int(line.split(b":")[1])
        return True

    def right(self, reply, sequence):
        return reply.startswith(b"HTTP/1.1 200") and reply.partition(b"\r\n\r\n")[2] == self.body


class WebSocket(Protocol):
    """Text frames of under 126 bytes (RFC 6455); the server echoes them behind its own count."""

    def hello(self):
        key = base64.b64encode(os.urandom(16))
        self.exchange(b"GET / HTTP/1.1\r\nHost: users\r\nUpgrade: websocket\r\n"
                      b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                      b"Sec-WebSocket-Key: %s\r\n\r\n" % key, lambda text: b"\r\n\r\n" in text)

    def text(self, sequence):
        return b"user %d message %d" % (self.number, sequence)

    @staticmethod
    def frame(text):
        mask = os.urandom(4)
        masked = bytes(byte ^ mask[i % 4] for i, byte in enumerate(text))
        return bytes([0x81, 0x80 | len(text)]) + mask + masked

    def ask(self, sequence):
        return self.frame(self.text(sequence))

    def complete(self, reply):
        return len(reply) >= 2 and len(reply) >= 2 + reply[1]

    def right(self, reply, sequence):
        return reply[0] == 0x81 and reply[2:] == b"%d %s" % (sequence, self.text(sequence))


class Udp(Protocol):
    datagrams = True

    def hello(self):
        """Until the service answers: nobody says when it listens."""
        self.socket.settimeout(UDP_HELLO_S)
        deadline = time.monotonic() + CONNECT_S
        while time.monotonic() < deadline:
            try:
                self.exchange(self.ask(0))
                return
            except OSError:
                time.sleep(UDP_HELLO_S)
        raise TimeoutError("no answer to a datagram")

    def ask(self, sequence):
        return b"user %d message %d" % (self.number, sequence)

    def complete(self, reply):
        return bool(reply)

    def right(self, reply, sequence):
        return reply == self.ask(sequence)


class Postgres(Protocol):
    """One transaction that stays open through the move; each request inserts a row in it."""

    def log_in(self):
        start = struct.pack("!I", 196608) + b"user\0postgres\0database\0postgres\0\0"
        self.exchange(struct.pack("!I", len(start) + 4) + start)

    def rows(self, text):
        """What a query answers: for each row its bytes."""
        reply = self.exchange(self.query(text))
        return [body for kind, body in self.messages(reply) if kind == b"D"]

    def hello(self):
        self.log_in()
        self.exchange(self.query("BEGIN"))
        self.exchange(self.query("CREATE TEMP TABLE mine (n bigint) ON COMMIT PRESERVE ROWS"))

    @staticmethod
    def query(text):
        return b"Q" + struct.pack("!I", len(text) + 5) + text.encode() + b"\0"

    @staticmethod
    def messages(reply):
        at = 0
        while len(reply) >= at + 5:
            length = struct.unpack_from("!I", reply, at + 1)[0]
            if len(reply) < at + 1 + length:
                return
            yield reply[at:at + 1], reply[at + 5:at + 1 + length]
            at += 1 + length

    def ask(self, sequence):
        return self.query(f"INSERT INTO mine VALUES ({sequence}) RETURNING n")

    def complete(self, reply):
        return any(kind == b"Z" for kind, _ in self.messages(reply))

    def right(self, reply, sequence):
        said = list(self.messages(reply))
        row = [body for kind, body in said if kind == b"D"]
        inside = [body for kind, body in said if kind == b"Z"] == [b"T"]
        return inside and row == [struct.pack("!HI", 1, len(str(sequence))) + b"%d" % sequence]

    def finish(self):
        self.socket.setblocking(True)
        self.exchange(self.query("COMMIT"))
        row = self.rows("SELECT count(*), coalesce(sum(n), 0) FROM mine")
        count, total = self.sequence, self.sequence * (self.sequence + 1) // 2
        fields = [b"%d" % value for value in (count, total)]
        expected = struct.pack("!H", 2) + b"".join(struct.pack("!I", len(f)) + f for f in fields)
        return 0 if row == [expected] else 1


PROTOCOLS = {"redis": Redis, "http": Http, "websocket": WebSocket, "udp": Udp,
             "postgres": Postgres}


class User:
    def __init__(self, kind, address, number):
        if kind.datagrams:
            self.socket = socket.socket(type=socket.SOCK_DGRAM)
            self.socket.settimeout(CONNECT_S)
            self.socket.connect(address)
        else:
            self.socket = socket.create_connection(address, timeout=CONNECT_S)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.talk = kind(self.socket, number)
        self.talk.hello()
        self.socket.setblocking(False)
        self.sequence, self.buffer, self.asked, self.dead = 0, b"", None, False
        self.overdue = {}  # datagrams that a later one has overtaken: reply -> when asked


class Users:
    def __init__(self, kind, address, count, pace):
        self.kind, self.pace = kind, pace
        self.users = [User(kind, address, number) for number in range(count)]
        self.by_fd = {user.socket.fileno(): user for user in self.users}
        self.poll = select.epoll()
        for fd in self.by_fd:
            self.poll.register(fd, select.EPOLLIN)
        self.samples = array.array("d")
        self.resets = self.wrong = self.duplicated = 0

    def ask(self, user, now):
        if user.dead:
            return
        if user.asked is not None:
            if not self.kind.datagrams or now - user.asked < UDP_PATIENCE_S:
                return  # still waiting: it asks again when its next turn comes
            user.overdue[user.talk.ask(user.sequence)] = user.asked
        user.sequence += 1
        user.asked = now
        try:
            user.socket.send(user.talk.ask(user.sequence))
        except OSError as error:
            self.end(user, error)

    def end(self, user, error):
        if self.kind.datagrams:
            return  # an ICMP error is not the end of a datagram socket
        self.resets += 1
        user.dead = True
        self.poll.unregister(user.socket.fileno())
        local = user.socket.getsockname()[1]
        print(f"{time.monotonic():.4f} connection {user.talk.number} from port {local}: {error}",
              file=sys.stderr, flush=True)

    def hear(self, user):
        try:
            data = user.socket.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError as error:
            return self.end(user, error)
        if not data and not self.kind.datagrams:
            return self.end(user, "closed")
        if data in user.overdue:
            self.samples.extend((user.talk.number, user.overdue.pop(data), time.monotonic()))
            return None
        if user.asked is None:
            self.duplicated += 1
            return None
        user.buffer += data
        if not user.talk.complete(user.buffer):
            return None
        now = time.monotonic()
        reply, user.buffer = user.buffer, b""
        if not user.talk.right(reply, user.sequence):
            self.wrong += 1
        self.samples.extend((user.talk.number, user.asked, now))
        user.asked = None
        return None

    def owed(self):
        return sum((user.asked is not None and not user.dead) + len(user.overdue)
                   for user in self.users)

    def run(self, control):
        """Until `control` (a descriptor) ends; then until every reply is there."""
        step = self.pace / len(self.users)
        turn, due = 0, time.monotonic()
        deadline = None
        while True:
            now = time.monotonic()
            if deadline is not None and (not self.owed() or now > deadline):
                break
            while deadline is None and due <= now:
                self.ask(self.users[turn % len(self.users)], now)
                turn += 1
                due += step
            wait = 0.05 if deadline else max(0.0, due - time.monotonic())
            # select, because epoll's own timeout counts whole milliseconds
            ready = select.select([self.poll, control] if deadline is None else [self.poll],
                                  [], [], wait)[0]
            if control in ready:
                if not os.read(control, 100):
                    deadline = time.monotonic() + DRAIN_S
            if self.poll in ready:
                for fd, _ in self.poll.poll(0):
                    self.hear(self.by_fd[fd])

    def tell_lost(self):
        for user in self.users:
            asked = list(user.overdue.values())
            if user.asked is not None and not user.dead:
                asked.append(user.asked)
            for at in asked:
                print(f"connection {user.talk.number}: asked at {at:.4f}, no reply",
                      file=sys.stderr, flush=True)

    def report(self):
        self.tell_lost()
        for user in self.users:
            user.talk.sequence = user.sequence
            if not user.dead and user.asked is None:
                self.wrong += user.talk.finish()
        return {"connections": len(self.users), "replies": len(self.samples) // 3,
                "resets": self.resets, "wrong": self.wrong, "duplicated": self.duplicated,
                "lost": self.owed()}


def main():
    protocol, address, port, count, pace_ms, path = sys.argv[1:7]
    users = Users(PROTOCOLS[protocol], (address, int(port)), int(count), float(pace_ms) / 1e3)
    gc.collect()
    gc.freeze()
    gc.disable()  # a collection would look like the service's pause
    print("ready", flush=True)
    users.run(0)
    report = users.report()
    with open(path, "wb") as file:
        users.samples.tofile(file)
    print(json.dumps(report), flush=True)
    if sys.argv[7:] == ["stay"]:
        signal.pause()  # silent, with all connections open: somebody who is out of reach


if __name__ == "__main__":
    main()
