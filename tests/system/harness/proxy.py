"""A proxy on the links between nodes that delays, stalls, damages and cuts what passes.

As a program (a process of its own, in the hub's namespace) it reads one JSON object a line and
answers each with one: {"open": [port, host, port]} makes a link and tells its port; {"link": port,
setting: value...} changes one; {"count": port} tells what passed. As a module it is Proxies, which
starts that program for the links of a network.

A link treats the direction of whoever dialed; answers pass as they are. Settings:
    delay, jitter   seconds that each chunk is late: delay + random part of jitter, in order
    rate            bytes a second; 0: as they come
    stall           true: nothing passes, connections stay
    flip            so many chunks in a thousand have one bit inverted
    cut             true: connections are ended, new ones too"""

import asyncio
import json
import random
import subprocess
import sys

CHUNK = 16384
QUEUE_CHUNKS = 64


class Link:
    def __init__(self, where):
        self.where = where
        self.delay = self.jitter = self.rate = self.flip = 0
        self.stall = self.cut = False
        self.connections = set()
        self.count = {"connections": 0, "bytes": 0, "flips": 0}
        self.changed = asyncio.Event()

    def change(self, **settings):
        for name, value in settings.items():
            assert hasattr(self, name), name
            setattr(self, name, value)
        self.changed.set()
        self.changed = asyncio.Event()
        if self.cut:
            for writer in list(self.connections):
                writer.transport.abort()

    async def accept(self, reader, writer):
        if self.cut:
            writer.transport.abort()
            return
        try:
            to_reader, to_writer = await asyncio.open_connection(*self.where)
        except OSError:
            writer.transport.abort()
            return
        self.count["connections"] += 1
        self.connections |= {writer, to_writer}
        queue = asyncio.Queue(QUEUE_CHUNKS)
        tasks = [
            asyncio.ensure_future(job)
            for job in (
                self.receive(reader, queue),
                self.send(queue, to_writer),
                self.answer(to_reader, writer),
            )
        ]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for one in (writer, to_writer):
            self.connections.discard(one)
            one.transport.abort()

    async def receive(self, reader, queue):
        while chunk := await reader.read(CHUNK):
            due = asyncio.get_running_loop().time() + self.delay + random.random() * self.jitter
            await queue.put((due, chunk))
        await queue.put((0, b""))

    async def send(self, queue, writer):
        loop = asyncio.get_running_loop()
        while True:
            due, chunk = await queue.get()
            if not chunk:
                return
            await asyncio.sleep(max(0, due - loop.time()))
            while self.stall:
                await self.changed.wait()
            if random.randrange(1000) < self.flip:
                damaged = bytearray(chunk)
                damaged[random.randrange(len(damaged))] ^= 1 << random.randrange(8)
                chunk = bytes(damaged)
                self.count["flips"] += 1
            writer.write(chunk)
            await writer.drain()
            self.count["bytes"] += len(chunk)
            if self.rate:
                await asyncio.sleep(len(chunk) / self.rate)

    @staticmethod
    async def answer(reader, writer):
        while chunk := await reader.read(CHUNK):
            writer.write(chunk)
            await writer.drain()


async def serve():
    loop = asyncio.get_running_loop()
    commands = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    links, servers = {}, []
    while line := await commands.readline():
        command = json.loads(line)
        if "open" in command:
            port, *where = command["open"]
            links[port] = link = Link(where)
            servers.append(await asyncio.start_server(link.accept, "0.0.0.0", port))
            answer = {}
        elif "link" in command:
            links[command.pop("link")].change(**command)
            answer = {}
        else:
            answer = links[command["count"]].count
        print(json.dumps(answer), flush=True)


class Proxies:
    """A link for every pair of nodes, one for each direction: who dials whom."""

    PORT = 9000

    def __init__(self, network, raft_port):
        self.count_nodes = len(network.nodes)
        self.process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", *network.hub.enter, sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for source, target in self.links():
            port = self.port(source, target)
            self._ask({"open": [port, f"10.77.0.{target + 1}", raft_port]})
            network.detour(source, target, raft_port, port)

    def links(self):
        numbers = range(self.count_nodes)
        return [(source, target) for source in numbers for target in numbers if source != target]

    def port(self, source, target):
        return self.PORT + source * self.count_nodes + target

    def _ask(self, command):
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def set(self, links=None, **settings):
        """Changes these links, [(source, target)], or all."""
        for source, target in links or self.links():
            self._ask({"link": self.port(source, target), **settings})

    def clear(self):
        self.set(delay=0, jitter=0, rate=0, flip=0, stall=False, cut=False)

    def total(self, what, links=None):
        return sum(
            self._ask({"count": self.port(source, target)})[what]
            for source, target in links or self.links()
        )

    def close(self):
        self.process.kill()
        self.process.communicate()


if __name__ == "__main__":
    asyncio.run(serve())
