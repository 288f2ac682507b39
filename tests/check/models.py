"""What each call does to one key, as the contract says. A model has the state of an absent key
(initial) and

    answer(state, operation) -> (result, the state afterwards)

States can be hashed."""

from .history import OK

CONFLICT = "CONFLICT"  # the result of what is refused with 409
NOT_A_NUMBER = "NOT_A_NUMBER"
OVERFLOW = "OVERFLOW"
MISSING = "MISSING"  # 404: no such key or queue
EMPTY = "EMPTY"  # 404: a queue without items
REFUSALS = {CONFLICT, NOT_A_NUMBER, OVERFLOW, MISSING, EMPTY}
LARGEST = 2**63 - 1


def _number(text):
    """The integer that a value holds, None when it is none."""
    body = text[1:] if text[:1] in "+-" else text
    return int(text) if body.isascii() and body.isdigit() else None


class Values:
    """State: the value, None when absent. Results: None of set and delete; the value, or MISSING,
    of get; None or CONFLICT of setnx and cas; the new number as text, or NOT_A_NUMBER, of bump."""

    initial = None

    @staticmethod
    def answer(state, operation):
        return getattr(Values, operation.call)(state, operation.arguments)

    @staticmethod
    def get(state, _):
        return (MISSING if state is None else state), state

    @staticmethod
    def set(_, arguments):
        return None, arguments["value"]

    @staticmethod
    def delete(_state, _arguments):
        return None, None

    @staticmethod
    def setnx(state, arguments):
        return (None, arguments["value"]) if state is None else (CONFLICT, state)

    @staticmethod
    def cas(state, arguments):
        if state is None or state != arguments["old"]:
            return CONFLICT, state
        return None, arguments["new"]

    @staticmethod
    def bump(state, arguments):
        number = _number(state or "0")
        if number is None:
            return NOT_A_NUMBER, state
        text = str(max(0, number + arguments["by"]))
        return text, text


class Counters:
    """State: the number, None when absent. Results: None or CONFLICT of new, the number of get, the
    new number or OVERFLOW of add, None of delete."""

    initial = None

    @staticmethod
    def answer(state, operation):
        return getattr(Counters, operation.call.rpartition("/")[2])(state, operation.arguments)

    @staticmethod
    def new(state, arguments):
        if state is not None and not arguments.get("overwrite"):
            return CONFLICT, state
        return None, 0

    @staticmethod
    def get(state, _):
        return state or 0, state

    @staticmethod
    def add(state, arguments):
        number = max(0, (state or 0) + arguments["delta"])
        return (OVERFLOW, state) if number > LARGEST else (number, number)

    @staticmethod
    def delete(_state, _arguments):
        return None, None


class Queues:
    """State: the items, first out first; None when there is no queue. Results: None of new and
    delete, the new length of push, the item of pop and peek, the length of length; MISSING without
    a queue, EMPTY without an item."""

    initial = None

    @staticmethod
    def answer(state, operation):
        name = operation.call.rpartition("/")[2]
        if name == "new":
            return None, () if state is None else state
        if name == "delete":
            return None, None
        if state is None:
            return MISSING, None
        return getattr(Queues, name)(state, operation.arguments)

    @staticmethod
    def push(items, arguments):
        items += (arguments["value"],)
        return len(items), items

    @staticmethod
    def pop(items, _):
        return (items[0], items[1:]) if items else (EMPTY, items)

    @staticmethod
    def peek(items, _):
        return (items[0] if items else EMPTY), items

    @staticmethod
    def length(items, _):
        return len(items), items


MODELS = {"": Values, "atomic": Counters, "queue": Queues}
READS = {"get", "atomic/get", "queue/length", "queue/peek"}


def step(model, state, operation):
    """(whether the operation's result fits, the state afterwards). The result of one whose outcome
    is not ok may be anything."""
    result, after = model.answer(state, operation)
    return operation.outcome != OK or operation.result == result, after
