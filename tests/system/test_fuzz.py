"""Requests that are damaged at random: whatever comes, the same gateway process goes on serving."""

import json
import os
import random

from harness.client import expect
from harness.raw import Raw, request

COUNT = int(os.environ.get("INSI_FUZZ", 3000))


def samples(token):
    bodies = [
        ("/set", {"key": "k", "value": "v" * 50}),
        ("/bump", {"key": "n", "value": "-3"}),
        ("/cas", {"key": "k", "old_value": "é\u0000", "new_value": "\U0001f600"}),
        ("/batchset", {"items": [{"key": f"k{n}", "value": str(n)} for n in range(20)]}),
        ("/batchdelete", {"keys": ["a", "b"]}),
    ]
    made = [request("POST", path, token, json.dumps(body).encode()) for path, body in bodies]
    chunked = b"1a\r\n" + b'{"key":"k","value":"vvvv"}' + b"\r\n0\r\n\r\n"
    made.append(request("POST", "/set", token, headers=["Transfer-Encoding: chunked"]) + chunked)
    made.append(request("GET", "/get?key=%C3%A9&consistency=stale", token))
    made.append(request("GET", "/iterate/prefix?prefix=k&limit=10&offset=2&values=true", token))
    return made


def damage(chance, data):
    """A few bytes changed, inserted, removed, doubled or moved."""
    data = bytearray(data)
    for _ in range(chance.choice([1, 1, 2, 5, 20])):
        at = chance.randrange(len(data) + 1)
        kind = chance.randrange(5)
        if kind == 0 and at < len(data):
            data[at] = chance.randrange(256)
        elif kind == 1:
            data[at:at] = chance.randbytes(chance.choice([1, 2, 100]))
        elif kind == 2:
            del data[at : at + chance.choice([1, 2, 30])]
        elif kind == 3:
            data[at:at] = data[at : at + chance.choice([1, 10, 200])]
        else:
            data[at:at] = chance.choice([b"\r\n", b"\x00", b"%00", b'"', b"{", b"[", b"\xff", b"0"])
    return bytes(data)


def read_briefly(raw):
    """Answers do not pile up; the end of the connection is an OSError."""
    raw.socket.settimeout(0.001)
    try:
        while raw.socket.recv(65536):
            pass
        raise ConnectionResetError
    except TimeoutError:
        pass


def test_damaged_requests_never_end_the_gateway(shared, token, api):
    seed = random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}")
    chance, pool = random.Random(seed), samples(token)
    pids = [process.pid for process in shared.all_processes()]
    raw = Raw(shared.http_port)
    for n in range(COUNT):
        data = damage(chance, chance.choice(pool))
        if chance.random() < 0.3:  # damage behind a good request, in one packet
            data = chance.choice(pool) + data
        hung_up = False
        try:
            for part in (data[: len(data) // 2], data[len(data) // 2 :]):
                raw.send(part)
            read_briefly(raw)
        except OSError:
            hung_up = True  # rightly
        if hung_up or chance.random() < 0.3:
            (raw.reset if chance.random() < 0.5 else raw.close)()
            raw = Raw(shared.http_port)
        if n % 100 == 0:
            expect(api.get_path("/ping"), 200)
    raw.close()
    assert [process.pid for process in shared.all_processes()] == pids
    expect(api.set("alive", "yes"), 200)
    assert expect(api.get("alive"), 200).data == "yes"
