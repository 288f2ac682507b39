"""Clusters whose nodes talk in TLS, with certificates that one authority signed."""

import os
import shutil
import signal
import time

import pytest

from harness.certificates import Authority
from harness.client import expect
from harness.workload import Workload


@pytest.fixture
def authority(tmp_path):
    return Authority(str(tmp_path / "ca"))


@pytest.fixture
def secure(make_cluster, authority):
    """(cluster, authority): three nodes, started."""
    cluster = make_cluster(3, tls=authority.sign(), serverMustUseTLS=True)
    cluster.start()
    cluster.wait_leader()
    return cluster, authority


def test_the_leader_of_a_cluster_with_tls_is_killed(secure):
    cluster, _ = secure
    with Workload(cluster) as work:
        for kill in (lambda node: node.restart_worker("raft", signal.SIGKILL), restart):
            leader, begun = cluster.wait_leader(), time.monotonic()
            kill(leader)
            work.wait_progress()
            work.check_no_errors(cluster.followers(leader), begun)
    work.check()


def restart(node):
    node.kill()
    node.start()


def test_certificates_are_changed_while_nodes_run(secure):
    """SIGHUP: connections that are made from then on use the new ones; nobody's request fails."""
    cluster, authority = secure
    with Workload(cluster) as work:
        fresh = authority.sign("fresh")
        for name in ("cert", "key"):
            shutil.copy(fresh[name], cluster.settings.values["tls"][name])
        for node in cluster.nodes:
            position = node.log.size()
            node.process.send_signal(signal.SIGHUP)
            node.log.wait_for("config_reloaded", position)
        work.wait_progress()
        for node in cluster.nodes:
            node.restart_worker("raft", signal.SIGTERM)
            work.wait_progress()
    work.check_no_errors()
    work.check()


def test_a_node_with_a_certificate_of_another_authority_is_kept_out(make_cluster, authority):
    cluster = make_cluster(3, tls=authority.sign())
    strange = Authority(authority.path("strange"), "another CA").sign()
    stranger = cluster.nodes[2]
    path = cluster.scratch.file("stranger.yaml")
    ours, cluster.settings.values["tls"] = cluster.settings.values["tls"], strange
    cluster.settings.write(path)
    cluster.settings.values["tls"] = ours
    os.chmod(path, 0o600)
    stranger.config_path = path
    for node in cluster.nodes:
        node.start(wait=False)
    pair = cluster.nodes[:2]
    for node in pair:
        node.wait_ready()
    with Workload(cluster, pair) as work:
        pair[0].log.wait_for("peer_refused", fault="tls")
        work.wait_progress(each=20)
        members = cluster.status(pair[0])["members"]
        assert {member["id"] for member in members} == {node.id for node in pair}
        cluster.settings.values["tls"] = strange  # to ask the stranger, its CA is needed
        client = stranger.client()
        expect(client.call("GET", "/readyz"), 503)
        client.close()
        cluster.settings.values["tls"] = ours
    work.check_no_errors()
    work.check(pair)
