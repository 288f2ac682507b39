"""cluster.yaml for tests."""

import base64
import hashlib
import os

import yaml

RAFT_PORT, HTTP_PORT = 7000, 8000  # in a network of their own


class Settings:
    """A configuration of nodes node0, node1, ... with random secrets. options: anything of the
    file, sections as dictionaries: Settings(scratch, ports, 3, limits={"maxBody": "1MiB"}).
    hosts: addresses of the nodes, when they have a network of their own."""

    def __init__(self, scratch, ports, count=1, hosts=None, **options):
        self.values = {
            "instanceSecret": "instance-" + os.urandom(16).hex(),
            "rootPrefix": "prefix-" + os.urandom(16).hex(),
            "defaultLeader": "node0",
            "dataDir": scratch.file("data"),
            "shmDir": scratch.tmpfs,
            "nodes": {},
        }
        for number in range(count):
            bindings = [f"127.0.0.1:{ports.take()}" for _ in range(2)]
            if hosts:
                bindings = [f"{hosts[number]}:{RAFT_PORT}", f"{hosts[number]}:{HTTP_PORT}"]
            self.values["nodes"][f"node{number}"] = {
                "raftBinding": bindings[0],
                "httpBinding": bindings[1],
                "clientDomain": "localhost",
                "nodeSecret": "node-" + os.urandom(16).hex(),
            }
        self.values.update(options)

    def node_ids(self):
        return list(self.values["nodes"])

    def http_address(self, node_id):
        """(host, port)"""
        host, port = self.values["nodes"][node_id]["httpBinding"].rsplit(":", 1)
        return host, int(port)

    def root_token(self):
        digest = hashlib.sha256(self.values["instanceSecret"].encode()).hexdigest()
        return base64.b64encode(digest.encode()).decode()

    def secrets(self):
        """What must never appear in a log."""
        nodes = [node["nodeSecret"] for node in self.values["nodes"].values()]
        return [self.values["instanceSecret"], self.root_token()] + nodes

    def write(self, path):
        with open(
            os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8"
        ) as file:
            yaml.safe_dump(self.values, file, sort_keys=False)
