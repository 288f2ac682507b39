"""Disks that become full, and power that is cut."""

import os
import random
import shutil
import signal
import time

import pytest

from harness.client import expect
from harness.disk import Disk, Unavailable
from harness.wait import until
from harness.writers import Writers

DISK_MIB = 256
FILLER_MIB = 180
ROW = "v" * 500_000


@pytest.fixture
def disk_of(request):
    """Makes the disk of a cluster's only node."""

    def make(cluster, prepare):
        try:
            disk = Disk(cluster.settings.values["dataDir"])
            request.addfinalizer(disk.close)
            prepare(disk)
        except Unavailable as reason:
            pytest.skip(f"needs mounts of its own (root): {reason}")
        node = cluster.nodes[0]
        node.prefix = disk.enter
        request.addfinalizer(node.clean_up)
        return disk

    return make


# ---- full


@pytest.fixture
def small(make_cluster, disk_of):
    """(cluster, node, disk): a node, started, whose data lies on a small file system."""
    cluster = make_cluster()
    disk = disk_of(cluster, lambda disk: disk.tmpfs(DISK_MIB))
    cluster.start()
    return cluster, cluster.nodes[0], disk


def fill(disk):
    with open(disk.path("filler"), "wb") as file:
        os.posix_fallocate(file.fileno(), 0, FILLER_MIB << 20)


def test_writes_are_refused_before_the_disk_is_full_and_reads_go_on(small):
    cluster, node, disk = small
    client = cluster.tenant("tenant")
    pids = [process.pid for process in node.all_processes()]
    count = 0
    while (answer := client.set(f"k{count:05d}", ROW)).status == 200:
        count += 1
        assert count < 2 * DISK_MIB, "it never becomes full"
    expect(answer, 507, "STORAGE_FULL")
    assert count > 20
    expect(client.get(f"k{count:05d}"), 404)
    for n in range(count):
        assert expect(client.get(f"k{n:05d}"), 200).data == ROW
    expect(client.call("GET", "/readyz"), 200)
    assert [process.pid for process in node.all_processes()] == pids
    client.close()


def test_a_node_with_a_full_disk_can_be_restarted(small):
    cluster, node, disk = small
    client = cluster.tenant("tenant")
    expect(client.set("k", "v"), 200)
    fill(disk)
    until(lambda: client.set("more", ROW).status == 507, "writes are refused")
    for worker in ("storage", "raft", "gateway"):
        client.close()
        node.restart_worker(worker, signal.SIGKILL)
        node.wait_ready()
        assert expect(client.get("k"), 200).data == "v"
    client.close()
    node.kill()
    node.start()
    assert expect(client.get("k"), 200).data == "v"
    expect(client.set("more", ROW), 507, "STORAGE_FULL")
    client.close()


def test_writes_are_taken_again_when_there_is_room(small):
    cluster, _, disk = small
    client = cluster.tenant("tenant")
    expect(client.bump("n", 1), 200)
    for _ in range(3):
        fill(disk)
        until(lambda: client.bump("n", 1).status == 507, "writes are refused")
        before = expect(client.get("n"), 200).data
        for _ in range(20):
            expect(client.bump("n", 1), 507, "STORAGE_FULL")
        assert expect(client.get("n"), 200).data == before, "nothing was written"
        os.unlink(disk.path("filler"))
        until(lambda: client.bump("n", 1).status == 200, "writes go on")
    client.close()


# ---- a volume that promises more than its pool has


@pytest.mark.parametrize("how", ["stopped", "killed", "running"])
def test_a_page_that_the_disk_did_not_take_is_never_read_back(make_cluster, disk_of, how):
    """The log's files are there in advance and go on; the map's new pages find no room, which the
    kernel tells nobody who does not ask. Later the page cache has forgotten them."""
    cluster = make_cluster()
    cluster.allow("event=worker_failed call=(writeback|sync)", "process=raft ")
    cluster.allow("process=storage event=map_(discard_|mark_)?failed")
    node, data = cluster.nodes[0], cluster.settings.values["dataDir"]
    pool = cluster.scratch.file("pool")
    image = os.path.join(pool, "image")
    os.makedirs(pool)

    def prepare(disk):
        disk.run("mount", "-t", "tmpfs", "-o", "size=160m", "tmpfs", pool)
        disk.run("truncate", "-s", "1G", image)
        disk.run("mkfs.ext4", "-q", "-O", "^has_journal", "-E", "nodiscard", image)
        disk.mount(image)

    disk = disk_of(cluster, prepare)
    cluster.start()
    client = cluster.tenant("tenant")
    row = "v" * 100_000

    def write(count, tag):
        for n in range(count):
            expect(client.set(f"k{n:02d}", row + f"{tag} {n}"), 200)

    def check():
        client.close()
        for n in range(40):
            tag = "new" if n < 20 else "old"
            found = expect(client.get(f"k{n:02d}"), 200).data
            assert found == row + f"{tag} {n}", f"k{n:02d} is {found[:20]!r}...{found[-20:]!r}"

    write(40, "old")
    disk.run("sync", "-f", data)
    disk.run("sh", "-c", f"cat /dev/zero >{pool}/filler; true")
    write(20, "new")
    position = node.log.size()
    disk.run("sh", "-c", f"sync -f {data}; true")
    disk.run("rm", f"{pool}/filler")
    if how == "stopped":
        node.stop()
    elif how == "killed":
        node.kill()
    else:
        expect(client.set("another", "write"), 200)
        node.wait_worker_ready("storage", position)
    if how == "stopped":
        disk.unmount()
        disk.mount(image)
    if how != "running":
        node.start()
    check()
    client.close()
    assert node.stop() == 0
    disk.unmount()
    disk.mount(image)
    node.start()
    check()
    client.close()
    assert node.stop() == 0
    disk.unmount()


# ---- cut off


@pytest.mark.slow
def test_what_was_acknowledged_survives_power_cuts(make_cluster, disk_of):
    """A real file system that forgets what was not synced; memory is lost; another boot."""
    seed = random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    cluster = make_cluster()
    cluster.allow("process=raft ", "event=map_failed", "event=child_gave_up")
    cluster.allow("event=worker_failed call=(writeback|sync)")
    image, node = cluster.scratch.file("disk"), cluster.nodes[0]
    disk = disk_of(cluster, lambda disk: disk.ext4(image, 1024))
    node.start(environment=boot(0))
    client = cluster.tenant("tenant")
    with Writers(node.http_port, client.token, patience=60) as writers:
        for number in range(1, 7):
            time.sleep(chance.random() * 0.4)  # the pause is part of the scenario
            disk.cut_power()
            time.sleep(chance.choice([0, 0.05]))
            node.kill()
            for name in os.listdir(cluster.scratch.tmpfs):
                shutil.rmtree(os.path.join(cluster.scratch.tmpfs, name))
            disk.unmount()
            disk.mount(image)
            node.start(environment=boot(number))
            writers.wait_progress()
    print(writers.summary())
    writers.check_only_drops()
    client.close()
    writers.check(client)
    client.close()


def boot(number):
    return {"INSI_TEST_BOOT_ID": f"{number:08d}-0000-0000-0000-000000000000"}
