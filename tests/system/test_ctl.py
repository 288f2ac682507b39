"""insid ctl: an operator's requests to a running node."""

import os
import re
import signal
import subprocess

import pytest

from harness import binaries
from harness.client import expect
from harness.writers import Writers


def ctl(cluster, *arguments, **how):
    return subprocess.run(
        [binaries.INSID, "ctl", *arguments, "--config", cluster.config_path],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
        timeout=60,
        check=False,
        **how,
    )


def table(text):
    """{process: (pid, state, restarts)} of a status."""
    rows = [line.split() for line in text.splitlines()[2:]]
    return {name: (pid, state, int(restarts)) for name, pid, state, _, restarts in rows}


def test_status_shows_the_processes(cluster, node):
    run = ctl(cluster, "status")
    assert (run.returncode, run.stderr) == (0, "")
    assert re.match(
        rf"node0: pid {node.process.pid}, up \d+s\nPROCESS +PID +STATE +UPTIME +RESTARTS\n",
        run.stdout,
    )
    rows = table(run.stdout)
    assert set(rows) >= {"raft", "storage", "cacheq", "events", "gateway0"}
    for name in binaries.WORKERS:
        row = rows["gateway0" if name == "gateway" else name]
        assert row == (str(node.worker(name).pid), "ready", 0)


def test_a_restart_of_each_worker_is_latency_to_clients(cluster, node):
    client = cluster.tenant("tenant")
    with Writers(node.http_port, client.token) as writers:
        for name in ("raft", "storage", "cacheq", "events"):
            before = node.worker(name).pid
            run = ctl(cluster, "restart", name, "--as", "node0")
            assert (run.returncode, run.stdout, run.stderr) == (0, f"{name} serves again\n", "")
            assert node.worker(name).pid != before
            writers.wait_progress()
    writers.check_no_errors()
    writers.check(client)
    client.close()
    assert all(
        row[2] == 1
        for name, row in table(ctl(cluster, "status").stdout).items()
        if name != "gateway0"
    )


def test_gateways_restart_one_after_the_other_so_one_serves_always(make_cluster):
    cluster = make_cluster(gateway={"processes": 2}).start()
    node = cluster.nodes[0]
    client = cluster.tenant("tenant")
    client.close()
    with Writers(node.http_port, client.token, count=8) as writers:
        run = ctl(cluster, "restart", "gateway")
        assert (run.returncode, run.stdout) == (0, "gateway serves again\n")
        writers.wait_progress()
    writers.check_only_drops()
    rows = table(ctl(cluster, "status").stdout)
    assert (rows["gateway0"][2], rows["gateway1"][2]) == (1, 1)


def test_stop_stops_the_node_and_waits_for_its_end(cluster, node):
    client = node.root()
    expect(client.set("k", "v"), 200)
    client.close()
    run = ctl(cluster, "stop")
    assert (run.returncode, run.stdout, run.stderr) == (0, "stopped\n", "")
    assert node.process.wait(1) == 0
    assert node.shm_leftovers() == []
    run = ctl(cluster, "status", "--as", "node0")
    assert (run.returncode, run.stdout) == (1, "")
    assert run.stderr == "insid: node0 does not run on this machine\n"


def test_what_does_not_run_or_is_not_there_is_said_clearly(cluster, node):
    run = ctl(cluster, "restart", "frob")
    assert (run.returncode, run.stdout) == (1, "")
    assert run.stderr == (
        "insid: there is no worker 'frob'; there are: raft storage cacheq events gateway0\n"
    )
    run = ctl(cluster, "status", "--as", "nodeX")
    assert run.returncode == 2 and "names no node 'nodeX'; its nodes: node0" in run.stderr
    for wrong in (["frob"], [], ["restart"], ["status", "more"], ["status", "--host"]):
        run = ctl(cluster, *wrong)
        assert (run.returncode, run.stdout) == (2, ""), wrong
        assert "usage: insid ctl status|restart <worker>|stop" in run.stderr, wrong


def test_a_killed_node_leaves_a_socket_that_says_so(cluster, node):
    node.kill()
    run = ctl(cluster, "status")
    assert run.returncode == 1
    assert run.stderr == f"insid: no node of {cluster.config_path} runs on this machine\n"
    node.start()
    assert ctl(cluster, "status").returncode == 0


def test_which_of_several_nodes_is_meant_must_be_said(make_cluster):
    cluster = make_cluster(3)
    cluster.nodes[0].start(wait=False)
    cluster.nodes[2].start(wait=False)
    for node in (cluster.nodes[0], cluster.nodes[2]):
        node.log.wait_for("child_ready", child="raft")
    run = ctl(cluster, "status")
    assert (run.returncode, run.stdout) == (2, "")
    assert run.stderr == (
        f"insid: several nodes of {cluster.config_path} run here; say with --as which one: node0 node2\n"
    )
    assert ctl(cluster, "status", "--as", "node2").stdout.startswith("node2: pid ")
    assert ctl(cluster, "stop", "--as", "node0").returncode == 0
    assert ctl(cluster, "status").stdout.startswith("node2: pid ")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to be somebody else")
def test_strangers_are_kept_out(cluster, node):
    """The socket's folder is private. Were it not, its mode would do, and then the peer's user."""
    path = os.path.join(node.data, "run", "control.sock")
    assert os.stat(path).st_mode & 0o777 == 0o600
    run = ctl(cluster, "status", user=65534, env={"PATH": os.environ["PATH"]})
    assert run.returncode in (1, 2) and run.stdout == ""


def test_ctl_waits_for_a_worker_that_ends_slowly(cluster, node):
    """A stopped process cannot end when it is asked to: it is killed, and started anew."""
    node.worker("events").signal(signal.SIGSTOP)
    run = ctl(cluster, "restart", "events")
    assert (run.returncode, run.stdout) == (0, "events serves again\n")
