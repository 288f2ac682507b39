"""Judges a history by the log indexes in its answers, in one pass: the order of the log must agree
with real time, and reads with the log. It needs no search, so no history is too long for it; the
search of linear.py guards against indexes that lie.

Knows values (set, get, delete, setnx, cas, bump), where a read tells the index of the write it
saw."""

from .history import OK, UNKNOWN
from .models import READS


def _writes(operations):
    return [
        one
        for one in operations
        if one.outcome == OK and one.index is not None and one.call not in READS
    ]


def _by_time(operations):
    """Calls and returns in order, returns first where times are equal: [(time, is a call,
    operation)]."""
    events = []
    for operation in operations:
        events.append((operation.invoked, True, operation))
        events.append((operation.returned, False, operation))
    return sorted(events, key=lambda event: event[:2])


def _index_problems(writes):
    """One log for all keys: indexes are distinct and grow in real time."""
    found, seen, highest, floor = [], {}, 0, {}
    for _, is_call, operation in _by_time(writes):
        if is_call:
            floor[operation] = highest
            continue
        highest = max(highest, operation.index)
        if operation.index in seen:
            found.append(f"index given twice: {seen[operation.index].text()}; {operation.text()}")
        seen[operation.index] = operation
        if operation.index <= floor[operation]:
            found.append(f"not after index {floor[operation]}: {operation.text()}")
    return found


def _written(operation):
    """The value that a write leaves; None when it leaves none."""
    if operation.call == "bump":
        return operation.result
    if operation.call == "cas":
        return operation.arguments["new"]
    return operation.arguments.get("value")


def _read_problems(operations):
    """Reads of one key: each shows a write that was called before it returned, with its value, and
    none that another had replaced, for all to see, before it was called."""
    writes = {one.index: one for one in _writes(operations)}
    maybe = {}
    for one in operations:
        if one.outcome == UNKNOWN and one.call in ("set", "setnx", "cas"):
            maybe.setdefault(_written(one), one)
    bumps = any(one.outcome == UNKNOWN and one.call == "bump" for one in operations)
    told = [one for one in operations if one.outcome == OK and one.index is not None]
    found, highest, floor = [], 0, {}
    for _, is_call, operation in _by_time(told):
        if is_call:
            floor[operation] = highest
            continue
        highest = max(highest, operation.index)
        if operation.call != "get":
            continue
        write = writes.get(operation.index) or maybe.get(operation.result)
        if operation.index < floor[operation]:
            found.append(f"stale, index {floor[operation]} was known: {operation.text()}")
        elif write is None and not bumps:
            found.append(f"nobody wrote that: {operation.text()}")
        elif write and write.outcome == OK and _written(write) != operation.result:
            found.append(f"not what was written: {operation.text()}; {write.text()}")
        elif write and write.invoked > operation.returned:
            found.append(f"read before it was written: {operation.text()}; {write.text()}")
    return found


def problems(history):
    """What the indexes prove to be wrong, as text; empty: nothing."""
    found = _index_problems(_writes(history.snapshot()))
    for (space, _), operations in history.keys().items():
        if space == "":
            found += _read_problems(operations)
    return found
