#!/usr/bin/python3
"""What the documents name must exist: linked files and headings, log events, files of the sources.

    python3 tests/docs/check.py          prints what is wrong, one line each; status 1 if anything is
"""

import os
import re
import sys

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
SOURCES = ("base", "ipc", "shm", "procs", "insid-supervisor", "insic", "tests")


def read(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as file:
        return file.read()


def documents():
    return ["README.md"] + sorted(
        f"docs/{name}" for name in os.listdir(os.path.join(ROOT, "docs")) if name.endswith(".md")
    )


def without_code(text):
    return re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)


def anchors(path):
    """The headings of a document as links name them."""
    headings = re.findall(r"^#+ +(.*)$", without_code(read(path)), re.M)
    return {
        re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings
    }


def broken_links(path):
    for target in re.findall(r"\]\(([^)\s]+)\)", without_code(read(path))):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        file = os.path.normpath(os.path.join(os.path.dirname(path), name)) if name else path
        if not os.path.exists(os.path.join(ROOT, file)):
            yield f"{path}: there is no {target}"
        elif anchor and file.endswith(".md") and anchor not in anchors(file):
            yield f"{path}: {file} has no heading for #{anchor}"


def missing_files(path):
    """Paths of sources, written as `procs/gateway/read.h`."""
    for name in re.findall(r"`((?:%s)/[\w./-]+\.\w+)`" % "|".join(SOURCES), read(path)):
        if not os.path.exists(os.path.join(ROOT, name)):
            yield f"{path}: there is no {name}"


def events():
    """The names of all log events."""
    found = set()
    for folder in SOURCES[:-1]:
        for parent, _, names in os.walk(os.path.join(ROOT, folder)):
            for name in names:
                if name.endswith(".c"):
                    text = read(os.path.relpath(os.path.join(parent, name), ROOT))
                    found.update(re.findall(r'"([a-z]+(?:_[a-z]+)+)"', text))
    return found


def unknown_events(path, known):
    """Named as event=NAME anywhere, or as `name` in the first column of a table of events."""
    text = read(path)
    named = set(re.findall(r"event=([a-z_]+)", text))
    for table in re.findall(r"^\| event \|.*\n\|[-|]+\n((?:\|.*\n)+)", text, re.M):
        for row in table.splitlines():
            named.update(re.findall(r"`([a-z_]+)`", row.split("|")[1]))
    return (f"{path}: no process logs {name}" for name in sorted(named - known))


def main():
    known = events()
    problems = []
    for path in documents():
        problems += broken_links(path)
        problems += missing_files(path)
        problems += unknown_events(path, known)
    print("\n".join(problems), end="\n" if problems else "")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
