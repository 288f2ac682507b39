"""One node: an insid process with its workers, started as an operator would start it."""

import os
import signal
import subprocess
import time

from . import binaries, processes
from .client import Client, Dropped
from .log import Log
from .processes import Process
from .wait import Timeout, until

STOP_SECONDS = 10  # the contract's; a little is added for a busy machine


class Node:
    def __init__(self, node_id, config_path, settings, folder, insid=binaries.INSID):
        self.id = node_id
        self.config_path = config_path
        self.settings = settings
        self.folder = folder
        self.insid = insid
        self.http_host, self.http_port = settings.http_address(node_id)
        self.data = os.path.join(settings.values["dataDir"], node_id)
        self.log = Log(os.path.join(folder, f"{node_id}.log"))
        self.output = Log(os.path.join(folder, f"{node_id}.out"))
        self.process = None
        self.prefix = []  # a command that runs insid, such as nsenter
        self.connect = None  # how clients reach it, when not as usual

    # ---- start and stop

    def start(self, wait=True, environment=None, arguments=None):
        """Starts insid and waits until the node is ready. setpriv ends it with the test process,
        whatever ends that."""
        assert not self.is_running()
        command = ["setpriv", "--pdeathsig", "KILL", *self.prefix, self.insid]
        command += arguments or ["--as", self.id, "--config", self.config_path]
        with open(self.log.path, "ab") as log, open(self.output.path, "ab") as output:
            self.process = subprocess.Popen(
                command,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=log,
                start_new_session=True,
                env={**os.environ, **(environment or {})},
            )
        if wait:
            self.wait_ready()
        return self

    def is_running(self):
        return self.process is not None and self.process.poll() is None

    def is_ready(self):
        if not self.is_running():
            raise AssertionError(
                f"{self.id} ended with {self.process.returncode}:\n" + self.log.text()[-3000:]
            )
        client = self.client(timeout=2)
        try:
            return client.call("GET", "/readyz").status == 200
        except Dropped:
            return False
        finally:
            client.close()

    def wait_ready(self, timeout=30.0):
        try:
            until(self.is_ready, f"{self.id} is ready", timeout)
        except Timeout as error:
            raise Timeout(f"{error}\n{self.log.text()[-3000:]}") from None

    def wait_exit(self, timeout=STOP_SECONDS + 5):
        """The exit status; the node must end by itself."""
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise Timeout(f"{self.id} does not end:\n{self.log.text()[-3000:]}") from None

    def stop(self):
        """SIGTERM; the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.wait_exit()

    def kill(self, workers_first=False):
        """SIGKILL for insid and all its workers, and waits until they are gone."""
        handles = self.all_processes()
        order = reversed(handles) if workers_first else handles
        for process in order:
            process.signal(signal.SIGKILL)
        self._wait_gone(handles)

    def kill_supervisor(self):
        """SIGKILL for insid alone: the workers must end with it."""
        handles = self.all_processes()
        handles[0].signal(signal.SIGKILL)
        self._wait_gone(handles)

    def _wait_gone(self, handles):
        self.process.wait(10)
        for process in handles:
            if not process.wait_gone(10):
                raise Timeout(f"{process} of {self.id} is still alive")

    def clean_up(self):
        """For the end of a test: nothing of the node is left running. True: it ended in order (or
        had ended before)."""
        if not self.is_running():
            return True
        handles = self.all_processes()
        self.process.send_signal(signal.SIGTERM)
        try:
            in_order = self.process.wait(STOP_SECONDS + 5) == 0
        except subprocess.TimeoutExpired:
            in_order = False
        for process in handles:
            process.signal(signal.SIGKILL)
        self.process.wait()
        return in_order

    # ---- its processes

    def all_processes(self):
        """insid first, then its workers."""
        found = []
        for pid in processes.tree(self.process.pid):
            try:
                found.append(Process(pid))
            except ProcessLookupError:
                pass
        return found

    def workers(self, name):
        """The worker processes of a kind ("gateway": there may be several)."""
        program = f"insi-{name}"
        found = []
        for pid, program_name in processes.children(self.process.pid):
            if program_name == program:
                try:
                    found.append(Process(pid))
                except ProcessLookupError:
                    pass
        return found

    def worker(self, name):
        return until(lambda: self.workers(name), f"{name} of {self.id} runs")[0]

    def signal_worker(self, name, number):
        """Sends the signal and returns (the process, the size of the log before)."""
        process, position = self.worker(name), self.log.size()
        process.signal(number)
        return process, position

    def restart_worker(self, name, number, timeout=15.0):
        """Signals the worker and waits for its successor to serve: the seconds it took."""
        started = time.monotonic()
        process, position = self.signal_worker(name, number)
        if not process.wait_gone(timeout):
            raise Timeout(f"{name} outlives signal {number}")
        self.wait_worker_ready(name, position, timeout)
        return time.monotonic() - started

    def wait_worker_ready(self, name, position, timeout=15.0):
        """Until the supervisor has logged, after this position, that the worker serves."""
        until(
            lambda: any(
                line.fields.get("child", "").rstrip("0123456789") == name
                for line in self.log.find("child_ready", position)
            ),
            f"{name} of {self.id} serves again",
            timeout,
        )

    # ---- talking to it

    def client(self, token=None, timeout=30.0):
        ca = self.settings.values.get("tls", {}).get("ca")
        return Client(self.http_port, token, timeout, self.http_host, self.connect, ca)

    def root(self, timeout=30.0):
        return self.client(self.settings.root_token(), timeout)

    def shm_leftovers(self):
        """What a stopped node left in its shmDir."""
        found = []
        for folder, _, files in os.walk(self.settings.values["shmDir"]):
            found.extend(os.path.join(folder, name) for name in files)
            if (
                os.path.basename(folder).startswith("insi-")
                and folder != self.settings.values["shmDir"]
            ):
                found.append(folder)
        return found
