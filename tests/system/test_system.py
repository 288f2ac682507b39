"""Ping, health, readiness, and what a node shows of itself."""

import json
import os
import re
import signal
import stat

from harness.client import Client, expect
from harness.wait import until


def test_ping_tells_who_asks_and_who_answers(root, shared):
    key = expect(root.create_key("pinger"), 200).json["key"]
    client = Client(shared.http_port, key)
    body = expect(client.ping(), 200).json
    assert body["status"] == "ok"
    assert body["entity"] == "pinger"
    assert body["node"] == "node0"
    assert body["leader"] == "node0"
    assert re.fullmatch(r"(\d+h)?(\d+m)?\d+s", body["uptime"]), body
    assert expect(root.ping(), 200).json["entity"] not in ("", "pinger")
    client.close()


def test_uptime_counts_the_node_not_the_worker(cluster, node):
    root = node.root()

    def uptime():
        text = expect(root.ping(), 200).json["uptime"]
        found = re.fullmatch(r"(?:(\d+)h)?(?:(\d+)m)?(\d+)s", text)
        hours, minutes, seconds = (int(part or 0) for part in found.groups())
        return 3600 * hours + 60 * minutes + seconds

    before = until(lambda: uptime() >= 2 and uptime(), "the node is two seconds old")
    for worker in ("raft", "storage", "gateway"):
        root.close()
        node.restart_worker(worker, signal.SIGKILL)
        assert uptime() >= before
    root.close()


def test_health_and_readiness_are_open_to_everybody(shared):
    client = Client(shared.http_port)
    expect(client.call("GET", "/healthz"), 200)
    expect(client.call("GET", "/readyz"), 200)
    client.close()


def test_health_and_readiness_tell_nothing_to_strangers(shared):
    client = Client(shared.http_port)
    for path in ("/healthz", "/readyz"):
        body = expect(client.call("GET", path), 200).body.decode()
        assert len(body) < 200 and shared.folder not in body
    client.close()


def test_a_hung_worker_does_not_make_the_node_unhealthy(cluster, node):
    """A supervisor outside would restart the whole node for it."""
    worker = node.worker("storage")
    worker.signal(signal.SIGSTOP)
    client = node.client()
    try:
        expect(client.call("GET", "/healthz"), 200)
    finally:
        worker.signal(signal.SIGCONT)
    until(lambda: client.call("GET", "/readyz").status == 200, "ready")
    client.close()


def test_folders_and_files_are_private(cluster, node):
    client = cluster.tenant("writer")
    expect(client.set("k", "v"), 200)
    client.close()
    seen = 0
    for top in (node.data, node.settings.values["shmDir"]):
        for folder, folders, files in os.walk(top):
            for name in folders + files:
                mode = stat.S_IMODE(os.lstat(os.path.join(folder, name)).st_mode)
                assert mode & 0o077 == 0, (name, oct(mode))
                seen += 1
    assert seen > 8


def test_no_secret_stands_in_a_command_line_or_environment(cluster, node):
    for process in node.all_processes():
        for file in ("cmdline", "environ"):
            with open(f"/proc/{process.pid}/{file}", "rb") as opened:
                text = opened.read()
            for secret in cluster.secrets:
                assert secret.encode() not in text, (process, file)


def test_log_lines_name_node_and_process_and_can_be_json(make_cluster):
    cluster = make_cluster(logging={"level": "debug", "format": "json"}).start()
    client = cluster.tenant("writer")
    expect(client.set("k", "v"), 200)
    client.close()
    node = cluster.nodes[0]
    node.stop()
    lines = [json.loads(line) for line in node.log.text().splitlines()]
    assert {line["process"] for line in lines} >= {"supervisor", "raft", "storage", "gateway0"}
    assert all(
        line["node"] == "node0" and line["event"] and line["time"].endswith("Z") for line in lines
    )
    assert not [line for line in lines if line["level"] == "error"]


def test_nothing_a_client_sends_can_forge_a_log_line(make_cluster):
    cluster = make_cluster(logging={"level": "debug"}).start()
    node = cluster.nodes[0]
    client = cluster.tenant(
        "x\n2026-01-01T00:00:00.000Z error node=node0 process=raft event=forged"
    )
    client.get("k\n2026-01-01T00:00:00.000Z error node=node0 process=raft event=forged")
    client.call("GET", "/x%0a2026-01-01T00:00:00.000Z%20error%20event=forged")
    client.close()
    node.stop()
    assert not node.log.find("forged")
