"""Certificates of a test: an authority, and nodes' certificates that it signed."""

import os
import subprocess

NAMES = ["DNS:localhost", "IP:127.0.0.1"]


class Authority:
    """Keeps everything in the folder: ca.crt, and what sign() makes."""

    def __init__(self, folder, name="test CA"):
        self.folder = folder
        os.makedirs(folder, exist_ok=True)
        self._openssl(*self._new("ca"), "-x509", "-subj", f"/CN={name}", "-out", "ca.crt")

    def _openssl(self, *arguments):
        subprocess.run(["openssl", *arguments], cwd=self.folder, check=True, capture_output=True)

    @staticmethod
    def _new(name):
        curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
        return ["req", *curve, "-nodes", "-keyout", f"{name}.key", "-days", "2"]

    def path(self, name):
        return os.path.join(self.folder, name)

    def sign(self, name="node", names=None):
        """<name>.crt and <name>.key; the tls section that uses them."""
        with open(self.path("names"), "w", encoding="ascii") as file:
            file.write("subjectAltName=" + ",".join(names or NAMES))
        self._openssl(*self._new(name), "-subj", f"/CN={name}", "-out", f"{name}.csr")
        signing = ["-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-extfile", "names"]
        request = ["-req", "-in", f"{name}.csr", "-days", "2", "-out", f"{name}.crt"]
        self._openssl("x509", *request, *signing)
        return {
            "cert": self.path(f"{name}.crt"),
            "key": self.path(f"{name}.key"),
            "ca": self.path("ca.crt"),
        }
