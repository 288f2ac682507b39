"""Links that are late, stand still, lie or break off, by proxies between the nodes."""

import random
import time

from harness.workload import Workload

ELECTION = 1.0  # raft.electionTimeout, the default


def test_messages_that_are_late(proxied):
    with Workload(proxied) as work:
        proxied.proxies.set(delay=0.025, jitter=0.1)
        work.wait_progress(each=10)
        proxied.proxies.clear()
        work.wait_progress()
    assert proxied.proxies.total("bytes") > 10_000, "the links do not lead through the proxies"
    work.check_no_errors()
    work.check()


def test_messages_later_than_an_election(proxied):
    with Workload(proxied) as work:
        proxied.proxies.set(delay=2 * ELECTION)
        time.sleep(6 * ELECTION)
        proxied.proxies.clear()
        work.wait_progress()
    work.check()


def test_links_that_stand_still(proxied):
    """What was under way comes when they go on, all at once: old votes, appends, read indexes."""
    with Workload(proxied) as work:
        for _ in range(4):
            leader = proxied.number(proxied.wait_leader())
            links = [link for link in proxied.proxies.links() if leader in link]
            proxied.proxies.set(links, stall=True)
            time.sleep(1.5 * ELECTION)
            proxied.proxies.set(links, stall=False)
            work.wait_progress()
    work.check()


def test_a_slow_link_costs_the_others_nothing(proxied):
    with Workload(proxied) as work:
        leader = proxied.wait_leader()
        slow, quick = proxied.followers(leader)
        links = [link for link in proxied.proxies.links() if proxied.number(slow) in link]
        begun, term = time.monotonic(), proxied.term(leader)
        proxied.proxies.set(links, rate=2000)
        time.sleep(4 * ELECTION)
        proxied.proxies.clear()
        work.check_no_errors([leader, quick], begun)
        assert proxied.term(leader) == term, "they had an election"
        work.wait_progress()
    work.check()


def test_damaged_messages_are_dropped_and_told(proxied):
    """Whatever bit is inverted: nobody believes it, nobody ends, and the log says what was
    wrong."""
    positions = proxied.log_positions()
    pids = [process.pid for node in proxied.nodes for process in node.all_processes()]
    with Workload(proxied) as work:
        proxied.proxies.set(flip=20)
        time.sleep(6 * ELECTION)
        proxied.proxies.clear()
        work.wait_progress()
    flips = proxied.proxies.total("flips")
    assert flips > 10
    assert pids == [process.pid for node in proxied.nodes for process in node.all_processes()]
    told = [line for node in proxied.nodes for line in faults(node, positions[node.id])]
    assert told, f"{flips} inverted bits, and no line says so"
    assert len(told) < 60, "lines without bound"
    work.check()


def faults(node, position):
    return node.log.find("peer_refused", position)


def test_links_that_break_off(proxied):
    chance = random.Random(7)
    with Workload(proxied) as work:
        for _ in range(12):
            links = chance.sample(proxied.proxies.links(), 2)
            proxied.proxies.set(links, cut=True)
            time.sleep(0.1)
            proxied.proxies.set(links, cut=False)
            time.sleep(0.2)
        work.wait_progress()
    work.check_no_errors()
    work.check()
