"""The network that bench/trace_scale traces: a tree of routers, users behind its leaves."""

import json
import os
import select
import subprocess

from bench_world import World, run

WIDTHS = [1, 2, 2, 4, 4, 8, 16]  # routers at each hop
LEAVES = 16
DELAY_MS = 40
READY_S = 10


def user_address(leaf, block=0, host=0):
    """Each leaf has a /12."""
    return f"11.{leaf << 4 | block >> 8}.{block & 255}.{host}"


def link_address(node, side):
    """Of the link above node number `node`: side 0 is nearer to us."""
    number = 2 * node + side
    return f"198.18.{number >> 8}.{number & 255}"


class TraceWorld(World):
    UNPRIVILEGED = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all",
                    "--ambient-caps=-all", "--bounding-set=-all", "--no-new-privs"]

    def __init__(self, name, relay):
        super().__init__(name)
        os.chmod(self.directory, 0o755)
        self.user = self.netns("user")
        self.routers = []  # namespaces, nearest first
        self.delay = None
        layers = [self.layer(width) for width in WIDTHS]
        leaves = [self.netns(f"leaf{i}") for i in range(LEAVES)]
        self.sysctl(self.user, ipv4__ping_group_range="0 2147483647",
                    ipv4__conf__all__rp_filter=0)
        for router in self.routers + leaves:
            self.set_up(router)
        self.connect(layers + [leaves])
        self.add_slow_link(relay)
        self.use_link(0)

    def layer(self, width):
        made = [self.netns(f"r{len(self.routers) + i}") for i in range(width)]
        self.routers += made
        return made

    def set_up(self, namespace):
        settings = {"ip_forward": 1, "icmp_errors_use_inbound_ifaddr": 1, "icmp_ratelimit": 0,
                    "icmp_msgs_per_sec": 1000000, "icmp_msgs_burst": 1000000,
                    "conf/all/rp_filter": 0}
        self.settings(namespace, settings)

    def settings(self, namespace, settings):
        script = "; ".join(f"echo {value} > {key}" for key, value in settings.items())
        self.inside(namespace, ["sh", "-c", f"cd /proc/sys/net/ipv4; {script}"])

    def connect(self, layers):
        """Each node to the one above it; the first router to us."""
        lines = {namespace: [] for layer in layers for namespace in layer}
        lines[self.user] = []
        number = 0
        for depth, layer in enumerate(layers):
            above = layers[depth - 1] if depth else [self.user]
            for i, node in enumerate(layer):
                parent = above[i * len(above) // len(layer)]
                lines[parent] += [
                    f"link add d{number} type veth peer name above netns {node}",
                    f"link set d{number} up", f"addr add {link_address(number, 0)}/31 dev d{number}"]
                lines[node] += ["link set above up", f"addr add {link_address(number, 1)}/31 dev above",
                                f"route add default via {link_address(number, 0)}"]
                for leaf in range(LEAVES):
                    if depth and leaf * len(layer) // LEAVES == i:
                        lines[parent].append(
                            f"route add {user_address(leaf)}/12 via {link_address(number, 1)}")
                number += 1
        for leaf, node in enumerate(layers[-1]):
            lines[node].append(f"route add local {user_address(leaf)}/12 dev lo")
        # Above first: it makes both ends.
        for namespace in [self.user] + [node for layer in layers for node in layer]:
            self.batch(namespace, lines[namespace])

    def add_slow_link(self, relay):
        """A second link to the first router, with a delay; see use_link()."""
        start = os.path.join(self.directory, "relay.json")
        ends = [{"netns": self.user, "interface": "slow"},
                {"netns": self.routers[0], "interface": "slow"}]
        with open(start, "w", encoding="utf-8") as file:
            json.dump({"socket": os.path.join(self.directory, "relay.sock"),
                       "links": [{"name": "slow", "a": ends[0], "b": ends[1], "up": True,
                                  "delay_us": DELAY_MS * 500, "jitter_us": 0, "rate_kbit": 0,
                                  "loss_ppm": 0}]}, file)
        reader, writer = os.pipe()
        process = subprocess.Popen([relay, start, str(writer)], pass_fds=[writer])
        self.processes.append(process)
        os.close(writer)
        with os.fdopen(reader) as ready:
            if not select.select([ready], [], [], READY_S)[0] or ready.read() != "ok":
                raise RuntimeError("the relay does not start")
        for namespace, side in ((self.user, 0), (self.routers[0], 1)):
            self.batch(namespace, ["link set slow up",
                                   f"addr add 198.19.255.{side}/31 dev slow"])

    def use_link(self, delay_ms):
        slow = delay_ms > 0
        if slow == self.delay:
            return
        self.delay = slow
        there, here = ("198.19.255.1", "198.19.255.0") if slow else (link_address(0, 1),
                                                                      link_address(0, 0))
        # What every tool takes for its own address is the same on both links.
        self.batch(self.user, [f"route replace default via {there} src {here}"])
        self.batch(self.routers[0], [f"route replace default via {here}"])
        self.inside(self.user, ["ping", "-c1", "-W2", user_address(0, 0, 1)])

    def router_addresses(self):
        """As they are seen from us."""
        first = "198.19.255.1" if self.delay else link_address(0, 1)
        return {first} | {link_address(number, 1) for number in range(1, len(self.routers))}

    def target_file(self, count, per_block):
        """`per_block` targets in each /24, the same number behind each leaf."""
        blocks = -(-count // (LEAVES * per_block))
        targets = [user_address(leaf, block, host + 1) for block in range(blocks)
                   for host in range(per_block) for leaf in range(LEAVES)]
        path = os.path.join(self.directory, f"targets-{count}")
        with open(path, "w", encoding="ascii") as file:
            file.write("\n".join(targets[:count]) + "\n")
        return path

    def packets_sent(self):
        device = "slow" if self.delay else "d0"
        shown = json.loads(run(["ip", "-n", self.user, "-s", "-j", "link", "show", "dev", device]))
        return shown[0]["stats64"]["tx"]["packets"]

    def expired(self):
        """How many packets have ended at each router for their TTL."""
        counts = []
        for router in self.routers:
            lines = [line.split() for line in self.inside(router, ["cat", "/proc/net/snmp"])
                     .splitlines() if line.startswith("Ip:")]
            counts.append(int(dict(zip(*lines))["InHdrErrors"]))
        return counts

    def limit_icmp(self, limited):
        """The kernel's defaults, or none."""
        values = (1000, 1000, 50) if limited else (0, 1000000, 1000000)
        names = ("icmp_ratelimit", "icmp_msgs_per_sec", "icmp_msgs_burst")
        for router in self.routers:
            self.settings(router, dict(zip(names, values)))
