"""Runs insic with nothing from the environment that could change what it does."""

import os
import signal
import subprocess
import threading
from dataclasses import dataclass

from harness.wait import until

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


class Running:
    """insic that goes on until it is ended. A context manager."""

    def __init__(self, arguments, **how):
        how.setdefault("stdout", subprocess.PIPE)
        self.process = subprocess.Popen(
            [INSIC, *arguments], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, **how
        )
        self.out, self.err = bytearray(), bytearray()
        pipes = [(self.process.stdout, self.out), (self.process.stderr, self.err)]
        self.readers = [
            threading.Thread(target=self._read, args=pipe, daemon=True) for pipe in pipes if pipe[0]
        ]
        for reader in self.readers:
            reader.start()

    @staticmethod
    def _read(pipe, into):
        while part := os.read(pipe.fileno(), 65536):
            into += part

    @property
    def lines(self):
        return self.out.decode().splitlines()

    def wait_lines(self, count, timeout=10.0):
        """Once it has printed so many."""
        until(lambda: self.out.count(b"\n") >= count, f"{count} lines: {self.out}", timeout)
        return self.lines

    def wait_error(self, text, timeout=10.0):
        until(lambda: text in self.err.decode(), f"{text}: {self.err}", timeout)

    def end(self, number=None, timeout=10.0):
        """What came of it, perhaps after a signal."""
        if number is not None:
            self.process.send_signal(number)
        status = self.process.wait(timeout)
        for reader in self.readers:
            reader.join(timeout)
        return Run(status, bytes(self.out), bytes(self.err))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.end(signal.SIGKILL)
        for pipe in (self.process.stdout, self.process.stderr):
            if pipe:
                pipe.close()


class Tool:
    """insic in a folder of its own."""

    def __init__(self, folder):
        self.folder = folder

    @staticmethod
    def _environment(more=None):
        environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("INSI_") and not name.lower().endswith("_proxy")
        }
        return environment | (more or {})

    def __call__(self, *arguments, env=None, stdin=None, **how):
        run = subprocess.run(
            [INSIC, *arguments],
            cwd=self.folder,
            env=self._environment(env),
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            stdout=how.pop("stdout", subprocess.PIPE),
            stderr=subprocess.PIPE,
            timeout=60,
            check=False,
            **how,
        )
        return Run(run.returncode, run.stdout, run.stderr)

    def start(self, *arguments, **how):
        """In the background."""
        return Running(arguments, cwd=self.folder, env=self._environment(), **how)

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
