"""Cables that are cut, one way or both, lossy ones, and connections that are reset."""

import random
import time

import pytest

from harness.client import expect
from harness.workload import Workload

ELECTION = 1.0  # raft.electionTimeout, the default
REQUEST = 5.0  # limits.requestTimeout, the default


def others(cluster, node):
    return [other for other in cluster.nodes if other is not node]


# ---- cut off


def test_a_leader_that_is_cut_off_is_latency_to_the_clients_of_others(networked):
    with Workload(networked) as work:
        for _ in range(2):
            leader, begun = networked.wait_leader(), time.monotonic()
            rest = others(networked, leader)
            networked.network.isolate(networked.number(leader))
            work.wait_progress(rest)
            networked.wait_leader(rest, other_than=leader)
            work.wait_progress(rest)
            networked.network.heal()
            work.wait_progress()
            work.check_no_errors(rest, begun)
    work.check()


def test_a_node_that_is_cut_off_refuses_within_the_request_timeout(networked):
    """And shows what it has to those who want that."""
    leader = networked.wait_leader()
    client = networked.tenant("tenant", networked.number(leader))
    expect(client.set("k", "before"), 200)
    networked.network.isolate(networked.number(leader))
    rest = others(networked, leader)
    networked.wait_leader(rest, other_than=leader)
    elsewhere = rest[0].client(client.token)
    expect(elsewhere.set("k", "after"), 200)
    for call in (lambda: client.get("k"), lambda: client.set("k", "never")):
        begun = time.monotonic()
        answer = call()
        assert answer.status == 503, answer
        assert answer.error_type in ("NO_LEADER", "OUTCOME_UNKNOWN"), answer
        assert time.monotonic() - begun < REQUEST + 1
    assert expect(client.get("k", consistency="stale"), 200).data == "before"
    expect(client.call("GET", "/readyz"), 503)
    assert expect(elsewhere.get("k"), 200).data == "after"
    networked.network.heal()
    leader.wait_ready()
    assert expect(client.get("k"), 200).data == "after"
    for one in (client, elsewhere):
        one.close()


def test_a_follower_that_is_cut_off_is_nothing_to_the_others(networked):
    with Workload(networked) as work:
        leader = networked.wait_leader()
        follower = networked.followers(leader)[0]
        rest, begun, term = others(networked, follower), time.monotonic(), networked.term(leader)
        networked.network.isolate(networked.number(follower))
        time.sleep(3 * ELECTION)  # so that it would stand for election, if it could
        networked.network.heal()
        work.wait_progress()
        work.check_no_errors(rest, begun)
        assert networked.wait_leader() is leader and networked.term(leader) == term
    work.check()


def test_nodes_that_are_all_alone_take_no_writes_and_go_on_together(networked):
    leader = networked.wait_leader()
    client = networked.tenant("tenant", networked.number(leader))
    expect(client.set("k", "v"), 200)
    networked.wait_equal()
    networked.network.part([0], [1], [2])
    for node in networked.nodes:
        one, begun = node.client(client.token), time.monotonic()
        answer = one.set("k", node.id)
        assert answer.error_type in ("NO_LEADER", "OUTCOME_UNKNOWN"), answer
        assert time.monotonic() - begun < REQUEST + 1
        assert expect(one.get("k", consistency="stale"), 200).data == "v"
        one.close()
    networked.network.heal()
    networked.wait_leader()
    assert expect(client.get("k"), 200).data in ["v"] + [node.id for node in networked.nodes]
    with Workload(networked) as work:
        work.wait_progress()
    work.check()
    client.close()


def test_a_cable_between_two_nodes_that_is_cut(networked):
    """The third hears both. Whoever leads, all are served: at worst after a new election."""
    with Workload(networked) as work:
        for a, b in ((0, 1), (1, 2), (2, 0)):
            networked.network.cut(a, b)
            networked.network.cut(b, a)
            time.sleep(2 * ELECTION)  # the pause is part of the scenario
            networked.network.heal()
            work.wait_progress()
    work.check()


# ---- one way


@pytest.mark.parametrize("way", ["to the leader", "from the leader"])
def test_cuts_of_one_way_between_the_leader_and_all_others(networked, way):
    with Workload(networked) as work:
        leader, begun = networked.wait_leader(), time.monotonic()
        rest = others(networked, leader)
        for other in rest:
            ends = networked.number(leader), networked.number(other)
            networked.network.cut(*(ends if way == "from the leader" else ends[::-1]))
        networked.wait_leader(rest, other_than=leader)
        work.wait_progress(rest)
        networked.network.heal()
        work.wait_progress()
        work.check_no_errors(rest, begun)
    work.check()


@pytest.mark.slow
def test_cuts_of_single_ways_at_random(networked):
    seed = random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    with Workload(networked) as work:
        for _ in range(8):
            for _ in range(chance.randrange(1, 4)):
                networked.network.cut(*chance.sample(range(3), 2))
            time.sleep(chance.random() * 2 * ELECTION)
            networked.network.heal()
            if chance.random() < 0.5:
                work.wait_progress()
        work.wait_progress()
    work.check()


def test_a_cable_that_comes_and_goes(networked):
    with Workload(networked) as work:
        leader = networked.wait_leader()
        for _ in range(20):
            networked.network.isolate(networked.number(leader))
            time.sleep(0.1)
            networked.network.heal()
            time.sleep(0.1)
        work.wait_progress()
    work.check()


# ---- lossy


def test_resets_of_all_connections_are_latency(networked):
    with Workload(networked) as work:
        for _ in range(10):
            networked.network.reset()
            time.sleep(0.05)
            networked.network.heal()
            time.sleep(0.3)
        work.wait_progress()
    work.check_no_errors()
    work.check()


@pytest.mark.parametrize("percent", [2, 15])
def test_lost_packets(networked, percent):
    with Workload(networked) as work:
        networked.network.lose(percent)
        time.sleep(5 * ELECTION)
        networked.network.heal()
        work.wait_progress()
    if percent == 2:
        work.check_no_errors()
    work.check()
