"""Faults of all kinds at random, several at once, again and again (harness/nemesis.py).

`make nemesis MINUTES=30` goes on for that long; INSI_TEST_NEMESIS_SEED chooses the same faults once
more, though not the same moments."""

import os
import random
import time

import pytest

from harness.nemesis import Nemesis
from harness.network import Unavailable
from harness.workload import Workload

SECONDS = float(os.environ.get("INSI_TEST_NEMESIS_SECONDS", "20"))
SEED = os.environ.get("INSI_TEST_NEMESIS_SEED")
ROUND = 15.0  # seconds; then the history is judged and another begun
ALLOWED = ["event=rebuild_ordered", "event=node_removed"]


def settings(chance):
    """Snapshots all the time, now and then or never; reads by lease or by asking."""
    chosen = {
        "snapshotLogSize": chance.choice(["16KiB", "256KiB", "64MiB"]),
        "reads": chance.choice(["lease", "lease", "readindex"]),
    }
    print(chosen)
    return chosen


@pytest.mark.slow
@pytest.mark.parametrize("place", ["network", "proxies"])
def test_whatever_happens_nothing_is_lost_and_all_go_on(make_cluster, place):
    seed = int(SEED or random.SystemRandom().randrange(1 << 32))
    try:
        cluster = make_cluster(3, raft=settings(random.Random(seed)), **{place: True})
    except Unavailable as reason:
        pytest.skip(f"needs a network of its own (root): {reason}")
    cluster.allow(*ALLOWED)
    cluster.start()
    cluster.wait_leader()
    nemesis, ended = Nemesis(cluster, seed), time.monotonic() + SECONDS
    while time.monotonic() < ended:
        judged = min(time.monotonic() + ROUND, ended)
        with Workload(cluster) as work:
            while time.monotonic() < judged:
                nemesis.step(work)
        work.check()
