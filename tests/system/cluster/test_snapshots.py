"""Snapshots between nodes: whoever is too far behind gets one and goes on from it, whatever is killed
meanwhile; a node whose state differs from that of the others is found out and made anew."""

import os
import shutil
import signal
import subprocess
import threading

import pytest

from harness.client import Dropped, expect
from harness.wait import until
from harness.writers import Writers

SMALL = {"raft": {"snapshotLogSize": "16KiB"}}
VALUE = "x" * 2000
LARGE = "x" * 20000  # 100 of them are a fifth of a segment of the log


@pytest.fixture
def three(make_three):
    return make_three(**SMALL)


def write(cluster, token, node, count, prefix="k", value=VALUE):
    """So many keys, in batches."""
    client = node.client(token)
    for first in range(0, count, 100):
        batch = [(f"{prefix}{i:06d}", value) for i in range(first, min(first + 100, count))]
        expect(client.batchset(batch), 200)
    client.close()


def snapshot_folder(node):
    return os.path.join(node.data, "snapshots")


def snapshots(node):
    """Indexes of the complete ones."""
    return sorted(int(name) for name in os.listdir(snapshot_folder(node)) if name.isdigit())


def last_index(node):
    """Of the log of a node that was stopped in order."""
    return int(node.log.find("log_closed")[-1].fields["last_index"])


def outrun(cluster, token, follower, value=VALUE, known=None):
    """The follower was stopped (or is cut off, with entries up to known); the others write until
    their log begins behind all that it has."""
    leader = cluster.wait_leader([node for node in cluster.nodes if node is not follower])
    position, known = leader.log.size(), known or last_index(follower)
    for turn in range(200):
        write(cluster, token, leader, 100, "behind", f"{turn} {value}")
        cuts = leader.log.find("log_cut", position)
        if cuts and int(cuts[-1].fields["index"]) > known:
            return leader
    raise AssertionError("the leader's log is not cut")


def wait_caught_up(cluster, token):
    cluster.wait_leader()
    cluster.wait_equal()
    found = []
    for node in cluster.nodes:
        client = node.client(token)
        found.append(client.iterate_all(values="true"))
        client.close()
    assert found[0] == found[1] == found[2]
    assert len(found[0]) > 0


class Readers:
    """Threads that read one key of a node without pause; a dropped connection is made anew, and
    counts."""

    def __init__(self, node, token, **parameters):
        self.node, self.token, self.parameters = node, token, parameters
        self.stopping = threading.Event()
        self.statuses, self.drops = {}, 0
        self.threads = [threading.Thread(target=self._run, daemon=True) for _ in range(2)]

    def _run(self):
        client = self.node.client(self.token)
        while not self.stopping.is_set():
            try:
                status = client.get("k000000", **self.parameters).status
                self.statuses[status] = self.statuses.get(status, 0) + 1
            except Dropped:
                self.drops += 1

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        for thread in self.threads:
            thread.join()


# ---- who is behind


def test_a_follower_too_far_behind_goes_on_from_a_snapshot(three):
    token = three.create_key("tenant")
    follower = three.followers(three.wait_leader())[0]
    write(three, token, follower, 300)
    follower.stop()
    outrun(three, token, follower)
    position = follower.log.size()
    follower.start()
    wait_caught_up(three, token)
    assert follower.log.find("snapshot_received", position)
    assert follower.log.find("snapshot_installed", position)
    assert len(snapshots(follower)) >= 1
    # and it is a member like any other
    write(three, token, follower, 10, "after")
    three.wait_equal()


def test_a_wiped_node_comes_back_into_a_cluster_whose_log_was_cut(three):
    token = three.create_key("tenant")
    write(three, token, three.nodes[0], 300)
    leader = three.wait_leader()
    follower = three.followers(leader)[1]
    follower.stop()
    outrun(three, token, follower)
    shutil.rmtree(follower.data)
    position = follower.log.size()
    follower.start()
    wait_caught_up(three, token)
    assert follower.log.find("snapshot_installed", position)


def commit_index(cluster, node):
    status = until(lambda: cluster.status(node), f"{node.id} knows the cluster", 30, 0.05)
    return status["node"]["commit_index"]


@pytest.fixture
def networked(make_three):
    return make_three(network=True, **SMALL)


def cut_off(cluster, token, follower):
    """Until it is so far behind that what was under way to it does not help. Returns the leader."""
    leader = cluster.wait_leader()
    known, position = commit_index(cluster, follower), leader.log.size()
    cluster.network.isolate(cluster.number(follower))
    write(cluster, token, leader, 100, "behind")
    leader.log.wait_for("peer_down", position, 30, peer=follower.id)
    return outrun(cluster, token, follower, known=known + 1)


def test_a_follower_that_was_cut_off_installs_one_while_it_serves(networked):
    token = networked.create_key("tenant")
    follower = networked.followers(networked.wait_leader())[0]
    write(networked, token, follower, 100)
    write(networked, token, follower, 300, "large", LARGE)
    networked.wait_equal()
    position = follower.log.size()
    with Readers(follower, token, consistency="stale") as readers:
        cut_off(networked, token, follower)
        networked.network.heal()
        follower.log.wait_for("snapshot_installed", position, 60)
        wait_caught_up(networked, token)
    assert set(readers.statuses) == {200} and readers.drops == 0, readers.statuses


def test_a_worker_that_catches_up_while_the_log_begins_anew_is_sent_to_load(make_three, tmp_path):
    """It has so much to do that it was not sent all of the old log yet, and goes on at the wrong
    moment."""
    held = tmp_path / "held"
    environment = {"INSI_TEST_FAIL": f"log_reset:hold:{held}", "INSI_TEST_HANG_MS": "600000"}
    raft = {**SMALL["raft"], "electionTimeout": "5s"}  # whatever the machine does meanwhile
    networked = make_three(environment, network=True, raft=raft, limits={"requestTimeout": "25s"})
    token = networked.create_key("tenant")
    leader = networked.wait_leader()
    follower = networked.followers(leader)[0]
    networked.wait_equal()
    storage, position = follower.signal_worker("storage", signal.SIGSTOP)
    write(networked, token, leader, 1000, "large", LARGE)  # more than its raft sends it unapplied
    known = commit_index(networked, leader)
    until(lambda: commit_index(networked, follower) >= known, "its raft has all of that", 60)
    networked.network.hang_up(networked.number(follower))
    outrun(networked, token, follower, LARGE, known=known + 5)
    networked.network.heal()
    until(held.exists, "its log is being begun anew", 60)
    assert not follower.log.find("worker_sent_to_load", position)
    storage.signal(signal.SIGCONT)
    follower.log.wait_for("worker_sent_to_load", position, 60, worker="storage")
    for too_late in ("snapshot_installed", "worker_gone", "child_exited"):
        assert not follower.log.find(too_late, position)
    held.write_text("go on")
    follower.log.wait_for("snapshot_installed", position, 60)
    wait_caught_up(networked, token)


def test_a_worker_told_to_load_what_is_gone_by_then_loads_the_next(make_three, tmp_path):
    """It gets round to it when a second snapshot was installed and the first one removed."""
    held = tmp_path / "held"
    networked = make_three(network=True, **SMALL)
    token = networked.create_key("tenant")
    follower = networked.followers(networked.wait_leader())[0]
    write(networked, token, follower, 100)
    follower.stop()
    outrun(networked, token, follower)
    position = follower.log.size()
    environment = {"INSI_TEST_FAIL": f"load_asked:hold:{held}", "INSI_TEST_HANG_MS": "600000"}
    follower.start(wait=False, environment=environment)
    first = follower.log.wait_for("snapshot_installed", position, 60).fields["index"]
    until(held.exists, "a worker was told to load it", 30)
    cut_off(networked, token, follower)
    networked.network.heal()
    follower.log.wait_for("snapshot_removed", position, 60, index=first)
    held.write_text("go on")
    gone = follower.log.wait_for("snapshot_gone", position, 30)
    assert f"/{first}/" in gone.fields["path"]
    wait_caught_up(networked, token)
    assert not follower.log.find("worker_not_loaded", position)


def test_connections_reset_while_one_is_sent_cost_no_more_than_a_moment(networked):
    token = networked.create_key("tenant")
    follower = networked.followers(networked.wait_leader())[0]
    write(networked, token, follower, 500, "large", LARGE)
    networked.wait_equal()
    position = follower.log.size()
    leader = cut_off(networked, token, follower)
    sent = leader.log.size()
    networked.network.narrow(networked.number(follower), 1024)  # so it takes seconds
    networked.network.heal()
    for _ in range(3):
        leader.log.wait_for("snapshot_send_begun", sent, 30)
        sent = leader.log.size()
        networked.network.reset()
        leader.log.wait_for("peer_down", sent, 30, peer=follower.id)
        assert not follower.log.find("snapshot_received", position)
        networked.network.heal()
    networked.network.widen(networked.number(follower))
    wait_caught_up(networked, token)
    assert follower.log.find("snapshot_received", position)


def test_a_leader_that_was_cut_off_gives_up_what_the_others_never_had(networked):
    """Its log holds entries that nobody else has; a snapshot replaces all of it."""
    token = networked.create_key("tenant")
    old = networked.wait_leader()
    write(networked, token, old, 100)
    networked.wait_equal()
    known, position = commit_index(networked, old), old.log.size()
    networked.network.isolate(networked.number(old))
    client = old.client(token)
    answer = client.set("never", "seen by others")
    assert answer.status == 503, answer
    client.close()
    outrun(networked, token, old, known=known + 10)
    networked.network.heal()
    old.log.wait_for("snapshot_installed", position, 60)
    wait_caught_up(networked, token)
    client = old.client(token)
    assert client.get("never").status == 404
    client.close()


# ---- killed at any moment

MAKING = [
    "part_asked",
    "copy_half",
    "copy_written",
    "part_made",
    "snapshot_parts_made",
    "snapshot_manifest_written",
    "snapshot_files_synced",
    "snapshot_named",
    "snapshot_finished",
    "log_cut",
    "snapshot_unnamed",
]
RECEIVING = [
    "incoming_begun",
    "incoming_written",
    "incoming_part",
    "incoming_complete",
    "snapshot_files_synced",
    "snapshot_named",
    "received_named",
]
INSTALLING = [
    "install_begun",
    "install_reset",
    "install_told",
    "load_asked",
    "load_copied",
    "load_checked",
]


def test_killed_anywhere_while_it_makes_a_snapshot_a_node_goes_on(make_cluster):
    cluster = make_cluster(1, **SMALL).start()
    node, token = cluster.nodes[0], cluster.create_key("tenant")
    for point in MAKING:
        node.stop()
        mark = cluster.scratch.file(f"killed-{point}")
        node.start(environment={"INSI_TEST_FAIL": f"{point}:kill:{mark}"})
        for turn in range(200):
            write(cluster, token, node, 100, "k", f"{point} {turn} {VALUE}")
            if os.path.exists(mark):
                break
        assert os.path.exists(mark), f"{point} was not passed"
        write(cluster, token, node, 100, "k", point)
        client = node.client(token)
        items = client.iterate_all(values="true")
        client.close()
        assert [item["value"] for item in items] == [point] * 100
    node.stop()
    lose_map(node)
    node.start()
    client = node.client(token)
    items = client.iterate_all(values="true")
    client.close()
    assert [item["value"] for item in items] == [MAKING[-1]] * 100


@pytest.mark.parametrize("points", [RECEIVING, INSTALLING], ids=["receiving", "installing"])
def test_killed_anywhere_while_it_gets_a_snapshot_a_node_catches_up(three, points):
    token = three.create_key("tenant")
    follower = three.followers(three.wait_leader())[0]
    write(three, token, follower, 100)
    for point in points:
        follower.stop()
        outrun(three, token, follower)
        mark = three.scratch.file(f"killed-{point}")
        follower.start(environment={"INSI_TEST_FAIL": f"{point}:kill:{mark}"})
        wait_caught_up(three, token)
        assert os.path.exists(mark), f"{point} was not passed"


def test_a_leader_killed_while_it_sends_is_followed_by_another_one(three):
    token = three.create_key("tenant")
    follower = three.followers(three.wait_leader())[0]
    for _ in range(2):
        write(three, token, three.wait_leader(), 500, "large", LARGE)
        follower.stop()
        leader = outrun(three, token, follower)
        position = leader.log.size()
        follower.start(wait=False)
        leader.log.wait_for("snapshot_send_begun", position)
        leader.restart_worker("raft", signal.SIGKILL)
        wait_caught_up(three, token)


def test_a_receiver_whose_connection_breaks_goes_on_where_it_was(make_three):
    """Its raft is killed again and again: what has come is not sent again."""
    three = make_three(**SMALL)
    token = three.create_key("tenant")
    follower = three.followers(three.wait_leader())[0]
    write(three, token, three.wait_leader(), 500, "large", LARGE)
    follower.stop()
    leader = outrun(three, token, follower)
    position, sent = follower.log.size(), leader.log.size()
    mark = three.scratch.file("killed")
    follower.start(environment={"INSI_TEST_FAIL": f"incoming_part:kill:{mark}"})
    wait_caught_up(three, token)
    assert follower.log.find("snapshot_received", position)
    begun = leader.log.find("snapshot_send_begun", sent)
    assert len(begun) >= 2
    same = [line for line in begun if line.fields["index"] == begun[0].fields["index"]]
    if len(same) > 1:  # else a newer one was sent
        assert int(same[1].fields["position"]) > 0


# ---- clients meanwhile


@pytest.mark.parametrize("consistency", ["stale", "linearizable"])
def test_no_read_fails_while_maps_are_switched(three, consistency):
    token = three.create_key("tenant")
    follower = three.followers(three.wait_leader())[0]
    write(three, token, follower, 100)
    write(three, token, follower, 500, "large", LARGE)
    three.wait_equal()
    follower.stop()
    outrun(three, token, follower)
    position = follower.log.size()
    follower.start(wait=False)
    until(lambda: serves(follower, token, consistency), "the follower reads", 30)
    with Readers(follower, token, **reads(consistency)) as readers:
        follower.log.wait_for("snapshot_installed", position, 60)
        wait_caught_up(three, token)
    print(readers.statuses, readers.drops)
    assert set(readers.statuses) == {200} and readers.drops == 0


def reads(consistency):
    return {"consistency": "stale"} if consistency == "stale" else {}


def serves(node, token, consistency):
    client = node.client(token, timeout=10)
    try:
        return client.get("k000000", **reads(consistency)).status == 200
    except Dropped:
        return False
    finally:
        client.close()


def test_writers_notice_nothing_of_snapshots_made_sent_and_installed(three):
    client = three.tenant("tenant")
    follower = three.followers(three.wait_leader())[0]
    with Writers([node for node in three.nodes if node is not follower], client.token) as writers:
        for _ in range(2):
            follower.stop()
            outrun(three, client.token, follower)
            follower.start()
            writers.wait_progress()
    print(writers.summary())
    writers.check_no_errors()
    writers.check(client)
    wait_caught_up(three, client.token)
    client.close()


# ---- damage


def damage(path):
    with open(path, "r+b") as file:
        file.seek(os.path.getsize(path) // 2)
        byte = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte[0] ^ 1]))


def lose_map(node):
    """As after a power cut: the map of storage has to be made anew."""
    shutil.rmtree(os.path.join(node.data, "values"))


def test_a_node_whose_snapshots_are_all_damaged_gets_one_from_the_leader(three):
    three.allow("event=snapshot_damaged", "event=snapshot_missing")
    token = three.create_key("tenant")
    follower = three.followers(three.wait_leader())[0]
    for turn in range(12):
        write(three, token, follower, 100, "k", f"{turn} {LARGE}")
    three.wait_equal()
    until(lambda: len(snapshots(follower)) == 2, "two snapshots are kept", 30)
    follower.stop()
    for index in snapshots(follower):
        damage(os.path.join(snapshot_folder(follower), str(index), "storage.mdb"))
    lose_map(follower)
    position = follower.log.size()
    follower.start()
    wait_caught_up(three, token)
    assert follower.log.find("snapshot_received", position)


def test_a_node_that_lost_all_its_snapshots_gets_one_and_is_a_voter_again(three):
    three.allow("event=snapshot_missing")
    token = three.create_key("tenant")
    leader = three.wait_leader()
    follower, other = three.followers(leader)
    for turn in range(12):
        write(three, token, follower, 100, "k", f"{turn} {LARGE}")
    three.wait_equal()
    follower.stop()
    shutil.rmtree(snapshot_folder(follower))
    lose_map(follower)
    position = follower.log.size()
    follower.start()
    wait_caught_up(three, token)
    assert follower.log.find("snapshot_received", position)
    until(lambda: hands_over(leader, follower), f"{follower.id} leads", 20, 0.3)
    leader.stop()
    three.wait_leader([follower, other])
    write(three, token, follower, 10, "after")


# ---- a state that differs


def overwrite(node, scope_and_key_ends_with, old, new):
    """Changes a value in the map of a node that is stopped, behind everybody's back."""
    values = os.path.join(node.data, "values", "values.mdb")
    dump = subprocess.run(
        ["mdb_dump", "-n", "-s", "values", values], capture_output=True, text=True, check=True
    ).stdout
    head, records = dump.split("HEADER=END\n")
    lines = records.splitlines()
    for key, value in zip(lines[::2], lines[1::2]):
        if key.endswith(scope_and_key_ends_with.encode().hex()):
            assert value.endswith(old.encode().hex()), value
            value = value[: -2 * len(old)] + new.encode().hex()
            text = f"{head}HEADER=END\n{key}\n{value}\nDATA=END\n"
            subprocess.run(
                ["mdb_load", "-n", "-s", "values", values], input=text, text=True, check=True
            )
            return
    raise AssertionError("there is no such key")


def value_if_served(client, key):
    try:
        answer = client.get(key)
        return answer.data if answer.status == 200 else None
    except Dropped:
        return None


def hands_over(leader, other):
    """One that has just started does not stand yet."""
    client = leader.root()
    status = client.transfer(other.id).status
    client.close()
    return status == 200


@pytest.mark.parametrize("role", ["follower", "leader"])
@pytest.mark.parametrize("cut", [False, True], ids=["with-all-its-log", "with-its-log-cut"])
def test_a_node_whose_state_differs_is_made_anew(make_three, role, cut):
    three = make_three(**(SMALL if cut else {}))
    three.allow("state_differs", "state_of_member_differs", "rebuild_ordered", "snapshot_damaged")
    three.allow("snapshot_missing", "event=child_failed", "child_ended")
    token = three.create_key("tenant")
    leader = three.wait_leader()
    odd = three.followers(leader)[0]
    client = leader.client(token)
    for turn in range(12 if cut else 1):
        write(three, token, leader, 100, "k", f"{turn} {LARGE}")
    expect(client.bump("counter", 5), 200)
    three.wait_equal()
    odd.stop()
    overwrite(odd, "counter", "5", "7")
    odd.start()
    three.wait_leader()
    if role == "leader":
        until(lambda: hands_over(leader, odd), f"{odd.id} leads", 20, 0.3)
        three.wait_leader(other_than=leader)
    positions = three.log_positions()
    client.close()
    client = leader.client(token)
    expect(client.bump("counter", 1), 200)
    for turn in range(1100):
        expect(client.set("many", str(turn)), 200)
    odd.log.wait_for("state_differs", positions[odd.id], 30)
    reader = odd.client(token)
    right = until(lambda: value_if_served(reader, "counter"), "it serves again", 30)
    assert right == "6", "what is wrong is not served"
    reader.close()
    for node in three.nodes:
        if node is not odd:
            assert not node.log.find("state_differs", positions[node.id])
    wait_caught_up(three, token)
    client.close()
