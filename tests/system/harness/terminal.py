"""A shell that is fed commands as somebody would paste them."""

import os
import re
import signal
import subprocess
import threading

from .wait import until

MARK = "insi-terminal-block-ended"


class Terminal:
    """A bash in a folder, inside a namespace. What it prints is in transcript."""

    def __init__(self, namespace, folder, environment):
        self.transcript = ""
        self.process = subprocess.Popen(
            namespace.command("bash", "--norc", "--noprofile"),
            cwd=folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            bufsize=1,
            start_new_session=True,
        )
        threading.Thread(target=self._read, daemon=True).start()
        self.type("cd " + folder)
        self.type("set -E; trap 'echo \"failed: $BASH_COMMAND\"' ERR")

    def _read(self):
        for line in self.process.stdout:
            self.transcript += line

    def type(self, text):
        self.process.stdin.write(text + "\n")
        self.process.stdin.flush()

    def run(self, block, timeout=60):
        """Runs a block of commands; returns what it printed. Every command must succeed."""
        start = len(self.transcript)
        self.type(block + f"\necho {MARK}")
        until(
            lambda: MARK + "\n" in self.transcript[start:],
            f"the end of: {block}\n{self.transcript[start:]}",
            timeout,
        )
        output = self.transcript[start:].replace(MARK + "\n", "")
        failed = re.findall(r"^failed: .*$", output, re.M)
        assert not failed, f"{failed}\n{output}"
        return output

    def interrupt(self):
        """Ctrl-C."""
        os.killpg(self.process.pid, signal.SIGINT)

    def close(self):
        self.process.stdin.close()
        self.process.kill()
        self.process.wait()
