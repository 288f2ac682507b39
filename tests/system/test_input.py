"""Bad input: each kind has its defined answer, and the node goes on."""

import pytest

from harness.client import BASE, expect, query
from harness.raw import Raw, request

POSTS = {
    "/set": {"key": "k", "value": "v"},
    "/delete": {"key": "k"},
    "/batchset": {"items": [{"key": "k", "value": "v"}]},
    "/batchdelete": {"keys": ["k"]},
    "/setnx": {"key": "k", "value": "v"},
    "/cas": {"key": "k", "old_value": "v", "new_value": "w"},
    "/bump": {"key": "k", "value": 1},
}


def still_serves(api):
    expect(api.set("alive", "yes"), 200)
    assert expect(api.get("alive"), 200).data == "yes"


# ---- JSON

MALFORMED = [
    b"",
    b" ",
    b"{",
    b"}",
    b"[",
    b"{}x",
    b'{"key":"k","value":"v"',
    b'{"key":"k","value":"v"}}',
    b'{"key":"k","value":"v"} {}',
    b'{"key":"k","value":"v",}',
    b'{"key":"k" "value":"v"}',
    b'{key:"k",value:"v"}',
    b"{'key':'k','value':'v'}",
    b'{"key":"k","value":v}',
    b'{"key":"k","value":"v}',
    b'{"key":"k","value":"\\x41"}',
    b'{"key":"k","value":"\\u12"}',
    b'{"key":"k","value":"\\u12G4"}',
    b'{"key":"k","value":"line\nbreak"}',
    b'{"key":"k","value":"tab\there"}',
    b'{"key":"k","value":"\x00"}',
    b"\xef\xbb\xbf{}",
    b"key=k&value=v",
    b"<key>k</key>",
    b"// comment\n{}",
    b'{"key":"k","value":NaN}',
    b'{"key":"k","value":Infinity}',
    b'{"key":"k","value":01}',
    b"nul",
    b"\x00",
    b"\xff\xff",
]


@pytest.mark.parametrize("body", MALFORMED, ids=repr)
def test_malformed_json_is_a_bad_request(api, body):
    expect(api.post("/set", body), 400, "BAD_REQUEST")
    expect(api.get("k"), 404)
    still_serves(api)


@pytest.mark.parametrize("path", POSTS)
@pytest.mark.parametrize("body", [b"null", b"[]", b'"text"', b"7", b"true", b"{}", b"[{}]"])
def test_json_of_another_shape_is_a_bad_request(api, path, body):
    expect(api.post(path, body), 400, "BAD_REQUEST")


@pytest.mark.parametrize("path", POSTS)
def test_every_field_is_required_and_has_its_type(api, path):
    good = POSTS[path]
    for field in good:
        without = {name: value for name, value in good.items() if name != field}
        expect(api.post(path, without), 400, "BAD_REQUEST")
        for wrong in (None, True, 1.5, [], {}, [[]], {"a": 1}):
            if wrong == [] and isinstance(good[field], list):
                continue
            expect(api.post(path, {**good, field: wrong}), 400, "BAD_REQUEST")
    still_serves(api)


def test_fields_of_text_take_no_numbers(api):
    expect(api.post("/set", {"key": 1, "value": "v"}), 400, "BAD_REQUEST")
    expect(api.post("/set", {"key": "k", "value": 1}), 400, "BAD_REQUEST")
    expect(api.post("/cas", {"key": "k", "old_value": 1, "new_value": "v"}), 400, "BAD_REQUEST")


@pytest.mark.parametrize(
    "body",
    [
        b'{"key":"k","key":"j","value":"v"}',
        b'{"key":"k","value":"v","value":"w"}',
        b'{"key":"k","value":"v","\\u006bey":"j"}',
    ],
)
def test_a_field_given_twice_is_a_bad_request(api, body):
    """Which of them is meant? Two parsers may differ; nobody may profit from that."""
    expect(api.post("/set", body), 400, "BAD_REQUEST")
    expect(api.get("k"), 404)
    expect(api.get("j"), 404)


@pytest.mark.parametrize("depth", [33, 1000, 100_000])
def test_deeply_nested_json_is_a_bad_request(api, depth):
    for opening, closing in ((b"[", b"]"), (b'{"a":', b"}")):
        body = b'{"key":"k","value":' + opening * depth + b"1" + closing * depth + b"}"
        expect(api.post("/set", body), 400, "BAD_REQUEST")
        expect(api.post("/set", opening * depth), 400, "BAD_REQUEST")
    still_serves(api)


@pytest.mark.parametrize(
    "bad",
    [
        b"\xff",
        b"\xc3",
        b"\xc0\x80",
        b"\xc1\xbf",
        b"\xe0\x80\x80",
        b"\xed\xa0\x80",
        b"\xed\xbf\xbf",
        b"\xf0\x80\x80\x80",
        b"\xf4\x90\x80\x80",
        b"\xf8\x88\x80\x80\x80",
        b"\x80",
        b"a\xe2\x82",
        b"\xfe",
    ],
    ids=lambda bad: bad.hex(),
)
def test_invalid_utf_8_is_a_bad_request_wherever_it_stands(api, bad):
    expect(api.post("/set", b'{"key":"k","value":"' + bad + b'"}'), 400, "BAD_REQUEST")
    expect(api.post("/set", b'{"key":"' + bad + b'","value":"v"}'), 400, "BAD_REQUEST")
    expect(api.get_path("/get", key=bad), 400, "BAD_REQUEST")
    expect(api.get_path("/iterate/prefix", prefix=bad), 400, "BAD_REQUEST")


@pytest.mark.parametrize(
    "escape",
    [b"\\ud800", b"\\udfff", b"\\ud800\\ud800", b"\\udc00\\ud800", b"\\ud800x", b"x\\udbff"],
)
def test_lone_surrogates_are_a_bad_request(api, escape):
    """They are no characters: no UTF-8 can hold them, so they could not come back."""
    expect(api.post("/set", b'{"key":"k","value":"' + escape + b'"}'), 400, "BAD_REQUEST")
    expect(api.post("/set", b'{"key":"' + escape + b'","value":"v"}'), 400, "BAD_REQUEST")


@pytest.mark.parametrize("key", ["\u0000", "a\u0000", "a\u0000b"])
def test_nul_in_a_key_is_a_bad_request(api, key):
    for answer in (
        api.set(key, "v"),
        api.get(key),
        api.delete(key),
        api.setnx(key, "v"),
        api.cas(key, "v", "w"),
        api.bump(key, 1),
        api.batchset([(key, "v")]),
        api.batchdelete([key]),
    ):
        expect(answer, 400, "BAD_REQUEST")


def test_the_empty_key_is_a_bad_request(api):
    for answer in (
        api.set("", "v"),
        api.get(""),
        api.delete(""),
        api.setnx("", "v"),
        api.cas("", "v", "w"),
        api.bump("", 1),
        api.get_path("/get"),
    ):
        expect(answer, 400, "BAD_REQUEST")


def test_white_space_and_order_of_fields_do_not_matter(api):
    expect(api.post("/set", b' \r\n\t{ "value" :\n"v" ,"key":"k" }\n '), 200)
    assert expect(api.get("k"), 200).data == "v"


def test_the_body_is_json_whatever_the_content_type_says(api):
    for kind in (
        "application/x-www-form-urlencoded",
        "text/plain",
        "application/json; charset=utf-8",
        "nonsense",
    ):
        body = b'{"key":"k","value":"v"}'
        expect(api.call("POST", "/set", body, {"Content-Type": kind}), 200)


# ---- queries


@pytest.mark.parametrize(
    "target",
    [
        "/get?key=%",
        "/get?key=%4",
        "/get?key=%zz",
        "/get?key=%00",
        "/get?key=a%00b",
        "/get?key",
        "/get?",
        "/get?other=k",
        "/get?KEY=k",
        "/get?key=a&key=b",
    ],
)
def test_bad_queries_are_bad_requests(api, target):
    expect(api.call("GET", target), 400, "BAD_REQUEST")


def test_keys_in_queries_are_percent_decoded_once(api):
    expect(api.set("a b", "blank"), 200)
    expect(api.set("100%", "percent"), 200)
    expect(api.set("%41", "literal"), 200)
    assert expect(api.call("GET", "/get?key=a%20b"), 200).data == "blank"
    assert expect(api.call("GET", "/get?key=100%25"), 200).data == "percent"
    assert expect(api.call("GET", "/get?key=%2541"), 200).data == "literal"
    assert expect(api.call("GET", "/get?%6bey=a%20b"), 200).data == "blank"


# ---- sizes


def test_a_body_over_the_limit_is_413(api):
    body = b'{"key":"k","value":"' + b"v" * (2 << 20) + b'"}'
    expect(api.post("/set", body), 413, "PAYLOAD_TOO_LARGE")
    api.close()
    expect(api.get("k"), 404)
    still_serves(api)


def test_a_body_over_the_limit_is_413_when_it_is_only_announced(shared, token, api):
    with Raw(shared.http_port) as raw:
        raw.send(request("POST", "/set", token, headers=["Content-Length: 99999999999"]) + b"{")
        answer = raw.answer()
        assert answer.status == 413 and answer.error_type == "PAYLOAD_TOO_LARGE", answer
    still_serves(api)


@pytest.mark.parametrize(
    "length",
    ["-1", "+5", "5x", "0x5", "5, 5", "5, 6", "", " ", "1e3", "99999999999999999999999999"],
)
def test_a_bad_content_length_is_refused_and_nothing_is_smuggled(shared, token, api, length):
    hidden = request("POST", "/set", token, b'{"key":"smuggled","value":"v"}')
    with Raw(shared.http_port, timeout=30) as raw:
        raw.send(request("POST", "/set", token, headers=[f"Content-Length: {length}"]) + hidden)
        try:
            assert raw.answer().status in (400, 411, 413)
        except Exception as error:
            assert type(error).__name__ == "Closed", error
    expect(api.get("smuggled"), 404)


@pytest.mark.parametrize(
    "headers",
    [
        ["Content-Length: 3", "Content-Length: 30"],
        ["Content-Length: 3", "Transfer-Encoding: chunked"],
        ["Transfer-Encoding: gzip"],
        ["Transfer-Encoding: chunked, chunked"],
        ["Transfer-Encoding: identity"],
    ],
    ids=" / ".join,
)
def test_ambiguous_framing_smuggles_no_second_request(shared, token, api, headers):
    hidden = request("POST", "/set", token, b'{"key":"smuggled","value":"v"}')
    with Raw(shared.http_port, timeout=30) as raw:
        raw.send(request("POST", "/delete", token, headers=headers) + b"0\r\n\r\n" + hidden)
        raw.socket.settimeout(2)
        raw.is_closed_within(2)
    expect(api.get("smuggled"), 404)
    still_serves(api)


def test_chunked_bodies_work(shared, token, api):
    body = b'{"key":"chunked","value":"in pieces"}'
    head = request("POST", "/set", token, headers=["Transfer-Encoding: chunked"])
    with Raw(shared.http_port) as raw:
        raw.send(head)
        for at in range(0, len(body), 5):
            part = body[at : at + 5]
            raw.send(b"%x\r\n%s\r\n" % (len(part), part))
        raw.send(b"0\r\n\r\n")
        expect(raw.answer(), 200)
        raw.send(request("GET", "/get?key=chunked", token))
        assert expect(raw.answer(), 200).data == "in pieces"


def test_chunked_bodies_over_the_limit_are_413(shared, token, api):
    with Raw(shared.http_port) as raw:
        raw.send(request("POST", "/set", token, headers=["Transfer-Encoding: chunked"]))
        chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
        try:
            for _ in range(40):
                raw.send(chunk)
            raw.send(b"0\r\n\r\n")
        except ConnectionError:
            pass  # it may hang up on us while we are still sending
        answer = raw.answer()
        assert answer.status == 413 and answer.error_type == "PAYLOAD_TOO_LARGE", answer
    still_serves(api)


@pytest.mark.parametrize(
    "chunk", [b"zz\r\nabc\r\n", b"-1\r\n", b"fffffffffffffffffffff\r\nabc", b"5abc\r\n"]
)
def test_malformed_chunks_are_refused(shared, token, api, chunk):
    with Raw(shared.http_port, timeout=30) as raw:
        raw.send(request("POST", "/set", token, headers=["Transfer-Encoding: chunked"]) + chunk)
        try:
            assert raw.answer().status == 400
        except Exception as error:
            assert type(error).__name__ == "Closed", error
    still_serves(api)


# ---- methods and paths

GETS = ["/get", "/iterate/prefix", "/ping", "/healthz", "/readyz", "/admin/api/list"]


@pytest.mark.parametrize(
    "path,right",
    [(path, "POST") for path in [*POSTS, "/admin/api/create", "/admin/api/delete"]]
    + [(path, "GET") for path in GETS],
)
def test_a_wrong_method_is_405_and_says_what_is_allowed(root, path, right):
    for method in ("GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW"):
        if method == right:
            continue
        answer = expect(root.call(method, path), 405, "METHOD_NOT_ALLOWED")
        allowed = {name.strip() for name in answer.headers["Allow"].split(",")}
        assert right in allowed and method not in allowed, (method, allowed)


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/sets",
        "/set/",
        "/SET",
        "/set/x",
        "/get/../set",
        "//get",
        "/iterate",
        "/iterate/prefix/",
        "/admin",
        "/admin/api",
        "/admin/api/",
        "/%00",
        "/set%2f",
        "/.",
        "/..",
        "/favicon.ico",
    ],
)
def test_an_unknown_path_is_404(api, path):
    expect(api.call("GET", path), 404, "NOT_FOUND")
    expect(api.call("POST", path, {}), 404, "NOT_FOUND")


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/get?key=k",
        "/db/api/v2/get?key=k",
        "/db/api/get?key=k",
        "/DB/API/V1/get?key=k",
        "/db/api/v1",
        "/etc/passwd",
        "/db/api/v1/../v1/nothing",
    ],
)
def test_a_path_outside_the_base_is_404(api, path):
    expect(api.call("GET", path, base=""), 404, "NOT_FOUND")


def test_errors_reveal_nothing_of_the_server(shared, api):
    """No path, address or pid in a message that a client can provoke."""
    answers = [
        api.call("GET", "/nothing"),
        api.call("PUT", "/set"),
        api.post("/set", b"{"),
        api.get("x"),
        api.get("k" * 1000),
        api.cas("x", "", ""),
    ]
    for answer in answers:
        message = answer.json["message"]
        assert shared.folder not in message and ".c:" not in message and "0x" not in message


def test_every_error_answer_has_the_same_shape(shared, token, api):
    samples = [
        api.call("GET", "/nothing"),
        api.call("PUT", "/set"),
        api.post("/set", b"{"),
        api.get("absent"),
        api.cas("absent", "", ""),
        api.batchset([("k", "v")] * 1001),
    ]
    for answer in samples:
        assert set(answer.json) == {"error_type", "message"}
        assert answer.error_type == answer.error_type.upper()
        assert answer.headers["Content-Type"].startswith("application/json")
        assert "Server" not in answer.headers or "/" not in answer.headers["Server"]


def test_a_key_in_an_error_message_cannot_break_the_json(api):
    for key in ('"', "\\", "\n", "\u0001", '","error_type":"X', "é\U0001f600"):
        assert expect(api.get(key), 404, "NOT_FOUND").json["message"]


def test_query_and_base_path_are_where_the_contract_says(api):
    expect(api.set("k", "v"), 200)
    assert BASE == "/db/api/v1"
    assert expect(api.call("GET", query(BASE + "/get", key="k"), base=""), 200).data == "v"
