"""The internet of bench/migration_gap: users, a router and two hosts, in a lab of this machine.

  users ---- router ---- a
                |
                b            the links of a and b have the delay and the rate that are asked for
"""

import array
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

import bench_world as bench

CLIENT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "migration_client.py")
# One way between the hosts, and Mbit/s; half the delay is each host's link's.
LINKS = {"veth": (None, None), "5ms": (5, None), "20ms": (20, None), "1gbit": (0, 1000),
         "5ms-1gbit": (5, 1000), "20ms-1gbit": (20, 1000), "100mbit": (0, 100),
         "5ms-100mbit": (5, 100), "20ms-100mbit": (20, 100)}
TOPOLOGY = """routers: [router]
hosts: [users, a, b]
links:
  - {{name: users, a: router, b: users}}
  - {{name: host-a, a: router, b: a{shape}}}
  - {{name: host-b, a: router, b: b{shape}}}
domains:
  - {{name: net.test, nodes: [router]}}
  - {{name: users.test, nodes: [users]}}
  - {{name: a.test, nodes: [a]}}
  - {{name: b.test, nodes: [b]}}
providers:
  - {{node: a}}
  - {{node: b}}
"""
START_S = 20.0


def say(text):
    print(text, file=sys.stderr, flush=True)


def wait_until(question, what, seconds=START_S, every=0.01):
    """What `question()` answered when it first said something true."""
    deadline = time.monotonic() + seconds
    while True:
        answer = question()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise RuntimeError(f"in vain for {seconds:.0f} s: {what}")
        time.sleep(every)


def tree_cpu(roots, without=()):
    """CPU seconds of processes, of their descendants and of those they have waited for."""
    ticks, children, names = {}, {}, {}
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            with open(f"/proc/{entry}/stat", encoding="utf-8", errors="replace") as file:
                head, _, tail = file.read().rpartition(")")
        except OSError:
            continue
        fields = tail.split()
        pid = int(entry)
        names[pid] = head.partition("(")[2]
        ticks[pid] = sum(int(field) for field in fields[11:15])
        children.setdefault(int(fields[1]), []).append(pid)
    total, todo = 0, list(roots)
    while todo:
        pid = todo.pop()
        if names.get(pid) in without:
            continue
        total += ticks.get(pid, 0)
        todo += children.get(pid, [])
    return total / os.sysconf("SC_CLK_TCK")


class Lab:
    """The nodes. world closes it."""

    def __init__(self, world, programs, link):
        self.world, self.programs, self.link = world, programs, link
        self.name = f"g{os.getpid() % 10**7}x{len(world.hosts)}"
        delay_ms, rate_mbit = LINKS[link]
        shape = "" if delay_ms is None else f", delay_ms: {delay_ms / 2}"
        shape += f", rate_mbit: {rate_mbit}" if rate_mbit else ""
        path = os.path.join(world.directory, f"{self.name}.yaml")
        with open(path, "w", encoding="utf-8") as file:
            file.write(TOPOLOGY.format(shape=shape))
        world.hosts.append(self)
        self.up = True
        bench.run([programs + "/icon", "lab", "up", "--name", self.name, path],
                  start_new_session=True)
        self.directory = f"/run/icon-lab/{self.name}"
        self.addresses = {node: self.address(node) for node in ("users", "router", "a", "b")}

    def address(self, node):
        lines = bench.run(["ip", "-n", self.netns(node), "-o", "-4", "addr", "show", "dev", "lo",
                           "scope", "global"])
        return lines.split()[3].partition("/")[0]

    def netns(self, node):
        return f"icon-{self.name}-{node}"

    def inside(self, node, command, **options):
        return bench.run(["nsenter", f"--net=/run/netns/{self.netns(node)}"] + command, **options)

    def start(self, node, command, **options):
        """A process of the world in a node; it gets no ctrl-C of the terminal."""
        process = subprocess.Popen(
            ["nsenter", f"--net=/run/netns/{self.netns(node)}"] + command, start_new_session=True,
            **options)
        self.world.processes.append(process)
        return process

    def interface(self, node):
        """The one towards the router."""
        route = json.loads(bench.run(["ip", "-n", self.netns(node), "-j", "route", "show",
                                      "default"]))
        return route[0]["dev"]

    def received_bytes(self, node):
        counters = json.loads(bench.run(["ip", "-n", self.netns(node), "-j", "-s", "link", "show",
                                         "dev", self.interface(node)]))
        return counters[0]["stats64"]["rx"]["bytes"]

    def end(self):
        if self.up:
            self.up = False
            bench.run([self.programs + "/icon", "lab", "down", self.name], check=False,
                      start_new_session=True)


class Users:
    """migration_client.py in a node of the lab."""

    def __init__(self, lab, case, address, node="users", stay=False):
        handle, self.path = tempfile.mkstemp(dir=lab.world.directory)
        os.close(handle)
        self.pace = case.pace_ms / 1e3
        self.process = lab.start(node, [sys.executable, CLIENT, case.protocol, address,
                                           str(case.port), str(case.connections),
                                           str(case.pace_ms), self.path]
                                 + (["stay"] if stay else []),
                                 stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                 stderr=subprocess.PIPE, text=True)
        if self.process.stdout.readline().strip() != "ready":
            raise RuntimeError(f"no connections: {self.process.stderr.read()[-300:]}")

    def stop(self):
        """(counts, samples): samples are (answered, asked, connection), in order."""
        output, errors = self.process.communicate("", timeout=60)
        if self.process.returncode != 0:
            raise RuntimeError(f"the users failed: {errors[-300:]}")
        counts = json.loads(output.strip().splitlines()[-1])
        counts["errors"] = errors.splitlines()[:5]
        return counts, self.samples()

    def vanish(self):
        """The same of users that only fall silent; with `stay`."""
        self.process.stdin.close()
        counts = json.loads(self.process.stdout.readline())
        return counts, self.samples()

    def samples(self):
        values = array.array("d")
        with open(self.path, "rb") as file:
            values.frombytes(file.read())
        os.unlink(self.path)
        return sorted(zip(values[2::3], values[1::3], values[0::3]))


def percentile(values, percent):
    """The nearest rank; NaN without values."""
    ordered = sorted(values)
    if not ordered:
        return float("nan")
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)]


def measure(samples, frozen, resident, pace, window):
    """What the users saw of a move that stopped the service at about `frozen` (monotonic s)."""
    silence, begin, end = 0.0, frozen, frozen
    for (previous, _, _), (answered, _, _) in zip(samples, samples[1:]):
        # The one that the freeze is in, or that began soon after it.
        if answered > frozen and answered - previous > silence and previous < frozen + 0.1:
            silence, begin, end = answered - previous, previous, answered
    if not samples or samples[-1][0] <= frozen:
        raise RuntimeError("no reply after the move")
    last, longest, usual = {}, {}, []
    for answered, _, connection in samples:
        between = answered - last.get(connection, answered)
        if between and answered <= begin:
            usual.append(between)
        elif between and last[connection] < end + window:
            longest[connection] = max(longest.get(connection, 0), between)
        last[connection] = answered
    pace = statistics.median(usual) if usual else pace
    worst = max(longest, key=longest.get, default=None)
    stalls = {int(worst): longest[worst] * 1e3} if worst is not None else {}
    gaps = [max(0.0, value - pace) * 1e3 for value in longest.values()]

    def latencies(since, until):
        return [(answered - asked) * 1e3 for answered, asked, _ in samples
                if since <= asked and answered <= until]

    after = [(answered - asked) * 1e3 for answered, asked, _ in samples
             if end <= asked < end + window]
    return {"gap_ms": silence * 1e3, "gap_p50_ms": percentile(gaps, 50),
            "gap_p99_ms": percentile(gaps, 99), "longest": stalls, "begin": begin, "end": end,
            "p99_after_ms": percentile(after, 99), "max_after_ms": max(after, default=0),
            "resident_ms": None if resident is None else max(0, resident - begin) * 1e3,
            "latencies": latencies}


def median_of(runs, key):
    values = [run[key] for run in runs if run.get(key) is not None]
    return statistics.median(values) if values else None
