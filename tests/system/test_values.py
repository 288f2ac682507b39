"""Values: every row of the contract, every answer of it."""

import concurrent.futures

import pytest

from harness.client import Client, expect

KEY_MAX = 480
VALUE_MAX = 1 << 20


# ---- set, get, delete


def test_what_was_set_is_there_with_the_index_of_its_write(api):
    index = expect(api.set("greeting", "hello"), 200).index
    answer = expect(api.get("greeting"), 200)
    assert answer.json == {"data": "hello", "index": index}
    assert answer.headers["Content-Type"].startswith("application/json")


def test_a_set_replaces_the_value_and_its_index(api):
    first = expect(api.set("key", "one"), 200).index
    second = expect(api.set("key", "two"), 200).index
    assert second > first
    assert expect(api.get("key"), 200).json == {"data": "two", "index": second}


def test_setting_the_same_value_again_is_a_write_like_any_other(api):
    first = expect(api.set("key", "same"), 200).index
    second = expect(api.set("key", "same"), 200).index
    assert second > first and expect(api.get("key"), 200).index == second


def test_the_empty_string_is_a_value(api):
    expect(api.set("empty", ""), 200)
    assert expect(api.get("empty"), 200).data == ""


def test_getting_what_is_absent_is_404_and_names_the_key(api):
    answer = expect(api.get("nobody"), 404, "NOT_FOUND")
    assert "nobody" in answer.json["message"]


def test_delete_removes_and_is_idempotent(api):
    expect(api.set("key", "value"), 200)
    first = expect(api.delete("key"), 200).index
    expect(api.get("key"), 404, "NOT_FOUND")
    second = expect(api.delete("key"), 200).index
    assert second > first
    expect(api.delete("never was"), 200)


def test_a_deleted_key_can_be_set_again(api):
    for round_ in range(3):
        expect(api.set("key", str(round_)), 200)
        assert expect(api.get("key"), 200).data == str(round_)
        expect(api.delete("key"), 200)
        expect(api.get("key"), 404)


def test_the_index_grows_with_every_write(api):
    answers = [
        api.set("a", "1"),
        api.bump("n", 1),
        api.delete("a"),
        api.setnx("a", "2"),
        api.cas("a", "2", "3"),
        api.batchset([("b", "1"), ("c", "2")]),
        api.batchdelete(["b", "c"]),
        api.set("a", "4"),
    ]
    indexes = [expect(answer, 200).index for answer in answers]
    assert indexes == sorted(set(indexes))
    assert all(isinstance(index, int) for index in indexes)


def test_a_stale_read_is_answered(api):
    index = expect(api.set("key", "value"), 200).index
    answer = expect(api.get("key", consistency="stale"), 200)
    assert answer.json == {"data": "value", "index": index}


def test_an_unknown_consistency_is_refused(api):
    expect(api.set("key", "value"), 200)
    expect(api.get("key", consistency="perhaps"), 400, "BAD_REQUEST")


# ---- setnx


def test_setnx_sets_only_what_is_absent(api):
    index = expect(api.setnx("lock", "mine"), 200).index
    expect(api.setnx("lock", "yours"), 409, "CONFLICT")
    assert expect(api.get("lock"), 200).json == {"data": "mine", "index": index}
    expect(api.delete("lock"), 200)
    expect(api.setnx("lock", "yours"), 200)


def test_setnx_refuses_a_key_with_an_empty_value_too(api):
    expect(api.set("key", ""), 200)
    expect(api.setnx("key", "value"), 409, "CONFLICT")


def test_of_many_setnx_at_once_exactly_one_wins(shared, token, api):
    def attempt(number):
        client = Client(shared.http_port, token)
        statuses = [client.setnx(f"race{race}", str(number)).status for race in range(20)]
        client.close()
        return statuses

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        results = list(pool.map(attempt, range(8)))
    for race in range(20):
        column = [statuses[race] for statuses in results]
        assert sorted(column) == [200] + [409] * 7
        winner = column.index(200)
        assert expect(api.get(f"race{race}"), 200).data == str(winner)


# ---- cas


def test_cas_replaces_only_the_expected_value(api):
    expect(api.set("key", "old"), 200)
    expect(api.cas("key", "other", "new"), 409, "CONFLICT")
    assert expect(api.get("key"), 200).data == "old"
    index = expect(api.cas("key", "old", "new"), 200).index
    assert expect(api.get("key"), 200).json == {"data": "new", "index": index}


def test_cas_of_an_absent_key_is_a_conflict(api):
    expect(api.cas("absent", "", "new"), 409, "CONFLICT")
    expect(api.get("absent"), 404)


def test_cas_compares_bytes_not_prefixes(api):
    expect(api.set("key", "abc"), 200)
    for other in ("", "ab", "abcd", "ABC", "abc\u0000"):
        expect(api.cas("key", other, "new"), 409, "CONFLICT")
    expect(api.cas("key", "abc", ""), 200)
    expect(api.cas("key", "", "again"), 200)


def test_a_counter_built_on_cas_loses_no_increment(shared, token, api):
    expect(api.set("counter", "0"), 200)

    def add(times):
        client, done = Client(shared.http_port, token), 0
        while done < times:
            now = expect(client.get("counter"), 200).data
            done += client.cas("counter", now, str(int(now) + 1)).status == 200
        client.close()

    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        list(pool.map(add, [25] * 6))
    assert expect(api.get("counter"), 200).data == "150"


# ---- bump


@pytest.mark.parametrize("by", [7, "7"], ids=["number", "string"])
def test_bump_takes_an_integer_as_number_or_string(api, by):
    answer = expect(api.bump("n", by), 200)
    assert answer.json["value"] == "7" and isinstance(answer.index, int)


def test_bump_counts_from_nothing_and_never_below_zero(api):
    assert expect(api.bump("n", "-3"), 200).json["value"] == "0"
    assert expect(api.bump("n", 10), 200).json["value"] == "10"
    assert expect(api.bump("n", -3), 200).json["value"] == "7"
    assert expect(api.bump("n", -100), 200).json["value"] == "0"
    assert expect(api.bump("n", 0), 200).json["value"] == "0"


def test_a_bumped_value_is_a_value(api):
    answer = expect(api.bump("n", 5), 200)
    assert expect(api.get("n"), 200).json == {"data": "5", "index": answer.index}
    expect(api.set("n", "41"), 200)
    assert expect(api.bump("n", 1), 200).json["value"] == "42"


@pytest.mark.parametrize(
    "value", ["", "seven", "1.5", "7 ", " 7", "0x10", "1e3", "７", "-", "7\u0000"]
)
def test_bump_of_what_is_not_a_number_is_refused(api, value):
    index = expect(api.set("text", value), 200).index
    expect(api.bump("text", 1), 409, "NOT_A_NUMBER")
    assert expect(api.get("text"), 200).json == {"data": value, "index": index}


def test_bump_of_a_number_beyond_64_bits_is_an_overflow(api):
    expect(api.set("n", "9" * 20), 200)
    expect(api.bump("n", -1), 409, "OVERFLOW")
    assert expect(api.get("n"), 200).data == "9" * 20


def test_bump_never_wraps(api):
    top = 2**63 - 1
    assert expect(api.bump("n", str(top)), 200).json["value"] == str(top)
    expect(api.bump("n", 1), 409, "OVERFLOW")
    assert expect(api.get("n"), 200).data == str(top)
    expect(api.bump("n", top), 409, "OVERFLOW")
    assert expect(api.bump("n", -1), 200).json["value"] == str(top - 1)
    assert expect(api.bump("n", str(-(2**63))), 200).json["value"] == "0"


@pytest.mark.parametrize(
    "by",
    [
        "",
        "one",
        "1.5",
        1.5,
        "1e3",
        1e30,
        "9223372036854775808",
        "-9223372036854775809",
        2**63,
        -(2**63) - 1,
        True,
        None,
        [1],
        {"n": 1},
        " 1",
        "1 ",
        "0x1",
        "--1",
    ],
)
def test_bump_by_what_is_no_64_bit_integer_is_a_bad_request(api, by):
    expect(api.bump("n", by), 400, "BAD_REQUEST")
    expect(api.get("n"), 404)


def test_bumps_of_many_clients_add_up(shared, token, api):
    def add(_):
        client = Client(shared.http_port, token)
        seen = [int(expect(client.bump("n", 1), 200).json["value"]) for _ in range(50)]
        client.close()
        return seen

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        seen = [number for numbers in pool.map(add, range(8)) for number in numbers]
    assert sorted(seen) == list(range(1, 401))
    assert expect(api.get("n"), 200).data == "400"


# ---- batches


def test_a_batch_is_one_write_with_one_index(api):
    index = expect(api.batchset([(f"k{n}", f"v{n}") for n in range(100)]), 200).index
    for n in (0, 42, 99):
        assert expect(api.get(f"k{n}"), 200).json == {"data": f"v{n}", "index": index}
    later = expect(api.batchdelete([f"k{n}" for n in range(0, 100, 2)] + ["never was"]), 200).index
    assert later > index
    assert api.iterate_all("k") == sorted(f"k{n}" for n in range(1, 100, 2))


@pytest.mark.parametrize(
    "spoiler",
    [
        {"key": "", "value": "v"},
        {"key": "k" * (KEY_MAX + 1), "value": "v"},
        {"key": "k"},
        {"value": "v"},
        {"key": "k", "value": 7},
        {"key": 7, "value": "v"},
        {"key": "k\u0000", "value": ""},
        "text",
        None,
        7,
        [],
        {"key": "k", "value": "v" * (VALUE_MAX + 1)},
    ],
)
def test_a_batch_with_one_bad_item_sets_nothing(api, spoiler):
    items = [{"key": f"k{n}", "value": "v"} for n in range(10)]
    items.insert(7, spoiler)
    answer = api.post("/batchset", {"items": items})
    assert answer.status == 400, answer
    assert api.iterate_all("") == []


@pytest.mark.parametrize("spoiler", ["", "k" * (KEY_MAX + 1), 7, None, {}, "k\u0000"])
def test_a_batch_with_one_bad_key_deletes_nothing(api, spoiler):
    expect(api.batchset([("k1", "v"), ("k2", "v")]), 200)
    answer = api.post("/batchdelete", {"keys": ["k1", spoiler, "k2"]})
    assert answer.status == 400, answer
    assert api.iterate_all("") == ["k1", "k2"]


def test_a_batch_holds_a_thousand_items_and_no_more(api):
    pairs = [(f"k{n:04d}", "v") for n in range(1001)]
    expect(api.batchset(pairs), 400, "BATCH_TOO_LARGE")
    assert api.iterate_all("") == []
    expect(api.batchset(pairs[:1000]), 200)
    assert len(api.iterate_all("")) == 1000
    expect(api.batchdelete([key for key, _ in pairs]), 400, "BATCH_TOO_LARGE")
    assert len(api.iterate_all("")) == 1000
    expect(api.batchdelete([key for key, _ in pairs[:1000]]), 200)
    assert api.iterate_all("") == []


def test_readers_see_all_of_a_batch_or_nothing(shared, token, api):
    names = [f"part{n}" for n in range(5)]
    expect(api.batchset([(name, "0") for name in names]), 200)

    def write():
        client = Client(shared.http_port, token)
        for round_ in range(1, 200):
            expect(client.batchset([(name, str(round_)) for name in names]), 200)
        client.close()

    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        writing = pool.submit(write)
        while not writing.done():
            page = expect(api.iterate("part", values="true"), 200).data
            assert len({item["value"] for item in page}) == 1, page
        writing.result()


# ---- limits to the byte


def test_the_longest_key_works_and_one_byte_more_does_not(api):
    longest = "k" * KEY_MAX
    expect(api.set(longest, "value"), 200)
    assert expect(api.get(longest), 200).data == "value"
    assert api.iterate_all("k") == [longest]
    expect(api.delete(longest), 200)
    for answer in (
        api.set(longest + "k", "value"),
        api.get(longest + "k"),
        api.delete(longest + "k"),
        api.setnx(longest + "k", "v"),
        api.cas(longest + "k", "v", "w"),
        api.bump(longest + "k", 1),
    ):
        expect(answer, 400, "KEY_TOO_LONG")


def test_a_keys_length_is_counted_in_bytes(api):
    fits = "ü" * (KEY_MAX // 2)
    expect(api.set(fits, "value"), 200)
    assert expect(api.get(fits), 200).data == "value"
    expect(api.set(fits + "ü", "value"), 400, "KEY_TOO_LONG")


def test_the_longest_value_works_and_one_byte_more_does_not(api):
    longest = "v" * VALUE_MAX
    expect(api.set("key", longest), 200)
    assert expect(api.get("key"), 200).data == longest
    expect(api.set("key", longest + "v"), 400, "VALUE_TOO_LARGE")
    assert expect(api.get("key"), 200).data == longest
    expect(api.setnx("other", longest + "v"), 400, "VALUE_TOO_LARGE")
    expect(api.cas("key", "v", longest + "v"), 400, "VALUE_TOO_LARGE")
    expect(api.cas("key", longest, "short"), 200)
    assert expect(api.get("key"), 200).data == "short"


def test_limits_follow_the_configuration(make_cluster):
    cluster = make_cluster(limits={"maxBody": "8KiB", "maxValue": "100"}).start()
    client = cluster.tenant("small")
    expect(client.set("key", "v" * 100), 200)
    expect(client.set("key", "v" * 101), 400, "VALUE_TOO_LARGE")
    expect(client.set("key", "v" * 9000), 413, "PAYLOAD_TOO_LARGE")
    client.close()


# ---- concurrent readers


def test_a_client_reads_its_own_writes_from_any_connection(shared, token, api):
    other = Client(shared.http_port, token)
    for n in range(200):
        index = expect(api.set("key", str(n)), 200).index
        assert expect(other.get("key"), 200).json == {"data": str(n), "index": index}
    other.close()
