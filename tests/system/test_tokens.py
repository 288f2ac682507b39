"""Tokens, scopes and API keys: who may do what, and whose keys are whose."""

import base64
import os
import re
import signal
import time

import pytest

from harness import maps
from harness.client import Client, expect, query
from harness.wait import until

CALLS = [
    ("POST", "/set", {"key": "k", "value": "v"}),
    ("GET", "/get?key=k", None),
    ("POST", "/delete", {"key": "k"}),
    ("GET", "/iterate/prefix?prefix=", None),
    ("POST", "/batchset", {"items": [{"key": "k", "value": "v"}]}),
    ("POST", "/batchdelete", {"keys": ["k"]}),
    ("POST", "/setnx", {"key": "k", "value": "v"}),
    ("POST", "/cas", {"key": "k", "old_value": "v", "new_value": "w"}),
    ("POST", "/bump", {"key": "k", "value": 1}),
    ("GET", "/ping", None),
]
ADMIN = [
    ("POST", "/admin/api/create", {"key_name": "n"}),
    ("POST", "/admin/api/delete", {"key": "insi_x"}),
    ("GET", "/admin/api/list", None),
]


def a_key_that_was_never_given():
    return "insi_" + base64.urlsafe_b64encode(os.urandom(32)).decode().rstrip("=")


# ---- who may


@pytest.mark.parametrize("method,path,body", CALLS + ADMIN, ids=lambda value: str(value)[:24])
def test_every_call_needs_a_token(shared, method, path, body):
    client = Client(shared.http_port)
    expect(client.call(method, path, body), 401, "AUTHENTICATION_FAILED")
    client.close()


@pytest.mark.parametrize(
    "header",
    [
        "",
        " ",
        "Bearer",
        "Bearer ",
        "Bearer  ",
        "nonsense",
        "Basic dXNlcjpwYXNz",
        "Bearer nonsense",
        "Bearer insi_",
        "Bearer insi_" + "A" * 43,
        "Bearer insi_" + "A" * 10_000,
        "insi_" + "A" * 42,
        "Bearer " + "A" * 88,
        "Digest x",
        "Bearer a b c",
        '"quoted"',
    ],
    ids=lambda value: value[:20],
)
def test_an_unknown_token_is_401_whatever_it_looks_like(shared, header):
    client = Client(shared.http_port)
    for method, path, body in CALLS[:2] + ADMIN[:1]:
        answer = client.call(method, path, body, {"Authorization": header})
        expect(answer, 401, "AUTHENTICATION_FAILED")
    client.close()


def test_a_wrong_token_gets_the_same_answer_as_none(shared):
    client = Client(shared.http_port)
    none = client.call("GET", "/get?key=k")
    wrong = client.call(
        "GET", "/get?key=k", headers={"Authorization": a_key_that_was_never_given()}
    )
    assert none.json["error_type"] == wrong.json["error_type"]
    client.close()


def test_a_token_may_stand_bare_or_as_bearer(shared, token):
    client = Client(shared.http_port)
    for header in (f"Bearer {token}", token, f"bearer {token}", f"BEARER {token}"):
        expect(client.call("GET", "/ping", headers={"Authorization": header}), 200)
    client.close()


def test_a_changed_character_makes_another_token(shared, token):
    client = Client(shared.http_port)
    root = shared.settings.root_token()
    for good in (token, root):
        for at in (0, 5, len(good) // 2, len(good) - 2):
            other = good[:at] + ("B" if good[at] != "B" else "C") + good[at + 1 :]
            expect(client.call("GET", "/ping", headers={"Authorization": other}), 401)
        for other in (good[:-1], good + "A", good.swapcase(), good + "\t."):
            expect(client.call("GET", "/ping", headers={"Authorization": other}), 401)
    client.close()


def test_a_token_in_the_query_is_not_taken(shared, token):
    client = Client(shared.http_port)
    expect(client.get_path("/get", key="k", token=token), 401, "AUTHENTICATION_FAILED")
    client.close()


def test_bad_json_without_a_token_is_401(shared):
    """What the body says is nobody's business before we know who asks."""
    client = Client(shared.http_port)
    expect(client.post("/set", b"{bad"), 401, "AUTHENTICATION_FAILED")
    client.close()


def test_the_root_token_is_derived_from_the_instance_secret(root):
    assert expect(root.ping(), 200).json["status"] == "ok"


@pytest.mark.parametrize("method,path,body", ADMIN, ids=lambda value: str(value)[:24])
def test_admin_calls_need_root(api, method, path, body):
    expect(api.call(method, path, body), 403, "FORBIDDEN")


# ---- API keys


def test_a_new_key_works_at_once_and_looks_as_documented(root, shared):
    answer = expect(root.create_key("shop"), 200)
    assert answer.json["key_name"] == "shop"
    assert re.fullmatch(r"insi_[A-Za-z0-9_-]{43}", answer.json["key"])
    client = Client(shared.http_port, answer.json["key"])
    expect(client.set("k", "v"), 200)
    assert expect(client.get("k"), 200).data == "v"
    client.close()


def test_keys_are_never_alike(root):
    keys = {expect(root.create_key("same name"), 200).json["key"] for _ in range(20)}
    assert len(keys) == 20


@pytest.mark.parametrize("name", [None, "", 7, [], "n" * 129, "a\u0000b"], ids=repr)
def test_a_key_needs_a_proper_name(root, name):
    expect(root.create_key(name), 400, "BAD_REQUEST")


@pytest.mark.parametrize(
    "name", ["n" * 128, "naïve café", 'with "quotes"', "\U0001f511", "a\nb"], ids=repr
)
def test_a_name_may_be_any_text(root, name):
    assert expect(root.create_key(name), 200).json["key_name"] == name
    assert name in [row["key_name"] for row in expect(root.list_keys(), 200).data]


def test_the_list_shows_names_but_never_keys(root):
    keys = [expect(root.create_key(f"listed {n}"), 200).json["key"] for n in range(3)]
    text = expect(root.list_keys(), 200).body.decode()
    for n, key in enumerate(keys):
        assert f"listed {n}" in text
        assert key not in text and key.removeprefix("insi_") not in text


def test_deleting_an_unknown_key_is_404(root):
    expect(root.delete_key(a_key_that_was_never_given()), 404, "NOT_FOUND")


@pytest.mark.parametrize("body", [{}, {"key": 7}, {"key": ""}, b"{"], ids=repr)
def test_deleting_needs_a_key(root, body):
    assert root.post("/admin/api/delete", body).status == 400


def test_the_root_token_cannot_be_deleted(root, shared):
    answer = root.delete_key(shared.settings.root_token())
    assert answer.status in (400, 404)
    expect(root.ping(), 200)


def test_a_deleted_key_stops_at_once_on_open_connections_too(root, shared):
    key = expect(root.create_key("short lived"), 200).json["key"]
    client = Client(shared.http_port, key)
    expect(client.set("k", "v"), 200)
    index = expect(root.delete_key(key), 200).index
    assert isinstance(index, int)
    for answer in (client.get("k"), client.set("k", "w"), client.ping(), client.iterate("")):
        expect(answer, 401, "AUTHENTICATION_FAILED")
    expect(root.delete_key(key), 404, "NOT_FOUND")
    client.close()


def test_a_new_key_of_the_same_name_starts_empty(root, shared):
    first = Client(shared.http_port, expect(root.create_key("phoenix"), 200).json["key"])
    expect(first.set("k", "v"), 200)
    expect(root.delete_key(first.token), 200)
    second = Client(shared.http_port, expect(root.create_key("phoenix"), 200).json["key"])
    assert second.iterate_all("") == []
    expect(second.get("k"), 404)
    first.close()
    second.close()


# ---- scopes


def test_tenants_do_not_see_each_other(shared_cluster, api):
    other = shared_cluster.tenant("other tenant")
    expect(api.set("k", "mine"), 200)
    expect(other.get("k"), 404)
    expect(other.set("k", "theirs"), 200)
    expect(other.bump("n", 5), 200)
    assert expect(api.get("k"), 200).data == "mine"
    expect(api.get("n"), 404)
    expect(other.delete("k"), 200)
    expect(other.batchdelete(["k", "n"]), 200)
    assert expect(api.get("k"), 200).data == "mine"
    other.close()


def test_walking_keys_never_leaves_the_scope(shared_cluster, root):
    tenants = [shared_cluster.tenant(f"walker {n}") for n in range(8)]
    for n, tenant in enumerate(tenants):
        expect(tenant.batchset([(f"k{m}", f"{n}") for m in range(30)] + [("\uffff", f"{n}")]), 200)
    expect(root.set("root's own", "secret"), 200)
    for n, tenant in enumerate(tenants):
        found = tenant.iterate_all("", limit=7, values="true")
        assert len(found) == 31 and {item["value"] for item in found} == {f"{n}"}
        for parameters in (
            {"after": "\uffff"},
            {"after": "\U0010ffff"},
            {"offset": 31},
            {"offset": 10**6},
        ):
            assert expect(tenant.iterate("", **parameters), 200).json == {"data": []}
        for prefix in ("\uffff", "\U0010ffff", "\u007f"):
            found = tenant.iterate_all(prefix, values="true")
            assert {item["value"] for item in found} <= {f"{n}"}
        tenant.close()
    assert all("walker" not in key for key in root.iterate_all(""))


@pytest.mark.parametrize("key", ["../other/k", "/k", "\u0001k", "k/../../k", "*", "%2e%2e/k"])
def test_no_spelling_of_a_key_reaches_another_scope(shared_cluster, api, key):
    other = shared_cluster.tenant("target")
    expect(other.set("k", "theirs"), 200)
    expect(api.get(key), 404)
    expect(api.set(key, "mine"), 200)
    assert api.iterate_all("") == [key]
    assert other.iterate_all("", values="true") == [{"key": "k", "value": "theirs"}]
    other.close()


def test_the_root_scope_is_a_scope_of_its_own(root, api):
    expect(root.set("root key", "r"), 200)
    expect(api.get("root key"), 404)
    expect(api.set("tenant key", "t"), 200)
    expect(root.get("tenant key"), 404)
    expect(root.delete("root key"), 200)


# ---- what a deleted key leaves


def stored_bytes(node, needle):
    """How often the bytes stand in the node's data folder, holes of sparse files left out."""
    count = 0
    for folder, _, names in os.walk(node.data):
        for name in names:
            path = os.path.join(folder, name)
            if os.path.isfile(path):
                count += count_in_file(path, needle)
    return count


def count_in_file(path, needle):
    count, at = 0, 0
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        while at < size:
            try:
                at = os.lseek(file.fileno(), at, os.SEEK_DATA)
            except OSError:
                break
            end = os.lseek(file.fileno(), at, os.SEEK_HOLE)
            count += os.pread(file.fileno(), min(end - at, 256 << 20), at).count(needle)
            at = end
    return count


def test_a_key_is_stored_only_as_a_hash(cluster, node):
    token = cluster.create_key("hashed")
    client = node.client(token)
    expect(client.set("marker", "m4rker-in-the-map"), 200)
    client.close()
    node.stop()
    assert stored_bytes(node, b"m4rker-in-the-map") > 0, "this test looks in the wrong place"
    assert stored_bytes(node, token.encode()) == 0
    assert stored_bytes(node, base64.urlsafe_b64decode(token.removeprefix("insi_") + "=")) == 0
    assert stored_bytes(node, cluster.settings.root_token().encode()) == 0


def test_keys_and_their_data_survive_a_restart(cluster, node):
    token = cluster.create_key("keeper")
    client = node.client(token)
    expect(client.set("k", "v"), 200)
    client.close()
    assert node.stop() == 0
    node.start()
    client = node.client(token)
    assert expect(client.get("k"), 200).data == "v"
    client.close()


def fill(client, items, tag):
    for start in range(0, items, 500):
        expect(
            client.batchset(
                [(f"{tag}{n:06d}", "v" * 100) for n in range(start, min(items, start + 500))]
            ),
            200,
        )


@pytest.mark.parametrize("disturb", ["nothing", "storage", "raft", "everything"])
def test_a_deleted_keys_data_disappears_in_the_background(cluster, node, disturb):
    """Also when the work is interrupted, and nobody else's."""
    doomed, other, root = cluster.tenant("doomed"), cluster.tenant("other"), node.root()
    fill(doomed, 20_000, "doomed")
    fill(other, 1000, "other")
    assert maps.entries(node, "values") == 21_000
    expect(root.delete_key(doomed.token), 200)
    if disturb == "everything":
        node.kill()
        node.start()
    elif disturb != "nothing":
        node.restart_worker(disturb, signal.SIGKILL)
    for client in (doomed, other, root):
        client.close()
    expect(doomed.get("doomed000001"), 401)
    until(lambda: maps.entries(node, "values") == 1000, "the deleted key's values are gone", 60)
    assert len(other.iterate_all("other")) == 1000
    for client in (doomed, other):
        client.close()


def test_others_are_served_while_a_large_scope_is_removed(cluster, node):
    doomed, other, root = cluster.tenant("doomed"), cluster.tenant("other"), node.root()
    fill(doomed, 50_000, "doomed")
    expect(root.delete_key(doomed.token), 200)
    slowest = 0.0
    while maps.entries(node, "values") > 1:
        started = time.monotonic()
        expect(other.set("k", "v"), 200)
        expect(other.get("k"), 200)
        slowest = max(slowest, time.monotonic() - started)
    assert slowest < 1.0, "removal goes in small steps"
    for client in (doomed, other, root):
        client.close()


def test_query_builds_what_the_tests_mean():
    assert query("/get", key="a b/ü\u0000") == "/get?key=a%20b%2F%C3%BC%00"
