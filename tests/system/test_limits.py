"""What a node answers when it cannot do what it is asked: too many requests, no worker, no disk."""

import signal
import time

import pytest

from harness.client import expect
from harness.wait import until

RATES = {"values": {"limit": 20, "burst": 5}}


def test_requests_beyond_the_rate_are_429_and_say_when_to_come_back(make_cluster):
    cluster = make_cluster(rateLimiters=RATES).start()
    client = cluster.tenant("eager")
    answers = [client.set("k", str(n)) for n in range(30)]
    refused = [answer for answer in answers if answer.status == 429]
    assert answers[0].status == 200 and len(refused) >= 10
    for answer in refused:
        expect(answer, 429, "RATE_LIMITED")
        assert int(answer.headers["Retry-After"]) >= 1
    expect(client.ping(), 200)  # another class of requests
    until(lambda: client.set("k", "again").status == 200, "the rate allows more", 5)
    client.close()


def test_a_refused_request_was_not_carried_out(make_cluster):
    cluster = make_cluster(rateLimiters=RATES).start()
    client = cluster.tenant("eager")
    accepted = sum(client.bump("n", 1).status == 200 for _ in range(40))
    assert 5 <= accepted < 40
    until(lambda: client.get("n").status == 200, "the rate allows a read", 5)
    assert int(until(lambda: value(client), "a read", 5)) == accepted
    client.close()


def value(client):
    answer = client.get("n")
    return answer.data if answer.status == 200 else None


def test_the_rate_is_the_nodes_not_a_gateways(make_cluster):
    cluster = make_cluster(
        rateLimiters={"values": {"limit": 1, "burst": 10}}, gateway={"processes": 3}
    ).start()
    token = cluster.create_key("eager")
    accepted = 0
    for _ in range(40):  # each on a connection of its own, so all gateways get some
        client = cluster.nodes[0].client(token)
        accepted += client.set("k", "v").status == 200
        client.close()
    assert 10 <= accepted <= 13


@pytest.mark.parametrize("worker", ["storage", "raft"])
def test_a_write_that_gets_no_answer_in_time_is_of_unknown_outcome(make_cluster, worker):
    """And happens once or not at all, when the worker goes on."""
    cluster = make_cluster(limits={"requestTimeout": "500ms"}).start()
    node = cluster.nodes[0]
    client = cluster.tenant("tenant")
    assert expect(client.bump("n", 1), 200).json["value"] == "1"
    process = node.worker(worker)
    process.signal(signal.SIGSTOP)
    started = time.monotonic()
    try:
        expect(client.bump("n", 1), 503, "OUTCOME_UNKNOWN")
        assert 0.4 < time.monotonic() - started < 3
    finally:
        process.signal(signal.SIGCONT)
    now = until(lambda: bumped(client), "writes go on")
    assert now in ("2", "3"), now
    client.close()


def bumped(client):
    answer = client.bump("n", 1)
    return answer.json["value"] if answer.status == 200 else None


def test_reads_need_no_worker(cluster, node):
    """They come from the map: what is stopped behind it does not matter to what was written."""
    client = cluster.tenant("tenant")
    expect(client.set("k", "v"), 200)
    stopped = [node.worker(name) for name in ("storage", "cacheq", "events")]
    for process in stopped:
        process.signal(signal.SIGSTOP)
    try:
        for _ in range(100):
            assert expect(client.get("k"), 200).data == "v"
        assert client.iterate_all("") == ["k"]
    finally:
        for process in stopped:
            process.signal(signal.SIGCONT)
    client.close()


def test_stale_reads_go_on_without_raft(cluster, node):
    client = cluster.tenant("tenant")
    expect(client.set("k", "v"), 200)
    process = node.worker("raft")
    process.signal(signal.SIGSTOP)
    try:
        assert expect(client.get("k", consistency="stale"), 200).data == "v"
    finally:
        process.signal(signal.SIGCONT)
    client.close()
