"""Namespaces, links and processes of a benchmark: all named by its prefix, all gone at its end."""

import argparse
import atexit
import json
import math
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile


def run(command, check=True, timeout=120, **options):
    """Runs a command (a list) to its end and returns its standard output."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, **options)
    if check and done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout


def lacks(*programs):
    """What is missing, with a word about what to install; nothing if all are there."""
    missing = [program for program in programs if shutil.which(program) is None]
    return missing and f"missing: {' '.join(missing)} (scripts/packages.txt names the packages)"


def need(*programs):
    """Ends the benchmark if a program is missing."""
    if lacks(*programs):
        sys.exit(lacks(*programs))


def built(programs, name):
    """The path of a program of ours; ends the benchmark if it is not built."""
    path = os.path.join(programs, name)
    if not os.path.exists(path):
        sys.exit(f"no {name} in {programs}: build it first, or say --bin")
    return path


class World:
    """What a benchmark makes. close() removes it; also called at exit and on SIGTERM."""

    def __init__(self, name):
        self.prefix = f"b{name}{os.getpid()}"
        self.directory = tempfile.mkdtemp(prefix=f"icon-{self.prefix}-")
        self.namespaces = []
        self.processes = []
        self.hosts = []
        atexit.register(self.close)
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))

    def close(self):
        # A second ctrl-C must not end the removal.
        handlers = {number: signal.signal(number, signal.SIG_IGN)
                    for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            self.remove()
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler or signal.SIG_DFL)

    def remove(self):
        hosts, self.hosts = self.hosts, []
        for host in hosts:
            try:
                host.end()
            except Exception as error:  # the others' remains must go, too
                print(f"at the end: {error}", file=sys.stderr)
        processes, self.processes = self.processes, []
        for process in processes:
            process.terminate()
        for process in processes:
            try:
                process.wait(3)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        namespaces, self.namespaces = self.namespaces, []
        for namespace in namespaces:
            run(["ip", "netns", "del", namespace], check=False)
        shutil.rmtree(self.directory, ignore_errors=True)

    def netns(self, name):
        """Makes a namespace; returns its full name."""
        full = f"{self.prefix}-{name}"
        self.namespaces.append(full)  # first: a signal may come while it is made
        run(["ip", "netns", "add", full])
        run(["ip", "-n", full, "link", "set", "lo", "up"])
        return full

    def batch(self, namespace, lines):
        """Many `ip` commands in one process."""
        run(["ip", "-n", namespace, "-batch", "-"], input="\n".join(lines) + "\n")

    def inside(self, namespace, command, **options):
        return run(["nsenter", f"--net=/run/netns/{namespace}"] + command, **options)

    def start(self, namespace, command, **options):
        process = subprocess.Popen(["nsenter", f"--net=/run/netns/{namespace}"] + command,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **options)
        self.processes.append(process)
        return process

    def sysctl(self, namespace, **values):
        for key, value in values.items():
            path = "/proc/sys/net/" + key.replace("__", "/")
            self.inside(namespace, ["sh", "-c", f"echo '{value}' > {path}"])


class Host:
    """The supervisor's Network in a namespace: bench/net_host.cc."""

    def __init__(self, world, program, namespace, supervisor, address, mode):
        self.process = subprocess.Popen(
            ["nsenter", f"--net=/run/netns/{namespace}", program, supervisor, address, mode],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        world.hosts.append(self)
        self.answer()

    def answer(self):
        line = self.process.stdout.readline().rstrip("\n")
        if not line.startswith("ok "):
            raise RuntimeError(f"net host: {line or 'it ended'}")
        took, _, text = line[3:].partition(" ")
        return int(took), text

    def do(self, *words):
        """Returns (microseconds, text)."""
        self.process.stdin.write(" ".join(words) + "\n")
        self.process.stdin.flush()
        return self.answer()

    def end(self):
        self.process.stdin.close()
        self.process.wait(60)


def key_id(number):
    """52 characters of base32 that name a key; the first 8 differ by number."""
    alphabet = "abcdefghijklmnopqrstuvwxyz234567"
    name = ""
    for _ in range(8):
        name = alphabet[number % 32] + name
        number //= 32
    return name + "a" * 44


def arguments(question, more=lambda parser: None):
    """The options of every benchmark; more(parser) adds those of one."""
    parser = argparse.ArgumentParser(description=question)
    parser.add_argument("--quick", action="store_true", help="under 50 s")
    parser.add_argument("--json", metavar="FILE", help="the figures, by name")
    parser.add_argument("--bin", default=default_programs(), help="where the built programs are")
    more(parser)
    return parser.parse_args()


def default_programs():
    here = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    return os.path.join(here, "build", "dev", "bin")


def median(values):
    return statistics.median(values) if values else float("nan")


def median_interval(values):
    """Where the median lies with 95 % confidence, whatever the distribution: two order statistics
    (Conover, Practical Nonparametric Statistics, 3.2)."""
    ordered = sorted(values)
    low = max(0, math.floor((len(ordered) - 1.96 * math.sqrt(len(ordered))) / 2))
    return ordered[low], ordered[-1 - low]


def table(head, rows):
    widths = [max(len(str(row[i])) for row in [head] + rows) for i in range(len(head))]
    for row in [head] + rows:
        print("  ".join(str(cell).ljust(width) if i == 0 else str(cell).rjust(width)
                        for i, (cell, width) in enumerate(zip(row, widths))))


def save(path, figures):
    if path:
        with open(path, "w", encoding="utf-8") as file:
            json.dump(figures, file, indent=2)
            file.write("\n")
