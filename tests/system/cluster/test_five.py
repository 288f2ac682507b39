"""Five nodes: two may be lost, and networks come apart in ways that three do not know."""

import time

import pytest

from harness.network import Unavailable
from harness.workload import Workload

ELECTION = 1.0  # raft.electionTimeout, the default


@pytest.fixture
def five(make_cluster):
    try:
        cluster = make_cluster(5, network=True)
    except Unavailable as reason:
        pytest.skip(f"needs a network of its own (root): {reason}")
    cluster.start()
    cluster.wait_leader()
    cluster.wait_voters()
    return cluster


@pytest.mark.slow
def test_two_of_five_killed_are_latency_to_the_clients_of_others(five):
    with Workload(five, count=1) as work:
        for with_leader in (False, True):
            leader, begun = five.wait_leader(), time.monotonic()
            lost = five.followers(leader)[:2]
            if with_leader:
                lost = [leader, lost[0]]
            rest = [node for node in five.nodes if node not in lost]
            for node in lost:
                node.kill()
            work.wait_progress(rest)
            for node in lost:
                node.start(wait=False)
            for node in lost:
                node.wait_ready()
            work.wait_progress()
            work.check_no_errors(rest, begun)
    work.check()


@pytest.mark.slow
def test_a_leader_in_the_minority_is_replaced_and_shows_nothing_stale(five):
    with Workload(five, count=1) as work:
        leader, begun = five.wait_leader(), time.monotonic()
        small = [five.number(node) for node in [leader, five.followers(leader)[0]]]
        large = [number for number in range(5) if number not in small]
        rest = [five.nodes[number] for number in large]
        five.network.part(small, large)
        five.wait_leader(rest, other_than=leader)
        work.wait_progress(rest, each=10)
        five.network.heal()
        work.wait_progress()
        work.check_no_errors(rest, begun)
    work.check()


@pytest.mark.slow
def test_nodes_that_hear_only_one_of_the_others_do_not_disturb(five):
    """0, 1 and 2 hear each other; 3 hears 1 alone, and 4 hears 2 alone. Without pre-votes, or
    without voters that keep to their leader, there would be elections for ever."""
    links = {(0, 1), (1, 2), (0, 2), (1, 3), (2, 4)}
    core = five.nodes[:3]
    with Workload(five, core, count=2) as work:
        for a in range(5):
            for b in range(a + 1, 5):
                if (a, b) not in links:
                    five.network.cut(a, b)
                    five.network.cut(b, a)
        time.sleep(4 * ELECTION)  # the pause is part of the scenario
        work.wait_progress()
        term = five.term(core[0])
        begun = time.monotonic()
        time.sleep(5 * ELECTION)  # so long that unrest would show
        assert five.term(core[0]) == term, "elections go on and on"
        work.check_no_errors(core, begun)
        five.network.heal()
        five.wait_leader()
        work.wait_progress()
    work.check(five.nodes)
