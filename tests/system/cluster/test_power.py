"""Machines whose power is cut: their disks forget what was not synced, and all memory is gone."""

import os
import random
import shutil
import time

import pytest

from harness.disk import Disk, Unavailable
from harness.workload import Workload

DISK_MIB = 1024


class Machine:
    """A node whose data lies on an ext4 of its own."""

    def __init__(self, cluster, node):
        self.node = node
        self.image = cluster.scratch.file(f"{node.id}.disk")
        self.boots = 0
        self.disk = Disk(node.data)
        node.prefix = self.disk.enter

    def format(self):
        self.disk.ext4(self.image, DISK_MIB)

    def cut(self):
        self.disk.cut_power()

    def boot(self):
        """After cut(): whatever still runs ends, memory is empty, the disk as it was left."""
        self.node.kill()
        for line in self.node.log.find("map_opened"):
            if line.fields["folder"].startswith("/dev/shm/"):
                shutil.rmtree(os.path.dirname(line.fields["folder"]), ignore_errors=True)
        self.disk.unmount()
        self.disk.mount(self.image)
        self.start()

    def start(self):
        self.boots += 1
        boot = f"{self.boots:08d}-0000-0000-0000-{self.node.http_port:012d}"
        self.node.start(wait=False, environment={"INSI_TEST_BOOT_ID": boot})


@pytest.fixture
def machines(make_cluster, request):
    """(cluster, its three machines), started."""
    cluster = make_cluster(3)
    # A raft whose disk fails says so and ends; what ends again and again is given up meanwhile.
    cluster.allow("process=raft ", "event=map_failed", "event=child_gave_up")
    made = []
    try:
        for node in cluster.nodes:
            made.append(Machine(cluster, node))
            request.addfinalizer(made[-1].disk.close)
            made[-1].format()
            request.addfinalizer(node.clean_up)
    except Unavailable as reason:
        pytest.skip(f"needs mounts of its own (root): {reason}")
    for machine in made:
        machine.start()
    cluster.wait_leader()
    return cluster, made


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 2, 3])
def test_power_cuts_lose_nothing_that_was_acknowledged(machines, count):
    cluster, all_machines = machines
    seed = random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    with Workload(cluster) as work:
        for _ in range(3):
            cut, begun = chance.sample(all_machines, count), time.monotonic()
            for machine in cut:
                machine.cut()
            time.sleep(chance.choice([0, 0.05, 1.5]))
            for machine in cut:
                machine.boot()
            for machine in cut:
                machine.node.wait_ready()
            work.wait_progress()
            if count == 1:
                well = [machine.node for machine in all_machines if machine not in cut]
                work.check_no_errors(well, begun)
    work.check()
