"""Whole nodes: killed with everything, started twice, stopped, moved, started on damaged logs."""

import os
import random
import shutil
import signal
import subprocess
import time

import pytest

from harness import maps, wal
from harness.binaries import WORKERS
from harness.client import expect
from harness.raw import Raw, request
from harness.wait import until
from harness.writers import Writers


BEHIND = [name for name in WORKERS if name != "gateway"]


def fill(client, first, count, size=64):
    """Keys k<n> with values that tell their number; returns the last index."""
    index = 0
    for n in range(first, first + count):
        index = expect(client.set(f"k{n:06d}", f"value {n} ".ljust(size, ".")), 200).index
    return index


def check_filled(client, count, size=64):
    found = client.iterate_all("k", values="true", limit=100)
    assert found == [
        {"key": f"k{n:06d}", "value": f"value {n} ".ljust(size, ".")} for n in range(count)
    ]


def empty(folder):
    for name in os.listdir(folder):
        shutil.rmtree(os.path.join(folder, name))


# ---- everything killed


@pytest.mark.parametrize("how", ["supervisor", "all", "workers first"])
def test_a_node_killed_while_clients_write_loses_nothing(cluster, node, how):
    client = cluster.tenant("tenant")
    with Writers(node.http_port, client.token, patience=60) as writers:
        for _ in range(3):
            if how == "supervisor":
                node.kill_supervisor()
            else:
                node.kill(workers_first=how != "all")
            node.start()
            writers.wait_progress()
    print(writers.summary())
    writers.check_only_drops()
    client.close()
    writers.check(client)
    client.close()


@pytest.mark.slow
def test_a_node_killed_again_and_again_loses_nothing(cluster, node):
    """Also while it is still starting."""
    seed = random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    client = cluster.tenant("tenant")
    with Writers(node.http_port, client.token, patience=120) as writers:
        for _ in range(10):
            time.sleep(chance.random() * 0.5)  # the pause is part of the scenario
            node.kill()
            if chance.random() < 0.5:
                node.start(wait=False)
                time.sleep(chance.random() * 0.2)
                node.kill()
            node.start()
        writers.wait_progress()
    print(writers.summary())
    writers.check_only_drops()
    client.close()
    writers.check(client)
    client.close()


def test_a_stop_while_clients_write_loses_nothing(cluster, node):
    client = cluster.tenant("tenant")
    with Writers(node.http_port, client.token, patience=60) as writers:
        for _ in range(3):
            started = time.monotonic()
            assert node.stop() == 0
            assert time.monotonic() - started < 10
            node.start()
            writers.wait_progress()
    print(writers.summary())
    client.close()
    writers.check(client)
    client.close()


def test_a_day_old_node_starts_with_all_it_had(cluster, node, record_property):
    """Stop, start, again, with the same answers and growing indexes."""
    client = cluster.tenant("tenant")
    last = fill(client, 0, 500)
    for _ in range(3):
        client.close()
        assert node.stop() == 0
        started = time.monotonic()
        node.start()
        record_property("measured start of a node", f"{(time.monotonic() - started) * 1000:.0f} ms")
        check_filled(client, 500)
        index = expect(client.set("other", "v"), 200).index
        assert index > last
        last = index
    client.close()


# ---- one node, one insid


def test_a_second_insid_on_the_same_data_is_refused(cluster, node):
    client = cluster.tenant("tenant")
    run = subprocess.run(
        [node.insid, "--as", "node0", "--config", node.config_path],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        cwd=node.folder,
    )
    assert run.returncode == 1
    assert "another insid" in run.stderr and str(node.process.pid) in run.stderr
    expect(client.set("k", "v"), 200)
    client.close()


def test_a_binding_that_is_taken_is_named(cluster, node, make_cluster):
    other = make_cluster()
    taken = node.settings.values["nodes"]["node0"]["httpBinding"]
    other.settings.values["nodes"]["node0"]["httpBinding"] = taken
    other.rewrite()
    run = subprocess.run(
        [node.insid, "--as", "node0", "--config", other.config_path],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        cwd=other.scratch.path,
    )
    assert run.returncode == 1 and "httpBinding" in run.stderr and taken in run.stderr


@pytest.mark.parametrize("how", ["--as", "--host"])
@pytest.mark.parametrize("missing", ["cert", "key", "ca"])
def test_a_certificate_that_is_not_there_is_named(make_cluster, missing, how):
    cluster = make_cluster()
    node = cluster.nodes[0]
    files = {name: cluster.scratch.file(f"{name}.pem") for name in ("cert", "key", "ca")}
    cluster.rewrite(tls=files)
    for name, path in files.items():
        if name != missing:
            with open(path, "w", encoding="utf-8") as file:
                file.write("not looked at before all are there")
    node.start(
        wait=False,
        arguments=[*(["--as", node.id] if how == "--as" else ["--host"])]
        + ["--config", cluster.config_path],
    )
    assert node.wait_exit() == 2
    assert f"tls.{missing}: cannot read {files[missing]}: No such file" in node.log.text()
    assert not os.path.exists(node.data)


def test_a_stopped_node_leaves_nothing_on_tmpfs_and_no_socket(cluster, node):
    client = cluster.tenant("tenant")
    expect(client.set("k", "v"), 200)
    client.close()
    assert node.shm_leftovers(), "this test looks in the wrong place"
    assert node.stop() == 0
    assert node.shm_leftovers() == []
    assert os.listdir(os.path.join(node.data, "run")) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_both_stop_signals_stop_in_order(cluster, node, number):
    node.process.send_signal(number)
    assert node.wait_exit() == 0
    events = [line.event for line in node.log.lines()]
    assert "node_stopping" in events and events[-1] == "node_stopped"


def test_a_node_with_open_connections_stops_in_time(cluster, node):
    token = cluster.create_key("tenant")
    idle = [Raw(node.http_port) for _ in range(20)]
    for raw in idle[:10]:
        raw.send(request("GET", "/ping", token))
        expect(raw.answer(), 200)
    for raw in idle[10:]:
        raw.send(request("POST", "/set", token, headers=["Content-Length: 1000"]))
    started = time.monotonic()
    assert node.stop() == 0
    assert time.monotonic() - started < 10
    for raw in idle:
        raw.close()


# ---- machine restarts


def test_after_a_machine_restart_the_map_is_rebuilt_from_the_log(make_cluster):
    """The map is written without fsync: after a crash of the system it is not believed."""
    cluster = make_cluster()
    node = cluster.nodes[0].start(
        environment={"INSI_TEST_BOOT_ID": "11111111-1111-1111-1111-111111111111"}
    )
    client = cluster.tenant("tenant")
    last = fill(client, 0, 300)
    client.close()
    node.kill()
    with open(os.path.join(node.data, "values", "values.mdb"), "r+b") as file:
        file.seek(8192)
        file.write(os.urandom(16384))  # what a power cut may have left of it
    node.start(environment={"INSI_TEST_BOOT_ID": "22222222-2222-2222-2222-222222222222"})
    check_filled(client, 300)
    assert expect(client.get("k000299"), 200).index == last
    client.close()
    node.kill()
    node.start(environment={"INSI_TEST_BOOT_ID": "22222222-2222-2222-2222-222222222222"})
    check_filled(client, 300)
    client.close()


def test_within_one_boot_the_map_is_kept(make_cluster):
    cluster = make_cluster()
    same = {"INSI_TEST_BOOT_ID": "11111111-1111-1111-1111-111111111111"}
    node = cluster.nodes[0].start(environment=same)
    client = cluster.tenant("tenant")
    fill(client, 0, 100)
    path = os.path.join(node.data, "values", "values.mdb")
    before = os.stat(path).st_ino
    node.kill()
    node.start(environment=same)
    assert os.stat(path).st_ino == before
    client.close()
    check_filled(client, 100)
    client.close()


def test_a_lost_map_is_rebuilt_from_the_log(cluster, node):
    client = cluster.tenant("tenant")
    fill(client, 0, 300)
    client.close()
    assert node.stop() == 0
    shutil.rmtree(os.path.join(node.data, "values"))
    node.start()
    check_filled(client, 300)
    client.close()


def test_an_emptied_tmpfs_is_filled_again(cluster, node):
    client = cluster.tenant("tenant")
    fill(client, 0, 100)
    client.close()
    node.kill()
    empty(cluster.scratch.tmpfs)
    node.start()
    check_filled(client, 100)
    client.close()


@pytest.mark.parametrize("how", ["nothing else", "a worker ends", "all workers end"])
def test_a_tmpfs_emptied_under_a_running_node_costs_a_restart_and_nothing_else(
    cluster, node, how
):
    """As logind does (RemoveIPC) when the user logs out who started the node."""
    cluster.allow("shm_folder_lost", "board_open_failed", "worker_start_failed")
    cluster.allow("map_mark_failed", "child_gave_up", "apply_held")
    client = cluster.tenant("tenant")
    with Writers(node.http_port, client.token, patience=60) as writers:
        position = node.log.size()
        empty(cluster.scratch.tmpfs)
        if how != "nothing else":
            for name in ["storage"] if how == "a worker ends" else BEHIND:
                node.signal_worker(name, signal.SIGKILL)
        until(lambda: node.log.find("node_ready", position), "the node is ready again", 30)
        node.wait_ready()
        writers.wait_progress()
        for name in BEHIND:
            node.restart_worker(name, signal.SIGKILL)
        writers.wait_progress()
    client.close()
    writers.check(client)
    client.close()


def test_a_stop_is_a_stop_also_while_a_node_begins_anew_with_another_tmpfs(cluster, node):
    cluster.allow("shm_folder_lost", "map_mark_failed", "apply_held")
    empty(cluster.scratch.tmpfs)
    until(lambda: node.log.find("shm_folder_lost"), "the loss is noticed", 10)
    assert node.stop() == 0


# ---- damaged logs


@pytest.fixture
def written(cluster, node):
    """A stopped node with several segments of log, and what must be read back from it."""
    client = cluster.tenant("tenant")
    fill(client, 0, 40, 600_000)
    fill(client, 40, 60)
    client.close()
    assert node.stop() == 0
    assert len(wal.segments(node)) >= 3
    return client


def check_written(client):
    for n in (0, 13, 39):
        assert expect(client.get(f"k{n:06d}"), 200).data == f"value {n} ".ljust(600_000, ".")
    for n in range(40, 100):
        assert expect(client.get(f"k{n:06d}"), 200).data == f"value {n} ".ljust(64, ".")
    client.close()


def test_an_undamaged_log_of_several_segments_is_read_back(cluster, node, written):
    shutil.rmtree(os.path.join(node.data, "values"))
    node.start()
    check_written(written)


def refuses_to_start(cluster, node, *words):
    """The node ends with 1 and an error line that holds all the words."""
    cluster.allow("process=raft ", "event=child_gave_up")
    position = node.log.size()
    node.start(wait=False)
    assert node.wait_exit(30) == 1
    errors = [line for line in node.log.lines(position) if line.level == "error"]
    assert any(all(word in line.text for word in words) for line in errors), (words, errors)


def last_with_payload(segments):
    """The last batch that holds records, and its segment."""
    for segment in reversed(segments):
        batches = [batch for batch in segment.batches() if batch.payload_bytes]
        if batches:
            return segment, batches[-1]
    raise AssertionError("an empty log")


@pytest.mark.parametrize("keep", ["half the payload", "the header", "half the header"])
def test_a_torn_tail_is_cut_and_the_node_starts(cluster, node, written, keep):
    """What a power cut leaves of a batch that was never acknowledged."""
    segment, batch = last_with_payload(wal.segments(node))
    cut = {
        "half the payload": batch.payload + batch.payload_bytes // 2,
        "the header": batch.payload,
        "half the header": batch.offset + wal.BATCH_HEADER_BYTES // 2,
    }[keep]
    shutil.rmtree(os.path.join(node.data, "values"))
    segment.zero_from(cut)
    node.start()
    for n in range(0, 99):  # all but the write that was torn off
        assert written.get(f"k{n:06d}").status == 200
    expect(written.set("after", "the cut"), 200)
    written.close()
    assert node.stop() == 0
    node.start()
    assert expect(written.get("after"), 200).data == "the cut"
    written.close()


def test_a_torn_tail_after_a_power_cut_keeps_every_other_write(cluster, node):
    """The last batch did not reach the disk, and what was only in memory is gone."""
    client = cluster.tenant("tenant")
    fill(client, 0, 200)
    client.close()
    node.kill()
    segment, batch = last_with_payload(wal.segments(node))
    shutil.rmtree(os.path.join(node.data, "values"))
    empty(cluster.scratch.tmpfs)
    segment.zero_from(batch.payload + batch.payload_bytes // 2)
    node.start()
    check_filled(client, 199)
    client.close()


@pytest.mark.parametrize("where", ["payload", "header"])
@pytest.mark.parametrize("which", ["first", "middle", "last segment"])
def test_a_flipped_bit_in_the_middle_stops_the_node(cluster, node, written, which, where):
    """It may have held an acknowledged write, so nobody may go on as if it had never been."""
    segments = wal.segments(node)
    segment = {"first": segments[0], "middle": segments[1], "last segment": segments[-1]}[which]
    batches = [batch for batch in segment.batches() if batch.payload_bytes]
    batch = batches[len(batches) // 2] if which != "first" else batches[0]
    segment.flip_bit(
        batch.payload + batch.payload_bytes // 3 if where == "payload" else batch.offset + 5
    )
    refuses_to_start(cluster, node, os.path.basename(segment.path), f"offset={batch.offset}")
    refuses_to_start(cluster, node, os.path.basename(segment.path))


def test_a_flipped_bit_that_is_mended_lets_the_node_start(cluster, node, written):
    """The refusal changes nothing on disk: restored from a copy, the node goes on."""
    segment = wal.segments(node)[0]
    batch = segment.batches()[3]
    segment.flip_bit(batch.payload)
    refuses_to_start(cluster, node, os.path.basename(segment.path))
    segment.flip_bit(batch.payload)
    node.start()
    check_written(written)


def test_a_damaged_segment_header_stops_the_node(cluster, node, written):
    segment = wal.segments(node)[1]
    segment.flip_bit(40)
    refuses_to_start(cluster, node, os.path.basename(segment.path))


@pytest.mark.parametrize("which", ["first", "middle"])
def test_a_missing_segment_stops_the_node(cluster, node, written, which):
    segments = wal.segments(node)
    missing = segments[0] if which == "first" else segments[len(segments) // 2]
    os.unlink(missing.path)
    refuses_to_start(cluster, node, "log")


def test_a_segment_of_another_node_stops_the_node(cluster, node, written, make_cluster):
    stranger = make_cluster().start()
    client = stranger.tenant("tenant")
    fill(client, 0, 30, 600_000)
    client.close()
    assert stranger.nodes[0].stop() == 0
    mine, theirs = wal.segments(node)[1], wal.segments(stranger.nodes[0])[1]
    shutil.copyfile(theirs.path, mine.path)
    refuses_to_start(cluster, node, os.path.basename(mine.path))


def test_the_log_of_another_node_is_refused(cluster, node, written):
    """The data folder of node0 under the name of another node."""
    other = "node9"
    os.rename(node.data, os.path.join(os.path.dirname(node.data), other))
    values = cluster.settings.values
    values["nodes"][other] = values["nodes"].pop("node0")
    cluster.rewrite(defaultLeader=other)
    position = node.log.size()
    cluster.allow("process=raft", "child_gave_up")
    node.start(wait=False, arguments=["--as", other, "--config", node.config_path])
    assert node.wait_exit(30) == 1
    assert [
        line
        for line in node.log.lines(position)
        if line.level == "error" and line.fields.get("process") == "raft"
    ]


def test_the_map_of_another_node_is_not_believed(cluster, node, make_cluster):
    """A map that belongs to another log is thrown away and built anew."""
    cluster.allow("event=rebuild_ordered")
    client = cluster.tenant("tenant")
    fill(client, 0, 50)
    client.close()
    stranger = make_cluster().start()
    other = stranger.tenant("tenant")
    expect(other.set("theirs", "v"), 200)
    fill(other, 0, 200)
    other.close()
    assert node.stop() == 0 and stranger.nodes[0].stop() == 0
    shutil.rmtree(os.path.join(node.data, "values"))
    os.rename(os.path.join(stranger.nodes[0].data, "values"), os.path.join(node.data, "values"))
    node.start()
    check_filled(client, 50)
    expect(client.get("theirs"), 404)
    assert maps.entries(node, "values") == 50
    client.close()


def test_an_older_map_catches_up_from_the_log(cluster, node):
    client = cluster.tenant("tenant")
    fill(client, 0, 100)
    client.close()
    assert node.stop() == 0
    values, copy = os.path.join(node.data, "values"), cluster.scratch.file("older")
    subprocess.run(["cp", "-a", "--sparse=always", values, copy], check=True)
    node.start()
    fill(client, 100, 100)
    expect(client.bump("n", 1), 200)
    client.close()
    assert node.stop() == 0
    shutil.rmtree(values)
    os.rename(copy, values)
    node.start()
    check_filled(client, 200)
    assert expect(client.bump("n", 1), 200).json["value"] == "2"
    client.close()


def test_sighup_changes_the_log_level_and_nothing_else(cluster, node):
    client = cluster.tenant("tenant")
    pids = [process.pid for process in node.all_processes()]
    position = node.log.size()
    cluster.rewrite(logging={"level": "debug"})
    node.process.send_signal(signal.SIGHUP)
    node.log.wait_for("config_reloaded", position)
    for n in range(20):
        expect(client.set(f"k{n}", "v"), 200)
    until(
        lambda: [line for line in node.log.lines(position) if line.level == "debug"], "debug lines"
    )
    assert [process.pid for process in node.all_processes()] == pids
    client.close()
