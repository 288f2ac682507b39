"""Any string comes back byte for byte, as key and as value, however it was written in JSON."""

import json
import random

import pytest

from harness.client import expect

BLOCK = 4096
LAST = 0x110000


def characters(first, last):
    return "".join(chr(code) for code in range(first, last) if not 0xD800 <= code < 0xE000)


@pytest.mark.parametrize("escaped", [False, True], ids=["utf8", "escaped"])
def test_every_character_of_unicode_survives_in_a_value(api, escaped):
    """All 1,112,064 of them, written as UTF-8 and as \\u escapes."""
    for first in range(0, LAST, 16 * BLOCK):
        text = characters(first, first + 16 * BLOCK)
        body = json.dumps({"key": "text", "value": text}, ensure_ascii=escaped).encode()
        expect(api.post("/set", body), 200)
        assert expect(api.get("text"), 200).data == text


def test_every_character_but_nul_survives_in_a_key(api):
    """A few hundred keys hold every character of the basic plane once, and samples of the rest."""
    keys = [characters(first, first + 100) for first in range(1, 0x10000, 100)]
    keys = [key for key in keys if key] + [chr(0x10000 + 997 * n) for n in range(1000)]
    for start in range(0, len(keys), 500):
        expect(api.batchset([(key, key[::-1]) for key in keys[start : start + 500]]), 200)
    for key in random.Random(7).sample(keys, 150):
        assert expect(api.get(key), 200).data == key[::-1]
    found = api.iterate_all("", values="true")
    assert [item["key"] for item in found] == sorted(keys, key=lambda key: key.encode())
    assert all(item["value"] == item["key"][::-1] for item in found)


@pytest.mark.parametrize(
    "value",
    [
        "\u0000",
        "\u0000\u0000",
        "before\u0000after",
        '\n\r\t\b\f"\\/',
        "\u001f\u007f\u0080\u009f",
        "\u2028\u2029",
        "\ufeffBOM",
        "\uffff\ufffe",
        "e\u0301 is not é",
        "ﷺ",
        "\U0010ffff",
        " ",
        "  leading and trailing  ",
        "true",
        "null",
        "{}",
        "'; DROP TABLE values; --",
        "%00%0a",
        "+",
        "a&b=c",
        "../../etc/passwd",
        "<script>alert(1)</script>",
        "\x1b[31mred\x1b[0m",
    ],
)
def test_awkward_values_survive_every_call(api, value):
    expect(api.set("key", value), 200)
    assert expect(api.get("key"), 200).data == value
    expect(api.cas("key", value, "other"), 200)
    expect(api.cas("key", "other", value), 200)
    assert expect(api.iterate("key", values="true"), 200).data == [{"key": "key", "value": value}]
    expect(api.batchset([("batch", value)]), 200)
    assert expect(api.get("batch"), 200).data == value
    expect(api.setnx("nx", value), 200)
    assert expect(api.get("nx"), 200).data == value


@pytest.mark.parametrize(
    "key",
    [
        "\u0001",
        "\n",
        '"quoted"',
        "back\\slash",
        "with space",
        " ",
        "%",
        "%41",
        "a+b",
        "a/b/../c",
        "/",
        "?",
        "#",
        "a&b=c",
        "\u007f",
        "\ufeff",
        "é",
        "e\u0301",
        "\uffff",
        "\U0001f600",
        "key\u2028",
        ".",
        "..",
    ],
)
def test_awkward_keys_work_in_every_call(api, key):
    expect(api.set(key, "1"), 200)
    assert expect(api.get(key), 200).data == "1"
    assert expect(api.bump(key, 1), 200).json["value"] == "2"
    expect(api.setnx(key, "x"), 409)
    expect(api.cas(key, "2", "3"), 200)
    assert api.iterate_all("") == [key]
    assert api.iterate_all(key) == [key]
    expect(api.batchdelete([key]), 200)
    expect(api.get(key), 404)


def test_keys_that_look_alike_are_different_keys(api):
    pairs = [
        ("é", "composed"),
        ("e\u0301", "decomposed"),
        ("a", "latin"),
        ("а", "cyrillic"),
        ("A", "upper"),
    ]
    expect(api.batchset(pairs), 200)
    for key, value in pairs:
        assert expect(api.get(key), 200).data == value


def test_random_strings_survive(api):
    source = random.Random(20261124)
    for _ in range(40):
        length = source.choice([1, 10, 1000, 30000])
        text = "".join(
            chr(
                source.choice(
                    [
                        source.randrange(0x80),
                        source.randrange(0xD800),
                        source.randrange(0xE000, LAST),
                    ]
                )
            )
            for _ in range(length)
        )
        body = json.dumps(
            {"key": "random", "value": text}, ensure_ascii=source.random() < 0.5
        ).encode()
        expect(api.post("/set", body), 200)
        assert expect(api.get("random"), 200).data == text


def test_the_answer_is_valid_json_in_utf_8_for_other_parsers_too(api):
    """Control characters must be escaped, the rest may not be damaged by it."""
    text = characters(0, 0x300) + "\u2028\ud7ff\ue000\U0001f600"
    expect(api.set("key", text), 200)
    body = expect(api.get("key"), 200).body
    body.decode("utf-8")
    assert not any(byte < 0x20 for byte in body)
    assert json.loads(body)["data"] == text
