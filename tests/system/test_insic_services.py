"""insic cache, atomic and queue against a scripted server: what is asked, what is printed."""

import time

import pytest

from fake_server import FakeServer, answer, refusal


def posted(server, path, body):
    assert (server.last.method, server.last.path) == ("POST", "/db/api/v1" + path)
    assert server.last.json == body


# ---- what is sent, and OK


@pytest.mark.parametrize(
    "arguments, path, body",
    [
        ("cache set k v 90s", "/cache/set", {"key": "k", "value": "v", "ttl": 90}),
        ("cache set k v 1h30m", "/cache/set", {"key": "k", "value": "v", "ttl": 5400}),
        ("cache set k v 250ms", "/cache/set", {"key": "k", "value": "v", "ttl": 0.25}),
        ("cache set k -5 1m", "/cache/set", {"key": "k", "value": "-5", "ttl": 60}),
        ("cache delete k", "/cache/delete", {"key": "k"}),
        ("atomic new k", "/atomic/new", {"key": "k", "overwrite": False}),
        ("atomic new k false", "/atomic/new", {"key": "k", "overwrite": False}),
        ("atomic new k true", "/atomic/new", {"key": "k", "overwrite": True}),
        ("atomic delete k", "/atomic/delete", {"key": "k"}),
        ("queue new k", "/queue/new", {"key": "k"}),
        ("queue delete k", "/queue/delete", {"key": "k"}),
    ],
)
def test_a_write_is_posted_and_prints_ok(insic, arguments, path, body):
    with FakeServer(answer(index=7)) as server:
        run = insic.at(server, *arguments.split())
    assert (run.status, run.out, run.err) == (0, b"OK\n", b"")
    posted(server, path, body)


@pytest.mark.parametrize(
    "arguments, path, members, printed",
    [
        ("cache get k", "/cache/get", {"data": "v\0w", "ttl": 1.5}, "v\0w\n"),
        ("atomic get k", "/atomic/get", {"key": "k", "value": 0}, "0\n"),
        ("queue length k", "/queue/length", {"key": "k", "length": 12}, "12\n"),
        ("queue peek k", "/queue/peek", {"key": "k", "value": "first"}, "first\n"),
    ],
)
def test_a_read_asks_for_the_key_and_prints_what_it_is(insic, arguments, path, members, printed):
    with FakeServer(answer(**members)) as server:
        run = insic.at(server, *arguments.split())
    assert (run.status, run.text, run.err) == (0, printed, b"")
    assert (server.last.method, server.last.path) == ("GET", "/db/api/v1" + path)
    assert server.last.query == {"key": "k"}


def test_cache_get_of_what_is_not_there(insic):
    with FakeServer(refusal(404, "NOT_FOUND", "gone")) as server:
        run = insic.at(server, "cache", "get", "a b")
    assert (run.status, run.out, run.error) == (1, b"", "Error: Key 'a b' not found.\n")


@pytest.mark.parametrize("ttl", ["", "x", "5", "-5s", "0s", "5 s", "1.5s", "s", "99999999999999999h"])
def test_a_ttl_is_a_duration(insic, ttl):
    with FakeServer() as server:
        run = insic.at(server, "cache", "set", "k", "v", ttl)
    assert run.status == 2 and not server.asked
    assert run.error.startswith("Error: <ttl> must be a duration")
    assert run.error.endswith("Usage: insic cache set <key> <value> <ttl>\n")


@pytest.mark.parametrize("words", [["k"], ["k", "v"], ["k", "v", "5s", "more"], []])
def test_cache_set_takes_three_arguments(insic, words):
    with FakeServer() as server:
        run = insic.at(server, "cache", "set", *words)
    assert run.status == 2 and not server.asked
    assert run.error.startswith(f"Error: 'cache set' takes 3 arguments, not {len(words)}.")


# ---- atomics


@pytest.mark.parametrize("delta", ["5", "-3", "0", "9223372036854775807", "-9223372036854775808"])
def test_atomic_add_sends_a_number_and_prints_the_sum(insic, delta):
    with FakeServer(answer(key="k", new_value=9223372036854775807, index=7)) as server:
        run = insic.at(server, "atomic", "add", "k", delta)
    assert (run.status, run.out, run.err) == (0, b"9223372036854775807\n", b"")
    posted(server, "/atomic/add", {"key": "k", "delta": int(delta)})


@pytest.mark.parametrize("delta", ["x", "1.5", "", "-", "+1", "1e3", "9223372036854775808"])
def test_atomic_add_of_what_is_no_number(insic, delta):
    with FakeServer() as server:
        run = insic.at(server, "atomic", "add", "k", delta)
    assert run.status == 2 and not server.asked
    assert run.error.startswith("Error: <delta> must be a whole number of 64 bits")


def test_atomic_new_of_one_that_exists(insic):
    with FakeServer(refusal(409, "CONFLICT", "the server's words")) as server:
        run = insic.at(server, "atomic", "new", "hits")
    assert (run.status, run.error) == (1, "Conflict: counter 'hits' exists already.\n")


def test_atomic_new_takes_true_or_false(insic):
    with FakeServer() as server:
        run = insic.at(server, "atomic", "new", "k", "yes")
    assert run.status == 2 and not server.asked and "true or false, not 'yes'" in run.error


def test_an_overflow_is_a_conflict(insic):
    with FakeServer(refusal(409, "OVERFLOW", "too large")) as server:
        run = insic.at(server, "atomic", "add", "k", "1")
    assert (run.status, run.error) == (1, "Conflict: too large (OVERFLOW)\n")


# ---- queues


def test_push_prints_the_new_length_and_ok(insic):
    with FakeServer(answer(key="jobs", new_length=3, index=7)) as server:
        run = insic.at(server, "queue", "push", "jobs", "-x")
    assert (run.status, run.out, run.err) == (0, b"New length: 3\nOK\n", b"")
    posted(server, "/queue/push", {"key": "jobs", "value": "-x"})


def test_pop_prints_the_item(insic):
    with FakeServer(answer(key="jobs", value="a\nb", index=7)) as server:
        run = insic.at(server, "queue", "pop", "jobs")
    assert (run.status, run.out, run.err) == (0, b"a\nb\n", b"")
    posted(server, "/queue/pop", {"key": "jobs"})


@pytest.mark.parametrize(
    "words", ["jobs --wait 2500ms", "jobs --wait=2500ms", "--wait 2500ms jobs", "--wait=2500ms jobs"]
)
def test_pop_waits_when_told_to(insic, words):
    with FakeServer(answer(key="jobs", value="v", index=7)) as server:
        run = insic.at(server, "queue", "pop", *words.split())
    assert (run.status, run.out) == (0, b"v\n")
    posted(server, "/queue/pop", {"key": "jobs", "wait": 2.5})


def test_pop_of_a_queue_with_a_strange_name(insic):
    with FakeServer(answer(key="--waiting", value="v", index=7)) as server:
        assert insic.at(server, "queue", "pop", "--waiting").out == b"v\n"
    posted(server, "/queue/pop", {"key": "--waiting"})


@pytest.mark.parametrize(
    "words", ["--wait", "--wait 5s", "jobs --wait", "jobs more", "jobs --wait 5s more", "jobs --wait=1s x"]
)
def test_pop_takes_a_key_and_a_wait(insic, words):
    with FakeServer() as server:
        run = insic.at(server, "queue", "pop", *words.split())
    assert run.status == 2 and not server.asked
    assert run.error.endswith("Usage: insic queue pop <key> [--wait 5s]\n")


@pytest.mark.parametrize("wait", ["61s", "5", "x", "-1s"])
def test_a_wait_is_a_duration_of_a_minute_at_most(insic, wait):
    with FakeServer() as server:
        run = insic.at(server, "queue", "pop", "jobs", "--wait", wait)
    assert run.status == 2 and not server.asked and "up to 60s" in run.error


def test_the_wait_comes_on_top_of_the_timeout(insic):
    def late(_):
        time.sleep(1.5)
        return answer(key="jobs", value="v", index=7)

    with FakeServer(respond=late) as server:
        run = insic.at(server, "--timeout", "1s", "queue", "pop", "jobs", "--wait", "5s")
        assert (run.status, run.out) == (0, b"v\n")
        begun = time.monotonic()
        run = insic.at(server, "--timeout", "300ms", "queue", "pop", "jobs")
        assert run.status == 1 and "OUTCOME_UNKNOWN" in run.error
        assert time.monotonic() - begun < 1.4


@pytest.mark.parametrize(
    "command, error_type",
    [("pop", "QUEUE_EMPTY"), ("pop", "QUEUE_NOT_FOUND"), ("length", "QUEUE_NOT_FOUND"), ("peek", "QUEUE_EMPTY")],
)
def test_an_empty_or_missing_queue_is_an_error(insic, command, error_type):
    with FakeServer(refusal(404, error_type, "the server's words")) as server:
        run = insic.at(server, "queue", command, "jobs")
    assert (run.status, run.out) == (1, b"")
    assert run.error == f"Error: the server's words ({error_type})\n"


@pytest.mark.parametrize("group", ["cache", "atomic", "queue"])
def test_half_a_command_shows_the_other_halves(insic, group):
    run = insic(group)
    assert run.status == 2 and run.error.startswith(f"Error: '{group}' is followed by one of these.\n")
    assert f"Usage: insic {group} " in run.error


@pytest.mark.parametrize("command", [["cache", "get"], ["atomic", "add"], ["queue", "push"]])
def test_an_answer_without_what_was_asked_for_is_an_error(insic, command):
    arguments = {"cache": ["k"], "atomic": ["k", "1"], "queue": ["k", "v"]}[command[0]]
    with FakeServer(answer(index=7)) as server:
        run = insic.at(server, *command, *arguments)
    assert (run.status, run.out) == (1, b"")
    assert run.error == "Error: the server's answer lacks what was asked for.\n"
