"""Looking into a node's LMDB maps with Debian's mdb_stat, also while the node runs."""

import glob
import os
import re
import subprocess

from .wait import until


def entries(node, database, file="values/values.mdb"):
    """How many records a database of a map holds."""
    return entries_at(os.path.join(node.data, file), database)


def entries_at(path, database):
    run = subprocess.run(
        ["mdb_stat", "-n", "-s", database, path],
        env={"PATH": os.environ["PATH"]},  # pytest's has the test's name, however long
        capture_output=True,
        text=True,
        check=True,
    )
    return int(re.search(r"Entries: (\d+)", run.stdout).group(1))


def wait_for_pops(cluster, count):
    """Until so many pops wait in queues, as every node knows them."""

    def agreed():
        paths = glob.glob(os.path.join(cluster.scratch.tmpfs, "*", "volatile", "volatile.mdb"))
        return all(entries_at(path, "waiters") == count for path in paths)

    until(agreed, f"{count} pops wait", 30, 0.01)
