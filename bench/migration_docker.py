"""bench/migration_gap and Docker: the Engine's own checkpoint; our move of what Docker owns."""

import json
import os
import shutil
import subprocess
import tempfile

import bench_world as bench
import migration_cases as cases
from migration_engines import Engine, remove_all
from migration_lab import tree_cpu, wait_until
from migration_ours import Ours
from migration_peers import Paths

# What Docker cannot tell CRIU is in a file of the machine's: dockerd sees an /etc of its own.
ETC = """mkdir -p {base}/etc/criu {base}/work && echo tcp-established > {base}/etc/criu/runc.conf &&
mount -t overlay overlay -o lowerdir=/etc,upperdir={base}/etc,workdir={base}/work /etc &&
exec "$@"
"""
ENGINE_START_S, ENGINE_STOP_S, OWNED_S, STOP_S = 60, 20, 20.0, 20


class Dockerd:
    """An engine in a node of the lab, with everything that it keeps below one directory."""

    def __init__(self, lab, node, base, cgroup, wrapper=(), runtimes=None):
        self.node, self.base = node, base
        os.makedirs(base)
        with open(f"{base}/daemon.json", "w", encoding="utf-8") as file:
            json.dump({"deprecated-key-path": f"{base}/key.json", "runtimes": runtimes or {}}, file)
        with open(f"{base}/log", "w", encoding="utf-8") as log:
            self.process = lab.start(node, [
                # containerd forgets what its checkpoints put there
                *wrapper, "env", f"TMPDIR={base}", "dockerd", "--experimental", "--data-root",
                f"{base}/data", "--exec-root", f"{base}/exec", "--pidfile", f"{base}/pid", "-H",
                f"unix://{base}/sock",
                "--cgroup-parent", f"/{cgroup}", "--iptables=false", "--ip6tables=false",
                "--ip-forward=false", "--bridge=none", "--userland-proxy=false",
                "--shutdown-timeout", "2", "--config-file", f"{base}/daemon.json"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.client = ["docker", "--config", f"{base}/client", "-H", f"unix://{base}/sock"]

    def ready(self):
        wait_until(self.answers, f"dockerd of {self.node} answers", ENGINE_START_S, every=0.1)

    def answers(self):
        if self.process.poll() is not None:
            with open(f"{self.base}/log", encoding="utf-8") as file:
                raise RuntimeError(f"dockerd ended: {file.read()[-500:]}")
        return self.docker("version")[0]

    def docker(self, *words):
        """(whether it went well, what it said)"""
        done = subprocess.run(self.client + list(words), stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              start_new_session=True, check=False)
        return done.returncode == 0, done.stdout.strip()

    def remove_containers(self):
        _, names = self.docker("ps", "--all", "--quiet")
        if self.process.poll() is None and names:
            self.docker("rm", "--force", "--volumes", *names.split())


def end_all(engines):
    for engine in engines:
        engine.remove_containers()
        engine.process.terminate()
    for engine in engines:
        try:
            engine.process.wait(ENGINE_STOP_S)
        except subprocess.TimeoutExpired:
            engine.process.kill()
            engine.process.wait()


class Docker(Engine):
    """An engine per host, with a bridge of its own without masquerading: that would reset."""

    name = "docker"
    address_inside = "10.77.200.10"
    programs = ["runc", "socat", "tar", "docker", "dockerd", "containerd"]

    def __init__(self, lab, options):
        self.count, self.engines = 0, {}
        super().__init__(lab, options)
        for node in "ab":
            base = f"{self.work}/{node}"
            self.engines[node] = Dockerd(lab, node, base, self.container, [
                "unshare", "--mount", "--propagation", "private", "sh", "-c", ETC.format(base=base),
                "sh"])
        for engine in self.engines.values():
            engine.ready()

    def make_paths(self):
        self.paths = Paths(self.lab, self.address_inside)

    def client(self, node):
        return self.engines[node].client

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
        return tree_cpu([self.engines[node].process.pid])

    def end(self):
        end_all(self.engines.values())
        super().end()


class OursDocker(Ours):
    """Ours with `icon run --runtime docker`: an engine beside each supervisor."""

    name = "ours-docker"
    programs = ["docker", "dockerd", "containerd"]

    def __init__(self, lab, options):
        if bench.lacks(*self.programs):
            raise RuntimeError(bench.lacks(*self.programs))
        self.engines = {}
        self.work = tempfile.mkdtemp(prefix=f"icon-{lab.world.prefix}-", dir="/dev/shm")
        self.cgroup = f"{lab.world.prefix}-{lab.name}"
        lab.world.hosts.insert(0, self)
        super().__init__(lab, options)
        for node, host in self.hosts.items():
            self.engines[node] = Dockerd(
                lab, node, f"{self.work}/{node}", self.cgroup,
                runtimes={"icon": {"path": lab.programs + "/icon-runc",
                                   "runtimeArgs": ["--icon-socket", host.socket]}})
        for engine in self.engines.values():
            engine.ready()

    def host_options(self, node):
        return super().host_options(node) + f"docker_socket: {self.work}/{node}/sock\n"

    def run_options(self):
        return ["--runtime", "docker"]

    def owned(self):
        """What Docker's commands say wrongly after a move: at its host, and where it was."""
        here = self.engines[self.home]
        there = self.engines["b" if self.home == "a" else "a"]
        name, wrong = self.case.name, []
        words, text = self.case.version
        expected = {("ps", "--format", "{{.Names}} {{.Status}}"): f"{name} Up",
                    ("logs", name): self.case.says, ("exec", name, *words): text,
                    ("top", name): os.path.basename(self.case.command[0])}
        if not self.becomes(there, ("ps", "--all", "--quiet"), lambda said: said == ""):
            wrong.append(f"{there.node}: still there: {there.docker('ps', '--all')[1]}")
        for command, part in expected.items():
            if not self.becomes(here, command, lambda said, part=part: part in said):
                wrong.append(f"{here.node}: docker {command[0]} says {here.docker(*command)[1]!r}")
        return wrong

    @staticmethod
    def becomes(engine, command, right):
        """What the engine learns of by an event may take it a moment."""
        try:
            return wait_until(lambda: (lambda good, said: good and right(said))(
                *engine.docker(*command)), "", OWNED_S, every=0.2)
        except RuntimeError:
            return False

    def end_service(self):
        """docker stop, and what is wrong afterwards."""
        engine, name, wrong = self.engines[self.home], self.case.name, []
        stopped = engine.docker("stop", "--time", str(STOP_S), name)
        said = engine.docker("inspect", "--format", "{{.State.Status}} {{.State.ExitCode}}", name)
        if not stopped[0] or said != (True, f"exited {self.case.stopped}"):
            wrong.append(f"{engine.node}: docker stop: {stopped[1]!r}, then {said[1]!r}")
        self.hosts[self.home].icon("stop", name)
        for node, other in self.engines.items():
            if not self.becomes(other, ("ps", "--all", "--quiet"), lambda text: text == ""):
                wrong.append(f"{node}: containers are left: {other.docker('ps', '--all')[1]}")
        return wrong

    def end(self):
        end_all(self.engines.values())
        remove_all(self.work, self.cgroup)
