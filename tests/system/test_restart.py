"""Workers that are restarted, killed or hung while clients write: nothing acknowledged is lost,
nothing is applied twice, and clients notice as little as the contract says."""

import random
import signal
import time

import pytest

from harness import processes
from harness.binaries import WORKERS
from harness.client import Dropped, expect
from harness.wait import until
from harness.writers import Writers

SIGNALS = [signal.SIGTERM, signal.SIGKILL]
BEHIND = [name for name in WORKERS if name != "gateway"]  # a client has no connection to them
RESTART_BOUND = 3.0  # generous: what is asserted; what was measured is printed at the end


def signal_name(value):
    return value.name if isinstance(value, signal.Signals) else str(value)


# ---- one worker at a time


@pytest.mark.parametrize("number", SIGNALS, ids=signal_name)
@pytest.mark.parametrize("worker", BEHIND)
def test_clients_see_the_restart_of_a_worker_as_latency_only(cluster, node, worker, number):
    client = cluster.tenant("tenant")
    with Writers(node.http_port, client.token) as writers:
        for _ in range(3):
            node.restart_worker(worker, number)
            writers.wait_progress()
    print(writers.summary())
    writers.check_no_errors()
    writers.check(client)
    client.close()


@pytest.mark.parametrize("number", SIGNALS, ids=signal_name)
def test_clients_see_the_restart_of_a_gateway_as_dropped_connections_only(cluster, node, number):
    client = cluster.tenant("tenant")
    with Writers(node.http_port, client.token) as writers:
        for _ in range(3):
            node.restart_worker("gateway", number)
            writers.wait_progress()
    print(writers.summary())
    writers.check_only_drops()
    client.close()
    writers.check(client)
    client.close()


@pytest.mark.parametrize("number", SIGNALS, ids=signal_name)
def test_with_two_gateways_one_serves_while_the_other_restarts(make_cluster, number):
    cluster = make_cluster(gateway={"processes": 2}).start()
    node = cluster.nodes[0]
    client = cluster.tenant("tenant")
    assert (
        len(
            until(
                lambda: len(node.workers("gateway")) == 2 and node.workers("gateway"),
                "two gateways",
            )
        )
        == 2
    )
    with Writers(node.http_port, client.token, count=8) as writers:
        for _ in range(3):
            node.restart_worker("gateway", number)
            writers.wait_progress()
    print(writers.summary())
    writers.check_only_drops()
    client.close()
    writers.check(client)
    client.close()


def test_a_gateway_that_is_told_to_stop_answers_what_it_holds(cluster, node):
    """SIGTERM is an operator's restart: requests that arrived are answered before it ends."""
    client = cluster.tenant("tenant")
    with Writers(node.http_port, client.token, count=8) as writers:
        for _ in range(5):
            node.restart_worker("gateway", signal.SIGTERM)
            writers.wait_progress(each=10)
    client.close()
    writers.check(client)
    client.close()
    print(writers.summary())
    # A request may cross with the end of its connection on the way; but then it was not read.
    present = set(client.iterate_all(""))
    lost_answers = [
        operation
        for operation in writers.operations()
        if operation.outcome == "unknown" and operation.kind == "set" and operation.key in present
    ]
    assert not lost_answers, "carried out, but not answered"
    client.close()


@pytest.mark.parametrize("worker", WORKERS)
def test_a_killed_worker_serves_again_soon(cluster, node, worker, record_property, patience):
    """What a client waits for when the worker is killed with -9. The first restart of a node, so no
    back-off is in it. Nobody waits for cacheq and events yet: theirs is the supervisor's word."""
    client = cluster.tenant("tenant")
    expect(client.set("k", "0"), 200)
    position = node.log.size()
    started = time.monotonic()
    process = node.worker(worker)
    process.signal(signal.SIGKILL)
    assert process.wait_gone(5)
    if worker == "gateway":
        client.close()
        until(lambda: answers(client), "a new connection is answered", 10, 0.001)
    else:
        expect(client.set("k", "1"), 200)
    served = time.monotonic() - started
    node.wait_worker_ready(worker, position)
    ready = time.monotonic() - started
    shown = served if worker in ("gateway", "raft", "storage") else ready
    record_property(f"measured restart of {worker} after kill -9", f"{shown * 1000:.0f} ms")
    assert shown < RESTART_BOUND * patience
    client.close()


def answers(client):
    try:
        return client.get("k").status == 200
    except Dropped:
        return False


# ---- several at once


@pytest.mark.parametrize(
    "pair",
    [
        ("raft", "storage"),
        ("raft", "gateway"),
        ("storage", "gateway"),
        ("raft", "events"),
        ("storage", "cacheq"),
    ],
    ids="+".join,
)
def test_two_workers_killed_in_the_same_moment(cluster, node, pair):
    client = cluster.tenant("tenant")
    with Writers(node.http_port, client.token) as writers:
        for _ in range(2):
            victims = [node.worker(name) for name in pair]
            position = node.log.size()
            for victim in victims:
                victim.signal(signal.SIGKILL)
            for name in pair:
                node.wait_worker_ready(name, position)
            writers.wait_progress()
    print(writers.summary())
    if "gateway" in pair:
        writers.check_only_drops()
    else:
        writers.check_no_errors()
    client.close()
    writers.check(client)
    client.close()


def test_all_workers_killed_in_the_same_moment(cluster, node):
    client = cluster.tenant("tenant")
    with Writers(node.http_port, client.token) as writers:
        victims = [node.worker(name) for name in WORKERS]
        position = node.log.size()
        for victim in victims:
            victim.signal(signal.SIGKILL)
        for name in WORKERS:
            node.wait_worker_ready(name, position)
        writers.wait_progress()
    writers.check_only_drops()
    client.close()
    writers.check(client)
    client.close()


@pytest.mark.slow
def test_a_day_of_restarts_in_miniature(make_cluster, patience):
    """50 workers, chosen at random, end by a random signal at random moments."""
    seed = random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    # Killed again and again, a worker is started after a growing delay (5 s at most).
    cluster = make_cluster(limits={"requestTimeout": "60s"}).start()
    node = cluster.nodes[0]
    client = cluster.tenant("tenant")
    with Writers(node.http_port, client.token, timeout=90, patience=90) as writers:
        for _ in range(50):
            worker, number = chance.choice(WORKERS), chance.choice(SIGNALS)
            node.signal_worker(worker, number)
            time.sleep(chance.choice([0, 0.05, 0.3, 1.0]))  # the pause is part of the scenario
        writers.wait_progress(timeout=60)
    print(writers.summary())
    writers.check_only_drops()
    client.close()
    writers.check(client)
    client.close()


# ---- hung workers


@pytest.mark.slow
@pytest.mark.parametrize("worker", WORKERS)
def test_a_hung_worker_is_found_and_restarted(make_cluster, worker):
    """SIGSTOP: the process lives, but answers no heartbeat."""
    cluster = make_cluster(limits={"requestTimeout": "30s"}).start()
    node = cluster.nodes[0]
    client = cluster.tenant("tenant")
    with Writers(node.http_port, client.token, timeout=60, patience=60) as writers:
        process, position = node.signal_worker(worker, signal.SIGSTOP)
        started = time.monotonic()
        assert process.wait_gone(20), "a hung worker is not left alone"
        assert time.monotonic() - started > 3, "a short pause is forgiven"
        node.wait_worker_ready(worker, position)
        assert node.log.find("child_hung", position)
        writers.wait_progress()
    print(writers.summary())
    if worker == "gateway":
        writers.check_only_drops()
    else:
        writers.check_no_errors()
    client.close()
    writers.check(client)
    client.close()


@pytest.mark.parametrize("worker", WORKERS)
def test_a_short_pause_of_a_worker_is_forgiven(cluster, node, worker):
    client = cluster.tenant("tenant")
    with Writers(node.http_port, client.token) as writers:
        process, position = node.signal_worker(worker, signal.SIGSTOP)
        assert not process.wait_gone(1.5)
        process.signal(signal.SIGCONT)
        writers.wait_progress()
        assert node.worker(worker).pid == process.pid
        assert not node.log.find("child_hung", position)
    writers.check_no_errors()
    writers.check(client)
    client.close()


# ---- a worker that ends again and again


def test_a_worker_that_ends_at_once_is_started_with_growing_delays(cluster, node):
    """And nobody else is restarted for it."""
    others = {name: node.worker(name).pid for name in WORKERS if name != "events"}
    position = node.log.size()
    for _ in range(5):
        process = node.worker("events")
        process.signal(signal.SIGKILL)
        assert process.wait_gone(5)
        until(lambda: node.workers("events"), "events is started again", 15)
    delays = [int(line.fields["delay_ms"]) for line in node.log.find("child_restarting", position)]
    assert delays == [0, 100, 200, 400, 800], delays
    assert {name: node.worker(name).pid for name in others} == others


def test_the_nodes_processes_are_what_they_should_be(node):
    names = [name for _, name in processes.children(node.process.pid)]
    assert sorted(names) == sorted(f"insi-{name}" for name in WORKERS)
