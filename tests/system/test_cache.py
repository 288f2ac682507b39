"""The cache: every row of the contract, every answer of it."""

import time

import pytest

from harness.client import Client, expect
from harness.wait import until

VALUE_MAX = 1 << 20


# ---- set, get, delete


def test_what_was_set_is_there_with_the_time_it_has_left(api):
    expect(api.cache_set("greeting", "hello", 60), 200)
    answer = expect(api.cache_get("greeting"), 200).json
    assert set(answer) == {"data", "ttl"} and answer["data"] == "hello"
    assert 50 < answer["ttl"] <= 60


def test_the_time_left_runs_down_and_reading_does_not_prolong_it(api):
    expect(api.cache_set("key", "value", 30), 200)
    seen = []
    for _ in range(5):
        seen.append(expect(api.cache_get("key"), 200).json["ttl"])
        time.sleep(0.02)
    assert seen == sorted(seen, reverse=True) and seen[0] - seen[-1] > 0.07


def test_an_entry_is_gone_when_its_time_is_over(api, patience):
    begun = time.monotonic()
    expect(api.cache_set("short", "value", 0.4), 200)
    answered = time.monotonic()
    while True:
        asked = time.monotonic()
        answer = api.cache_get("short")
        if answer.status == 404:
            break
        assert expect(answer, 200).json["ttl"] <= 0.4
        assert asked < answered + 0.4 + 0.02
    assert time.monotonic() >= begun + 0.4 - 0.001
    assert answer.error_type == "NOT_FOUND" and "short" in answer.json["message"]


def test_a_set_replaces_value_and_time(api):
    first = expect(api.cache_set("key", "one", 1000), 200).index
    second = expect(api.cache_set("key", "two", 10), 200).index
    assert second > first
    answer = expect(api.cache_get("key"), 200).json
    assert answer["data"] == "two" and answer["ttl"] <= 10


def test_without_a_ttl_an_entry_gets_the_default(api):
    expect(api.cache_set("key", "value"), 200)
    assert 290 < expect(api.cache_get("key"), 200).json["ttl"] <= 300


def test_delete_removes_and_is_idempotent(api):
    expect(api.cache_set("key", "value", 60), 200)
    first = expect(api.cache_delete("key"), 200).index
    expect(api.cache_get("key"), 404, "NOT_FOUND")
    assert expect(api.cache_delete("key"), 200).index > first
    expect(api.cache_delete("never was"), 200)


@pytest.mark.parametrize("value", ["", "\0", "€ 😀", '"\\\n', "x" * 100_000])
def test_values_come_back_byte_for_byte(api, value):
    expect(api.cache_set("key", value, 60), 200)
    assert expect(api.cache_get("key"), 200).data == value


def test_the_cache_is_apart_from_values(api):
    expect(api.cache_set("key", "cached", 60), 200)
    expect(api.get("key"), 404, "NOT_FOUND")
    expect(api.set("key", "durable"), 200)
    assert expect(api.cache_get("key"), 200).data == "cached"
    expect(api.cache_delete("key"), 200)
    assert expect(api.get("key"), 200).data == "durable"


def test_a_stale_read_is_answered(api):
    expect(api.cache_set("key", "value", 60), 200)
    until(lambda: api.cache_get("key", consistency="stale").status == 200, "seen")
    expect(api.cache_get("key", consistency="odd"), 400, "BAD_REQUEST")


# ---- setnx, cas


def test_setnx_sets_what_is_absent_or_has_expired(api):
    expect(api.post("/cache/setnx", {"key": "lock", "value": "a", "ttl": 0.3}), 200)
    expect(api.post("/cache/setnx", {"key": "lock", "value": "b", "ttl": 60}), 409, "CONFLICT")
    assert expect(api.cache_get("lock"), 200).data == "a"
    until(lambda: api.cache_get("lock").status == 404, "expired", timeout=5)
    expect(api.post("/cache/setnx", {"key": "lock", "value": "b", "ttl": 60}), 200)
    assert expect(api.cache_get("lock"), 200).data == "b"


def test_cas_replaces_what_is_as_expected_and_its_time(api):
    body = {"key": "key", "old_value": "1", "new_value": "2", "ttl": 100}
    expect(api.post("/cache/cas", body), 409, "CONFLICT")
    expect(api.cache_set("key", "1", 10), 200)
    expect(api.post("/cache/cas", body | {"old_value": "other"}), 409, "CONFLICT")
    expect(api.post("/cache/cas", body), 200)
    answer = expect(api.cache_get("key"), 200).json
    assert answer["data"] == "2" and answer["ttl"] > 90


def test_cas_finds_nothing_once_it_has_expired(api):
    expect(api.cache_set("key", "1", 0.2), 200)
    until(lambda: api.cache_get("key").status == 404, "expired", timeout=5)
    expect(api.post("/cache/cas", {"key": "key", "old_value": "1", "new_value": "2"}), 409, "CONFLICT")


# ---- ttl


@pytest.mark.parametrize("ttl", [0.001, 0.25, 1, 1.5, 86400, 86400.0, 1e-9])
def test_times_that_are_taken(api, ttl):
    expect(api.cache_set("key", "value", ttl), 200)


@pytest.mark.parametrize("ttl", [0, -1, -0.5, 0.0, "60", "1m", True, [], {}])
def test_times_that_are_none(api, ttl):
    expect(api.cache_set("key", "value", ttl), 400, "BAD_REQUEST")
    expect(api.post("/cache/set", {"key": "key", "value": "value", "ttl": None}), 400, "BAD_REQUEST")
    expect(api.cache_get("key"), 404)


@pytest.mark.parametrize("ttl", [86400.001, 86401, 1e9, 1e300, 9223372036854775807])
def test_times_beyond_the_limit_are_refused_with_the_limit(api, ttl):
    answer = expect(api.cache_set("key", "value", ttl), 400, "TTL_TOO_LONG")
    assert "cache.maxTTL" in answer.json["message"] and "86400 seconds" in answer.json["message"]
    for path, body in [
        ("/cache/setnx", {"key": "k", "value": "v", "ttl": ttl}),
        ("/cache/cas", {"key": "k", "old_value": "v", "new_value": "w", "ttl": ttl}),
    ]:
        expect(api.post(path, body), 400, "TTL_TOO_LONG")


# ---- what is refused


@pytest.mark.parametrize(
    "path, body",
    [
        ("/cache/set", {}),
        ("/cache/set", {"key": "k"}),
        ("/cache/set", {"value": "v"}),
        ("/cache/set", {"key": "k", "value": 1}),
        ("/cache/set", {"key": "", "value": "v"}),
        ("/cache/set", {"key": "a\0b", "value": "v"}),
        ("/cache/setnx", {"key": "k"}),
        ("/cache/cas", {"key": "k", "old_value": "a"}),
        ("/cache/delete", {}),
        ("/cache/delete", {"key": 1}),
    ],
)
def test_bodies_that_are_refused(api, path, body):
    expect(api.post(path, body), 400, "BAD_REQUEST")


def test_what_is_too_long(api):
    expect(api.cache_set("k" * 480, "v", 60), 200)
    assert expect(api.cache_get("k" * 480), 200).data == "v"
    expect(api.cache_set("k" * 481, "v", 60), 400, "KEY_TOO_LONG")
    expect(api.cache_get("k" * 481), 400, "KEY_TOO_LONG")
    expect(api.cache_set("k", "v" * VALUE_MAX, 60), 200)
    expect(api.cache_set("k", "v" * (VALUE_MAX + 1), 60), 400, "VALUE_TOO_LARGE")
    expect(api.get_path("/cache/get"), 400, "BAD_REQUEST")


@pytest.mark.parametrize("path", ["/cache/set", "/cache/delete", "/cache/setnx", "/cache/cas"])
def test_writes_are_posts(api, path):
    answer = expect(api.get_path(path), 405, "METHOD_NOT_ALLOWED")
    assert answer.headers["Allow"] == "POST"
    expect(api.post("/cache/get", {}), 405, "METHOD_NOT_ALLOWED")


def test_a_token_is_needed_and_scopes_are_apart(shared, shared_cluster, api):
    expect(api.cache_set("key", "mine", 60), 200)
    stranger = Client(shared.http_port, shared_cluster.create_key("stranger"))
    expect(stranger.cache_get("key"), 404, "NOT_FOUND")
    stranger.token = "insi_" + "x" * 43
    expect(stranger.cache_get("key"), 401, "AUTHENTICATION_FAILED")
    expect(stranger.cache_set("key", "v", 60), 401, "AUTHENTICATION_FAILED")
    stranger.token = None
    expect(stranger.cache_get("key"), 401, "AUTHENTICATION_FAILED")
    stranger.close()


# ---- walking


def test_a_walk_shows_what_has_not_expired_in_byte_order(api):
    for name in ("a:2", "a:10", "b:1", "a:1"):
        expect(api.cache_set(name, name.upper(), 60), 200)
    expect(api.cache_set("a:short", "x", 0.1), 200)
    until(lambda: api.cache_get("a:short").status == 404, "expired", timeout=5)

    def walk(**parameters):
        return expect(api.get_path("/cache/iterate/prefix", **parameters), 200).json

    assert walk(prefix="a:") == {"data": ["a:1", "a:10", "a:2"]}
    assert walk(prefix="a:", limit=2) == {"data": ["a:1", "a:10"], "next": "a:10"}
    assert walk(prefix="a:", limit=2, after="a:10") == {"data": ["a:2"]}
    assert walk(prefix="a:", offset=1, limit=1) == {"data": ["a:10"], "next": "a:10"}
    assert walk(prefix="b", values="true") == {"data": [{"key": "b:1", "value": "B:1"}]}
    assert walk(prefix="c") == {"data": []}
    assert walk() == {"data": ["a:1", "a:10", "a:2", "b:1"]}
    expect(api.get_path("/cache/iterate/prefix", limit=1001), 400, "BAD_REQUEST")


# ---- limits of the node


def test_the_cache_is_bounded_and_expired_bytes_come_back(make_cluster):
    cluster = make_cluster(cache={"maxBytes": "1MiB"}).start()
    client = cluster.nodes[0].client(cluster.create_key("full"))
    value = "v" * 100_000
    for number in range(9):
        expect(client.cache_set(f"long{number}", value, 60), 200)
    expect(client.cache_set("short", value, 0.2), 200)
    expect(client.cache_set("more", value, 60), 507, "STORAGE_FULL")
    expect(client.cache_get("more"), 404)
    until(lambda: client.cache_get("short").status == 404, "expired", timeout=5)
    expect(client.cache_set("more", value, 60), 200)
    expect(client.cache_set("long0", value, 60), 200)  # in the place of what is there
    expect(client.cache_set("again", value, 60), 507, "STORAGE_FULL")
    expect(client.cache_delete("long1"), 200)
    expect(client.cache_set("again", value, 60), 200)
    client.close()


def test_requests_of_the_cache_are_limited_by_themselves(make_cluster):
    cluster = make_cluster(rateLimiters={"cache": {"limit": 1, "burst": 2}}).start()
    client = cluster.nodes[0].client(cluster.create_key("limited"))
    expect(client.cache_set("key", "value", 60), 200)
    expect(client.cache_get("key"), 200)
    answer = expect(client.cache_get("key"), 429, "RATE_LIMITED")
    assert int(answer.headers["Retry-After"]) >= 1
    expect(client.set("key", "value"), 200)
    expect(client.atomic_add("n", 1), 200)
    expect(client.queue_new("q"), 200)
    client.close()


def test_entries_outlast_restarts_with_their_remaining_time(cluster, node):
    client = node.client(cluster.create_key("restart"))
    expect(client.cache_set("long", "value", 100), 200)
    expect(client.cache_set("short", "value", 1.0), 200)
    begun = time.monotonic()
    node.restart_worker("cacheq", 9)
    answer = expect(client.cache_get("long"), 200).json
    assert answer["data"] == "value" and answer["ttl"] <= 100 - (time.monotonic() - begun) + 1
    client.close()
    node.stop()
    node.start()
    client = node.client(client.token)
    answer = expect(client.cache_get("long"), 200).json
    passed = time.monotonic() - begun
    assert 100 - passed - 2 < answer["ttl"] <= 100 - passed + 1
    until(lambda: client.cache_get("short").status == 404, "expired", timeout=5)
    client.close()
