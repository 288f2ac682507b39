"""HTTP itself: connections, pipelines, clients that are slow, silent, gone, or many."""

import resource
import threading
import time

import pytest

from harness.client import Client, expect
from harness.processes import open_files
from harness.raw import Closed, Raw, request
from harness.wait import until

GIVEN_UP_WITHIN = 90  # seconds; an idle keep-alive connection may live for 75


def still_serves(api):
    expect(api.set("alive", "yes"), 200)
    assert expect(api.get("alive"), 200).data == "yes"


def gateway_files(node):
    return sum(open_files(process.pid) for process in node.workers("gateway"))


# ---- well-behaved clients


def test_a_connection_serves_many_requests(shared, token):
    with Raw(shared.http_port) as raw:
        for n in range(100):
            raw.send(request("POST", "/set", token, b'{"key":"k%d","value":"v"}' % n))
            expect(raw.answer(), 200)


def test_pipelined_requests_are_answered_in_order(shared, token):
    """Reads overtake nothing, although a write takes far longer."""
    with Raw(shared.http_port) as raw:
        pipeline = b""
        for n in range(50):
            pipeline += request("POST", "/set", token, b'{"key":"k","value":"%d"}' % n)
            pipeline += request("GET", "/get?key=k", token)
        raw.send(pipeline)
        for n in range(50):
            index = expect(raw.answer(), 200).index
            assert expect(raw.answer(), 200).json == {"data": str(n), "index": index}


def test_an_error_in_a_pipeline_hits_only_its_request(shared, token):
    with Raw(shared.http_port) as raw:
        raw.send(
            request("POST", "/set", token, b'{"key":"k","value":"v"}')
            + request("POST", "/set", token, b"{bad json")
            + request("GET", "/nothing", token)
            + request("GET", "/get?key=k", token)
        )
        assert [raw.answer().status for _ in range(4)] == [200, 400, 404, 200]


def test_requests_may_arrive_byte_by_byte(shared, token):
    with Raw(shared.http_port) as raw:
        for byte in request("POST", "/set", token, b'{"key":"k","value":"v"}'):
            raw.send(bytes([byte]))
        expect(raw.answer(), 200)


def test_http_1_0_gets_its_answer_and_the_end(shared, token):
    with Raw(shared.http_port) as raw:
        raw.send(f"GET /db/api/v1/ping HTTP/1.0\r\nAuthorization: Bearer {token}\r\n\r\n".encode())
        assert raw.is_closed_within(10)
        assert raw.received.startswith(b"HTTP/1.") and b" 200 " in raw.received.split(b"\r\n")[0]


def test_connection_close_is_obeyed(shared, token):
    with Raw(shared.http_port) as raw:
        raw.send(request("GET", "/ping", token, headers=["Connection: close"]))
        expect(raw.answer(), 200)
        assert raw.is_closed_within(10)


def test_expect_100_continue_works(shared, token):
    body = b'{"key":"k","value":"v"}'
    with Raw(shared.http_port) as raw:
        raw.send(
            request(
                "POST",
                "/set",
                token,
                headers=[f"Content-Length: {len(body)}", "Expect: 100-continue"],
            )
        )
        raw.send(body)
        expect(raw.answer(), 200)


def test_head_answers_without_a_body_or_is_refused(shared, token):
    with Raw(shared.http_port) as raw:
        raw.send(request("HEAD", "/ping", token) + request("GET", "/ping", token))
        while b"\r\n\r\n" not in raw.received:
            raw._more()
        assert raw.received.split(b" ")[1] in (b"200", b"405")


# ---- bad protocol


@pytest.mark.parametrize(
    "garbage",
    [
        b"\r\n\r\n\r\n",
        b"GARBAGE\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET /\r\n\r\n",
        b"\x00" * 64,
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 50,
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1\r\nbad header\r\n\r\n",
        b"GET / HTTP/1.1\r\n: empty\r\n\r\n",
        b"\xff" * 300,
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"GET http://elsewhere/ HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
    ids=repr,
)
def test_what_is_no_http_is_refused_without_harm(shared, api, garbage):
    with Raw(shared.http_port) as raw:
        raw.send(garbage)
        raw.socket.settimeout(1)
        try:
            assert raw.answer().status >= 400
        except (Closed, TimeoutError):
            pass
    still_serves(api)


@pytest.mark.parametrize("size", [17 << 10, 64 << 10, 1 << 20])
def test_headers_over_the_limit_are_refused(shared, token, api, size):
    with Raw(shared.http_port) as raw:
        try:
            raw.send(request("GET", "/ping", token, headers=["X-Large: " + "x" * size]))
            assert raw.answer().status in (400, 413, 431)
        except (Closed, ConnectionError):
            pass
    with Raw(shared.http_port) as raw:
        try:
            raw.send(request("GET", "/get?key=" + "k" * size, token))
            assert raw.answer().status in (400, 413, 414, 431)
        except (Closed, ConnectionError):
            pass
    still_serves(api)


def test_too_many_headers_are_refused(shared, token, api):
    with Raw(shared.http_port) as raw:
        try:
            raw.send(request("GET", "/ping", token, headers=[f"X-{n}: y" for n in range(1000)]))
            assert raw.answer().status in (400, 413, 431)
        except (Closed, ConnectionError):
            pass
    still_serves(api)


def test_headers_below_the_limit_are_fine(shared, token):
    with Raw(shared.http_port) as raw:
        raw.send(
            request("GET", "/ping", token, headers=[f"X-Trace-{n}: {'y' * 100}" for n in range(60)])
        )
        expect(raw.answer(), 200)


# ---- slow and silent clients


@pytest.mark.slow
def test_a_silent_client_is_given_up(shared, api):
    with Raw(shared.http_port) as raw:
        assert raw.is_closed_within(GIVEN_UP_WITHIN)
    still_serves(api)


@pytest.mark.slow
@pytest.mark.parametrize("part", ["head", "body"])
def test_a_client_that_drips_is_given_up(shared, token, api, part):
    """A byte every half second does not keep a connection for ever."""
    whole = request("POST", "/set", token, b'{"key":"slow","value":"' + b"v" * 4000 + b'"}')
    at = 10 if part == "head" else whole.index(b"\r\n\r\n") + 14
    started = time.monotonic()
    with Raw(shared.http_port) as raw:
        raw.send(whole[:at])
        while time.monotonic() - started < GIVEN_UP_WITHIN:
            if raw.is_closed_within(0.5):
                break
            try:
                raw.send(whole[at : at + 1])
            except ConnectionError:
                break
            at += 1
        else:
            pytest.fail("still connected")
    expect(api.get("slow"), 404)


@pytest.mark.slow
def test_silent_clients_do_not_keep_others_waiting(shared, token, api):
    silent = [Raw(shared.http_port) for _ in range(200)]
    for n, raw in enumerate(silent):
        raw.send(request("POST", "/set", token, headers=["Content-Length: 100"])[: 20 + n])
    started = time.monotonic()
    for _ in range(50):
        still_serves(api)
    assert time.monotonic() - started < 10
    for raw in silent:
        raw.close()


def test_a_client_that_reads_slowly_gets_everything(shared, token, api):
    expect(api.set("large", "v" * 1_000_000), 200)
    with Raw(shared.http_port) as raw:
        raw.send(request("GET", "/get?key=large", token) * 5)
        for _ in range(5):
            still_serves(api)
            assert expect(raw.answer(), 200).data == "v" * 1_000_000


def test_a_client_that_never_reads_holds_up_nobody(shared, token, api):
    """Answers of many megabytes wait for a reader; others are served meanwhile."""
    expect(api.set("large", "v" * 1_000_000), 200)
    greedy = [Raw(shared.http_port) for _ in range(5)]
    for raw in greedy:
        raw.send(request("GET", "/get?key=large", token) * 20)
    for _ in range(50):
        still_serves(api)
    for raw in greedy:
        raw.close()
    still_serves(api)


# ---- clients that go away


def test_clients_that_leave_in_the_middle_free_what_they_held(shared, token, api):
    until(lambda: True, "")
    still_serves(api)
    before = gateway_files(shared)
    whole = request("POST", "/set", token, b'{"key":"gone","value":"v"}')
    for cut in range(1, len(whole), 3):
        raw = Raw(shared.http_port)
        raw.send(whole[:cut])
        if cut % 2:
            raw.reset()
        else:
            raw.close()
    still_serves(api)
    until(lambda: gateway_files(shared) <= before + 1, "connections are freed", 15)


def test_clients_that_leave_before_their_answer_free_what_they_held(shared, token, api):
    still_serves(api)
    before = gateway_files(shared)
    for n in range(300):
        raw = Raw(shared.http_port)
        raw.send(request("POST", "/set", token, b'{"key":"left%d","value":"v"}' % n))
        if n % 2:
            raw.reset()
        else:
            raw.close()
    still_serves(api)
    until(lambda: gateway_files(shared) <= before + 1, "connections are freed", 15)
    for key in api.iterate_all("left"):
        assert expect(api.get(key), 200).data == "v"


def test_a_half_closed_connection_gets_its_answer_or_its_end(shared, token, api):
    import socket

    with Raw(shared.http_port) as raw:
        raw.send(request("GET", "/ping", token))
        raw.socket.shutdown(socket.SHUT_WR)
        assert raw.is_closed_within(GIVEN_UP_WITHIN)
    still_serves(api)


# ---- many clients


def test_a_thousand_connections_are_served_at_once(shared, token, api):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    count = min(1000, (hard if hard != resource.RLIM_INFINITY else 4096) - 200)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, count + 200)), hard))
    connections = [Raw(shared.http_port) for _ in range(count)]
    try:
        for n, raw in enumerate(connections):
            raw.send(request("POST", "/set", token, b'{"key":"c%d","value":"v"}' % n))
        for raw in connections:
            expect(raw.answer(), 200)
        for raw in connections:
            raw.send(request("GET", "/get?key=c1", token))
        for raw in connections:
            expect(raw.answer(), 200)
    finally:
        for raw in connections:
            raw.close()
    assert len(api.iterate_all("c")) == count


def test_connections_that_come_and_go_leave_no_descriptors(shared, token, api):
    still_serves(api)
    before = gateway_files(shared)

    def visit():
        for _ in range(100):
            client = Client(shared.http_port, token)
            expect(client.ping(), 200)
            client.close()

    threads = [threading.Thread(target=visit) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    until(lambda: gateway_files(shared) <= before + 1, "descriptors are given back", 15)


# ---- HTTP/2


def test_http_2_without_tls_is_refused_cleanly(shared, api):
    """The contract: HTTP/2 comes with TLS."""
    with Raw(shared.http_port) as raw:
        raw.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00")
        raw.socket.settimeout(2)
        try:
            assert raw.answer().status >= 400
        except (Closed, TimeoutError, ValueError, IndexError):
            pass
        assert not raw.received.startswith(b"\x00\x00"), "it speaks HTTP/2 on the clear port"
    still_serves(api)
