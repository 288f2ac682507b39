"""One node's disk becomes full: nothing is lost, nobody stops, and it goes on when there is
room."""

import os
import time

import pytest

from harness.disk import Disk, Unavailable
from harness.wait import until
from harness.workload import Workload

DISK_MIB = 256
FILLER_MIB = 180
FULL = 3.0  # seconds


@pytest.fixture
def small(make_cluster, request):
    """(cluster, disk of node1): three nodes, started, of which node1 has a small disk."""
    cluster = make_cluster(3)
    node = cluster.nodes[1]
    try:
        disk = Disk(node.data)
        request.addfinalizer(disk.close)
        disk.tmpfs(DISK_MIB)
    except Unavailable as reason:
        pytest.skip(f"needs mounts of its own (root): {reason}")
    node.prefix = disk.enter
    request.addfinalizer(node.clean_up)
    cluster.start()
    cluster.wait_leader()
    return cluster, disk


def fill(disk):
    with open(disk.path("filler"), "wb") as file:
        os.posix_fallocate(file.fileno(), 0, FILLER_MIB << 20)


@pytest.mark.parametrize("role", ["leader", "follower"])
def test_a_full_disk_refuses_writes_at_most_and_takes_them_again(small, role):
    cluster, disk = small
    full, other = cluster.nodes[1], cluster.nodes[2]
    client = other.root()
    target = full if role == "leader" else other
    if cluster.wait_leader() is not target:
        until(lambda: client.transfer(target.id).status == 200, f"{target.id} leads", 10, 0.2)
    pids = [process.pid for process in full.all_processes()]
    with Workload(cluster) as work:
        begun = time.monotonic()
        fill(disk)
        time.sleep(FULL)  # the pause is part of the scenario
        assert client.get("k").status == 404, "reads go on"
        os.unlink(disk.path("filler"))
        until(lambda: client.set("k", "v").status == 200, "writes go on", 20, 0.05)
        work.wait_progress()
    bad = [one for one in work.ended(begun) if one.outcome != "ok" and one.error != "STORAGE_FULL"]
    assert not bad, [one.text() for one in bad[:5]]
    assert [process.pid for process in full.all_processes()] == pids
    client.close()
    work.check()


def test_a_full_disk_of_a_node_that_is_gone_refuses_nothing(small):
    cluster, disk = small
    full, other = cluster.nodes[1], cluster.nodes[2]
    client = other.root()
    if cluster.wait_leader() is full:
        until(lambda: client.transfer(other.id).status == 200, f"{other.id} leads", 10, 0.2)
    fill(disk)
    until(lambda: client.set("k", "1").status == 507, "writes are refused", 10, 0.05)
    full.kill()
    until(lambda: client.set("k", "2").status == 200, "the others go on without it", 10, 0.05)
    os.unlink(disk.path("filler"))
    full.start()
    client.close()
    cluster.wait_equal()
