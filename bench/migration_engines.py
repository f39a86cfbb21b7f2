"""bench/migration_gap: what engines offer, and podman's export and import."""

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

# What podman leaves on a machine, wherever it is told to keep its things.
TRACES = ["/dev/shm/libpod_lock", "/var/lib/containers", "/etc/cni", "/run/containers",
          "/run/libpod"]
# dockerd and containerd: empty ones, for plug-ins, which another engine may have come to use.
SHARED = ["/run/docker/plugins", "/run/docker", "/etc/docker", "/opt/containerd/bin",
          "/opt/containerd/lib", "/opt/containerd"]


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
        remove_all(self.work, self.container)
        for path in self.traces:
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


def remove_mounts_below(directory):
    with open("/proc/self/mountinfo", encoding="utf-8") as file:
        points = [line.split()[4] for line in file]
    for point in sorted(points, reverse=True):
        if point.startswith(directory + "/"):
            bench.run(["umount", "-l", point], check=False)


def remove_all(directory, cgroup):
    """An engine's remains."""
    remove_mounts_below(directory)
    remove_cgroups(cgroup)
    shutil.rmtree(directory, ignore_errors=True)
    for path in SHARED:
        try:
            os.rmdir(path)
        except OSError:
            pass


def remove_cgroups(name):
    """Of that name, in every hierarchy; processes are in none of them any more."""
    for root in glob.glob(f"/sys/fs/cgroup/*/{name}") + glob.glob(f"/sys/fs/cgroup/{name}"):
        for path, _, _ in os.walk(root, topdown=False):
            try:
                os.rmdir(path)
            except OSError:
                pass  # a symbolic link's hierarchy, or somebody is still ending in it
