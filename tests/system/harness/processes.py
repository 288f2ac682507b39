"""Processes as /proc shows them, held by pidfd so that a pid used again is never mistaken."""

import os
import select
import signal


class Process:
    def __init__(self, pid):
        self.pid = pid
        self.fd = os.pidfd_open(pid)

    def __del__(self):
        self.close()

    def close(self):
        if getattr(self, "fd", -1) >= 0:
            os.close(self.fd)
            self.fd = -1

    def signal(self, number):
        try:
            signal.pidfd_send_signal(self.fd, number)
        except ProcessLookupError:
            pass

    def is_gone(self):
        return self.wait_gone(0)

    def wait_gone(self, timeout):
        """Whether it has ended within so many seconds (a zombie counts as ended)."""
        poll = select.poll()
        poll.register(self.fd, select.POLLIN)
        return bool(poll.poll(timeout * 1000))

    def __repr__(self):
        return f"process {self.pid}"


def _stat(pid):
    """Name, state and the numbers after it; None when there is no such process."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            text = file.read()
    except (FileNotFoundError, ProcessLookupError):
        return None
    left, right = text.index(b"("), text.rindex(b")")
    fields = text[right + 2 :].split()
    return text[left + 1 : right].decode(), fields[0].decode(), fields[1:]


def children(pid):
    """[(pid, name)] of the living children, in order of their pids."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            stat = _stat(entry)
            if stat and int(stat[2][0]) == pid and stat[1] not in "ZX":
                found.append((int(entry), stat[0]))
    return sorted(found)


def name(pid):
    stat = _stat(pid)
    return stat[0] if stat else "?"


def tree(pid):
    """The pid and all below it."""
    pids = [pid]
    for one in pids:
        pids.extend(child for child, _ in children(one))
    return pids


def cpu_seconds(pid):
    stat = _stat(pid)
    if not stat:
        return 0.0
    return (int(stat[2][10]) + int(stat[2][11])) / os.sysconf("SC_CLK_TCK")


def private_kib(pid):
    """Memory that only this process has (needs root for processes that refuse core dumps)."""
    total = 0
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
        for line in file:
            if line.startswith("Private_"):
                total += int(line.split()[1])
    return total


def voluntary_switches(pid):
    """Context switches of all threads because they waited."""
    total = 0
    for thread in os.listdir(f"/proc/{pid}/task"):
        try:
            with open(f"/proc/{pid}/task/{thread}/status", encoding="ascii") as file:
                for line in file:
                    if line.startswith("voluntary_ctxt_switches"):
                        total += int(line.split()[1])
        except FileNotFoundError:
            pass
    return total


def open_files(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))
