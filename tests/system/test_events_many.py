"""Ten thousand subscribers at one node."""

import json
import resource
import select
import socket
import time

import pytest

from harness.client import expect
from harness.processes import private_kib
from harness.websocket import handshake

COUNT = 10_000
SPARE = 300  # descriptors for everything else


def may_open(count):
    """Raises our limit of descriptors, which the node inherits; skips where that is not allowed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < count:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (count, count))
        except (ValueError, OSError):
            pytest.skip(f"needs {count} descriptors, the hard limit is {hard} (ulimit -Hn)")
    elif soft != resource.RLIM_INFINITY and soft < count:
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))


class Crowd:
    """Sockets that are read together."""

    def __init__(self, address):
        self.address, self.poll, self.sockets = address, select.epoll(), {}

    def connect(self, requests):
        """The descriptors of so many more."""
        made = []
        for request in requests:
            one = socket.create_connection(self.address, timeout=15)
            one.sendall(request)
            one.setblocking(False)
            self.sockets[one.fileno()] = one
            self.poll.register(one.fileno(), select.EPOLLIN)
            made.append(one.fileno())
        return made

    def wait(self, descriptors, done, timeout):
        """Until done(bytes) of each of these; what came."""
        received, missing = dict.fromkeys(descriptors, b""), set(descriptors)
        deadline = time.monotonic() + timeout
        while missing and time.monotonic() < deadline:
            for fd, _ in self.poll.poll(0.5):
                chunk = self.sockets[fd].recv(65536)
                assert chunk, "closed"
                received[fd] += chunk
                if done(received[fd]):
                    missing.discard(fd)
        assert not missing, f"{len(missing)} of {len(received)} still wait"
        return list(received.values())

    def close(self):
        for one in self.sockets.values():
            one.close()
        self.poll.close()


def whole_frame(data):
    return len(data) > 4 and data[1] == 126 and len(data) >= 4 + int.from_bytes(data[2:4], "big")


@pytest.mark.slow
def test_ten_thousand_idle_subscribers_get_their_event(make_cluster, patience, record_property):
    may_open(COUNT + SPARE)
    cluster = make_cluster(sessions={"maxConnections": COUNT}, gateway={"processes": 1}).start()
    node, token = cluster.nodes[0], cluster.create_key("crowd")
    requests = [handshake("t" if n % 2 else "t*", token) for n in range(COUNT)]
    crowd = Crowd((node.http_host, node.http_port))
    workers = [node.worker("gateway"), node.worker("events")]
    before = sum(private_kib(one.pid) for one in workers)
    begun = time.monotonic()
    try:
        for first in range(0, COUNT, 500):  # as many as wait in the backlog
            made = crowd.connect(requests[first : first + 500])
            heads = crowd.wait(made, lambda data: data.endswith(b"\r\n\r\n"), 30 * patience)
            assert all(head.startswith(b"HTTP/1.1 101 ") for head in heads)
        took = time.monotonic() - begun
        each = (sum(private_kib(one.pid) for one in workers) - before) / COUNT
        client = node.client(token)
        begun = time.monotonic()
        index = expect(client.publish("t", "to all " * 10), 200).index
        frames = crowd.wait(list(crowd.sockets), whole_frame, 20 * patience)
        reached = time.monotonic() - begun
        assert len(frames) == COUNT and len(set(frames)) == 1
        event = json.loads(frames[0][4:])
        assert (event["data"], event["index"]) == ("to all " * 10, index)
        record_property(
            "measured 10,000 subscribers",
            f"connected in {took:.1f} s, {each:.1f} KiB each, reached in {reached * 1000:.0f} ms",
        )
        assert each <= 16 * patience
        expect(client.set("k", "v"), 200)
        client.close()
    finally:
        crowd.close()
