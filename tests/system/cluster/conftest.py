"""Clusters of three, started, in three kinds: on loopback, in a network of their own, and with a
proxy on every link."""

import pytest

from harness.network import Unavailable


@pytest.fixture
def make_three(make_cluster):
    """make_three(**options): three nodes that agree on a leader. environment: of all of them."""

    def make(environment=None, **options):
        try:
            cluster = make_cluster(3, **options)
        except Unavailable as reason:
            pytest.skip(f"needs a network of its own (root): {reason}")
        cluster.start(environment=environment)
        cluster.wait_leader()
        return cluster

    return make


@pytest.fixture
def three(make_three):
    return make_three()


@pytest.fixture
def networked(make_three):
    return make_three(network=True)


@pytest.fixture
def proxied(make_three):
    return make_three(proxies=True)
