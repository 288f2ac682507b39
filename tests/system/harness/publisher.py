"""Clients that publish while something goes wrong, and what subscribers must have seen of it.

Each event's data is a number of its own. An event is acked (with its index), refused (it must never
appear), or unknown (no answer: it may appear, once). Nothing is published a second time."""

import itertools
import json
import threading
import time

from .client import Dropped
from .raw import Raw, request
from .wait import until

REFUSALS = {"NO_LEADER", "STORAGE_FULL", "RATE_LIMITED"}


def publish_all(node, token, topics, data, connections=16):
    """Publishes data[i] to topics[i] (or all to one topic) with many requests under way; the
    indexes, in the same order."""
    if isinstance(topics, str):
        topics = [topics] * len(data)
    numbers = range(len(data))
    indexes = [None] * len(data)

    def send(mine):
        pipeline = b"".join(
            request(
                "POST",
                "/events",
                token,
                json.dumps({"topic": topics[one], "data": data[one]}).encode(),
            )
            for one in mine
        )
        with Raw(node.http_port, 60) as raw:
            threading.Thread(target=raw.send, args=(pipeline,), daemon=True).start()
            for one in mine:
                answer = raw.answer()
                assert answer.status == 200, answer
                indexes[one] = answer.index

    parts = [numbers[first::connections] for first in range(min(connections, len(data)))]
    threads = [threading.Thread(target=send, args=(part,), daemon=True) for part in parts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert None not in indexes, "an event was not published"
    return indexes


class Publishers:
    """Threads that publish at an even pace, each to a topic of its own (load/0, load/1, ...) and at
    a node of its own. Use it as a context manager: leaving stops them."""

    def __init__(self, nodes, token, rate=200, count=6):
        self.token, self.stopping = token, threading.Event()
        self.pause = count / rate
        self.numbers, self.lock = itertools.count(), threading.Lock()
        self.acked, self.unknown, self.refused = {}, set(), set()  # {index: (number, topic)}
        self.slowest, self.failures = 0.0, []
        self.threads = [
            threading.Thread(target=self._run, args=(nodes[one % len(nodes)], one), daemon=True)
            for one in range(count)
        ]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        self.wait_progress()
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        self.stopping.set()
        for thread in self.threads:
            thread.join(60)
            assert not thread.is_alive(), "a publisher hangs"
        assert not self.failures, self.failures

    def _run(self, node, number):
        client, due = node.client(self.token), time.monotonic()
        try:
            while not self.stopping.is_set():
                due = max(due + self.pause, time.monotonic() - 1)  # it catches up, but not for long
                self.stopping.wait(max(0, due - time.monotonic()))
                if not self._publish(client, f"load/{number}"):
                    client.close()
                    time.sleep(0.05)
        except Exception as error:  # whatever it is, the test must hear of it
            self.failures.append(error)
        client.close()

    def _publish(self, client, topic):
        """False when the connection is gone."""
        number, begun = next(self.numbers), time.monotonic()
        try:
            client.connection.connect() if client.connection.sock is None else None
        except OSError:
            return False
        try:
            answer = client.publish(topic, number)
        except Dropped:
            with self.lock:
                self.unknown.add(number)
            return False
        with self.lock:
            self.slowest = max(self.slowest, time.monotonic() - begun)
            if answer.status == 200:
                assert answer.index not in self.acked, "an index given twice"
                self.acked[answer.index] = (number, topic)
            elif answer.error_type in REFUSALS:
                self.refused.add(number)
            elif answer.error_type == "OUTCOME_UNKNOWN":
                self.unknown.add(number)
            else:
                raise AssertionError(answer)
        return answer.headers.get("Connection", "").lower() != "close"

    # ---- while they run

    def wait_progress(self, count=20, timeout=30.0):
        """Until so many more events were acknowledged."""
        before = len(self.acked)

        def progressed():
            assert not self.failures, self.failures
            return len(self.acked) >= before + count

        until(progressed, "events are published", timeout)

    # ---- afterwards

    def last(self):
        return max(self.acked)

    def check_no_errors(self):
        """For faults that clients may see as latency only."""
        assert not self.unknown and not self.refused, (self.unknown, self.refused)

    def check(self, subscriber, after=0, topic=None, may_have_gaps=False):
        """After stop(): waits until the subscriber has everything that was acknowledged behind an
        index (of one topic, or of all), but for what gaps name; each once, in order, nothing
        refused among it."""
        wanted = {
            index: what
            for index, what in self.acked.items()
            if index > after and topic in (None, what[1])
        }
        if wanted:
            subscriber.wait_index(max(wanted))
        events = subscriber.events
        indexes = [event["index"] for event in events]
        assert indexes == sorted(set(indexes)), f"{subscriber.name}: out of order, or twice"
        got = {event["index"]: (event["data"], event["topic"]) for event in events}
        gaps = subscriber.gaps
        assert may_have_gaps or not gaps, f"{subscriber.name}: {gaps}"
        lost = {
            index: what
            for index, what in wanted.items()
            if index not in got and not any(gap["from"] <= index <= gap["to"] for gap in gaps)
        }
        assert not lost, f"{subscriber.name}: {len(lost)} lost: {sorted(lost.items())[:5]}"
        for index, what in got.items():
            if index in self.acked:
                assert what == self.acked[index], (index, what, self.acked[index])
            else:
                assert what[0] in self.unknown, f"{subscriber.name}: {what} was not published"
        numbers = [event["data"] for event in events]
        assert len(set(numbers)) == len(numbers), f"{subscriber.name}: an event happened twice"
