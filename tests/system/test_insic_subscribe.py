"""insic subscribe against scripted servers: what is asked and printed, how a lost stream goes on, and
how it ends."""

import json
import os
import signal
import subprocess
import threading
import time

import pytest

from fake_server import (
    DROP,
    HANG,
    HOLD,
    NO_LEADER,
    Answer,
    ClosedPort,
    FakeServer,
    answer,
    refusal,
    stream,
    three,
)
from harness.wait import until
from insic_tool import INSIC, KEY

FULL = refusal(503, "TOO_MANY_SESSIONS", "no more sessions")


def frame(index, data="null", topic="t"):
    """An event as the server sends it; data are JSON text."""
    text = (
        f'{{"topic":{json.dumps(topic)},"data":{data},"index":{index},'
        '"emitted_at":"2026-01-02T03:04:05.678Z"}'
    )
    return f"id: {index}\ndata: {text}\n\n".encode()


def text(index, data=None, topic="t"):
    return frame(index, json.dumps(data if data is not None else f"e{index}"), topic)


def gap(begin, end):
    return b'data: {"gap":{"from":%d,"to":%d}}\n\n' % (begin, end)


def begun(index):
    return b"id: %d\n: subscribed\n\n" % index


def line(index, topic="t"):
    return f"Received event on topic '{topic}': e{index}"


def resumed(server):
    """The Last-Event-ID of each request."""
    return [asked.headers.get("last-event-id") for asked in server.asked]


def follow(insic, server, *arguments):
    return insic.start("--endpoint", server.url, "--key", KEY, "subscribe", *arguments)


# ---- what is asked, and printed


def test_subscribe_asks_for_the_topic(insic):
    with FakeServer(stream(begun(3), text(4), HOLD)) as server:
        with follow(insic, server, "a b*") as running:
            assert running.wait_lines(1) == [line(4)]
            run = running.end(signal.SIGTERM)
        assert (run.status, run.err) == (0, b"")
        assert (server.last.method, server.last.path) == ("GET", "/db/api/v1/events/stream")
        assert server.last.query == {"topic": "a b*"} and resumed(server) == [None]
        assert (server.last.token, server.last.headers["accept"]) == (KEY, "text/event-stream")


@pytest.mark.parametrize("words", ["t --after 42", "--after 42 t", "t --after=42"])
def test_after_is_passed_on(insic, words):
    with FakeServer(stream(text(42), text(43), HOLD)) as server:
        with follow(insic, server, *words.split()) as running:
            running.wait_lines(1)
            assert running.end(signal.SIGINT).out.decode() == line(43) + "\n"
        assert server.last.query == {"topic": "t", "after": "42"}


@pytest.mark.parametrize(
    "words, message",
    [
        ("t --after x", "--after must be the index of an event such as 42, not 'x'."),
        ("t --after -1", "--after must be the index of an event such as 42, not '-1'."),
        ("t --after=", "--after must be the index of an event such as 42, not ''."),
        ("t --after", "'subscribe' takes a topic, and perhaps --after N."),
        ("--after 5", "'subscribe' takes a topic, and perhaps --after N."),
        ("a b", "'subscribe' takes a topic, and perhaps --after N."),
    ],
)
def test_subscribe_takes_a_topic_and_an_index(insic, words, message):
    with FakeServer() as server:
        run = insic.at(server, "subscribe", *words.split())
    assert run.status == 2 and not server.asked
    assert run.error == f"Error: {message}\nUsage: insic subscribe <topic> [--after N]\n"


def test_behind_two_dashes_a_topic_may_look_like_a_flag(insic):
    with FakeServer(stream(text(1, topic="--after"), HOLD)) as server:
        with follow(insic, server, "--", "--after") as running:
            assert running.wait_lines(1) == [line(1, "--after")]
        assert server.last.query == {"topic": "--after"}


@pytest.mark.parametrize(
    "data, printed",
    [
        ('"plain"', "plain"),
        ('""', ""),
        ('" \\"a\\\\ \\u20ac\\ud83d\\ude00 "', ' "a\\ €😀 '),
        ('"a\\nb"', "a\nb"),
        ('"a\\u0000b\\u001b[2J"', "a\0b\x1b[2J"),
        ("null", "null"),
        ("true", "true"),
        ("-1.10", "-1.10"),
        ("123456789012345678901234567890", "123456789012345678901234567890"),
        ("1E400", "1E400"),
        ("[]", "[]"),
        ('{ "b" : [ 1.0, " " ], "a": "€" }', '{"b":[1.0," "],"a":"€"}'),
        ('{"gap":{"from":1,"to":2},"index":9}', '{"gap":{"from":1,"to":2},"index":9}'),
    ],
)
def test_strings_are_bare_and_other_json_is_json(insic, data, printed):
    with FakeServer(stream(frame(1, data), text(2), HOLD)) as server:
        with follow(insic, server, "t") as running:
            until(lambda: line(2) in running.out.decode(), "both events")
            out = running.end(signal.SIGTERM).out.decode()
    assert out == f"Received event on topic 't': {printed}\n{line(2)}\n"


@pytest.mark.parametrize("data", [b'"\\ud800"', b'"\xff"', b'"\xe2\x82"', b'["\xff"]'])
def test_what_is_no_text_is_printed_as_it_came(insic, data):
    bad = frame(1, "DATA").replace(b"DATA", data)
    with FakeServer(stream(bad, text(2), HOLD)) as server:
        with follow(insic, server, "t") as running:
            until(lambda: running.out.count(b"\n") == 2, "both events")
            out = running.end(signal.SIGTERM).out
    assert out == b"Received event on topic 't': " + data + b"\n" + line(2).encode() + b"\n"


def test_the_topic_is_the_events(insic):
    pieces = [text(1, topic="news/a"), text(2, topic="news/'ü'\n"), HOLD]
    with FakeServer(stream(*pieces)) as server:
        with follow(insic, server, "news/*") as running:
            running.wait_lines(3)
            out = running.end(signal.SIGTERM).out.decode()
    assert out == line(1, "news/a") + "\n" + line(2, "news/'ü'\n") + "\n"


def test_as_json_a_line_is_the_frame(insic):
    pieces = [gap(1, 4), frame(5, '{"a": 1.10}'), HOLD]
    with FakeServer(stream(*pieces)) as server:
        with follow(insic, server, "-o", "json", "t", "--after", "0") as running:
            lines = running.wait_lines(2)
            run = running.end(signal.SIGTERM)
    assert lines == [
        '{"gap":{"from":1,"to":4}}',
        '{"topic":"t","data":{"a": 1.10},"index":5,"emitted_at":"2026-01-02T03:04:05.678Z"}',
    ]
    assert run.error == "Gap: events with index 1 to 4 are no longer kept.\n"


def test_a_line_waits_for_no_other(insic):
    """Every event is there before the next one is sent."""
    running = None

    def seen(count):
        return lambda: running.wait_lines(count)

    ready = threading.Event()
    pieces = [begun(0), ready.wait]
    for index in range(1, 6):
        pieces += [text(index), seen(index), b": ping\n\n"]
    with FakeServer(stream(*pieces, HOLD)) as server, follow(insic, server, "t") as running:
        ready.set()
        assert running.wait_lines(5) == [line(index) for index in range(1, 6)]


def test_a_frame_may_be_cut_anywhere(insic):
    body = b"\xef\xbb\xbf: hello\r\n\r\n" + frame(1, '"€"').replace(b"\n", b"\r\n") + text(2)
    pieces = [body[at : at + 1] for at in range(len(body))]
    with FakeServer(stream(*pieces, HOLD)) as server, follow(insic, server, "t") as running:
        assert running.wait_lines(2) == ["Received event on topic 't': €", line(2)]


def test_many_and_large_events(insic):
    large = "x" * 3_000_000
    pieces = [b"".join(text(index) for index in range(1, 50_001)), text(50_001, large)]
    with FakeServer(stream(*pieces, HOLD)) as server, follow(insic, server, "t") as running:
        lines = running.wait_lines(50_001, timeout=30)
    assert lines[:50_000] == [line(index) for index in range(1, 50_001)]
    assert lines[50_000] == f"Received event on topic 't': {large}"


# ---- going on


def test_a_stream_that_ends_goes_on_behind_the_last_event(insic):
    first = stream(text(5), text(9), cut=True)
    second = stream(text(9), text(12))
    with FakeServer(first, second, stream(text(9), text(12), text(13), HOLD)) as server:
        with follow(insic, server, "t", "--after", "3") as running:
            lines = running.wait_lines(4)
            run = running.end(signal.SIGINT)
        assert lines == [line(5), line(9), line(12), line(13)]
        assert resumed(server) == [None, "9", "12"]
        assert {asked.query["topic"] for asked in server.asked} == {"t"}
    assert run.status == 0
    errors = run.error.splitlines()
    assert [error.partition(":")[0] for error in errors] == ["Lost http", "Connected again, to http"] * 2
    assert errors[0].startswith(f"Lost {server.url}: ") and errors[0].endswith(". Connecting again.")
    assert errors[1] == f"Connected again, to {server.url}."
    assert errors[2] == f"Lost {server.url}: the server ended the stream. Connecting again."


def test_before_the_first_event_it_goes_on_where_it_was_subscribed(insic):
    with FakeServer(stream(begun(17)), stream(text(18), HOLD)) as server:
        with follow(insic, server, "t") as running:
            assert running.wait_lines(1) == [line(18)]
        assert resumed(server) == [None, "17"]


def test_what_the_server_says_of_its_position_counts(insic):
    with FakeServer(stream(text(5), begun(30)), stream(text(31), HOLD)) as server:
        with follow(insic, server, "t") as running:
            assert running.wait_lines(2) == [line(5), line(31)]
        assert resumed(server) == [None, "30"]


def test_an_event_behind_its_position_is_printed_all_the_same(insic):
    with FakeServer(stream(begun(30), text(20), text(31), text(20), HOLD)) as server:
        with follow(insic, server, "t") as running:
            assert running.wait_lines(2) == [line(20), line(31)]


def test_what_may_be_missing_is_told(insic):
    """A server that does not say where the subscription begins."""
    with FakeServer(stream(b": hello\n\n"), stream(text(5), HOLD)) as server:
        with follow(insic, server, "t") as running:
            assert running.wait_lines(1) == [line(5)]
            run = running.end(signal.SIGTERM)
        assert resumed(server) == [None, None]
    assert run.error.splitlines()[2:] == ["Gap: events of the time in between may be missing."]


def test_a_gap_is_told_and_the_position_moves_on(insic):
    pieces = [gap(4, 90), text(95)]
    with FakeServer(stream(gap(4, 90)), stream(*pieces, HOLD)) as server:
        with follow(insic, server, "t", "--after", "3") as running:
            assert running.wait_lines(1) == [line(95)]
            run = running.end(signal.SIGTERM)
        assert resumed(server) == [None, "90"]
    told = [error for error in run.error.splitlines() if "Gap" in error]
    assert told == ["Gap: events with index 4 to 90 are no longer kept."]


def test_the_next_node_takes_over_at_once(insic):
    with three(
        insic,
        [stream(begun(1), text(2), HOLD)],
        [stream(text(2), text(3), HOLD)],
        [stream(text(4), HOLD)],
    ) as servers:
        with insic.start("--root", "subscribe", "t") as running:
            running.wait_lines(1)
            servers[0].__exit__()
            running.wait_lines(2)
            servers[1].__exit__()
            assert running.wait_lines(3) == [line(2), line(3), line(4)]
            run = running.end(signal.SIGTERM)
        assert [resumed(server) for server in servers] == [[None], ["2"], ["3"]]
    assert [error.split(" (")[0] for error in run.error.splitlines()] == [
        "Lost node0",
        "Connected again, to node1",
        "Lost node1",
        "Connected again, to node2",
    ]


def test_a_node_without_room_or_leader_is_passed_over(insic):
    with three(insic, [FULL], [NO_LEADER], [stream(text(2), HOLD)]) as servers:
        with insic.start("--root", "subscribe", "t") as running:
            assert running.wait_lines(1) == [line(2)]
            assert running.end(signal.SIGTERM).err == b""
        assert [len(server.asked) for server in servers] == [1, 1, 1]


def test_it_keeps_trying_and_says_so_once(insic):
    down = [DROP, NO_LEADER, FULL, Answer(502, b"bad gateway"), refusal(429, "RATE_LIMITED")]
    with FakeServer(stream(text(1)), *down, stream(text(2), HOLD)) as server:
        with follow(insic, server, "t") as running:
            assert running.wait_lines(2, timeout=20) == [line(1), line(2)]
            run = running.end(signal.SIGTERM)
        assert resumed(server) == [None] + ["1"] * 6
    assert len(run.error.splitlines()) == 2


def test_the_pauses_grow(insic):
    times = []

    def respond(_):
        times.append(time.monotonic())
        return stream(begun(1)) if len(times) > 1 else stream(text(1))

    with FakeServer(respond=respond) as server, follow(insic, server, "t"):
        until(lambda: len(times) == 6, "six attempts", timeout=20)
    pauses = [after - before for before, after in zip(times, times[1:])]
    assert pauses[0] < 1 and all(
        pause >= least for pause, least in zip(pauses[1:], [0.1, 0.2, 0.4, 0.8])
    )


def test_a_target_is_asked_alone(insic):
    with three(insic, [HANG], [stream(text(1)), stream(text(2), HOLD)], [HANG]) as servers:
        with insic.start("--root", "--target", "node1", "subscribe", "t") as running:
            assert running.wait_lines(2) == [line(1), line(2)]
        assert [len(server.asked) for server in servers] == [0, 2, 0]


def test_a_node_that_does_not_answer_is_left(insic):
    with three(insic, [HANG], [stream(text(1), HOLD)], [HANG]) as servers:
        with insic.start("--root", "--timeout", "900ms", "subscribe", "t") as running:
            assert running.wait_lines(1) == [line(1)]
            time.sleep(1)  # the time is for the answer, not for the stream
            assert running.end(signal.SIGTERM).err == b""
        assert [len(server.asked) for server in servers] == [1, 1, 0]


def test_a_server_that_says_nothing_any_more_is_left(insic):
    silent, alive = [stream(text(1), HOLD)], [stream(text(2), HOLD)]
    more = "sessions: {pingInterval: 100ms}\n"
    with three(insic, silent, alive, [HANG], more=more):
        with insic.start("--root", "subscribe", "t") as running:
            assert running.wait_lines(2) == [line(1), line(2)]
            running.wait_error("nothing came for too long. Connecting again.")


def test_comments_keep_a_stream(insic):
    pieces = [text(1)] + [lambda: time.sleep(0.5), b":\n\n"] * 6 + [text(2), HOLD]
    with FakeServer(stream(*pieces)) as server:
        insic.configure(server.binding, more="sessions: {pingInterval: 100ms}\n")
        with insic.start("--root", "subscribe", "t") as running:
            assert running.wait_lines(2) == [line(1), line(2)]
            assert running.end(signal.SIGTERM).err == b""


# ---- ends


@pytest.mark.parametrize(
    "refused, message",
    [
        (refusal(401, "AUTHENTICATION_FAILED", "who?"), "who? (AUTHENTICATION_FAILED)"),
        (refusal(403, "FORBIDDEN", "no"), "no (FORBIDDEN)"),
        (refusal(400, "BAD_REQUEST", "no topic"), "no topic (BAD_REQUEST)"),
        (refusal(404, "NOT_FOUND", "no such path"), "no such path (NOT_FOUND)"),
        (Answer(200, b"hello"), "HTTP 200 from URL is no answer of an INSI server."),
        (Answer(302, b"", {"Location": "/"}), "HTTP 302 from URL is no answer of an INSI server."),
    ],
    ids=["401", "403", "400", "404", "200", "302"],
)
@pytest.mark.parametrize("when", ["at once", "later"])
def test_a_refusal_ends_it(insic, refused, message, when):
    before = [stream(text(1))] if when == "later" else []
    with three(insic, [*before, refused], [refused], [HANG]) as servers:
        run = insic("--root", "subscribe", "t")
        asked = [len(server.asked) for server in servers]
    assert run.status == 1
    refusing = servers[1 if before else 0]
    assert run.error.splitlines()[-1] == "Error: " + message.replace("URL", refusing.url)
    assert asked == ([1, 1, 0] if before else [1, 0, 0])


def test_as_json_the_refusal_is_on_stdout_too(insic):
    with FakeServer(refusal(401, "AUTHENTICATION_FAILED", "who?")) as server:
        run = insic.at(server, "-o", "json", "subscribe", "t")
    assert run.status == 1 and json.loads(run.out)["error_type"] == "AUTHENTICATION_FAILED"


def test_before_the_first_stream_every_node_is_asked_once(insic):
    with three(insic, [NO_LEADER], [FULL], [DROP]) as servers:
        run = insic("--root", "subscribe", "t")
        assert [len(server.asked) for server in servers] == [1, 1, 1]
    assert (run.status, run.error) == (1, "Error: no more sessions (TOO_MANY_SESSIONS)\n")


def test_all_nodes_down(insic):
    with ClosedPort() as one, ClosedPort() as two:
        insic.configure(one.binding, two.binding)
        run = insic("--root", "subscribe", "t")
    assert run.status == 1
    assert [error[:12] for error in run.error.splitlines()] == [
        "Error: no no",
        "  node0 (htt",
        "  node1 (htt",
    ]


@pytest.mark.parametrize("body", [b"{}", b"[]", b"hello", b'{"topic":"t","data":1,"index":"1"}',
                                  b'{"topic":"t","index":1}', b'{"gap":{"from":1}}', b""])  # fmt: skip
def test_a_frame_that_lacks_something_ends_it(insic, body):
    with FakeServer(stream(text(1), b"data: " + body + b"\n\n", HOLD)) as server:
        run = insic.at(server, "subscribe", "t")
    assert (run.status, run.text) == (1, line(1) + "\n")
    assert run.error == "Error: the server's answer lacks what was asked for.\n"


def test_events_of_other_types_are_not_for_us(insic):
    other = b"event: news\ndata: hello\n\n"
    with FakeServer(stream(other, text(1), other, text(2), HOLD)) as server:
        with follow(insic, server, "t") as running:
            assert running.wait_lines(2) == [line(1), line(2)]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("when", ["connecting", "between events", "between streams"])
def test_a_signal_ends_it_in_order(insic, number, when):
    answers = {
        "connecting": [HANG],
        "between events": [stream(text(1), HOLD)],
        "between streams": [stream(text(1)), DROP],
    }[when]
    with FakeServer(*answers) as server, follow(insic, server, "t") as running:
        if when == "connecting":
            until(lambda: server.asked, "the request")
        else:
            running.wait_lines(1)
        if when == "between streams":
            until(lambda: len(server.asked) >= 4, "attempts")
        run = running.end(number)
    assert run.status == 0
    assert run.text == ("" if when == "connecting" else line(1) + "\n")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_while_nobody_takes_what_it_prints(insic, number):
    reading, writing = os.pipe()
    large = text(1, "x" * 1_000_000)
    with FakeServer(stream(large, large.replace(b"1", b"2"), HOLD)) as server:
        running = insic.start(
            "--endpoint", server.url, "--key", KEY, "subscribe", "t", stdout=writing
        )
        with running:
            os.close(writing)
            assert os.read(reading, 10) == b"Received e"
            assert running.end(number).status == 0
    os.close(reading)


@pytest.mark.parametrize("when", ["between events", "between streams", "printing"])
def test_a_reader_that_is_gone_ends_it_without_a_word(insic, when):
    answers = [stream(text(1), HOLD)]
    if when == "between streams":
        answers = [stream(text(1)), DROP]
    if when == "printing":
        answers = [stream(text(1), text(2, "x" * 1_000_000), HOLD)]
    reading, writing = os.pipe()
    with FakeServer(*answers) as server:
        running = insic.start(
            "--endpoint", server.url, "--key", KEY, "subscribe", "t", stdout=writing
        )
        with running:
            os.close(writing)
            assert os.read(reading, 10) == b"Received e"
            if when == "between streams":
                until(lambda: len(server.asked) >= 4, "attempts")
            os.close(reading)
            run = running.end()
    assert run.status == 1
    assert run.error == "" or (when == "between streams" and len(run.error.splitlines()) == 1)


def test_the_first_lines_are_enough(insic):
    with FakeServer(stream(text(1), text(2), HOLD)) as server:
        command = f"{INSIC} --endpoint {server.url} --key k subscribe t | head -n 2"
        run = subprocess.run(
            ["bash", "-c", command], capture_output=True, timeout=20, check=False
        )
    assert (run.stdout.decode(), run.stderr) == (line(1) + "\n" + line(2) + "\n", b"")


def test_a_full_disk_ends_it(insic):
    with FakeServer(stream(text(1), HOLD)) as server, open("/dev/full", "wb") as full:
        run = insic.at(server, "subscribe", "t", stdout=full)
    assert run.status == 1
    assert run.error == "Error: cannot write to stdout: No space left on device.\n"
