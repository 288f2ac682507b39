"""docs/insic.md: every example, run against three real nodes, prints what stands there."""

import os
import re
import subprocess

from harness import binaries
from harness.wait import Timeout, until
from insic_tool import Tool

DOCUMENT = os.path.join(binaries.SOURCE, "docs/insic.md")
KEY = re.compile(r"insi_[A-Za-z0-9_-]{43}")
MASKS = [  # what differs from run to run
    (r"[0-9a-f]{32}", "<scope>"),
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", "<time>"),
    (r"uptime: \S+", "uptime: <uptime>"),
    (r'"index":\d+', '"index":<index>'),
    (r"127\.0\.0\.1:\d+ +", "<address> "),
    (r"RAFT +HTTP +", "RAFT HTTP "),
    (r"MATCH +LAG", "MATCH LAG"),
    (r"(leader|follower) +\d+ +\d+$", r"\1 <match> <lag>"),
]
# May be repeated: nodes hear a moment later of what changed at another one.
ASKING = re.compile(r" (cluster|ping|get \w+)$")


def examples():
    """(command, what it prints), in the order of the document."""
    with open(DOCUMENT, encoding="utf-8") as file:
        blocks = re.findall(r"^```console\n(.*?)^```$", file.read(), re.M | re.S)
    found = []
    for line in "".join(blocks).splitlines(keepends=True):
        if line.startswith("$ "):
            found.append([line[2:].strip(), ""])
        else:
            found[-1][1] += line
    return found


def masked(text, key):
    text = text.replace(key, "<key>") if key else text
    for pattern, name in MASKS:
        text = re.sub(pattern, name, text, flags=re.M)
    return text


def test_the_examples_print_what_stands_there(make_cluster, tmp_path):
    cluster = make_cluster(3).start()
    cluster.allow("event=node_removed", "event=rebuild_ordered")
    cluster.wait_voters()
    insic = Tool(tmp_path)
    with open(cluster.config_path, encoding="utf-8") as file:
        insic.write("cluster.yaml", file.read())
    environment = {"PATH": f"{binaries.BUILD}:{os.environ['PATH']}"}
    shown = made = None
    run_commands = set()

    def output(line):
        return subprocess.run(
            ["bash", "-c", line],
            cwd=tmp_path,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
            check=False,
        ).stdout

    for command, expected in examples():
        line = command.replace(shown, made) if shown else command
        if ASKING.search(command):
            try:
                until(lambda: masked(output(line), made) == masked(expected, shown), command)
            except Timeout:
                pass  # told below
        printed = output(line)
        if "api add" in command:
            shown, made = KEY.search(expected)[0], KEY.search(printed)[0]
            cluster.secrets.append(made)
        assert masked(printed, made) == masked(expected, shown), command
        run_commands.add(re.sub(r".*insic( --?\w+( json)?)* ", "", command).split()[0])
    assert run_commands >= {"get", "set", "delete", "setnx", "cas", "bump", "iterate", "batchset"}
    assert run_commands >= {"cache", "atomic", "queue", "publish", "subscribe"}
    assert run_commands >= {"batchdelete", "ping", "api", "cluster", "transfer", "remove", "join"}
