# SPDX-License-Identifier: BSD-3-Clause
"""Guests over ring pages, for the tests: both what a monitor hands in, and the guest's side of the ring.

Own code on purpose, written from the layout of the page and not from Kedge's: 1024 bytes of requests, 1024 of
replies, four indexes that run freely, features, state, error.

    with Guest(monitor, 7) as guest:     # monitor: a privileged names.Names
        guest.write("data", "1")         # any call of names.Names
        guest.reconnect()
        guest.poke(REQUEST_PRODUCER, 5)  # hostile
"""

import fcntl
import mmap
import os
import select
import socket
import struct
import time

import names

PAGE, RING = 4096, 1024
REQUEST_CONSUMER, REQUEST_PRODUCER, REPLY_CONSUMER, REPLY_PRODUCER, FEATURES, STATE, ERROR = range(2048, 2076, 4)
INTRODUCE, RELEASE, IS_INTRODUCED = 8, 9, 17


class RingSocket:
    """What names.Names needs of a socket, over a page."""

    def __init__(self, timeout=10):
        self.memory = os.memfd_create("ring", os.MFD_ALLOW_SEALING)
        os.ftruncate(self.memory, PAGE)
        fcntl.fcntl(self.memory, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK)
        self.page = mmap.mmap(self.memory, PAGE)
        self.to_server, self.to_guest = os.eventfd(0, os.EFD_NONBLOCK), os.eventfd(0, os.EFD_NONBLOCK)
        self.timeout = timeout

    def close(self):
        for fd in self.memory, self.to_server, self.to_guest:
            os.close(fd)
        self.page.close()

    def settimeout(self, timeout):
        self.timeout = timeout

    def gettimeout(self):
        return self.timeout

    def get(self, offset):
        return struct.unpack_from("=I", self.page, offset)[0]

    def set(self, offset, value):
        struct.pack_into("=I", self.page, offset, value & 0xffffffff)

    def notify(self):
        os.eventfd_write(self.to_server, 1)

    def wait(self, condition):
        """Until the condition holds or the time is over."""
        deadline = time.monotonic() + self.timeout
        while not condition():
            if not select.select([self.to_guest], [], [], max(deadline - time.monotonic(), 0))[0]:
                raise TimeoutError
            os.eventfd_read(self.to_guest)

    def failed(self):
        if self.get(ERROR):
            raise ConnectionError(f"the server has given up this ring: error {self.get(ERROR)}")

    def sendall(self, data):
        while data:
            self.wait(lambda: self.failed() or self.get(REQUEST_PRODUCER) - self.get(REQUEST_CONSUMER) & 0xffffffff < RING)
            at = self.get(REQUEST_PRODUCER)
            room = RING - (at - self.get(REQUEST_CONSUMER) & 0xffffffff)
            piece = data[:min(room, RING - at % RING)]
            self.page[at % RING:at % RING + len(piece)] = piece
            self.set(REQUEST_PRODUCER, at + len(piece))
            self.notify()
            data = data[len(piece):]

    def recv(self, room):
        self.wait(lambda: self.get(REPLY_PRODUCER) != self.get(REPLY_CONSUMER) or self.failed())
        at = self.get(REPLY_CONSUMER)
        size = min(self.get(REPLY_PRODUCER) - at & 0xffffffff, RING - at % RING, room)
        data = self.page[RING + at % RING:RING + at % RING + size]
        self.set(REPLY_CONSUMER, at + size)
        self.notify()
        return data


class Guest(names.Names):
    def __init__(self, monitor, domid, life=None):
        self.socket = RingSocket()
        self.domid = domid
        self.forget()
        monitor.mkdir(f"/local/domain/{domid}")
        monitor.set_perms(f"/local/domain/{domid}", f"n{domid}")
        introduce(monitor, domid, self.descriptors + ([life] if life is not None else []))

    @property
    def descriptors(self):
        return [self.socket.memory, self.socket.to_server, self.socket.to_guest]

    def forget(self):
        self.buffer, self.events, self.tx = b"", [], 0

    def reason(self):
        return ""  # /stats is none of a guest's business

    def poke(self, offset, value):
        self.socket.set(offset, value)
        self.socket.notify()

    def wait_error(self, code):
        self.socket.wait(lambda: self.socket.get(ERROR) == code)

    def reconnect(self):
        self.poke(STATE, 1)
        self.socket.wait(lambda: self.socket.get(STATE) == 0)
        self.forget()


def introduce(monitor, domid, descriptors, gfn=0, port=1):
    payload = f"{domid}\0{gfn}\0{port}\0".encode()
    socket.send_fds(monitor.socket, [names.HEADER.pack(INTRODUCE, 0, 0, len(payload)) + payload], descriptors)
    try:
        monitor.receive()
    except names.NamesError as error:
        raise names.NamesError(error.errno_name, monitor.reason()) from None


def introduced(client, domid):
    return client.ask(IS_INTRODUCED, domid) == b"T\0"
