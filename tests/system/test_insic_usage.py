"""insic's command line: where flags may stand, what is an argument, and what wrong usage shows."""

import os
import pty
import re
import time

import pytest

from fake_server import FakeServer, SilentPort, answer, refusal
from insic_tool import INSIC, KEY

TRY = "Usage: insic [flags] <command> [arguments]; 'insic help' shows them all.\n"


@pytest.fixture
def server():
    with FakeServer(answer(data="v", index=1, value="1")) as made:
        yield made


# ---- where flags may stand


@pytest.mark.parametrize(
    "arguments",
    [
        "-o json --endpoint URL --key KEY get k",
        "--endpoint URL --key KEY get k -o json",
        "--endpoint URL get -o json k --key KEY",
        "--endpoint=URL --key=KEY -o=json get k",
        "--output json --endpoint=URL --timeout 1m30s get --key=KEY k",
        "get k --endpoint URL --key KEY --output=json",
        "-o text --endpoint URL --key other --key KEY get k -o json",
        "--endpoint URL --key KEY -o json -- get k",
        "--endpoint URL --key KEY -o json get -- k",
    ],
)
def test_flags_stand_before_and_behind_the_command(insic, server, arguments):
    words = arguments.replace("URL", server.url).replace("KEY", KEY).split()
    run = insic(*words)
    assert (run.status, run.err) == (0, b"")
    assert run.out == b'{"data": "v", "index": 1, "value": "1"}\n'
    assert server.last.token == KEY and server.last.query == {"key": "k"}


@pytest.mark.parametrize(
    "value", ["-5", "-1.5e3", "-", "--", "-x", "--value", "--dashed-text", "---", "-o5", "--rooted"]
)
def test_what_is_no_flag_is_an_argument(insic, server, value):
    marked = ["--", value] if value == "--" else [value]
    assert insic.at(server, "set", "k", *marked).out == b"OK\n"
    assert server.last.json == {"key": "k", "value": value}


@pytest.mark.parametrize("value", ["--root", "-o", "--key", "--endpoint=http://h", "--", "--help"])
def test_two_dashes_make_arguments_of_flags(insic, server, value):
    assert insic.at(server, "set", "--", value, value).out == b"OK\n"
    assert server.last.json == {"key": value, "value": value}
    assert insic.at(server, "--", "set", value, value).out == b"OK\n"
    assert server.last.json == {"key": value, "value": value}


@pytest.mark.parametrize("value", ["--root", "--key", "--endpoint=http://127.0.0.1:1", "-o"])
def test_a_value_that_looks_like_a_flag_is_never_stored_as_something_else(insic, server, value):
    run = insic.at(server, "set", "k", value)
    assert run.status == 2 and not server.asked


def test_a_help_flag_among_arguments_is_an_argument(insic, server):
    assert insic.at(server, "set", "k", "--help").out == b"OK\n"
    assert server.last.json == {"key": "k", "value": "--help"}
    assert insic.at(server, "set", "k", "--version").out == b"OK\n"


# ---- wrong usage


@pytest.mark.parametrize(
    "arguments, message",
    [
        ("--bogus get k", "unknown flag '--bogus'."),
        ("-x get k", "unknown flag '-x'."),
        ("--roots get k", "unknown flag '--roots'."),
        ("--root=yes get k", "this flag takes no value: '--root=yes'."),
        ("get k --key", "a value is missing, as in '--key insi_...'."),
        ("--config= get k", "a value is missing, as in '--config cluster.yaml'."),
        ("-o xml get k", "-o must be text or json, not 'xml'."),
        ("get k -o", "a value is missing, as in '-o json'."),
        ("--timeout 10 get k", "--timeout must be a duration from 1ms to 24h such as 10s, not '10'."),
        ("--timeout 0s get k", "--timeout must be a duration from 1ms to 24h such as 10s, not '0s'."),
        ("--timeout 25h get k", "--timeout must be a duration from 1ms to 24h such as 10s, not '25h'."),
        ("frobnicate k", "unknown command 'frobnicate'."),
        ("published a b", "unknown command 'published'."),
        ("help frobnicate", "unknown command 'frobnicate'."),
        ("GET k", "unknown command 'GET'."),
        ("-5", "unknown flag '-5'."),
    ],
)
def test_wrong_usage_shows_what_would_be_right(insic, arguments, message):
    run = insic(*arguments.split())
    assert (run.status, run.out) == (2, b"")
    assert run.error == f"Error: {message}\n{TRY}"


@pytest.mark.parametrize(
    "arguments, message, usage",
    [
        ("get", "'get' takes 1 argument, not 0.", "insic get <key>"),
        ("get a b", "'get' takes 1 argument, not 2.", "insic get <key>"),
        ("set a", "'set' takes 2 arguments, not 1.", "insic set <key> <value>"),
        ("set a b c", "'set' takes 2 arguments, not 3.", "insic set <key> <value>"),
        ("get a --jsno", "'get' has no flag '--jsno'.", "insic get <key>"),
        ("delete", "'delete' takes 1 argument, not 0.", "insic delete <key>"),
        ("setnx a", "'setnx' takes 2 arguments, not 1.", "insic setnx <key> <value>"),
        ("cas a b", "'cas' takes 3 arguments, not 2.", "insic cas <key> <old> <new>"),
        ("bump a", "'bump' takes 2 arguments, not 1.", "insic bump <key> <n>"),
        (
            "iterate prefix",
            "'iterate prefix' takes 1 to 3 arguments, not 0.",
            "insic iterate prefix <prefix> [offset] [limit]",
        ),
        ("batchset", "'batchset' takes 1 argument, not 0.", "insic batchset <file.json>"),
        ("batchdelete a b", "'batchdelete' takes 1 argument, not 2.", "insic batchdelete <file.json>"),
        ("ping pong", "'ping' takes 0 arguments, not 1.", "insic ping"),
        ("api add", "'api add' takes 1 argument, not 0.", "insic --root api add <name>"),
        ("--root api add a b", "'api add' takes 1 argument, not 2.", "insic --root api add <name>"),
        ("api verify", "'api verify' takes 1 argument, not 0.", "insic api verify <key>"),
        ("api list x", "'api list' takes 0 arguments, not 1.", "insic --root api list"),
        ("cluster x", "'cluster' takes 0 arguments, not 1.", "insic --root cluster"),
        (
            "join node0",
            "'join' takes 2 arguments, not 1.",
            "insic --root join <leader-id> <follower-id>",
        ),
        ("remove", "'remove' takes 1 argument, not 0.", "insic --root remove <id>"),
        ("transfer a b", "'transfer' takes 1 argument, not 2.", "insic --root transfer <id>"),
    ],
)
def test_a_wrong_number_of_arguments_shows_the_commands_usage(insic, arguments, message, usage):
    run = insic(*arguments.split())
    assert (run.status, run.out) == (2, b"")
    assert run.error == f"Error: {message}\nUsage: {usage}\n"


@pytest.mark.parametrize("arguments", [["api"], ["api", "frobnicate"], ["api", "frobnicate", "x"]])
def test_half_a_command_shows_the_other_halves(insic, arguments):
    run = insic(*arguments)
    assert (run.status, run.out) == (2, b"")
    assert run.error == (
        "Error: 'api' is followed by one of these.\n"
        "Usage: insic --root api add <name>\n"
        "       insic --root api delete <key>\n"
        "       insic --root api list\n"
        "       insic api verify <key>\n"
    )


def test_no_command_at_all_shows_everything(insic):
    run = insic()
    assert (run.status, run.out) == (2, b"")
    assert run.error.startswith("Error: a command is missing.\ninsic - the command line of INSI\n")


def test_target_and_endpoint_exclude_each_other(insic, server):
    run = insic.at(server, "--target", "node0", "get", "k")
    assert run.status == 2 and not server.asked
    assert run.error.startswith("Error: --target and --endpoint exclude each other.\nUsage: ")


@pytest.mark.parametrize(
    "arguments, number",
    [((b"get", b"\xff"), 1), ((b"set", b"k", b"a\xc3"), 2), ((b"set", b"\xed\xa0\x80", b"v"), 1)],
    ids=["byte", "cut", "surrogate"],
)
def test_arguments_are_utf8(insic, server, arguments, number):
    run = insic.at(server, *arguments)
    assert run.status == 2 and not server.asked
    name = arguments[0].decode()
    assert run.error.startswith(
        f"Error: argument {number} of '{name}' is not valid UTF-8.\nUsage: insic {name} "
    )


def test_the_timeout_is_kept(insic):
    with SilentPort() as silent:
        begin = time.monotonic()
        run = insic("--endpoint", silent.url, "--key", KEY, "--timeout", "300ms", "get", "k")
        took = time.monotonic() - begin
    assert run.status == 1 and 0.25 < took < 5
    assert re.fullmatch(
        rf"Error: {silent.url} does not answer: Operation timed out after \d+ "
        r"milliseconds with 0 bytes received\.\n",
        run.error,
    )


# ---- help and version

COMMANDS = {
    "get": "get <key>",
    "set": "set <key> <value>",
    "delete": "delete <key>",
    "setnx": "setnx <key> <value>",
    "cas": "cas <key> <old> <new>",
    "bump": "bump <key> <n>",
    "iterate prefix": "iterate prefix <prefix> [offset] [limit]",
    "batchset": "batchset <file.json>",
    "batchdelete": "batchdelete <file.json>",
    "cache set": "cache set <key> <value> <ttl>",
    "cache get": "cache get <key>",
    "cache delete": "cache delete <key>",
    "atomic new": "atomic new <key> [true|false]",
    "atomic get": "atomic get <key>",
    "atomic add": "atomic add <key> <delta>",
    "atomic delete": "atomic delete <key>",
    "queue new": "queue new <key>",
    "queue push": "queue push <key> <value>",
    "queue pop": "queue pop <key> [--wait 5s]",
    "queue delete": "queue delete <key>",
    "queue length": "queue length <key>",
    "queue peek": "queue peek <key>",
    "publish": "publish <topic> <data> [--json]",
    "subscribe": "subscribe <topic> [--after N]",
    "ping": "ping",
    "api add": "--root api add <name>",
    "api delete": "--root api delete <key>",
    "api list": "--root api list",
    "api verify": "api verify <key>",
    "cluster": "--root cluster",
    "join": "--root join <leader-id> <follower-id>",
    "remove": "--root remove <id>",
    "transfer": "--root transfer <id>",
}


@pytest.mark.parametrize("how", [["help"], ["--help"], ["-h"], ["-o", "json", "--help"]])
def test_help_shows_every_command_and_flag(insic, how):
    run = insic(*how)
    assert (run.status, run.err) == (0, b"")
    for usage in COMMANDS.values():
        assert f"\n  {usage.removeprefix('--root ')} " in run.text
    for flag in ["--config", "--target", "--endpoint", "--root", "--key", "--timeout", "-o", "--"]:
        assert f"\n  {flag}" in run.text
    assert all(len(line) <= 100 for line in run.text.splitlines())


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_a_command_shows_its_usage(insic, command):
    words = command.split()
    for how in (["help", *words], ["--help", *words], [*words, "--help"], [*words, "-h"]):
        run = insic(*how)
        assert (run.status, run.err) == (0, b"")
        assert run.text.startswith(f"Usage: insic {COMMANDS[command]}\n\n")


def test_help_of_half_a_command(insic):
    for how in (["help", "api"], ["api", "--help"]):
        run = insic(*how)
        assert run.status == 0 and run.text.startswith("Usage: insic --root api add <name>\n")


def test_version(insic):
    run = insic("--version")
    assert run.status == 0 and re.fullmatch(r"insic \d+\.\d+\.\d+\n", run.text)


# ---- colour


def on_a_terminal(folder, *arguments, **environment):
    """What insic writes to a terminal that is its stderr."""
    master, slave = pty.openpty()
    pid = os.fork()
    if pid == 0:
        os.dup2(slave, 2)
        os.chdir(folder)
        os.execve(INSIC, [INSIC, *arguments], {"TERM": "xterm", **environment})
    os.close(slave)
    written = b""
    while True:
        try:
            part = os.read(master, 4096)
        except OSError:
            break
        if not part:
            break
        written += part
    os.close(master)
    os.waitpid(pid, 0)
    return written


def test_errors_are_red_on_a_terminal_alone(insic, tmp_path):
    with FakeServer(refusal(409, "CONFLICT", "no")) as server:
        arguments = ["--endpoint", server.url, "--key", KEY, "setnx", "k", "v"]
        plain = b"Conflict: key 'k' exists already.\r\n"
        assert on_a_terminal(tmp_path, *arguments) == b"\x1b[31mConflict:\x1b[0m key 'k' exists already.\r\n"
        assert on_a_terminal(tmp_path, *arguments, NO_COLOR="1") == plain
        assert on_a_terminal(tmp_path, *arguments, TERM="dumb") == plain
        assert insic(*arguments).err == b"Conflict: key 'k' exists already.\n"
