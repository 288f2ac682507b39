"""A WebSocket made by hand (RFC 6455), for frames that no well-behaved client would send, and for
clients that read when a test says so."""

import base64
import os
import time

from .client import BASE
from .raw import Closed, Raw
from .subscriber import Refused, subscription

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
KEY = base64.b64encode(b"sixteen bytes ok").decode()


def frame(opcode, payload=b"", fin=True, reserved=0, masked=True, length=None):
    """One frame. length: bytes of the length field instead of what belongs there."""
    size = len(payload)
    if length is not None:
        field = length
    elif size < 126:
        field = bytes([size])
    elif size < 1 << 16:
        field = b"\x7e" + size.to_bytes(2, "big")
    else:
        field = b"\x7f" + size.to_bytes(8, "big")
    head = bytes([fin << 7 | reserved << 4 | opcode, field[0] | masked << 7]) + field[1:]
    if not masked:
        return head + payload
    mask = os.urandom(4)
    key = int.from_bytes((mask * (size // 4 + 1))[:size], "big")
    return head + mask + (int.from_bytes(payload, "big") ^ key).to_bytes(size, "big")


def close_frame(code=None, reason=b""):
    return frame(CLOSE, b"" if code is None else code.to_bytes(2, "big") + reason)


def handshake(topic, token, after=None, headers=(), version="13", key=KEY):
    """The request that begins a WebSocket, as bytes."""
    lines = [
        f"GET {BASE}{subscription('subscribe', topic, after)} HTTP/1.1",
        "Host: localhost",
        "Connection: keep-alive, Upgrade",
        "Upgrade: WebSocket",
    ]
    lines += [f"Sec-WebSocket-Version: {version}"] if version is not None else []
    lines += [f"Sec-WebSocket-Key: {key}"] if key is not None else []
    lines += [f"Authorization: Bearer {token}"] if token is not None else []
    return "\r\n".join([*lines, *headers, "", ""]).encode()


class RawSocket(Raw):
    """Connected and subscribed."""

    def __init__(self, node, token, topic, after=None, receive_buffer=None, headers=()):
        super().__init__(node.http_port, host=node.http_host, receive_buffer=receive_buffer)
        self.send(handshake(topic, token, after, headers))
        while b"\r\n\r\n" not in self.received:
            self._more()
        status = int(self.received.split()[1])
        if status != 101:
            answer = self.answer()
            raise Refused(status, answer.error_type, answer.headers)
        self.received = self.received.partition(b"\r\n\r\n")[2]

    def _need(self, count):
        while len(self.received) < count:
            self._more()

    def next(self):
        """(opcode, payload) of the next frame. What the server sends is whole and not masked."""
        self._need(2)
        assert self.received[0] & 0xF0 == 0x80, "not final, or with reserved bits"
        assert not self.received[1] & 0x80, "masked by the server"
        opcode, size, begin = self.received[0] & 15, self.received[1] & 127, 2
        if size >= 126:
            begin = 4 if size == 126 else 10
            self._need(begin)
            size = int.from_bytes(self.received[2:begin], "big")
        self._need(begin + size)
        payload = self.received[begin : begin + size]
        self.received = self.received[begin + size :]
        return opcode, payload

    def next_control(self):
        """The next frame that is neither text nor a ping; pings are answered meanwhile."""
        while True:
            opcode, payload = self.next()
            if opcode == PING:
                self.send(frame(PONG, payload))
            elif opcode != TEXT:
                return opcode, payload

    def next_text(self):
        """The next text frame; pings are answered meanwhile."""
        while True:
            opcode, payload = self.next()
            if opcode == TEXT:
                return payload.decode()
            if opcode == PING:
                self.send(frame(PONG, payload))
            else:
                raise Closed((opcode, payload))

    def end(self, timeout=15):
        """Reads to the end of the connection: (texts, close code). The code is None when there
        was no close frame."""
        texts, code, deadline = [], None, time.monotonic() + timeout
        try:
            while True:
                self.socket.settimeout(max(0.01, deadline - time.monotonic()))
                opcode, payload = self.next()
                assert code is None, "a frame behind the close frame"
                if opcode == TEXT:
                    texts.append(payload.decode())
                elif opcode == CLOSE:
                    code = int.from_bytes(payload[:2], "big") if payload else 1005
                    payload[2:].decode()
        except Closed:
            return texts, code
