"""What subscribers get: every event of their topic, once, in order, as it was published; from where
they were; and the same by WebSocket and Server-Sent Events."""

import datetime
import itertools
import json
import signal
import threading

import pytest

from harness.client import expect
from harness.publisher import publish_all
from harness.subscriber import Refused, Stream, Subscriber
from harness.wait import until

KINDS = [Subscriber, Stream]


@pytest.fixture
def listen(shared, token):
    """listen(topic, ...): a subscriber of the shared node, closed at the end."""
    made = []

    def make(topic, kind=Subscriber, node=shared, token=token, **how):
        made.append(kind(node, token, topic, **how))
        return made[-1]

    yield make
    for subscriber in made:
        subscriber.close()


def publish_raw(api, topic, data):
    """data: JSON text, which Python does not touch."""
    body = b'{"topic":%s,"data":%s}' % (json.dumps(topic).encode(), data.encode())
    return expect(api.call("POST", "/events", body), 200).index


def exact(text):
    """JSON with its numbers as they are written."""
    return json.loads(text, parse_int=str, parse_float=str)


# ---- what a frame is


@pytest.mark.parametrize("kind", KINDS)
def test_an_event_arrives_as_documented(api, listen, kind):
    subscriber = listen("orders", kind)
    before = datetime.datetime.now(datetime.timezone.utc)
    index = expect(api.publish("orders", {"id": 7}), 200).index
    event = subscriber.wait(1)[0]
    assert set(event) == {"topic", "data", "index", "emitted_at"}
    assert (event["topic"], event["data"], event["index"]) == ("orders", {"id": 7}, index)
    assert event["emitted_at"].endswith("Z")
    emitted = datetime.datetime.fromisoformat(event["emitted_at"].replace("Z", "+00:00"))
    assert abs(emitted - before) < datetime.timedelta(seconds=10)


def test_a_stream_is_what_an_event_source_reads(api, listen):
    stream = listen("t", Stream)
    assert stream.headers["content-type"].split(";")[0] == "text/event-stream"
    assert stream.headers["cache-control"] in ("no-cache", "no-store")
    indexes = [expect(api.publish("t", n), 200).index for n in range(5)]
    stream.wait(5)
    assert stream.ids == indexes == stream.indexes


def test_websocket_and_stream_get_the_same_text(api, listen):
    subscriber, stream = listen("t/*"), listen("t/*", Stream)
    for n in range(20):
        publish_raw(api, f"t/{n} é \"quoted\"", '{"n": %d, "text": "\\u00e9\\n\u2028 \\/"}' % n)
    subscriber.wait(20)
    stream.wait(20)
    assert subscriber.texts == stream.texts


# ---- data


DATA = [
    "null",
    "true",
    "false",
    '""',
    '"text"',
    "0",
    "-0",
    "-1",
    "1.50",
    "1e3",
    "1E+400",
    "-1.7976931348623157e308",
    "9007199254740993",
    "18446744073709551616",
    "123456789012345678901234567890.123456789012345678901234567890",
    "[]",
    "{}",
    "[[[[[[[[[[1]]]]]]]]]]",
    '{"a":{"b":[1,"2",null,{"c":{}}]},"":0," ":1}',
    '"\\u0000\\u001f\\"\\\\\\/\\b\\f\\n\\r\\t"',
    '"\\ud83d\\ude00 \U0001f600 é \u2028\u2029\u0085"',
    '"</script><!-- data: id: \\n\\ndata: x"',
    '{"index":1,"topic":"other","gap":{"from":1,"to":2},"data":"data"}',
]


@pytest.mark.parametrize("kind", KINDS)
def test_any_json_comes_back_and_numbers_as_they_were_written(api, listen, kind):
    subscriber = listen("json", kind)
    indexes = [publish_raw(api, "json", data) for data in DATA]
    subscriber._wait(lambda: len(subscriber.texts) >= len(DATA), "all of them", 15)
    for data, index, text in zip(DATA, indexes, subscriber.texts):
        frame = exact(text)
        assert frame["data"] == exact(data), data
        assert frame["index"] == str(index) and frame["topic"] == "json"


@pytest.mark.parametrize("kind", KINDS)
def test_json_may_be_written_with_spaces_and_lines(api, listen, kind):
    subscriber = listen("t", kind)
    body = b' {\r\n "data" :\t[ 1 ,\r\n\r\n {"a b" : "c  d" } ] ,\n"topic":"t" } \n'
    expect(api.call("POST", "/events", body), 200)
    assert subscriber.wait(1)[0]["data"] == [1, {"a b": "c  d"}]
    assert "\n" not in subscriber.texts[0] and "\r" not in subscriber.texts[0]


@pytest.mark.parametrize("kind", KINDS)
def test_an_event_of_a_megabyte_arrives_whole(api, listen, kind):
    """It is four times the buffer of a session."""
    subscriber = listen("large", kind)
    data = ["é" * 100_000, "x" * 700_000, list(range(10_000))]
    for _ in range(3):
        expect(api.publish("large", data), 200)
    assert all(event["data"] == data for event in subscriber.wait(3, 30))


def test_data_may_be_nested_and_long(api, listen):
    subscriber = listen("deep")
    deep = "[" * 15 + '{"a":' * 16 + "1" + "}" * 16 + "]" * 15
    publish_raw(api, "deep", deep)  # 32 levels with its body
    expect(api.call("POST", "/events", b'{"topic":"deep","data":[%s]}' % deep.encode()), 400)
    expect(api.publish("deep", list(range(100_000))), 200)
    subscriber.wait(2)
    assert subscriber.data == [json.loads(deep), list(range(100_000))]


# ---- order


@pytest.mark.parametrize("kind", KINDS)
def test_events_come_once_in_index_order_whoever_publishes(shared, token, listen, kind):
    subscribers = [listen("order", kind) for _ in range(2)]
    indexes = publish_all(shared, token, "order", list(range(500)))
    assert len(set(indexes)) == 500
    data = [n for _, n in sorted(zip(indexes, range(500)))]
    for subscriber in subscribers:
        subscriber.wait(500)
        assert subscriber.indexes == sorted(indexes)
        assert subscriber.data == data


def test_what_one_client_publishes_keeps_its_order(api, listen):
    subscriber = listen("mine")
    for n in range(100):
        expect(api.publish("mine", n), 200)
    subscriber.wait(100)
    assert subscriber.data == list(range(100))


def test_an_answered_event_is_behind_every_subscription_that_was_there(api, listen):
    """And what is published once a subscription was answered comes for certain."""
    for n in range(20):
        expect(api.publish("seam", -1), 200)
        subscriber = listen("seam")
        index = expect(api.publish("seam", n), 200).index
        subscriber.wait_index(index)
        assert subscriber.data in ([n], [-1, n])


def test_subscribing_while_events_stream_by_misses_nothing_behind_the_first(shared, token, listen):
    """No hole at the seam between the subscription and what is published at the same moment."""
    done, indexes = threading.Event(), []

    def publish():
        for _ in range(6):
            indexes.extend(publish_all(shared, token, "seam", [0] * 100, 4))
        done.set()

    thread = threading.Thread(target=publish, daemon=True)
    thread.start()
    subscribers = []
    while not done.is_set():
        subscribers.append(listen("seam"))
        subscribers.append(listen("seam", after=0))
    thread.join()
    indexes.sort()
    for subscriber in subscribers[::2]:
        subscriber.wait_index(indexes[-1]) if subscriber.texts else None
        assert subscriber.indexes == indexes[len(indexes) - len(subscriber.texts) :]
    for subscriber in subscribers[1::2]:
        subscriber.wait_index(indexes[-1])
        assert subscriber.indexes == indexes


# ---- topics


TOPICS = ["a", "a/b", "a/bc", "a/b/c", "ab", "A", "b", "é/ü", "a b&c=d?e#f%20+", "x" * 480]
TOPICS += ["*a", "a*b"]


def test_exact_and_prefix_topics_get_their_own_events(shared, token, api, listen):
    """Each on a connection of its own, overlapping at will."""
    patterns = [*TOPICS, "*", "a*", "a/*", "a/b*", "ab*", "é*", "x" * 480 + "*", "x" * 479 + "*"]
    patterns += ["c*", "a/b/c/d", "*a*", "a**"]
    subscribers = {pattern: listen(pattern) for pattern in patterns}
    for n, topic in itertools.product(range(3), TOPICS):
        expect(api.publish(topic, n), 200)
    last = expect(api.publish("last", None), 200).index
    subscribers["*"].wait_index(last)
    assert len(subscribers["*"].texts) == 3 * len(TOPICS) + 1
    everything = [(event["topic"], event["data"]) for event in subscribers.pop("*").events[:-1]]
    assert everything == [(topic, n) for n in range(3) for topic in TOPICS]
    for pattern, subscriber in subscribers.items():
        if pattern.endswith("*"):
            wanted = [what for what in everything if what[0].startswith(pattern[:-1])]
        else:
            wanted = [what for what in everything if what[0] == pattern]
        until(lambda: len(subscriber.texts) >= len(wanted), f"events of {pattern[:20]}")
        got = [(event["topic"], event["data"]) for event in subscriber.events]
        assert got == wanted, pattern[:20]


def test_the_same_topic_many_times_is_many_subscriptions(api, listen):
    subscribers = [listen("t") for _ in range(30)] + [listen("t*") for _ in range(30)]
    for n in range(10):
        expect(api.publish("t", n), 200)
    for subscriber in subscribers:
        subscriber.wait(10)
        assert subscriber.data == list(range(10))


def test_a_thousand_topics_go_to_whom_they_concern(shared, token, listen):
    one, some, everything = listen("n/500"), listen("n/99*"), listen("n/*")
    topics = [f"n/{n}" for n in range(1000)]
    publish_all(shared, token, topics, list(range(1000)))
    everything.wait(1000)
    assert sorted(everything.data) == list(range(1000))
    assert all(event["topic"] == f"n/{event['data']}" for event in everything.events)
    some.wait(11)
    assert sorted(some.data) == [99, *range(990, 1000)]
    assert [event["data"] for event in one.wait(1)] == [500]


# ---- scopes


def test_tenants_and_root_never_see_each_others_events(cluster, node):
    names = {"one": cluster.create_key("one"), "two": cluster.create_key("two")}
    names["root"] = node.settings.root_token()
    subscribers = [
        (name, kind(node, token, pattern, after=after))
        for name, token in names.items()
        for pattern in ("t", "t*", "*")
        for kind, after in ((Subscriber, None), (Stream, 0))
    ]
    for turn in range(5):
        for name, token in names.items():
            publish_all(node, token, "t", [f"{name} {turn}"])
    for name, subscriber in subscribers:
        subscriber.wait(5)
        assert subscriber.data == [f"{name} {turn}" for turn in range(5)]
        subscriber.close()


# ---- resuming


@pytest.mark.parametrize("kind", KINDS)
def test_after_an_index_everything_behind_it_comes_then_what_is_new(api, listen, kind):
    indexes = [expect(api.publish("t", n), 200).index for n in range(10)]
    expect(api.publish("other", "not this"), 200)
    for n in (0, 4, 8, 9):
        subscriber = listen("t", kind, after=indexes[n])
        expect(api.publish("t", "new"), 200)
        subscriber.wait(10 - n)
        assert subscriber.indexes[: 9 - n] == indexes[n + 1 :]
        assert set(subscriber.data[9 - n :]) == {"new"} and not subscriber.gaps


def test_after_zero_is_everything_that_is_retained(cluster, node):
    token = cluster.create_key("tenant")
    indexes = publish_all(node, token, "t", list(range(50)))
    with Subscriber(node, token, "*", after=0) as subscriber:
        subscriber.wait(50)
        assert subscriber.indexes == sorted(indexes) and not subscriber.gaps


def test_last_event_id_resumes_a_stream_and_wins_over_after(api, listen):
    indexes = [expect(api.publish("t", n), 200).index for n in range(10)]
    stream = listen("t", Stream, last_id=indexes[6])
    stream.wait(3)
    assert stream.data == [7, 8, 9]
    stream = listen("t", Stream, after=indexes[1], last_id=indexes[7])
    stream.wait(2)
    assert stream.data == [8, 9]


def test_a_stream_has_an_id_to_resume_with_before_the_first_event(api, listen):
    """So that a browser whose connection breaks before the first event misses none."""
    stream = listen("t", Stream)
    until(lambda: stream.last_id is not None, "an id")
    stream.close()
    expect(api.publish("t", "while away"), 200)
    stream = listen("t", Stream, last_id=stream.last_id)
    stream.wait(1)
    assert stream.data == ["while away"]


@pytest.mark.parametrize("kind", KINDS)
def test_after_ahead_of_now_nothing_comes_up_to_it(api, listen, kind):
    now = expect(api.publish("t", "now"), 200).index
    subscriber = listen("t", kind, after=now + 5)
    indexes = [expect(api.publish("t", n), 200).index for n in range(12)]
    subscriber.wait_index(indexes[-1])
    assert subscriber.indexes == [index for index in indexes if index > now + 5]
    assert not subscriber.gaps


def test_resuming_again_and_again_has_neither_hole_nor_double(shared, token, api, listen):
    """A connection for every few events, while others publish."""
    indexes = []
    thread = threading.Thread(
        target=lambda: indexes.extend(publish_all(shared, token, "t", [0] * 600, 4)), daemon=True
    )
    last, got = expect(api.publish("t", "first"), 200).index, []
    thread.start()
    for kind in itertools.cycle([Subscriber] * 5 + [Stream]):
        subscriber = listen("t", kind, after=last)
        until(lambda: subscriber.texts or not thread.is_alive(), "an event")
        subscriber.drop() if kind is Subscriber else subscriber.close()
        got += subscriber.indexes
        last = max([last, *subscriber.indexes])
        if not thread.is_alive() and last == max(indexes):
            break
    assert got == sorted(indexes)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("after", ["-1", "x", "1.5", "0x10", "99999999999999999999", " 1", ""])
def test_a_bad_after_is_400(shared, token, kind, after):
    with pytest.raises(Refused) as refused:
        kind(shared, token, "t", after=after)
    assert refused.value.status == 400
    assert refused.value.error_type in (None, "BAD_REQUEST")


@pytest.mark.parametrize("last_id", ["x", "-1", "1 2"])
def test_a_bad_last_event_id_is_400(shared, token, last_id):
    with pytest.raises(Refused) as refused:
        Stream(shared, token, "t", last_id=last_id)
    assert (refused.value.status, refused.value.error_type) == (400, "BAD_REQUEST")


# ---- gaps


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_not_retained_any_more_is_a_gap_and_then_all_that_is(make_cluster, kind):
    cluster = make_cluster(events={"retention": "64KiB"}).start()
    node, token = cluster.nodes[0], cluster.create_key("tenant")
    first = publish_all(node, token, "t", ["first"])[0]
    indexes = sorted(publish_all(node, token, "t", ["x" * 1000] * 300))
    with kind(node, token, "t", after=first) as subscriber:
        subscriber.wait_index(indexes[-1])
        assert set(subscriber.frames[0]) == {"gap"}
        gap = subscriber.frames[0]["gap"]
        assert set(gap) == {"from", "to"} and gap["from"] == first + 1
        assert len(subscriber.gaps) == 1
        behind = [index for index in indexes if index > gap["to"]]
        assert subscriber.indexes == behind
        assert 20 <= len(behind) <= 70, "about as many as fit into what is to be retained"
    with kind(node, token, "t", after=gap["to"]) as subscriber:  # it continues there
        subscriber.wait(len(behind))
        assert subscriber.indexes == behind and not subscriber.gaps
    with kind(node, token, "t", after=indexes[-1]) as subscriber:
        index = publish_all(node, token, "t", ["new"])[0]
        subscriber.wait_index(index)
        assert subscriber.data == ["new"] and not subscriber.gaps


def test_a_gap_resumes_by_its_id(make_cluster):
    """A stream that ends right behind its gap goes on behind it."""
    cluster = make_cluster(events={"retention": "16KiB"}).start()
    node, token = cluster.nodes[0], cluster.create_key("tenant")
    publish_all(node, token, "other", ["x" * 1000] * 100)
    with Stream(node, token, "t", last_id=0) as stream:
        stream.wait(1)
        to = stream.gaps[0]["to"]
    assert stream.last_id == to
    with Stream(node, token, "t", last_id=stream.last_id) as stream:
        index = publish_all(node, token, "t", ["new"])[0]
        stream.wait_index(index)
        assert stream.data == ["new"] and not stream.gaps


def test_a_live_subscriber_sees_no_gap_however_little_is_retained(make_cluster):
    cluster = make_cluster(events={"retention": "1KiB"}).start()
    node, token = cluster.nodes[0], cluster.create_key("tenant")
    with Subscriber(node, token, "t") as subscriber, Stream(node, token, "t") as stream:
        for n in range(100):  # each is answered only when it was applied
            publish_all(node, token, "t", ["x" * 3000])
            subscriber.wait(n + 1)
            stream.wait(n + 1)
        assert not subscriber.gaps and not stream.gaps


def test_a_reload_changes_what_is_retained(make_cluster):
    cluster = make_cluster(events={"retention": "1MiB"}).start()
    node, token = cluster.nodes[0], cluster.create_key("tenant")

    def retained():
        with Subscriber(node, token, "t", after=0) as subscriber:
            subscriber.wait_index(publish_all(node, token, "t", ["last"])[0])
            return len(subscriber.events)

    publish_all(node, token, "t", ["x" * 1000] * 300)
    assert retained() == 301
    for size, least, most in (("64KiB", 30, 70), ("256KiB", 150, 260)):
        position = node.log.size()
        cluster.rewrite(events={"retention": size})
        node.process.send_signal(signal.SIGHUP)
        node.log.wait_for("config_reloaded", position)
        publish_all(node, token, "t", ["x" * 1000] * 300, 2)
        assert least <= retained() <= most


def test_retained_events_outlast_a_restart_of_the_node(cluster, node):
    token = cluster.create_key("tenant")
    indexes = sorted(publish_all(node, token, "t", list(range(100))))
    assert node.stop() == 0
    node.start()
    with Subscriber(node, token, "t", after=indexes[9]) as subscriber:
        subscriber.wait(90)
        assert subscriber.indexes == indexes[10:] and not subscriber.gaps
        index = publish_all(node, token, "t", ["new"])[0]
        subscriber.wait_index(index)
        assert index > indexes[-1] and len(subscriber.texts) == 91
    node.kill()
    node.start()
    with Stream(node, token, "t", after=0) as stream:
        stream.wait(101)
        assert stream.indexes == [*indexes, index] and not stream.gaps


# ---- publishing


BAD = [
    ({"topic": "t"}, "BAD_REQUEST"),
    ({"data": 1}, "BAD_REQUEST"),
    ({}, "BAD_REQUEST"),
    ([], "BAD_REQUEST"),
    ({"topic": "", "data": 1}, "BAD_REQUEST"),
    ({"topic": None, "data": 1}, "BAD_REQUEST"),
    ({"topic": 7, "data": 1}, "BAD_REQUEST"),
    ({"topic": ["t"], "data": 1}, "BAD_REQUEST"),
    ({"topic": "t*", "data": 1}, "BAD_REQUEST"),
    ({"topic": "*", "data": 1}, "BAD_REQUEST"),
    ({"topic": "a\0b", "data": 1}, "BAD_REQUEST"),
    ({"topic": "x" * 481, "data": 1}, "KEY_TOO_LONG"),
    ({"topic": "é" * 241, "data": 1}, "KEY_TOO_LONG"),
    (b'{"topic":"t","data":}', "BAD_REQUEST"),
    (b'{"topic":"t","data":01}', "BAD_REQUEST"),
    (b'{"topic":"t","data":NaN}', "BAD_REQUEST"),
    (b'{"topic":"t","data":1.}', "BAD_REQUEST"),
    (b'{"topic":"t","data":"\xff"}', "BAD_REQUEST"),
    (b'{"topic":"t","data":"\xed\xa0\x80"}', "BAD_REQUEST"),
    (b'{"topic":"t\xff","data":1}', "BAD_REQUEST"),
    (b'{"topic":"t","data":"a\nb"}', "BAD_REQUEST"),
    (b'{"topic":"t","data":[1,]}', "BAD_REQUEST"),
    (b'{"topic":"t","data":{"a":1', "BAD_REQUEST"),
    (b'{"topic":"t","data":1} 2', "BAD_REQUEST"),
    (b'{"topic":"t","data":1,"data":2}', "BAD_REQUEST"),
    (b"", "BAD_REQUEST"),
]


@pytest.mark.parametrize("body,error_type", BAD, ids=lambda value: repr(value)[:40])
def test_what_cannot_be_published_is_400_and_nothing_happens(api, listen, body, error_type):
    subscriber = listen("*")
    expect(api.post("/events", body), 400, error_type)
    expect(api.publish("good", 1), 200)
    subscriber.wait(1)
    assert subscriber.data == [1]


def test_data_nested_without_end_harm_nobody(api):
    for open_, close in (("[", "]"), ('{"a":', "}")):
        body = b'{"topic":"t","data":%s1%s}' % (open_.encode() * 100_000, close.encode() * 100_000)
        answer = api.call("POST", "/events", body)
        assert answer.status in (200, 400), answer
        expect(api.publish("t", 1), 200)


def test_data_up_to_the_limit_can_be_published(api, listen):
    subscriber = listen("t")
    expect(api.publish("t", "x" * ((1 << 20) - 2)), 200)
    assert len(subscriber.wait(1)[0]["data"]) == (1 << 20) - 2
    expect(api.publish("t", "x" * (1 << 20)), 400, "VALUE_TOO_LARGE")
    answer = api.publish("t", "x" * (2 << 20))
    expect(answer, 413, "PAYLOAD_TOO_LARGE")


def test_without_a_token_nothing_is_published(shared, listen):
    subscriber = listen("*")
    client = shared.client()
    expect(client.publish("t", 1), 401, "AUTHENTICATION_FAILED")
    client.token = "insi_" + "A" * 43
    expect(client.publish("t", 1), 401, "AUTHENTICATION_FAILED")
    client.close()
    assert not subscriber.texts


def test_the_rate_limit_of_events(make_cluster):
    cluster = make_cluster(rateLimiters={"events": {"limit": 20, "burst": 5}}).start()
    client = cluster.tenant("eager")
    answers = [client.publish("t", n) for n in range(30)]
    refused = [answer for answer in answers if answer.status == 429]
    assert answers[0].status == 200 and len(refused) >= 10
    for answer in refused:
        expect(answer, 429, "RATE_LIMITED")
        assert int(answer.headers["Retry-After"]) >= 1
    expect(client.set("k", "v"), 200)
    accepted = [n for n, answer in enumerate(answers) if answer.status == 200]

    def subscribed():
        try:
            return Subscriber(cluster.nodes[0], client.token, "t", after=0)
        except Refused as refused:
            assert refused.status == 429
            return None

    with until(subscribed, "the rate allows a subscription", 10, 0.1) as subscriber:
        subscriber.wait(len(accepted))
        assert subscriber.data == accepted
    client.close()


# ---- several gateway processes


def test_it_does_not_matter_which_gateway_process_has_whom(make_cluster):
    cluster = make_cluster(gateway={"processes": 2}).start()
    node, token = cluster.nodes[0], cluster.create_key("tenant")
    subscribers = [kind(node, token, "t*") for kind in KINDS for _ in range(6)]
    indexes = publish_all(node, token, ["t1", "t2"] * 100, list(range(200)))
    for subscriber in subscribers:
        subscriber.wait(200)
        assert subscriber.texts == subscribers[0].texts
        assert subscriber.indexes == sorted(indexes)
        subscriber.close()
