"""bench/migration_gap: what others do in the same lab: CRIU by hand, runc with lazy pages.

  router --- a --- the service's namespace      the same address in both namespaces; the router's
       \\---- b --- the service's namespace      route says where it is
"""

import ctypes
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import bench_world as bench
import migration_cases as cases
from migration_lab import wait_until

SERVICE = "10.77.100.1"
INSIDE = {"a": ("10.77.101.1", "10.77.101.2"), "b": ("10.77.102.1", "10.77.102.2")}
HOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "migration_hold.py")
COPY_PORT, PAGES_PORT, TABLE = 9998, 9997, 77
PR_SET_CHILD_SUBREAPER = 36
TUNED = {"/proc/sys/fs/pipe-max-size": "16777216", "/proc/sys/fs/pipe-user-pages-soft": "0"}
CAPABILITIES = ["CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_KILL", "CAP_NET_BIND_SERVICE",
                "CAP_SETGID", "CAP_SETUID"]


class Holder:
    """migration_hold.py in a node."""

    def __init__(self, lab, node):
        self.process = lab.start(node, [sys.executable, HOLDER], stdin=subprocess.PIPE,
                                 stdout=subprocess.PIPE, text=True)
        self.answer()

    def answer(self):
        line = self.process.stdout.readline().split()
        if line[:1] != ["ok"]:
            raise RuntimeError(f"the holder: {' '.join(line) or 'it ended'}")
        return int(line[1])

    def do(self, *words):
        self.process.stdin.write(" ".join(words) + "\n")
        self.process.stdin.flush()
        return self.answer()


class Paths:
    """Where packets to the service's address go, and the queue in which they wait."""

    def __init__(self, lab, address=SERVICE):
        self.lab, self.address = lab, address
        self.links = {}
        for node in "ab":
            lab.inside(node, ["sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"])
        for node in ("router", "a", "b"):
            lab.inside(node, ["sh", "-c", "for f in /proc/sys/net/ipv4/conf/*/rp_filter; "
                              "do echo 0 > $f; done"])
        for node in "ab":
            way = json.loads(bench.run(["ip", "-n", lab.netns("router"), "-j", "route", "get",
                                        lab.addresses[node]]))[0]
            back = json.loads(bench.run(["ip", "-n", lab.netns(node), "-j", "route", "show",
                                         "default"]))[0]
            self.links[node] = ((way["gateway"], way["dev"]), (back["gateway"], back["dev"]))
        self.holders = {node: Holder(lab, node) for node in ("router", "a", "b")}
        self.home = {}

    def attach(self, node, gateway, interface):
        """The service's cable at `node`; what the service says can be blocked."""
        self.home[node] = (gateway, interface)
        bench.run(["ip", "-n", self.lab.netns(node), "rule", "add", "from", self.address, "iif",
                   interface, "lookup", str(TABLE)])
        self.holders[node].do("route", self.address, gateway, interface)

    def direct(self, node):
        self.holders["router"].do("route", self.address, *self.links[node][0])

    def hold(self, node):
        self.holders[node].do("hold", self.address)
        self.holders[node].do("block", str(TABLE))

    def free(self, node):
        """Before the restore there: what comes is delivered, what it says may leave."""
        self.holders[node].do("route", self.address, *self.home[node])
        self.holders[node].do("unblock", str(TABLE))

    def release(self, old, new):
        """The route first, then what waited at the old host and what is still under way to it."""
        self.direct(new)
        return self.holders[old].do("route", self.address, *self.links[old][1])


class Criu:
    """A runc container, dumped and restored by CRIU itself: quicker than by runc's commands."""

    name, lazy = "dump-copy-restore", False
    programs = ["runc", "socat", "tar"]

    def __init__(self, lab, options):
        if bench.lacks(*self.programs, options.peer_criu):
            raise RuntimeError(bench.lacks(*self.programs, options.peer_criu))
        self.lab, self.world, self.criu = lab, lab.world, options.peer_criu
        self.work = tempfile.mkdtemp(prefix=f"icon-{self.world.prefix}-", dir="/dev/shm")
        self.container, self.mounts, self.pid = f"{self.world.prefix}-{lab.name}", [], None
        self.world.hosts.insert(0, self)
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        self.before = {}
        if self.lazy:
            for path, value in TUNED.items():
                with open(path, encoding="ascii") as file:
                    self.before[path] = file.read()
                with open(path, "w", encoding="ascii") as file:
                    file.write(value)
        self.make_paths()

    def make_paths(self):
        self.paths = Paths(self.lab)
        for node in "ab":
            self.cable(node)
        self.paths.direct("a")

    def netns(self, node):
        return f"{self.world.prefix}-s{node}"

    def cable(self, node):
        full = self.netns(node)
        host = self.lab.netns(node)
        # A small hash of established connections: CRIU walks it whole, twice.
        self.lab.inside(node, ["sh", "-c",
                               "echo 1024 > /proc/sys/net/ipv4/tcp_child_ehash_entries && "
                               f"exec ip netns add {full}"])
        self.world.namespaces.append(full)
        outer, inner = INSIDE[node]
        self.world.batch(host, [f"link add s0 type veth peer name eth0 netns {full}",
                                f"addr add {outer}/30 dev s0", "link set s0 up"])
        self.world.batch(full, ["link set lo up", f"addr add {inner}/30 dev eth0",
                                f"addr add {SERVICE}/32 dev eth0", "link set eth0 up",
                                f"route add default via {outer} src {SERVICE}"])
        self.world.inside(host, ["sh", "-c", "echo 0 > /proc/sys/net/ipv4/conf/s0/rp_filter"])
        self.paths.attach(node, inner, "s0")
        gateway, device = self.paths.links[node][0]
        bench.run(["ip", "-n", self.lab.netns("router"), "route", "add", f"{inner}/32", "via",
                   gateway, "dev", device])

    def mount(self, *words):
        bench.run(["mount", *words])
        self.mounts.append(words[-1])

    def start(self, case, rootfs):
        self.case, self.home = case, "a"
        for name in ("upper", "work", "root", "bundle", "runc"):
            os.makedirs(f"{self.work}/{name}")
        self.mount("-t", "overlay", "overlay", "-o",
                   f"lowerdir={rootfs},upperdir={self.work}/upper,workdir={self.work}/work",
                   f"{self.work}/root")
        for name in ("proc", "dev", "tmp", "run"):
            os.makedirs(f"{self.work}/root/{name}", exist_ok=True)
        config = {
            "ociVersion": "1.0.2", "root": {"path": f"{self.work}/root"}, "hostname": "service",
            "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"}],
            "process": {"user": {"uid": 0, "gid": 0}, "args": list(case.command), "cwd": "/",
                        "env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"] + list(case.environment),
                        "capabilities": {kind: CAPABILITIES for kind in (
                            "bounding", "effective", "permitted", "inheritable")}},
            "linux": {"cgroupsPath": f"/{self.container}", "namespaces": [
                {"type": "pid"}, {"type": "mount"}, {"type": "ipc"}, {"type": "uts"},
                {"type": "network", "path": f"/run/netns/{self.netns('a')}"}]}}
        with open(f"{self.work}/bundle/config.json", "w", encoding="utf-8") as file:
            json.dump(config, file)
        # Not bench.run: the container keeps what runc was given as its output.
        subprocess.run(["runc", "--root", f"{self.work}/runc", "run", "-d", "--bundle",
                        f"{self.work}/bundle", "--pid-file", f"{self.work}/pid", self.container],
                       stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL, timeout=60, check=True)
        with open(f"{self.work}/pid", encoding="ascii") as file:
            self.pid = int(file.read())
        cases.wait_for(self.lab, case, self.address())

    def address(self):
        return SERVICE

    def spawn(self, namespace, command, **options):
        process = subprocess.Popen(["nsenter", f"--net=/run/netns/{namespace}"] + command,
                                   start_new_session=True, **options)
        self.world.processes.append(process)
        return process

    def wait(self, process, log=None):
        """CPU seconds that it took, with those it waited for."""
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        self.world.processes.remove(process)
        if process.returncode != 0:
            said = ""
            if log and os.path.exists(log):
                with open(log, encoding="utf-8", errors="replace") as file:
                    said = file.read()[-600:]
            raise RuntimeError(f"{' '.join(process.args[2:5])} failed: {said}")
        return usage.ru_utime + usage.ru_stime

    def move(self):
        old, new = self.home, "b" if self.home == "a" else "a"
        images = {old: f"{self.work}/dump", new: f"{self.work}/copy"}
        for path in list(images.values()) + [f"{self.work}/daemon"]:
            shutil.rmtree(path, ignore_errors=True)
            os.makedirs(path)
        receiver = self.spawn(self.lab.netns(new), ["bash", "-c", "set -o pipefail; exec socat -u "
                              f"TCP-LISTEN:{COPY_PORT},reuseaddr,rcvbuf=4194304 STDOUT | "
                              f"tar xf - -C {images[new]}"])
        listening = ["nsenter", f"--net=/run/netns/{self.lab.netns(new)}", "ss", "-Hltn",
                     f"sport = :{COPY_PORT}"]
        wait_until(lambda: bench.run(listening), "the receiver listens", every=0.005)
        bytes_before = self.lab.received_bytes(new)
        self.paths.free(new)
        marks = [("freeze", time.monotonic())]
        frozen = marks[0][1]
        self.paths.hold(old)
        marks.append(("dump", time.monotonic()))
        dump, cpu = self.dump(old, images[old])
        marks.append(("transfer", time.monotonic()))
        copy = self.spawn(self.lab.netns(old), [
            "bash", "-c", f"set -o pipefail; tar cf - -C {images[old]} . | "
            f"socat -u STDIN TCP:{self.lab.addresses[new]}:{COPY_PORT}"])
        cpu += self.wait(copy)
        self.wait(receiver)
        marks.append(("restore", time.monotonic()))
        daemon = self.restore(old, new, images[new])
        marks.append(("settle", time.monotonic()))
        self.paths.release(old, new)
        done = time.monotonic()
        marks.append(("end", done))
        with open(f"{images[new]}/pid", encoding="ascii") as file:
            self.pid = int(file.read())
        resident = None
        if daemon:
            self.wait(daemon, f"{self.work}/daemon/lazy.log")
            resident = time.monotonic()
            cpu += self.wait(dump, f"{images[old]}/dump.log")
        self.reap()
        self.home = new
        return {"ordered": frozen, "frozen": frozen, "done": done, "resident": resident,
                "bytes": self.lab.received_bytes(new) - bytes_before, "cpu_s": cpu,
                "phases_ms": {name: (after - at) * 1e3
                              for (name, at), (_, after) in zip(marks, marks[1:])}}

    def dump(self, node, images):
        """CRIU inside the service's network namespace, which then is none of its business."""
        command = [self.criu, "dump", "-t", str(self.pid), "-D", images, "--tcp-established",
                   "--network-lock", "skip", "--manage-cgroups=ignore", "--ext-unix-sk", "-v1",
                   "-o", "dump.log"]
        if not self.lazy:
            return None, self.wait(self.spawn(self.netns(node), command), f"{images}/dump.log")
        ready, told = os.pipe()
        process = self.spawn(self.netns(node), command + [
            "--lazy-pages", "--address", INSIDE[node][1], "--port", str(PAGES_PORT), "--status-fd",
            str(told)], pass_fds=(told,))
        os.close(told)
        said = os.read(ready, 1)
        os.close(ready)
        if said != b"\0":
            self.wait(process, f"{images}/dump.log")
        return process, 0.0

    def restore(self, old, new, images):
        command = [self.criu, "restore", "-D", images, "-W", f"{self.work}/daemon",
                   "--tcp-established", "--network-lock", "skip", "--manage-cgroups=ignore",
                   "--ext-unix-sk", "--root", f"{self.work}/root", "-v1", "-o", "restore.log", "-d",
                   "--pidfile", f"{images}/pid"]
        daemon = None
        if self.lazy:
            daemon = self.spawn(self.lab.netns(new), [
                self.criu, "lazy-pages", "-D", images, "-W", f"{self.work}/daemon", "--page-server",
                "--address", INSIDE[old][1], "--port", str(PAGES_PORT), "-v1", "-o", "lazy.log"])
            wait_until(lambda: os.path.exists(f"{self.work}/daemon/lazy-pages.socket"),
                       "the daemon of the lazy pages listens", every=0.0005)
            command.append("--lazy-pages")
        self.wait(self.spawn(self.netns(new), command), f"{self.work}/daemon/restore.log")
        return daemon

    def reap(self):
        """Ours by PR_SET_CHILD_SUBREAPER: the trees that were dumped, runc's shims."""
        known = {process.pid for process in self.world.processes}
        for pid in self.orphans() - known:
            try:
                os.waitpid(pid, os.WNOHANG)
            except ChildProcessError:
                pass

    @staticmethod
    def orphans():
        with open(f"/proc/self/task/{os.getpid()}/children", encoding="ascii") as file:
            return {int(pid) for pid in file.read().split()}

    def owned(self):
        return []

    def end_service(self):
        return []

    def stop(self):
        pass

    def end(self):
        known = {process.pid for process in self.world.processes}
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:  # who is killed leaves orphans of its own
            mine = self.orphans() - known
            if not mine:
                break
            for pid in mine:
                try:
                    os.kill(pid, signal.SIGKILL)
                    os.waitpid(pid, 0)
                except (ProcessLookupError, ChildProcessError):
                    pass
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)
        bench.run(["runc", "--root", f"{self.work}/runc", "delete", "-f", self.container],
                  check=False)
        for path in reversed(self.mounts):
            bench.run(["umount", path], check=False)
        for path, value in self.before.items():
            with open(path, "w", encoding="ascii") as file:
                file.write(value)
        shutil.rmtree(self.work, ignore_errors=True)


class RuncLazy(Criu):
    name, lazy = "runc-lazy", True
