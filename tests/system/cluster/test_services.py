"""Cache, counters and queues on three nodes: at any of them, under kills, and across failovers."""

import concurrent.futures
import random
import signal
import threading
import time

import pytest

from check import linear
from check.history import OK, UNKNOWN, History
from check.models import CONFLICT, EMPTY, MISSING
from harness.client import Dropped, expect
from harness.maps import wait_for_pops
from harness.wait import until

TOGETHER = 0.05  # seconds between the first and the last node that see an entry gone


@pytest.fixture
def clients():
    """clients(node, token): a client that is closed at the end."""
    made = []

    def make(node, token, timeout=60.0):
        made.append(node.client(token, timeout))
        return made[-1]

    yield make
    for client in made:
        client.close()


def run_all(functions):
    """Runs them side by side, each in a thread of its own; what they return."""
    with concurrent.futures.ThreadPoolExecutor(len(functions)) as pool:
        futures = [pool.submit(function) for function in functions]
        return [future.result() for future in futures]


# ---- any node


def test_every_node_serves_what_any_node_wrote(three, clients):
    token = three.create_key("any")
    each = [clients(node, token) for node in three.nodes]
    expect(each[0].queue_new("q"), 200)
    for turn in range(30):
        writer, reader = each[turn % 3], each[(turn + 1) % 3]
        expect(writer.cache_set("key", str(turn), 60), 200)
        assert expect(reader.cache_get("key"), 200).data == str(turn)
        assert expect(writer.atomic_add("n", 1), 200).json["new_value"] == turn + 1
        assert expect(reader.atomic_get("n"), 200).json["value"] == turn + 1
        expect(writer.push("q", str(turn)), 200)
        assert expect(reader.queue_length("q"), 200).json["length"] == 1
        assert expect(reader.queue_peek("q"), 200).json["value"] == str(turn)
        assert expect(each[(turn + 2) % 3].pop("q"), 200).json["value"] == str(turn)
    three.wait_equal()


# ---- expiry


@pytest.mark.parametrize("changes_leader", [False, True])
def test_an_entry_is_gone_on_all_nodes_at_once_whatever_their_clocks_say(
    make_cluster, clients, patience, record_property, changes_leader
):
    cluster = make_cluster(3)
    for node, hours in zip(cluster.nodes, (0, 7, -5)):
        node.start(wait=False, environment={"INSI_TEST_WALL_OFFSET_MS": str(hours * 3600 * 1000)})
    for node in cluster.nodes:
        node.wait_ready()
    leader = cluster.wait_leader()
    token = cluster.create_key("clocks")
    expect(clients(leader, token).cache_set("key", "value", 4), 200)
    begun = time.monotonic()
    for node in cluster.nodes:
        client = clients(node, token)
        until(
            lambda: client.cache_get("key", consistency="stale").status == 200,
            f"{node.id} has heard of it",
        )
    if changes_leader:
        other = cluster.followers(leader)[0]
        expect(clients(leader, None).call("GET", "/ping"), 401)
        root = leader.root()
        expect(root.post("/admin/cluster/transfer", {"id": other.id}), 200)
        root.close()
        cluster.wait_leader()

    def gone_at(node, **how):
        client = clients(node, token)
        while client.cache_get("key", **how).status == 200:
            assert time.monotonic() < begun + 10
            time.sleep(0.002)
        return time.monotonic()

    times = run_all([lambda node=node: gone_at(node, consistency="stale") for node in cluster.nodes])
    record_property("measured expiry on three nodes", f"within {(max(times) - min(times)) * 1000:.1f} ms")
    assert max(times) - min(times) < TOGETHER * patience
    assert 3.9 < min(times) - begun < 4.1 + TOGETHER * patience
    for node in cluster.nodes:
        expect(clients(node, token).cache_get("key"), 404, "NOT_FOUND")


# ---- counters


def test_a_hundred_clients_count_over_a_failover_without_losing_one(three, clients):
    token, rounds, per_client = three.create_key("count"), threading.Event(), 12
    leader = three.wait_leader()
    survivors = three.followers(leader)

    def count(node):
        client, sums = clients(node, token), []
        for turn in range(per_client):
            sums.append(expect(client.atomic_add("n", 1), 200).json["new_value"])
            if turn == per_client // 3:
                rounds.set()
        return sums

    def kill():
        rounds.wait(30)
        leader.kill()

    found = run_all([kill] + [lambda node=survivors[i % 2]: count(node) for i in range(100)])
    sums = sorted(one for many in found[1:] for one in many)
    assert sums == list(range(1, 100 * per_client + 1))
    leader.start()
    assert expect(clients(leader, token).atomic_get("n"), 200).json["value"] == len(sums)
    three.wait_equal()


# ---- queues


def pop_until_done(client, done, found, wait):
    """Pops until there is nothing more to come: what it got, in order."""
    while True:
        over = done.is_set()
        answer = client.pop("q", wait=wait)
        if answer.status == 200:
            found.append(answer.json["value"])
        else:
            expect(answer, 404, "QUEUE_EMPTY")
            if over:
                return found


def account(cluster, clients, nodes, disturb):
    """300 items, 6 poppers that wait, while disturb does its worst: each item exactly once."""
    token, done, items = cluster.create_key("account"), threading.Event(), 300
    expect(clients(nodes[0], token).queue_new("q"), 200)

    def push():
        client = clients(nodes[0], token)
        for number in range(items):
            expect(client.push("q", str(number)), 200)
            time.sleep(0.015)
        done.set()

    tasks = [push, disturb]
    tasks += [
        lambda number=number: pop_until_done(
            clients(nodes[number % len(nodes)], token), done, [], 0.4 + number / 10
        )
        for number in range(6)
    ]
    found = run_all(tasks)[2:]
    for got in found:
        assert got == sorted(got, key=int), "out of order"
    everything = sorted(sum(found, []), key=int)
    assert everything == [str(number) for number in range(items)]
    assert sum(1 for got in found if got) > 1


def test_each_item_comes_out_once_while_cacheq_is_killed_everywhere(three, clients):
    def disturb():
        for turn in range(6):  # a worker that dies more often is restarted later and later
            three.nodes[turn % 3].restart_worker("cacheq", signal.SIGKILL)
            time.sleep(0.5)  # the pause is part of the scenario

    account(three, clients, three.nodes, disturb)
    three.wait_equal()


def test_each_item_comes_out_once_while_the_leaders_raft_is_killed(three, clients):
    def disturb():
        for _ in range(3):
            three.wait_leader().restart_worker("raft", signal.SIGKILL)
            time.sleep(2)  # one that was just started does not vote

    account(three, clients, three.nodes, disturb)
    three.wait_equal()


def test_each_item_comes_out_once_when_the_leader_dies(three, clients):
    leader = three.wait_leader()

    def disturb():
        time.sleep(1.5)  # the pause is part of the scenario
        leader.kill()

    account(three, clients, three.followers(leader), disturb)
    leader.start()
    three.wait_equal()


def test_pops_that_wait_are_served_in_order_of_arrival_over_all_nodes(three, clients):
    token = three.create_key("order")
    pusher = clients(three.nodes[0], token)
    expect(pusher.queue_new("q"), 200)
    answers = {}

    def pop(number):
        client = clients(three.nodes[number % 3], token)
        answers[number] = expect(client.pop("q", wait=30), 200).json["value"]

    threads = []
    for number in range(9):
        threads.append(threading.Thread(target=pop, args=(number,), daemon=True))
        threads[-1].start()
        wait_for_pops(three, number + 1)
    for number in range(9):
        assert expect(pusher.push("q", str(number)), 200).json["new_length"] == 0
    for thread in threads:
        thread.join(20)
    assert answers == {number: str(number) for number in range(9)}


def test_pops_of_a_node_that_died_swallow_nothing(three, clients):
    token = three.create_key("died")
    leader = three.wait_leader()
    victim, other = three.followers(leader)
    client = clients(other, token)
    expect(client.queue_new("q"), 200)

    def pop():
        with pytest.raises(Dropped):
            clients(victim, token).pop("q", wait=60)

    thread = threading.Thread(target=pop, daemon=True)
    thread.start()
    wait_for_pops(three, 1)
    victim.kill()
    thread.join(10)
    time.sleep(3)  # its lease of two: until the end of that it would be fed
    assert expect(client.push("q", "item"), 200).json["new_length"] == 1
    assert expect(client.pop("q"), 200).json["value"] == "item"
    victim.start()


def test_without_a_quorum_a_pop_that_waits_cannot_tell(make_three, clients):
    three = make_three(limits={"requestTimeout": "2s"})
    token = three.create_key("alone")
    leader = three.wait_leader()
    alone, other = three.followers(leader)
    client = clients(alone, token)
    expect(client.queue_new("q"), 200)
    answers = []
    thread = threading.Thread(target=lambda: answers.append(client.pop("q", wait=60)), daemon=True)
    thread.start()
    wait_for_pops(three, 1)
    leader.kill()
    other.kill()
    begun = time.monotonic()
    thread.join(30)
    expect(answers[0], 503, "OUTCOME_UNKNOWN")
    assert time.monotonic() - begun < 15
    expect(clients(alone, token).pop("q", wait=5), 503, "NO_LEADER")
    leader.start(wait=False)
    other.start()
    leader.wait_ready()


# ---- histories


RESULTS = {"CONFLICT": CONFLICT, "QUEUE_EMPTY": EMPTY, "QUEUE_NOT_FOUND": MISSING}


def act(client, history, name, node, chance):
    """One call at random, noted. The client's next name."""
    value = f"{name}.{chance.randrange(1 << 30)}"
    call, key, arguments, send, field = chance.choice(
        [
            ("atomic/add", "n", {"delta": 3}, lambda: client.atomic_add("n", 3), "new_value"),
            ("atomic/add", "n", {"delta": -2}, lambda: client.atomic_add("n", -2), "new_value"),
            ("atomic/get", "n", {}, lambda: client.atomic_get("n"), "value"),
            ("queue/push", "q", {"value": value}, lambda: client.push("q", value), "new_length"),
            ("queue/push", "q", {"value": value}, lambda: client.push("q", value), "new_length"),
            ("queue/pop", "q", {}, lambda: client.pop("q"), "value"),
            ("queue/pop", "q", {}, lambda: client.pop("q", wait=0.3), "value"),
            ("queue/length", "q", {}, lambda: client.queue_length("q"), "length"),
            ("queue/peek", "q", {}, lambda: client.queue_peek("q"), "value"),
        ]
    )
    operation = history.begin(name, call, key, node.id, **arguments)
    answer = send()
    if answer.status == 200:
        result = answer.json[field]
        if call == "queue/push":  # 0: a pop that waited had it, right behind the push
            result = max(result, 1)
        History.end(operation, OK, result, answer.json.get("index"))
    elif answer.error_type == "OUTCOME_UNKNOWN":
        History.end(operation, UNKNOWN, error=answer.error_type)
        return name + "'"
    else:
        History.end(operation, OK, RESULTS[answer.error_type])
    return name


@pytest.mark.slow
def test_what_clients_of_counters_and_queues_see_is_linearizable(three, clients):
    token, history, done = three.create_key("history"), History(), threading.Event()
    three.records["history.jsonl"] = history
    setup = clients(three.nodes[0], token)
    opened = history.begin("setup", "queue/new", "q", three.nodes[0].id)
    History.end(opened, OK, None, expect(setup.queue_new("q"), 200).index)

    def live(number, node):
        client, name, chance = clients(node, token), f"c{number}", random.Random(number)
        while not done.is_set():
            name = act(client, history, name, node, chance)
            time.sleep(0.03)

    def disturb():
        for turn in range(4):
            time.sleep(0.8)
            leader = three.wait_leader()
            victim = leader if turn % 2 else three.followers(leader)[0]
            victim.restart_worker(("raft", "cacheq", "storage")[turn % 3], signal.SIGKILL)
        time.sleep(0.5)
        done.set()

    run_all([disturb] + [lambda n=n: live(n, three.nodes[n % 3]) for n in range(6)])
    assert history.count(OK) > 100
    assert linear.check(history) == {}
    until(lambda: three.wait_equal() is None, "the same state everywhere", timeout=60)
