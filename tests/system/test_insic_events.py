"""insic publish against scripted servers; publish and subscribe against real nodes, also while they are
killed. The streams themselves: test_insic_subscribe.py."""

import json
import os
import signal
import subprocess
import threading
import time

import pytest

from fake_server import DROP, NO_LEADER, FakeServer, answer, refusal, three
from harness.certificates import Authority
from harness.client import Dropped
from harness.wait import until


# ---- publish


def test_publish_sends_a_string(insic):
    with FakeServer(answer(index=7)) as server:
        run = insic.at(server, "publish", "news", '{"a": 1}\n')
    assert (run.status, run.out, run.err) == (0, b"OK\n", b"")
    assert (server.last.method, server.last.path) == ("POST", "/db/api/v1/events")
    assert server.last.json == {"topic": "news", "data": '{"a": 1}\n'}


@pytest.mark.parametrize(
    "data, sent",
    [
        ("null", "null"),
        (" true ", "true"),
        ('"a b"', '"a b"'),
        ("-0.50", "-0.50"),
        ("-1E400", "-1E400"),
        ('{"b": 1, "a": [1.10, 1E5]}', '{"b":1,"a":[1.10,1E5]}'),
        ("123456789012345678901234567890", "123456789012345678901234567890"),
        ('["\\u0000", "€", " \\" "]', '["\\u0000","€"," \\" "]'),
    ],
)
def test_publish_sends_json_as_it_is(insic, data, sent):
    with FakeServer(answer(index=7)) as server:
        run = insic.at(server, "publish", 'a "b"', data, "--json")
    assert (run.status, run.out, run.err) == (0, b"OK\n", b"")
    assert server.last.body.decode() == f'{{"topic":"a \\"b\\"","data":{sent}}}'
    assert server.last.headers["content-type"] == "application/json"


@pytest.mark.parametrize("words", ["--json t 1", "t --json 1", "t 1 --json"])
def test_the_json_flag_stands_anywhere(insic, words):
    with FakeServer(answer(index=7)) as server:
        assert insic.at(server, "publish", *words.split()).status == 0
    assert server.last.json == {"topic": "t", "data": 1}


@pytest.mark.parametrize("words", [["--", "t", "--json"], ["t", "--", "--json"]])
def test_behind_two_dashes_there_is_no_json_flag(insic, words):
    with FakeServer(answer(index=7)) as server:
        assert insic.at(server, "publish", *words).status == 0
    assert server.last.json == {"topic": "t", "data": "--json"}


@pytest.mark.parametrize("data", ["", "hello", "{", '{"a":1} x', "[1,]", '"\\ud800"', "01", "NaN"])
def test_what_is_no_json_is_not_sent(insic, data):
    with FakeServer(answer(index=7)) as server:
        run = insic.at(server, "publish", "t", data, "--json")
    assert run.status == 2 and not server.asked
    assert run.error.startswith("Error: <data> is not valid JSON: 1:")
    assert run.error.endswith("\nUsage: insic publish <topic> <data> [--json]\n")


@pytest.mark.parametrize("words", ["t --json", "a b c", "--json --json t"])
def test_publish_takes_a_topic_and_data(insic, words):
    with FakeServer(answer(index=7)) as server:
        run = insic.at(server, "publish", *words.split())
    assert run.status == 2 and not server.asked
    assert run.error == (
        "Error: 'publish' takes a topic and data, and perhaps --json.\n"
        "Usage: insic publish <topic> <data> [--json]\n"
    )


@pytest.mark.parametrize("more", [[], ["--json"]])
def test_an_event_that_may_have_arrived_is_not_sent_again(insic, more):
    with three(insic, [NO_LEADER], [DROP], [answer(index=7)]) as servers:
        run = insic("--root", "publish", "t", "1", *more)
        assert [len(server.asked) for server in servers] == [1, 1, 0]
    assert run.status == 1 and "(OUTCOME_UNKNOWN)" in run.error


def test_publish_as_json_is_the_servers_answer(insic):
    with FakeServer(answer(index=7), refusal(400, "BAD_REQUEST", "no such topic")) as server:
        assert insic.at(server, "-o", "json", "publish", "t", "x").out == b'{"index": 7}\n'
        run = insic.at(server, "publish", "t", "x")
    assert (run.status, run.error) == (1, "Error: no such topic (BAD_REQUEST)\n")


# ---- real nodes


@pytest.fixture
def nodes(insic):
    """Points insic at a cluster's configuration."""

    def use(cluster):
        with open(cluster.config_path, encoding="utf-8") as file:
            insic.write("cluster.yaml", file.read())
        return insic

    return use


def numbers(running):
    """The data of the events that were printed."""
    return [int(line.rpartition(" ")[2]) for line in running.lines if line[-1].isdigit()]


def sockets(node, state):
    """What ss says of clients' connections to the node."""
    words = ["ss", "-Htni", "state", state, "dport", "=", f":{node.http_port}"]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout


class Publisher:
    """Publishes 1, 2, 3, ... one after the other, at nodes that take them."""

    def __init__(self, nodes, token=None):
        self.nodes, self.token = nodes, token
        self.acked, self.unknown = [], []
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)

    def _publish(self, node, number):
        client = node.client(self.token or node.settings.root_token(), timeout=10)
        try:
            answer = client.post("/events", {"topic": "count", "data": number})
        except Dropped:
            return "unknown"
        finally:
            client.close()
        if answer.status == 200:
            return "acked"
        return "unknown" if answer.error_type == "OUTCOME_UNKNOWN" else "refused"

    def _run(self):
        number = 1
        while not self.over.is_set():
            outcome = self._publish(self.nodes[number % len(self.nodes)], number)
            if outcome == "refused":
                self.over.wait(0.01)
                continue
            (self.acked if outcome == "acked" else self.unknown).append(number)
            number += 1

    def wait(self, count, timeout=60.0):
        """Until so many more were acknowledged."""
        wanted = len(self.acked) + count
        until(lambda: len(self.acked) >= wanted, f"{count} events are published", timeout)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join(30)

    def check(self, running, begin=1):
        """Everything from this number on has come, in order, once."""
        self.__exit__()
        last = self.acked[-1]
        until(lambda: numbers(running)[-1:] >= [last], f"{last} comes", timeout=30)
        seen = numbers(running)
        assert seen == sorted(set(seen)), seen
        missing = {number for number in self.acked if number >= begin} - set(seen)
        assert not missing, (sorted(missing), running.err.decode())
        assert set(seen) <= set(self.acked) | set(self.unknown)


VALUES = ["", "a b", "€\0\n\x1b", "null", 0, -1.5, True, False, None, [], {}, [1, "x", {"y": None}]]


def test_every_kind_of_data_arrives(shared, token, insic):
    server = f"http://127.0.0.1:{shared.http_port}"
    who = ["--endpoint", server, "--key", token]
    for value in VALUES:
        assert insic(*who, "publish", "kinds", json.dumps(value), "--json").out == b"OK\n"
    exact = '{"n":[1.10,1E400,123456789012345678901234567890],"s":"\\u20ac\\/"}'
    assert insic(*who, "publish", "kinds", exact, "--json").out == b"OK\n"
    assert insic(*who, "publish", "kinds", exact).out == b"OK\n"
    with insic.start(*who, "-o", "json", "subscribe", "kinds", "--after", "0") as running:
        frames = [json.loads(line) for line in running.wait_lines(len(VALUES) + 2)]
    assert [frame["data"] for frame in frames[:-2]] == VALUES and frames[-1]["data"] == exact
    assert all(frame["topic"] == "kinds" for frame in frames)
    with insic.start(*who, "subscribe", "k*", "--after", str(frames[-3]["index"])) as running:
        begin = "Received event on topic 'kinds': "
        assert running.wait_lines(2) == [begin + exact, begin + exact]
        run = running.end(signal.SIGINT)
    assert (run.status, run.err) == (0, b"")


def test_from_now_on_means_every_event_from_then(shared, token, insic):
    who = ["--endpoint", f"http://127.0.0.1:{shared.http_port}", "--key", token]
    with Publisher([shared], token) as publisher:
        publisher.wait(20)
        with insic.start(*who, "subscribe", "count") as running:
            running.wait_lines(50)
            begin = numbers(running)[0]
            assert begin > 20
            publisher.check(running, begin)


def test_other_tenants_and_topics_are_not_seen(shared, shared_cluster, token, insic):
    other = shared_cluster.create_key("another")
    server = ["--endpoint", f"http://127.0.0.1:{shared.http_port}"]
    for key, topic in [(other, "t"), (token, "tt"), (token, "T"), (token, "s"), (token, "t")]:
        assert insic(*server, "--key", key, "publish", topic, "x").status == 0
    with insic.start(*server, "--key", token, "subscribe", "t", "--after", "0") as running:
        assert running.wait_lines(1) == ["Received event on topic 't': x"]
        assert insic(*server, "--key", token, "publish", "t", "last").status == 0
        assert running.wait_lines(2)[1].endswith("last")


@pytest.mark.parametrize("topic", ["", "a*", "x" * 481])
def test_a_topic_that_nobody_could_name_is_refused(shared, token, insic, topic):
    who = ["--endpoint", f"http://127.0.0.1:{shared.http_port}", "--key", token]
    run = insic(*who, "publish", topic, "x")
    assert run.status == 1 and "(BAD_REQUEST)" in run.error or "(KEY_TOO_LONG)" in run.error


def test_a_deleted_key_ends_it(cluster, node, insic):
    token = cluster.create_key("short")
    who = ["--endpoint", f"http://127.0.0.1:{node.http_port}", "--key", token]
    assert insic(*who, "publish", "t", "x").status == 0
    with insic.start(*who, "subscribe", "t", "--after", "0") as running:
        running.wait_lines(1)
        root = node.root()
        assert root.delete_key(token).status == 200
        root.close()
        run = running.end()
    assert run.status == 1 and run.error.splitlines()[-1].endswith("(AUTHENTICATION_FAILED)")


def test_what_is_no_longer_kept_is_told(make_cluster, nodes):
    cluster = make_cluster(events={"retention": "64KiB"}).start()
    insic = nodes(cluster)
    client = cluster.nodes[0].root()
    for number in range(1, 101):
        assert client.post("/events", {"topic": "t", "data": f"{number} {'x' * 4000}"}).status == 200
    client.close()
    with insic.start("--root", "subscribe", "t", "--after", "0") as running:
        until(lambda: "': 100 x" in running.out.decode(), "the last event")
        run = running.end(signal.SIGTERM)
    kept = [int(line.split("': ")[1].split()[0]) for line in run.text.splitlines()]
    assert kept == list(range(kept[0], 101)) and 1 < kept[0] <= 100
    assert run.error.startswith("Gap: events with index 1 to ")
    assert run.error.endswith(" are no longer kept.\n") and len(run.error.splitlines()) == 1


def test_who_reads_slowly_gets_everything_later(make_cluster, nodes):
    """The server gives up on insic, which cannot print; it goes on where it was."""
    cluster = make_cluster(sessions={"sendBuffer": "64KiB"}, events={"retention": "256MiB"}).start()
    insic = nodes(cluster)
    client = cluster.nodes[0].root()
    reading, writing = os.pipe()
    with insic.start("--root", "subscribe", "t", "--after", "0", stdout=writing) as running:
        os.close(writing)
        last, begin = 0, time.monotonic()
        while last < 1000 or time.monotonic() < begin + 2.5:  # more than buffers, longer than patience
            last += 1
            data = f"{last} {'x' * 20000}"
            assert client.post("/events", {"topic": "t", "data": data}).status == 200
        client.close()
        with os.fdopen(reading, encoding="utf-8") as out:
            seen = [int(next(out).split("': ")[1].split()[0]) for _ in range(last)]
            assert seen == list(range(1, last + 1))
            run = running.end(signal.SIGTERM)
    assert "Gap" not in run.error


def test_no_room_at_the_only_node(make_cluster, nodes):
    cluster = make_cluster(sessions={"maxConnections": 1}).start()
    insic = nodes(cluster)
    assert insic("--root", "publish", "t", "1").status == 0
    with insic.start("--root", "subscribe", "t", "--after", "0") as running:
        running.wait_lines(1)
        run = insic("--root", "subscribe", "t")
    assert run.status == 1 and run.error.endswith("(TOO_MANY_SESSIONS)\n")
    with insic.start("--root", "subscribe", "t", "--after", "0") as running:
        running.wait_lines(1)


@pytest.mark.parametrize("worker", ["gateway", "events", "raft"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_worker_of_the_only_node_is_restarted(make_cluster, nodes, worker, number):
    cluster = make_cluster().start()
    insic = nodes(cluster)
    if number == signal.SIGKILL:
        cluster.allow("event=child_died", "event=child_ended")
    with Publisher(cluster.nodes) as publisher:
        with insic.start("--root", "subscribe", "count", "--after", "0") as running:
            for _ in range(3):
                publisher.wait(30)
                cluster.nodes[0].restart_worker(worker, number)
            publisher.wait(30)
            publisher.check(running)
            assert running.end(signal.SIGINT).status == 0


@pytest.mark.slow
@pytest.mark.parametrize("after", [True, False], ids=["all", "from now"])
def test_the_node_is_killed_and_another_goes_on(make_cluster, nodes, after):
    cluster = make_cluster(3).start()
    cluster.wait_voters()
    insic = nodes(cluster)
    words = ["--after", "0"] if after else []
    with insic.start("--root", "subscribe", "co*", *words) as running:
        with Publisher(cluster.nodes[1:]) as publisher:
            running.wait_lines(20)
            begin = 1 if after else numbers(running)[0]
            cluster.nodes[0].kill()
            publisher.wait(50)
            running.wait_error("Connected again, to node1")
            cluster.nodes[0].start()
            cluster.nodes[1].signal_worker("gateway", signal.SIGKILL)
            publisher.wait(50)
            running.wait_error("Connected again, to node2")
            publisher.check(running, begin)
        run = running.end(signal.SIGTERM)
    assert run.status == 0 and "Gap" not in run.error


def test_an_idle_subscriber_misses_nothing(make_cluster, nodes):
    """The node is killed before the first event."""
    cluster = make_cluster(3).start()
    cluster.wait_voters()
    insic = nodes(cluster)
    with insic.start("--root", "subscribe", "t") as running:
        until(
            lambda: "bytes_received" in sockets(cluster.nodes[0], "established"), "the subscription"
        )
        cluster.nodes[0].kill()
        client = cluster.nodes[1].root()
        until(lambda: client.post("/events", {"topic": "t", "data": 1}).status == 200, "a leader")
        client.close()
        assert running.wait_lines(1, timeout=30) == ["Received event on topic 't': 1"]
        assert "Gap" not in running.err.decode()


def test_over_tls(make_cluster, nodes, tmp_path):
    authority = Authority(str(tmp_path / "authority"))
    cluster = make_cluster(tls=authority.sign(), serverMustUseTLS=True).start()
    insic = nodes(cluster)
    assert insic("--root", "publish", "t", "x").out == b"OK\n"
    with insic.start("--root", "subscribe", "t", "--after", "0") as running:
        assert running.wait_lines(1) == ["Received event on topic 't': x"]
        assert insic("--root", "publish", "t", "y").out == b"OK\n"
        assert running.wait_lines(2)[1] == "Received event on topic 't': y"
