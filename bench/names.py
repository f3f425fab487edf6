# SPDX-License-Identifier: BSD-3-Clause
"""A client of the control socket, small and quick: the Xenstore wire protocol."""

import socket
import struct
import time

READ, WRITE, RM, ERROR = 2, 11, 13, 16
TRANSACTION_START, TRANSACTION_END = 6, 7


class Refused(Exception):
    """The daemon's error name, and its reason."""


class Names:
    def __init__(self, path, timeout=10):
        end = time.monotonic() + timeout
        while True:
            self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                self.socket.connect(path)
                return
            except OSError:
                self.socket.close()
                if time.monotonic() > end:
                    raise
                time.sleep(0.02)

    def _receive(self, size):
        data = b""
        while len(data) < size:
            part = self.socket.recv(size - len(data))
            if not part:
                raise ConnectionError("the daemon has closed the connection")
            data += part
        return data

    def request(self, kind, payload, tx=0):
        self.socket.sendall(struct.pack("<IIII", kind, 0, tx, len(payload)) + payload)
        answer, _, _, size = struct.unpack("<IIII", self._receive(16))
        data = self._receive(size)
        if answer == ERROR:
            raise Refused(data.rstrip(b"\0").decode())
        return data

    def read(self, path):
        return self.request(READ, path.encode() + b"\0").decode()

    def write(self, path, value, tx=0):
        self.request(WRITE, path.encode() + b"\0" + value.encode(), tx)

    def remove(self, path, tx=0):
        self.request(RM, path.encode() + b"\0", tx)

    def begin(self):
        return int(self.request(TRANSACTION_START, b"\0").rstrip(b"\0"))

    def commit(self, tx):
        self.request(TRANSACTION_END, b"T\0", tx)

    def close(self):
        self.socket.close()
