"""A small file system at a folder, seen only in a mount namespace of its own. Needs root."""

import fcntl
import os
import struct
import subprocess

EXT4_IOC_SHUTDOWN = 0x8004587D
SHUTDOWN_WITHOUT_FLUSH = 2


class Unavailable(Exception):
    """The kernel or our rights do not allow it."""


class Disk:
    """Starts empty and without a file system: then tmpfs() or ext4()."""

    def __init__(self, folder):
        os.makedirs(folder, exist_ok=True)
        self.folder = folder
        self.holder = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "unshare", "--mount"]
            + ["sh", "-c", "echo up; exec sleep inf"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        if self.holder.stdout.readline() != "up\n":
            raise Unavailable(self.holder.communicate()[1].strip())
        self.enter = ["nsenter", f"--mount=/proc/{self.holder.pid}/ns/mnt"]

    def run(self, *command):
        run = subprocess.run(
            [*self.enter, *command], capture_output=True, text=True, timeout=60, check=False
        )
        if run.returncode != 0:
            raise Unavailable(run.stderr.strip() or f"{command[0]} failed")

    def tmpfs(self, mib):
        self.run("mount", "-t", "tmpfs", "-o", f"size={mib}m,mode=700", "tmpfs", self.folder)
        return self

    def ext4(self, image, mib):
        with open(image, "wb") as file:
            file.truncate(mib << 20)
        self.run("mkfs.ext4", "-q", image)
        return self.mount(image)

    def mount(self, image):
        self.run("mount", "-o", "loop", image, self.folder)
        return self

    def unmount(self):
        self.run("umount", self.folder)

    def path(self, name=""):
        """A file of the disk, as it is reached from outside the namespace."""
        return f"/proc/{self.holder.pid}/root{self.folder}/{name}"

    def cut_power(self):
        """From now on nothing reaches the disk, and what was not synced never does."""
        folder = os.open(self.path(), os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.ioctl(folder, EXT4_IOC_SHUTDOWN, struct.pack("I", SHUTDOWN_WITHOUT_FLUSH))
        finally:
            os.close(folder)

    def close(self):
        self.holder.kill()
        self.holder.communicate()
