"""Clients that read and write while a cluster is in trouble; what they saw goes into a history,
which must be linearizable (tests/check).

At each node there are some clients that write and read, and one that only reads: it would see what a
node shows while its writes wait. Each client stays at one node (or hops: goes to the next when its connection ends), has one request
under way and never repeats one. What it does is
chosen at random: fresh keys, a few hot keys (set, get, delete, setnx, cas) and a few counters
(bump). Values are unique. After an answer that is missing or unknown it goes on under a new
name."""

import random
import select
import ssl
import threading
import time

from check import linear, witness
from check.history import FAIL, OK, UNKNOWN, History
from check.models import CONFLICT, MISSING, NOT_A_NUMBER

from .client import Dropped, Hung, expect
from .wait import until

REFUSALS = {"NO_LEADER", "STORAGE_FULL", "RATE_LIMITED"}
CALLS = ["fresh", "set", "get", "cas", "setnx", "delete", "bump", "count"]
WEIGHTS = [6, 4, 8, 3, 1, 1, 3, 2]
PAUSE = 0.004  # of a client after each request, so that histories stay short
READERS_PAUSE = 0.008


class Caller(threading.Thread):
    def __init__(self, group, number, node, only_reads):
        super().__init__(name=f"caller{number}", daemon=True)
        self.group, self.number, self.node, self.only_reads = group, number, node, only_reads
        self.lives = self.turn = self.hops = 0
        self.seen = {}  # {key: the last value}, for cas
        self.chance = random.Random(f"{group.seed} {number}")
        self.connection, self.failure = None, None

    def run(self):
        try:
            while not self.group.stopping.is_set():
                if self.connection is None and not self._connect():
                    continue
                if self._was_ended():
                    self._disconnect()
                    self._hop()
                    continue
                self._call()
                time.sleep(READERS_PAUSE if self.only_reads else PAUSE)
        except Exception as error:  # whatever it is, the test must hear of it
            self.failure = error
        finally:
            self._disconnect()

    def _hop(self):
        if self.group.hopping:
            self.hops += 1
            self.node = self.group.nodes[(self.number + self.hops) % len(self.group.nodes)]

    def _connect(self):
        made = self.node.client(self.group.token, self.group.timeout)
        try:
            made.connection.connect()
        except OSError:
            self.group.stopping.wait(0.02)
            self._hop()
            return False
        self.connection = made
        return True

    def _disconnect(self):
        if self.connection:
            self.connection.close()
        self.connection = None

    def _was_ended(self):
        """Whether the server ended the connection while nothing was under way, as it may. (Under
        TLS there may be something to read that is no end.)"""
        sock = self.connection.connection.sock
        return not isinstance(sock, ssl.SSLSocket) and bool(select.select([sock], [], [], 0)[0])

    def _choose(self):
        """(call, key, arguments)"""
        self.turn += 1
        kind = self.chance.choices(CALLS, WEIGHTS)[0]
        hot, count = f"hot/{self.chance.randrange(4)}", f"count/{self.chance.randrange(2)}"
        value = f"{self.number}.{self.turn}"
        if self.only_reads:
            return "get", self.chance.choice([hot, hot, count]), {}
        if kind == "fresh":
            return "set", f"fresh/{value}", {"value": value}
        if kind in ("bump", "count"):
            return ("bump", count, {"by": 1}) if kind == "bump" else ("get", count, {})
        if kind == "cas":
            return "cas", hot, {"old": self.seen.get(hot, "none"), "new": value}
        return kind, hot, {"value": value} if kind in ("set", "setnx") else {}

    def _send(self, call, key, arguments):
        if call == "cas":
            return self.connection.cas(key, arguments["old"], arguments["new"])
        return getattr(self.connection, call)(key, *arguments.values())

    def _call(self):
        call, key, arguments = self._choose()
        operation = self.group.history.begin(
            f"c{self.number}.{self.lives}", call, key, self.node.id, **arguments
        )
        try:
            answer = self._send(call, key, arguments)
        except Dropped as dropped:
            error = "hung" if isinstance(dropped, Hung) else "dropped"
            History.end(operation, UNKNOWN, error=error)
            self.connection = None
            self.lives += 1
            self._hop()
            return
        self._note(operation, answer)
        if answer.headers.get("Connection", "").lower() == "close":
            self._disconnect()
            self._hop()

    def _note(self, operation, answer):
        error = answer.error_type or ""
        if answer.status == 200:
            result = answer.json.get("data" if operation.call == "get" else "value")
            History.end(operation, OK, result, answer.index)
            if operation.call == "get":
                self.seen[operation.key] = result
        elif error == "OUTCOME_UNKNOWN":
            History.end(operation, UNKNOWN, error=error)
            self.lives += 1
        elif error in REFUSALS:
            History.end(operation, FAIL, error=error)
        else:
            result = {"NOT_FOUND": MISSING, "CONFLICT": CONFLICT, "NOT_A_NUMBER": NOT_A_NUMBER}
            if error not in result:
                raise AssertionError(f"{operation.text()}: {answer!r}")
            History.end(operation, OK, result[error])


class Workload:
    """count clients at each of the nodes, and one that only reads. Use it as a context manager:
    leaving stops them."""

    def __init__(self, cluster, nodes=None, count=2, timeout=15.0, hopping=False):
        self.cluster = cluster
        self.nodes = nodes or cluster.nodes
        self.token = cluster.create_key("workload", cluster.number(self.nodes[0]))
        self.timeout = timeout
        self.hopping = hopping
        self.seed = random.SystemRandom().randrange(1 << 32)
        self.history = History()
        cluster.records["history.jsonl"] = self.history
        self.stopping = threading.Event()
        places = [(node, False) for node in self.nodes * count]
        places += [(node, True) for node in self.nodes]
        self.callers = [Caller(self, number, *place) for number, place in enumerate(places)]

    def __enter__(self):
        for caller in self.callers:
            caller.start()
        self.wait_progress()
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        self.stopping.set()
        for caller in self.callers:
            caller.join(self.timeout + 15)
            assert not caller.is_alive(), f"{caller.name} hangs"
        self.check_alive()

    def check_alive(self):
        for caller in self.callers:
            if caller.failure:
                raise caller.failure

    # ---- while they run

    def ended(self, since=0.0, nodes=None):
        """Operations of clients of these nodes (all) that ended after a moment."""
        names = {node.id for node in nodes or self.nodes}
        return [
            one
            for one in self.history.snapshot()
            if one.node in names and one.returned is not None and one.returned >= since
        ]

    def wait_progress(self, nodes=None, each=3, timeout=30.0):
        """Until each client of these nodes (all) has had so many more writes acknowledged, or reads
        answered when it does nothing else."""
        begun = time.monotonic()
        asked = nodes or self.nodes
        only_reads = {one.number: one.only_reads for one in self.callers if one.node in asked}

        def progressed():
            self.check_alive()
            done = dict.fromkeys(only_reads, 0)
            for one in self.history.snapshot()[::-1]:
                if one.invoked < begun:
                    break
                number = int(one.client[1:].partition(".")[0])
                is_write = one.index and one.call != "get"
                if number in done and one.outcome == OK and (is_write or only_reads[number]):
                    done[number] += 1
            return min(done.values()) >= each

        until(progressed, f"writes at {[node.id for node in nodes or self.nodes]} go on", timeout)
        return time.monotonic() - begun

    # ---- afterwards

    def summary(self):
        counts = ", ".join(f"{self.history.count(kind)} {kind}" for kind in (OK, FAIL, UNKNOWN))
        return f"{counts}, slowest {self.slowest() * 1000:.0f} ms (seed {self.seed})"

    def slowest(self, since=0.0, nodes=None):
        """Seconds of the slowest answered operation."""
        ended = self.ended(since, nodes)
        times = [one.returned - one.invoked for one in ended if one.error != "dropped"]
        return max(times, default=0.0)

    def check_no_errors(self, nodes=None, since=0.0):
        """For faults that clients of these nodes may see as latency only."""
        bad = [one for one in self.ended(since, nodes) if one.outcome != OK]
        assert not bad, f"{len(bad)} requests failed: {[one.text() for one in bad[:5]]}"

    def check_only_crossings(self, most):
        """For orderly stops of nodes: nothing fails, but for at most so many requests that crossed
        with the end of their connection on the way. Those must not have been read: from here on
        they count as refused, and check() finds those that took effect."""
        bad = [one for one in self.ended() if one.outcome != OK]
        crossed = [one for one in bad if one.error == "dropped"]
        assert len(bad) == len(crossed) <= most, [one.text() for one in bad[:10]]
        for one in crossed:
            one.outcome = FAIL

    def read_all(self, node):
        """Every key as this node shows it becomes a read in the history."""
        client = node.client(self.token)
        begun = time.monotonic()
        found = {item["key"]: item["value"] for item in client.iterate_all("", values="true")}
        keys = {key for _, key in self.history.keys()} | set(found)
        for key in sorted(keys):
            read = self.history.begin("reader", "get", key, node.id)
            read.invoked = begun
            History.end(read, OK, found.get(key, MISSING))
        sample = [key for key in sorted(keys) if key in found][:50]
        for key in sample:  # with the indexes of their writes
            read = self.history.begin("reader", "get", key, node.id)
            answer = expect(client.get(key), 200)
            History.end(read, OK, answer.data, answer.index)
        client.close()

    def check(self, nodes=None):
        """After stop(): reads everything at these nodes (all), which must have come to the same
        state, and judges the whole history."""
        assert self.history.count(OK) > 0
        print(self.summary())
        for node in nodes or self.nodes:
            self.read_all(node)
        self.cluster.wait_equal(nodes)
        found = [f"{key}: {one.text()}" for (_, key), one in linear.check(self.history).items()]
        found += witness.problems(self.history)
        assert not found, f"{len(found)} contradictions:\n" + "\n".join(found[:5])
