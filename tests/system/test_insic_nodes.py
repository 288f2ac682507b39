"""insic and several servers: who is asked in which order, what is tried again, TLS, tokens, times."""

import subprocess
import time

import pytest

from fake_server import (
    DROP,
    HANG,
    NO_LEADER,
    Answer,
    ClosedPort,
    FakeServer,
    SilentPort,
    answer,
    refusal,
    three,
)
from insic_tool import KEY

ROOT = "OTg0Y2E1MTYyMjAwNzM0YzU5MjE0OGYxODIwYjcxMDU3ZjA5ODU3M2QxMzg2NjZiNDg2NjNlNGUzMGNkOGQzYQ=="
VALUE = answer(data="v", index=1)
DONE = answer(index=1)
READ = ("get", "k")
WRITE = ("set", "k", "v")


def counts(servers):
    return [len(server.asked) for server in servers]


# ---- order


def test_the_default_leader_is_asked_first_and_alone(insic):
    with three(insic, [VALUE], [VALUE], [VALUE], leader="node1") as servers:
        assert insic("--root", *READ).out == b"v\n"
    assert counts(servers) == [0, 1, 0]


def test_the_others_follow_in_the_order_of_the_file(insic):
    with three(insic, [NO_LEADER], [NO_LEADER], [VALUE], leader="node1") as servers:
        times = []
        for server in servers:
            server.respond = lambda asked, own=server: times.append(own) or own.answers[0]
        assert insic("--root", *READ).out == b"v\n"
    assert [servers.index(server) for server in times] == [1, 0, 2]


def test_a_target_is_asked_alone(insic):
    with three(insic, [VALUE], [VALUE], [NO_LEADER]) as servers:
        run = insic("--root", "--target", "node2", *READ)
    assert counts(servers) == [0, 0, 1]
    assert (run.status, run.error) == (1, "Error: no leader is known (NO_LEADER)\n")


def test_an_unknown_target(insic):
    with three(insic, [VALUE], [VALUE], [VALUE]) as servers:
        run = insic("--root", "--target", "node7", *READ)
    assert counts(servers) == [0, 0, 0] and run.status == 2
    assert run.error == (
        "Error: --target: the configuration names no node 'node7'; its nodes: node0 node1 node2.\n"
    )


@pytest.mark.parametrize("command", [READ, WRITE])
@pytest.mark.parametrize("first", ["refused", "no leader"])
def test_the_next_node_is_asked_when_one_is_down_or_without_leader(insic, command, first):
    with ClosedPort() as closed, FakeServer(NO_LEADER) as lost, FakeServer(VALUE) as good:
        down = closed if first == "refused" else lost
        insic.configure(down.binding, good.binding)
        run = insic("--root", *command)
    assert run.status == 0 and run.err == b"" and len(good.asked) == 1


@pytest.mark.parametrize(
    "other",
    [
        refusal(503, "OUTCOME_UNKNOWN"),
        refusal(503, "TOO_MANY_SESSIONS"),
        refusal(507, "STORAGE_FULL"),
        refusal(429, "RATE_LIMITED"),
        refusal(409, "CONFLICT"),
        refusal(401, "AUTHENTICATION_FAILED"),
        Answer(503, b"busy"),
    ],
    ids=lambda reply: f"{reply.status}",
)
def test_no_other_refusal_is_tried_elsewhere(insic, other):
    with three(insic, [other], [DONE], [DONE]) as servers:
        assert insic("--root", *WRITE).status == 1
    assert counts(servers) == [1, 0, 0]


def test_all_nodes_down(insic):
    with ClosedPort() as one, ClosedPort() as two:
        insic.configure(one.binding, two.binding)
        run = insic("--root", *WRITE)
    assert (run.status, run.out) == (1, b"")
    lines = run.error.splitlines()
    assert lines[0] == "Error: no node answers." and len(lines) == 3
    assert lines[1].startswith(f"  node0 ({one.url}): Failed to connect to 127.0.0.1 port {one.port}")
    assert lines[2].startswith(f"  node1 ({two.url}): Failed to connect to 127.0.0.1 port {two.port}")


def test_one_node_down(insic):
    with ClosedPort() as one:
        run = insic("--endpoint", one.url, "--key", KEY, *READ)
    assert run.status == 1
    assert run.error.startswith(f"Error: {one.url} does not answer: Failed to connect")


def test_what_a_node_said_counts_more_than_that_the_next_is_down(insic):
    with FakeServer(NO_LEADER) as lost, ClosedPort() as closed:
        insic.configure(lost.binding, closed.binding)
        run = insic("--root", "-o", "json", *WRITE)
    assert (run.status, run.error) == (1, "Error: no leader is known (NO_LEADER)\n")
    assert run.out == NO_LEADER.body + b"\n"


# ---- lost after the request


@pytest.mark.parametrize("loss", [DROP, Answer(body=b'{"index": 1234567890}', cut=True)])
def test_a_write_that_may_have_arrived_is_not_repeated(insic, loss):
    with three(insic, [loss], [DONE], [DONE]) as servers:
        run = insic("--root", *WRITE)
    assert counts(servers) == [1, 0, 0]
    assert (run.status, run.out) == (1, b"")
    assert run.error.startswith(f"Error: node0 ({servers[0].url}) was lost after the request was sent: ")
    assert run.error.endswith(
        "The write may or may not have happened (OUTCOME_UNKNOWN).\n"
    )


def test_a_write_without_an_answer_ends_with_the_timeout_and_is_unknown(insic):
    with three(insic, [HANG], [DONE], [DONE]) as servers:
        begin = time.monotonic()
        run = insic("--root", "--timeout", "1s", *WRITE)
        took = time.monotonic() - begin
        assert counts(servers) == [1, 0, 0]
    assert run.status == 1 and "(OUTCOME_UNKNOWN)" in run.error and 0.9 < took < 5


@pytest.mark.parametrize("loss", [DROP, Answer(body=VALUE.body, cut=True)])
def test_a_read_is_repeated_at_the_next_node(insic, loss):
    with three(insic, [loss], [NO_LEADER], [VALUE]) as servers:
        assert insic("--root", *READ).out == b"v\n"
    assert counts(servers) == [1, 1, 1]


def test_a_read_leaves_a_node_that_hangs(insic):
    with three(insic, [HANG], [VALUE], [VALUE]) as servers:
        run = insic("--root", "--timeout", "6s", *READ)
        assert (run.out, counts(servers)) == (b"v\n", [1, 1, 0])


def test_a_node_that_takes_connections_and_is_silent_is_lost_to_a_write_too(insic):
    with SilentPort() as silent, FakeServer(DONE) as good:
        insic.configure(silent.binding, good.binding)
        run = insic("--root", "--timeout", "1s", *WRITE)
    assert run.status == 1 and "(OUTCOME_UNKNOWN)" in run.error and not good.asked


def test_pages_are_fetched_from_the_node_that_answered(insic):
    keys = [f"k{number:04}" for number in range(1000)]
    page = answer(data=keys, next="k0999")
    with three(insic, [NO_LEADER], [page, page, answer(data=["z"])], [NO_LEADER]) as servers:
        run = insic("--root", "iterate", "prefix", "k", "0", "5000")
    assert counts(servers) == [1, 3, 0] and run.text.split() == keys + keys + ["z"]


# ---- endpoint, configuration, token


@pytest.mark.parametrize("suffix", ["", "/", "/db/api/v1", "/db/api/v1/", "//"])
def test_an_endpoint_may_name_the_api_or_not(insic, suffix):
    with FakeServer(VALUE) as server:
        run = insic("--endpoint", server.url + suffix, "--key", KEY, *READ)
    assert run.out == b"v\n" and server.last.path == "/db/api/v1/get"


def test_an_endpoint_may_have_a_path_of_its_own(insic):
    with FakeServer(VALUE) as server:
        assert insic("--endpoint", server.url + "/insi", "--key", KEY, *READ).out == b"v\n"
    assert server.last.path == "/insi/db/api/v1/get"


@pytest.mark.parametrize(
    "endpoint",
    ["127.0.0.1:8443", "localhost", "ftp://a", "http://", "http://a b", "http://u:p@h", "http://h/?a",
     "http://h#a", "file:///etc/passwd", "http://h:99999"],
)
def test_a_bad_endpoint(insic, endpoint):
    run = insic("--endpoint", endpoint, "--key", KEY, *READ)
    assert run.status == 2
    assert run.error == (
        "Error: --endpoint must be the URL of a server such as http://127.0.0.1:8443, "
        f"not '{endpoint}'.\n"
    )


def test_the_root_token_comes_before_the_key_and_the_key_before_the_environment(insic):
    with FakeServer(VALUE) as server:
        insic.configure(server.binding)
        environment = {"INSI_API_KEY": "from-env"}
        assert insic("--root", "--key", "a-key", *READ, env=environment).status == 0
        assert server.last.token == ROOT
        assert insic("--key", "a-key", *READ, env=environment).status == 0
        assert server.last.token == "a-key"
        assert insic(*READ, env=environment).status == 0
        assert server.last.token == "from-env"
        assert insic("--endpoint", server.url, "--root", *READ, env=environment).status == 0
        assert server.last.token == ROOT


@pytest.mark.parametrize("environment", [{}, {"INSI_API_KEY": ""}])
def test_no_token_at_all(insic, environment):
    with FakeServer(VALUE) as server:
        run = insic("--endpoint", server.url, *READ, env=environment)
    assert run.status == 2 and not server.asked
    assert run.error == "Error: no token: use --root, set INSI_API_KEY, or use --key TOKEN.\n"


@pytest.mark.parametrize("token", ["a b", "a\nX-Evil: 1", "\u00fc", "a\r\n"])
def test_a_token_that_cannot_be_one_is_not_sent_and_not_shown(insic, token):
    with FakeServer(VALUE) as server:
        run = insic("--endpoint", server.url, *READ, env={"INSI_API_KEY": token})
    assert run.status == 2 and not server.asked
    assert run.error == (
        "Error: INSI_API_KEY holds a space, a line break or another character that no token has.\n"
    )


def test_where_the_configuration_is_looked_for(insic):
    with FakeServer(answer(data="named", index=1)) as named, FakeServer(
        answer(data="here", index=1)
    ) as here, FakeServer(answer(data="development", index=1)) as development:
        run = insic("--root", *READ)
        assert run.status == 2
        assert run.error == (
            "Error: --root needs a configuration file, and there is no cluster.yaml here: "
            "use --config FILE.\n"
        )
        run = insic("--key", KEY, *READ)
        assert run.status == 2
        assert run.error == (
            "Error: without --endpoint the nodes come from a configuration file, and there is no "
            "cluster.yaml here: use --config FILE or --endpoint URL.\n"
        )
        insic.configure(development.binding, name="insi-data/cluster.yaml")
        assert insic("--root", *READ).out == b"development\n"
        insic.configure(here.binding)
        assert insic("--root", *READ).out == b"here\n"
        path = insic.configure(named.binding, name="other.yaml")
        assert insic("--config", path, "--root", *READ).out == b"named\n"


def test_a_bad_configuration_is_told_with_file_line_and_key(insic):
    insic.configure("127.0.0.1:1", more="foo: 1\nlogging: {level: loud}\n")
    run = insic("--root", *READ)
    assert run.status == 2
    assert run.error == (
        "Error: cluster.yaml:11: foo: unknown key\n"
        "Error: cluster.yaml:12: logging.level: must be one of debug|info|warn|error, not 'loud'\n"
    )
    run = insic("--config", "nowhere.yaml", *READ)
    assert run.status == 2
    assert run.error == "Error: cannot read nowhere.yaml: No such file or directory.\n"


def test_with_an_endpoint_and_a_key_no_configuration_is_read(insic):
    insic.write("cluster.yaml", "this: is broken\n")
    with FakeServer(VALUE) as server:
        assert insic.at(server, *READ).out == b"v\n"


def test_proxies_of_the_environment_are_not_used(insic):
    with FakeServer(VALUE) as server, ClosedPort() as proxy:
        environment = {
            name: proxy.url for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY")
        }
        assert insic.at(server, *READ, env=environment).out == b"v\n"


def test_a_redirect_is_not_followed(insic):
    with FakeServer(VALUE) as other:
        redirect = Answer(307, b"", {"Location": other.url + "/db/api/v1/get?key=k"})
        with FakeServer(redirect) as server:
            assert insic.at(server, *READ).status == 1
        assert not other.asked


@pytest.mark.parametrize("binding, host", [("0.0.0.0", "127.0.0.1"), ("[::]", "::1"), ("[::1]", "::1")])
@pytest.mark.parametrize("domain", ["", "localhost", "no-such-name.invalid"])
def test_where_a_binding_leads(insic, binding, host, domain):
    try:
        server = FakeServer(VALUE, host=host)
    except OSError:
        pytest.skip("no IPv6 here")
    with server:
        insic.configure(f"{binding}:{server.port}", domains=[domain])
        assert insic("--root", *READ).out == b"v\n"
        name = domain or (f"[{host}]" if ":" in host else host)
        assert server.last.headers["host"] == f"{name}:{server.port}"


# ---- TLS


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """A CA, and a certificate of it for the name db.insi.test."""
    folder = tmp_path_factory.mktemp("certificates")

    def openssl(*arguments):
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    new = ["req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    openssl(*new, "-x509", "-subj", "/CN=test CA", "-keyout", "ca.key", "-out", "ca.crt")
    openssl(*new, "-x509", "-subj", "/CN=other CA", "-keyout", "other.key", "-out", "other.crt")
    openssl(
        *new, "-x509", "-CA", "ca.crt", "-CAkey", "ca.key", "-subj", "/CN=node",
        "-addext", "subjectAltName=DNS:db.insi.test", "-keyout", "node.key", "-out", "node.crt",
    )  # fmt: skip
    return folder


def tls(certificates, ca="ca.crt", more=""):
    folder = certificates
    return f"tls: {{cert: {folder}/node.crt, key: {folder}/node.key, ca: {folder}/{ca}}}\n{more}"


@pytest.fixture
def secure(certificates):
    pair = (certificates / "node.crt", certificates / "node.key")
    with FakeServer(VALUE, certificate=pair) as server:
        yield server


def test_the_certificate_is_checked_against_the_domain_at_the_binding(insic, certificates, secure):
    insic.configure(secure.binding, domains=["db.insi.test"], more=tls(certificates))
    run = insic("--root", *READ)
    assert (run.status, run.out) == (0, b"v\n"), run.error
    assert secure.last.headers["host"] == f"db.insi.test:{secure.port}"


@pytest.mark.parametrize(
    "domain, ca, problem",
    [
        ("other.insi.test", "ca.crt", "SSL: no alternative certificate subject name matches"),
        ("", "ca.crt", "SSL: no alternative certificate subject name matches"),
        ("db.insi.test", "other.crt", "SSL certificate problem: unable to get local issuer"),
    ],
)
def test_a_certificate_that_is_not_the_nodes_gets_no_token(
    insic, certificates, secure, domain, ca, problem
):
    insic.configure(secure.binding, domains=[domain], more=tls(certificates, ca))
    run = insic("--root", *WRITE)
    assert run.status == 1 and problem in run.error and not secure.asked
    assert "OUTCOME_UNKNOWN" not in run.error


def test_client_skip_verify_takes_any_certificate(insic, certificates, secure):
    more = tls(certificates, "other.crt", "clientSkipVerify: true\n")
    insic.configure(secure.binding, domains=["other.insi.test"], more=more)
    assert insic("--root", *READ).out == b"v\n"


def test_an_endpoint_with_https_trusts_the_ca_of_the_configuration(insic, certificates, secure):
    endpoint = f"https://db.insi.test:{secure.port}"
    run = insic("--endpoint", endpoint, "--key", KEY, *READ)
    assert run.status == 1 and "Could not resolve host" in run.error
    insic.configure(secure.binding, more=tls(certificates))
    run = insic("--endpoint", secure.url, "--key", KEY, *READ)
    assert run.status == 1 and "no alternative certificate subject name" in run.error


def test_a_ca_file_that_is_not_there(insic, certificates, secure):
    insic.configure(secure.binding, more=tls(certificates, "nowhere.crt"))
    run = insic("--root", *READ)
    assert run.status == 2
    assert run.error == (
        f"Error: cannot read tls.ca of the configuration, {certificates}/nowhere.crt: "
        "No such file or directory.\n"
    )


def test_https_to_a_server_without_it_is_refused_before_the_token_is_sent(insic, certificates):
    with FakeServer(VALUE) as plain:
        insic.configure(plain.binding, domains=["db.insi.test"], more=tls(certificates))
        run = insic("--root", *WRITE)
    assert run.status == 1 and "OUTCOME_UNKNOWN" not in run.error and not plain.asked
