"""Free TCP ports for tests that run side by side.

Ports come from below the kernel's ephemeral range, so no outgoing connection takes one, and each is
held by a lock file for as long as the test process needs it."""

import fcntl
import os
import random
import socket
import tempfile

LOW, HIGH = 12000, 32000


def _lock_folder():
    folder = os.path.join(tempfile.gettempdir(), f"insi-ports-{os.getuid()}")
    os.makedirs(folder, exist_ok=True)
    return folder


def _is_free(port):
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


class Ports:
    """Ports of one test; release gives them back."""

    def __init__(self):
        self.locks = []
        self.random = random.Random(os.urandom(8))

    def take(self):
        for _ in range(1000):
            port = self.random.randrange(LOW, HIGH)
            lock = os.open(os.path.join(_lock_folder(), str(port)), os.O_RDWR | os.O_CREAT, 0o600)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                os.close(lock)
                continue
            if _is_free(port):
                self.locks.append(lock)
                return port
            os.close(lock)
        raise RuntimeError("no free port")

    def release(self):
        for lock in self.locks:
            os.close(lock)
        self.locks = []
