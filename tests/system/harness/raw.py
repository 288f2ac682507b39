"""A TCP connection for bytes that no well-behaved client would send."""

import socket
import struct
import time

from .client import Answer, BASE


class Closed(Exception):
    """The server closed the connection before a complete answer came."""


class Raw:
    def __init__(self, port, timeout=15.0, host="127.0.0.1", receive_buffer=None):
        """receive_buffer: bytes of the kernel's, when it is to be small."""
        self.socket = socket.socket()
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(timeout)
        self.socket.connect((host, port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.received = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def reset(self):
        """Ends the connection with a RST."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def _more(self):
        try:
            chunk = self.socket.recv(65536)
        except ConnectionError:
            chunk = b""
        if not chunk:
            raise Closed(self.received[:500])
        self.received += chunk

    def answer(self):
        """The next answer on the connection."""
        while b"\r\n\r\n" not in self.received:
            self._more()
        head, _, rest = self.received.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        headers = {}
        for line in lines[1:]:
            name, _, value = line.partition(":")
            headers[name.strip().lower()] = value.strip()
        status = int(lines[0].split()[1])
        length = int(headers.get("content-length", 0))
        self.received = rest
        if status == 100:
            return self.answer()
        while len(self.received) < length:
            self._more()
        body, self.received = self.received[:length], self.received[length:]
        return Answer(status, headers, body)

    def is_closed_within(self, timeout):
        """Whether the server ends the connection in this time; what it still sends is kept in
        received."""
        deadline = time.monotonic() + timeout
        while (left := deadline - time.monotonic()) > 0:
            self.socket.settimeout(left)
            try:
                chunk = self.socket.recv(65536)
            except ConnectionError:
                return True
            except TimeoutError:
                return False
            if not chunk:
                return True
            self.received += chunk
        return False


def request(method, path, token=None, body=None, headers=(), base=BASE):
    """One HTTP/1.1 request as bytes; headers: lines without CRLF, after the usual ones."""
    lines = [f"{method} {base}{path} HTTP/1.1", "Host: localhost"]
    if token is not None:
        lines.append(f"Authorization: Bearer {token}")
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    lines.extend(headers)
    head = "\r\n".join(lines) + "\r\n\r\n"
    return head.encode("latin-1") + (body or b"")
