"""Reading and damaging the write-ahead log of a stopped node (format: docs/log.md)."""

import os
import struct

HEADER_BYTES = 4096
BATCH_HEADER_BYTES = 40
BATCH_MARK = 0x42574C49
AT_SALT = 72


class Batch:
    def __init__(self, offset, payload_bytes, number):
        self.offset = offset
        self.payload_bytes = payload_bytes
        self.number = number

    @property
    def payload(self):
        return self.offset + BATCH_HEADER_BYTES

    @property
    def end(self):
        return self.payload + self.payload_bytes


class Segment:
    def __init__(self, path):
        self.path = path

    def batches(self):
        """From the first to the last that has a whole header, marks included."""
        with open(self.path, "rb") as file:
            data = file.read()
        (salt,) = struct.unpack_from("<Q", data, AT_SALT)
        found, at = [], HEADER_BYTES
        while at + BATCH_HEADER_BYTES <= len(data):
            mark, size, number, _, batch_salt = struct.unpack_from("<IIQQQ", data, at)
            if mark != BATCH_MARK or batch_salt != salt:
                break
            found.append(Batch(at, size, number))
            at = found[-1].end
        return found

    def write(self, offset, data):
        with open(self.path, "r+b") as file:
            file.seek(offset)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())

    def flip_bit(self, offset, bit=3):
        with open(self.path, "rb") as file:
            file.seek(offset)
            byte = file.read(1)[0]
        self.write(offset, bytes([byte ^ (1 << bit)]))

    def zero_from(self, offset):
        self.write(offset, bytes(os.path.getsize(self.path) - offset))


def segments(node):
    """The segments of a node's log, oldest first."""
    folder = os.path.join(node.data, "log")
    names = sorted(name for name in os.listdir(folder) if name.endswith(".log"))
    return [Segment(os.path.join(folder, name)) for name in names]
