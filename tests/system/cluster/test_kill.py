"""Processes and nodes of a cluster that are killed or stopped while clients read and write: what
was promised to clients holds, and those of the other nodes notice it as latency at most."""

import signal
import time

import pytest

from harness.workload import Workload

ELECTION = 1.0  # raft.electionTimeout, the default
BEHIND = ["raft", "storage", "cacheq", "events"]  # clients have no connection to them


# ---- killed


def test_the_leaders_raft_killed_again_and_again_is_latency_to_all(three, record_property):
    with Workload(three) as work:
        for _ in range(4):
            leader, begun = three.wait_leader(), time.monotonic()
            leader.restart_worker("raft", signal.SIGKILL)
            work.wait_progress()
            record_property(
                "measured slowest request, leader's raft killed",
                f"{work.slowest(begun) * 1000:.0f} ms",
            )
    work.check_no_errors()
    work.check()


def test_a_leader_killed_with_all_it_has_is_latency_to_the_clients_of_others(
    three, record_property
):
    with Workload(three) as work:
        for _ in range(3):
            leader, begun = three.wait_leader(), time.monotonic()
            survivors = three.followers(leader)
            leader.kill()
            work.wait_progress(survivors)
            slowest = work.slowest(begun, survivors)
            record_property(
                "measured slowest request, leader's node killed", f"{slowest * 1000:.0f} ms"
            )
            leader.start()
            work.wait_progress()
            work.check_no_errors(survivors, begun)
    work.check()


def test_a_follower_killed_with_all_it_has_is_nothing_to_the_others(three):
    with Workload(three) as work:
        for turn in range(3):
            leader = three.wait_leader()
            follower = three.followers(leader)[turn % 2]
            others, begun = [node for node in three.nodes if node is not follower], time.monotonic()
            term = three.term(leader)
            follower.kill()
            work.wait_progress(others, each=20)
            assert three.term(leader) == term, "the others had an election"
            follower.start()
            work.wait_progress()
            work.check_no_errors(others, begun)
    work.check()


@pytest.mark.parametrize("role", ["leader", "follower"])
def test_workers_killed_one_after_the_other_are_latency_only(three, role):
    with Workload(three) as work:
        for worker in BEHIND:
            leader = three.wait_leader()
            node = leader if role == "leader" else three.followers(leader)[0]
            node.restart_worker(worker, signal.SIGKILL)
            work.wait_progress()
    work.check_no_errors()
    work.check()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=lambda one: one.name)
def test_gateways_killed_are_dropped_connections_to_their_own_clients(three, number):
    with Workload(three) as work:
        for node in three.nodes:
            begun = time.monotonic()
            node.restart_worker("gateway", number)
            work.wait_progress()
            work.check_no_errors([other for other in three.nodes if other is not node], begun)
    bad = [one for one in work.ended() if one.outcome != "ok" and one.error != "dropped"]
    assert not bad, [one.text() for one in bad[:5]]
    work.check()


def test_a_worker_that_cannot_stay_up_makes_its_leader_hand_over(three):
    """E.g. a storage process that ends at each start: somebody else leads within two elections."""
    with Workload(three) as work:
        leader = three.wait_leader()
        ended = time.monotonic() + 3 * ELECTION
        while time.monotonic() < ended:
            for process in leader.workers("storage"):
                process.signal(signal.SIGKILL)
            time.sleep(0.05)  # the pause is part of the scenario
        three.wait_leader(three.followers(leader), other_than=leader)
        work.wait_progress()
    work.check_no_errors(three.followers(leader))
    work.check()


def test_all_nodes_killed_at_once_lose_nothing(three):
    with Workload(three) as work:
        for _ in range(2):
            for node in three.nodes:
                node.process.send_signal(signal.SIGKILL)  # and with it its workers
            for node in three.nodes:
                node.kill_supervisor()
            three.start()
            work.wait_progress()
    work.check()


# ---- stopped, and going on as if nothing had been


@pytest.mark.parametrize("seconds", [0.5, 3.0])
def test_the_leaders_raft_stopped_for_a_while_is_latency(three, seconds):
    with Workload(three) as work:
        for _ in range(2):
            leader, begun = three.wait_leader(), time.monotonic()
            raft = leader.worker("raft")
            raft.signal(signal.SIGSTOP)
            time.sleep(seconds * ELECTION)  # the pause is part of the scenario
            raft.signal(signal.SIGCONT)
            work.wait_progress()
            work.check_no_errors(three.followers(leader), begun)
    work.check()


@pytest.mark.parametrize("seconds", [0.5, 3.0])
def test_a_leader_stopped_with_all_it_has_shows_nothing_stale_when_it_goes_on(three, seconds):
    """Its gateway wakes up within a read, with a lease that others could not know of any more."""
    with Workload(three) as work:
        for _ in range(3):
            leader, begun = three.wait_leader(), time.monotonic()
            handles = leader.all_processes()
            for process in handles:
                process.signal(signal.SIGSTOP)
            time.sleep(seconds * ELECTION)  # the pause is part of the scenario
            for process in handles:
                process.signal(signal.SIGCONT)
            work.wait_progress()
            work.check_no_errors(three.followers(leader), begun)
    work.check()


@pytest.mark.parametrize("worker", ["storage", "gateway"])
@pytest.mark.parametrize("role", ["leader", "follower"])
def test_a_stopped_worker_is_latency_to_the_clients_of_others(three, role, worker):
    with Workload(three) as work:
        leader, begun = three.wait_leader(), time.monotonic()
        node = leader if role == "leader" else three.followers(leader)[0]
        process = node.worker(worker)
        process.signal(signal.SIGSTOP)
        time.sleep(2 * ELECTION)  # the pause is part of the scenario
        process.signal(signal.SIGCONT)
        work.wait_progress()
    work.check_no_errors([other for other in three.nodes if other is not node], begun)
    work.check()
