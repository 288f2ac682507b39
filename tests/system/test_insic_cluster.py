"""insic cluster, join, remove, transfer against scripted servers: what is sent, printed and refused."""


import pytest

from fake_server import NO_LEADER, ClosedPort, FakeServer, answer, refusal, three
from insic_tool import KEY

DONE = answer(status="ok", index=7)


def member(number, state="follower", role="voter", match=12, lag=0):
    return {
        "id": f"node{number}",
        "raft_address": f"127.0.0.1:{2 + number}",
        "http_address": f"127.0.0.1:{8443 + number}",
        "role": role,
        "state": state,
        "match_index": match,
        "lag": lag,
    }


def cluster(leader="node1", **more):
    members = [
        member(0),
        member(1, "leader"),
        member(2, "unreachable", "learner", 0, 12),
    ]
    return answer(
        cluster_id="00" * 16,
        leader=leader,
        term=3,
        members=members,
        node={"id": "node0", "commit_index": 12, "workers": {}},
        **more,
    )


# ---- cluster


TABLE = """\
ID     RAFT         HTTP            ROLE     STATE        MATCH  LAG
node0  127.0.0.1:2  127.0.0.1:8443  voter    follower     12     0
node1  127.0.0.1:3  127.0.0.1:8444  voter    leader       12     0
node2  127.0.0.1:4  127.0.0.1:8445  learner  unreachable  0      12
"""


def test_cluster_prints_a_table_of_the_members(insic):
    with three(insic, [cluster()], [DONE], [DONE]) as servers:
        run = insic("--root", "cluster")
        assert (run.status, run.err, run.text) == (0, b"", TABLE)
        assert (servers[0].last.method, servers[0].last.target) == (
            "GET",
            "/db/api/v1/admin/cluster",
        )


def test_cluster_without_a_leader_says_whose_view_it_is(insic):
    with three(insic, [cluster("")], [DONE], [DONE]):
        run = insic("--root", "cluster")
    assert (run.status, run.text) == (0, TABLE)
    assert run.error == "No leader is known; this is what node0 knows by itself.\n"


def test_cluster_as_json_is_the_servers_answer(insic):
    with three(insic, [cluster("")], [DONE], [DONE]):
        run = insic("--root", "-o", "json", "cluster")
    assert run.status == 0 and run.err == b""
    assert run.out.startswith(b'{"cluster_id": "0000')


def test_cluster_of_an_answer_that_lacks_the_members(insic):
    with three(insic, [answer(leader="", node={"id": "node0"})], [DONE], [DONE]):
        run = insic("--root", "cluster")
    assert run.status == 1 and "lacks" in run.error


# ---- changes


def test_join_asks_the_first_node_and_names_the_seconds_raft_binding(insic):
    with three(insic, [DONE], [DONE], [DONE]) as servers:
        run = insic("--root", "join", "node1", "node2")
        assert (run.status, run.err, run.text) == (0, b"", "OK\n")
        assert [len(server.asked) for server in servers] == [0, 1, 0]
        asked = servers[1].last
        assert (asked.method, asked.path) == ("POST", "/db/api/v1/admin/cluster/join")
        assert asked.json == {"id": "node2", "raft_address": "127.0.0.1:4"}


def test_join_goes_on_with_the_others_when_the_first_cannot_be_reached(insic):
    with ClosedPort() as closed, FakeServer(DONE) as server:
        insic.configure(closed.binding, server.binding)
        run = insic("--root", "join", "node0", "node1")
    assert (run.status, run.text) == (0, "OK\n")


def test_join_of_a_node_that_listens_everywhere_names_its_domain(insic):
    with FakeServer(DONE) as server:
        path = insic.configure(server.binding, "0.0.0.0:1", domains=["", "db1.example.org"])
        with open(path, encoding="utf-8") as file:
            text = file.read()
        insic.write(
            "cluster.yaml", text.replace("raftBinding: 127.0.0.1:3", "raftBinding: 0.0.0.0:3")
        )
        assert insic("--root", "join", "node0", "node1").status == 0
        assert server.last.json == {"id": "node1", "raft_address": "db1.example.org:3"}


@pytest.mark.parametrize(
    "nodes, message",
    [
        (("nodeX", "node1"), "the configuration names no node 'nodeX'; its nodes: node0 node1"),
        (("node0", "nodeX"), "the configuration names no node 'nodeX'; its nodes: node0 node1"),
        (("node0", "node0"), "a node does not join itself"),
    ],
)
def test_join_of_nodes_that_are_none_is_wrong_usage(insic, nodes, message):
    with FakeServer(DONE) as server:
        insic.configure(server.binding, "127.0.0.1:1")
        run = insic("--root", "join", *nodes)
        assert (run.status, run.out) == (2, b"") and not server.asked
    assert run.error == (f"Error: {message}.\nUsage: insic --root join <leader-id> <follower-id>\n")


@pytest.mark.parametrize("command", ["remove", "transfer"])
def test_remove_and_transfer(insic, command):
    with three(insic, [NO_LEADER], [DONE], [DONE]) as servers:
        run = insic("--root", command, "node2")
        assert (run.status, run.err, run.text) == (0, b"", "OK\n")
        assert [len(server.asked) for server in servers] == [1, 1, 0]
        asked = servers[1].last
        assert (asked.method, asked.path) == ("POST", f"/db/api/v1/admin/cluster/{command}")
        assert asked.json == {"id": "node2"}


@pytest.mark.parametrize(
    "refused, message",
    [
        (refusal(404, "NOT_FOUND", "no such member"), "Error: no such member (NOT_FOUND)\n"),
        (refusal(409, "CONFLICT", "it is a learner"), "Conflict: it is a learner\n"),
        (
            refusal(503, "OUTCOME_UNKNOWN", "it may or may not have happened"),
            "Error: it may or may not have happened (OUTCOME_UNKNOWN)\n",
        ),
    ],
)
def test_refusals_are_told(insic, refused, message):
    with three(insic, [refused], [DONE], [DONE]):
        run = insic("--root", "transfer", "node2")
    assert (run.status, run.out, run.error) == (1, b"", message)


# ---- tokens


@pytest.mark.parametrize(
    "arguments", [("cluster",), ("remove", "n"), ("transfer", "n"), ("join", "a", "b")]
)
def test_without_any_token_the_root_flag_is_asked_for(insic, arguments):
    with FakeServer(DONE) as server:
        run = insic("--endpoint", server.url, *arguments)
        assert (run.status, run.out) == (1, b"") and not server.asked
    assert run.error == f"Error: {arguments[0]} requires --root flag.\n"


def test_the_root_token_may_come_as_a_key_but_for_join(insic):
    with FakeServer(DONE) as server:
        assert insic.at(server, "remove", "node2").text == "OK\n"
        assert server.last.token == KEY
        assert (
            insic("--endpoint", server.url, "transfer", "n", env={"INSI_API_KEY": "k"}).text
            == "OK\n"
        )
        assert server.last.token == "k"
        run = insic.at(server, "join", "a", "b")
        assert run.status == 1 and len(server.asked) == 2
    assert run.error == "Error: join requires --root flag.\n"
