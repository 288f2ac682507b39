#!/usr/bin/python3
"""The numbers of a cluster of three on this machine: prints a table, leaves nothing.

    make bench-cluster                        all of it
    python3 tests/bench/cluster.py [--seconds N] [--rounds N] [--only speed|services|snapshot|failover|stop]

Three nodes with default settings share the machine with their clients. What is a gap: the longest
time between two answers that one client of a node saw, who writes without a pause, around the
event."""

import argparse
import datetime
import os
import signal
import statistics
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "system"))

from bench import KEYS, Load, Table, fdatasync_ms, fill, load, wrk  # noqa: E402
from harness.client import expect  # noqa: E402
from harness.cluster import Cluster  # noqa: E402

ELECTION_MS = 1000  # raft.electionTimeout, the default


class Writer(threading.Thread):
    """Writes to one node without a pause; keeps when each answer came, and what was no 200."""

    def __init__(self, node, token):
        super().__init__(daemon=True)
        self.client, self.name = node.client(token), f"key of {node.id}"
        self.answers, self.errors, self.stopping = [time.monotonic()], [], False

    def run(self):
        try:
            while not self.stopping:
                answer = self.client.set(self.name, f"{len(self.answers)}")
                if answer.status != 200:
                    self.errors.append(answer)
                self.answers.append(time.monotonic())
        except Exception as error:
            self.errors.append(error)

    def stop(self):
        self.stopping = True
        self.join(30)
        self.client.close()
        gaps = [after - before for before, after in zip(self.answers, self.answers[1:])]
        return max(gaps) * 1000


def gap_ms(nodes, token, event):
    """(the longest gap that clients of these nodes saw around the event, errors)"""
    writers = [Writer(node, token) for node in nodes]
    for writer in writers:
        writer.start()
    time.sleep(0.5)
    event()
    time.sleep(4 * ELECTION_MS / 1000)
    longest = max(writer.stop() for writer in writers)
    return longest, [error for writer in writers for error in writer.errors]


def measure_speed(table, cluster, seconds):
    leader = cluster.wait_leader()
    client = cluster.tenant("bench")
    fill(client)
    cluster.wait_equal()
    table.add("fdatasync of 4 KiB, p50", fdatasync_ms(cluster.scratch.path), "ms")
    for place, node in (("leader", leader), ("follower", cluster.followers(leader)[0])):
        for call, connections in (("get", 64), ("set", 64), ("get", 1), ("set", 1)):
            ours = load(node.http_port, ["insi", call, client.token], connections, seconds)
            many = f"{connections} connection{'s' if connections > 1 else ''}"
            table.add(f"{call.upper()} at the {place}, {many}", ours.rate, "/s")
            table.add("  p50", ours.p50, "ms")
            table.add("  p99", ours.p99, "ms")
    client.close()


SERVICES = (  # what, call, the target
    ("cache GET", "cache/get", "like a value's"),
    ("value GET", "get", ""),
    ("cache set", "cache/set", ""),
    ("atomic add", "atomic/add", ">= 8,000"),
    ("queue push and pop in turn", "queue", ">= 16,000"),
)


def measure_services(table, cluster, seconds):
    leader = cluster.wait_leader()
    client = cluster.tenant("bench")
    fill(client)
    expect(client.queue_new("queue"), 200)
    for n in range(200):  # pops may come before their pushes
        expect(client.push("queue", f"{n:064d}"), 200)
    for n in range(KEYS):
        expect(client.cache_set(f"bench{n:06d}", f"{n:064d}", 3600), 200)
    cluster.wait_equal()
    for what, call, target in SERVICES:
        ours = load(leader.http_port, ["insi", call, client.token], 64, seconds)
        table.add(f"{what} at the leader, 64 connections", ours.rate, "/s", target=target)
        table.add("  p50", ours.p50, "ms")
        table.add("  p99", ours.p99, "ms")
    client.close()


# ---- what making a snapshot costs

SNAPSHOT_SECONDS = 90
SNAPSHOT_VALUE = 16 << 10
SNAPSHOT_VALUES = 65_536  # 1 GiB


def fill_large(client):
    for start in range(0, SNAPSHOT_VALUES, 64):
        items = [(f"large{n:06d}", f"{n:0{SNAPSHOT_VALUE}d}") for n in range(start, start + 64)]
        expect(client.batchset(items), 200)


def seconds_of(line):
    return datetime.datetime.fromisoformat(line.time.replace("Z", "+00:00")).timestamp()


def making(nodes, since):
    """[(begin, end)]: when at least one of these nodes was making a snapshot."""
    spans = []
    for node in nodes:
        made = {line.fields["index"]: seconds_of(line) for line in node.log.find("snapshot_made")}
        for line in node.log.find("snapshot_begun"):
            if line.fields["index"] in made and seconds_of(line) >= since:
                spans.append((seconds_of(line), made[line.fields["index"]]))
    return sorted(spans)


def measure_snapshot(table, cluster, _seconds):
    """Writes of 4 KiB at the leader while it and the others make snapshots of 1 GiB, beside the
    same writes between the snapshots."""
    leader = cluster.wait_leader()
    client = cluster.tenant("bench")
    fill_large(client)
    cluster.wait_equal()
    run = subprocess.Popen(
        wrk(leader.http_port, ["insi", "set", client.token, "4096"], 64, SNAPSHOT_SECONDS),
        stdout=subprocess.PIPE,
        text=True,
    )
    samples = []
    while run.poll() is None:
        status = cluster.status(leader)
        samples.append((time.time(), status["node"]["commit_index"]))
        time.sleep(0.1)
    Load(run.stdout.read())  # or an error
    client.close()
    spans = making(cluster.nodes, samples[0][0] + 2)
    busy = idle = busy_seconds = idle_seconds = 0
    for (start, first), (end, last) in zip(samples[20:], samples[21:]):
        if any(start < stop and end > begin for begin, stop in spans):
            busy, busy_seconds = busy + last - first, busy_seconds + end - start
        else:
            idle, idle_seconds = idle + last - first, idle_seconds + end - start
    for begin, stop in spans:
        print(f"made from {begin - samples[0][0]:.1f} to {stop - samples[0][0]:.1f} s")
    table.add("SET of 4 KiB at the leader, no snapshot is made", idle / idle_seconds, "/s")
    table.add("  while one of 1 GiB is made", busy / busy_seconds, "/s")
    kept = busy / busy_seconds / (idle / idle_seconds)
    table.add("  kept", 100 * kept, "%", target=">= 67 %")
    table.add("  a snapshot takes", statistics.median(e - b for b, e in spans), "s")


def kill_node(leader):
    leader.kill()


def kill_raft(leader):
    leader.worker("raft").signal(signal.SIGKILL)


def stop_node(leader):
    assert leader.stop() == 0


def measure_event(table, what, event, rounds, target):
    gaps, errors = [], []
    for _ in range(rounds):
        cluster = Cluster(3).start()
        leader = cluster.wait_leader()
        token = cluster.create_key("bench")
        time.sleep(1.5 * ELECTION_MS / 1000)  # who has just been started may not lead
        gap, failed = gap_ms(cluster.followers(leader), token, lambda: event(leader))
        gaps.append(gap)
        errors += failed
        for problem in cluster.finish():
            print(problem, file=sys.stderr)
    table.add(f"gap, {what}, median", statistics.median(gaps), "ms", target=target)
    table.add("  longest", max(gaps), "ms")
    table.add("  longest, in election timeouts", max(gaps) / ELECTION_MS, "")
    table.add("  requests of survivors that failed", len(errors), "", target="0")
    for error in errors[:5]:
        print(repr(error), file=sys.stderr)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=int, default=8, help="of each load (8)")
    parser.add_argument("--rounds", type=int, default=5, help="of each failure (5)")
    parser.add_argument("--only", choices=["speed", "services", "snapshot", "failover", "stop"])
    options = parser.parse_args()
    table = Table()
    for name, measure in (("speed", measure_speed), ("services", measure_services), ("snapshot", measure_snapshot)):
        if options.only not in (None, name):
            continue
        cluster = Cluster(3).start()
        try:
            measure(table, cluster, options.seconds)
        finally:
            for problem in cluster.finish():
                print(problem, file=sys.stderr)
    if options.only in (None, "failover"):
        limit = f"<= {2 * ELECTION_MS} ms"
        measure_event(table, "leader's node killed", kill_node, options.rounds, limit)
        measure_event(table, "leader's raft killed", kill_raft, options.rounds, limit)
    if options.only in (None, "stop"):
        measure_event(table, "planned stop of the leader", stop_node, options.rounds, "<= 500 ms")
    table.print()


if __name__ == "__main__":
    main()
