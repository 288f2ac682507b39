"""A disk that becomes full: writes are refused before it is, and taken again by themselves."""

import os
import signal
import subprocess

import pytest

from harness.client import expect
from harness.wait import until

DISK_MIB = 256
FILLER_MIB = 180
ROW = "v" * 500_000


class Disk:
    """A small file system at a folder, seen only in a mount namespace of its own."""

    def __init__(self, folder):
        os.makedirs(folder, exist_ok=True)
        script = f"mount -t tmpfs -o size={DISK_MIB}m,mode=700 tmpfs '{folder}' && echo up && exec sleep inf"
        self.holder = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "sh", "-c", script],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.works = self.holder.stdout.readline() == "up\n"
        self.enter = ["nsenter", f"--mount=/proc/{self.holder.pid}/ns/mnt"]
        self.filler = f"/proc/{self.holder.pid}/root{folder}/filler"

    def fill(self):
        with open(self.filler, "wb") as file:
            os.posix_fallocate(file.fileno(), 0, FILLER_MIB << 20)

    def empty(self):
        os.unlink(self.filler)

    def close(self):
        self.holder.kill()
        self.holder.communicate()


@pytest.fixture
def small(make_cluster):
    """(cluster, node, disk): a node, started, whose data lies on a small file system."""
    cluster = make_cluster()
    disk = Disk(cluster.settings.values["dataDir"])
    if not disk.works:
        reason = disk.holder.communicate()[1].strip()
        pytest.skip(f"needs a mount namespace of its own (root): {reason}")
    cluster.nodes[0].prefix = disk.enter
    cluster.start()
    yield cluster, cluster.nodes[0], disk
    cluster.nodes[0].clean_up()
    disk.close()


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
    disk.fill()
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
        disk.fill()
        until(lambda: client.bump("n", 1).status == 507, "writes are refused")
        before = expect(client.get("n"), 200).data
        for _ in range(20):
            expect(client.bump("n", 1), 507, "STORAGE_FULL")
        assert expect(client.get("n"), 200).data == before, "nothing was written"
        disk.empty()
        until(lambda: client.bump("n", 1).status == 200, "writes go on")
    client.close()
