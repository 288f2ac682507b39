"""Debian's Chromium without a window, driven over the DevTools protocol: one JSON message after the
other, each ended by a NUL, on two pipes."""

import fcntl
import json
import os
import select
import shutil
import subprocess
import tempfile
import time

from .wait import Timeout, until

PROGRAM = "chromium"
FIRST_FREE = 10  # descriptors below are Chromium's own, 3 and 4 the pipes it expects


def is_there():
    return shutil.which(PROGRAM) is not None


class Browser:
    def __init__(self, log_path):
        """log_path: the file for what Chromium prints."""
        self.profile = tempfile.mkdtemp(prefix="insi-browser-")
        self.next_id = 1
        self.received = b""
        commands, self.commands = os.pipe()
        self.answers, answers = os.pipe()

        def hand_over():
            high = [fcntl.fcntl(end, fcntl.F_DUPFD, FIRST_FREE) for end in (commands, answers)]
            os.dup2(high[0], 3)
            os.dup2(high[1], 4)

        with open(log_path, "ab") as log:
            self.process = subprocess.Popen(
                [
                    "setpriv",
                    "--pdeathsig",
                    "KILL",
                    PROGRAM,
                    "--headless=new",
                    "--no-sandbox",  # root has none
                    "--disable-gpu",
                    "--disable-dev-shm-usage",
                    "--no-first-run",
                    "--disable-background-networking",
                    "--remote-debugging-pipe",
                    f"--user-data-dir={self.profile}",
                    "about:blank",
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=(3, 4),
                preexec_fn=hand_over,
                start_new_session=True,
            )
        os.close(commands)
        os.close(answers)

    def open(self, url):
        """A new tab with this page, loaded."""
        target = self.call("Target.createTarget", {"url": "about:blank"})["targetId"]
        session = self.call("Target.attachToTarget", {"targetId": target, "flatten": True})
        page = Page(self, session["sessionId"])
        page.call("Page.navigate", {"url": url})
        page.wait("document.readyState === 'complete' && location.href !== 'about:blank'", url, 30)
        return page

    def call(self, method, parameters=None, session=None, timeout=30):
        """The result of one command. What the browser tells unasked is dropped."""
        number, self.next_id = self.next_id, self.next_id + 1
        message = {"id": number, "method": method, "params": parameters or {}}
        if session:
            message["sessionId"] = session
        os.write(self.commands, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + timeout
        while True:
            answer = self._read(deadline, method)
            if answer.get("id") == number:
                assert "error" not in answer, f"{method}: {answer['error']}"
                return answer["result"]

    def _read(self, deadline, what):
        while b"\0" not in self.received:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self.answers], [], [], left)[0]:
                raise Timeout(f"the browser does not answer {what}")
            part = os.read(self.answers, 1 << 20)
            assert part, f"the browser has ended: {self.process.poll()}"
            self.received += part
        message, self.received = self.received.split(b"\0", 1)
        return json.loads(message)

    def close(self):
        """Closing the pipe ends it; its helpers end with it."""
        os.close(self.commands)
        os.close(self.answers)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.profile, ignore_errors=True)


class Page:
    def __init__(self, browser, session):
        self.browser, self.session = browser, session

    def call(self, method, parameters=None):
        return self.browser.call(method, parameters, self.session)

    def run(self, script):
        """The value of a JavaScript expression, as JSON."""
        result = self.call("Runtime.evaluate", {"expression": script, "returnByValue": True})
        assert "exceptionDetails" not in result, f"{script}: {result['exceptionDetails']}"
        return result["result"].get("value")

    def wait(self, script, what, timeout=15):
        """Until the expression is true; returns it."""
        return until(lambda: self.run(script), what, timeout, 0.02)
