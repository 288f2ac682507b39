"""Where the programs under test are: INSI_BUILD, or build/ of this source tree."""

import os

SOURCE = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", "..", ".."))
BUILD = os.path.abspath(os.environ.get("INSI_BUILD") or os.path.join(SOURCE, "build"))
INSID = os.path.join(BUILD, "insid")
INSIC = os.path.join(BUILD, "insic")

WORKERS = ("raft", "storage", "cacheq", "events", "gateway")


def sanitized():
    """Whether the programs were built with AddressSanitizer: they are several times slower then."""
    with open(INSID, "rb") as program:
        return b"__asan_init" in program.read()
