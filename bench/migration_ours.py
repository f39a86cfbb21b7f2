"""bench/migration_gap: our own move, by the commands that an operator types."""

import http.client
import json
import os
import socket
import subprocess
import time

import migration_cases as cases
from migration_lab import tree_cpu, wait_until

POLICY = "latency: {objective: 1s}\nslot: {memory: 2GiB}\nbudget: 5.0\n"  # no moves of its own
CONFIG = """provider_name: {node}
public_address: {address}
listen: {address}:7946
socket: {directory}/run/supervisor.sock
state_dir: {directory}/state
runtime_dir: {directory}/run
key_file: {directory}/supervisor.key
capacity: {{cpu_millis: 4000, memory_bytes: 8589934592, bandwidth_bps: 10000000000}}
prices: {{slot_ucredits: 1000}}
log: {{path: {directory}/supervisor.log}}
{more}"""
RESIDENT_S = 120.0


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=30)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(30)
        self.sock.connect(self.path)


class Host:
    """A supervisor in a node of the lab."""

    def __init__(self, lab, node, options):
        self.lab, self.node = lab, node
        self.directory = f"{lab.directory}/hosts/{node}"
        self.address = lab.addresses[node]
        self.socket = f"{self.directory}/run/supervisor.sock"
        for part in ("state", "run"):
            os.makedirs(f"{self.directory}/{part}", exist_ok=True)
        config = f"{self.directory}/supervisor.yaml"
        with open(config, "w", encoding="utf-8") as file:
            file.write(CONFIG.format(node=node, address=self.address, directory=self.directory,
                                     more=options))
        self.process = lab.start(node, [lab.programs + "/icon-supervisor", "--config", config],
                                 stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def get(self, target):
        connection = UnixConnection(self.socket)
        try:
            connection.request("GET", target)
            return json.loads(connection.getresponse().read())
        finally:
            connection.close()

    def ready(self):
        def answers():
            try:
                return self.get("/v1/status")
            except OSError:
                if self.process.poll() is not None:
                    raise RuntimeError(f"the supervisor of {self.node} ended: {self.log_end()}")
                return None

        wait_until(answers, f"the supervisor of {self.node} answers")

    def log_end(self):
        return self.log()[-1:]

    def log(self, event=None):
        """The log's lines; of one event."""
        with open(f"{self.directory}/supervisor.log", encoding="utf-8") as file:
            lines = [json.loads(line) for line in file if line.endswith("\n")]
        return [line for line in lines if event in (None, line.get("event"))]

    def icon(self, *words):
        return self.lab.inside(self.node, [self.lab.programs + "/icon", "--socket", self.socket]
                               + list(words), start_new_session=True)


class Ours:
    """A service at a; each move() takes it to the other host."""

    name = "ours"

    def __init__(self, lab, options):
        self.lab, self.criu = lab, options.criu
        self.hosts = {node: Host(lab, node, self.host_options(node)) for node in "ab"}
        for host in self.hosts.values():
            host.ready()

    def host_options(self, _node):
        """Lines of the supervisor's configuration."""
        return f"criu: {self.criu}\n" if self.criu else ""

    def run_options(self):
        return []

    def start(self, case, rootfs):
        self.case, self.home = case, "a"
        host = self.hosts["a"]
        policy = f"{host.directory}/policy.yaml"
        with open(policy, "w", encoding="utf-8") as file:
            file.write(POLICY)
        port = f"{case.port}/udp" if case.protocol == "udp" else str(case.port)
        environment = [word for pair in case.environment for word in ("--env", pair)]
        host.icon("run", "--name", case.name, "--rootfs", rootfs, "--policy", policy, "-p", port,
                  *self.run_options(), *environment, "--", *case.command)
        cases.wait_for(self.lab, case, self.address())

    def address(self):
        return self.hosts[self.home].address

    def source_cpu(self, host):
        return tree_cpu([host.process.pid], without=("icon-agent",))

    def move(self):
        """Orders it and waits for its end. What the records say, with monotonic times."""
        source = self.hosts[self.home]
        there = "b" if self.home == "a" else "a"
        destination = self.hosts[there]
        cpu = self.source_cpu(source)
        bytes_before = self.lab.received_bytes(there)
        ordered = time.monotonic()
        try:
            source.icon("migrate", self.case.name, "--to", f"{destination.address}:7946")
        except RuntimeError as error:
            failed = source.log("migration.failed")[-1:] + destination.log(
                "migration.destination_failed")[-1:]
            raise RuntimeError(f"{error}; {json.dumps(failed)}") from error
        done = time.monotonic()
        migration = source.get("/v1/migrations")["migrations"][0]["id"]
        record = source.get(f"/v1/migrations/{migration}")
        offset = time.time() - time.monotonic()
        phases = {phase["name"]: phase for phase in record["phases"]}
        frozen = phases["freeze"]["started_ms"] / 1e3 - offset
        resident = self.resident(destination, migration)
        self.home = there
        return {"ordered": ordered, "frozen": frozen, "done": done,
                "resident": resident and resident - offset,
                "bytes": self.lab.received_bytes(there) - bytes_before,
                "cpu_s": self.source_cpu(source) - cpu,
                "own_gap_ms": record["gap_us"] / 1e3,
                "phases_ms": {name: phase["took_us"] / 1e3 for name, phase in phases.items()},
                "details": {"memory": source.log("migration.memory")[-1:],
                            "resident": destination.log("migration.resident")[-1:]}}

    def resident(self, host, migration):
        """When its last page was there (the supervisor's clock); None if that was in the gap."""
        def line(event):
            found = [one for one in host.log(event) if one["migration"] == migration]
            return found[0] if found else None

        if not self.pages_follow(migration):
            return None
        said = wait_until(lambda: line("migration.resident") or line("migration.pages"),
                          "all pages are at the destination", RESIDENT_S, every=0.02)
        if said["event"] == "migration.pages":
            raise RuntimeError(f"pages are missing: {said['error']}")
        return said["time_ms"] / 1e3

    def pages_follow(self, migration):
        lines = self.hosts[self.home].log("migration.memory")
        return any(line["migration"] == migration for line in lines)

    def owned(self):
        """What is wrong with how its engine sees it after a move. Here nobody else sees it."""
        return []

    def end_service(self):
        """Ends it as its owner would; what is wrong about that."""
        self.hosts[self.home].icon("stop", self.case.name)
        return []

    def stop(self):
        for host in self.hosts.values():
            host.process.terminate()
        for host in self.hosts.values():
            host.process.wait(20)
