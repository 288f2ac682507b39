"""Judges recorded histories: python3 -m check file..."""

import sys

from . import linear, witness
from .history import FAIL, OK, UNKNOWN, History


def main(paths):
    bad = 0
    for path in paths:
        history = History.read(path)
        counts = ", ".join(f"{history.count(outcome)} {outcome}" for outcome in (OK, FAIL, UNKNOWN))
        print(f"{path}: {counts}")
        for problem in witness.problems(history):
            bad += 1
            print(problem)
        for (space, key), verdict in linear.check(history).items():
            bad += 1
            print(f"{space} {key}: {verdict.text()}".lstrip())
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
