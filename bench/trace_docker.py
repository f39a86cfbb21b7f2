"""bench/trace_scale: icon-trace alone in an image, run by a Docker engine of the world's own."""

import glob
import os
import subprocess
import time

import bench_world as bench

READY_S = 60
IMAGE = "icon-trace"
# dockerd and containerd make these wherever their own directories are, innermost first.
MACHINE = ["/run/docker/plugins", "/run/docker", "/opt/containerd/bin", "/opt/containerd/lib",
           "/opt/containerd"]
# What an operator who trusts nobody gives a container.
BARE = ["--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--user", "1000",
        "--read-only"]


class Docker:
    """dockerd in a namespace of the world; its host network is that namespace's. end() ends it."""

    def __init__(self, world, namespace):
        self.base = os.path.join(world.directory, "docker")
        self.group = world.prefix
        self.made = [path for path in MACHINE if not os.path.exists(path)]
        os.makedirs(self.base)
        with open(f"{self.base}/daemon.json", "w", encoding="ascii") as file:
            file.write("{}\n")
        with open(f"{self.base}/log", "wb") as log:
            self.process = subprocess.Popen(
                ["nsenter", f"--net=/run/netns/{namespace}", "unshare", "--mount", "--propagation",
                 "private", "dockerd", "--data-root", f"{self.base}/data", "--exec-root",
                 f"{self.base}/exec", "--pidfile", f"{self.base}/pid", "-H",
                 f"unix://{self.base}/sock", "--config-file", f"{self.base}/daemon.json",
                 "--cgroup-parent", f"/{self.group}", "--bridge=none", "--iptables=false",
                 "--ip6tables=false", "--ip-forward=false", "--shutdown-timeout=2"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        world.hosts.append(self)
        limit = time.monotonic() + READY_S
        while not self.client("version", "-f", "{{.Server.Version}}", check=False).strip():
            if self.process.poll() is not None or time.monotonic() > limit:
                with open(f"{self.base}/log", encoding="utf-8") as file:
                    raise RuntimeError(f"dockerd: {file.read()[-500:]}")
            time.sleep(0.05)

    def client(self, *words, **options):
        return bench.run(["docker", "-H", f"unix://{self.base}/sock", *words], **options)

    def import_program(self, program):
        """An image FROM scratch with nothing but this program."""
        with subprocess.Popen(["tar", "-C", os.path.dirname(program), "-c",
                               os.path.basename(program)], stdout=subprocess.PIPE) as tar:
            self.client("import", "-", IMAGE, stdin=tar.stdout)

    def run_bare(self, targets, words):
        """Its output, from a container without a capability, a name or a place to write."""
        return self.client("run", "--rm", "--network", "host", *BARE, "--volume",
                           f"{targets}:/targets:ro", IMAGE, "/icon-trace", *words)

    def end(self):
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        groups = glob.glob(f"/sys/fs/cgroup/*/{self.group}") + glob.glob(
            f"/sys/fs/cgroup/{self.group}")
        for path in groups + self.made:
            for directory, _, _ in os.walk(path, topdown=False):
                remove_empty(directory)


def remove_empty(directory):
    """A cgroup's files do not count."""
    try:
        os.rmdir(directory)
    except OSError:
        pass  # another engine's, too
