"""What bench/migration_gap moves: services, how they are filled, how their data is checked."""

import hashlib
import os
import random
import shutil
import socket
import subprocess
import sys
import time

import bench_world as bench
from migration_client import Http, Postgres, WebSocket
from migration_lab import wait_until

HERE = os.path.dirname(os.path.abspath(__file__))
IMAGES = os.path.join(os.path.dirname(HERE), "images")
FILES = os.path.join(HERE, "migration_files")
VALUE_BYTES = 4000
KEYS_PER_MB = (1 << 20) // VALUE_BYTES
BATCH = 256
POOL_BYTES = 4 << 20
SEED = b"what the service was told before the move"
DATA_BYTES = 16 << 20  # what a service without a store of its own makes of the seed
ROWS = 50_000
TALK_S, DATAGRAM_S, DATAGRAM_TRIES = 120, 2.0, 5


def digest():
    """Of the data that SEED stands for."""
    return hashlib.sha256(hashlib.shake_256(SEED).digest(DATA_BYTES)).hexdigest().encode()


class Case:
    """A service. fill() and check() speak with it from inside the users' node."""

    protocol, port, image, connections, pace_ms, mb = "", 0, "", 50, 20, 0
    command = []
    environment = []
    says = ""  # in its first lines
    version = []  # a command inside, and what it prints
    stopped = 0  # its exit status after SIGTERM

    def __init__(self, name):
        self.name = name

    def build(self, directory):
        """Its root directory, made once. Returns the path."""
        path = os.path.join(directory, self.image)
        os.makedirs(directory, exist_ok=True)
        bench.run(self.recipe(path), start_new_session=True, timeout=300)
        return path

    def connect(self, address):
        return socket.create_connection((address, self.port), timeout=TALK_S)

    def fill(self, address):
        pass

    def check(self, address):
        """How much of its data is not what fill() put there."""
        return 0


class RedisCase(Case):
    protocol, port, image = "redis", 6379, "redis"
    command = ["/usr/bin/redis-server", "/etc/redis/icon.conf"]
    says = "Ready to accept connections"
    version = ["/usr/bin/redis-cli", "ping"], "PONG"

    def __init__(self, mb):
        super().__init__(f"redis-{mb}")
        self.mb = mb

    def recipe(self, path):
        return [os.path.join(IMAGES, "redis", "build"), path]

    def batches(self):
        """(keys, values): slices of a random pool, which nothing compresses."""
        pool = random.Random(self.mb).randbytes(POOL_BYTES)
        keys = self.mb * KEYS_PER_MB
        for start in range(0, keys, BATCH):
            numbers = range(start, min(start + BATCH, keys))
            offsets = (number * 3989 % (POOL_BYTES - VALUE_BYTES) for number in numbers)
            yield ([b"key:%d" % number for number in numbers],
                   [pool[at:at + VALUE_BYTES] for at in offsets])

    @staticmethod
    def command_of(words):
        return b"*%d\r\n" % len(words) + RedisCase.bulk(words)

    @staticmethod
    def bulk(words):
        return b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)

    def ask(self, address, questions):
        """Whether each of the (question, whole answer) is answered so."""
        with self.connect(address) as sock:
            with sock.makefile("rb", buffering=1 << 20) as replies:
                for question, answer in questions:
                    sock.sendall(question)
                    if replies.read(len(answer)) != answer:
                        return False
        return True

    def fill(self, address):
        def questions():
            for keys, values in self.batches():
                words = [b"MSET"] + [word for pair in zip(keys, values) for word in pair]
                yield self.command_of(words), b"+OK\r\n"

        if not self.ask(address, questions()):
            raise RuntimeError("redis did not take its values")

    def check(self, address):
        """Every byte of every value, and that there is nothing else."""
        def questions():
            yield b"DBSIZE\r\n", b":%d\r\n" % (self.mb * KEYS_PER_MB)
            for keys, values in self.batches():
                yield (self.command_of([b"MGET"] + keys),
                       b"*%d\r\n" % len(values) + self.bulk(values))

        return 0 if self.ask(address, questions()) else 1


def packages(path, names, *options):
    return [os.path.join(IMAGES, "make-rootfs"), path] + list(names) + list(options)


class NginxCase(Case):
    """Four workers; the users' connections are kept alive."""

    protocol, port, image = "http", 8080, "nginx"
    says = "start worker process"
    version = ["/usr/sbin/nginx", "-v"], "nginx version"

    def __init__(self, name, user):
        super().__init__(name)
        self.command = ["/usr/sbin/nginx", "-c", "/etc/nginx/gap.conf", "-g", f"user {user};"]

    def check(self, address):
        """Its page, as often as is likely to meet each of its workers."""
        with open(f"{FILES}/index.html", "rb") as file:
            page = file.read()
        wrong = 0
        for number in range(16):
            with self.connect(address) as sock:
                talk = Http(sock, number)
                talk.hello()
                wrong += talk.body != page
        return wrong

    def recipe(self, path):
        return packages(path, ["nginx"], "--add-file", f"{FILES}/nginx.conf:/etc/nginx/gap.conf",
                        "--add-file", f"{FILES}/index.html:/srv/index.html", "--add-dir",
                        "/var/lib/nginx", "--add-dir", "/var/log/nginx", "--user", "www-data:33")


class WebSocketCase(Case):
    protocol, port, image = "websocket", 8081, "node"
    command = ["/usr/bin/node", "/srv/websocket.js"]
    environment = ["NODE_PATH=/usr/share/nodejs:/usr/lib/nodejs"]
    says = "listening"
    version = ["/usr/bin/node", "--version"], "v18."
    stopped = 143

    def ask(self, address, text):
        with self.connect(address) as sock:
            talk = WebSocket(sock, 0)
            talk.hello()
            return talk.exchange(talk.frame(text))[2:]

    def fill(self, address):
        self.ask(address, b"fill " + SEED)

    def check(self, address):
        return 0 if self.ask(address, b"digest") == digest() else 1

    def recipe(self, path):
        return packages(path, ["nodejs", "node-ws"], "--add-file",
                        f"{FILES}/websocket.js:/srv/websocket.js")


class UdpCase(Case):
    protocol, port, image = "udp", 9000, "python"
    command = ["/usr/bin/python3", "/srv/udp_echo.py"]
    says = "listening"
    version = ["/usr/bin/python3", "--version"], "Python 3."
    stopped = 143

    def ask(self, address, text):
        with socket.socket(type=socket.SOCK_DGRAM) as sock:
            sock.settimeout(DATAGRAM_S)
            sock.connect((address, self.port))
            for _ in range(DATAGRAM_TRIES):  # nobody says when it listens
                try:
                    sock.send(text)
                    return sock.recv(2048)
                except OSError:
                    time.sleep(DATAGRAM_S / 4)
        raise TimeoutError("no answer to a datagram")

    def fill(self, address):
        self.ask(address, b"fill " + SEED)

    def check(self, address):
        return 0 if self.ask(address, b"digest") == digest() else 1

    def recipe(self, path):
        return packages(path, ["python3"], "--add-file", f"{FILES}/udp_echo.py:/srv/udp_echo.py")


class PostgresCase(Case):
    """Every connection holds a transaction open through the move. Its processes are not root's."""

    protocol, port, image, connections, pace_ms = "postgres", 5432, "postgres", 10, 50
    uid = 100
    server = "/usr/lib/postgresql/15/bin"
    data = "/var/lib/postgresql/data"
    command = ["/usr/bin/setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups",
               f"{server}/postgres", "-D", data, "-c", "listen_addresses=0.0.0.0", "-c",
               "unix_socket_directories=", "-c", "dynamic_shared_memory_type=mmap"]
    says = "ready to accept connections"
    version = [f"{server}/postgres", "--version"], "postgres (PostgreSQL)"

    def query(self, address, text):
        with self.connect(address) as sock:
            talk = Postgres(sock, 0)
            talk.log_in()
            return talk.rows(text)

    def fill(self, address):
        self.query(address, "CREATE TABLE kept AS SELECT n, md5(n::text) AS word "
                            f"FROM generate_series(1, {ROWS}) AS n")

    def check(self, address):
        """Every row of the table that was committed."""
        words = (hashlib.md5(b"%d" % number).hexdigest() for number in range(1, ROWS + 1))
        wanted = hashlib.md5(",".join(words).encode()).hexdigest().encode()
        row = self.query(address, "SELECT md5(string_agg(word, ',' ORDER BY n)) FROM kept")
        return 0 if [one[-len(wanted):] for one in row] == [wanted] else 1

    def recipe(self, path):
        return packages(path, ["postgresql-15", "util-linux", "dash"], "--user",
                        f"postgres:{self.uid}")

    def build(self, directory):
        path = super().build(directory)
        if os.path.exists(path + self.data + "/PG_VERSION"):
            return path
        for name in ("/dev", self.data):
            os.makedirs(path + name, exist_ok=True)
        inside = ["unshare", "--mount", "sh", "-c", f"mount --bind /dev {path}/dev && exec \"$@\"",
                  "sh", "chroot", path, "/usr/bin/setpriv", f"--reuid={self.uid}",
                  f"--regid={self.uid}", "--clear-groups"]
        os.chown(path + self.data, self.uid, self.uid)
        os.chmod(path + self.data, 0o700)
        bench.run(inside + [f"{self.server}/initdb", "-A", "trust", "-E", "UTF8", "--locale=C",
                            "-D", self.data], start_new_session=True,
                  env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"})
        with open(path + self.data + "/pg_hba.conf", "a", encoding="ascii") as file:
            file.write("host all all 0.0.0.0/0 trust\n")
        return path


SPEAK_S = 600  # 1 GB at 100 Mbit/s takes 90
ALL = [RedisCase(mb) for mb in (0, 64, 256, 1024)] + [
    NginxCase("nginx", "root"), NginxCase("nginx-user", "www-data"),
    WebSocketCase("websocket"), PostgresCase("postgres"), UdpCase("udp")]
CASES = {case.name: case for case in ALL}


def speak(lab, case, verb, address):
    """fill() or check() in the users' node."""
    return lab.inside("users", [sys.executable, os.path.abspath(__file__), case.name, verb,
                                address], timeout=SPEAK_S).strip()


def wait_for(lab, case, address):
    """Until somebody listens at the service's port. UDP tells nobody: its users try."""
    if case.protocol == "udp":
        return
    probe = ["sh", "-c", f"exec 3<>/dev/tcp/{address}/{case.port}"]
    probe[0] = shutil.which("bash")

    def listening():
        return subprocess.run(["nsenter", f"--net=/run/netns/{lab.netns('users')}"] + probe,
                              stderr=subprocess.DEVNULL, check=False).returncode == 0

    wait_until(listening, f"{case.name} listens at {address}:{case.port}", every=0.05)


if __name__ == "__main__":
    print(getattr(CASES[sys.argv[1]], sys.argv[2])(sys.argv[3]))
