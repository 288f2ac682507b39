"""A client as an application would use it: one keep-alive connection, JSON, no retries.

Python's own http.client, so that the server is tested against an independent implementation. For
bytes that no well-behaved client would send there is raw.py."""

import http.client
import json
import ssl
import urllib.parse

BASE = "/db/api/v1"


class Dropped(Exception):
    """The connection ended before the answer was complete: whether the request was carried out is
    unknown."""


class Hung(Dropped):
    """No answer within the client's own time limit."""


class Answer:
    def __init__(self, status, headers, body):
        self.status = status
        self.headers = headers
        self.body = body

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def index(self):
        return self.json["index"]

    @property
    def data(self):
        return self.json["data"]

    @property
    def error_type(self):
        return self.json.get("error_type") if self.status >= 400 else None

    def __repr__(self):
        return f"answer {self.status} {self.body[:200]!r}"


def query(path, **parameters):
    """The path with percent-encoded parameters; strings may hold anything, bytes are taken as they
    are."""
    pairs = []
    for name, value in parameters.items():
        raw = value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogatepass")
        pairs.append(f"{name}={urllib.parse.quote(raw, safe='')}")
    return path + ("?" + "&".join(pairs) if pairs else "")


class Client:
    def __init__(self, port, token=None, timeout=30.0, host="127.0.0.1", connect=None, ca=None):
        """connect: what to use instead of socket.create_connection; ca: HTTPS, with certificates
        that this one signed."""
        self.token = token
        if ca:
            self.connection = http.client.HTTPSConnection(
                host, port, timeout=timeout, context=ssl.create_default_context(cafile=ca)
            )
        else:
            self.connection = http.client.HTTPConnection(host, port, timeout=timeout)
        if connect:
            self.connection._create_connection = connect

    def close(self):
        self.connection.close()

    def call(self, method, path, body=None, headers=None, base=BASE):
        """One request. body: bytes as they are, anything else as JSON."""
        sent = dict(headers or {})
        if self.token is not None and "Authorization" not in sent:
            sent["Authorization"] = f"Bearer {self.token}"
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body, ensure_ascii=False).encode()
        try:
            self.connection.request(method, base + path, body=body, headers=sent)
            response = self.connection.getresponse()
            return Answer(response.status, response.headers, response.read())
        except TimeoutError as error:
            self.connection.close()
            raise Hung(f"{method} {path}") from error
        except (OSError, http.client.HTTPException) as error:
            self.connection.close()
            raise Dropped(f"{method} {path}: {error!r}") from error

    def get_path(self, path, **parameters):
        return self.call("GET", query(path, **parameters))

    def post(self, path, body):
        return self.call("POST", path, body)

    # values
    def set(self, key, value):
        return self.post("/set", {"key": key, "value": value})

    def get(self, key, **parameters):
        return self.get_path("/get", key=key, **parameters)

    def delete(self, key):
        return self.post("/delete", {"key": key})

    def setnx(self, key, value):
        return self.post("/setnx", {"key": key, "value": value})

    def cas(self, key, old, new):
        return self.post("/cas", {"key": key, "old_value": old, "new_value": new})

    def bump(self, key, by):
        return self.post("/bump", {"key": key, "value": by})

    def batchset(self, pairs):
        return self.post("/batchset", {"items": [{"key": k, "value": v} for k, v in pairs]})

    def batchdelete(self, keys):
        return self.post("/batchdelete", {"keys": keys})

    def iterate(self, prefix="", **parameters):
        return self.get_path("/iterate/prefix", prefix=prefix, **parameters)

    def iterate_all(self, prefix="", limit=1000, **parameters):
        """Every key (or item) below a prefix, page by page; returns the list."""
        found, after = [], {}
        while True:
            page = expect(self.iterate(prefix, limit=limit, **after, **parameters), 200).json
            found.extend(page["data"])
            if "next" not in page:
                return found
            after = {"after": page["next"]}

    # cache
    def cache_set(self, key, value, ttl=None):
        return self.post("/cache/set", {"key": key, "value": value} | ({} if ttl is None else {"ttl": ttl}))

    def cache_get(self, key, **parameters):
        return self.get_path("/cache/get", key=key, **parameters)

    def cache_delete(self, key):
        return self.post("/cache/delete", {"key": key})

    # counters
    def atomic_get(self, key, **parameters):
        return self.get_path("/atomic/get", key=key, **parameters)

    def atomic_add(self, key, delta):
        return self.post("/atomic/add", {"key": key, "delta": delta})

    # queues
    def queue_new(self, key):
        return self.post("/queue/new", {"key": key})

    def queue_delete(self, key):
        return self.post("/queue/delete", {"key": key})

    def push(self, key, value):
        return self.post("/queue/push", {"key": key, "value": value})

    def pop(self, key, wait=None):
        return self.post("/queue/pop", {"key": key} | ({} if wait is None else {"wait": wait}))

    def queue_length(self, key, **parameters):
        return self.get_path("/queue/length", key=key, **parameters)

    def queue_peek(self, key, **parameters):
        return self.get_path("/queue/peek", key=key, **parameters)

    # events
    def publish(self, topic, data):
        return self.post("/events", {"topic": topic, "data": data})

    # system
    def ping(self):
        return self.get_path("/ping")

    def create_key(self, name):
        return self.post("/admin/api/create", {"key_name": name})

    def delete_key(self, key):
        return self.post("/admin/api/delete", {"key": key})

    def list_keys(self):
        return self.get_path("/admin/api/list")

    def cluster(self):
        return self.get_path("/admin/cluster")

    def join(self, node_id, raft_address):
        return self.post("/admin/cluster/join", {"id": node_id, "raft_address": raft_address})

    def remove(self, node_id):
        return self.post("/admin/cluster/remove", {"id": node_id})

    def transfer(self, node_id):
        return self.post("/admin/cluster/transfer", {"id": node_id})


def expect(answer, status, error_type=None):
    """The answer, when it has this status (and error_type)."""
    if answer.status != status:
        raise AssertionError(f"expected {status} {error_type or ''}, got {answer!r}")
    if status >= 400:
        body = answer.json
        assert set(body) >= {"error_type", "message"}, answer
        assert body["message"] and isinstance(body["message"], str), answer
    if error_type is not None:
        assert answer.error_type == error_type, answer
    return answer
