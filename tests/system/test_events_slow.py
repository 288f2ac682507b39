"""Subscribers that do not read, or not fast enough, and what others notice of it: nothing."""

import json
import signal
import threading
import time

import pytest

from harness import binaries
from harness.certificates import Authority
from harness.client import expect
from harness.processes import private_kib
from harness.publisher import publish_all
from harness.raw import Raw, request
from harness.subscriber import Refused, Stream, Subscriber, subscription
from harness.wait import until
from harness.websocket import CLOSE, TEXT, RawSocket

SLOW = 4008
BUFFER = 64 << 10
EVENT = "x" * 10_000
KERNEL = 8192  # bytes that the kernel keeps for one who does not read


@pytest.fixture
def slow_cluster(make_cluster):
    sessions = {"sendBuffer": str(BUFFER), "maxConnections": 3}
    return make_cluster(sessions=sessions, events={"retention": "64MiB"}).start()


class Steady:
    """Publishes large events without pause until stop(), or the end of its with; all of them, in
    order."""

    def __init__(self, node, token, topic="t"):
        self.node, self.token, self.topic = node, token, topic
        self.stopping, self.indexes, self.slowest = threading.Event(), [], 0.0
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        client = self.node.client(self.token)
        while not self.stopping.is_set():
            begun = time.monotonic()
            self.indexes.append(expect(client.publish(self.topic, EVENT), 200).index)
            self.slowest = max(self.slowest, time.monotonic() - begun)
            time.sleep(0.002)
        client.close()

    def stop(self):
        self.stopping.set()
        self.thread.join()
        return self.indexes

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


    def wait(self, count):
        until(lambda: len(self.indexes) >= count, f"{count} events are published", 30)


def stall(steady):
    """Until who does not read has been full for longer than a second."""
    steady.wait(40)
    time.sleep(2.5)  # the pause is part of the scenario


def indexes_of(texts):
    return [json.loads(text)["index"] for text in texts]


def read_to(raw, last):
    """Reads to the event of an index or to the close frame: (indexes, code)."""
    got = []
    while not got or got[-1] < last:
        opcode, payload = raw.next()
        if opcode == CLOSE:
            return got, int.from_bytes(payload[:2], "big")
        if opcode == TEXT:
            got.append(json.loads(payload)["index"])
    return got, None


def test_who_does_not_read_is_closed_with_4008_and_resumes_without_hole_or_double(slow_cluster):
    node, token = slow_cluster.nodes[0], slow_cluster.create_key("tenant")
    with Subscriber(node, token, "t") as good, Stream(node, token, "t") as stream:
        slow = RawSocket(node, token, "t", receive_buffer=KERNEL)
        with slow, Steady(node, token) as steady:
            stall(steady)
            texts, code = slow.end()  # it reads what is on its way, and then the reason
        indexes = steady.indexes
        assert code == SLOW
        got = indexes_of(texts)
        assert got == indexes[: len(got)], "a hole, or a double"
        assert len(got) < len(indexes)
        for each in (good, stream):
            each.wait_index(indexes[-1])
            assert each.indexes == indexes and each.is_open()
        after = {"after": got[-1]} if got else {"after": 0}
        with Subscriber(node, token, "t", **after) as resumed:
            resumed.wait_index(indexes[-1])
            assert got + resumed.indexes == indexes and not resumed.gaps
        assert steady.slowest < 2


def test_a_stream_that_does_not_read_is_closed(slow_cluster):
    node, token = slow_cluster.nodes[0], slow_cluster.create_key("tenant")
    slow = Raw(node.http_port, receive_buffer=KERNEL)
    with Subscriber(node, token, "t") as good, slow:
        slow.send(request("GET", subscription("stream", "t"), token))
        slow._more()
        with Steady(node, token) as steady:
            stall(steady)
            assert slow.is_closed_within(10)
        indexes = steady.indexes
        text = slow.received.decode("utf-8", "replace")
        ids = [int(line[3:]) for line in text.splitlines() if line.startswith("id:")]
        whole = text.count(EVENT)
        good.wait_index(indexes[-1])
        assert good.indexes == indexes
        got = [index for index in ids if index in indexes][:whole]
        assert got == indexes[: len(got)]
        after = got[-1] if got else indexes[0] - 1
        with Stream(node, token, "t", last_id=after) as resumed:
            resumed.wait_index(indexes[-1])
            assert got + resumed.indexes == indexes


@pytest.mark.slow
def test_who_never_reads_does_not_keep_its_place(slow_cluster):
    """It is given half a minute to read the reason."""
    node, token = slow_cluster.nodes[0], slow_cluster.create_key("tenant")
    socket = RawSocket(node, token, "t", receive_buffer=KERNEL)
    stream = Raw(node.http_port, receive_buffer=KERNEL)
    stream.send(request("GET", subscription("stream", "t"), token))
    stream._more()
    publish_all(node, token, "t", [EVENT] * 40)
    opened = []

    def got():
        try:
            opened.append(RawSocket(node, token, "none"))
        except Refused as refused:
            assert refused.status == 503
        return len(opened) == 3

    until(got, "all places are free", 60, 0.25)
    for raw in (*opened, socket, stream):
        raw.close()


def test_a_burst_larger_than_the_buffer_closes_nobody_who_reads(slow_cluster):
    node, token = slow_cluster.nodes[0], slow_cluster.create_key("tenant")
    with Subscriber(node, token, "t") as subscriber, Stream(node, token, "t") as stream:
        indexes = sorted(publish_all(node, token, "t", [EVENT] * 600))  # a hundred buffers
        for each in (subscriber, stream):
            each.wait_index(indexes[-1])
            assert each.indexes == indexes and each.is_open()
    with Subscriber(node, token, "t", after=0) as subscriber:  # at once, from the ring
        subscriber.wait_index(indexes[-1])
        assert subscriber.indexes == indexes and subscriber.is_open()


def test_one_event_larger_than_the_buffer_closes_nobody(slow_cluster):
    node, token = slow_cluster.nodes[0], slow_cluster.create_key("tenant")
    large = "x" * 1_000_000
    with Subscriber(node, token, "t") as subscriber, Stream(node, token, "t") as stream:
        publish_all(node, token, "t", [large] * 5, 2)
        for each in (subscriber, stream):
            each.wait(5, 30)
            assert each.data == [large] * 5 and each.is_open()


def test_who_reads_slowly_but_reads_gets_everything(slow_cluster):
    """A tenth of a second for each few kilobytes: slower than what comes, for seconds."""
    node, token = slow_cluster.nodes[0], slow_cluster.create_key("tenant")
    with RawSocket(node, token, "t", receive_buffer=KERNEL) as raw:
        indexes = sorted(publish_all(node, token, "t", [EVENT] * 100))
        got = []
        while len(got) < len(indexes):
            got.append(json.loads(raw.next_text())["index"])
            if len(got) < 60:
                time.sleep(0.05)  # the pause is part of the scenario
        assert got == indexes


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=lambda one: one.name)
def test_who_reads_slowly_misses_nothing_when_the_worker_dies_meanwhile(slow_cluster, number):
    """Each time it owes a full buffer, and is far behind."""
    node, token = slow_cluster.nodes[0], slow_cluster.create_key("tenant")
    with RawSocket(node, token, "t", receive_buffer=KERNEL) as raw:
        indexes = sorted(publish_all(node, token, "t", [EVENT] * 100))
        got = []
        while len(got) < len(indexes):
            got.append(json.loads(raw.next_text())["index"])
            if len(got) in (5, 30, 60):
                node.worker("events").signal(number)
            if len(got) in (10, 80):
                indexes += sorted(publish_all(node, token, "t", [EVENT] * 10))
            time.sleep(0.02)  # the pause is part of the scenario
        assert got == indexes


def test_fifty_who_come_back_at_once_get_everything_while_the_worker_dies(make_cluster):
    """They read what is retained together, each from where it was, while others publish."""
    cluster = make_cluster(sessions={"sendBuffer": str(BUFFER)}).start()
    node, token = cluster.nodes[0], cluster.create_key("tenant")
    indexes = sorted(publish_all(node, token, "t", ["x" * 1000] * 1000))
    resumed = [Subscriber(node, token, "t", after=indexes[18 * n]) for n in range(50)]
    for _ in range(3):
        indexes += sorted(publish_all(node, token, "t", ["x" * 1000] * 50))
        node.restart_worker("events", signal.SIGKILL)
    for n, subscriber in enumerate(resumed):
        subscriber.wait_index(indexes[-1])
        assert subscriber.indexes == indexes[18 * n + 1 :] and not subscriber.gaps
        subscriber.close()


def test_a_stream_over_http_2_that_does_not_read_holds_up_nobody(make_cluster, tmp_path):
    tls = Authority(tmp_path / "ca").sign()
    cluster = make_cluster(tls=tls, sessions={"sendBuffer": str(BUFFER)}).start()
    node, token = cluster.nodes[0], cluster.create_key("tenant")
    with (
        Stream(node, token, "t", more=["--http2"]) as slow,
        Stream(node, token, "t", more=["--http2"]) as good,
    ):
        slow.process.send_signal(signal.SIGSTOP)
        client, indexes = node.client(token), []
        for _ in range(300):
            indexes.append(expect(client.publish("t", EVENT), 200).index)
        client.close()
        good.wait_index(indexes[-1])
        assert good.indexes == indexes and good.is_open()
        slow.process.send_signal(signal.SIGCONT)
        until(lambda: not slow.is_open() or slow.last == indexes[-1], "it reads, or is closed")
        slow.close()
        assert slow.indexes == indexes[: len(slow.texts)]
        with Stream(node, token, "t", last_id=slow.last_id, more=["--http2"]) as resumed:
            index = publish_last(node, token)
            resumed.wait_index(index)
            assert slow.indexes + resumed.indexes == [*indexes, index]


def publish_last(node, token):
    client = node.client(token)
    answer = expect(client.publish("t", "last"), 200)
    client.close()
    return answer.index


def test_many_who_do_not_read_cost_bounded_memory_and_hold_up_nobody(make_cluster):
    cluster = make_cluster(sessions={"sendBuffer": str(BUFFER)}).start()
    node, token = cluster.nodes[0], cluster.create_key("tenant")
    gateway, events = node.worker("gateway"), node.worker("events")
    with Subscriber(node, token, "t") as good:
        slow = [RawSocket(node, token, "t", receive_buffer=KERNEL) for _ in range(60)]
        before = private_kib(gateway.pid) + private_kib(events.pid)
        indexes = sorted(publish_all(node, token, "t", [EVENT] * 400, 8))
        good.wait_index(indexes[-1])
        grown = private_kib(gateway.pid) + private_kib(events.pid) - before
        print(f"{grown} KiB more for 60 who do not read")
        assert binaries.sanitized() or grown < 60 * (BUFFER >> 10) + 16_000
        assert good.indexes == indexes
        for raw in slow:
            got, code = read_to(raw, indexes[-1])
            assert got == indexes[: len(got)]
            assert code == SLOW or len(got) == len(indexes)
            raw.close()


def test_what_is_dropped_while_one_does_not_read_is_a_gap_for_it_and_nobody_else(make_cluster):
    """Little is retained, so it is outrun before its second is over; and nothing is passed over in
    silence."""
    small = {"sessions": {"sendBuffer": "16KiB"}, "events": {"retention": "256KiB"}}
    cluster = make_cluster(**small).start()
    node, token = cluster.nodes[0], cluster.create_key("tenant")
    with Subscriber(node, token, "t") as good:
        slow = RawSocket(node, token, "t", receive_buffer=KERNEL)
        indexes = []
        while len(indexes) < 600:  # not faster than who reads can
            indexes += sorted(publish_all(node, token, "t", [EVENT] * 10))
            good.wait_index(indexes[-1])
        assert good.indexes == indexes
        texts, code = slow.end()
        slow.close()
        got = indexes_of(texts)
        assert code == SLOW and got == indexes[: len(got)]
        after = got[-1] if got else indexes[0] - 1
        with Subscriber(node, token, "t", after=after) as resumed:
            resumed.wait_index(indexes[-1])
            assert len(resumed.gaps) == 1 and "gap" in resumed.frames[0]
            to = resumed.gaps[0]["to"]
            assert resumed.gaps[0]["from"] == after + 1
            assert resumed.indexes == [index for index in indexes if index > to]
