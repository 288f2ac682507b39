"""A scripted HTTP server that stands in for a node: it answers what a test tells it to, and remembers
what it was asked."""

import contextlib
import http.server
import json
import socket
import ssl
import threading
import urllib.parse
from dataclasses import dataclass, field


@dataclass
class Asked:
    """One request as it arrived."""

    method: str
    target: str  # path and query as sent
    headers: dict  # names in lower case
    body: bytes

    @property
    def path(self):
        return self.target.partition("?")[0]

    @property
    def query(self):
        return dict(urllib.parse.parse_qsl(self.target.partition("?")[2], keep_blank_values=True))

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def token(self):
        return self.headers.get("authorization", "").removeprefix("Bearer ")


@dataclass
class Answer:
    """What the server does with a request."""

    status: int = 200
    body: bytes = b"{}"
    headers: dict = field(default_factory=dict)
    drop: bool = False  # close the connection instead
    cut: bool = False  # close it in the middle of the body
    hang: bool = False  # say nothing until the test is over
    pieces: tuple = ()  # of a stream instead of a body: bytes, functions to call in between, HOLD


def answer(status=200, /, **members):
    return Answer(status, json.dumps(members, ensure_ascii=False).encode())


def refusal(status, error_type, message="no"):
    return answer(status, error_type=error_type, message=message)


NO_LEADER = refusal(503, "NO_LEADER", "no leader is known")
def stream(*pieces, cut=False):
    """Server-Sent Events. It ends behind the last piece, in order or cut off."""
    return Answer(pieces=pieces, cut=cut, headers={"Content-Type": "text/event-stream"})


HOLD = object()  # a piece: nothing more comes until the test is over
DROP = Answer(drop=True)
HANG = Answer(hang=True)


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def handle_expect_100(self):
        if self.server.owner.take_expected_body:
            return super().handle_expect_100()
        self.close_connection = True
        return True

    def _serve(self):
        length = int(self.headers.get("Content-Length", 0))
        body = b""
        if "expect" not in self.headers or self.server.owner.take_expected_body:
            body = self.rfile.read(length)
        headers = {name.lower(): value for name, value in self.headers.items()}
        reply = self.server.owner.on_request(Asked(self.command, self.path, headers, body))
        if reply.hang:
            self.server.owner.over.wait(60)
        if reply.hang or reply.drop:
            self.close_connection = True
            return
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        if reply.pieces:
            return self._stream(reply)
        self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        if reply.cut:
            self.wfile.write(reply.body[: len(reply.body) // 2])
            self.close_connection = True
            return
        self.wfile.write(reply.body)

    def _stream(self, reply):
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.close_connection = True
        for piece in reply.pieces:
            if piece is HOLD:
                self.server.owner.over.wait(60)
                return
            if callable(piece):
                piece()
            else:
                self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        if not reply.cut:
            self.wfile.write(b"0\r\n\r\n")

    do_GET = do_POST = _serve

    def log_message(self, *_):
        pass


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        pass  # a client that goes away, or shows no trust in the certificate


class _ServerV6(_Server):
    address_family = socket.AF_INET6


class FakeServer:
    """Answers with the given answers, one after the other (the last one again and again), or with what
    a function makes of a request. A context manager."""

    def __init__(self, *answers, host="127.0.0.1", certificate=None, respond=None):
        self.answers = list(answers) or [Answer()]
        self.respond = respond
        self.asked = []
        self.over = threading.Event()
        self.take_expected_body = True
        server = _ServerV6 if ":" in host else _Server
        self.server = server((host, 0), _Handler)
        self.server.owner = self
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            self.server.socket = context.wrap_socket(
                self.server.socket, server_side=True, do_handshake_on_connect=False
            )
        self.port = self.server.server_address[1]
        self.binding = f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"
        self.url = f"{'https' if certificate else 'http'}://{self.binding}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)

    def on_request(self, asked):
        self.asked.append(asked)
        if self.respond:
            return self.respond(asked)
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]

    @property
    def last(self):
        return self.asked[-1]

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.server.shutdown()
        self.server.server_close()


class ClosedPort:
    """An address where connections are refused: bound, so that nobody else gets it, without a
    listener."""

    def __enter__(self):
        self.socket = socket.socket()
        self.socket.bind(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.binding = f"127.0.0.1:{self.port}"
        self.url = f"http://{self.binding}"
        return self

    def __exit__(self, *_):
        self.socket.close()


class SilentPort(ClosedPort):
    """An address that takes connections and never says a word."""

    def __enter__(self):
        super().__enter__()
        self.socket.listen(16)
        return self


@contextlib.contextmanager
def three(insic, *answers, **how):
    """Three servers, node0 to node2 of insic's configuration, whose raftBindings are 127.0.0.1:2 to 4."""
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(FakeServer(*of_one)) for of_one in answers]
        insic.configure(*[server.binding for server in servers], **how)
        yield servers
