"""A configuration file with N nodes, each run by an insid of its own; N is 1 for most tests."""

import os

from .node import Node
from .ports import Ports
from .scratch import Scratch
from .settings import Settings


class Cluster:
    """Owns scratch folders, ports and nodes. finish() checks what holds for every test: nodes stop
    in order, leave nothing on tmpfs, and log no error or secret that the test does not allow."""

    def __init__(self, count=1, **options):
        self.scratch = Scratch()
        self.ports = Ports()
        self.settings = Settings(self.scratch, self.ports, count, **options)
        self.config_path = self.scratch.file("cluster.yaml")
        self.settings.write(self.config_path)
        self.nodes = [
            Node(node_id, self.config_path, self.settings, self.scratch.path)
            for node_id in self.settings.node_ids()
        ]
        self.allowed = []
        self.secrets = self.settings.secrets()
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
        if failed or problems:
            self.kept = self.scratch.keep(name)
        elif os.environ.get("INSI_TEST_KEEP_ALL"):
            self.kept = self.scratch.keep(name)
        else:
            self.scratch.remove()
        return problems
