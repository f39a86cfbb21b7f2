"""bench/agent_footprint: an agent with a stand-in for its supervisor's socket, a service and users."""

import http.server
import json
import os
import re
import secrets
import socketserver
import subprocess
import sys
import threading
import time

import bench_world as bench

PORT = 7000
READY_S = 20
# The service accepts and holds; the users hold one connection each from a /24 of their own. Both say
# "ready", and end with their standard input.
SERVICE = f"""
import socket, threading
listener = socket.create_server(("", {PORT}), backlog=4096)
held = []
def accept():
    while True:
        connection = listener.accept()[0]
        held.append(connection)
        if len(held) > 11000:
            held.pop().close()
threading.Thread(target=accept, daemon=True).start()
print("ready", flush=True)
threading.Event().wait()
"""
USERS = f"""
import socket, sys, time
def connect(i):
    made = socket.socket()
    made.setsockopt(socket.IPPROTO_IP, 15, 1)  # IP_FREEBIND
    made.bind((f"11.{{i >> 8}}.{{i & 255}}.1", 0))
    made.connect(("198.18.0.1", {PORT}))
    return made
held = [connect(i) for i in range(int(sys.argv[1]))]
print("ready", flush=True)
for line in sys.stdin:
    begin = time.monotonic()
    count = 0
    while time.monotonic() < begin + float(line):
        connect(count % 10000).close()
        count += 1
        time.sleep(max(0, begin + count / 200 - time.monotonic()))
    print(count, flush=True)
"""


class Supervisor(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """Says who the ICON is and which port it serves, and keeps the stream of events open."""

    daemon_threads = True

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self, body):
            data = json.dumps(body).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def do_GET(self):  # noqa: N802
            if self.path.endswith("/events"):
                self.send_response(200)
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                line = b'{"event":"hello"}\n'
                self.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))
                self.wfile.flush()
                threading.Event().wait()
            self.answer({"icon": bench.key_id(7), "name": "bench", "epoch": 1,
                         "overlay": "100.64.0.1",
                         "supervisor": {"id": bench.key_id(9), "provider_name": "here",
                                        "api": "192.0.2.1:7946", "public_address": "192.0.2.1"},
                         "ports": [{"proto": "tcp", "container": PORT, "public": PORT}],
                         "lease": None, "providers": []})

        def do_PUT(self):  # noqa: N802
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(204)
            self.end_headers()

        do_POST = do_PUT

        def address_string(self):
            return "agent"

        def log_message(self, *_):
            pass


class AgentWorld(bench.World):
    """The agent and its service in a namespace, the users' addresses in another one beside it."""

    def __init__(self, program):
        super().__init__("foot")
        self.program = program
        self.place = self.netns("icon")
        self.users = self.netns("users")
        self.batch(self.place, [f"link add eth0 type veth peer name eth0 netns {self.users}",
                                "link set eth0 up", "addr add 198.18.0.1/31 dev eth0"])
        self.batch(self.users, ["link set eth0 up", "addr add 198.18.0.0/31 dev eth0",
                                "route add local 11.0.0.0/8 dev lo"])
        self.batch(self.place, ["route add 11.0.0.0/8 via 198.18.0.0"])
        self.run_dir = os.path.join(self.directory, "run")
        os.makedirs(f"{self.run_dir}/log")
        self.supervisor = Supervisor(f"{self.run_dir}/supervisor.sock", Supervisor.Handler)
        threading.Thread(target=self.supervisor.serve_forever, daemon=True).start()
        key = os.open(f"{self.run_dir}/icon.key", os.O_WRONLY | os.O_CREAT, 0o600)
        os.write(key, secrets.token_hex(32).encode() + b"\n")
        os.close(key)
        self.agent = self.begin(self.place, [program, "--run-dir", self.run_dir, "--", sys.executable, "-c",
                                 SERVICE])
        self.wait_for_log("supervisor.found")

    def begin(self, namespace, command):
        process = subprocess.Popen(["nsenter", f"--net=/run/netns/{namespace}"] + command,
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.processes.append(process)
        return process

    def wait_for_log(self, event):
        limit = time.monotonic() + READY_S
        while True:
            try:
                with open(f"{self.run_dir}/log/agent.log", encoding="utf-8") as file:
                    if event in file.read():
                        return
            except FileNotFoundError:
                pass
            if self.agent.poll() is not None or time.monotonic() > limit:
                raise RuntimeError(f"the agent does not say {event}")
            time.sleep(0.02)

    def add_users(self, count):
        users = self.begin(self.users, [sys.executable, "-c", USERS, str(count)])
        if users.stdout.readline().strip() != "ready":
            raise RuntimeError("the users cannot connect")
        return users


def resident(pid):
    """Megabytes by what they are made of."""
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        text = file.read()
    return {name: int(re.search(rf"{field}:\s*(\d+)", text).group(1)) / 1024 for name, field in
            (("resident_mb", "VmRSS"), ("anonymous_mb", "RssAnon"), ("program_mb", "RssFile"),
             ("peak_mb", "VmHWM"))}


def cpu_ns(pid):
    """Of all its threads so far."""
    total = 0
    for thread in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{thread}/schedstat", encoding="ascii") as file:
            total += int(file.read().split()[0])
    return total


def share_of_a_core(pid, seconds, work=lambda: None):
    """Percent while `work` runs and until `seconds` are over."""
    begin, used = time.monotonic(), cpu_ns(pid)
    work()
    time.sleep(max(0, begin + seconds - time.monotonic()))
    return 100 * (cpu_ns(pid) - used) / 1e9 / (time.monotonic() - begin)
