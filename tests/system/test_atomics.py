"""Counters: every row of the contract, every answer of it."""

import concurrent.futures

import pytest

from harness.client import Client, expect

MAX = 2**63 - 1


def test_a_counter_that_is_absent_is_0(api):
    assert expect(api.atomic_get("hits"), 200).json == {"key": "hits", "value": 0}


def test_add_makes_it_and_answers_with_the_sum(api):
    answer = expect(api.atomic_add("hits", 3), 200).json
    assert answer == {"key": "hits", "new_value": 3, "index": answer["index"]}
    assert expect(api.atomic_add("hits", -1), 200).json["new_value"] == 2
    assert expect(api.atomic_get("hits"), 200).json == {"key": "hits", "value": 2}
    assert expect(api.atomic_add("hits", 0), 200).json["new_value"] == 2


def test_it_is_never_below_0(api):
    expect(api.atomic_add("n", 5), 200)
    assert expect(api.atomic_add("n", -7), 200).json["new_value"] == 0
    assert expect(api.atomic_add("n", -(2**63)), 200).json["new_value"] == 0
    assert expect(api.atomic_add("absent", -3), 200).json["new_value"] == 0


def test_past_the_end_of_64_bits_it_is_refused_and_unchanged(api):
    assert expect(api.atomic_add("n", MAX), 200).json["new_value"] == MAX
    expect(api.atomic_add("n", 1), 409, "OVERFLOW")
    expect(api.atomic_add("n", MAX), 409, "OVERFLOW")
    assert expect(api.atomic_get("n"), 200).json["value"] == MAX
    assert expect(api.atomic_add("n", -1), 200).json["new_value"] == MAX - 1
    assert expect(api.atomic_add("n", 1), 200).json["new_value"] == MAX


def test_new_makes_one_that_is_0_and_conflicts_with_one_that_exists(api):
    first = expect(api.post("/atomic/new", {"key": "n"}), 200).index
    assert expect(api.atomic_get("n"), 200).json["value"] == 0
    expect(api.post("/atomic/new", {"key": "n"}), 409, "CONFLICT")
    expect(api.atomic_add("n", 5), 200)
    expect(api.post("/atomic/new", {"key": "n", "overwrite": False}), 409, "CONFLICT")
    assert expect(api.atomic_get("n"), 200).json["value"] == 5
    assert expect(api.post("/atomic/new", {"key": "n", "overwrite": True}), 200).index > first
    assert expect(api.atomic_get("n"), 200).json["value"] == 0
    expect(api.post("/atomic/new", {"key": "other", "overwrite": True}), 200)


def test_delete_is_idempotent(api):
    expect(api.atomic_add("n", 5), 200)
    first = expect(api.post("/atomic/delete", {"key": "n"}), 200).index
    assert expect(api.atomic_get("n"), 200).json["value"] == 0
    assert expect(api.post("/atomic/delete", {"key": "n"}), 200).index > first
    expect(api.post("/atomic/new", {"key": "n"}), 200)


def test_counters_are_apart_from_values(api):
    expect(api.set("n", "text"), 200)
    assert expect(api.atomic_add("n", 2), 200).json["new_value"] == 2
    assert expect(api.get("n"), 200).data == "text"
    expect(api.delete("n"), 200)
    assert expect(api.atomic_get("n"), 200).json["value"] == 2
    assert expect(api.iterate(), 200).json == {"data": []}


@pytest.mark.parametrize("delta", ["3", 1.0, 1.5, None, True, [], {}])
def test_a_delta_is_an_integer(api, delta):
    expect(api.atomic_add("n", delta), 400, "BAD_REQUEST")
    assert expect(api.atomic_get("n"), 200).json["value"] == 0


@pytest.mark.parametrize(
    "path, body",
    [
        ("/atomic/add", b'{"key":"n","delta":9223372036854775808}'),
        ("/atomic/add", b'{"key":"n","delta":1e3}'),
        ("/atomic/add", {"key": "n"}),
        ("/atomic/add", {"delta": 1}),
        ("/atomic/add", {"key": "", "delta": 1}),
        ("/atomic/new", {"key": "n", "overwrite": "true"}),
        ("/atomic/new", {"key": "n", "overwrite": None}),
        ("/atomic/new", {}),
        ("/atomic/delete", {"key": "a\0"}),
        ("/atomic/delete", b"no json"),
    ],
)
def test_bodies_that_are_refused(api, path, body):
    expect(api.post(path, body), 400, "BAD_REQUEST")


def test_keys_are_as_long_as_those_of_values(api):
    key = "k" * 480
    expect(api.atomic_add(key, 1), 200)
    assert expect(api.atomic_get(key), 200).json == {"key": key, "value": 1}
    expect(api.atomic_add("k" * 481, 1), 400, "KEY_TOO_LONG")
    expect(api.atomic_get("k" * 481), 400, "KEY_TOO_LONG")
    expect(api.get_path("/atomic/get"), 400, "BAD_REQUEST")


@pytest.mark.parametrize("path", ["/atomic/new", "/atomic/add", "/atomic/delete"])
def test_writes_are_posts(api, path):
    assert expect(api.get_path(path), 405, "METHOD_NOT_ALLOWED").headers["Allow"] == "POST"


def test_scopes_are_apart_and_a_token_is_needed(shared, shared_cluster, api):
    expect(api.atomic_add("n", 7), 200)
    stranger = Client(shared.http_port, shared_cluster.create_key("stranger"))
    assert expect(stranger.atomic_get("n"), 200).json["value"] == 0
    stranger.token = "nonsense"
    expect(stranger.atomic_get("n"), 401, "AUTHENTICATION_FAILED")
    expect(stranger.atomic_add("n", 1), 401, "AUTHENTICATION_FAILED")
    stranger.close()


def test_a_stale_read_is_answered(api):
    expect(api.atomic_add("n", 1), 200)
    assert expect(api.atomic_get("n", consistency="stale"), 200).json["value"] in (0, 1)


def test_a_hundred_clients_count_without_losing_one(shared, token):
    def count(_):
        client = Client(shared.http_port, token)
        sums = [expect(client.atomic_add("n", 1), 200).json["new_value"] for _ in range(20)]
        client.close()
        return sums

    with concurrent.futures.ThreadPoolExecutor(100) as pool:
        sums = [one for many in pool.map(count, range(100)) for one in many]
    assert sorted(sums) == list(range(1, 2001))


def test_counters_are_durable_and_go_with_their_key(cluster, node):
    token = cluster.create_key("durable")
    client = node.client(token)
    assert expect(client.atomic_add("n", 41), 200).json["new_value"] == 41
    client.close()
    node.kill()
    node.start()
    client = node.client(token)
    assert expect(client.atomic_add("n", 1), 200).json["new_value"] == 42
    root = node.root()
    expect(root.post("/admin/api/delete", {"key": token}), 200)
    expect(client.atomic_get("n"), 401, "AUTHENTICATION_FAILED")
    root.close()
    client.close()


def test_requests_of_counters_are_limited_by_themselves(make_cluster):
    cluster = make_cluster(rateLimiters={"atomics": {"limit": 1, "burst": 1}}).start()
    client = cluster.nodes[0].client(cluster.create_key("limited"))
    expect(client.atomic_add("n", 1), 200)
    expect(client.atomic_add("n", 1), 429, "RATE_LIMITED")
    expect(client.cache_get("n"), 404)
    client.close()
