"""bench/migration_gap: what engines offer: podman's export and import, Docker's checkpoint."""

import glob
import os
import re
import shutil
import subprocess
import time

import bench_world as bench
import migration_cases as cases
from migration_lab import tree_cpu, wait_until
from migration_peers import COPY_PORT, SERVICE, Criu, Paths

LIMITS = ["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=4096:4096"]
# What Docker cannot tell CRIU is in a file of the machine's: dockerd sees an /etc of its own.
ETC = """mkdir -p {base}/etc/criu {base}/work && echo tcp-established > {base}/etc/criu/runc.conf &&
mount -t overlay overlay -o lowerdir=/etc,upperdir={base}/etc,workdir={base}/work /etc &&
exec "$@"
"""


# What the engines leave on a machine, wherever they are told to keep their things.
TRACES = ["/dev/shm/libpod_lock", "/var/lib/containers", "/etc/cni", "/run/containers",
          "/run/libpod", "/run/docker", "/etc/docker"]


class Engine(Criu):
    """A container `service` of an engine per host; its checkpoint is one file or one directory."""

    def __init__(self, lab, options):
        self.traces = [path for path in TRACES if not os.path.exists(path)]
        super().__init__(lab, options)

    def send(self, old, new, source, target):
        """A file or a directory's contents, over the wire. CPU seconds at the source."""
        folder = os.path.isdir(source)
        if folder:
            os.makedirs(target, exist_ok=True)
        give = f"tar cf - -C {source} ." if folder else f"cat {source}"
        take = f"tar xf - -C {target}" if folder else f"cat > {target}"
        receiver = self.spawn(self.lab.netns(new), [
            "bash", "-c", "set -o pipefail; socat -u "
            f"TCP-LISTEN:{COPY_PORT},reuseaddr,rcvbuf=4194304 STDOUT | {take}"])
        listening = ["nsenter", f"--net=/run/netns/{self.lab.netns(new)}", "ss", "-Hltn",
                     f"sport = :{COPY_PORT}"]
        wait_until(lambda: bench.run(listening), "the receiver listens", every=0.002)
        cpu = self.wait(self.spawn(self.lab.netns(old), [
            "bash", "-c", f"set -o pipefail; {give} | "
            f"socat -u STDIN TCP:{self.lab.addresses[new]}:{COPY_PORT}"]))
        self.wait(receiver)
        return cpu

    def command(self, node, *words):
        """One of the engine's. CPU seconds of the command."""
        log = f"{self.work}/said"
        with open(log, "w", encoding="utf-8") as said:
            process = self.spawn(self.lab.netns(node), self.client(node) + list(words),
                                 stdin=subprocess.DEVNULL, stdout=said, stderr=said)
            try:
                return self.wait(process, log)
            except RuntimeError as error:
                found = re.search(r"(/\S+(?:restore|dump)\.log)", str(error))
                if not found or not os.path.exists(found[1]):
                    raise
                with open(found[1], encoding="utf-8", errors="replace") as file:
                    lines = [line.strip() for line in file if "Error" in line]
                raise RuntimeError(f"{error} {' '.join(lines[:3])}") from error

    def move(self):
        old, new = self.home, "b" if self.home == "a" else "a"
        bytes_before = self.lab.received_bytes(new)
        self.prepare(old, new)
        self.paths.free(new)
        engine = self.engine_cpu(old)
        marks = [("freeze", time.monotonic())]
        self.paths.hold(old)
        marks.append(("dump", time.monotonic()))
        cpu = self.checkpoint(old)
        marks.append(("transfer", time.monotonic()))
        cpu += self.carry(old, new)
        marks.append(("restore", time.monotonic()))
        self.wake(new)
        marks.append(("settle", time.monotonic()))
        self.paths.release(old, new)
        done = time.monotonic()
        marks.append(("end", done))
        cpu += self.engine_cpu(old) - engine
        self.clean(old)
        self.home = new
        frozen = marks[0][1]
        return {"ordered": frozen, "frozen": frozen, "done": done, "resident": None,
                "bytes": self.lab.received_bytes(new) - bytes_before, "cpu_s": cpu,
                "phases_ms": {name: (after - at) * 1e3
                              for (name, at), (_, after) in zip(marks, marks[1:])}}

    def engine_cpu(self, node):
        return 0.0

    def end(self):
        super().end()
        remove_mounts_below(self.work)
        remove_cgroups(self.container)
        for path in [self.work] + self.traces:
            if os.path.isdir(path):
                shutil.rmtree(path, ignore_errors=True)
            elif os.path.exists(path):
                os.unlink(path)

    def import_image(self, rootfs):
        """The same image, the same digest on both."""
        first, second = (" ".join(self.client(node)) for node in "ab")
        for line in (f"tar cf - -C {rootfs} . | {first} import - service",
                     f"{first} save service | {second} load"):
            self.wait(self.spawn(self.lab.netns("a"), ["bash", "-c", f"set -o pipefail; {line}"],
                                 stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                 stderr=subprocess.DEVNULL))

    def run_words(self, case):
        words = ["--name", "service"]
        for variable in case.environment:
            words += ["--env", variable]
        return words


class Podman(Engine):
    name = "podman"
    programs = ["runc", "socat", "tar", "podman", "conmon"]

    def client(self, node):
        base = f"{self.work}/{node}"
        return ["podman", "--root", f"{base}/root", "--runroot", f"{base}/run", "--tmpdir",
                f"{base}/tmp", "--cgroup-manager", "cgroupfs", "--events-backend", "none",
                "--storage-driver", "overlay", "--runtime", "runc"]

    def start(self, case, rootfs):
        self.case, self.home = case, "a"
        self.import_image(rootfs)
        # The container remembers a path; behind it is each time the namespace of the next host.
        self.path = f"{self.work}/netns"
        with open(self.path, "w", encoding="ascii"):
            pass
        self.plug("a")
        self.command("a", "run", "-d", *LIMITS, "--cgroup-parent", f"/{self.container}",
                     "--log-driver", "none", "--network", f"ns:{self.path}",
                     *self.run_words(case), "localhost/service", *case.command)
        cases.wait_for(self.lab, case, SERVICE)

    def plug(self, node):
        if self.path in self.mounts:
            bench.run(["umount", self.path])
            self.mounts.remove(self.path)
        self.mount("--bind", f"/run/netns/{self.netns(node)}", self.path)

    def prepare(self, old, new):
        pass

    def checkpoint(self, node):
        return self.command(node, "container", "checkpoint", "--export", f"{self.work}/sent",
                            "--compress", "none", "--tcp-established", "service")

    def carry(self, old, new):
        return self.send(old, new, f"{self.work}/sent", f"{self.work}/received")

    def wake(self, node):
        self.plug(node)  # not earlier: the checkpoint looks behind the path
        self.command(node, "container", "restore", "--import", f"{self.work}/received",
                     "--tcp-established")

    def clean(self, node):
        self.command(node, "rm", "-f", "-t", "0", "service")

    def end(self):
        for node in "ab":
            bench.run(self.client(node) + ["rm", "-f", "-t", "0", "-a"], check=False)
            # What overlays podman mounted.
            bench.run(self.client(node) + ["unmount", "-a", "-f"], check=False)
        super().end()


class Docker(Engine):
    """An engine per host, with a bridge of its own without masquerading: that would reset."""

    name = "docker"
    address_inside = "10.77.200.10"
    programs = ["runc", "socat", "tar", "docker", "dockerd", "containerd"]

    def __init__(self, lab, options):
        self.count, self.engines = 0, {}
        super().__init__(lab, options)
        for node in "ab":
            self.engines[node] = self.engine(node)
        for node in "ab":
            wait_until(lambda node=node: self.answers(node), f"dockerd of {node} answers", 60,
                       every=0.1)

    def make_paths(self):
        self.paths = Paths(self.lab, self.address_inside)

    def engine(self, node):
        base = f"{self.work}/{node}"
        os.makedirs(base)
        write(f"{base}/daemon.json", "{}\n")
        with open(f"{base}/log", "w", encoding="utf-8") as log:
            return self.lab.start(node, [
                "unshare", "--mount", "--propagation", "private", "sh", "-c", ETC.format(base=base),
                "sh", "dockerd", "--experimental", "--data-root", f"{base}/data", "--exec-root",
                f"{base}/exec", "--pidfile", f"{base}/pid", "-H", f"unix://{base}/sock",
                "--cgroup-parent", f"/{self.container}", "--iptables=false", "--ip6tables=false",
                "--bridge=none", "--userland-proxy=false",
                "--config-file", f"{base}/daemon.json"], stdin=subprocess.DEVNULL, stdout=log,
                stderr=log)

    def answers(self, node):
        if self.engines[node].poll() is not None:
            with open(f"{self.work}/{node}/log", encoding="utf-8") as file:
                raise RuntimeError(f"dockerd ended: {file.read()[-500:]}")
        return subprocess.run(self.client(node) + ["version"], stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL, check=False).returncode == 0

    def client(self, node):
        return ["docker", "-H", f"unix://{self.work}/{node}/sock"]

    def address(self):
        return self.address_inside

    def start(self, case, rootfs):
        self.case, self.home = case, "a"
        self.import_image(rootfs)
        bridge = "gapbr0"
        words = ["--net", "gap", "--ip", self.address_inside, "--log-driver", "none",
                 *self.run_words(case), "service", *case.command]
        for node in "ab":
            self.command(node, "network", "create", "--driver", "bridge", "--subnet",
                         "10.77.200.0/24", "-o", f"com.docker.network.bridge.name={bridge}", "-o",
                         "com.docker.network.bridge.enable_ip_masquerade=false", "gap")
            self.command(node, "create", *words)
            self.lab.inside(node, ["sh", "-c",
                                   f"echo 0 > /proc/sys/net/ipv4/conf/{bridge}/rp_filter"])
            self.paths.attach(node, "-", bridge)
        self.paths.direct("a")
        self.command("a", "start", "service")
        cases.wait_for(self.lab, case, self.address())

    def folder(self, node):
        identity = bench.run(self.client(node) + ["inspect", "-f", "{{.Id}}", "service"]).strip()
        return f"{self.work}/{node}/data/containers/{identity}/checkpoints"

    def prepare(self, old, new):
        self.count += 1
        self.folders = {node: self.folder(node) for node in (old, new)}
        for folder in self.folders.values():
            shutil.rmtree(folder, ignore_errors=True)
            os.makedirs(folder)

    def checkpoint(self, node):
        return self.command(node, "checkpoint", "create", "service", f"move{self.count}")

    def carry(self, old, new):
        name = f"move{self.count}"
        return self.send(old, new, f"{self.folders[old]}/{name}", f"{self.folders[new]}/{name}")

    def wake(self, node):
        self.command(node, "start", "--checkpoint", f"move{self.count}", "service")

    def clean(self, node):
        pass

    def engine_cpu(self, node):
        return tree_cpu([self.engines[node].pid])

    def end(self):
        for node in self.engines:
            bench.run(self.client(node) + ["rm", "-f", "service"], check=False)
        for engine in self.engines.values():
            engine.terminate()
        for engine in self.engines.values():
            try:
                engine.wait(20)
            except subprocess.TimeoutExpired:
                engine.kill()
        super().end()


def remove_mounts_below(directory):
    with open("/proc/self/mountinfo", encoding="utf-8") as file:
        points = [line.split()[4] for line in file]
    for point in sorted(points, reverse=True):
        if point.startswith(directory + "/"):
            bench.run(["umount", "-l", point], check=False)


def remove_cgroups(name):
    """Of that name, in every hierarchy; processes are in none of them any more."""
    for root in glob.glob(f"/sys/fs/cgroup/*/{name}") + glob.glob(f"/sys/fs/cgroup/{name}"):
        for path, _, _ in os.walk(root, topdown=False):
            try:
                os.rmdir(path)
            except OSError:
                pass  # a symbolic link's hierarchy, or somebody is still ending in it


def write(path, text):
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
