"""The provider of bench/continuity: three hosts of one owner, each with a network of users beside it.

  na -- ra -- a
         \\ 15 ms
          core -- 5 ms -- rb -- b        one way; nX to X is 1 ms. nb and nc are 11 ms from each
         /                 \\             other's host, 21 ms from a
      5 ms                  nb
       rc -- c
        \\
         nc
"""

import json
import os
import re
import signal
import subprocess

import bench_world as bench
from migration_lab import Lab, wait_until
from migration_ours import Host, UnixConnection

SITES = "abc"
TOPOLOGY = """routers: [core, ra, rb, rc]
hosts: [a, b, c, na, nb, nc]
links:
  - {{name: site-a, a: core, b: ra, delay_ms: 15, rate_mbit: {rate}}}
  - {{name: site-b, a: core, b: rb, delay_ms: 5, rate_mbit: {rate}}}
  - {{name: site-c, a: core, b: rc, delay_ms: 5, rate_mbit: {rate}}}
  - {{name: host-a, a: ra, b: a, delay_ms: 0}}
  - {{name: host-b, a: rb, b: b, delay_ms: 0}}
  - {{name: host-c, a: rc, b: c, delay_ms: 0}}
  - {{name: users-a, a: ra, b: na, delay_ms: 1}}
  - {{name: users-b, a: rb, b: nb, delay_ms: 1}}
  - {{name: users-c, a: rc, b: nc, delay_ms: 1}}
domains:
  - {{name: core.test, nodes: [core]}}
  - {{name: a.test, nodes: [ra, a, na]}}
  - {{name: b.test, nodes: [rb, b, nb]}}
  - {{name: c.test, nodes: [rc, c, nc]}}
providers:
  - {{node: a}}
  - {{node: b}}
  - {{node: c}}
"""
# How near each host is to each network, best first: what a handover should find.
NEAREST = {"na": "abc", "nb": "bca", "nc": "cba"}
POLICY = """name: continuity
latency: {objective: 15ms}
budget: 100
value: 1
margin: 0.01
interval: 500ms
rounds: 2
cooldown: 0s
moves_per_hour: 60
slot: {cpu: 0.5, memory: 256MiB, bandwidth: 100Mbit, duration: 1h}
promise: {window: 3s, keep: 1}
"""
ETCD_START_S = 30.0


class SitesLab(Lab):
    """Lab's processes and addresses, with another topology."""

    def __init__(self, world, programs, rate_mbit):
        self.world, self.programs, self.link = world, programs, "sites"
        self.name = f"c{os.getpid() % 10**7}x{len(world.hosts)}"
        path = os.path.join(world.directory, f"{self.name}.yaml")
        with open(path, "w", encoding="utf-8") as file:
            file.write(TOPOLOGY.format(rate=rate_mbit))
        world.hosts.append(self)
        self.up = True
        bench.run([programs + "/icon", "lab", "up", "--name", self.name, path],
                  start_new_session=True)
        self.directory = f"/run/icon-lab/{self.name}"
        labs = json.loads(bench.run([programs + "/icon", "lab", "status", "-o", "json"],
                                    check=False))  # 1: somebody left something
        found = next(lab for lab in labs["labs"] if lab["name"] == self.name)
        self.resolver = found["resolver"]
        self.addresses = {node["name"]: node["address"] for node in found["nodes"]}
        self.ids = {node["name"]: node["supervisor_id"] for node in found["nodes"]
                    if "supervisor_id" in node}

    def cut(self, node):
        """The host's cable; whoever speaks to it hears nothing."""
        bench.run([self.programs + "/icon", "lab", "link", f"host-{node}", "set", "down", "--lab",
                   self.name], start_new_session=True)


class Etcd:
    """One node at each host: three, as their owner would have them."""

    def __init__(self, lab):
        self.lab, self.processes = lab, {}
        self.urls = {node: f"http://{lab.addresses[node]}:2379" for node in SITES}
        cluster = ",".join(f"{node}=http://{lab.addresses[node]}:2380" for node in SITES)
        for node in SITES:
            peer = f"http://{lab.addresses[node]}:2380"
            self.processes[node] = lab.start(node, [
                "etcd", "--name", node, "--data-dir", f"{lab.world.directory}/{lab.name}-{node}",
                "--listen-client-urls", self.urls[node], "--advertise-client-urls",
                self.urls[node], "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
                "--initial-cluster", cluster, "--heartbeat-interval", "100", "--election-timeout",
                "1000"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for node in SITES:
            wait_until(lambda node=node: self.get(node, "/health").startswith('{"health":"true"'),
                       f"etcd of {node} has a majority", ETCD_START_S, every=0.1)

    def get(self, node, target):
        return self.lab.inside(node, ["curl", "-s", "-m", "2", self.urls[node] + target],
                               check=False)

    def counters(self, node):
        """Messages cannot be told, bytes can: between the nodes, and with their clients."""
        text = self.get(node, "/metrics")
        return {"etcd_bytes": sum(float(value) for value in re.findall(
            r"^etcd_network_peer_sent_bytes_total\{[^}]*\} (\S+)$", text, re.M))}


class Site(Host):
    """A supervisor that has siblings."""

    def __init__(self, lab, node, mode, criu, etcd):
        others = [other for other in SITES if other != node]
        rows = "".join(f'  - {{name: {other}, id: {lab.ids[other]}, '
                       f'api: "{lab.addresses[other]}:7946"}}\n' for other in others)
        lines = f"criu: {criu}\n" if criu else ""
        lines += f"resolvers: [{lab.resolver}]\nproviders:\n{rows}"
        lines += f"continuity:\n  mode: {mode}\n"
        if mode != "single":
            lines += "  siblings:\n" + "".join("  " + row + "\n" for row in rows.splitlines())
        if etcd:
            urls = [etcd.urls[node]] + [etcd.urls[other] for other in others]
            lines += f"  etcd: {{endpoints: {json.dumps(urls)}}}\n"
        self.alive = True
        super().__init__(lab, node, lines)

    def counters(self):
        """What this host has asked of others, from its own metrics."""
        connection = UnixConnection(self.socket)
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
        connection.close()
        counts = {"calls": 0.0, "bytes": 0.0}
        for line in text.splitlines():
            name, _, value = line.rpartition(" ")
            if re.match(r"icon_(peer|swarm)_calls_total\b", name):
                counts["calls"] += float(value)
            elif re.match(r"icon_(peer|swarm)_bytes_total\b", name):
                counts["bytes"] += float(value)
        return counts

    def kill(self):
        self.alive = False
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(10)

    def standbys(self):
        """Of ICONs of this host, ready at a sibling."""
        return [one for one in self.get("/v1/continuity")["standbys"]
                if one["role"] == "held" and one["ready"]]
