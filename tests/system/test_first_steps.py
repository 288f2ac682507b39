"""What a newcomer does: the installed programs, the development node, the README's commands."""

import os
import re
import stat
import subprocess

import pytest

from harness import binaries
from harness.client import expect
from harness.namespace import Namespace, Unavailable
from harness.node import Node
from harness.terminal import Terminal
from harness.wait import until

PORT = 8443  # of a development node and of the README


@pytest.fixture
def namespace():
    try:
        with Namespace() as made:
            yield made
    except Unavailable as reason:
        pytest.skip(f"needs namespaces of its own (root): {reason}")


def clean_environment(**more):
    """As in a fresh terminal: `make test` must not reach into the make of the test."""
    keep = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("MAKE", "MFLAGS", "INSI_"))
    }
    return {**keep, **more}


# ---- installed


@pytest.fixture
def installed(make_cluster):
    """(cluster, folder of the installed programs); built before, so nothing is compiled here."""
    cluster = make_cluster()
    destination = cluster.scratch.file("root")
    run = subprocess.run(
        [
            "make",
            "--no-print-directory",
            f"BUILD={binaries.BUILD}",
            f"SAN={'1' if binaries.sanitized() else ''}",
            "install",
            f"DESTDIR={destination}",
            "PREFIX=/usr/local",
        ],
        cwd=binaries.SOURCE,
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    return cluster, os.path.join(destination, "usr/local")


def test_the_installed_programs_work_from_where_they_are(installed):
    cluster, prefix = installed
    insid, insic = os.path.join(prefix, "bin/insid"), os.path.join(prefix, "bin/insic")
    for name in binaries.WORKERS:
        assert os.access(os.path.join(prefix, "libexec/insi", f"insi-{name}"), os.X_OK)
    node = Node("node0", cluster.config_path, cluster.settings, cluster.scratch.path, insid=insid)
    cluster.nodes = [node]
    node.start()
    running = os.readlink(f"/proc/{node.worker('raft').pid}/exe")
    assert running == os.path.join(prefix, "libexec/insi/insi-raft")
    client = cluster.tenant("tenant")
    expect(client.set("k", "v"), 200)
    client.close()
    run = subprocess.run(
        [insic, "--config", cluster.config_path, "--root", "set", "greeting", "hello"],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (run.returncode, run.stdout) == (0, "OK\n"), run.stderr
    assert node.stop() == 0


def test_an_installation_has_its_documents(installed):
    _, prefix = installed
    names = os.listdir(os.path.join(prefix, "share/doc/insi"))
    assert {"README.md", "cluster.yaml.example", "docs"} == set(names)
    documents = os.path.join(binaries.SOURCE, "docs")
    assert set(os.listdir(os.path.join(prefix, "share/doc/insi/docs"))) == set(os.listdir(documents))


# ---- the development node


@pytest.fixture
def development(namespace, make_cluster):
    """A terminal with `insid --host` in an empty folder, and the folder."""
    folder = make_cluster().scratch.file("empty")
    os.mkdir(folder)
    path = f"{binaries.BUILD}:{os.environ['PATH']}"
    terminal = Terminal(namespace, folder, clean_environment(PATH=path))
    terminal.type('insid --host; echo "exit status $?"')
    until(lambda: namespace.is_ready(PORT), "the development node is ready", 30, 0.05)
    yield terminal, folder
    terminal.close()


def test_the_commands_that_a_development_node_prints_work(development, namespace):
    terminal, folder = development
    assert "In another terminal" in terminal.transcript, terminal.transcript
    commands = re.findall(r"^  (\S.*)$", terminal.transcript, re.M)
    commands = [command for command in commands if command.startswith(("insic", "curl", "KEY="))]
    assert len(commands) >= 3, terminal.transcript
    other = Terminal(
        namespace, folder, clean_environment(PATH=f"{binaries.BUILD}:{os.environ['PATH']}")
    )
    output = "".join(other.run(command) for command in commands)
    other.close()
    assert "OK" in output and "hello" in output and '"status":"ok"' in output.replace(" ", "")


def test_a_development_node_keeps_its_data_and_secrets_private(development, namespace):
    terminal, folder = development
    config = os.path.join(folder, "insi-data", "cluster.yaml")
    assert stat.S_IMODE(os.stat(config).st_mode) == 0o600
    assert stat.S_IMODE(os.stat(os.path.dirname(config)).st_mode) == 0o700
    with open(config, encoding="utf-8") as file:
        before = file.read()
    insic = [binaries.INSIC, "--config", config, "--root"]
    assert namespace.run(*insic, "set", "k", "v").stdout == "OK\n"
    terminal.interrupt()
    until(lambda: "exit status" in terminal.transcript, "it stops", 15)
    assert "exit status 0" in terminal.transcript
    assert namespace.run("sh", "-c", "ls /dev/shm").stdout == ""
    again = Terminal(
        namespace, folder, clean_environment(PATH=f"{binaries.BUILD}:{os.environ['PATH']}")
    )
    again.type("insid --host")
    until(lambda: namespace.is_ready(PORT), "it starts again", 30, 0.05)
    with open(config, encoding="utf-8") as file:
        assert file.read() == before, "secrets are made once"
    assert namespace.run(*insic, "get", "k").stdout == "v\n"
    again.close()


# ---- the README

SERVER = re.compile(r"^(make run|\./build/insid (--host|--as)\b[^&;|]*)$")
IS_THIS_TEST = re.compile(r"^make test\b")
EXPECTED = {  # a command of the README, and what it must print
    "insic --root get greeting": r"^hello, world$",
    "insic --root iterate prefix gre": r"^greeting$",
    "api add shop\n": r"insi_[A-Za-z0-9_-]{43}",
    "$URL/get?key=cart:7": r'"data": ?"3 apples"',
    "$URL/bump": r'"value": ?"1"',
    "iterate/prefix?prefix=cart:": r'"4 apples"',
    "$URL/cache/get?key=session:9": r'"data": ?"ada"',
    "$URL/atomic/add": r'"new_value": ?1,',
    "$URL/queue/pop": r'"value": ?"resize 7.png"',
    "insic --root cache get session:9": r"^ada$",
    "insic --root atomic add hits 5": r"^5$",
    "insic --root queue pop jobs": r"^resize 7.png$",
    "insic --root get before": r"^the crash$",
    "insid --check-config": r"valid configuration",
    "--target node2 get count": r"^300$",
    "insic --root cluster\n": r"voter  leader ",
}


def blocks_of(path):
    """The shell blocks of a Markdown file."""
    with open(path, encoding="utf-8") as file:
        return re.findall(r"^```sh\n(.*?)^```$", file.read(), re.M | re.S)


def source_tree(folder):
    """A folder that looks like a fresh clone that has been built."""
    os.mkdir(folder)
    for name in os.listdir(binaries.SOURCE):
        if not name.startswith((".git", "build", "insi-data")) and name != "cluster.yaml":
            os.symlink(os.path.join(binaries.SOURCE, name), os.path.join(folder, name))
    os.symlink(binaries.BUILD, os.path.join(folder, "build"))
    return folder


class Newcomer:
    """Pastes blocks: what serves in the foreground gets a terminal of its own, as the README says,
    and ends (Ctrl-C) when the next one is started."""

    def __init__(self, namespace, folder):
        self.namespace = namespace
        self.folder = folder
        self.environment = clean_environment(TMPDIR=folder)
        self.terminal = self._open()
        self.server = None

    def _open(self):
        return Terminal(self.namespace, self.folder, self.environment)

    def paste(self, block):
        output = ""
        for command in split_servers(block):
            if SERVER.match(command):
                self.serve(command)
            else:
                output += self.terminal.run(command, 120)
        return output

    def serve(self, command):
        self.stop()
        self.server = self._open()
        self.server.type(command)
        until(
            lambda: self.namespace.is_ready(PORT),
            f"{command} serves:\n{self.server.transcript}",
            60,
            0.05,
        )

    def stop(self):
        if self.server:
            self.server.interrupt()
            self.namespace.signal(
                "INT", "insid"
            )  # started in the background, from the other terminal
            until(lambda: not self.namespace.pids("insid"), "insid has stopped", 15, 0.05)
            self.server.close()
            self.server = None

    def close(self):
        self.stop()
        self.terminal.close()


def split_servers(block):
    """The block cut at commands that serve in the foreground; `make test` is what runs just now."""
    parts = [""]
    for line in block.splitlines():
        if SERVER.match(line.split("#")[0].strip()):
            parts += [line.split("#")[0].strip(), ""]
        elif not IS_THIS_TEST.match(line):
            parts[-1] += line + "\n"
    return [part for part in parts if part.strip()]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_readmes_commands_work_as_printed(namespace, make_cluster):
    cluster = make_cluster()
    newcomer = Newcomer(namespace, source_tree(cluster.scratch.file("insi")))
    blocks = blocks_of(os.path.join(binaries.SOURCE, "README.md"))
    assert len(blocks) >= 5
    missing = dict(EXPECTED)
    try:
        for block in blocks:
            output = newcomer.paste(block)
            for command, pattern in EXPECTED.items():
                if command in block:
                    assert re.search(pattern, output, re.M), f"{block}\nprinted:\n{output}"
                    assert not re.search(r"^write \d+ failed", output, re.M), output
                    missing.pop(command, None)
    finally:
        newcomer.close()
    assert not missing, f"no longer in the README: {list(missing)}"
