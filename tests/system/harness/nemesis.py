"""Faults at random, several at once, for clusters of three. Each step begins some faults, lets them
work, ends them, and waits until all clients get on; what happens is printed as it happens.

A fault is a method that begins it and returns what ends it. Faults of processes take a node that no
other one has at that time; a disk is lost only while all others are well."""

import os
import random
import shutil
import signal
import time

from .binaries import WORKERS
from .wait import until

STEP_SECONDS = 3.0  # that the faults of a step work, at most
MOST = 3  # faults at once


class Nemesis:
    def __init__(self, cluster, seed):
        self.cluster = cluster
        self.chance = random.Random(seed)
        self.taken = set()
        print(f"nemesis seed {seed}")

    def tell(self, text):
        print(f"{time.monotonic():.3f} {text}")

    # ---- steps

    def step(self, work):
        """One step. work: the workload, whose clients must all get on afterwards."""
        if self.chance.random() < 0.1:
            alone = self.chance.choice([self.wiped_node, self.removed_node])
            self.tell(alone.__name__)
            alone()
        else:
            self.together()
        self.tell("all is well again")
        took = work.wait_progress(each=2)
        self.tell(f"clients got on after {took:.1f} s")

    def together(self):
        self.taken = set()
        ends = []
        for _ in range(self.chance.choice([1, 1, 1, 2, 2, MOST])):
            fault = self.chance.choice(self.faults())
            self.tell(fault.__name__)
            end = fault()
            if end:
                ends.append(end)
            time.sleep(self.chance.random() * 0.5)
        time.sleep(self.chance.random() * STEP_SECONDS)
        self.chance.shuffle(ends)
        for end in ends:
            end()
        for node in self.cluster.nodes:
            node.wait_ready()

    def faults(self):
        found = [self.killed_worker, self.killed_node, self.killed_supervisor, self.planned_stop]
        found += [self.stopped_worker, self.stopped_node, self.restarted_worker, self.transfer]
        if self.cluster.proxies:
            found += [self.late_links, self.standing_links, self.broken_links, self.slow_links]
            found += [self.damaged_links]
        elif self.cluster.network:
            found += [self.isolated_node, self.one_way, self.cut_cable, self.all_alone]
            found += [self.lossy_network, self.reset_connections]
        return found

    def node(self):
        """A running node that no other fault has; the leader in half of the cases. None: no
        more."""
        free = [node for node in self.cluster.nodes if node.id not in self.taken]
        if not free:
            return None
        node = self.chance.choice(free)
        if self.chance.random() < 0.5:
            name = (self.cluster.ask(free[0], "/ping", timeout=1) or {}).get("leader")
            node = next((one for one in free if one.id == name), node)
        self.taken.add(node.id)
        self.tell(f"  at {node.id}")
        return node

    # ---- processes

    def killed_worker(self, number=signal.SIGKILL):
        node = self.node()
        worker = self.chance.choice(WORKERS)
        if node:
            self.tell(f"  {worker}")
            for process in node.workers(worker):
                process.signal(number)

    def restarted_worker(self):
        self.killed_worker(signal.SIGTERM)

    def stopped_worker(self):
        node = self.node()
        worker = self.chance.choice(WORKERS)
        if not node:
            return None
        self.tell(f"  {worker}")
        stopped = node.workers(worker)
        for process in stopped:
            process.signal(signal.SIGSTOP)
        return lambda: [process.signal(signal.SIGCONT) for process in stopped]

    def stopped_node(self):
        node = self.node()
        if not node:
            return None
        stopped = node.all_processes()  # the supervisor first: it would miss their signs of life
        for process in stopped:
            process.signal(signal.SIGSTOP)
        return lambda: [process.signal(signal.SIGCONT) for process in stopped]

    def killed_node(self):
        node = self.node()
        if not node:
            return None
        node.kill(workers_first=self.chance.random() < 0.5)
        return lambda: node.start(wait=False)

    def killed_supervisor(self):
        node = self.node()
        if not node:
            return None
        node.kill_supervisor()
        return lambda: node.start(wait=False)

    def planned_stop(self):
        node = self.node()
        if not node:
            return None
        assert node.stop() == 0
        return lambda: node.start(wait=False)

    # ---- members

    def transfer(self):
        client = self.chance.choice(self.cluster.nodes).root(timeout=2)
        try:
            client.transfer(self.chance.choice(self.cluster.nodes).id)
        except Exception as error:  # a node may be down; that is not what is tested here
            self.tell(f"  {error!r}")
        finally:
            client.close()

    def _victim(self):
        leader = self.cluster.wait_leader()
        node = self.chance.choice(self.cluster.nodes)
        self.tell(f"  {node.id}, {leader.id} leads")
        self.cluster.wait_voters()
        return node

    def wiped_node(self):
        node = self._victim()
        node.kill()
        wipe(node)
        node.start()
        self.cluster.wait_voters()

    def removed_node(self):
        node = self._victim()
        other = next(one for one in self.cluster.nodes if one is not node)
        client = other.root()
        until(lambda: client.remove(node.id).status in (200, 404), "it is removed", 20, 0.3)
        address = self.cluster.settings.values["nodes"][node.id]["raftBinding"]
        until(lambda: client.join(node.id, address).status in (200, 409), "it joins", 30, 0.3)
        client.close()
        self.cluster.wait_voters()

    # ---- the network

    def isolated_node(self):
        self.cluster.network.isolate(self.chance.randrange(3))
        return self.cluster.network.heal

    def one_way(self):
        self.cluster.network.cut(*self.chance.sample(range(3), 2))
        return self.cluster.network.heal

    def cut_cable(self):
        ends = self.chance.sample(range(3), 2)
        self.cluster.network.cut(*ends)
        self.cluster.network.cut(*ends[::-1])
        return self.cluster.network.heal

    def all_alone(self):
        self.cluster.network.part([0], [1], [2])
        return self.cluster.network.heal

    def lossy_network(self):
        self.cluster.network.lose(self.chance.choice([1, 5, 20]))
        return self.cluster.network.heal

    def reset_connections(self):
        self.cluster.network.reset()
        time.sleep(0.05)
        self.cluster.network.heal()

    # ---- links

    def _links(self):
        links = self.cluster.proxies.links()
        return self.chance.sample(links, self.chance.randrange(1, len(links) + 1))

    def _set(self, **settings):
        links = self._links()
        self.tell(f"  {links} {settings}")
        self.cluster.proxies.set(links, **settings)
        return self.cluster.proxies.clear

    def late_links(self):
        return self._set(delay=self.chance.choice([0.01, 0.1, 1]), jitter=self.chance.random() / 5)

    def standing_links(self):
        return self._set(stall=True)

    def broken_links(self):
        return self._set(cut=True)

    def slow_links(self):
        return self._set(rate=self.chance.choice([1000, 10_000, 100_000]))

    def damaged_links(self):
        return self._set(flip=self.chance.choice([1, 10, 100]))


def wipe(node):
    """The disk of a node that does not run is lost."""
    for name in os.listdir(node.data):
        path = os.path.join(node.data, name)
        if os.path.isdir(path):
            shutil.rmtree(path)
        else:
            os.unlink(path)
