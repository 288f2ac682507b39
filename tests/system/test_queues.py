"""Queues: every row of the contract, every answer of it, and pops that wait."""

import concurrent.futures
import socket
import threading
import time

import pytest

from harness.client import Client, expect
from harness.maps import wait_for_pops


@pytest.fixture
def queue(api, shared_cluster):
    """A client with an empty queue 'q'; nobody waits for an item any more."""
    expect(api.queue_new("q"), 200)
    wait_for_pops(shared_cluster, 0)
    return api


@pytest.fixture
def more(shared, token):
    """Further clients with the same key."""
    made = []

    def make():
        made.append(Client(shared.http_port, token, timeout=90))
        return made[-1]

    yield make
    for client in made:
        client.close()


# ---- without waiting


def test_items_come_out_in_the_order_in_which_they_came_in(queue):
    for number in range(5):
        answer = expect(queue.push("q", f"item {number}"), 200).json
        assert answer == {"key": "q", "new_length": number + 1, "index": answer["index"]}
    last = 0
    for number in range(5):
        answer = expect(queue.pop("q"), 200).json
        assert answer == {"key": "q", "value": f"item {number}", "index": answer["index"]}
        assert answer["index"] > last
        last = answer["index"]
    expect(queue.pop("q"), 404, "QUEUE_EMPTY")


def test_length_and_peek_change_nothing(queue):
    assert expect(queue.queue_length("q"), 200).json == {"key": "q", "length": 0}
    expect(queue.queue_peek("q"), 404, "QUEUE_EMPTY")
    expect(queue.push("q", "first"), 200)
    expect(queue.push("q", "second"), 200)
    for _ in range(2):
        assert expect(queue.queue_length("q"), 200).json == {"key": "q", "length": 2}
        assert expect(queue.queue_peek("q"), 200).json == {"key": "q", "value": "first"}
    assert expect(queue.pop("q"), 200).json["value"] == "first"
    assert expect(queue.queue_peek("q", consistency="stale"), 200).json["value"] in ("first", "second")


def test_new_and_delete_are_idempotent(api):
    first = expect(api.queue_new("q"), 200).index
    expect(api.push("q", "item"), 200)
    assert expect(api.queue_new("q"), 200).index > first
    assert expect(api.queue_length("q"), 200).json["length"] == 1  # it is still there
    expect(api.queue_delete("q"), 200)
    expect(api.queue_delete("q"), 200)
    expect(api.queue_length("q"), 404, "QUEUE_NOT_FOUND")
    expect(api.queue_new("q"), 200)
    assert expect(api.queue_length("q"), 200).json["length"] == 0


def test_a_queue_that_was_not_made_is_not_found(api):
    for answer in (
        api.push("none", "v"),
        api.pop("none"),
        api.pop("none", wait=5),
        api.queue_length("none"),
        api.queue_peek("none"),
    ):
        expect(answer, 404, "QUEUE_NOT_FOUND")


@pytest.mark.parametrize("value", ["", "\0", "€ 😀", '"\\\n', "x" * (1 << 20)])
def test_items_come_back_byte_for_byte(queue, value):
    expect(queue.push("q", value), 200)
    assert expect(queue.queue_peek("q"), 200).json["value"] == value
    assert expect(queue.pop("q"), 200).json["value"] == value


@pytest.mark.parametrize(
    "path, body",
    [
        ("/queue/new", {}),
        ("/queue/new", {"key": ""}),
        ("/queue/delete", {"key": 5}),
        ("/queue/push", {"key": "q"}),
        ("/queue/push", {"key": "q", "value": 5}),
        ("/queue/push", {"value": "v"}),
        ("/queue/pop", {}),
        ("/queue/pop", {"key": "q", "wait": -1}),
        ("/queue/pop", {"key": "q", "wait": 60.001}),
        ("/queue/pop", {"key": "q", "wait": 1e300}),
        ("/queue/pop", {"key": "q", "wait": "5"}),
        ("/queue/pop", {"key": "q", "wait": None}),
        ("/queue/pop", {"key": "q", "wait": True}),
    ],
)
def test_bodies_that_are_refused(queue, path, body):
    expect(queue.post(path, body), 400, "BAD_REQUEST")


def test_what_is_too_long(queue):
    expect(queue.queue_new("k" * 480), 200)
    assert expect(queue.push("k" * 480, "v"), 200).json["key"] == "k" * 480
    expect(queue.queue_new("k" * 481), 400, "KEY_TOO_LONG")
    expect(queue.queue_length("k" * 481), 400, "KEY_TOO_LONG")
    expect(queue.push("q", "v" * ((1 << 20) + 1)), 400, "VALUE_TOO_LARGE")
    expect(queue.get_path("/queue/length"), 400, "BAD_REQUEST")


@pytest.mark.parametrize("path", ["/queue/new", "/queue/delete", "/queue/push", "/queue/pop"])
def test_writes_are_posts(queue, path):
    assert expect(queue.get_path(path), 405, "METHOD_NOT_ALLOWED").headers["Allow"] == "POST"


def test_scopes_are_apart_and_a_token_is_needed(shared, shared_cluster, queue):
    stranger = Client(shared.http_port, shared_cluster.create_key("stranger"))
    expect(stranger.push("q", "v"), 404, "QUEUE_NOT_FOUND")
    stranger.token = "nonsense"
    expect(stranger.pop("q", wait=5), 401, "AUTHENTICATION_FAILED")
    stranger.close()


def test_each_item_goes_to_one_pop(queue, more):
    items = [str(number) for number in range(200)]

    def pop_all(_):
        client, found = more(), []
        while (answer := client.pop("q")).status == 200:
            found.append(answer.json["value"])
        expect(answer, 404, "QUEUE_EMPTY")
        return found

    for item in items:
        expect(queue.push("q", item), 200)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        found = list(pool.map(pop_all, range(8)))
    assert sorted(sum(found, [])) == sorted(items)
    assert all(one == sorted(one, key=int) for one in found)


# ---- pops that wait


class Popper:
    """A pop in a thread of its own: the answer, and when it came."""

    def __init__(self, client, wait, key="q"):
        self.client, self.answer, self.at = client, None, None
        self.thread = threading.Thread(target=self._run, args=(key, wait), daemon=True)
        self.thread.start()

    def _run(self, key, wait):
        self.answer = self.client.pop(key, wait=wait)
        self.at = time.monotonic()

    def join(self, timeout=30):
        self.thread.join(timeout)
        assert not self.thread.is_alive(), "no answer"
        return self.answer


def test_an_item_that_is_there_is_had_without_waiting(queue):
    expect(queue.push("q", "item"), 200)
    begun = time.monotonic()
    assert expect(queue.pop("q", wait=30), 200).json["value"] == "item"
    assert time.monotonic() - begun < 5


def test_a_push_feeds_the_pop_that_waits(queue, more, shared_cluster, patience):
    popper = Popper(more(), 30)
    wait_for_pops(shared_cluster, 1)
    pushed = expect(queue.push("q", "item"), 200)
    at = time.monotonic()
    answer = expect(popper.join(), 200).json
    assert answer == {"key": "q", "value": "item", "index": pushed.index}
    assert pushed.json["new_length"] == 0
    assert expect(queue.queue_length("q"), 200).json["length"] == 0
    assert popper.at - at < 0.25 * patience


def test_an_empty_wait_ends_in_time_with_queue_empty(queue, patience):
    for wait in (0.001, 0.3, 1):
        begun = time.monotonic()
        expect(queue.pop("q", wait=wait), 404, "QUEUE_EMPTY")
        assert wait <= time.monotonic() - begun < wait + 2 * patience
    assert expect(queue.push("q", "item"), 200).json["new_length"] == 1  # nobody waits any more


def test_pops_are_served_in_the_order_in_which_they_came(queue, more, shared_cluster):
    poppers = []
    for number in range(5):
        poppers.append(Popper(more(), 30))
        wait_for_pops(shared_cluster, number + 1)
    for number in range(5):
        expect(queue.push("q", str(number)), 200)
        assert expect(poppers[number].join(), 200).json["value"] == str(number)


def test_a_wait_outlasts_the_request_timeout(make_cluster):
    cluster = make_cluster(limits={"requestTimeout": "500ms"}).start()
    node, token = cluster.nodes[0], cluster.create_key("patient")
    client = node.client(token)
    expect(client.queue_new("q"), 200)
    popper = Popper(node.client(token), 20)
    wait_for_pops(cluster, 1)
    time.sleep(3)  # the pause is part of the scenario
    assert popper.answer is None
    expect(client.push("q", "item"), 200)
    assert expect(popper.join(), 200).json["value"] == "item"
    client.close()
    popper.client.close()


def test_pops_wait_while_their_connection_says_nothing_and_other_requests_go_on(
    queue, more, shared_cluster
):
    poppers = [Popper(more(), 20) for _ in range(20)]
    wait_for_pops(shared_cluster, 20)
    for number in range(100):
        expect(queue.set(f"k{number}", "v"), 200)
    for number in range(20):
        expect(queue.push("q", str(number)), 200)
    found = {expect(popper.join(), 200).json["value"] for popper in poppers}
    assert found == {str(number) for number in range(20)}


def test_who_waits_long_goes_on_waiting_while_others_pop_more_than_a_worker_may_keep(make_cluster):
    cluster = make_cluster(cache={"maxBytes": "64MiB"}).start()
    node, token = cluster.nodes[0], cluster.create_key("patient")
    client = node.client(token)
    expect(client.queue_new("q"), 200)
    expect(client.queue_new("quiet"), 200)
    item = "i" * 900_000
    poppers = []
    for number in range(10):  # each in a session of its own, and there are eight
        poppers.append(Popper(node.client(token), 60, "quiet"))
        wait_for_pops(cluster, number + 1)
        for _ in range(20):  # more than 16 MiB
            expect(client.push("q", item), 200)
            assert len(expect(client.pop("q", wait=5), 200).json["value"]) == len(item)
    wait_for_pops(cluster, len(poppers))
    assert all(popper.answer is None for popper in poppers)
    for number in range(len(poppers)):
        expect(client.push("quiet", str(number)), 200)
    found = {expect(popper.join(), 200).json["value"] for popper in poppers}
    assert found == {str(number) for number in range(len(poppers))}
    client.close()
    for popper in poppers:
        popper.client.close()


def test_a_client_that_leaves_takes_no_item_with_it(shared, shared_cluster, queue, token):
    body = b'{"key":"q","wait":30}'
    for how in ("close", "reset"):
        raw = socket.create_connection(("127.0.0.1", shared.http_port))
        raw.sendall(
            b"POST /db/api/v1/queue/pop HTTP/1.1\r\nHost: x\r\nAuthorization: "
            + token.encode()
            + b"\r\nContent-Length: %d\r\n\r\n" % len(body)
            + body
        )
        wait_for_pops(shared_cluster, 1)
        if how == "reset":
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        raw.close()
        wait_for_pops(shared_cluster, 0)
        assert expect(queue.push("q", how), 200).json["new_length"] == 1
        assert expect(queue.pop("q"), 200).json["value"] == how


def test_a_client_that_leaves_with_a_pipelined_request_is_noticed_too(
    shared, shared_cluster, queue, token
):
    head = b" HTTP/1.1\r\nHost: x\r\nAuthorization: " + token.encode() + b"\r\n"
    body = b'{"key":"q","wait":30}'
    raw = socket.create_connection(("127.0.0.1", shared.http_port))
    raw.sendall(
        b"POST /db/api/v1/queue/pop" + head + b"Content-Length: %d\r\n\r\n" % len(body) + body
    )
    wait_for_pops(shared_cluster, 1)
    raw.sendall(b"GET /db/api/v1/ping" + head + b"\r\n")
    time.sleep(0.2)  # it is to arrive before the end does, and nothing shows that it has
    raw.close()
    wait_for_pops(shared_cluster, 0)
    assert expect(queue.push("q", "item"), 200).json["new_length"] == 1


def test_a_queue_that_is_deleted_sends_away_who_waits(queue, more, shared_cluster):
    poppers = [Popper(more(), 30) for _ in range(3)]
    wait_for_pops(shared_cluster, 3)
    expect(queue.queue_delete("q"), 200)
    for popper in poppers:
        expect(popper.join(), 404, "QUEUE_NOT_FOUND")


def test_a_node_that_stops_answers_who_waits(cluster, node):
    token = cluster.create_key("stopped")
    client = node.client(token)
    expect(client.queue_new("q"), 200)
    popper = Popper(node.client(token, timeout=60), 60)
    wait_for_pops(cluster, 1)
    begun = time.monotonic()
    node.stop()
    assert time.monotonic() - begun < 10
    answer = expect(popper.join(), 404, "QUEUE_EMPTY")
    assert answer.headers["Connection"] == "close"
    node.start()
    client = node.client(token)
    assert expect(client.push("q", "item"), 200).json["new_length"] == 1
    client.close()
    popper.client.close()


@pytest.mark.parametrize("worker", ["cacheq", "raft"])
def test_a_killed_process_costs_a_waiting_pop_nothing(cluster, node, worker):
    token = cluster.create_key("killed")
    client = node.client(token)
    expect(client.queue_new("q"), 200)
    popper = Popper(node.client(token, timeout=60), 30)
    wait_for_pops(cluster, 1)
    node.restart_worker(worker, 9)
    time.sleep(0.5)  # the pause is part of the scenario
    assert popper.answer is None
    expect(client.push("q", "item"), 200)
    assert expect(popper.join(), 200).json["value"] == "item"
    client.close()
    popper.client.close()


def test_a_killed_gateways_pops_swallow_nothing(cluster, node):
    token = cluster.create_key("gateway")
    client = node.client(token)
    expect(client.queue_new("q"), 200)
    raw = socket.create_connection(("127.0.0.1", node.http_port))
    body = b'{"key":"q","wait":60}'
    raw.sendall(
        b"POST /db/api/v1/queue/pop HTTP/1.1\r\nHost: x\r\nAuthorization: "
        + token.encode()
        + b"\r\nContent-Length: %d\r\n\r\n" % len(body)
        + body
    )
    wait_for_pops(cluster, 1)
    node.restart_worker("gateway", 9)
    time.sleep(2.5)  # its lease: until the end of that it would be fed
    client.close()
    client = node.client(token)
    assert expect(client.push("q", "item"), 200).json["new_length"] == 1
    assert expect(client.pop("q"), 200).json["value"] == "item"
    client.close()
    raw.close()


# ---- restarts


def test_queues_outlast_restarts(cluster, node):
    token = cluster.create_key("restart")
    client = node.client(token)
    expect(client.queue_new("q"), 200)
    for number in range(20):
        expect(client.push("q", str(number)), 200)
    assert expect(client.pop("q"), 200).json["value"] == "0"
    node.restart_worker("cacheq", 9)
    assert expect(client.pop("q"), 200).json["value"] == "1"
    client.close()
    node.kill()
    node.start()
    client = node.client(token)
    assert expect(client.pop("q"), 200).json["value"] == "2"
    client.close()
    node.stop()  # its tmpfs folder goes
    assert node.shm_leftovers() == []
    node.start()
    client = node.client(token)
    assert expect(client.queue_length("q"), 200).json["length"] == 17
    assert [expect(client.pop("q"), 200).json["value"] for _ in range(17)] == [
        str(number) for number in range(3, 20)
    ]
    client.close()


def test_requests_of_queues_are_limited_by_themselves(make_cluster):
    cluster = make_cluster(rateLimiters={"queues": {"limit": 1, "burst": 1}}).start()
    client = cluster.nodes[0].client(cluster.create_key("limited"))
    expect(client.queue_new("q"), 200)
    expect(client.pop("q"), 429, "RATE_LIMITED")
    expect(client.atomic_add("n", 1), 200)
    client.close()


def test_what_a_deleted_api_key_had_is_gone(cluster, node):
    token = cluster.create_key("deleted")
    client = node.client(token)
    expect(client.queue_new("q"), 200)
    expect(client.push("q", "item"), 200)
    expect(client.cache_set("key", "value", 600), 200)
    root = node.root()
    expect(root.post("/admin/api/delete", {"key": token}), 200)
    expect(client.pop("q"), 401, "AUTHENTICATION_FAILED")
    expect(client.cache_get("key"), 401, "AUTHENTICATION_FAILED")
    expect(client.push("q", "more"), 401, "AUTHENTICATION_FAILED")
    root.close()
    client.close()
