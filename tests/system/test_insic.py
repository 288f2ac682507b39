"""insic against a scripted server: what each command asks, what it prints, how it ends."""

import json
import os
import subprocess

import pytest

from fake_server import Answer, FakeServer, answer, refusal
from insic_tool import INSIC, KEY


# ---- values


def test_get_prints_the_value_and_a_newline(insic):
    with FakeServer(answer(data="hello, world", index=7)) as server:
        run = insic.at(server, "get", "greeting")
    assert (run.status, run.out, run.err) == (0, b"hello, world\n", b"")
    assert (server.last.method, server.last.path) == ("GET", "/db/api/v1/get")
    assert server.last.query == {"key": "greeting"}
    assert server.last.headers["authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize(
    "value",
    ["", "a\0b\0", "line\nline\n", "\x1b[31mred", "\u20ac \U0001f600", "x" * 3_000_000, '"\\\t'],
    ids=["empty", "nul", "lines", "escape", "unicode", "long", "quotes"],
)
def test_get_prints_a_value_byte_for_byte(insic, value):
    with FakeServer(answer(data=value, index=7)) as server:
        run = insic.at(server, "get", "k")
    assert run.status == 0 and run.out == value.encode() + b"\n"


def test_get_of_a_missing_key(insic):
    with FakeServer(refusal(404, "NOT_FOUND", "key 'no such' does not exist")) as server:
        run = insic.at(server, "get", "no such")
    assert (run.status, run.out, run.error) == (1, b"", "Error: Key 'no such' not found.\n")


@pytest.mark.parametrize("key", ["a b", "a&b=c", "50%", "a+b", "/..#?", "\u00fc\u20ac", "-5", "'\""])
def test_a_key_arrives_whatever_is_in_it(insic, key):
    with FakeServer(answer(data="v", index=7)) as server:
        assert insic.at(server, "get", key).out == b"v\n"
        assert server.last.query == {"key": key}
        assert insic.at(server, "set", key, key).out == b"OK\n"
        assert server.last.json == {"key": key, "value": key}


@pytest.mark.parametrize(
    "arguments, path, body",
    [
        (("set", "k", "v w"), "/set", {"key": "k", "value": "v w"}),
        (("set", "k", ""), "/set", {"key": "k", "value": ""}),
        (("delete", "k"), "/delete", {"key": "k"}),
        (("setnx", "k", "v"), "/setnx", {"key": "k", "value": "v"}),
        (("cas", "k", "o", "n"), "/cas", {"key": "k", "old_value": "o", "new_value": "n"}),
    ],
)
def test_a_write_is_posted_and_prints_ok(insic, arguments, path, body):
    with FakeServer(answer(index=7)) as server:
        run = insic.at(server, *arguments)
    assert (run.status, run.out, run.err) == (0, b"OK\n", b"")
    assert (server.last.method, server.last.path) == ("POST", "/db/api/v1" + path)
    assert server.last.headers["content-type"] == "application/json"
    assert server.last.json == body


@pytest.mark.parametrize(
    "arguments, message",
    [
        (("setnx", "k 1", "v"), "key 'k 1' exists already."),
        (("cas", "k 1", "o", "n"), "key 'k 1' has another value, or none."),
        (("set", "k", "v"), "the server's words"),
        (("delete", "k"), "the server's words"),
    ],
)
def test_a_conflict(insic, arguments, message):
    with FakeServer(refusal(409, "CONFLICT", "the server's words")) as server:
        run = insic.at(server, *arguments)
    assert (run.status, run.out, run.error) == (1, b"", f"Conflict: {message}\n")


def test_bump_prints_the_new_value(insic):
    with FakeServer(answer(index=7, value="12")) as server:
        run = insic.at(server, "bump", "k", "-3")
    assert (run.status, run.out, run.err) == (0, b"12\n", b"")
    assert server.last.json == {"key": "k", "value": "-3"}


def test_bump_of_what_is_no_number(insic):
    with FakeServer(refusal(409, "NOT_A_NUMBER", "the value is not a number")) as server:
        run = insic.at(server, "bump", "k", "1")
    assert (run.status, run.error) == (1, "Conflict: the value is not a number (NOT_A_NUMBER)\n")


@pytest.mark.parametrize("number", ["x", "1.5", "", "-", "+1", "1e3", "0x10", "1 "])
def test_bump_by_what_is_no_number(insic, number):
    with FakeServer() as server:
        run = insic.at(server, "bump", "k", number)
    assert run.status == 2 and not server.asked
    assert run.error == (
        f"Error: <n> must be a whole number such as 5 or -3, not '{number}'.\n"
        "Usage: insic bump <key> <n>\n"
    )


# ---- iterate prefix


def test_iterate_prints_a_key_per_line(insic):
    with FakeServer(answer(data=["a", "b c", "\u20ac"])) as server:
        run = insic.at(server, "iterate", "prefix", "")
    assert (run.status, run.text, run.err) == (0, "a\nb c\n\u20ac\n", b"")
    assert server.last.path == "/db/api/v1/iterate/prefix"
    assert server.last.query == {"prefix": "", "offset": "0", "limit": "100"}


def test_iterate_that_finds_nothing_prints_nothing(insic):
    with FakeServer(answer(data=[])) as server:
        assert insic.at(server, "iterate", "prefix", "x").out == b""


def test_iterate_takes_offset_and_limit(insic):
    with FakeServer(answer(data=["a"], next="a")) as server:
        run = insic.at(server, "iterate", "prefix", "p&", "20", "1")
    assert (run.status, run.out, run.err) == (0, b"a\n", b"")
    assert server.last.query == {"prefix": "p&", "offset": "20", "limit": "1"}


def test_iterate_without_a_limit_says_when_more_follow(insic):
    keys = [f"k{number:03}" for number in range(100)]
    with FakeServer(answer(data=keys, next="k099")) as server:
        run = insic.at(server, "iterate", "prefix", "k", "50")
    assert run.status == 0 and len(server.asked) == 1
    assert run.text.split() == keys
    assert run.error == "Note: more keys follow; go on with: insic iterate prefix 'k' 150\n"


def _pages(keys):
    """Answers like a node that holds these keys."""

    def respond(asked):
        found = keys
        if "after" in asked.query:
            found = [key for key in keys if key > asked.query["after"]]
        found = found[int(asked.query.get("offset", 0)) :]
        page = found[: int(asked.query["limit"])]
        more = {"next": page[-1]} if len(found) > len(page) else {}
        return answer(data=page, **more)

    return respond


@pytest.mark.parametrize("limit", [999, 1000, 1001, 2500, 4000, 2**63])
def test_iterate_fetches_a_large_limit_in_pages(insic, limit):
    keys = [f"k{number:04}" for number in range(3000)]
    with FakeServer(respond=_pages(keys)) as server:
        run = insic.at(server, "iterate", "prefix", "k", "10", str(limit))
    assert run.status == 0 and run.err == b""
    assert run.text.split() == keys[10 : 10 + limit]
    assert all(int(asked.query["limit"]) <= 1000 for asked in server.asked)
    assert len(server.asked) == -(-min(limit, 2990) // 1000)


def test_iterate_as_json_prints_a_line_per_page(insic):
    keys = [f"k{number:04}" for number in range(1500)]
    with FakeServer(respond=_pages(keys)) as server:
        run = insic.at(server, "-o", "json", "iterate", "prefix", "k", "0", "2000")
    pages = [json.loads(line) for line in run.text.splitlines()]
    assert [len(page["data"]) for page in pages] == [1000, 500]


@pytest.mark.parametrize(
    "arguments, name, least",
    [
        (("x",), "offset", 0),
        (("-1",), "offset", 0),
        (("",), "offset", 0),
        (("99999999999999999999",), "offset", 0),
        (("0", "0"), "limit", 1),
        (("0", "1k"), "limit", 1),
    ],
)
def test_iterate_with_a_bad_number(insic, arguments, name, least):
    with FakeServer() as server:
        run = insic.at(server, "iterate", "prefix", "p", *arguments)
    assert run.status == 2 and not server.asked
    assert run.error == (
        f"Error: [{name}] must be a whole number of at least {least}, not '{arguments[-1]}'.\n"
        "Usage: insic iterate prefix <prefix> [offset] [limit]\n"
    )


def test_iterate_stops_when_nobody_reads(insic):
    keys = [f"k{number:06}" for number in range(100_000)]
    with FakeServer(respond=_pages(keys)) as server:
        command = f"{INSIC} --endpoint {server.url} --key k iterate prefix k 0 100000 | head -n 1"
        run = subprocess.run(
            ["bash", "-c", f"set -o pipefail; {command}"],
            cwd=insic.folder,
            capture_output=True,
            timeout=60,
            check=False,
        )
        pages = len(server.asked)
    assert (run.returncode, run.stdout, run.stderr) == (1, b"k000000\n", b"")
    assert pages < 90


# ---- batches


def test_batchset_sends_the_file(insic):
    items = [{"key": f"k{number}", "value": "\u20ac\0"} for number in range(1000)]
    path = insic.write("items.json", json.dumps(items))
    with FakeServer(answer(index=9)) as server:
        run = insic.at(server, "batchset", path)
    assert (run.status, run.out, run.err) == (0, b"OK\n", b"")
    assert server.last.path == "/db/api/v1/batchset" and server.last.json == {"items": items}


def test_batchdelete_sends_the_file_and_counts(insic):
    path = insic.write("keys.json", '["a", "b",\n"\u20ac"]')
    with FakeServer(answer(index=9)) as server:
        run = insic.at(server, "batchdelete", path)
    assert (run.status, run.out, run.err) == (0, b"OK (3 keys processed)\n", b"")
    assert server.last.path == "/db/api/v1/batchdelete"
    assert server.last.json == {"keys": ["a", "b", "\u20ac"]}


def test_a_batch_may_come_from_stdin(insic):
    with FakeServer(answer(index=9)) as server:
        run = insic.at(server, "batchset", "-", stdin=b'[{"value":"1","key":"a"}]')
        assert run.out == b"OK\n" and server.last.json == {"items": [{"key": "a", "value": "1"}]}
        run = insic.at(server, "batchdelete", "-", stdin=b"[]")
        assert run.out == b"OK (0 keys processed)\n"


def test_a_batch_of_many_megabytes_arrives(insic):
    items = [{"key": f"k{number}", "value": "v" * 50_000} for number in range(800)]
    path = insic.write("items.json", json.dumps(items))
    with FakeServer(answer(index=9)) as server:
        assert insic.at(server, "batchset", path).out == b"OK\n"
    assert server.last.json == {"items": items}


def test_a_batch_that_the_server_refuses_unread_is_refused_and_not_unknown(insic):
    items = [{"key": "k", "value": "v" * 3_000_000}]
    path = insic.write("items.json", json.dumps(items))
    with FakeServer(refusal(413, "PAYLOAD_TOO_LARGE", "the body is too large")) as server:
        server.take_expected_body = False
        run = insic.at(server, "batchset", path)
    assert (run.status, run.error) == (1, "Error: the body is too large (PAYLOAD_TOO_LARGE)\n")


@pytest.mark.parametrize(
    "command, content, message",
    [
        ("batchset", "", "f:1:0: not valid JSON: '[' or '{' expected near end of file."),
        ("batchset", '[\n{"key":"a" "value"}]', "f:2:18: not valid JSON: "),
        ("batchset", '[] []', "f:1:4: not valid JSON: "),
        ("batchset", b'["\xff"]', "f:1:2: not valid JSON: unable to decode byte 0xff"),
        ("batchset", '[{"key":"a","key":"b","value":""}]', "f:1:17: not valid JSON: duplicate"),
        ("batchset", '{"items":[]}', 'f must hold an array: [{"key":"a","value":"1"}, ...].'),
        ("batchset", '["a"]', 'f: item 1 must be {"key":"...","value":"..."}.'),
        ("batchset", '[{"key":"a","value":"1"},{"key":"b"}]', 'f: item 2: "value" must be there'),
        ("batchset", '[{"key":1,"value":"1"}]', 'f: item 1: "key" must be there, and a string.'),
        ("batchset", '[{"key":"a","value":1}]', 'f: item 1: "value" must be there, and a string.'),
        (
            "batchset",
            '[{"key":"a","value":"1","ttl":5}]',
            'f: item 1: unknown member "ttl".',
        ),
        ("batchdelete", '{"keys":[]}', 'f must hold an array: ["a", "b", ...].'),
        ("batchdelete", '["a",1]', "f: item 2 must be a string."),
    ],
)
def test_a_bad_batch_names_what_is_wrong(insic, command, content, message):
    insic.write("f", content)
    with FakeServer() as server:
        run = insic.at(server, command, "f")
    assert run.status == 2 and not server.asked and run.out == b""
    assert run.error.startswith(f"Error: {message}") and run.error.count("\n") == 1


@pytest.mark.parametrize("command", ["batchset", "batchdelete"])
def test_a_batch_file_that_cannot_be_read(insic, command):
    with FakeServer() as server:
        run = insic.at(server, command, "nowhere.json")
        assert run.status == 1
        assert run.error == "Error: cannot read nowhere.json: No such file or directory.\n"
        run = insic.at(server, command, ".")
        assert (run.status, run.error) == (1, "Error: cannot read .: Is a directory.\n")
        path = insic.write("large", b"[" + b" " * (64 << 20) + b"]")
        run = insic.at(server, command, path)
        assert (run.status, run.error) == (1, f"Error: {path} is larger than 64 MiB.\n")
        assert not server.asked


# ---- system

PING = {"status": "ok", "entity": "shop", "node": "node0", "leader": None, "uptime": "2h3m4s"}
PING_LINES = """\
Ping Response:
  status: ok
  entity: shop
  node: node0
  leader: null
  uptime: 2h3m4s
"""


def test_ping_prints_the_fields_in_the_servers_order(insic):
    with FakeServer(answer(**PING)) as server:
        run = insic.at(server, "ping")
    assert (run.status, run.text, run.err) == (0, PING_LINES, b"")
    assert (server.last.method, server.last.target) == ("GET", "/db/api/v1/ping")


def root(insic, server, *arguments):
    insic.configure(server.binding)
    return insic("--root", *arguments)


ROOT = "OTg0Y2E1MTYyMjAwNzM0YzU5MjE0OGYxODIwYjcxMDU3ZjA5ODU3M2QxMzg2NjZiNDg2NjNlNGUzMGNkOGQzYQ=="


def test_api_add(insic):
    with FakeServer(answer(key_name="my shop", key=KEY)) as server:
        run = root(insic, server, "api", "add", "my shop")
    assert run.status == 0 and run.err == b""
    assert run.text == f"API Key Name: my shop\nAPI Key:      {KEY}\nOK\n"
    assert server.last.path == "/db/api/v1/admin/api/create"
    assert server.last.json == {"key_name": "my shop"} and server.last.token == ROOT


def test_api_delete(insic):
    with FakeServer(answer(index=3), refusal(404, "NOT_FOUND", f"unknown: {KEY}")) as server:
        run = root(insic, server, "api", "delete", KEY)
        assert (run.status, run.out, run.err) == (0, b"OK\n", b"")
        assert server.last.path == "/db/api/v1/admin/api/delete"
        assert server.last.json == {"key": KEY} and server.last.token == ROOT
        run = root(insic, server, "api", "delete", KEY)
        assert (run.status, run.error) == (1, "Error: there is no such API key.\n")


def test_api_list(insic):
    keys = [
        {"key_name": "shop", "scope": "00ff", "created_at": "2026-11-24T08:15:30.123Z"},
        {"key_name": "\u20ac\u20ac\n\x1b[31m", "scope": "0102", "created_at": "2026-11-25T08:15:30.123Z"},
    ]
    with FakeServer(answer(data=keys), answer(data=[])) as server:
        run = root(insic, server, "api", "list")
        assert (run.status, run.err) == (0, b"")
        assert run.text == (
            "NAME      SCOPE  CREATED\n"
            "shop      00ff   2026-11-24T08:15:30.123Z\n"
            "\u20ac\u20ac??[31m  0102   2026-11-25T08:15:30.123Z\n"
        )
        assert server.last.path == "/db/api/v1/admin/api/list" and server.last.token == ROOT
        assert root(insic, server, "api", "list").text == "NAME  SCOPE  CREATED\n"


def test_api_verify(insic):
    with FakeServer(answer(**PING), refusal(401, "AUTHENTICATION_FAILED", "unknown token")) as server:
        run = insic("--endpoint", server.url, "api", "verify", "insi_abc")
        assert (run.status, run.err) == (0, b"")
        assert run.text == "API Key Verified Successfully!\n" + PING_LINES
        assert server.last.token == "insi_abc"
        run = root(insic, server, "api", "verify", "insi_abc")
        assert (run.status, run.text) == (1, "Verification FAILED\n")
        assert run.error == "Error: unknown token (AUTHENTICATION_FAILED)\n"
        assert server.last.token == "insi_abc"
        run = root(insic, server, "api", "verify", "two words")
        assert (run.status, run.text) == (1, "Verification FAILED\n")


@pytest.mark.parametrize("arguments", [("api", "add", "a"), ("api", "delete", KEY), ("api", "list")])
def test_what_needs_root_is_refused_without_the_flag(insic, arguments):
    with FakeServer() as server:
        run = insic.at(server, *arguments)
    assert (run.status, run.out) == (1, b"") and not server.asked
    assert run.error == f"Error: {arguments[0]} {arguments[1]} requires --root flag.\n"


# ---- json


@pytest.mark.parametrize(
    "arguments",
    [
        ("get", "k"),
        ("set", "k", "v"),
        ("bump", "k", "1"),
        ("ping",),
        ("iterate", "prefix", "k"),
        ("api", "verify", "k"),
    ],
)
def test_json_prints_the_servers_answer_as_it_is_on_one_line(insic, arguments):
    body = b'{ "data":[],\r\n "value" : "\\u20ac",  "big":12345678901234567890.10 }\n\n'
    if arguments[0] == "get":
        body = body.replace(b"[]", b'"a\\n"')
    with FakeServer(Answer(body=body)) as server:
        run = insic.at(server, "-o", "json", *arguments)
    assert run.status == 0 and run.err == b""
    assert run.out == body.strip().replace(b"\r\n", b"  ") + b"\n"


@pytest.mark.parametrize("arguments", [("get", "k"), ("set", "k", "v"), ("api", "verify", "k")])
def test_json_prints_the_servers_refusal_too(insic, arguments):
    body = b'{"error_type":"NOT_FOUND","message":"key \'k\' does not exist"}'
    with FakeServer(Answer(404, body)) as server:
        run = insic.at(server, *arguments, "-o", "json")
    assert (run.status, run.out) == (1, body + b"\n")
    assert run.error.startswith("Error: ")


# ---- errors of the server


@pytest.mark.parametrize(
    "status, error_type",
    [
        (400, "KEY_TOO_LONG"),
        (401, "AUTHENTICATION_FAILED"),
        (403, "FORBIDDEN"),
        (429, "RATE_LIMITED"),
        (503, "NO_LEADER"),
        (503, "OUTCOME_UNKNOWN"),
        (507, "STORAGE_FULL"),
    ],
)
def test_a_refusal_shows_message_and_type(insic, status, error_type):
    with FakeServer(refusal(status, error_type, "what went wrong\x1b[2J")) as server:
        run = insic.at(server, "set", "k", "v")
    assert (run.status, run.out) == (1, b"") and len(server.asked) == 1
    assert run.error == f"Error: what went wrong?[2J ({error_type})\n"


@pytest.mark.parametrize(
    "stranger",
    [
        Answer(200, b"<html>hello</html>"),
        Answer(404, b"not found"),
        Answer(200, b""),
        Answer(200, b'"text"'),
        Answer(302, b"", {"Location": "http://127.0.0.1:1/"}),
        answer(404, message="not ours"),
    ],
    ids=["page", "404", "empty", "text", "redirect", "foreign"],
)
def test_the_answer_of_another_server_is_told_apart(insic, stranger):
    with FakeServer(stranger) as server:
        run = insic.at(server, "get", "k")
    assert run.status == 1 and run.out == b""
    assert run.error == (
        f"Error: HTTP {stranger.status} from {server.url} is no answer of an INSI server.\n"
    )


def test_a_write_that_a_proxy_lost_is_unknown(insic):
    with FakeServer(Answer(502, b"bad gateway")) as server:
        run = insic.at(server, "set", "k", "v")
    assert run.status == 1
    assert "the write may or may not have happened" in run.error


@pytest.mark.parametrize(
    "arguments, members",
    [
        (("get", "k"), {"index": 1}),
        (("get", "k"), {"data": 5}),
        (("bump", "k", "1"), {"index": 1}),
        (("iterate", "prefix", "k"), {"data": "k"}),
        (("iterate", "prefix", "k"), {"data": ["k", 1]}),
    ],
)
def test_an_answer_that_lacks_what_was_asked_for(insic, arguments, members):
    with FakeServer(answer(**members)) as server:
        run = insic.at(server, *arguments)
    assert (run.status, run.out) == (1, b"")
    assert run.error == "Error: the server's answer lacks what was asked for.\n"


# ---- stdout


def test_a_full_disk_under_stdout_is_an_error(insic):
    with FakeServer(answer(data="v", index=1)) as server, open("/dev/full", "wb") as full:
        run = insic.at(server, "get", "k", stdout=full)
    assert run.status == 1
    assert run.error == "Error: cannot write to stdout: No space left on device.\n"


@pytest.mark.parametrize("closed", ["<&-", ">&-", "<&- >&-", "<&- >&- 2>&-"])
def test_closed_descriptors_do_no_harm(insic, closed):
    with FakeServer(answer(data="v" * 100_000, index=1)) as server:
        run = subprocess.run(
            ["bash", "-c", f'"$@" {closed}', "-", INSIC, "--endpoint", server.url, "--key", "k"]
            + ["get", "k"],
            cwd=insic.folder,
            capture_output=True,
            timeout=60,
            check=False,
        )
    assert len(server.asked) == 1
    assert run.returncode == (1 if ">&-" in closed else 0)
    if closed == ">&-":
        assert run.stderr == b"Error: cannot write to stdout: Bad file descriptor.\n"


def test_a_reader_that_is_gone_ends_it_without_a_word(insic):
    reading, writing = os.pipe()
    os.close(reading)
    with FakeServer(answer(data="v" * 1_000_000, index=1)) as server:
        run = insic.at(server, "get", "k", stdout=writing)
    os.close(writing)
    assert (run.status, run.err) == (1, b"")
