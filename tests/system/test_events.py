"""Events with clients that others wrote: Debian's python3-websockets for WebSockets, curl for streams
of Server-Sent Events."""

import asyncio
import json
import subprocess
import urllib.parse

import pytest
import websockets
from websockets.exceptions import ConnectionClosed, InvalidStatusCode

from harness.client import BASE, expect
from harness.wait import until

EVERY_TYPE = [
    None,
    True,
    False,
    0,
    -1.5,
    12345678901234567890,
    "",
    'a "b" \\ \n \u2028 ü€𝄞',
    [],
    [1, [2, [None]]],
    {},
    {"a b": {"c": ["d", {}]}, "": 0},
]


def publish(client, topic, data):
    return expect(client.call("POST", "/events", {"topic": topic, "data": data}), 200).index


def address(node, call, scheme, **query):
    query = urllib.parse.urlencode(query)
    return f"{scheme}://127.0.0.1:{node.http_port}{BASE}/events/{call}?{query}"


def subscribe(node, token, headers=None, **query):
    """To be awaited, or entered with `async with`."""
    url = address(node, "subscribe", "ws", token=token, **query)
    return websockets.connect(url, extra_headers=headers or {}, max_size=1 << 24)


async def take(websocket, count):
    return [json.loads(await asyncio.wait_for(websocket.recv(), 15)) for _ in range(count)]


async def close_code(websocket):
    """How the server closes; events before that are read."""
    try:
        while True:
            await asyncio.wait_for(websocket.recv(), 30)
    except ConnectionClosed as closed:
        return closed.rcvd.code if closed.rcvd else None


class Stream:
    """curl, reading a stream."""

    def __init__(self, node, token, *arguments, **query):
        url = address(node, "stream", "http", **query)
        self.process = subprocess.Popen(
            ["curl", "-sSN", "-H", f"Authorization: Bearer {token}", *arguments, url],
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self):
        self.begins = int(self.block()["id"])
        return self

    def __exit__(self, *exception):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    def block(self):
        """The fields up to the next empty line, of a block that has an id."""
        fields = {}
        while "id" not in fields:
            fields = {}
            for line in iter(lambda: self.process.stdout.readline().rstrip("\n"), ""):
                name, _, value = line.partition(": ")
                fields[name] = value
            assert fields, "the stream ended"
        return fields

    def take(self, count):
        blocks = [self.block() for _ in range(count)]
        events = [json.loads(block["data"]) for block in blocks]
        assert [int(block["id"]) for block in blocks] == [event["index"] for event in events]
        return events


# ---- delivery


def test_all_json_types_reach_websocket_and_stream_alike(shared, api, token):
    async def run():
        async with subscribe(shared, token, topic="type") as websocket:
            with Stream(shared, token, topic="ty*") as stream:
                indexes = [publish(api, "type", data) for data in EVERY_TYPE]
                events = await take(websocket, len(EVERY_TYPE))
                assert [event["data"] for event in events] == EVERY_TYPE
                assert [event["index"] for event in events] == indexes
                assert {event["topic"] for event in events} == {"type"}
                assert all(event["emitted_at"].endswith("Z") for event in events)
                assert stream.take(len(EVERY_TYPE)) == events

    asyncio.run(run())


def test_numbers_keep_every_digit(shared, api, token):
    texts = ["1.10", "1e400", "-0.0", "123456789012345678901234567890.5"]

    async def run():
        async with subscribe(shared, token, topic="digits") as websocket:
            for text in texts:
                body = b'{"topic":"digits", "data": [ %s ]}' % text.encode()
                expect(api.call("POST", "/events", body), 200)
                assert f'"data":[{text}],' in await asyncio.wait_for(websocket.recv(), 15)

    asyncio.run(run())


def test_who_comes_again_goes_on_where_it_was(shared, api, token):
    async def run():
        indexes = [publish(api, "resume", number) for number in range(10)]
        async with subscribe(shared, token, topic="resume", after=indexes[2]) as websocket:
            indexes += [publish(api, "resume", number) for number in range(10, 15)]
            events = await take(websocket, 12)
            assert [event["data"] for event in events] == list(range(3, 15))
        header = ["-H", f"Last-Event-ID: {indexes[12]}"]
        with Stream(shared, token, *header, topic="resume", after=0) as stream:
            assert stream.begins == indexes[12]
            assert [event["data"] for event in stream.take(2)] == [13, 14]

    asyncio.run(run())


def test_other_topics_and_other_tenants_are_not_heard(shared, shared_cluster, api, token):
    async def run():
        stranger = shared_cluster.tenant("stranger of events")
        async with subscribe(shared, token, topic="a.*") as prefix:
            async with subscribe(shared, token, topic="a.") as exact:
                for topic in ("a", "a.", "a.b", "A.b", "b.a."):
                    publish(api, topic, "ours")
                publish(stranger, "a.b", "theirs")
                last = publish(api, "a.", "end")
                topics = [event["topic"] for event in await take(prefix, 3)]
                assert topics == ["a.", "a.b", "a."]
                assert [event["index"] for event in await take(exact, 2)][1] == last
        stranger.close()

    asyncio.run(run())


def test_over_many_nodes_the_order_is_the_same(make_cluster):
    async def run(cluster, token):
        clients = [node.client(token) for node in cluster.nodes]
        sockets = [await subscribe(node, token, topic="*") for node in cluster.nodes]
        sent = [publish(clients[number % 3], f"t{number % 5}", number) for number in range(60)]
        heard = [await take(websocket, 60) for websocket in sockets]
        assert heard[0] == heard[1] == heard[2]
        assert [event["index"] for event in heard[0]] == sorted(sent)
        for websocket in sockets:
            await websocket.close()
        for client in clients:
            client.close()

    cluster = make_cluster(3).start()
    asyncio.run(run(cluster, cluster.create_key("everywhere")))


# ---- refusals


def test_pages_of_other_hosts_are_refused(shared, token):
    async def status(origin):
        try:
            async with subscribe(shared, token, headers={"Origin": origin}, topic="t"):
                return 101
        except InvalidStatusCode as refused:
            return refused.status_code

    assert asyncio.run(status(f"http://127.0.0.1:{shared.http_port}")) == 101
    assert asyncio.run(status("http://127.0.0.1:1")) == 403
    assert asyncio.run(status("null")) == 403


def test_the_limit_is_the_nodes_and_comes_back_with_every_end(make_cluster):
    cluster = make_cluster(gateway={"processes": 2}, sessions={"maxConnections": 4}).start()
    node, token = cluster.nodes[0], cluster.create_key("limit")

    async def open_all():
        """As many as there may be; the next one is refused."""
        opened = []
        try:
            while len(opened) < 10:
                opened.append(await subscribe(node, token, topic="t"))
        except InvalidStatusCode as refused:
            assert refused.status_code == 503
        return opened

    async def run():
        for _ in range(3):
            opened = await open_all()
            assert len(opened) == 4
            for websocket in opened[:2]:
                await websocket.close()
            for websocket in opened[2:]:
                websocket.transport.abort()
            await asyncio.sleep(0)
            await asyncio.to_thread(until, lambda: is_free(), "all places are free")
        await open_all()
        for gateway in node.workers("gateway"):
            gateway.signal(9)
        await asyncio.to_thread(until, lambda: is_free(), "killed processes hold no place")

    def is_free():
        client = node.client(token)
        answer = client.call("GET", "/events/subscribe?topic=t")
        client.close()
        with Stream(node, token, topic="t") as one, Stream(node, token, topic="t") as other:
            return answer.status == 426 and one.process.poll() is other.process.poll() is None

    asyncio.run(run())


# ---- the end


def test_close_codes(shared, token):
    async def run():
        websocket = await subscribe(shared, token, topic="t")
        await websocket.send("x" * 5000)
        assert await close_code(websocket) == 1009
        websocket = await subscribe(shared, token, topic="t")
        await websocket.write_frame(True, 0x1, b"\xff")
        assert await close_code(websocket) == 1007
        websocket = await subscribe(shared, token, topic="t")
        websocket.transport.write(b"\x81\x01x")  # not masked
        assert await close_code(websocket) == 1002
        websocket = await subscribe(shared, token, topic="t")
        await websocket.send("hello")
        await asyncio.wait_for(await websocket.ping(b"still there"), 15)
        await websocket.close(4321)
        assert websocket.close_code == 4321

    asyncio.run(run())


def test_a_deleted_key_and_a_planned_restart_say_why(cluster, node):
    async def run():
        doomed, token = cluster.create_key("doomed"), cluster.create_key("other")
        theirs = await subscribe(node, doomed, topic="t")
        ours = await subscribe(node, token, topic="t")
        root = node.root()
        expect(root.call("POST", "/admin/api/delete", {"key": doomed}), 200)
        root.close()
        assert await close_code(theirs) == 1008
        with Stream(node, token, topic="t") as stream:
            node.worker("gateway").signal(15)
            assert await close_code(ours) == 1012
            assert await asyncio.to_thread(stream.process.wait, 15) == 0  # a whole answer

    asyncio.run(run())


@pytest.mark.parametrize("worker", ["events", "storage", "raft"])
def test_a_worker_that_is_killed_is_a_pause(cluster, node, worker):
    async def run():
        token = cluster.create_key("pause")
        client = node.client(token)
        async with subscribe(node, token, topic="t") as websocket:
            for number in range(30):
                if number == 10:
                    await asyncio.to_thread(node.restart_worker, worker, 9)
                publish(client, "t", number)
            assert [event["data"] for event in await take(websocket, 30)] == list(range(30))
        client.close()

    asyncio.run(run())
