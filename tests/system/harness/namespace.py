"""Processes in a network, pid and mount namespace of their own: for what uses fixed ports (a
development node), or kills by name (the README's commands). Needs root."""

import subprocess
import sys

# Prepares the namespace, then reaps whatever loses its parent, as every process 1 must.
INIT = """
import os, signal, subprocess
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=1777", "tmpfs", "/dev/shm"], check=True)
print("up", flush=True)
while True:
    signal.sigwait({signal.SIGCHLD})
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass
"""


class Unavailable(Exception):
    """The kernel or our rights do not allow namespaces."""


class Namespace:
    """Use it as a context manager: leaving ends every process in it."""

    def __enter__(self):
        self.process = subprocess.Popen(
            [
                "setpriv",
                "--pdeathsig",
                "KILL",
                "unshare",
                "--net",
                "--pid",
                "--mount",
                "--fork",
                "--kill-child",
                "--mount-proc",
                sys.executable,
                "-c",
                INIT,
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        if self.process.stdout.readline() != "up\n":
            self.process.kill()
            raise Unavailable(self.process.communicate()[1].strip() or "no namespaces")
        with open(
            f"/proc/{self.process.pid}/task/{self.process.pid}/children", encoding="ascii"
        ) as file:
            self.init = int(file.read().split()[0])
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()

    def command(self, *arguments):
        """The command that runs another one inside."""
        return ["nsenter", f"--target={self.init}", "--net", "--pid", "--mount", *arguments]

    def run(self, *arguments, **options):
        return subprocess.run(
            self.command(*arguments),
            capture_output=True,
            text=True,
            check=False,
            **{"timeout": 60, **options},
        )

    def pids(self, name):
        """Pids, as seen inside, of processes of this name."""
        return self.run("pgrep", "-x", name).stdout.split()

    def signal(self, number, name):
        for pid in self.pids(name):
            self.run("kill", f"-{number}", pid)

    def is_ready(self, port):
        """Whether the node on this port says so."""
        answer = self.run(
            "curl",
            "-s",
            "-o",
            "/dev/null",
            "-w",
            "%{http_code}",
            f"http://127.0.0.1:{port}/db/api/v1/readyz",
        )
        return answer.stdout == "200"
