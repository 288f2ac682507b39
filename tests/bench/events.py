#!/usr/bin/python3
"""The numbers of events on this machine: prints a table, leaves nothing.

    make bench-events                        all of it
    python3 tests/bench/events.py [--seconds N] [--only speed|latency|idle] [--no-others]

speed: one node, 1,000 WebSocket subscribers of one topic, events of 200 bytes, 32 publishes in
flight on connections of their own. Debian's redis-server and nats-server do the same work, one
after the other, with the same clients, which share the machine with them. They promise less: both
answer a publish that is on no disk, and drop a subscriber that is slow. latency: three nodes, 100
events a second, from the publish to each of the subscribers of all nodes. idle: what 10,000
WebSocket subscribers cost that nobody sends anything, each of a topic of its own.
"""

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "system"))

from bench import Table  # noqa: E402
from harness import binaries, processes  # noqa: E402
from harness.cluster import Cluster  # noqa: E402
from harness.ports import Ports  # noqa: E402
from harness.wait import until  # noqa: E402

SUBSCRIBERS = 1000
IDLE_SUBSCRIBERS = 10_000
IN_FLIGHT = 32
EVENT_BYTES = 200
RATE = 100  # events a second where latency is measured
SPREAD_SUBSCRIBERS = 99  # on three nodes
WARM_UP_SECONDS = 2
TOPIC = "bench"


# ---- the clients


class Talker:
    """subscribers.c or publishers.c: commands in, lines of JSON out."""

    def __init__(self, program, *arguments):
        path = os.path.join(binaries.BUILD, "tests", f"bench-{program}")
        self.process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", path, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.read()  # "ready"

    def read(self):
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"a client ended with {self.process.wait()}")
        return line

    def tell(self, command):
        print(command, file=self.process.stdin, flush=True)

    def ask(self, command):
        self.tell(command)
        return json.loads(self.read())

    def close(self):
        self.process.stdin.close()
        self.process.wait(10)


class Subscribers(Talker):
    def __init__(self, wire, ports, count, topic, token=""):
        super().__init__("subscribers", wire, ",".join(map(str, ports)), count, topic, token)


class Publishers(Talker):
    def __init__(self, wire, ports, count, rate, token=""):
        ports = ",".join(map(str, ports))
        super().__init__("publishers", wire, ports, count, EVENT_BYTES, rate, TOPIC, token)


# ---- the other servers


class Server:
    """A server of Debian's with a folder and a port of its own."""

    def __init__(self, name, program, make_command):
        self.name, self.program, self.make_command = name, program, make_command

    def is_there(self):
        return shutil.which(self.program, path=os.environ.get("PATH", "") + ":/usr/sbin")

    def start(self):
        self.ports = Ports()
        self.port = self.ports.take()
        self.folder = tempfile.mkdtemp(prefix=f"insi-bench-{self.name}-")
        self.process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", self.is_there(), *self.make_command(self)],
            cwd=self.folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        until(self.listens, f"{self.name} listens", 20, 0.05)

    def listens(self):
        state = subprocess.run(
            ["ss", "-Hltn", f"sport = :{self.port}"], capture_output=True, text=True, check=True
        )
        return bool(state.stdout.strip())

    def stop(self):
        self.process.terminate()
        self.process.wait(10)
        self.ports.release()
        shutil.rmtree(self.folder, ignore_errors=True)


def redis_command(server):
    return ["--port", str(server.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]


def nats_command(server):
    return ["--addr", "127.0.0.1", "--port", str(server.port)]


OTHERS = (
    Server("redis", "redis-server", redis_command),
    Server("nats", "nats-server", nats_command),
)


# ---- what is measured


class Deliveries:
    """One server under full load: events that arrived in a second, how long they took, and the
    CPU time of the server's processes for one of them."""

    def __init__(self, wire, port, pid, seconds, token=""):
        self.wire = wire
        subscribers = Subscribers(wire, [port], SUBSCRIBERS, TOPIC, token)
        publishers = Publishers(wire, [port], IN_FLIGHT, 0, token)
        publishers.tell("start")
        time.sleep(WARM_UP_SECONDS)
        pids = processes.tree(pid)
        cpu = sum(map(processes.cpu_seconds, pids))
        subscribers.tell("start")
        time.sleep(seconds)
        report = subscribers.ask("report")
        cpu = sum(map(processes.cpu_seconds, pids)) - cpu
        self.rate = report["deliveries"] / report["seconds"]
        self.reads = report["reads"] / report["seconds"]
        self.p50, self.p99 = report["p50"], report["p99"]
        self.cpu_us = cpu * 1e6 / report["deliveries"]
        self.check(subscribers, publishers.ask("stop")["all"])
        publishers.close()
        subscribers.close()

    def check(self, subscribers, published):
        """Every subscriber was given every event, and none twice: or the numbers say nothing."""
        report = {}

        def complete():
            report.update(subscribers.ask("report"))
            return report["least"] == published or report["closed"]

        until(complete, f"all have all {published} events", 20, 0.1)
        if report["closed"] or report["most"] != published:
            print(f"{self.wire} lost subscribers or events: {report}", file=sys.stderr)


def measure_speed(table, seconds, others):
    cluster = Cluster(sessions={"maxConnections": 2 * SUBSCRIBERS}).start()
    node = cluster.nodes[0]
    token = cluster.create_key("bench")
    ours = Deliveries("insi", node.http_port, node.process.pid, seconds, token)
    finish(cluster)
    theirs = []
    for server in others:
        server.start()
        theirs.append(Deliveries(server.name, server.port, server.process.pid, seconds))
        server.stop()

    def row(what, attribute, unit, target="", higher_is_better=True):
        values = [getattr(one, attribute) for one in theirs]
        table.add(what, getattr(ours, attribute), unit, values, target, higher_is_better)

    row(f"deliveries, {SUBSCRIBERS:,} subscribers", "rate", "/s", ">= 500,000")
    row("  from publish to delivery, p50", "p50", "ms", "", False)
    row("  p99", "p99", "ms", "", False)
    row("  CPU of the server for one", "cpu_us", "us", "", False)
    row("  reads of the clients", "reads", "/s", "", False)


def measure_latency(table, seconds):
    cluster = Cluster(3).start()
    cluster.wait_leader()
    token = cluster.create_key("bench")
    ports = [node.http_port for node in cluster.nodes]
    subscribers = Subscribers("insi", ports, SPREAD_SUBSCRIBERS, TOPIC, token)
    publishers = Publishers("insi", ports, IN_FLIGHT, RATE, token)
    publishers.tell("start")
    time.sleep(WARM_UP_SECONDS)
    subscribers.tell("start")
    time.sleep(seconds)
    report = subscribers.ask("report")
    answers = publishers.ask("stop")
    table.add(
        f"three nodes, {RATE} events/s, {SPREAD_SUBSCRIBERS} subscribers: to delivery, p50",
        report["p50"],
        "ms",
    )
    table.add("  p99", report["p99"], "ms", target="<= 10 ms")
    table.add("  longest", report["max"], "ms")
    table.add("  to the publisher's answer, p50", answers["p50"], "ms")
    table.add("  p99", answers["p99"], "ms")
    publishers.close()
    subscribers.close()
    finish(cluster)


def memory_kib(pid):
    """What a process has of the machine's memory, its part of what it shares included."""
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("Pss:"))


def measure_idle(table):
    cluster = Cluster(sessions={"maxConnections": IDLE_SUBSCRIBERS}, gateway={"processes": 1})
    cluster.start()
    node = cluster.nodes[0]
    token = cluster.create_key("bench")
    workers = {name: node.worker(name).pid for name in ("gateway", "events")}
    time.sleep(2)  # it has just started
    before = {name: memory_kib(pid) for name, pid in workers.items()}
    started = time.monotonic()
    subscribers = Subscribers("insi", [node.http_port], IDLE_SUBSCRIBERS, "bench/#", token)
    taken = time.monotonic() - started
    time.sleep(2)
    grown = {name: memory_kib(pid) - before[name] for name, pid in workers.items()}
    table.add(
        f"memory of an idle subscriber, of {IDLE_SUBSCRIBERS:,}",
        sum(grown.values()) / IDLE_SUBSCRIBERS,
        "KiB",
        target="<= 16 KiB",
    )
    for name, kib in grown.items():
        table.add(f"  of {name}", kib / IDLE_SUBSCRIBERS, "KiB")
    table.add("  they subscribed", IDLE_SUBSCRIBERS / taken, "/s")
    subscribers.close()
    finish(cluster)


def finish(cluster):
    for problem in cluster.finish():
        print(problem, file=sys.stderr)


def allow_files():
    """Descriptors for so many sockets on either side: of the clients and of what is started."""
    wanted = 2 * IDLE_SUBSCRIBERS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, max(hard, wanted)))
        except (OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            print(f"only {hard} open files are allowed", file=sys.stderr)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=int, default=8, help="of each load (8)")
    parser.add_argument("--only", choices=["speed", "latency", "idle"])
    parser.add_argument("--no-others", action="store_true", help="without Redis and NATS")
    options = parser.parse_args()
    allow_files()
    others = [] if options.no_others else [one for one in OTHERS if one.is_there()]
    if not options.no_others:
        for server in OTHERS:
            if server not in others:
                print(f"{server.program} is not installed: left out")
    table = Table(*[server.name for server in others])
    if options.only in (None, "speed"):
        measure_speed(table, options.seconds, others)
    if options.only in (None, "latency"):
        measure_latency(table, options.seconds)
    if options.only in (None, "idle"):
        measure_idle(table)
    table.print()


if __name__ == "__main__":
    main()
