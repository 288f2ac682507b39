"""cluster.yaml for tests."""

import base64
import hashlib
import os

import yaml


class Settings:
    """A configuration of nodes node0, node1, ... with random secrets. options: anything of the
    file, sections as dictionaries: Settings(scratch, ports, 3, limits={"maxBody": "1MiB"})."""

    def __init__(self, scratch, ports, count=1, **options):
        self.values = {
            "instanceSecret": "instance-" + os.urandom(16).hex(),
            "rootPrefix": "prefix-" + os.urandom(16).hex(),
            "defaultLeader": "node0",
            "dataDir": scratch.file("data"),
            "shmDir": scratch.tmpfs,
            "nodes": {},
        }
        for number in range(count):
            self.values["nodes"][f"node{number}"] = {
                "raftBinding": f"127.0.0.1:{ports.take()}",
                "httpBinding": f"127.0.0.1:{ports.take()}",
                "clientDomain": "localhost",
                "nodeSecret": "node-" + os.urandom(16).hex(),
            }
        self.values.update(options)

    def node_ids(self):
        return list(self.values["nodes"])

    def http_port(self, node_id):
        return int(self.values["nodes"][node_id]["httpBinding"].rsplit(":", 1)[1])

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
