"""Folders of one test: a short path below the temporary folder (socket paths are limited to 107
bytes) and one on tmpfs. Both are locked as long as the test process lives, so that what a killed
run left behind is recognised and removed by a later one."""

import fcntl
import os
import re
import shutil
import tempfile
import time

TMPFS = "/dev/shm"
PREFIX = "insi-t-"
NEW_SECONDS = 60  # so young a folder may not have its lock yet


def temporary_folder():
    return os.environ.get("INSI_TEST_TMP") or tempfile.gettempdir()


def failed_folder():
    """Where the folders of failed tests go."""
    return os.environ.get("INSI_TEST_KEEP") or os.path.join(temporary_folder(), "insi-failed")


def _lock(folder):
    """Holds the folder until the descriptor is closed; None: somebody else does."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def _remove_if_left(folder):
    if time.time() - os.stat(folder).st_mtime < NEW_SECONDS:
        return
    lock = _lock(folder)
    if lock is not None:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def remove_leftovers():
    """Removes folders of test processes that are gone."""
    for place in {temporary_folder(), TMPFS}:
        for name in os.listdir(place):
            if name.startswith(PREFIX):
                try:
                    _remove_if_left(os.path.join(place, name))
                except FileNotFoundError:
                    pass  # another run removed it


class Scratch:
    def __init__(self):
        self.path = tempfile.mkdtemp(prefix=PREFIX, dir=temporary_folder())
        self.tmpfs = tempfile.mkdtemp(prefix=PREFIX, dir=TMPFS)
        self.locks = [_lock(self.path), _lock(self.tmpfs)]

    def _unlock(self):
        for lock in self.locks:
            os.close(lock)
        self.locks = []

    def file(self, *parts):
        return os.path.join(self.path, *parts)

    def remove(self):
        shutil.rmtree(self.path, ignore_errors=True)
        shutil.rmtree(self.tmpfs, ignore_errors=True)
        self._unlock()

    def keep(self, name):
        """Moves the folder to where failures are kept and returns the new path. Within one file
        system: the maps are sparse files of a terabyte, which must not be copied."""
        self._unlock()
        shutil.rmtree(self.tmpfs, ignore_errors=True)
        os.makedirs(failed_folder(), exist_ok=True)
        safe = re.sub(r"[^A-Za-z0-9_.-]+", "_", name)[:80]
        place = os.path.join(
            failed_folder(), f"{time.strftime('%m%d-%H%M%S')}-{safe}-{os.getpid()}"
        )
        try:
            os.rename(self.path, place)
        except OSError:
            return self.path
        return place
