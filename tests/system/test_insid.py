"""insid before its first worker runs: what it says about a configuration, and a stop that comes
early."""

import fcntl
import os
import signal
import subprocess

from harness import binaries
from harness.certificates import Authority
from harness.wait import until


def check_config(cluster):
    command = [binaries.INSID, "--check-config", "--config", cluster.config_path]
    return subprocess.run(command, text=True, capture_output=True, timeout=30)


def test_check_config_looks_at_the_certificates(make_cluster, tmp_path):
    files = Authority(str(tmp_path / "ca")).sign()
    cluster = make_cluster(3, tls=files)
    run = check_config(cluster)
    assert (run.returncode, run.stderr) == (0, "")
    os.unlink(files["key"])
    run = check_config(cluster)
    assert (run.returncode, run.stdout) == (2, "")
    assert f"tls.key: cannot read {files['key']}: No such file or directory" in run.stderr


def test_a_node_that_waits_for_old_workers_is_stopped_in_order(make_cluster):
    cluster = make_cluster()
    node = cluster.nodes[0]
    os.makedirs(node.data)
    with open(os.path.join(node.data, "lock.workers"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        node.start(wait=False)
        until(lambda: own_pid_in(os.path.join(node.data, "lock"), node), "the node's own lock")
        node.process.send_signal(signal.SIGTERM)
        assert node.wait_exit(5) == 0
    assert node.shm_leftovers() == []
    node.start()


def own_pid_in(path, node):
    """insid writes its pid into its lock, then waits for the workers' lock."""
    try:
        with open(path) as file:
            return file.read() == f"{node.process.pid}\n"
    except FileNotFoundError:
        return False
