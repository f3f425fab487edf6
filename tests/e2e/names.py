# SPDX-License-Identifier: BSD-3-Clause
"""A tiny client of the Xenstore wire protocol (xenstore.txt, io/xs_wire.h), for the tests.

Own code on purpose: libxenstore and pyxs hide what a server answers, and a test must be able to send
anything. One request is in flight at a time, unless send() and receive() are used directly.

    with Names(path) as names:
        names.write("/tool/x", "1")
        names.read("/tool/x")            # "1"; raises NamesError with .errno_name and .reason
        names.list("/port")              # ["p0", "p1"]
        with names.transaction() as tx:  # committed at the end, aborted by an exception
            tx.write("/port/p0/mtu", "1400")
        names.watch("/neigh", "token")
        names.event(timeout=1)           # ("/neigh/br0/10.0.0.5", "token"), None if there is none
"""

import contextlib
import socket
import struct
import time

CONTROL, DIRECTORY, READ, GET_PERMS, WATCH, UNWATCH = range(6)
TRANSACTION_START, TRANSACTION_END = 6, 7
WRITE, MKDIR, RM, SET_PERMS, WATCH_EVENT, ERROR = range(11, 17)
RESET_WATCHES, DIRECTORY_PART = 21, 22
SET_FEATURE, GET_QUOTA, SET_QUOTA = 24, 25, 26

HEADER = struct.Struct("<IIII")  # type, req_id, tx_id, len


class NamesError(Exception):
    """The server refused: errno_name as on the wire, reason from /stats/self/error."""

    def __init__(self, errno_name, reason=""):
        super().__init__(f"{errno_name}: {reason}" if reason else errno_name)
        self.errno_name, self.reason = errno_name, reason


def encode(value):
    return value if isinstance(value, bytes) else str(value).encode()


class Names:
    def __init__(self, path, timeout=10):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(timeout)
        self.socket.connect(str(path))
        self.buffer = b""
        self.events = []
        self.tx = 0

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    # ---- messages ----

    def send(self, kind, payload=b"", tx=None, request=0):
        self.socket.sendall(HEADER.pack(kind, request, self.tx if tx is None else tx, len(payload)) + payload)

    def message(self):
        """The next message, whatever it is: (type, request id, transaction id, payload)."""
        while True:
            if len(self.buffer) >= HEADER.size:
                kind, request, tx, size = HEADER.unpack_from(self.buffer)
                end = HEADER.size + size
                if len(self.buffer) >= end:
                    payload, self.buffer = self.buffer[HEADER.size:end], self.buffer[end:]
                    return kind, request, tx, payload
            data = self.socket.recv(65536)
            if not data:
                raise ConnectionError("the server closed the connection")
            self.buffer += data

    def receive(self):
        """The next reply; events that come before it are kept for event()."""
        while True:
            kind, _, _, payload = self.message()
            if kind == WATCH_EVENT:
                self.events.append(payload)
                continue
            if kind == ERROR:
                raise NamesError(payload.rstrip(b"\0").decode())
            return payload

    def ask(self, kind, *strings, tx=None):
        self.send(kind, b"".join(encode(s) + b"\0" for s in strings), tx)
        try:
            return self.receive()
        except NamesError as error:
            raise NamesError(error.errno_name, self.reason()) from None

    def reason(self):
        """The sentence that explains the last refusal of this connection; "" if it can't be read."""
        self.send(READ, b"/stats/self/error\0", 0)
        try:
            return self.receive().decode()
        except NamesError:
            return ""

    # ---- operations ----

    def read(self, path):
        return self.ask(READ, path).decode()

    def get(self, path, default=None):
        """As read(), but default if there is no such name."""
        try:
            return self.read(path)
        except NamesError as error:
            if error.errno_name != "ENOENT":
                raise
            return default

    def list(self, path):
        payload = self.ask(DIRECTORY, path)
        return [name.decode() for name in payload.split(b"\0")[:-1]]

    def write(self, path, value):
        self.send(WRITE, encode(path) + b"\0" + encode(value))
        try:
            self.receive()
        except NamesError as error:
            raise NamesError(error.errno_name, self.reason()) from None

    def mkdir(self, path):
        self.ask(MKDIR, path)

    def remove(self, path):
        self.ask(RM, path)

    def perms(self, path):
        return [perm.decode() for perm in self.ask(GET_PERMS, path).split(b"\0")[:-1]]

    def set_perms(self, path, *perms):
        self.ask(SET_PERMS, path, *perms)

    @contextlib.contextmanager
    def transaction(self):
        self.tx = int(self.ask(TRANSACTION_START, "", tx=0).rstrip(b"\0"))
        try:
            yield self
        except BaseException:
            with contextlib.suppress(NamesError, OSError):
                self.ask(TRANSACTION_END, "F")
            raise
        else:
            self.ask(TRANSACTION_END, "T")
        finally:
            self.tx = 0

    def watch(self, path, token):
        self.ask(WATCH, path, token)

    def unwatch(self, path, token):
        self.ask(UNWATCH, path, token)

    def event(self, timeout=1.0):
        """The next watch event as (path, token); None if there is none in time."""
        deadline = time.monotonic() + timeout
        before = self.socket.gettimeout()
        try:
            while not self.events:
                self.socket.settimeout(max(deadline - time.monotonic(), 0.001))
                try:
                    kind, _, _, payload = self.message()
                except TimeoutError:
                    return None
                assert kind == WATCH_EVENT, f"message of type {kind} without a request"
                self.events.append(payload)
        finally:
            self.socket.settimeout(before)
        path, token = self.events.pop(0).split(b"\0")[:2]
        return path.decode(), token.decode()

    def applied(self):
        """Wait until every commit acknowledged on this connection is applied."""
        self.read("/stats/applied")

    def tree(self, path):
        """Everything below path as {path: value}."""
        found = {}
        for name in self.list(path):
            child = f"{path.rstrip('/')}/{name}"
            found[child] = self.read(child)
            found.update(self.tree(child))
        return found
