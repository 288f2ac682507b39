"""Fixtures: nodes of a test's own, and one node that all contract tests of a process share."""

import pytest

from harness import binaries, scratch
from harness.client import Client
from harness.cluster import Cluster
from insic_tool import Tool

FAILED = pytest.StashKey()


# ---- order and outcome of tests


def pytest_collection_modifyitems(items):
    """The long ones first, or the last minute belongs to one of four processes."""
    items.sort(key=lambda item: 0 if item.get_closest_marker("slow") else 1)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    if call.excinfo is not None and not report.skipped:
        item.stash[FAILED] = True


def pytest_sessionstart(session):
    if not hasattr(session.config, "workerinput"):  # not in the processes of xdist
        scratch.remove_leftovers()


def pytest_terminal_summary(terminalreporter):
    """What tests measured (record_property("measured ...", text)), in one table."""
    lines = []
    for reports in terminalreporter.stats.values():
        for report in reports:
            if getattr(report, "when", "") == "call":
                lines += [
                    f"{name.removeprefix('measured ')}: {value}"
                    for name, value in report.user_properties
                    if name.startswith("measured ")
                ]
    if lines:
        terminalreporter.section("measured")
        for line in sorted(lines):
            terminalreporter.write_line(line)


# ---- nodes of a test's own


@pytest.fixture
def make_cluster(request):
    """Makes clusters that end with the test: make_cluster(count, **options of cluster.yaml). They
    are not started."""
    made = []

    def make(count=1, **options):
        made.append(Cluster(count, **options))
        return made[-1]

    yield make
    failed = request.node.stash.get(FAILED, False)
    problems = []
    for cluster in made:
        problems += cluster.finish(failed, request.node.name)
        if cluster.kept:
            print(f"\nlogs and data are kept in {cluster.kept}")
    assert not problems, "\n".join(problems)


@pytest.fixture
def cluster(make_cluster):
    """One node, started, with the default settings."""
    return make_cluster().start()


@pytest.fixture
def node(cluster):
    return cluster.nodes[0]


# ---- the shared node


@pytest.fixture(scope="session")
def shared_cluster():
    cluster = Cluster(1)
    yield cluster.start()
    problems = cluster.finish(False, "shared")
    if cluster.kept:
        print(f"\nlogs and data are kept in {cluster.kept}")
    assert not problems, "\n".join(problems)


@pytest.fixture
def shared(shared_cluster, request):
    """The shared node. The test must leave it running, and is blamed for errors in its log."""
    node = shared_cluster.nodes[0]
    if not node.is_running():  # an earlier test has been blamed for that
        node.start()
    positions = shared_cluster.log_positions()
    yield node
    if request.node.stash.get(FAILED, False):
        print(node.log.text(positions[node.id])[-20000:])
    assert node.is_running(), node.log.text(positions[node.id])[-3000:]
    problems = shared_cluster.log_problems(positions)
    assert not problems, "\n".join(problems)


@pytest.fixture
def token(shared, shared_cluster, request):
    """An API key of the shared node, and so an empty key space."""
    return shared_cluster.create_key(request.node.name[:100])


@pytest.fixture
def api(shared, token):
    """A client with that key."""
    client = Client(shared.http_port, token)
    yield client
    client.close()


@pytest.fixture
def root(shared):
    client = shared.root()
    yield client
    client.close()


@pytest.fixture(scope="session")
def patience():
    """What time limits of tests are multiplied with: sanitized programs are slower."""
    return 4 if binaries.sanitized() else 1


@pytest.fixture
def insic(tmp_path):
    """insic in an empty folder."""
    return Tool(tmp_path)
