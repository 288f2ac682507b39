"""Looking into a node's LMDB maps with Debian's mdb_stat, also while the node runs."""

import os
import re
import subprocess


def entries(node, database, file="values/values.mdb"):
    """How many records a database of a map holds."""
    run = subprocess.run(
        ["mdb_stat", "-n", "-s", database, os.path.join(node.data, file)],
        capture_output=True,
        text=True,
        check=True,
    )
    return int(re.search(r"Entries: (\d+)", run.stdout).group(1))
