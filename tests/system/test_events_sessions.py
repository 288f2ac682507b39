"""Who may subscribe, from where and how many; pings; and how sessions end. Every end, of whatever
kind, gives its place back."""

import json
import signal
import socket
import subprocess
import threading
import time
import urllib.parse

import pytest

from harness.certificates import Authority
from harness.client import Client, expect
from harness.publisher import publish_all
from harness.raw import Raw, request
from harness.subscriber import ABNORMAL, Refused, Stream, Subscriber, subscription
from harness.wait import until
from harness.websocket import (
    KEY,
    PING,
    PONG,
    TEXT,
    RawSocket,
    close_frame,
    frame,
    handshake,
)

KINDS = [Subscriber, Stream]
LIMIT = 6


@pytest.fixture
def small(make_cluster):
    """A node with room for few sessions, and two gateway processes."""
    sessions = {"maxConnections": LIMIT, "pingInterval": "1s"}
    return make_cluster(sessions=sessions, gateway={"processes": 2}).start()


def attempt(kind, node, token):
    try:
        return kind(node, token, "t")
    except Refused as refused:
        assert refused.status == 503, refused
        assert refused.error_type in (None, "TOO_MANY_SESSIONS")
        return None


def fill(node, token, limit=LIMIT):
    """Exactly so many sessions are to be had: the places of all that ended are there."""
    opened = []

    def full():
        made = attempt([Subscriber, Stream][len(opened) % 2], node, token)
        if made:
            opened.append(made)
        return len(opened) == limit

    until(full, f"there is room for {limit}", 15, 0.02)
    assert attempt(Subscriber, node, token) is None, "there is room for more"
    assert attempt(Stream, node, token) is None, "there is room for more"
    return opened


def close_all(subscribers):
    for subscriber in subscribers:
        subscriber.close()


# ---- how many


def test_the_session_limit_is_the_nodes_and_the_answer_says_so(small):
    node, token = small.nodes[0], small.create_key("tenant")
    opened = fill(node, token)
    client = Client(node.http_port, token)
    for path in ("subscribe", "stream"):
        headers = {
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": KEY,
        }
        answer = client.call("GET", subscription(path, "t"), headers=headers)
        expect(answer, 503, "TOO_MANY_SESSIONS")
    expect(client.publish("t", "to all of them"), 200)
    for subscriber in opened:
        assert subscriber.wait(1)[0]["data"] == "to all of them"
    close_all(opened)
    client.close()


def shut_write(node, token):
    with RawSocket(node, token, "t") as raw:
        raw.socket.shutdown(socket.SHUT_WR)
        raw.end()


def reset_raw(node, token):
    RawSocket(node, token, "t").reset()


def without_word(node, token):
    Subscriber(node, token, "t").drop()


def orderly(node, token):
    with RawSocket(node, token, "t") as raw:
        raw.send(close_frame(1000, b"bye"))
        assert raw.end() == ([], 1000)


def too_large(node, token):
    with RawSocket(node, token, "t") as raw:
        raw.send(frame(TEXT, b"x" * 100_000))
        assert raw.end()[1] == 1009


def breach(node, token):
    with RawSocket(node, token, "t") as raw:
        raw.send(frame(TEXT, b"x", masked=False))
        assert raw.end()[1] == 1002


def killed_curl(node, token):
    stream = Stream(node, token, "t")
    stream.process.kill()
    stream.wait_closed()


def reset_stream(node, token):
    with Raw(node.http_port) as raw:
        raw.send(request("GET", subscription("stream", "t"), token))
        while b"\r\n\r\n" not in raw.received:
            raw._more()
        raw.reset()


def gone_before_the_answer(node, token):
    raw = Raw(node.http_port)
    raw.send(handshake("t", token))
    raw.reset()
    raw = Raw(node.http_port)
    raw.send(request("GET", subscription("stream", "t"), token))
    raw.reset()


def silent(node, token):
    """No pong, nothing: a client whose machine is gone."""
    with RawSocket(node, token, "t") as raw:
        raw.end(10)


ENDS = [
    orderly,
    without_word,
    reset_raw,
    shut_write,
    too_large,
    breach,
    killed_curl,
    reset_stream,
    gone_before_the_answer,
    silent,
]


def test_each_kind_of_end_gives_its_place_back(small):
    """All at once, as often as there are places, while one session stays."""
    node, token = small.nodes[0], small.create_key("tenant")
    with Subscriber(node, token, "t") as stays:
        for end in ENDS:
            threads = [
                threading.Thread(target=end, args=(node, token)) for _ in range(LIMIT - 1)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            close_all(fill(node, token, LIMIT - 1))
            publish_all(node, token, "t", [end.__name__])
        stays.wait(len(ENDS))
        assert stays.data == [end.__name__ for end in ENDS]


def test_a_gateway_that_is_killed_gives_all_its_places_back(small):
    node, token = small.nodes[0], small.create_key("tenant")
    opened = fill(node, token)
    for gateway in node.workers("gateway"):
        position = node.log.size()
        gateway.signal(signal.SIGKILL)
        assert gateway.wait_gone(10)
        node.wait_worker_ready("gateway", position)
    for subscriber in opened:
        assert subscriber.wait_closed() in (ABNORMAL, 18, 56)
    close_all(fill(node, token))


def test_a_gateway_that_stops_says_1012(small):
    node, token = small.nodes[0], small.create_key("tenant")
    opened = fill(node, token)
    for gateway in node.workers("gateway"):
        position = node.log.size()
        gateway.signal(signal.SIGTERM)
        assert gateway.wait_gone(10)
        node.wait_worker_ready("gateway", position)
    for subscriber in opened:
        assert subscriber.wait_closed() == (1012 if isinstance(subscriber, Subscriber) else 0)
    opened = fill(node, token)
    assert node.stop() == 0
    for subscriber in opened:
        assert subscriber.wait_closed() == (1012 if isinstance(subscriber, Subscriber) else 0)


# ---- pings


def test_the_server_pings_and_closes_who_does_not_answer(make_cluster):
    cluster = make_cluster(sessions={"pingInterval": "300ms"}).start()
    node, token = cluster.nodes[0], cluster.create_key("tenant")
    with RawSocket(node, token, "t") as mute, RawSocket(node, token, "t") as good:
        with Subscriber(node, token, "t") as subscriber, Stream(node, token, "t") as stream:
            started = time.monotonic()
            for _ in range(5):
                opcode, payload = good.next()
                assert opcode == PING
                good.send(frame(PONG, payload))
            assert 1.1 < time.monotonic() - started < 6
            mute.end(10)
            assert mute.is_closed_within(0.1)
            until(lambda: len(stream.comments) >= 3, "comments keep the stream alive")
            index = publish_all(node, token, "t", ["still here"])[0]
            subscriber.wait_index(index)
            stream.wait_index(index)
            while good.next()[0] == PING:
                pass


def test_pings_of_the_client_are_answered_with_their_data(shared, token):
    with RawSocket(shared, token, "t") as raw:
        for payload in (b"", b"x", b"\xff\x00" * 62 + b"1"):
            raw.send(frame(PING, payload))
            assert raw.next_control() == (PONG, payload)
        raw.send(frame(PONG, b"nobody asked"))
        raw.send(frame(PING, b"after"))
        assert raw.next_control() == (PONG, b"after")


# ---- tokens


@pytest.mark.parametrize("kind", KINDS)
def test_the_token_may_stand_in_the_query(shared, shared_cluster, kind):
    root = shared.settings.root_token()
    shared_cluster.secrets.append(urllib.parse.quote(root, safe=""))
    for token in (shared_cluster.create_key("in query"), root):
        with kind(shared, token, "query", in_query=True) as subscriber:
            index = publish_all(shared, token, "query", ["here"])[0]
            subscriber.wait_index(index)
            assert subscriber.data[-1] == "here"


def test_the_header_wins_over_the_query(shared, token):
    wrong = "insi_" + "B" * 43
    with Subscriber(shared, token, "t") as subscriber:
        pass
    bearer = {"Authorization": f"Bearer {token}"}
    with Subscriber(shared, wrong, "t", in_query=True, headers=bearer) as subscriber:
        assert subscriber.is_open()
    with pytest.raises(Refused) as refused:
        Subscriber(shared, token, "t", in_query=True, headers={"Authorization": f"Bearer {wrong}"})
    assert refused.value.status == 401


def test_only_the_two_take_a_token_from_the_query(shared, token):
    client = Client(shared.http_port)
    body = {"topic": "t", "data": 1}
    for method, path, sent in (
        ("POST", f"/events?token={token}", body),
        ("GET", f"/get?key=k&token={token}", None),
        ("GET", f"/ping?token={token}", None),
        ("POST", f"/set?token={token}", {"key": "k", "value": "v"}),
    ):
        expect(client.call(method, path, sent), 401, "AUTHENTICATION_FAILED")
    client.close()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("token", [None, "", "insi_" + "C" * 43, "x", "%00", "insi_é"], ids=repr)
@pytest.mark.parametrize("in_query", [False, True])
def test_without_a_good_token_nobody_subscribes(shared, kind, token, in_query):
    if not in_query and token and not token.isascii():
        token = "insi_?"
    with pytest.raises(Refused) as refused:
        kind(shared, token, "t", in_query=in_query)
    assert refused.value.status == 401
    assert refused.value.error_type in (None, "AUTHENTICATION_FAILED")


def test_no_answer_and_no_process_shows_a_token_of_a_query(shared, token):
    client = Client(shared.http_port)
    for path in (f"?topic=&token={token}", f"?token={token}", f"?topic=t&after=x&token={token}"):
        for kind in ("subscribe", "stream"):
            answer = client.call("GET", f"/events/{kind}{path}")
            assert answer.status in (400, 426), answer
            assert token.encode() not in answer.body and token not in str(answer.headers)
    with Subscriber(shared, token, "t", in_query=True):
        for process in shared.all_processes():
            with open(f"/proc/{process.pid}/cmdline", "rb") as file:
                assert token.encode() not in file.read()
    client.close()


@pytest.mark.parametrize("in_query", [False, True])
def test_a_deleted_key_ends_its_sessions_and_no_others(small, in_query):
    node, token, other = small.nodes[0], small.create_key("doomed"), small.create_key("other")
    opened = [kind(node, token, "t", in_query=in_query) for kind in KINDS * 2]
    with Subscriber(node, other, "t") as stays:
        publish_all(node, token, "t", ["last"])
        root = node.root()
        expect(root.delete_key(token), 200)
        for subscriber in opened:
            code = subscriber.wait_closed(5)
            assert code == (1008 if isinstance(subscriber, Subscriber) else 0)
            assert subscriber.data == ["last"]
        for kind in KINDS:
            with pytest.raises(Refused) as refused:
                kind(node, token, "t", after=0, in_query=in_query)
            assert refused.value.status == 401
        expect(root.call("GET", "/ping"), 200)
        root.close()
        publish_all(node, other, "t", ["goes on"])
        stays.wait(1)
        assert stays.is_open()
        close_all(fill(node, other, LIMIT - 1))


# ---- origins


def origin_status(node, token, origin, host=None):
    headers = [f"Origin: {origin}"] if origin is not None else []
    whole = handshake("t", token, headers=headers)
    if host:
        whole = whole.replace(b"Host: localhost", f"Host: {host}".encode())
    with Raw(node.http_port) as raw:
        raw.send(whole)
        while b"\r\n\r\n" not in raw.received:
            raw._more()
        status = int(raw.received.split()[1])
        if status != 101:
            expect(raw.answer(), 403, "FORBIDDEN")
        return status


def test_by_default_pages_of_the_same_host_may_subscribe(shared, token):
    port = shared.http_port
    for origin, host, status in (
        (None, None, 101),
        (f"http://127.0.0.1:{port}", f"127.0.0.1:{port}", 101),
        (f"http://LOCALHOST:{port}", f"localhost:{port}", 101),
        ("https://insi.example", "insi.example", 101),  # behind a proxy that ends TLS
        (f"http://127.0.0.1:{port}", f"localhost:{port}", 403),
        ("http://evil.example", f"localhost:{port}", 403),
        (f"http://localhost.evil.example:{port}", f"localhost:{port}", 403),
        (f"http://evil.example/localhost:{port}", f"localhost:{port}", 403),
        (f"http://localhost:{port}@evil.example", f"localhost:{port}", 403),
        ("null", f"localhost:{port}", 403),
        ("file://", f"localhost:{port}", 403),
    ):
        assert origin_status(shared, token, origin, host) == status, origin


def test_origins_can_be_listed(make_cluster):
    allowed = ["https://app.example.org", "http://dev.example.org:8080"]
    cluster = make_cluster(sessions={"allowedOrigins": allowed}).start()
    node, token = cluster.nodes[0], cluster.create_key("tenant")
    for origin, status in (
        (None, 101),
        ("https://app.example.org", 101),
        ("https://APP.example.org", 101),
        ("http://dev.example.org:8080", 101),
        ("http://app.example.org", 403),
        ("https://app.example.org:444", 403),
        ("https://app.example.org.evil.example", 403),
        ("https://sub.app.example.org", 403),
        ("http://dev.example.org", 403),
        ("null", 403),
    ):
        assert origin_status(node, token, origin) == status, origin


# ---- requests that are no subscription


def test_wrong_methods_are_405(api):
    for method, path, allow in (
        ("GET", "/events", "POST"),
        ("POST", "/events/subscribe?topic=t", "GET"),
        ("POST", "/events/stream?topic=t", "GET"),
        ("DELETE", "/events/stream?topic=t", "GET"),
    ):
        answer = expect(api.call(method, path, b"{}"), 405, "METHOD_NOT_ALLOWED")
        assert allow in answer.headers["Allow"]


def test_a_plain_get_of_subscribe_is_426(api):
    answer = api.call("GET", "/events/subscribe?topic=t")
    expect(answer, 426)
    assert answer.headers["Upgrade"].lower() == "websocket"


@pytest.mark.parametrize("kind", ["subscribe", "stream"])
@pytest.mark.parametrize(
    "parameters",
    ["", "?topic="] + ["?topic=" + bad for bad in ("x" * 481, "x" * 481 + "*", "%ff", "a%00b")],
    ids=lambda value: value[:16],
)
def test_a_bad_topic_is_400(shared, token, kind, parameters):
    client = Client(shared.http_port, token)
    upgrade = {
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": KEY,
    }
    headers = upgrade if kind == "subscribe" else {}
    answer = expect(client.call("GET", f"/events/{kind}{parameters}", headers=headers), 400)
    assert answer.error_type in ("BAD_REQUEST", "KEY_TOO_LONG")
    client.close()


@pytest.mark.parametrize(
    "version,key,statuses",
    [
        ("12", KEY, (400, 426)),
        ("0", KEY, (400, 426)),
        ("x", KEY, (400, 426)),
        (None, KEY, (400, 426)),
        ("13", None, (400,)),
        ("13", "", (400,)),
        ("13", "c2hvcnQ=", (400,)),
        ("13", "!" * 24, (400,)),
    ],
)
def test_handshakes_that_are_none_are_refused(shared, token, version, key, statuses):
    with Raw(shared.http_port) as raw:
        raw.send(handshake("t", token, version=version, key=key))
        answer = raw.answer()
        assert answer.status in statuses, answer
        assert answer.json["error_type"]


def test_a_refused_handshake_leaves_the_connection_to_the_next_request(shared, token):
    with Raw(shared.http_port) as raw:
        raw.send(handshake("t", None))
        expect(raw.answer(), 401)
        raw.send(request("GET", "/ping", token))
        expect(raw.answer(), 200)
        raw.send(handshake("t", token))
        raw._more()
        assert raw.received.startswith(b"HTTP/1.1 101 ")


def test_what_follows_the_handshake_at_once_is_not_lost(shared, token):
    """Frames in one piece with the request."""
    with Raw(shared.http_port) as raw:
        raw.send(handshake("t", token) + frame(PING, b"early"))
        pong = b"\x8a\x05early"
        while not raw.received.endswith(pong):
            raw._more()
        assert raw.received.startswith(b"HTTP/1.1 101 ")
    with Raw(shared.http_port) as raw:
        raw.send(handshake("t", token) + close_frame(1000))
        assert raw.is_closed_within(10)
        assert raw.received.endswith(b"\r\n\r\n\x88\x02\x03\xe8")


# ---- TLS


def test_over_tls_by_websocket_and_over_http_2_by_stream(make_cluster, tmp_path):
    tls = Authority(tmp_path / "ca").sign()
    cluster = make_cluster(tls=tls).start()
    node, token = cluster.nodes[0], cluster.create_key("tenant")
    with (
        Subscriber(node, token, "t") as subscriber,
        Stream(node, token, "t", more=["--http2"]) as stream,
        Stream(node, token, "t", more=["--http1.1"]) as old,
    ):
        assert stream.protocol == "HTTP/2" and old.protocol == "HTTP/1.1"
        client = node.client(token)
        for n in range(200):
            expect(client.publish("t", [n, "x" * 500]), 200)
        expect(client.publish("t", ["large", "x" * 500_000]), 200)
        client.close()
        for each in (subscriber, stream, old):
            each.wait(201)
            assert each.texts == subscriber.texts
        gateway = node.worker("gateway")
        gateway.signal(signal.SIGTERM)
        assert subscriber.wait_closed() == 1012
        assert old.wait_closed() == 0
        assert stream.wait_closed() in (0, 56, 92)
        assert gateway.wait_gone(10)


def test_many_streams_share_one_http_2_connection(make_cluster, tmp_path):
    """curl puts them all on one; each gets what is its own, and a slot each."""
    tls = Authority(tmp_path / "ca").sign()
    cluster = make_cluster(tls=tls, sessions={"maxConnections": 20}).start()
    node, token = cluster.nodes[0], cluster.create_key("tenant")
    url = f"https://localhost:{node.http_port}/db/api/v1"
    command = ["curl", "--silent", "--no-buffer", "--http2", "--parallel", "--parallel-max", "20"]
    command += ["--cacert", tls["ca"], "--header", f"Authorization: Bearer {token}"]
    for n in range(20):
        command += ["--output", str(tmp_path / f"stream{n}"), f"{url}/events/stream?topic=t{n}"]
    curl = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    try:

        def begun():
            return all((tmp_path / f"stream{n}").exists() for n in range(20))

        until(begun, "all streams have begun", 20)
        assert attempt(Stream, node, token) is None
        client = node.client(token)
        for n in range(20):
            expect(client.publish(f"t{n}", n), 200)
        client.close()

        def arrived():
            texts = [(tmp_path / f"stream{n}").read_text() for n in range(20)]
            lines = [text.splitlines() for text in texts]
            data = [[line for line in many if line.startswith("data:")] for many in lines]
            return all(data) and data

        data = until(arrived, "each got its event", 20)
        assert [[json.loads(line[5:])["data"] for line in lines] for lines in data] == [
            [n] for n in range(20)
        ]
    finally:
        curl.terminate()
        curl.wait()
    close_all(fill(node, token, 20))
