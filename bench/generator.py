# SPDX-License-Identifier: BSD-3-Clause
"""The file that the traffic generator (generator.c) and the harness share; layout in generator.h."""

import mmap
import os
import struct

MAGIC = 0x4B474731
MARKS = 256
SIZE = 64 + 3 * 8 * MARKS


class Generator:
    """Makes the file, sets what the traffic is like, reads what was seen of it."""

    def __init__(self, path, flows=1, destination="02:00:00:00:00:01", like_a_nic=True):
        self.path = path
        with open(path, "wb") as file:
            file.write(bytes(SIZE))
        fd = os.open(path, os.O_RDWR)
        self.map = mmap.mmap(fd, SIZE)
        os.close(fd)
        mac = bytes(int(part, 16) for part in destination.split(":"))
        struct.pack_into("<IIII6s2xII", self.map, 0, MAGIC, flows, int(like_a_nic), 0, mac, 0, 0)

    def _get32(self, offset):
        return struct.unpack_from("<I", self.map, offset)[0]

    def _get64(self, offset):
        return struct.unpack_from("<Q", self.map, offset)[0]

    def set_flows(self, flows, first=0):
        struct.pack_into("<I", self.map, 24, first)
        struct.pack_into("<I", self.map, 4, flows)

    def pause(self, paused=True):
        struct.pack_into("<I", self.map, 12, int(paused))

    @property
    def ports(self):
        return self._get32(28)

    @property
    def received(self):
        return self._get64(32)

    @property
    def sent(self):
        return self._get64(40)

    @property
    def torn(self):
        return self._get64(48)

    @property
    def tsc(self):
        return self._get64(56)

    def count(self, mark):
        return self._get64(64 + 8 * mark)

    def first(self, mark):
        return self._get64(64 + 8 * (MARKS + mark))

    def last(self, mark):
        return self._get64(64 + 8 * (2 * MARKS + mark))

    def clear(self, mark):
        """Forget a mark's counters, while no frame carries it."""
        for row in range(3):
            struct.pack_into("<Q", self.map, 64 + 8 * (row * MARKS + mark), 0)

    def close(self):
        self.map.close()
        os.unlink(self.path)
