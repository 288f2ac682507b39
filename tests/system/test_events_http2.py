"""Streams of events over HTTP/2, by a client that takes what it likes and says what it likes."""

import signal
import socket
import ssl
import time

from harness.certificates import Authority
from harness.client import BASE
from harness.subscriber import subscription
from harness.wait import until

HEADERS, SETTINGS, WINDOW_UPDATE = 1, 4, 8
END_STREAM_AND_HEADERS = 5
INITIAL_WINDOW_SIZE = 4
GOODBYE_SECONDS = 2  # of a gateway that is to end, for clients that take nothing


def frame(kind, flags, stream, payload=b""):
    return (
        len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload
    )


def window_update(stream, size):
    return frame(WINDOW_UPDATE, 0, stream, size.to_bytes(4, "big"))


def text(value):
    """A string of HPACK, not compressed (RFC 7541, 5.2)."""
    octets, size = value.encode(), b""
    rest = len(octets) - 127
    if rest < 0:
        return bytes([len(octets)]) + octets
    while rest >= 128:
        size += bytes([rest % 128 + 128])
        rest //= 128
    return b"\x7f" + size + bytes([rest]) + octets


def subscribe(node, token, window):
    """A connection whose stream 1 is a subscription that may be sent so many bytes."""
    context = ssl.create_default_context(cafile=node.settings.values["tls"]["ca"])
    context.set_alpn_protocols(["h2"])
    plain = socket.create_connection((node.http_host, node.http_port), 10)
    connection = context.wrap_socket(plain, server_hostname="localhost")
    assert connection.selected_alpn_protocol() == "h2"
    headers = {
        ":method": "GET",
        ":scheme": "https",
        ":path": BASE + subscription("stream", "t"),
        ":authority": "localhost",
        "authorization": f"Bearer {token}",
    }
    settings = INITIAL_WINDOW_SIZE.to_bytes(2, "big") + window.to_bytes(4, "big")
    block = b"".join(b"\0" + text(name) + text(value) for name, value in headers.items())
    connection.sendall(
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
        + frame(SETTINGS, 0, 0, settings)
        + window_update(0, 1 << 28)
        + frame(HEADERS, END_STREAM_AND_HEADERS, 1, block)
    )
    received = b""
    while b"id: " not in received:
        received += connection.recv(65536)
    return connection


def test_a_window_that_opens_as_the_stream_is_cut_off_is_harmless(make_cluster, tmp_path):
    """What the client still says then is read, and must not have h2o send what is gone. (With
    AddressSanitizer it would be seen for certain.)"""
    tls = Authority(tmp_path / "ca").sign()
    cluster = make_cluster(
        tls=tls, gateway={"processes": 1}, sessions={"sendBuffer": "64KiB"}
    ).start()
    node, token = cluster.nodes[0], cluster.create_key("tenant")
    connection = subscribe(node, token, 1000)
    client = node.client(token)
    for _ in range(2):
        assert client.publish("t", "x" * 900_000).status == 200
    client.close()
    until(lambda: node.log.find("subscribers_too_slow"), "it is too slow", 15)
    gateway, position = node.signal_worker("gateway", signal.SIGTERM)
    # So much that some of it is always unread, of which little opens the stream's window.
    openings = (window_update(0, 1) * 99 + window_update(1, 1)) * 20
    end = time.monotonic() + GOODBYE_SECONDS + 5
    connection.settimeout(1)
    try:
        while time.monotonic() < end:
            connection.sendall(openings)
    except OSError:
        pass
    connection.close()
    assert gateway.wait_gone(15)
    found = until(lambda: node.log.find("child_exited", position), "it has ended", 10)
    assert [line.fields["status"] for line in found if line.fields["child"] == "gateway0"] == ["0"]
