"""The search for an order, on histories written by hand and against trying every order."""

import itertools
import random

import pytest

from check import linear
from check.history import FAIL, OK, UNKNOWN, History, Operation
from check.linear import LINEARIZABLE, UNDECIDED, VIOLATED
from check.models import CONFLICT, EMPTY, MISSING, MODELS, READS, step
from check.random_history import CALLS, Generator


def at(invoked, returned, call, result=None, outcome=OK, **arguments):
    return Operation("c", call, "k", arguments, invoked, returned, outcome, result)


def unknown(invoked, call, **arguments):
    return at(invoked, None, call, outcome=UNKNOWN, **arguments)


def verdict(*operations, limit=linear.STEPS):
    space = operations[0].call.rpartition("/")[0] if operations else ""
    return linear.check_key(MODELS[space], operations, limit).verdict


# ---- histories by hand

GOOD = {
    "nothing happened": [],
    "an absent key": [at(0, 1, "get", MISSING)],
    "one write": [at(0, 1, "set", value="a"), at(2, 3, "get", "a")],
    "a read beside a write sees the old": [at(0, 3, "set", value="a"), at(1, 2, "get", MISSING)],
    "or the new": [at(0, 3, "set", value="a"), at(1, 2, "get", "a")],
    "two writes at once, then either": [
        at(0, 3, "set", value="a"),
        at(1, 4, "set", value="b"),
        at(5, 6, "get", "a"),
    ],
    "the slow one first": [
        at(0, 9, "set", value="a"),
        at(1, 2, "set", value="b"),
        at(3, 4, "get", "b"),
        at(5, 6, "get", "a"),
    ],
    "a write without an answer that was lost": [
        at(0, 1, "set", value="a"),
        unknown(2, "set", value="b"),
        at(4, 5, "get", "a"),
    ],
    "that came through": [unknown(2, "set", value="b"), at(4, 5, "get", "b")],
    "that came through late": [
        at(0, 1, "set", value="a"),
        unknown(2, "set", value="b"),
        at(4, 5, "get", "a"),
        at(6, 7, "get", "b"),
    ],
    "a refused write": [
        at(0, 1, "set", value="a"),
        at(2, 3, "set", outcome=FAIL, value="b"),
        at(4, 5, "get", "a"),
    ],
    "a read without an answer": [at(0, 1, "set", value="a"), unknown(0, "get")],
    "compare and set": [
        at(0, 1, "cas", CONFLICT, old="a", new="b"),
        at(2, 3, "setnx", value="a"),
        at(4, 5, "setnx", CONFLICT, value="c"),
        at(6, 7, "cas", old="a", new="b"),
        at(8, 9, "delete"),
        at(10, 11, "cas", CONFLICT, old="b", new="c"),
    ],
    "a lost answer explains a conflict": [
        unknown(0, "setnx", value="a"),
        at(2, 3, "setnx", CONFLICT, value="b"),
    ],
    "counting on a value": [
        at(0, 1, "bump", "3", by=3),
        at(2, 3, "bump", "0", by=-5),
        at(4, 5, "set", value="x"),
        at(6, 7, "bump", "NOT_A_NUMBER", by=1),
    ],
    "a counter with a floor": [
        at(0, 1, "atomic/add", 2, delta=2),
        at(2, 3, "atomic/new", CONFLICT, overwrite=False),
        at(4, 5, "atomic/add", 0, delta=-3),
        at(6, 7, "atomic/get", 0),
        at(8, 9, "atomic/add", 2**63 - 1, delta=2**63 - 1),
        at(10, 11, "atomic/add", "OVERFLOW", delta=1),
        at(12, 13, "atomic/new", overwrite=True),
        at(14, 15, "atomic/get", 0),
    ],
    "a queue": [
        at(0, 1, "queue/push", MISSING, value="a"),
        at(2, 3, "queue/new"),
        at(4, 5, "queue/pop", EMPTY),
        at(6, 7, "queue/push", 1, value="a"),
        at(8, 9, "queue/push", 2, value="b"),
        at(10, 11, "queue/new"),
        at(12, 13, "queue/pop", "a"),
        at(14, 15, "queue/peek", "b"),
        at(16, 17, "queue/length", 1),
        at(18, 19, "queue/delete"),
        at(20, 21, "queue/length", MISSING),
    ],
    "an item that went with a lost answer": [
        at(0, 1, "queue/new"),
        at(2, 3, "queue/push", 1, value="a"),
        at(4, 5, "queue/push", 2, value="b"),
        unknown(6, "queue/pop"),
        at(8, 9, "queue/pop", "b"),
    ],
}

BAD = {
    "a value from nowhere": [at(0, 1, "get", "a")],
    "a stale read": [
        at(0, 1, "set", value="a"),
        at(2, 3, "set", value="b"),
        at(4, 5, "get", "a"),
    ],
    "a lost write": [at(0, 1, "set", value="a"), at(2, 3, "get", MISSING)],
    "new, then old again": [
        at(0, 1, "set", value="a"),
        at(2, 9, "set", value="b"),
        at(3, 4, "get", "b"),
        at(5, 6, "get", "a"),
    ],
    "a read from the future": [at(0, 1, "get", "a"), at(2, 3, "set", value="a")],
    "a refused write that happened": [
        at(0, 1, "set", outcome=FAIL, value="a"),
        at(2, 3, "get", "a"),
    ],
    "a write that happened twice": [
        at(0, 1, "set", value="a"),
        at(2, 3, "set", value="b"),
        at(4, 5, "get", "b"),
        at(6, 7, "get", "a"),
    ],
    "a write without an answer that happened twice": [
        unknown(0, "set", value="a"),
        at(2, 3, "get", "a"),
        at(4, 5, "set", value="b"),
        at(6, 7, "get", "b"),
        at(8, 9, "get", "a"),
    ],
    "a write without an answer, before its call": [
        at(0, 1, "get", "a"),
        unknown(2, "set", value="a"),
    ],
    "two winners of one compare and set": [
        at(0, 1, "set", value="a"),
        at(2, 5, "cas", old="a", new="b"),
        at(3, 6, "cas", old="a", new="c"),
    ],
    "two that were first": [at(0, 5, "setnx", value="a"), at(1, 4, "setnx", value="b")],
    "a conflict with nothing": [at(0, 1, "setnx", CONFLICT, value="a")],
    "a number given twice": [at(0, 3, "bump", "1", by=1), at(1, 4, "bump", "1", by=1)],
    "a number left out": [at(0, 1, "bump", "1", by=1), at(2, 3, "bump", "3", by=1)],
    "a counter below its floor": [at(0, 1, "atomic/add", -1, delta=-1)],
    "an item handed out twice": [
        at(0, 1, "queue/new"),
        at(2, 3, "queue/push", 1, value="a"),
        at(4, 7, "queue/pop", "a"),
        at(5, 8, "queue/pop", "a"),
    ],
    "items out of order": [
        at(0, 1, "queue/new"),
        at(2, 3, "queue/push", 1, value="a"),
        at(4, 5, "queue/push", 2, value="b"),
        at(6, 7, "queue/pop", "b"),
    ],
    "a lost item": [
        at(0, 1, "queue/new"),
        at(2, 3, "queue/push", 1, value="a"),
        at(4, 5, "queue/pop", EMPTY),
    ],
    "an item from nowhere": [at(0, 1, "queue/new"), at(2, 3, "queue/pop", "a")],
}


@pytest.mark.parametrize("name", GOOD)
def test_a_right_history_passes(name):
    assert verdict(*GOOD[name]) == LINEARIZABLE


@pytest.mark.parametrize("name", BAD)
def test_a_wrong_history_is_found(name):
    assert verdict(*BAD[name]) == VIOLATED


def test_a_verdict_names_what_nothing_explains():
    found = linear.check_key(MODELS[""], BAD["a stale read"])
    assert found.stuck.call == "get" and found.stuck.result == "a"
    assert [operation.arguments.get("value") for operation in found.order] == ["a", "b"]
    assert "nothing explains" in found.text() and "result" not in found.text()


def test_a_search_that_takes_too_long_is_undecided():
    operations = [at(n, 100 + n, "set", value=f"v{n}") for n in range(12)]
    operations.append(at(200, 201, "get", "nowhere"))
    assert verdict(*operations, limit=1000) == UNDECIDED


def test_keys_and_spaces_are_judged_apart():
    history = History(
        [
            Operation("c", "set", "a", {"value": "1"}, 0, 1, OK),
            Operation("c", "get", "b", {}, 2, 3, OK, MISSING),
            Operation("c", "atomic/get", "a", {}, 4, 5, OK, 0),
            Operation("c", "get", "a", {}, 6, 7, OK, MISSING),
        ]
    )
    assert list(linear.check(history)) == [("", "a")]


# ---- against the definition


def every_order(model, operations):
    """Whether some order, of some choice among the unknown, explains the history."""
    known = [one for one in operations if one.outcome == OK]
    maybe = [one for one in operations if one.outcome == UNKNOWN and one.call not in READS]
    for size in range(len(maybe) + 1):
        for chosen in itertools.combinations(maybe, size):
            if any(
                explains(model, order) for order in itertools.permutations(known + list(chosen))
            ):
                return True
    return False


def explains(model, order):
    state, latest = model.initial, 0
    for operation in order:
        latest = max(latest, operation.invoked)
        if operation.outcome == OK and operation.returned < latest:
            return False
        fits, state = step(model, state, operation)
        if not fits:
            return False
    return True


def spoil(chance, history):
    """Exchanges two results, or gives an operation the result of another."""
    answered = [one for one in history.operations if one.outcome == OK]
    if len(answered) > 1:
        one, other = chance.sample(answered, 2)
        if chance.random() < 0.5:
            one.result, other.result = other.result, one.result
        else:
            one.result = other.result


@pytest.mark.parametrize("kind", CALLS)
def test_the_search_agrees_with_trying_every_order(kind):
    verdicts = {LINEARIZABLE: 0, VIOLATED: 0}
    for seed in range(500):
        chance = random.Random(f"{kind} {seed}")
        history = Generator(
            chance, CALLS[kind], 6, clients=3, lost=chance.choice([0, 0.1, 0.25])
        ).run()
        spoil(chance, history)
        space = history.operations[0].call.rpartition("/")[0]
        found = verdict(*history.operations)
        expected = every_order(MODELS[space], history.operations)
        assert (found == LINEARIZABLE) == expected, f"seed {seed}"
        verdicts[found] += 1
    assert min(verdicts.values()) > 40, verdicts
