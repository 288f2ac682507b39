#!/usr/bin/python3
"""The numbers of docs/performance.md, measured on this machine: prints a table, leaves nothing.

    make bench                        all of it
    python3 tests/bench/bench.py [--seconds N] [--only speed|restart|idle] [--no-etcd]

One node with default settings, keep-alive connections from wrk on the same machine. Where Debian's
etcd-server is installed, it does the same work beside it, over its HTTP/JSON gateway: compare
within one run only, for machines and their disks differ from hour to hour.
"""

import argparse
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "system"))

from harness import binaries, processes  # noqa: E402
from harness.client import Client, Dropped, expect  # noqa: E402
from harness.cluster import Cluster  # noqa: E402
from harness.wait import until  # noqa: E402

WORK = os.path.join(os.path.dirname(os.path.abspath(__file__)), "work.lua")
KEYS = 10_000
RESTART_ROUNDS = 5


class Table:
    """Rows of (what, value, for each of the others its value and the ratio to it, target)."""

    def __init__(self, *others):
        self.others = others or ("etcd",)
        pairs = [cell for name in self.others for cell in (name, "ratio")]
        self.head = ("", "INSI", *pairs, "target")
        self.rows = []

    def add(self, what, value, unit, others=None, target="", higher_is_better=True):
        """others: the value of each of them, or of the only one; None where there is none."""
        theirs = others if isinstance(others, (list, tuple)) else [others]
        cells = []
        for number, _ in enumerate(self.others):
            other = theirs[number] if number < len(theirs) else None
            ratio = ""
            if value and other:
                times = value / other if higher_is_better else other / value
                ratio = f"{times:.1f}" if times >= 1 else f"{times:.2f}"
            cells += [show(other, unit), ratio]
        self.rows.append((what, show(value, unit), *cells, target))

    def print(self):
        rows = [self.head] + self.rows
        shown = [at for at in range(len(self.head)) if any(row[at] for row in self.rows)]
        rows = [tuple(row[at] for at in shown) for row in rows]
        widths = [max(len(row[at]) for row in rows) for at in range(len(shown))]
        for row in rows:
            cells = [
                cell.ljust(width) if at == 0 else cell.rjust(width)
                for at, (cell, width) in enumerate(zip(row, widths))
            ]
            print("  ".join(cells).rstrip())


def show(value, unit):
    if value is None:
        return ""
    number = f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return f"{number} {unit}".strip()


# ---- the disk


def fdatasync_ms(folder):
    """Median time of one 4 KiB write and fdatasync, in a file whose blocks exist already."""
    path = os.path.join(folder, "fdatasync")
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    os.pwrite(file, bytes(8 << 20), 0)
    os.fsync(file)
    times = []
    for n in range(1000):
        started = time.perf_counter()
        os.pwrite(file, os.urandom(4096), n % 2048 * 4096)
        os.fdatasync(file)
        times.append(time.perf_counter() - started)
    os.close(file)
    os.unlink(path)
    return statistics.median(times) * 1000


# ---- wrk


class Load:
    """The result of one run of wrk."""

    def __init__(self, text):
        rate = re.search(r"Requests/sec:\s+([\d.]+)", text)
        latencies = dict(re.findall(r"(\d+)%\s+([\d.]+(?:us|ms|s|m))\b", text))
        errors = re.search(r"Socket errors: (?!connect 0, read 0, write 0,).*|Non-2xx.*", text)
        if not rate or not {"50", "99"} <= set(latencies) or errors:
            raise RuntimeError(f"wrk says:\n{text}")
        self.rate = float(rate.group(1))
        self.p50, self.p99 = milliseconds(latencies["50"]), milliseconds(latencies["99"])


def milliseconds(text):
    number, unit = re.fullmatch(r"([\d.]+)(us|ms|s|m)", text).groups()
    return float(number) * {"us": 0.001, "ms": 1, "s": 1000, "m": 60_000}[unit]


def wrk(port, arguments, connections, seconds):
    """The command of one load."""
    threads = 2 if connections > 1 else 1
    return [
        "wrk",
        f"-t{threads}",
        f"-c{connections}",
        f"-d{seconds}s",
        "--latency",
        "-s",
        WORK,
        f"http://127.0.0.1:{port}/",
        "--",
        *arguments,
    ]


def load(port, arguments, connections, seconds):
    command = wrk(port, arguments, connections, seconds)
    return Load(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


# ---- etcd


class Etcd:
    """Debian's etcd with its data in the given folder; None from start() when it is not there."""

    def __init__(self, folder, ports):
        self.folder = folder
        self.port = ports.take()
        peer = f"http://127.0.0.1:{ports.take()}"
        client = f"http://127.0.0.1:{self.port}"
        self.command = [
            "etcd",
            "--data-dir",
            folder,
            "--listen-client-urls",
            client,
            "--advertise-client-urls",
            client,
            "--listen-peer-urls",
            peer,
            "--initial-advertise-peer-urls",
            peer,
            "--initial-cluster",
            f"default={peer}",
            "--log-level",
            "error",
            "--logger",
            "zap",
        ]

    def start(self):
        self.process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", *self.command],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        until(self.is_ready, "etcd is ready", 30, 0.05)
        return self

    def is_ready(self):
        client = Client(self.port, timeout=2)
        try:
            return b"true" in client.call("GET", "/health", base="").body
        except Dropped:
            return False
        finally:
            client.close()

    def stop(self):
        self.process.terminate()
        self.process.wait(10)
        shutil.rmtree(self.folder, ignore_errors=True)


# ---- what is measured


def fill(client):
    for start in range(0, KEYS, 1000):
        expect(
            client.batchset([(f"bench{n:06d}", f"{n:064d}") for n in range(start, start + 1000)]),
            200,
        )


def measure_speed(table, cluster, seconds, etcd):
    node = cluster.nodes[0]
    client = cluster.tenant("bench")
    fill(client)
    token = client.token
    client.close()
    table.add("fdatasync of 4 KiB, p50", fdatasync_ms(cluster.scratch.path), "ms")
    if etcd:
        load(etcd.port, ["etcd", "set"], 64, 2)  # its keys
    for call, connections, target in (
        ("get", 64, "70,000"),
        ("set", 64, "30,000"),
        ("get", 1, ""),
        ("set", 1, ""),
    ):
        ours = load(node.http_port, ["insi", call, token], connections, seconds)
        theirs = load(etcd.port, ["etcd", call], connections, seconds) if etcd else None
        name = f"{call.upper()}, {connections} connection{'s' if connections > 1 else ''}"
        table.add(name, ours.rate, "/s", theirs and theirs.rate, target and f">= {target}")
        table.add(
            "  p50",
            ours.p50,
            "ms",
            theirs and theirs.p50,
            "<= 0.6 ms" if (call, connections) == ("set", 1) else "",
            False,
        )
        table.add("  p99", ours.p99, "ms", theirs and theirs.p99, "", False)


def answers(client):
    try:
        return client.get("k").status == 200
    except Dropped:
        return False


def restart_seconds(worker):
    """From kill -9 until it serves, on a fresh node, so that no back-off is in it. For raft,
    storage and gateway: until a client has its answer; for the others: until they report ready.
    """
    cluster = Cluster().start()
    node = cluster.nodes[0]
    client = cluster.tenant("bench")
    expect(client.set("k", "v"), 200)
    position, process, started = node.log.size(), node.worker(worker), time.monotonic()
    process.signal(signal.SIGKILL)
    if worker == "gateway":
        client.close()
        process.wait_gone(5)
        until(lambda: answers(client), "an answer", 10, 0.001)
    elif worker in ("raft", "storage"):
        process.wait_gone(5)
        expect(client.set("k", "w"), 200)
    else:
        node.wait_worker_ready(worker, position)
    taken = time.monotonic() - started
    client.close()
    cluster.finish()
    return taken


def measure_restarts(table):
    for worker in binaries.WORKERS:
        times = [restart_seconds(worker) * 1000 for _ in range(RESTART_ROUNDS)]
        table.add(
            f"restart of {worker} after kill -9, median",
            statistics.median(times),
            "ms",
            target="< 300 ms",
        )
        table.add("  slowest", max(times), "ms")


def measure_idle(table):
    cluster = Cluster().start()
    pids = processes.tree(cluster.nodes[0].process.pid)
    time.sleep(2)  # it has just started
    table.add(
        "private memory of an idle node",
        sum(map(processes.private_kib, pids)) / 1024,
        "MiB",
        target="<= 40 MiB",
    )
    for pid in pids:
        table.add("  " + processes.name(pid), processes.private_kib(pid) / 1024, "MiB")
    cpu, switches = total(processes.cpu_seconds, pids), total(processes.voluntary_switches, pids)
    time.sleep(10)  # what is measured
    table.add(
        "CPU of an idle node in 10 s",
        (total(processes.cpu_seconds, pids) - cpu) * 1000,
        "ms",
        target="~ 0",
    )
    table.add("  context switches", total(processes.voluntary_switches, pids) - switches, "")
    cluster.finish()


def total(measure, pids):
    return sum(measure(pid) for pid in pids)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=int, default=8, help="of each load (8)")
    parser.add_argument("--only", choices=["speed", "restart", "idle"])
    parser.add_argument("--no-etcd", action="store_true")
    options = parser.parse_args()
    table = Table()
    if options.only in (None, "speed"):
        cluster = Cluster().start()
        etcd = None
        if shutil.which("etcd") and not options.no_etcd:
            etcd = Etcd(cluster.scratch.file("etcd"), cluster.ports).start()
        try:
            measure_speed(table, cluster, options.seconds, etcd)
        finally:
            if etcd:
                etcd.stop()
            for problem in cluster.finish():
                print(problem, file=sys.stderr)
    if options.only in (None, "restart"):
        measure_restarts(table)
    if options.only in (None, "idle"):
        measure_idle(table)
    table.print()


if __name__ == "__main__":
    main()
