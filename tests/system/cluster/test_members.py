"""Who belongs to the cluster: nodes that are new, wiped, removed, moved or somebody else's."""

import shutil
import signal
import time

import pytest

from harness import nemesis
from harness.client import expect
from harness.wait import until
from harness.workload import Workload


def wipe(cluster, node):
    """Its disk is lost. What it kept on tmpfs is there still, and belongs to nothing any more."""
    cluster.allow(f"node={node.id} .*event=rebuild_ordered")
    nemesis.wipe(node)


def members(cluster, node=None):
    """{id: member} as a node (the first) knows them."""
    status = cluster.status(node or cluster.nodes[0])
    return {member["id"]: member for member in status["members"]} if status else {}


def test_a_wiped_follower_gets_everything_back(three):
    with Workload(three) as work:
        leader = three.wait_leader()
        follower = three.followers(leader)[0]
        rest, begun = [node for node in three.nodes if node is not follower], time.monotonic()
        follower.kill()
        wipe(three, follower)
        follower.start()
        work.wait_progress()
        three.wait_voters()
        work.check_no_errors(rest, begun)
    work.check()


def test_a_wiped_default_leader_joins_and_founds_nothing(three):
    cluster_id = three.status(three.nodes[0])["cluster_id"]
    with Workload(three) as work:
        default = three.nodes[0]
        begun = time.monotonic()
        default.kill()
        wipe(three, default)
        default.start()
        work.wait_progress()
        three.wait_voters()
        work.check_no_errors(three.nodes[1:], begun)
    assert {three.status(node)["cluster_id"] for node in three.nodes} == {cluster_id}
    work.check()


def test_a_removed_node_says_so_and_joins_again_when_told(three):
    leader = three.wait_leader()
    gone, stays = three.followers(leader)
    three.allow("event=node_removed", "event=rebuild_ordered")
    with Workload(three, [leader, stays]) as work:
        client = stays.root()
        expect(client.remove(gone.id), 200)
        three.wait_voters([leader.id, stays.id], leader)
        outside = gone.root()
        answer = until(lambda: refused(outside), "the removed node refuses", 10, 0.05)
        assert "removed" in answer.json["message"], answer
        expect(outside.call("GET", "/readyz"), 503)
        expect(outside.call("GET", "/healthz"), 200)
        work.wait_progress()
        address = three.settings.values["nodes"][gone.id]["raftBinding"]
        expect(client.join(gone.id, address), 200)
        gone.wait_ready()
        three.wait_voters(node=leader)
        for one in (client, outside):
            one.close()
    work.check_no_errors()
    work.check(three.nodes)


def refused(client):
    answer = client.set("k", "v")
    return answer if answer.error_type == "NO_LEADER" else None


def test_a_node_removed_while_away_stays_out(three):
    leader = three.wait_leader()
    gone, stays = three.followers(leader)
    three.allow("event=node_removed")
    with Workload(three, [leader, stays]) as work:
        gone.kill()
        client = leader.root()
        expect(client.remove(gone.id), 200)
        gone.start(wait=False)
        gone.log.wait_for("node_removed")
        outside = gone.root()
        answer = until(lambda: refused(outside), "the removed node refuses", 10, 0.05)
        assert "removed" in answer.json["message"], answer
        assert set(members(three, leader)) == {leader.id, stays.id}
        for one in (client, outside):
            one.close()
    work.check_no_errors()
    work.check([leader, stays])


def test_a_leader_that_is_removed_hands_over_first(three):
    three.allow("event=node_removed")
    leader = three.wait_leader()
    rest = three.followers(leader)
    with Workload(three, rest) as work:
        client = rest[0].root()
        expect(client.remove(leader.id), 200)
        client.close()
        three.wait_leader(rest, other_than=leader)
        three.wait_voters([node.id for node in rest], rest[0])
        work.wait_progress()
    work.check_no_errors()
    assert work.slowest() < 1, "they waited for an election"
    work.check(rest)


def test_a_fourth_node_joins_by_itself(make_cluster):
    cluster = make_cluster(4)
    for node in cluster.nodes[:3]:
        node.start(wait=False)
    for node in cluster.nodes[:3]:
        node.wait_ready()
    with Workload(cluster, cluster.nodes[:3]) as work:
        cluster.nodes[3].start()
        cluster.wait_voters()
        work.wait_progress()
    work.check_no_errors()
    work.check(cluster.nodes)


def test_a_node_that_moved_is_found_at_its_new_address(three):
    leader = three.wait_leader()
    moved = three.followers(leader)[0]
    assert moved.stop() == 0
    new = f"127.0.0.1:{three.ports.take()}"
    three.settings.values["nodes"][moved.id]["raftBinding"] = new
    three.rewrite()
    moved.start()
    until(
        lambda: members(three, leader).get(moved.id, {}).get("raft_address") == new,
        "the members show the new address",
        20,
        0.05,
    )
    with Workload(three) as work:
        work.wait_progress()
    work.check_no_errors()
    work.check()


def test_data_of_another_cluster_are_refused_and_harm_nobody(three, make_three):
    """As when somebody starts a node with an old folder."""
    other = make_three()
    leader = three.wait_leader()
    stranger, stays = three.followers(leader)
    three.allow("event=cluster_differs", "event=rebuild_ordered")
    assert other.nodes[1].stop() == 0
    with Workload(three, [leader, stays]) as work:
        stranger.kill()
        shutil.rmtree(stranger.data)
        shutil.copytree(
            other.nodes[1].data, stranger.data, ignore=shutil.ignore_patterns("*.mdb", "run")
        )
        stranger.start(wait=False)
        line = stranger.log.wait_for("cluster_differs", timeout=20)
        ids = {line.fields["cluster"], line.fields["peer_cluster"]}
        assert ids == {
            three.status(leader)["cluster_id"],
            other.status(other.nodes[0])["cluster_id"],
        }
        client = stranger.client()
        expect(client.call("GET", "/readyz"), 503)
        client.close()
        work.wait_progress()
    work.check_no_errors()
    work.check([leader, stays])


# ---- what is refused


def test_changes_that_make_no_sense_are_refused(three):
    leader = three.wait_leader()
    follower = three.followers(leader)[0]
    address = three.settings.values["nodes"][follower.id]["raftBinding"]
    for node in three.nodes:
        client = node.root()
        expect(client.remove("nobody"), 404, "NOT_FOUND")
        expect(client.transfer("nobody"), 404, "NOT_FOUND")
        expect(client.join(follower.id, address), 409, "CONFLICT")
        expect(client.join("nobody", "127.0.0.1:1"), 503, "NO_LEADER")
        client.close()
    assert three.wait_leader() is leader


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=lambda one: one.name)
def test_a_node_ending_while_it_joins_joins_when_it_is_back(make_cluster, number):
    cluster = make_cluster(3)
    for node in cluster.nodes[:2]:
        node.start(wait=False)
    cluster.wait_leader(cluster.nodes[:2])
    late = cluster.nodes[2]
    for pause in (0.05, 0.1, 0.2, 0.3, 0.5):
        late.start(wait=False)
        time.sleep(pause)
        late.process.send_signal(number)
        late.wait_exit()
    late.start()
    cluster.wait_voters()
    with Workload(cluster) as work:
        work.wait_progress()
    work.check_no_errors()
    work.check()
