"""A tmpfs that is smaller than events.retention: less is retained, and everything goes on."""

import random

import pytest

from harness.client import expect
from harness.disk import Disk, Unavailable
from harness.publisher import publish_all
from harness.subscriber import Subscriber

TMPFS_MIB = 64  # what containers have; no more than events.retention, less than cache.maxBytes


@pytest.fixture
def tight(make_cluster, request):
    cluster = make_cluster()
    try:
        disk = Disk(cluster.settings.values["shmDir"])
        request.addfinalizer(disk.close)
        disk.tmpfs(TMPFS_MIB)
    except Unavailable as reason:
        pytest.skip(f"needs mounts of its own (root): {reason}")
    node = cluster.nodes[0]
    node.prefix = disk.enter
    request.addfinalizer(node.clean_up)
    return cluster.start()


def data_at_random(count):
    seed = random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    return ["x" * int(10 ** chance.uniform(0, 5.7)) for _ in range(count)]


def check_retained(node, token, indexes):
    """Not all of it, but the newest, and a gap in front."""
    with Subscriber(node, token, "t", after=indexes[0] - 1) as subscriber:
        subscriber.wait_index(indexes[-1])
        assert len(subscriber.gaps) == 1
        behind = [index for index in indexes if index > subscriber.gaps[0]["to"]]
        assert subscriber.indexes == behind and len(behind) > 10


def test_less_is_retained_than_configured_and_publishing_goes_on(tight):
    node, token = tight.nodes[0], tight.create_key("tenant")
    with Subscriber(node, token, "t") as live:
        indexes = []
        for _ in range(4):  # some 150 MB
            indexes += sorted(publish_all(node, token, "t", data_at_random(500)))
            live.wait_index(indexes[-1])
        assert live.indexes == indexes and live.is_open()
    check_retained(node, token, indexes)
    node.restart_worker("events", 9)
    check_retained(node, token, indexes)


def test_a_cache_that_takes_the_room_leaves_events_less_of_it(tight):
    """And the other way round: neither stands still for the other."""
    node, token = tight.nodes[0], tight.create_key("tenant")
    client = node.client(token)
    indexes = sorted(publish_all(node, token, "t", ["x" * 20_000] * 2000))
    for n in range(1000):
        if client.cache_set(f"k{n}", "v" * 100_000).status == 507:
            break
    expect(client.cache_set("k", "v" * 100_000), 507, "STORAGE_FULL")
    for size in (100, 3000, 100_000, 500_000, 200, 50_000, 2100):
        indexes += sorted(publish_all(node, token, "t", ["x" * size] * 100, 4))
    check_retained(node, token, indexes)
    expect(client.cache_get("k0"), 200)
    client.close()
