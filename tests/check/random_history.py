"""Random histories that are linearizable because a real state answers them.

The time is an integer that grows with every event, so no two are at once."""

from .history import FAIL, OK, UNKNOWN, History, Operation
from .models import MODELS, READS, REFUSALS


class Server:
    """Carries operations out, all of them exactly once, at one moment between call and return."""

    def __init__(self):
        self.states, self.written, self.index = {}, {}, 0

    def carry_out(self, operation):
        """(result, index)"""
        space = operation.call.rpartition("/")[0]
        place, model = (space, operation.key), MODELS[space]
        before = self.states.get(place, model.initial)
        result, after = model.answer(before, operation)
        self.states[place] = after
        if operation.call in READS:
            return result, self.written.get(place) if after is not None else None
        if result in REFUSALS:
            return result, None
        self.index += 1
        self.written[place] = self.index
        return result, self.index


def values_call(chance, number):
    """A call on a value key: (call, arguments). Values are unique."""
    kind = chance.choices(["get", "set", "cas", "setnx", "delete"], [6, 4, 3, 1, 1])[0]
    if kind == "cas":
        return kind, {"old": f"v{chance.randrange(max(1, number))}", "new": f"v{number}"}
    return kind, {"value": f"v{number}"} if kind in ("set", "setnx") else {}


def bump_call(chance, _number):
    if chance.random() < 0.3:
        return "get", {}
    return "bump", {"by": chance.choice([1, 1, 2, -1])}


def counter_call(chance, _number):
    kind = chance.choices(["get", "add", "new", "delete"], [4, 8, 1, 1])[0]
    if kind == "add":
        return "atomic/add", {"delta": chance.choice([1, 2, -1, -3])}
    return "atomic/" + kind, {"overwrite": chance.random() < 0.5} if kind == "new" else {}


def queue_call(chance, number):
    if number == 0:
        return "queue/new", {}
    kind = chance.choices(["push", "pop", "peek", "length", "new", "delete"], [8, 8, 2, 2, 1, 0.3])
    return "queue/" + kind[0], {"value": f"v{number}"} if kind[0] == "push" else {}


CALLS = {"values": values_call, "bumps": bump_call, "counters": counter_call, "queues": queue_call}


class Generator:
    """count operations of some clients, taking turns at random."""

    def __init__(self, chance, calls, count, clients=5, keys=1, lost=0.05, server=None):
        self.chance, self.calls, self.count = chance, calls, count
        self.keys, self.lost = keys, lost
        self.server = server or Server()
        self.history, self.now, self.begun = History(), 0, 0
        self.idle, self.called, self.applied = [f"c{n}" for n in range(clients)], [], []
        self.renamed = clients

    def run(self):
        """Goes on until all that were begun have ended; may be called again with a greater
        count."""
        while self.begun < self.count or self.called or self.applied:
            self.now += 1
            self.chance.choice([self.call, self.apply, self.answer])()
        return self.history

    def alone(self, call, key="k0", **arguments):
        """One operation while nothing else is under way; returns it."""
        operation = Operation("alone", call, key, arguments, self.now + 1, self.now + 2, OK)
        self.now += 2
        self.history.operations.append(operation)
        operation.result, operation.index = self.server.carry_out(operation)
        return operation

    def call(self):
        if self.idle and self.begun < self.count:
            client = self.idle.pop(self.chance.randrange(len(self.idle)))
            call, arguments = self.calls(self.chance, self.begun)
            key = f"k{self.chance.randrange(self.keys)}"
            operation = Operation(client, call, key, arguments, self.now)
            self.history.operations.append(operation)
            self.called.append(operation)
            self.begun += 1

    def apply(self):
        if not self.called:
            return
        operation = self.called.pop(self.chance.randrange(len(self.called)))
        fate = self.chance.random()
        if fate < self.lost:  # never carried out: one half of the clients hears so
            heard = self.chance.random() < 0.5
            self.forget(operation, FAIL if heard else UNKNOWN)
            return
        operation.result, operation.index = self.server.carry_out(operation)
        if fate < 2 * self.lost:  # carried out, without an answer
            self.forget(operation, UNKNOWN)
            operation.result = operation.index = None
        else:
            self.applied.append(operation)

    def forget(self, operation, outcome):
        operation.outcome, operation.returned = outcome, self.now
        if outcome == UNKNOWN and self.chance.random() < 0.5:
            operation.returned = None
        self.idle.append(f"c{self.renamed}")
        self.renamed += 1

    def answer(self):
        if self.applied:
            operation = self.applied.pop(self.chance.randrange(len(self.applied)))
            operation.outcome, operation.returned = OK, self.now
            self.idle.append(operation.client)
