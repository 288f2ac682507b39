"""Orderly stops and restarts under load: nobody's request fails, and nobody waits for an
election."""

import signal
import subprocess
import time

import pytest

from harness import binaries
from harness.workload import Workload

ELECTION = 1.0  # raft.electionTimeout, the default


def ctl(cluster, node, *arguments):
    run = subprocess.run(
        [*node.prefix, binaries.INSID, "ctl", *arguments]
        + ["--as", node.id, "--config", cluster.config_path],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr


def stop_by_signal(_, node):
    assert node.stop() == 0


def stop_by_ctl(cluster, node):
    ctl(cluster, node, "stop")
    assert node.wait_exit() == 0


@pytest.mark.parametrize("stop", [stop_by_signal, stop_by_ctl], ids=["signal", "ctl"])
def test_a_rolling_restart_of_all_nodes_fails_no_request(three, stop, record_property):
    with Workload(three, hopping=True) as work:
        leader = three.wait_leader()
        for node in [*three.followers(leader), leader]:
            begun = time.monotonic()
            stop(three, node)
            work.wait_progress()
            assert work.slowest(begun) < ELECTION, "they waited for an election"
            who = "the leader" if node is leader else "a follower"
            record_property(
                f"measured slowest request, planned stop of {who}",
                f"{work.slowest(begun) * 1000:.0f} ms",
            )
            node.start()
            three.wait_leader()
            work.wait_progress()
    work.check_only_crossings(most=6)
    work.check()


def test_a_rolling_restart_of_all_workers_is_latency(three):
    """Each worker of each node, one after the other, as an operator upgrades programs."""
    with Workload(three) as work:
        for node in three.nodes:
            for worker in ("storage", "cacheq", "events", "raft"):
                ctl(three, node, "restart", worker)
                work.wait_progress()
    work.check_no_errors()
    work.check()


def test_sigterm_to_the_leaders_raft_hands_over(three, record_property):
    with Workload(three) as work:
        for _ in range(3):
            leader, begun = three.wait_leader(), time.monotonic()
            leader.restart_worker("raft", signal.SIGTERM)
            work.wait_progress()
            survivors = three.followers(leader)
            record_property(
                "measured slowest request, SIGTERM to the leader's raft",
                f"{work.slowest(begun, survivors) * 1000:.0f} ms",
            )
            assert work.slowest(begun, survivors) < ELECTION, "they waited for an election"
    work.check_no_errors()
    work.check()


def test_transfers_under_load_are_unseen(three):
    with Workload(three) as work:
        for turn in range(6):
            leader, begun = three.wait_leader(), time.monotonic()
            target = three.followers(leader)[turn % 2]
            client = three.nodes[turn % 3].root()
            assert client.transfer(target.id).status == 200
            client.close()
            assert three.wait_leader() is target
            work.wait_progress()
            assert work.slowest(begun) < ELECTION
    work.check_no_errors()
    work.check()
