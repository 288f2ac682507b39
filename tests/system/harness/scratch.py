"""Folders of one test: a short path below the temporary folder (socket paths are limited to 107
bytes) and one on tmpfs. Both names carry the pid of the test process, so that what a killed test
run left behind is recognised and removed by the next one."""

import os
import re
import shutil
import tempfile
import time

TMPFS = "/dev/shm"
NAME = re.compile(r"^insi-t-(\d+)-")


def temporary_folder():
    return os.environ.get("INSI_TEST_TMP") or tempfile.gettempdir()


def failed_folder():
    """Where the folders of failed tests go."""
    return os.environ.get("INSI_TEST_KEEP") or os.path.join(temporary_folder(), "insi-failed")


def remove_leftovers():
    """Removes folders of test processes that are gone."""
    for place in {temporary_folder(), TMPFS}:
        for name in os.listdir(place):
            found = NAME.match(name)
            if found and not os.path.exists(f"/proc/{found.group(1)}"):
                shutil.rmtree(os.path.join(place, name), ignore_errors=True)


class Scratch:
    def __init__(self):
        prefix = f"insi-t-{os.getpid()}-"
        self.path = tempfile.mkdtemp(prefix=prefix, dir=temporary_folder())
        self.tmpfs = tempfile.mkdtemp(prefix=prefix, dir=TMPFS)

    def file(self, *parts):
        return os.path.join(self.path, *parts)

    def remove(self):
        shutil.rmtree(self.path, ignore_errors=True)
        shutil.rmtree(self.tmpfs, ignore_errors=True)

    def keep(self, name):
        """Moves the folder to where failures are kept and returns the new path. Within one file
        system: the maps are sparse files of a terabyte, which must not be copied."""
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
