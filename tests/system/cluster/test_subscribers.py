"""Events on three nodes: published at any, delivered at all, whatever is killed or restarted
meanwhile. Subscribers notice a pause; only the end of their own gateway ends a connection."""

import signal
import time

import pytest

from harness.client import expect
from harness.nemesis import wipe
from harness.publisher import Publishers, publish_all
from harness.subscriber import ABNORMAL, Follower, Refused, Stream, Subscriber
from harness.wait import until

BEHIND = ["raft", "storage", "cacheq", "events"]  # clients have no connection to them
RATE = 200  # events a second


class Audience:
    """Subscribers of all events, at each of the nodes: WebSockets, a stream, one of a single
    topic."""

    def __init__(self, nodes, token, streams=True):
        self.subscribers = []
        for node in nodes:
            self.subscribers += [Subscriber(node, token, "load/*"), Subscriber(node, token, "*")]
            self.subscribers += [Subscriber(node, token, "load/1")]
            self.subscribers += [Stream(node, token, "load/*")] if streams else []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for subscriber in self.subscribers:
            subscriber.close()

    def check(self, publishers):
        """After publishing: everybody has everything, by the connection of the beginning."""
        for subscriber in self.subscribers:
            topic = "load/1" if "load/1 " in subscriber.name else None
            publishers.check(subscriber, topic=topic)
            assert subscriber.is_open(), f"{subscriber.name} ended with {subscriber.code}"
            assert not subscriber.gaps, subscriber.name


# ---- any node


def test_what_is_published_at_any_node_is_delivered_at_all(three):
    token = three.create_key("tenant")
    subscribers = [kind(node, token, "t*") for node in three.nodes for kind in (Subscriber, Stream)]
    clients = [node.client(token) for node in three.nodes]
    indexes = []
    for turn in range(60):
        answer = clients[turn % 3].publish(f"t{turn % 7}", {"turn": turn})
        indexes.append(expect(answer, 200).index)
    for subscriber in subscribers:
        subscriber.wait(60)
        assert subscriber.indexes == indexes
        assert subscriber.texts == subscribers[0].texts
    for node in three.nodes:  # and so is what is retained
        with Subscriber(node, token, "t*", after=indexes[9]) as resumed:
            resumed.wait(50)
            assert resumed.texts == subscribers[0].texts[10:]
    for one in (*subscribers, *clients):
        one.close()
    three.wait_equal()


def test_a_subscription_at_a_follower_begins_behind_what_was_answered_anywhere(three):
    """What is published at the leader once the follower has said 101 comes for certain; and an
    event that the subscriber could have seen answered before is not repeated out of order."""
    token = three.create_key("tenant")
    leader = three.wait_leader()
    client = leader.client(token)
    for turn in range(30):
        before = expect(client.publish("t", "before"), 200).index
        follower = three.followers(leader)[turn % 2]
        with Subscriber(follower, token, "t") as subscriber:
            index = expect(client.publish("t", "behind"), 200).index
            subscriber.wait_index(index)
            assert subscriber.indexes in ([index], [before, index])
    client.close()


def test_one_that_resumes_at_a_follower_waits_for_what_that_does_not_have_yet(networked):
    """It was told of an event by the leader, and asks a node that has been cut off."""
    token = networked.create_key("tenant")
    leader = networked.wait_leader()
    follower = networked.followers(leader)[0]
    networked.network.isolate(networked.number(follower))
    indexes = [publish(leader, token, turn) for turn in range(10)]
    with Subscriber(leader, token, "t", after=0) as subscriber:
        subscriber.wait(10)
        assert subscriber.indexes == indexes
    networked.network.heal()
    with Subscriber(follower, token, "t", after=indexes[7]) as resumed:
        index = publish(leader, token, 10)
        resumed.wait_index(index)
        assert resumed.data == [8, 9, 10] and not resumed.gaps


def publish(node, token, data, topic="t"):
    client = node.client(token)
    answer = expect(client.publish(topic, data), 200)
    client.close()
    return answer.index


# ---- workers behind the gateway


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=lambda one: one.name)
@pytest.mark.parametrize("role", ["leader", "follower"])
def test_workers_that_die_are_a_pause_to_subscribers(three, role, number):
    token = three.create_key("tenant")
    with Audience(three.nodes, token) as audience, Publishers(three.nodes, token, RATE) as load:
        for worker in BEHIND * 2:
            leader = three.wait_leader()
            node = leader if role == "leader" else three.followers(leader)[0]
            node.restart_worker(worker, number)
            load.wait_progress()
        load.stop()
        load.check_no_errors()
        audience.check(load)
    three.wait_equal()


def test_the_events_worker_killed_everywhere_again_and_again_loses_nothing(three):
    token = three.create_key("tenant")
    with Audience(three.nodes, token) as audience, Publishers(three.nodes, token, RATE) as load:
        for turn in range(6):
            three.nodes[turn % 3].restart_worker("events", signal.SIGKILL)
        load.wait_progress()
        load.stop()
        load.check_no_errors()
        audience.check(load)


@pytest.mark.parametrize("worker", ["raft", "events", "gateway"])
def test_workers_that_stand_still_for_a_while_are_a_pause(three, worker):
    token = three.create_key("tenant")
    with Audience(three.nodes, token) as audience, Publishers(three.nodes, token, RATE) as load:
        for node in three.nodes:
            process = node.worker(worker)
            process.signal(signal.SIGSTOP)
            time.sleep(1.2)  # the pause is part of the scenario
            process.signal(signal.SIGCONT)
            load.wait_progress()
        load.stop()
        load.check_no_errors()
        audience.check(load)


def test_events_raft_and_gateway_of_a_node_at_once(three):
    """The others' subscribers notice nothing, its own resume."""
    token = three.create_key("tenant")
    node = three.nodes[1]
    others = [other for other in three.nodes if other is not node]
    with (
        Audience(others, token) as audience,
        Follower([node], token, "load/*") as follower,
        Publishers(others, token, RATE) as load,
    ):
        position = node.log.size()
        for worker in ("gateway", "events", "raft"):
            node.worker(worker).signal(signal.SIGKILL)
        for worker in ("gateway", "events", "raft"):
            node.wait_worker_ready(worker, position)
        load.wait_progress()
        load.stop()
        audience.check(load)
        load.check(follower)


def test_a_quiet_topic_sees_no_gap_whatever_is_restarted(make_three):
    """Little is retained, and much goes by that is not for it."""
    three = make_three(events={"retention": "64KiB"})
    token = three.create_key("tenant")
    with Audience(three.nodes, token, streams=False):
        quiet = [Subscriber(node, token, "quiet") for node in three.nodes]
        for turn in range(3):
            publish_all(three.nodes[turn], token, "load/0", ["x" * 2000] * 200)
            time.sleep(1)  # the worker says a few times a second how far it is
            three.nodes[turn].restart_worker("events", signal.SIGKILL)
            three.wait_leader().restart_worker("raft", signal.SIGKILL)
            three.wait_leader()
        index = publish(three.nodes[0], token, "at last", "quiet")
        for subscriber in quiet:
            subscriber.wait_index(index)
            assert subscriber.data == ["at last"] and not subscriber.gaps and subscriber.is_open()
            subscriber.close()


# ---- gateways


@pytest.mark.parametrize("number,code", [(signal.SIGTERM, 1012), (signal.SIGKILL, ABNORMAL)])
def test_only_its_gateway_ends_a_connection_and_it_goes_on_behind_it(three, number, code):
    token = three.create_key("tenant")
    with Publishers(three.nodes, token, RATE) as load:
        followers = [Follower([node], token, "load/*", 0) for node in three.nodes]
        followers += [Follower([node], token, "load/*", 0, Stream) for node in three.nodes]
        for node in three.nodes:
            node.restart_worker("gateway", number)
            load.wait_progress()
        load.stop()
        for follower in followers:
            load.check(follower)
            assert len(follower.codes) == 1, follower.codes
            if follower.kind is Subscriber:
                assert follower.codes == [code]
            follower.close()


# ---- nodes


@pytest.mark.parametrize("role", ["leader", "follower"])
def test_a_subscriber_goes_on_at_another_node_when_its_own_is_killed(three, role):
    token = three.create_key("tenant")
    leader = three.wait_leader()
    victim = leader if role == "leader" else three.followers(leader)[0]
    others = [node for node in three.nodes if node is not victim]
    with Audience(others, token) as audience, Publishers(others, token, RATE) as load:
        places = [victim, *others]
        followers = [Follower(places, token, "load/*", 0, kind) for kind in (Subscriber, Stream)]
        until(lambda: all(one.texts for one in followers), "they get events")
        victim.kill()
        load.wait_progress(200)
        victim.start()
        load.wait_progress()
        load.stop()
        load.check_no_errors()
        audience.check(load)
        for follower in followers:
            load.check(follower)
            assert not follower.gaps and len(follower.codes) == 1
            follower.close()
        with Subscriber(victim, token, "load/*", after=0) as late:  # it has caught up, too
            load.check(late)


def test_a_rolling_restart_of_all_nodes_costs_no_event(three):
    token = three.create_key("tenant")
    with Publishers(three.nodes, token, RATE) as load:
        followers = [
            Follower(three.nodes[turn:] + three.nodes[:turn], token, "load/*", 0, kind)
            for turn in range(3)
            for kind in (Subscriber, Stream)
        ]
        leader = three.wait_leader()
        for node in [*three.followers(leader), leader]:
            assert node.stop() == 0
            load.wait_progress()
            node.start()
            three.wait_leader()
            load.wait_progress()
        load.stop()
        for follower in followers:
            load.check(follower)
            assert not follower.gaps
            assert set(follower.codes) <= {1012, 0}, follower.codes
            follower.close()
    three.wait_equal()


def test_changes_of_the_leader_under_load_are_a_pause(three):
    token = three.create_key("tenant")
    with Audience(three.nodes, token) as audience, Publishers(three.nodes, token, RATE) as load:
        for turn in range(6):
            leader = three.wait_leader()
            root = three.nodes[turn % 3].root()
            expect(root.transfer(three.followers(leader)[turn % 2].id), 200)
            root.close()
            load.wait_progress()
        load.stop()
        load.check_no_errors()
        audience.check(load)
        assert load.slowest < 2


def test_without_a_majority_connections_stay_and_go_on(make_three):
    three = make_three(limits={"requestTimeout": "2s"})
    token = three.create_key("tenant")
    alone = three.followers(three.wait_leader())[0]
    others = [node for node in three.nodes if node is not alone]
    with Subscriber(alone, token, "t") as subscriber, Stream(alone, token, "t") as stream:
        first = publish(alone, token, "first")
        for each in (subscriber, stream):
            each.wait_index(first)
        for node in others:
            node.kill()
        client = alone.client(token)
        assert client.publish("t", "may be").status == 503
        client.close()
        with pytest.raises(Refused) as refused:
            Subscriber(alone, token, "t")
        assert refused.value.status == 503
        for node in others:
            node.start(wait=False)
        for node in others:
            node.wait_ready()
        index = publish(alone, token, "last")
        for each in (subscriber, stream):
            each.wait_index(index)
            assert each.data in (["first", "last"], ["first", "may be", "last"])
            assert each.is_open()


def test_all_nodes_killed_at_once_retain_what_was_acknowledged(three):
    token = three.create_key("tenant")
    with Publishers(three.nodes, token, RATE) as load:
        follower = Follower(three.nodes, token, "load/*", 0)
        load.wait_progress(100)
        for node in three.nodes:
            node.kill_supervisor()
        three.start()
        load.wait_progress()
        load.stop()
        load.check(follower)
        follower.close()
        for node in three.nodes:
            with Subscriber(node, token, "load/*", after=0) as late:
                load.check(late)
                assert not late.gaps


# ---- keys


def test_a_deleted_key_ends_its_sessions_on_every_node(three):
    token, other = three.create_key("doomed"), three.create_key("other")
    subscribers = [kind(node, token, "*") for node in three.nodes for kind in (Subscriber, Stream)]
    stays = [Subscriber(node, other, "*") for node in three.nodes]
    root = three.nodes[1].root()
    expect(root.delete_key(token), 200)
    root.close()
    for subscriber in subscribers:
        code = subscriber.wait_closed(5)
        assert code == (1008 if isinstance(subscriber, Subscriber) else 0)
    index = publish(three.nodes[2], other, "goes on")
    for subscriber in stays:
        subscriber.wait_index(index)
        subscriber.close()


# ---- snapshots


def write_until_cut(leader, token, known, value):
    """Until the leader's log begins behind an index."""
    position, client = leader.log.size(), leader.client(token)
    for turn in range(300):
        pairs = [(f"k{n}", f"{turn} {value}") for n in range(100)]
        expect(client.batchset(pairs), 200)
        cuts = leader.log.find("log_cut", position)
        if cuts and int(cuts[-1].fields["index"]) > known:
            client.close()
            return
    raise AssertionError("the log is not cut")


@pytest.mark.parametrize("retention", ["64MiB", "64KiB"])
def test_a_node_that_gets_a_snapshot_retains_what_the_others_do(make_three, retention):
    three = make_three(raft={"snapshotLogSize": "16KiB"}, events={"retention": retention})
    token = three.create_key("tenant")
    follower = three.followers(three.wait_leader())[0]
    before = publish_all(follower, token, "t", list(range(20)))
    assert follower.stop() == 0
    known = int(follower.log.find("log_closed")[-1].fields["last_index"])
    leader = three.wait_leader([node for node in three.nodes if node is not follower])
    indexes = sorted(before + publish_all(leader, token, "t", ["x" * 1000] * 100))
    write_until_cut(leader, token, max(known, indexes[-1]), "x" * 2000)
    position = follower.log.size()
    follower.start()
    three.wait_leader()
    assert follower.log.wait_for("snapshot_installed", position)
    three.wait_equal()
    last = publish(follower, token, "last")
    indexes.append(last)
    for node in three.nodes:
        for after in (0, indexes[10], indexes[-10]):
            with Subscriber(node, token, "t", after=after) as subscriber:
                subscriber.wait_index(last)
                wanted = [index for index in indexes if index > after]
                check_with_gap(subscriber, wanted, after)
                if retention == "64MiB" or after == indexes[-10]:
                    assert not subscriber.gaps, f"{node.id} has lost what it should retain"


def check_with_gap(subscriber, wanted, after):
    """Everything but what a gap in front of it names."""
    if subscriber.gaps:
        assert len(subscriber.gaps) == 1 and "gap" in subscriber.frames[0]
        gap = subscriber.gaps[0]
        assert gap["from"] == after + 1 and gap["to"] >= gap["from"]
        wanted = [index for index in wanted if index > gap["to"]]
    assert subscriber.indexes == wanted


def test_subscribers_of_a_node_that_takes_over_a_snapshot_miss_nothing(make_three):
    """It was cut off while others published and their log was cut. Those of its subscribers that
    lack something are closed as too slow, and go on with after."""
    three = make_three(
        network=True, raft={"snapshotLogSize": "16KiB"}, limits={"requestTimeout": "1s"}
    )
    token = three.create_key("tenant")
    leader = three.wait_leader()
    follower = three.followers(leader)[0]
    indexes = [publish(leader, token, turn) for turn in range(5)]
    follow = Follower([follower], token, "t", 0)
    quiet = Follower([follower], token, "quiet", 0)
    follow.wait(5)
    three.network.hang_up(three.number(follower))  # what was on its way is lost
    indexes += [publish(leader, token, turn) for turn in range(5, 30)]
    write_until_cut(leader, token, indexes[-1] + 10, "x" * 2000)
    position = follower.log.size()
    three.network.heal()
    assert follower.log.wait_for("snapshot_installed", position, 60)
    three.wait_leader()
    for turn in range(30, 35):
        indexes.append(publish(follower, token, turn))
    follow.wait_index(indexes[-1], 60)
    assert follow.data == list(range(35)) and follow.indexes == indexes and not follow.gaps
    assert set(follow.codes) <= {4008}, follow.codes
    index = publish(leader, token, "at last", "quiet")
    quiet.wait_index(index, 60)
    assert quiet.data == ["at last"] and not quiet.gaps
    follow.close()
    quiet.close()


def test_a_wiped_node_has_all_events_again(three):
    """Its disk is empty: it joins anew, and retains what the others do."""
    three.allow("event=rebuild_ordered")
    token = three.create_key("tenant")
    indexes = sorted(publish_all(three.nodes[0], token, "t", list(range(200))))
    follower = three.followers(three.wait_leader())[0]
    follower.kill()
    wipe(follower)
    follower.start()
    three.wait_voters()
    three.wait_equal()
    with Subscriber(follower, token, "t", after=0) as subscriber:
        subscriber.wait_index(indexes[-1])
        assert subscriber.indexes == indexes and not subscriber.gaps
