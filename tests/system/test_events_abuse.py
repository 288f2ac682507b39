"""Clients that break the WebSocket protocol: each is ended with the right close code, everybody
else goes on, and nothing of them stays."""

import os
import random
import socket
import time

import pytest

from harness import binaries
from harness.client import expect
from harness.cluster import Cluster
from harness.processes import open_files, private_kib
from harness.raw import Raw, request
from harness.subscriber import Refused, Subscriber, subscription
from harness.wait import until
from harness.websocket import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    RawSocket,
    close_frame,
    frame,
    handshake,
)

LIMIT = 40


@pytest.fixture(scope="module")
def arena():
    """A node with few places, for all tests of this file."""
    cluster = Cluster(1, sessions={"maxConnections": LIMIT})
    cluster.start()
    cluster.token = cluster.create_key("arena")
    yield cluster
    problems = cluster.finish(False, "arena")
    assert not problems, "\n".join(problems)


@pytest.fixture
def node(arena):
    """Its node. Meanwhile somebody else is subscribed, who must not notice anything; afterwards
    all places are free again."""
    node, positions = arena.nodes[0], arena.log_positions()
    with Subscriber(node, arena.token, "t") as bystander:
        yield node
        client = node.client(arena.token)
        index = expect(client.publish("t", "afterwards"), 200).index
        client.close()
        bystander.wait_index(index)
        assert bystander.is_open()
    fill(node, arena.token)
    assert node.is_running() and not arena.log_problems(positions)


@pytest.fixture
def token(arena):
    return arena.token


def fill(node, token):
    """All places are to be had."""
    opened = []

    def full():
        try:
            opened.append(RawSocket(node, token, "t"))
        except Refused as refused:
            assert refused.status == 503
        return len(opened) == LIMIT

    until(full, f"all {LIMIT} places are free", 20, 0.02)
    with pytest.raises(Refused):
        RawSocket(node, token, "t")
    for raw in opened:
        raw.send(close_frame(1000))
    for raw in opened:
        raw.end()
        raw.close()


def ends_with(node, token, data, code):
    with RawSocket(node, token, "t") as raw:
        raw.send(data)
        assert raw.end()[1] == code
        assert raw.is_closed_within(0.1)


# ---- protocol errors


LONG = b"x" * 126
ERRORS = {
    "unmasked text": frame(TEXT, b"x", masked=False),
    "unmasked ping": frame(PING, b"x", masked=False),
    "unmasked close": frame(CLOSE, b"\x03\xe8", masked=False),
    "reserved bit 1 (no compression was agreed)": frame(TEXT, b"x", reserved=4),
    "reserved bit 2": frame(TEXT, b"x", reserved=2),
    "reserved bit 3": frame(TEXT, b"x", reserved=1),
    "reserved bits of a ping": frame(PING, b"x", reserved=7),
    "reserved bit of a close": frame(CLOSE, b"\x03\xe8", reserved=4),
    **{f"opcode {code}": frame(code, b"x") for code in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)},
    "a long ping": frame(PING, LONG),
    "a long pong": frame(PONG, LONG),
    "a long close": frame(CLOSE, b"\x03\xe8" + LONG),
    "a fragmented ping": frame(PING, b"x", fin=False),
    "a fragmented close": frame(CLOSE, b"\x03\xe8", fin=False),
    "a continuation of nothing": frame(CONTINUATION, b"x"),
    "an open continuation of nothing": frame(CONTINUATION, b"x", fin=False),
    "a continuation behind the end": frame(TEXT, b"x") + frame(CONTINUATION, b"y"),
    "a text within a text": frame(TEXT, b"x", fin=False) + frame(TEXT, b"y"),
    "a binary within a text": frame(TEXT, b"x", fin=False) + frame(BINARY, b"y", fin=False),
    "a length with its highest bit": frame(BINARY, b"", length=b"\x7f" + b"\xff" * 8),
    "a close of one byte": frame(CLOSE, b"\x03"),
}
BAD_CODES = [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535]


@pytest.mark.parametrize("data", ERRORS.values(), ids=ERRORS.keys())
def test_a_breach_of_the_protocol_ends_with_1002(node, token, data):
    ends_with(node, token, data, 1002)


def test_close_codes_that_nobody_may_send_end_with_1002(node, token):
    for code in BAD_CODES:
        ends_with(node, token, close_frame(code, b"reason"), 1002)


def test_a_close_is_answered_with_its_code(node, token):
    for code in (1000, 1001, 1002, 1003, *range(1007, 1015), 3000, 3999, 4000, 4008, 4999):
        ends_with(node, token, close_frame(code, "grüße".encode()), code)
    ends_with(node, token, close_frame(1000, b"x" * 123), 1000)
    with RawSocket(node, token, "t") as raw:
        raw.send(close_frame())
        assert raw.end()[1] in (1000, 1005)


def test_nothing_is_read_behind_a_close(node, token):
    behind = frame(TEXT, b"x", masked=False) + frame(PING, b"y") + os.urandom(100)
    ends_with(node, token, close_frame(1000) + behind, 1000)


# ---- text


BAD_TEXTS = [
    b"\xff",
    b"\xc0\x80",
    b"\xed\xa0\x80",
    b"\xf4\x90\x80\x80",
    b"\xf8\x88\x80\x80\x80",
    b"good until \xe2\x82",
    b"\x80",
]


def test_text_that_is_no_utf_8_ends_with_1007(node, token):
    for text in BAD_TEXTS:
        ends_with(node, token, frame(TEXT, text), 1007)
        ends_with(
            node,
            token,
            frame(TEXT, b"good ", fin=False)
            + frame(CONTINUATION, b"", fin=False)
            + frame(CONTINUATION, text),
            1007,
        )


def test_bad_utf_8_across_fragments_ends_with_1007(node, token):
    ends_with(node, token, frame(TEXT, b"\xe2", fin=False) + frame(CONTINUATION, b"x"), 1007)


def test_a_reason_that_is_no_utf_8_ends_with_1007(node, token):
    for text in BAD_TEXTS:
        ends_with(node, token, close_frame(1000, text), 1007)


def test_a_character_may_be_cut_by_fragments(node, token):
    text = "grüße € \U0001f600".encode()
    with RawSocket(node, token, "t") as raw:
        raw.send(frame(TEXT, text[:1], fin=False))
        for at in range(1, len(text)):
            raw.send(frame(CONTINUATION, text[at : at + 1], fin=False))
        raw.send(frame(CONTINUATION, b"") + frame(PING, b"fine"))
        assert raw.next_control() == (PONG, b"fine")


# ---- sizes


def test_what_a_subscriber_says_is_passed_over_while_it_is_short(node, token):
    with RawSocket(node, token, "t") as raw:
        for size in (0, 1, 125, 126, 1000):
            raw.send(frame(TEXT, b"x" * size))
        raw.send(frame(PING, b"still here"))
        assert raw.next_control() == (PONG, b"still here")


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_a_message_that_is_too_long_ends_with_1009(node, token, opcode):
    ends_with(node, token, frame(opcode, b"x" * 100_000), 1009)
    for size in (1 << 16, 1 << 32, 1 << 40, (1 << 63) - 1):  # with its first byte, not its last
        head = frame(opcode, b"", length=b"\x7f" + size.to_bytes(8, "big"))
        ends_with(node, token, head + b"x", 1009)


def test_fragments_that_add_up_end_with_1009(node, token):
    with RawSocket(node, token, "t") as raw:
        raw.send(frame(TEXT, b"x" * 100, fin=False))
        try:
            for _ in range(1000):
                raw.send(frame(CONTINUATION, b"x" * 100, fin=False))
        except ConnectionError:
            pass
        assert raw.end()[1] == 1009


def test_empty_fragments_without_end_cost_nothing(node, token):
    """They add up to nothing, so they may go on: other frames are served between them."""
    with RawSocket(node, token, "t") as raw:
        raw.send(frame(TEXT, b"", fin=False))
        for n in range(20):
            raw.send(frame(CONTINUATION, b"", fin=False) * 500 + frame(PING, b"%d" % n))
            opcode, payload = raw.next_control()
            if opcode == CLOSE:
                assert int.from_bytes(payload[:2], "big") in (1008, 1009)
                break
            assert (opcode, payload) == (PONG, b"%d" % n)


# ---- fragments and time


def test_control_frames_may_come_between_fragments(node, token):
    with RawSocket(node, token, "t") as raw:
        raw.send(frame(TEXT, b"a", fin=False) + frame(PING, b"1"))
        assert raw.next_control() == (PONG, b"1")
        raw.send(frame(CONTINUATION, b"b", fin=False) + frame(PING, b"2") + frame(PONG))
        assert raw.next_control() == (PONG, b"2")
        raw.send(frame(CONTINUATION, b"c") + frame(PING, b"3"))
        assert raw.next_control() == (PONG, b"3")


def test_frames_may_come_byte_by_byte(node, token):
    with RawSocket(node, token, "t") as raw:
        for byte in frame(TEXT, b"x" * 300) + frame(PING, b"slowly"):
            raw.send(bytes([byte]))
        assert raw.next_control() == (PONG, b"slowly")
        for byte in close_frame(1000, b"bye"):
            raw.send(bytes([byte]))
        assert raw.end()[1] == 1000


@pytest.mark.parametrize(
    "fragment",
    [frame(TEXT, b"x", fin=False), frame(TEXT, b"x" * 1000)[:-1], b"\x81"],
    ids=["fragment", "part of a frame", "a byte"],
)
def test_events_come_while_a_message_is_without_its_end(node, token, fragment):
    with RawSocket(node, token, "t") as raw:
        raw.send(fragment)
        client = node.client(token)
        for n in range(20):
            expect(client.publish("t", n), 200)
        client.close()
        assert ['"data":%d,' % n in raw.next_text() for n in range(20)] == [True] * 20


def test_a_half_frame_and_then_silence_is_given_up(make_cluster):
    """No pong can come any more."""
    cluster = make_cluster(sessions={"pingInterval": "500ms"}).start()
    with RawSocket(cluster.nodes[0], cluster.create_key("tenant"), "t") as raw:
        raw.send(frame(TEXT, b"x" * 1000)[:-1])
        assert raw.end(10) == ([], None)


def test_half_closed_is_closed(node, token):
    with RawSocket(node, token, "t") as raw:
        raw.socket.shutdown(socket.SHUT_WR)
        raw.end(10)


# ---- handshakes


def test_handshakes_that_drip_hold_up_nobody(node, token):
    whole = handshake("t", token)
    dripping = [Raw(node.http_port) for _ in range(100)]
    for turn in range(20):
        for raw in dripping:
            raw.send(whole[turn : turn + 1])
    started = time.monotonic()
    for _ in range(LIMIT // 2):
        with RawSocket(node, token, "t") as raw:
            raw.send(close_frame(1000))
            assert raw.end()[1] == 1000
    assert time.monotonic() - started < 10
    for raw in dripping[::2]:
        raw.reset()
    for raw in dripping[1::2]:  # which get there in the end
        raw.send(whole[20:])
    statuses = []
    for raw in dripping[1::2]:
        raw._more()
        statuses.append(int(raw.received.split()[1]))
    for raw in dripping:
        raw.close()
    assert set(statuses) == {101, 503} and statuses.count(101) <= LIMIT - 1


def test_a_handshake_with_a_body_or_in_http_1_0_is_refused(node, token):
    whole = handshake("t", token)
    for data in (
        whole.replace(b"HTTP/1.1", b"HTTP/1.0"),
        whole.replace(b"GET ", b"POST ", 1),
        whole.replace(b"Upgrade: WebSocket", b"Upgrade: h2c"),
        whole.replace(b"Connection: keep-alive, Upgrade", b"Connection: keep-alive"),
    ):
        with Raw(node.http_port) as raw:
            raw.send(data)
            assert 400 <= raw.answer().status < 500


# ---- floods


def test_a_flood_of_pings_is_answered_or_ended_and_bounded(node, token):
    """Its answers are not read: the node must not keep them all."""
    gateway = node.worker("gateway")
    before = private_kib(gateway.pid)
    with RawSocket(node, token, "t", receive_buffer=8192) as raw:
        raw.socket.settimeout(2)
        flood = frame(PING, b"x" * 125) * 1000
        try:
            for _ in range(1000):  # 130 MB
                raw.send(flood)
        except (ConnectionError, TimeoutError):
            pass
        assert binaries.sanitized() or private_kib(gateway.pid) - before < 60_000
    with RawSocket(node, token, "t") as raw:  # read, at least the last one of many is answered
        for turn in range(20):
            raw.send(b"".join(frame(PING, b"%d" % (100 * turn + n)) for n in range(100)))
            answers = []
            while b"%d" % (100 * turn + 99) not in answers:
                opcode, payload = raw.next_control()
                assert opcode == PONG
                answers.append(payload)
            assert sorted(answers, key=int) == answers


def test_a_flood_of_text_is_read_and_forgotten(node, token):
    with RawSocket(node, token, "t") as raw:
        for _ in range(100):
            raw.send(frame(TEXT, b"x" * 1000) * 100)
        raw.send(frame(PING, b"end"))
        assert raw.next_control() == (PONG, b"end")


def test_sessions_that_come_and_go_leave_nothing(node, token):
    def cycle(count):
        for n in range(count):
            raw = RawSocket(node, token, "t*", after=0)
            if n % 3 == 0:
                raw.send(close_frame(1000))
                raw.end()
                raw.close()
            elif n % 3 == 1:
                raw.reset()
            else:
                raw.close()

    gateway, events = node.worker("gateway"), node.worker("events")
    cycle(30)
    files = open_files(gateway.pid)
    memory = [private_kib(one.pid) for one in (gateway, events)]
    for _ in range(10):
        cycle(30)
    until(lambda: open_files(gateway.pid) <= files + 2, "descriptors are given back", 15)
    after = [private_kib(one.pid) for one in (gateway, events)]
    grown = [now - then for now, then in zip(after, memory)]
    assert binaries.sanitized() or max(grown) < 4000, (memory, after)


# ---- at random


def test_frames_at_random_and_damaged_ones_end_in_order_or_go_on(node, token):
    seed = random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    good = [frame(TEXT, b"hello"), frame(PING, b"x"), frame(PONG), frame(TEXT, b"a", fin=False)]
    good += [frame(CONTINUATION, b"b"), frame(BINARY, b"\x00" * 200)]
    for _ in range(150):
        data = bytearray(b"".join(chance.choice(good) for _ in range(chance.randrange(1, 8))))
        for _ in range(chance.randrange(3)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        if chance.random() < 0.2:
            data = bytearray(chance.randbytes(chance.randrange(1, 200)))
        with RawSocket(node, token, "t") as raw:
            try:
                raw.send(bytes(data))
                raw.send(close_frame(1000))
                raw.socket.shutdown(socket.SHUT_WR)
            except OSError:
                pass
            code = raw.end()[1]
            assert code in (None, 1000, 1001, 1002, 1003, 1005, 1007, 1009) or 1000 <= code < 5000


@pytest.mark.parametrize("size", [1, 100, 5000, 1_000_000])
def test_what_is_said_behind_the_request_of_a_stream_is_thrown_away(node, token, size):
    """It neither ends the stream, nor hides that the client leaves."""
    for leave in ("close", "reset", "shut"):
        with Raw(node.http_port) as raw:
            raw.send(request("GET", subscription("stream", "t"), token))
            raw._more()
            assert raw.received.startswith(b"HTTP/1.1 200 ")
            raw.send(os.urandom(size))
            client = node.client(token)
            index = expect(client.publish("t", leave), 200).index
            client.close()
            while b"id: %d\n" % index not in raw.received:
                raw._more()
            if leave == "shut":
                raw.socket.shutdown(socket.SHUT_WR)
                assert raw.is_closed_within(10)
            elif leave == "reset":
                raw.reset()
