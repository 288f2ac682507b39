"""The log of a node: parsed lines, waiting for an event, and what must never stand in it."""

import functools
import os
import re
import shlex

from .wait import until

LINE = re.compile(r"^(\d{4}-\d\d-\d\dT\S+Z) (debug|info|warn|error) (.*)$")
ALARMS = re.compile(
    r"AddressSanitizer|LeakSanitizer|runtime error:|UndefinedBehavior"
    r"|event=check_failed|Assertion .* failed|panic:|Segmentation fault"
)


class Line:
    def __init__(self, text):
        self.text = text
        found = LINE.match(text)
        self.time, self.level, self.rest = found.groups() if found else ("", "", "")

    @functools.cached_property
    def fields(self):
        try:
            words = shlex.split(self.rest)
        except ValueError:
            words = self.rest.split()
        return dict(word.split("=", 1) for word in words if "=" in word)

    @property
    def event(self):
        return self.fields.get("event", "")

    def __repr__(self):
        return self.text


class Log:
    def __init__(self, path):
        self.path = path

    def size(self):
        return os.path.getsize(self.path) if os.path.exists(self.path) else 0

    def text(self, since=0):
        if not os.path.exists(self.path):
            return ""
        with open(self.path, "rb") as file:
            file.seek(since)
            return file.read().decode("utf-8", "backslashreplace")

    def lines(self, since=0):
        return [Line(text) for text in self.text(since).splitlines()]

    def find(self, event, since=0, **fields):
        """Lines of an event whose fields have the given values."""
        wanted = {key: str(value) for key, value in fields.items()}
        return [
            line
            for line in self.lines(since)
            if event in line.text
            and line.event == event
            and all(line.fields.get(key) == value for key, value in wanted.items())
        ]

    def wait_for(self, event, since=0, timeout=15.0, **fields):
        return until(
            lambda: self.find(event, since, **fields), f"log line {event} {fields}", timeout
        )[0]

    def problems(self, allowed=(), since=0):
        """Errors and alarms that no pattern of the test allows."""
        found = []
        for line in self.lines(since):
            if line.level == "error" or ALARMS.search(line.text):
                if not any(re.search(pattern, line.text) for pattern in allowed):
                    found.append(line.text)
        return found

    def secrets(self, secrets, since=0):
        """Those of the given secrets that stand in the log: none ever may."""
        text = self.text(since)
        return [secret for secret in secrets if secret in text]
