"""Clients that write while something is being killed, and what they remember of it.

Every write is one Operation with its call and return times and an outcome:
    acked    answered 200: from now on it must be there, exactly once
    refused  answered with a status that says "nothing was written": it must never appear
    unknown  no answer, or OUTCOME_UNKNOWN: it may be there, once, or not at all
Nothing is ever retried: a repeated write would hide a lost or a doubled one. After a dropped
connection a writer connects again and goes on with its next write.

Each writer turns round four kinds of writes: a fresh key, its own hot key, its own counter, and a
counter that all writers share."""

import itertools
import threading
import time

from .client import Client, Dropped, Hung, expect
from .wait import until

REFUSALS = {"NO_LEADER", "STORAGE_FULL", "RATE_LIMITED"}


class Operation:
    __slots__ = (
        "kind",
        "key",
        "value",
        "called",
        "returned",
        "outcome",
        "status",
        "index",
        "result",
    )

    def __init__(self, kind, key, value):
        self.kind, self.key, self.value = kind, key, value
        self.called = time.monotonic()
        self.returned = self.outcome = self.status = self.index = self.result = None

    def __repr__(self):
        return (
            f"{self.kind} {self.key}={self.value} {self.outcome} {self.status} index {self.index}"
        )


class Writer(threading.Thread):
    def __init__(self, group, number):
        super().__init__(name=f"writer{number}", daemon=True)
        self.group = group
        self.number = number
        self.operations = []
        self.drops = 0
        self.failure = None

    def run(self):
        try:
            client = self._connect()
            for turn in itertools.count():
                if self.group.stopping.is_set():
                    break
                if not self._write(client, turn):
                    client.close()
                    client = self._connect()
            client.close()
        except Exception as error:  # whatever it is, the test must hear of it
            self.failure = error

    def _connect(self):
        """http.client connects with the first request; a node whose socket refuses is tried again
        until the group's patience is over."""
        place = self.group.places[self.number % len(self.group.places)]
        if isinstance(place, int):
            client = Client(place, self.group.token, self.group.timeout)
        else:
            client = place.client(self.group.token, self.group.timeout)

        def connected():
            try:
                client.connection.connect()
                return True
            except OSError:
                return self.group.stopping.is_set()

        until(connected, "a node takes connections", self.group.patience, pause=0.01)
        return client

    def _next(self, turn):
        """What to write in this turn: (operation, path, body)."""
        kind = turn % 4
        if kind == 0:
            key, value = f"w{self.number}/{turn:08d}", f"{self.number}.{turn}.".ljust(64, "x")
            return Operation("set", key, value), "/set", {"key": key, "value": value}
        if kind == 1:
            key, value = f"hot/{self.number}", f"{turn}"
            return Operation("hot", key, value), "/set", {"key": key, "value": value}
        key = f"own/{self.number}" if kind == 2 else "shared"
        return Operation("bump", key, 1), "/bump", {"key": key, "value": 1}

    def _write(self, client, turn):
        """False when the connection is gone."""
        operation, path, body = self._next(turn)
        self.operations.append(operation)
        try:
            answer = client.post(path, body)
        except Dropped as dropped:
            operation.returned = time.monotonic()
            operation.outcome = "unknown"
            operation.status = "hung" if isinstance(dropped, Hung) else "dropped"
            self.drops += 1
            return False
        operation.returned = time.monotonic()
        operation.status = answer.status
        if answer.status == 200:
            operation.outcome = "acked"
            operation.index = answer.index
            operation.result = answer.json.get("value")
        elif answer.error_type in REFUSALS:
            operation.outcome = "refused"
        elif answer.error_type == "OUTCOME_UNKNOWN":
            operation.outcome = "unknown"
        else:
            raise AssertionError(f"{operation!r}: {answer!r}")
        return answer.headers.get("Connection", "").lower() != "close"


class Writers:
    """A group of writers on one key space. Use it as a context manager: leaving stops them.
    places: a port, a node, or a list of them among which the writers are divided."""

    def __init__(self, places, token, count=6, timeout=30.0, patience=30.0):
        self.places = places if isinstance(places, list) else [places]
        self.token = token
        self.timeout = timeout
        self.patience = patience
        self.stopping = threading.Event()
        self.writers = [Writer(self, number) for number in range(count)]

    def __enter__(self):
        for writer in self.writers:
            writer.start()
        self.wait_progress()
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        self.stopping.set()
        for writer in self.writers:
            writer.join(self.timeout + self.patience)
            assert not writer.is_alive(), f"{writer.name} hangs"
        for writer in self.writers:
            if writer.failure:
                raise writer.failure

    # ---- while they run

    def operations(self):
        return [operation for writer in self.writers for operation in list(writer.operations)]

    def count(self, outcome):
        return sum(operation.outcome == outcome for operation in self.operations())

    def wait_progress(self, each=3, timeout=30.0):
        """Until every writer has had so many more writes acknowledged."""
        now = time.monotonic()

        def progressed(writer):
            if writer.failure:
                raise writer.failure
            fresh = 0
            for operation in reversed(writer.operations):
                if operation.called < now:
                    break
                fresh += operation.outcome == "acked"
            return fresh >= each

        until(lambda: all(progressed(writer) for writer in self.writers), "writes go on", timeout)

    # ---- afterwards

    def summary(self):
        slowest = self.slowest()
        return (
            f"{self.count('acked')} acknowledged, {self.count('refused')} refused, "
            f"{self.count('unknown')} unknown, slowest {slowest * 1000:.0f} ms"
        )

    def slowest(self, since=0.0):
        """Seconds of the slowest answered write that was called or answered after a moment."""
        times = [
            operation.returned - operation.called
            for operation in self.operations()
            if operation.returned and operation.returned >= since
        ]
        return max(times, default=0.0)

    def check_no_errors(self):
        """For faults that clients may see as latency only."""
        bad = [operation for operation in self.operations() if operation.outcome != "acked"]
        assert not bad, f"{len(bad)} writes failed: {bad[:5]}"

    def check_only_drops(self):
        """For restarts of a gateway: connections may drop, nothing else."""
        bad = [
            operation
            for operation in self.operations()
            if operation.outcome != "acked" and operation.status != "dropped"
        ]
        assert not bad, f"{len(bad)} writes failed otherwise: {bad[:5]}"

    def check(self, client):
        """Reads everything back and compares it with what the writers were told."""
        assert self.count("acked") > 0
        self._check_order()
        present = {item["key"]: item["value"] for item in client.iterate_all("", values="true")}
        self._check_sets(present)
        self._check_indexes(client)
        for writer in self.writers:
            self._check_hot(present, writer)
            own = [operation for operation in writer.operations if operation.key.startswith("own/")]
            _check_counter(own, present.get(f"own/{writer.number}", "0"))
        shared = [operation for operation in self.operations() if operation.key == "shared"]
        _check_counter(shared, present.get("shared", "0"))

    def _check_order(self):
        """Indexes are the order in which writes took effect: distinct, and a write that was
        answered before another was begun has the smaller one."""
        acked = [operation for operation in self.operations() if operation.outcome == "acked"]
        assert len({operation.index for operation in acked}) == len(acked), "an index given twice"
        returned = sorted(acked, key=lambda operation: operation.returned)
        highest, at = 0, 0
        for operation in sorted(acked, key=lambda operation: operation.called):
            while at < len(returned) and returned[at].returned < operation.called:
                highest = max(highest, returned[at].index)
                at += 1
            assert operation.index > highest, f"{operation!r} is not after index {highest}"

    def _check_sets(self, present):
        for operation in self.operations():
            if operation.kind != "set":
                continue
            found = present.get(operation.key)
            if operation.outcome == "acked":
                assert found == operation.value, f"lost: {operation!r}, found {found!r}"
            elif operation.outcome == "refused":
                assert found is None, f"written although refused: {operation!r}"
            else:
                assert found in (None, operation.value), f"{operation!r}, found {found!r}"

    def _check_indexes(self, client, sample=100):
        """Values carry the index of the write that set them."""
        acked = [
            operation
            for operation in self.operations()
            if operation.kind == "set" and operation.outcome == "acked"
        ]
        for operation in acked[:: max(1, len(acked) // sample)]:
            assert expect(client.get(operation.key), 200).index == operation.index, operation

    def _check_hot(self, present, writer):
        """The last write wins: what is there was acknowledged last, or is of unknown outcome and
        later."""
        writes = [operation for operation in writer.operations if operation.kind == "hot"]
        possible = {None}
        for operation in writes:
            if operation.outcome == "acked":
                possible = {operation.value}
            elif operation.outcome == "unknown":
                possible.add(operation.value)
        found = present.get(f"hot/{writer.number}")
        assert found in possible, f"hot/{writer.number} is {found}, possible are {possible}"


def _check_counter(operations, final):
    """Every acknowledged +1 answered a number of its own, growing with the index; what lies between
    two of them was of unknown outcome, and there is not more of that than was sent."""
    acked = sorted(
        (operation for operation in operations if operation.outcome == "acked"),
        key=lambda operation: operation.index,
    )
    unknown = sum(operation.outcome == "unknown" for operation in operations)
    results = [int(operation.result) for operation in acked]
    assert all(a < b for a, b in zip(results, results[1:])), "a counter went back or stood still"
    last = results[-1] if results else 0
    assert (
        last - len(results) <= unknown
    ), f"{last - len(results)} too many increments before {acked[-1]!r}: {unknown} were unknown"
    assert (
        last <= int(final) <= len(acked) + unknown
    ), f"counter is {final}: {len(acked)} acknowledged, {unknown} unknown"
