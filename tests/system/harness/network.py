"""A network of its own for the nodes of a cluster: each in a network namespace, all on one bridge,
with the clients at the hub. Cables are cut with nftables in the namespaces, so nothing of the
machine's own network is touched. Needs root.

Node n is 10.77.0.<n + 1>, the hub 10.77.0.254. What is cut concerns nodes among each other: clients
always reach every node. A Network is not safe for use by several threads but for connect()."""

import ctypes
import os
import socket
import subprocess

HUB = "10.77.0.254"
CLONE_NEWNET = 0x40000000
RULES = "table inet faults { chain in { type filter hook input priority 0; }; }"

BURST_KBYTES = 256  # several of the kernel's large packets
NO_RST = ["tcp", "flags", "&", "rst", "==", "0"]  # which must come through


class Unavailable(Exception):
    """The kernel or our rights do not allow it."""


class Namespace:
    """A network namespace, held by a process."""

    def __init__(self):
        self.holder = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "unshare", "--net"]
            + ["sh", "-c", "ip link set lo up && echo up; exec sleep inf"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        if self.holder.stdout.readline() != "up\n":
            self.holder.kill()
            raise Unavailable(self.holder.communicate()[1].strip())
        self.path = f"/proc/{self.holder.pid}/ns/net"
        self.enter = ["nsenter", f"--net={self.path}"]

    def run(self, *command):
        run = subprocess.run(
            [*self.enter, *command], capture_output=True, text=True, timeout=60, check=False
        )
        if run.returncode != 0:
            raise Unavailable(f"{' '.join(command)}: {run.stderr.strip()}")

    def close(self):
        self.holder.kill()
        self.holder.communicate()


class Network:
    def __init__(self, count):
        self.hub, self.nodes = None, []
        try:
            self._build(count)
        except (Unavailable, FileNotFoundError) as reason:
            self.close()
            raise Unavailable(str(reason)) from None

    def _build(self, count):
        self.hub = Namespace()
        self.hub.run("ip", "link", "add", "bridge", "type", "bridge")
        self.hub.run("ip", "addr", "add", f"{HUB}/24", "dev", "bridge")
        self.hub.run("ip", "link", "set", "bridge", "up")
        for number in range(count):
            node = Namespace()
            self.nodes.append(node)
            cable = ["peer", "name", "eth0", "netns", str(node.holder.pid)]
            self.hub.run("ip", "link", "add", f"node{number}", "type", "veth", *cable)
            self.hub.run("ip", "link", "set", f"node{number}", "master", "bridge", "up")
            node.run("ip", "addr", "add", f"{address(number)}/24", "dev", "eth0")
            node.run("ip", "link", "set", "eth0", "up")
            node.run("nft", RULES)

    def close(self):
        for namespace in [self.hub, *self.nodes]:
            if namespace:
                namespace.close()

    def enter(self, number):
        """The command that runs another one at a node."""
        return self.nodes[number].enter

    def connect(self, where, timeout=None, *_, **__):
        """A TCP connection from the hub, as socket.create_connection makes one. The calling thread
        visits the hub's namespace for it."""
        with _visit(self.hub.path):
            made = socket.socket()
        made.settimeout(timeout)
        try:
            made.connect(where)
        except BaseException:
            made.close()
            raise
        return made

    # ---- faults between nodes, until heal()

    def _refuse(self, source, target, *what):
        rule = ["ip", "saddr", address(source), *what]
        self.nodes[target].run("nft", "add", "rule", "inet", "faults", "in", *rule)

    def cut(self, source, target):
        """Nothing of source's reaches target any more; the other way is open."""
        self._refuse(source, target, "drop")

    def part(self, *groups):
        """Groups of nodes that cannot reach each other."""
        place = {number: group for group, numbers in enumerate(groups) for number in numbers}
        for source, target in self._links():
            if place[source] != place[target]:
                self.cut(source, target)

    def isolate(self, number):
        """One node against all others."""
        self.part([number], [other for other in range(len(self.nodes)) if other != number])

    def hang_up(self, number):
        """The same, and its connections end at once: what was on its way to it never arrives, as it
        would when an isolation ends."""
        for source, target in self._links():
            if number in (source, target):
                self._refuse(source, target, *NO_RST, "reject", "with", "tcp", "reset")

    def lose(self, percent):
        """So many packets in a hundred are lost, on every link."""
        for source, target in self._links():
            self._refuse(
                source, target, "numgen", "random", "mod", "100", "<", str(percent), "drop"
            )

    def reset(self):
        """Connections end with a RST at their next segment, new ones are refused."""
        for source, target in self._links():
            self._refuse(source, target, *NO_RST, "reject", "with", "tcp", "reset")

    def heal(self):
        for node in self.nodes:
            node.run("nft", "flush", "chain", "inet", "faults", "in")

    # ---- a narrow way, whatever is healed meanwhile

    def narrow(self, number, kbytes):
        """From each other node no more than so many KiB a second reach this one, and those of one
        second at once, until widen()."""
        limit = f"limit rate over {kbytes} kbytes/second burst {BURST_KBYTES} kbytes drop; "
        others = [address(source) for source, target in self._links() if target == number]
        rules = "".join(f"ip saddr {other} {limit}" for other in others)
        chain = f"chain in {{ type filter hook input priority 1; {rules}}};"
        self.nodes[number].run("nft", f"table inet narrow {{ {chain} }}")

    def widen(self, number):
        self.nodes[number].run("nft", "delete table inet narrow")

    def _links(self):
        numbers = range(len(self.nodes))
        return [(source, target) for source in numbers for target in numbers if source != target]

    # ---- detours

    def detour(self, source, target, port, hub_port):
        """What source sends to a port of target goes to a port of the hub instead (proxy.py)."""
        namespace = self.nodes[source]
        if "detours" not in namespace.__dict__:
            namespace.run(
                "nft",
                "table ip detours { chain out { type nat hook output priority -100; }; }",
            )
            namespace.detours = True
        namespace.run(
            "nft",
            f"add rule ip detours out ip daddr {address(target)} tcp dport {port}"
            f" dnat to {HUB}:{hub_port}",
        )


def address(number):
    return f"10.77.0.{number + 1}"


class _visit:
    """The calling thread is in another network namespace for a while."""

    libc = ctypes.CDLL(None, use_errno=True)

    def __init__(self, path):
        self.path = path

    def __enter__(self):
        self.home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        there = os.open(self.path, os.O_RDONLY)
        try:
            self._set(there)
        finally:
            os.close(there)

    def __exit__(self, *_):
        self._set(self.home)
        os.close(self.home)

    def _set(self, namespace):
        if self.libc.setns(namespace, CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "setns")
