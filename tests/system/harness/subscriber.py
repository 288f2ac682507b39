"""Subscribers as applications have them: Debian's python3-websockets for WebSockets, curl for
Server-Sent Events. Each remembers every frame that came, and how the end came. None of them
connects again by itself but Follower, which goes on behind the last event that it has seen."""

import asyncio
import json
import ssl
import subprocess
import threading
import time

import websockets

from .client import BASE, query
from .wait import Timeout

ABNORMAL = 1006  # no close frame came: what clients report then


class Refused(Exception):
    """The server answered with a status instead of a subscription."""

    def __init__(self, status, error_type=None, headers=None):
        super().__init__(f"{status} {error_type or ''}")
        self.status, self.error_type, self.headers = status, error_type, headers or {}


class _Loop:
    """The event loop of all WebSockets of this test process, in a thread of its own."""

    lock, loop = threading.Lock(), None

    @classmethod
    def run(cls, coroutine, timeout=60):
        with cls.lock:
            if cls.loop is None:
                cls.loop = asyncio.new_event_loop()
                threading.Thread(target=cls.loop.run_forever, daemon=True).start()
        return asyncio.run_coroutine_threadsafe(coroutine, cls.loop).result(timeout)


def subscription(kind, topic, after=None, token=None):
    """Path and query; token: in the query, as browsers have to."""
    given = {"topic": topic, "after": after, "token": token}
    named = {name: value for name, value in given.items() if value is not None}
    return query(f"/events/{kind}", **named)


class Frames:
    """What came so far. texts: as they came; frames: the same, parsed."""

    def __init__(self, name):
        self.name = name
        self.texts, self.frames = [], []
        self.code = None  # how it ended: a close code, or curl's exit status
        self.changed = threading.Condition()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def _add(self, text):
        frame = json.loads(text)
        with self.changed:
            self.texts.append(text)
            self.frames.append(frame)
            self.changed.notify_all()

    def _ended(self, code):
        with self.changed:
            if self.code is None:
                self.code = code
            self.changed.notify_all()

    # ---- what came

    @property
    def events(self):
        return [frame for frame in list(self.frames) if "gap" not in frame]

    @property
    def gaps(self):
        return [frame["gap"] for frame in list(self.frames) if "gap" in frame]

    @property
    def indexes(self):
        return [event["index"] for event in self.events]

    @property
    def data(self):
        return [event["data"] for event in self.events]

    @property
    def last(self):
        """The index to resume behind; None before the first frame."""
        if not self.frames:
            return None
        frame = self.frames[-1]
        return frame["gap"]["to"] if "gap" in frame else frame["index"]

    # ---- waiting for it

    def _wait(self, condition, what, timeout):
        with self.changed:
            if not self.changed.wait_for(condition, timeout):
                state = f"{len(self.texts)} frames, ended with {self.code}"
                raise Timeout(f"{self.name}: not within {timeout:g} s: {what} ({state})")

    def wait(self, count, timeout=15.0):
        """Until so many frames came in all; the events."""
        self._wait(lambda: len(self.texts) >= count, f"{count} frames", timeout)
        return self.events

    def wait_index(self, index, timeout=30.0):
        """Until an event of this index or a later one came."""

        def reached():
            return (self.last or 0) >= index

        self._wait(reached, f"the event of index {index}", timeout)

    def wait_closed(self, timeout=15.0):
        """How it ended."""
        self._wait(lambda: self.code is not None, "the end", timeout)
        return self.code

    def is_open(self):
        return self.code is None


class Subscriber(Frames):
    """A WebSocket. By default it answers pings, reads without pause, and offers compression as
    browsers do. options: of websockets.connect()."""

    def __init__(self, node, token, topic, after=None, headers=None, in_query=False, **options):
        super().__init__(f"subscriber of {topic} at {node.id}")
        ca = node.settings.values.get("tls", {}).get("ca")
        path = subscription("subscribe", topic, after, token if in_query else None)
        host = "localhost" if ca else node.http_host
        self.url = f"{'wss' if ca else 'ws'}://{host}:{node.http_port}{BASE}{path}"
        self.headers = dict(headers or {})
        if token is not None and not in_query:
            self.headers.setdefault("Authorization", f"Bearer {token}")
        self.options = {"max_size": None, "max_queue": None, "ping_interval": None} | options
        self.options.setdefault("open_timeout", 30)
        if ca:
            self.options["ssl"] = ssl.create_default_context(cafile=ca)
        if node.connect:
            self.options["sock"] = node.connect((node.http_host, node.http_port), timeout=30)
        self.socket = None
        _Loop.run(self._open())

    async def _open(self):
        try:
            self.socket = await websockets.connect(
                self.url, extra_headers=self.headers, **self.options
            )
        except websockets.exceptions.InvalidStatusCode as error:
            raise Refused(error.status_code, headers=error.headers) from None
        self.task = asyncio.ensure_future(self._read())

    async def _read(self):
        try:
            async for text in self.socket:
                assert isinstance(text, str), "a binary frame"
                self._add(text)
        except websockets.exceptions.ConnectionClosed:
            pass
        finally:
            self._ended(self.socket.close_code or ABNORMAL)

    def send(self, message):
        _Loop.run(self.socket.send(message))

    def ping(self, timeout=10):
        """Until the pong has come."""

        async def both():
            await asyncio.wait_for(await self.socket.ping(), timeout)

        _Loop.run(both())

    def drop(self):
        """Ends the connection without a word."""

        async def abort():
            self.socket.transport.abort()

        _Loop.run(abort())
        self.wait_closed()

    def close(self, code=1000):
        _Loop.run(self.socket.close(code))
        self.wait_closed()


class Stream(Frames):
    """Server-Sent Events by curl; the fields of the format are taken apart here."""

    def __init__(self, node, token, topic, after=None, last_id=None, in_query=False, more=()):
        super().__init__(f"stream of {topic} at {node.id}")
        tls = node.settings.values.get("tls", {})
        path = subscription("stream", topic, after, token if in_query else None)
        host = "localhost" if tls else node.http_host
        url = f"{'https' if tls else 'http'}://{host}:{node.http_port}{BASE}{path}"
        command = ["curl", "--silent", "--no-buffer", "--include", *more]
        if tls:
            command += ["--cacert", tls["ca"]]
        if token is not None and not in_query:
            command += ["--header", f"Authorization: Bearer {token}"]
        if last_id is not None:
            command += ["--header", f"Last-Event-ID: {last_id}"]
        self.status, self.headers, self.body = None, {}, b""
        self.ids, self.comments = [], []  # of the frames; what stands behind a colon
        self.last_id = None  # what a browser would send as Last-Event-ID
        self.process = subprocess.Popen(
            [*command, url], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
        )
        threading.Thread(target=self._read, daemon=True).start()
        self._wait(lambda: self.status or self.code is not None, "an answer", 30)
        if self.status != 200:
            self.wait_closed()
            error = json.loads(self.body)["error_type"] if self.body else None
            raise Refused(self.status, error, self.headers)

    def _read(self):
        status, lines = self._read_head(), []
        with self.changed:
            self.status = status
            self.changed.notify_all()
        if status == 200:
            for line in self.process.stdout:
                line = line.decode().rstrip("\r\n")
                if line:
                    lines.append(line)
                else:
                    self._dispatch(lines)
                    lines = []
        else:
            self.body = self.process.stdout.read()
        self._ended(self.process.wait())

    def _read_head(self):
        status = None
        for line in self.process.stdout:
            line = line.decode("latin-1").strip()
            if line.startswith("HTTP/"):
                self.protocol, status = line.split()[0], int(line.split()[1])
            elif line:
                name, _, value = line.partition(":")
                self.headers[name.lower()] = value.strip()
            elif status != 100:
                break
        return status

    def _dispatch(self, lines):
        data = []
        for line in lines:
            name, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if not name:
                with self.changed:
                    self.comments.append(value)
                    self.changed.notify_all()
            elif name == "data":
                data.append(value)
            elif name == "id":
                self.last_id = int(value)
            else:
                assert name == "retry", line
        if data:
            self.ids.append(self.last_id)
            self._add("\n".join(data))

    def close(self):
        if self.process.poll() is None:
            self.process.terminate()
        self.wait_closed()


class Follower(Frames):
    """Sees every event once, whatever ends its connections: connects again, to the next of its
    nodes, with the index that it has come to. kind: Subscriber or Stream."""

    def __init__(self, nodes, token, topic, after=None, kind=Subscriber):
        super().__init__(f"follower of {topic}")
        self.nodes, self.token, self.topic, self.kind = nodes, token, topic, kind
        self.first, self.codes = after, []  # codes: how connections ended
        self.stopping = threading.Event()
        self.current = kind(nodes[0], token, topic, after)
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        turn = 0
        while True:
            self._drain()
            if self.stopping.is_set():
                break
            self.codes.append(self.current.code)
            self.current = None
            while not self.current and not self.stopping.is_set():
                turn += 1
                self.current = self._connect(self.nodes[turn % len(self.nodes)])
            if not self.current:
                break
        self._ended(0)

    def _drain(self):
        """Takes over what comes, until the connection has ended."""
        taken, source = 0, self.current
        while True:
            with source.changed:
                source.changed.wait_for(
                    lambda: len(source.texts) > taken or source.code is not None, 60
                )
                fresh, ended = source.texts[taken:], source.code is not None
            for text in fresh:
                self._add(text)
            taken += len(fresh)
            if ended and not fresh:
                return

    def _connect(self, node):
        after = self.last if self.last is not None else self.first
        try:
            return self.kind(node, self.token, self.topic, after)
        except (Refused, OSError, TimeoutError, websockets.exceptions.WebSocketException) as error:
            assert not isinstance(error, Refused) or error.status in (503, None), error
            time.sleep(0.05)
            return None

    def close(self):
        self.stopping.set()
        while self.thread.is_alive():
            current = self.current
            if current and current.is_open():
                current.close()
            self.thread.join(0.1)
