"""Is there an order of the operations of one key in which each takes effect between its call and
its return and all results come true? Wing and Gong's search with Lowe's memory of what was tried: a
set of operations that leads to the same state need not be tried twice.

Operations of unknown outcome may take effect at any time after their call, or never. An order is
tried with one only where something behind it needs it: else it may as well come later, or not at
all."""

from .history import FAIL, OK, UNKNOWN
from .models import MODELS, READS, REFUSALS, step

LINEARIZABLE, VIOLATED, UNDECIDED = "linearizable", "violated", "undecided"
STEPS = 3_000_000  # of the search for one key; beyond, the answer is "undecided"


class Verdict:
    def __init__(self, verdict, steps, order=(), stuck=None):
        self.verdict = verdict
        self.steps = steps
        self.order = order  # the longest that was found
        self.stuck = stuck  # the operation whose return nothing explains behind it

    def __bool__(self):
        return self.verdict == LINEARIZABLE

    def text(self, last=12):
        """For people: the end of the longest order, and what does not go on from there."""
        if self:
            return f"linearizable in {self.steps} steps"
        lines = [f"{self.verdict} after {self.steps} steps; the longest order ends with"]
        lines += ["  " + operation.text() for operation in self.order[-last:]]
        if self.stuck:
            lines += ["and nothing explains", "  " + self.stuck.text()]
        return "\n".join(lines)


class _Search:
    """known: operations with a result, by their calls; maybe: of unknown outcome, by their calls.
    Bit n of a set is known[n], or maybe[n - len(known)]."""

    def __init__(self, model, operations, limit):
        self.model = model
        self.limit = limit
        self.known = sorted(
            (one for one in operations if one.outcome == OK), key=lambda one: one.invoked
        )
        self.maybe = sorted(
            (one for one in operations if one.outcome == UNKNOWN and one.call not in READS),
            key=lambda one: one.invoked,
        )
        self.all = self.known + self.maybe
        self.harmless = {
            number
            for number, one in enumerate(self.known)
            if one.call in READS or one.result in REFUSALS
        }
        self.steps = 0

    def candidates(self, done, first, state):
        """Numbers of the operations that may come next, the last one to be tried first. An
        operation may when none that has not taken effect returned before its call. One that is
        explained and never changes anything (a read, a conflict) may as well come at once: nothing
        else is tried.
        """
        known, count = self.known, len(self.known)
        horizon, found = float("inf"), []
        for number in range(first, count):
            operation = known[number]
            if operation.invoked > horizon:
                break
            if not done >> number & 1:
                if number in self.harmless and step(self.model, state, operation)[0]:
                    return [number]
                horizon = min(horizon, operation.returned)
                found.append(number)
        maybe = []
        for number, operation in enumerate(self.maybe, count):
            if operation.invoked > horizon:
                break
            if not done >> number & 1:
                maybe.append(number)
        return maybe[::-1] + found[::-1]

    def needless(self, guess, before, number, after):
        """Whether the order would do without the guess, the number of an operation of unknown
        outcome that took effect at the state before, in front of this one: without it, or with it
        behind, all is the same. (Of two guesses that may change places one order is enough.)"""
        fits, without = step(self.model, before, self.all[number])
        if not fits:
            return False
        if without == after:
            return True
        may_follow = number < guess
        return may_follow and step(self.model, without, self.all[guess])[1] == after

    def run(self):
        count = len(self.known)
        all_known = (1 << count) - 1
        done, first, state = 0, 0, self.model.initial
        guess, before = None, None  # the last operation of the order, if it is of unknown outcome
        tried, path, longest = set(), [], []
        choices = [self.candidates(0, 0, state)]
        while done & all_known != all_known:
            if not choices[-1]:
                choices.pop()
                if len(path) > len(longest):
                    longest = [entry[0] for entry in path]
                if not path:
                    return self.result(VIOLATED, longest)
                number, first, state, guess, before = path.pop()
                done &= ~(1 << number)
                continue
            number = choices[-1].pop()
            self.steps += 1
            if self.steps > self.limit:
                return self.result(UNDECIDED, longest)
            fits, after = step(self.model, state, self.all[number])
            if not fits or (number >= count and after == state):
                continue
            if guess is not None and self.needless(guess, before, number, after):
                continue
            memory = (done | 1 << number, after)
            if number >= count:
                memory += (number, state)
            if memory in tried:
                continue
            tried.add(memory)
            path.append((number, first, state, guess, before))
            done |= 1 << number
            guess, before = (number, state) if number >= count else (None, None)
            state = after
            while first < count and done >> first & 1:
                first += 1
            choices.append(self.candidates(done, first, state))
        return self.result(LINEARIZABLE, [entry[0] for entry in path])

    def result(self, verdict, numbers):
        done, stuck = set(numbers), None
        if verdict != LINEARIZABLE:
            left = [one for number, one in enumerate(self.known) if number not in done]
            stuck = min(left, key=lambda one: one.returned, default=None)
        return Verdict(verdict, self.steps, [self.all[number] for number in numbers], stuck)


def check_key(model, operations, limit=STEPS):
    """The verdict on the operations of one key."""
    unexplained = [one for one in operations if one.outcome not in (OK, FAIL, UNKNOWN)]
    assert not unexplained, unexplained[0]
    return _Search(model, operations, limit).run()


def check(history, limit=STEPS):
    """{(space, key): verdict} of the keys whose operations are not linearizable, or undecided."""
    found = {}
    for place, operations in history.keys().items():
        verdict = check_key(MODELS[place[0]], operations, limit)
        if not verdict:
            found[place] = verdict
    return found
