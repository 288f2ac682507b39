"""A configuration file with N nodes, each run by an insid of its own; N is 1 for most tests."""

import os

from .client import Dropped
from .network import Network, address
from .node import Node
from .ports import Ports
from .proxy import Proxies
from .scratch import Scratch
from .settings import RAFT_PORT, Settings
from .wait import until


class Cluster:
    """Owns scratch folders, ports and nodes. finish() checks what holds for every test: nodes stop
    in order, leave nothing on tmpfs, and log no error or secret that the test does not allow.
    network: gives the nodes a network of their own (network.py); proxies: and one proxy for each
    link between them (proxy.py). Both need root: network.Unavailable."""

    def __init__(self, count=1, network=False, proxies=False, **options):
        self.network = Network(count) if network or proxies else None
        self.proxies = Proxies(self.network, RAFT_PORT) if proxies else None
        hosts = [address(number) for number in range(count)] if self.network else None
        self.scratch = Scratch()
        self.ports = Ports()
        self.settings = Settings(self.scratch, self.ports, count, hosts, **options)
        self.config_path = self.scratch.file("cluster.yaml")
        self.settings.write(self.config_path)
        self.nodes = [
            Node(node_id, self.config_path, self.settings, self.scratch.path)
            for node_id in self.settings.node_ids()
        ]
        if self.network:
            for number, node in enumerate(self.nodes):
                node.prefix = self.network.enter(number)
                node.connect = self.network.connect
        self.allowed = []
        self.secrets = self.settings.secrets()
        self.records = {}  # {file name: history} for the folder of a failure
        self.kept = None

    def start(self, **how):
        for node in self.nodes:
            node.start(wait=False, **how)
        for node in self.nodes:
            node.wait_ready()
        return self

    def allow(self, *patterns):
        """Error lines that this test provokes, as regular expressions."""
        self.allowed.extend(patterns)

    def create_key(self, name, node=0):
        """A fresh API key. Remembered, so that finish() can look for it in the logs."""
        client = self.nodes[node].root()
        answer = client.create_key(name)
        client.close()
        assert answer.status == 200, answer
        token = answer.json["key"]
        self.secrets.append(token)
        return token

    def tenant(self, name, node=0):
        """A client with an API key of its own, and so with an empty key space."""
        return self.nodes[node].client(self.create_key(name, node))

    def rewrite(self, **options):
        """Changes the configuration file (a running node reads it on SIGHUP)."""
        self.settings.values.update(options)
        self.settings.write(self.config_path)

    # ---- who leads, and what all have

    @staticmethod
    def ask(node, path, timeout=5):
        """The answer of one node as JSON; None when there is none."""
        client = node.root(timeout)
        try:
            answer = client.get_path(path)
            return answer.json if answer.status == 200 else None
        except Dropped:
            return None
        finally:
            client.close()

    def status(self, node):
        """/admin/cluster as this node answers it; None while it does not."""
        return self.ask(node, "/admin/cluster")

    def term(self, node):
        """The term that this node is in. As long as it stays, nobody has stood for election."""
        return until(lambda: self.status(node), f"{node.id} knows the cluster", 10, 0.05)["term"]

    def node(self, node_id):
        return next(node for node in self.nodes if node.id == node_id)

    def number(self, node):
        return self.nodes.index(node)

    def wait_leader(self, nodes=None, other_than=None, timeout=30.0):
        """The node that all of these (all) name as their leader."""
        asked = nodes or self.nodes

        def agreed():
            names = {(self.ask(node, "/ping") or {}).get("leader") for node in asked}
            name = names.pop() if len(names) == 1 else None
            return self.node(name) if name and name != (other_than and other_than.id) else None

        return until(agreed, f"{[node.id for node in asked]} agree on a leader", timeout, 0.05)

    def wait_voters(self, names=None, node=None, timeout=30.0):
        """Until these (all) are the voters, as a node (the first) knows them."""
        wanted, found = set(names or self.settings.node_ids()), [None]

        def agreed():
            status = self.status(node or self.nodes[0])
            found[0] = {one["id"]: one["role"] for one in status["members"]} if status else None
            return found[0] == dict.fromkeys(wanted, "voter")

        try:
            until(agreed, f"{sorted(wanted)} are the voters", timeout, 0.05)
        except AssertionError as error:
            raise AssertionError(f"{error}: {found[0]}") from None

    def followers(self, leader):
        return [node for node in self.nodes if node is not leader]

    def wait_equal(self, nodes=None, timeout=30.0):
        """Until these nodes (all) have applied the same index, and their state hashes are equal
        there. Nobody may write meanwhile."""
        asked = nodes or self.nodes
        last = [None]

        def caught_up():
            answers = last[0] = [self.status(node) for node in asked]
            if None in answers:
                return None
            applied = {
                worker["applied_index"]
                for answer in answers
                for worker in answer["node"]["workers"].values()
            }
            return answers if len(applied) == 1 else None

        try:
            answers = until(caught_up, "all nodes applied the same index", timeout, 0.05)
        except AssertionError as error:
            shown = [answer and answer["node"] for answer in last[0]]
            raise AssertionError(f"{error}: {shown}") from None
        workers = [answer["node"]["workers"] for answer in answers]
        for name, worker in workers[0].items():
            assert worker["state_hash"], workers
            hashes = {other[name]["state_hash"] for other in workers}
            assert len(hashes) == 1, f"the nodes differ: {workers}"

    # ---- the end

    def log_problems(self, since=None):
        """What stands in the logs (from the positions in since) and may not."""
        found = []
        for node in self.nodes:
            position = (since or {}).get(node.id, 0)
            found += node.log.problems(self.allowed, position)
            found += ["a secret in the log"] * len(node.log.secrets(self.secrets, position))
        return found

    def log_positions(self):
        return {node.id: node.log.size() for node in self.nodes}

    def finish(self, failed=False, name="test"):
        """The problems found; afterwards nothing of the cluster is left, but for the folder of a
        failure (in self.kept)."""
        problems = []
        for node in self.nodes:
            if node.process and not node.clean_up():
                problems.append(f"{node.id} did not stop in order: {node.process.returncode}")
        stopped = [node for node in self.nodes if node.process and node.process.returncode == 0]
        if len(stopped) == len(self.nodes):
            problems += [f"left behind: {path}" for path in self.nodes[0].shm_leftovers()]
        problems += self.log_problems()
        self.ports.release()
        for helper in (self.proxies, self.network):
            if helper:
                helper.close()
        if failed or problems:
            for file, history in self.records.items():
                history.write(self.scratch.file(file))
            self.kept = self.scratch.keep(name)
        elif os.environ.get("INSI_TEST_KEEP_ALL"):
            self.kept = self.scratch.keep(name)
        else:
            self.scratch.remove()
        return problems
