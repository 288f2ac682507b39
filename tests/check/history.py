"""What clients asked, what they were told and when.

An operation is on one key and ends in one of three ways:
    ok       answered, be it by a refusal that tells the state (404, 409); something must explain it
    fail     refused with "nothing was written": it must never take effect
    unknown  no answer, or OUTCOME_UNKNOWN: it may take effect at any time after its call, or never
A client has one operation under way at a time. Times are seconds of one clock (CLOCK_MONOTONIC)."""

import dataclasses
import json
import threading
import time

OK, FAIL, UNKNOWN = "ok", "fail", "unknown"


@dataclasses.dataclass(slots=True, eq=False)
class Operation:
    client: str
    call: str
    key: str
    arguments: dict
    invoked: float
    returned: float | None = None
    outcome: str = UNKNOWN
    result: object = None
    index: int | None = None  # of the log, from the answer
    node: str = ""
    error: str = ""  # what a fail or unknown was told

    def text(self):
        end = "never" if self.returned is None else f"{self.returned:.6f}"
        arguments = " ".join(f"{name}={value!r}" for name, value in self.arguments.items())
        index = "" if self.index is None else f" index {self.index}"
        return (
            f"[{self.invoked:.6f} {end}] {self.client}@{self.node} {self.call} {self.key}"
            f" {arguments} -> {self.outcome} {self.result!r}{index} {self.error}"
        ).rstrip()


class History:
    """Operations in the order of their calls; any thread may add."""

    def __init__(self, operations=()):
        self.operations = list(operations)
        self.lock = threading.Lock()

    def begin(self, client, call, key, node="", **arguments):
        operation = Operation(client, call, key, arguments, time.monotonic(), node=node)
        with self.lock:
            self.operations.append(operation)
        return operation

    @staticmethod
    def end(operation, outcome, result=None, index=None, error=""):
        operation.returned = time.monotonic()
        operation.outcome, operation.result = outcome, result
        operation.index, operation.error = index, error

    def snapshot(self):
        with self.lock:
            return list(self.operations)

    def keys(self):
        """{(space, key): operations}: values, counters and queues are spaces apart."""
        found = {}
        for operation in self.snapshot():
            space = operation.call.rpartition("/")[0]
            found.setdefault((space, operation.key), []).append(operation)
        return found

    def count(self, outcome):
        return sum(operation.outcome == outcome for operation in self.snapshot())

    def write(self, path):
        with open(path, "w", encoding="utf-8") as file:
            for operation in self.snapshot():
                file.write(json.dumps(dataclasses.asdict(operation), ensure_ascii=False) + "\n")

    @classmethod
    def read(cls, path):
        with open(path, encoding="utf-8") as file:
            return cls(Operation(**json.loads(line)) for line in file)
