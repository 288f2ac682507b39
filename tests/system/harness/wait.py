"""Waiting for a condition instead of for some time."""

import time


class Timeout(AssertionError):
    """The condition did not come true in time."""


def until(condition, what, timeout=10.0, pause=0.005):
    """Calls condition until it returns something true, and returns that."""
    deadline = time.monotonic() + timeout
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() >= deadline:
            raise Timeout(f"not within {timeout:g} s: {what}")
        time.sleep(pause)
