"""Runs insic with nothing from the environment that could change what it does."""

import os
import subprocess
from dataclasses import dataclass

BUILD = os.environ.get("INSI_BUILD") or os.path.abspath(
    os.path.join(os.path.dirname(__file__), "..", "..", "build")
)
INSIC = os.path.join(BUILD, "insic")
KEY = "insi_" + "k" * 43


@dataclass
class Run:
    status: int
    out: bytes
    err: bytes

    @property
    def text(self):
        return self.out.decode()

    @property
    def error(self):
        return self.err.decode()


class Tool:
    """insic in a folder of its own."""

    def __init__(self, folder):
        self.folder = folder

    def __call__(self, *arguments, env=None, stdin=None, **how):
        environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("INSI_") and not name.lower().endswith("_proxy")
        }
        environment.update(env or {})
        run = subprocess.run(
            [INSIC, *arguments],
            cwd=self.folder,
            env=environment,
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            stdout=how.pop("stdout", subprocess.PIPE),
            stderr=subprocess.PIPE,
            timeout=60,
            check=False,
            **how,
        )
        return Run(run.returncode, run.stdout, run.stderr)

    def at(self, server, *arguments, **how):
        """With an endpoint and a key."""
        return self("--endpoint", server.url, "--key", KEY, *arguments, **how)

    def write(self, name, content):
        path = os.path.join(self.folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(content if isinstance(content, bytes) else content.encode())
        return path

    def configure(self, *bindings, name="cluster.yaml", more="", leader="node0", domains=()):
        """A configuration whose nodes node0, node1, ... have these httpBindings."""
        lines = [
            'instanceSecret: "a secret"',
            "rootPrefix: root",
            f"defaultLeader: {leader}",
            "dataDir: ./insi-data",
            "nodes:",
        ]
        for number, binding in enumerate(bindings):
            domain = domains[number] if number < len(domains) else ""
            lines += [
                f"  node{number}:",
                f"    raftBinding: 127.0.0.1:{2 + number}",
                f'    httpBinding: "{binding}"',
                f'    clientDomain: "{domain}"',
                f"    nodeSecret: secret{number}",
            ]
        return self.write(name, "\n".join(lines) + "\n" + more)
