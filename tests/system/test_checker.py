"""The checker of writers.py, fed with true histories and with forged ones: what it never finds, the
tests of restarts would not find either."""

import pytest

from harness.writers import Operation, Writers


class Store:
    """A server that does what it is told; serves the checker's reads."""

    def __init__(self):
        self.values, self.written, self.index = {}, {}, 0

    def carry_out(self, operation):
        self.index += 1
        if operation.kind == "bump":
            operation.result = str(int(self.values.get(operation.key, "0")) + 1)
        self.values[operation.key] = operation.result or operation.value
        self.written[operation.key] = operation.index = self.index

    def iterate_all(self, _prefix, **_parameters):
        return [{"key": key, "value": value} for key, value in sorted(self.values.items())]

    def get(self, key):
        return Found(self.written[key])


class Found:
    status = 200

    def __init__(self, index):
        self.index = index


def history(rounds=8, lost_answers=()):
    """Two writers that take turns. The answers of some writes are lost; half of those were carried
    out."""
    store, group = Store(), Writers(1, "token", count=2)
    clock, number = 0.0, 0
    for turn in range(rounds):
        for writer in group.writers:
            operation = writer._next(turn)[0]
            writer.operations.append(operation)
            operation.called, operation.returned = clock, clock + 1
            clock += 2
            number += 1
            if number in lost_answers:
                operation.outcome = "unknown"
                if number % 2:
                    store.carry_out(operation)
                operation.index = operation.result = None
            else:
                operation.outcome = "acked"
                store.carry_out(operation)
    return store, group


def operations(group, kind):
    return [operation for operation in group.operations() if operation.kind == kind]


def refused(store, group):
    with pytest.raises(AssertionError):
        group.check(store)


def test_a_true_history_passes():
    store, group = history()
    group.check(store)
    group.check_no_errors()


@pytest.mark.parametrize("lost", [{1}, {2}, {3, 4}, {5, 6, 7, 8}, {15, 16}])
def test_lost_answers_pass_whether_carried_out_or_not(lost):
    store, group = history(lost_answers=lost)
    group.check(store)
    with pytest.raises(AssertionError):
        group.check_no_errors()


def test_a_lost_write_is_found():
    store, group = history()
    del store.values[operations(group, "set")[1].key]
    refused(store, group)


def test_a_damaged_value_is_found():
    store, group = history()
    store.values[operations(group, "set")[0].key] += "x"
    refused(store, group)


def test_a_refused_write_that_was_carried_out_is_found():
    store, group = history()
    operations(group, "set")[0].outcome = "refused"
    refused(store, group)


@pytest.mark.parametrize("key", ["own/0", "own/1", "shared"])
@pytest.mark.parametrize("change", [-1, 1])
def test_a_lost_or_doubled_increment_at_the_end_is_found(key, change):
    store, group = history()
    store.values[key] = str(int(store.values[key]) + change)
    refused(store, group)


def test_an_increment_applied_twice_in_the_middle_is_found():
    store, group = history()
    bumps = [operation for operation in operations(group, "bump") if operation.key == "shared"]
    for operation in bumps[1:]:
        operation.result = str(int(operation.result) + 1)
    store.values["shared"] = bumps[-1].result
    refused(store, group)


def test_two_equal_answers_of_a_counter_are_found():
    store, group = history()
    bumps = [operation for operation in operations(group, "bump") if operation.key == "shared"]
    bumps[1].result = bumps[0].result
    refused(store, group)


def test_an_older_value_of_a_hot_key_is_found():
    store, group = history()
    store.values["hot/0"] = [
        operation for operation in operations(group, "hot") if operation.key == "hot/0"
    ][0].value
    refused(store, group)


def test_an_index_given_twice_or_out_of_order_is_found():
    store, group = history()
    first, second = operations(group, "set")[:2]
    second.index = first.index
    refused(store, group)
    store, group = history()
    first, second = operations(group, "hot")[:2]
    first.index, second.index = second.index, first.index
    refused(store, group)


def test_a_wrong_index_of_a_stored_value_is_found():
    store, group = history()
    store.written[operations(group, "set")[0].key] += 1
    refused(store, group)


def test_a_history_without_one_acknowledged_write_proves_nothing():
    store, group = Store(), Writers(1, "token", count=1)
    group.writers[0].operations.append(Operation("set", "w0/0", "v"))
    group.writers[0].operations[0].outcome = "unknown"
    refused(store, group)
