"""Walking keys: order, prefixes and exact pages."""

import random

import pytest

from harness.client import expect


@pytest.fixture
def filled(api):
    """Keys in byte order, among neighbours that a careless prefix would catch."""
    keys = [f"fruit/{n:03d}" for n in range(250)] + [
        "fruit",
        "fruit.",
        "fruit0",
        "frui",
        "g",
        "fruis~",
    ]
    random.Random(1).shuffle(keys)
    expect(api.batchset([(key, f"value of {key}") for key in keys]), 200)
    return api


def expected(number):
    return [f"fruit/{n:03d}" for n in range(250)][number]


def test_an_empty_scope_lists_as_nothing(api):
    answer = expect(api.iterate(""), 200)
    assert answer.json == {"data": []}


def test_nothing_found_is_an_empty_list_not_an_error(filled):
    assert expect(filled.iterate("vegetables/"), 200).json == {"data": []}


def test_keys_come_in_byte_order_and_the_default_page_is_100(filled):
    page = expect(filled.iterate("fruit/"), 200).json
    assert page["data"] == expected(slice(0, 100))
    assert "next" in page


def test_a_prefix_matches_nothing_beside_it(filled):
    assert filled.iterate_all("fruit/") == expected(slice(None))
    assert filled.iterate_all("fruit") == ["fruit", "fruit."] + expected(slice(None)) + ["fruit0"]
    assert filled.iterate_all("fruit0") == ["fruit0"]
    assert filled.iterate_all("fruit/1") == expected(slice(100, 200))


def test_an_empty_prefix_or_none_lists_the_whole_scope(filled):
    everything = sorted(
        expected(slice(None)) + ["fruit", "fruit.", "fruit0", "frui", "g", "fruis~"]
    )
    assert filled.iterate_all("") == everything
    assert expect(filled.get_path("/iterate/prefix", limit=1000), 200).data == everything


@pytest.mark.parametrize("limit", [1, 2, 7, 100, 249, 250, 251, 1000])
def test_pages_by_next_are_exact_whatever_their_size(filled, limit):
    found, after, pages = [], {}, 0
    while True:
        page = expect(filled.iterate("fruit/", limit=limit, **after), 200).json
        found += page["data"]
        pages += 1
        assert len(page["data"]) <= limit
        if "next" not in page:
            break
        assert len(page["data"]) == limit, "a page that is not the last is full"
        after = {"after": page["next"]}
    assert found == expected(slice(None))
    assert pages == -(-250 // limit), "next only while more follow"


@pytest.mark.parametrize("limit", [1, 99, 125])
def test_pages_by_offset_are_exact(filled, limit):
    found, offset = [], 0
    while True:
        page = expect(filled.iterate("fruit/", offset=offset, limit=limit), 200).json
        found += page["data"]
        offset += len(page["data"])
        if "next" not in page:
            break
    assert found == expected(slice(None))


def test_an_offset_beyond_the_end_finds_nothing(filled):
    assert expect(filled.iterate("fruit/", offset=249), 200).json == {"data": ["fruit/249"]}
    assert expect(filled.iterate("fruit/", offset=250), 200).json == {"data": []}
    assert expect(filled.iterate("fruit/", offset=10**9), 200).json == {"data": []}


def test_after_starts_behind_a_key_that_need_not_exist(filled):
    assert expect(filled.iterate("fruit/", after="fruit/010", limit=2), 200).data == [
        "fruit/011",
        "fruit/012",
    ]
    assert expect(filled.iterate("fruit/", after="fruit/010x", limit=2), 200).data == [
        "fruit/011",
        "fruit/012",
    ]
    assert expect(filled.iterate("fruit/", after="a", limit=1), 200).data == ["fruit/000"]
    assert expect(filled.iterate("fruit/", after="fruit/249"), 200).json == {"data": []}
    assert expect(filled.iterate("fruit/", after="z"), 200).json == {"data": []}


def test_pages_stay_exact_while_keys_come_and_go(filled):
    """What was there all the time appears exactly once."""
    found, after = [], {}
    while True:
        page = expect(filled.iterate("fruit/", limit=20, **after), 200).json
        found += page["data"]
        if "next" not in page:
            break
        after = {"after": page["next"]}
        expect(filled.delete(page["data"][0]), 200)
        expect(filled.set(page["data"][-1] + "+", "new"), 200)
    assert [key for key in found if not key.endswith("+")] == expected(slice(None))


def test_with_values_items_are_key_and_value(filled):
    page = expect(filled.iterate("fruit/", limit=2, values="true"), 200).json
    assert page["data"] == [
        {"key": key, "value": f"value of {key}"} for key in expected(slice(0, 2))
    ]
    assert "next" in page


def test_values_false_is_as_if_it_were_not_given(filled):
    assert expect(filled.iterate("fruit/", limit=1, values="false"), 200).data == ["fruit/000"]


def test_many_large_values_come_page_by_page(api):
    """A page of values has a bound of bytes as well as of items, and nothing is left out."""
    for n in range(12):
        expect(api.set(f"large{n:02d}", chr(97 + n) * 500_000), 200)
    found = api.iterate_all("large", values="true")
    assert [item["key"] for item in found] == [f"large{n:02d}" for n in range(12)]
    assert all(item["value"] == chr(97 + n) * 500_000 for n, item in enumerate(found))


def test_order_is_by_bytes_for_all_of_unicode(api):
    keys = [
        "A",
        "a",
        "B",
        "é",
        "z",
        "ä",
        "中",
        "\U0001f600",
        "\uffff",
        "~",
        "a\u0301",
        "\u0001",
        "a b",
    ]
    expect(api.batchset([(key, key) for key in keys]), 200)
    assert api.iterate_all("", limit=3) == sorted(keys, key=lambda key: key.encode())


@pytest.mark.parametrize("prefix", ["\u00ff", "\U0010ffff", "a\U0010ffff"])
def test_a_prefix_of_the_highest_characters_ends_where_it_should(api, prefix):
    expect(api.batchset([(prefix, "1"), (prefix + "x", "2"), ("b", "3")]), 200)
    assert api.iterate_all(prefix) == [prefix, prefix + "x"]


@pytest.mark.parametrize(
    "parameters",
    [
        {"limit": "0x10"},
        {"limit": "-1"},
        {"limit": "ten"},
        {"limit": "1001"},
        {"limit": ""},
        {"limit": "1.5"},
        {"limit": "99999999999999999999"},
        {"offset": "-1"},
        {"offset": "x"},
        {"offset": "99999999999999999999999"},
        {"values": "perhaps"},
        {"prefix": b"\xff\xfe"},
        {"after": b"\xc3"},
        {"prefix": "a\u0000b"},
        {"after": "\u0000"},
    ],
)
def test_bad_parameters_are_refused(filled, parameters):
    answer = filled.iterate(**{"prefix": "fruit/", **parameters})
    assert answer.status == 400 and answer.error_type in ("BAD_REQUEST", "KEY_TOO_LONG"), answer
