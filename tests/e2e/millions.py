# SPDX-License-Identifier: BSD-3-Clause
"""A daemon under millions of packets a second: two net_null ports with bench/'s traffic generator on them,
which counts the frames that leave by their destination MAC address, and those whose address is neither
a whole old nor a whole new one.

    with Daemon(flows=10_000) as daemon:
        daemon.move(7)                        # the neighbour 10.0.0.5 gets the MAC address mac_of(7)
        daemon.applied()
        daemon.only({7})                      # no other mark leaves any more
        daemon.generator.torn                 # 0

All flows go to 10.2.0.1, for which there is a route via 10.0.0.5; their sources are in 10.1.0.0/16.
"""

import contextlib
import sys

from conftest import BUILD, KEDGED, ROOT, SLOW
from netns import wait_until

sys.path.insert(0, str(ROOT))
from bench import generator, programs  # noqa: E402
from bench.names import Refused  # noqa: E402, F401

BROADCAST = 0xff
mac_of = programs.mac_of
programs.KEDGED, programs.PLUGIN = str(KEDGED), str(BUILD / "bench/generator.so")
programs.BURST_SECONDS = 30 * SLOW


class Daemon(programs.Kedged):
    def __init__(self, flows, capacity=None, arguments=(), **more):
        super().__init__(flows, capacity, arguments=["--no-huge", *arguments], **more)

    def number(self, name):
        return int(self.names.read(f"/stats/{name}"))

    def applied(self):
        self.names.read("/stats/applied")

    def move(self, mark, address="10.0.0.5"):
        self.names.write(f"/neigh/out/{address}", f"{mac_of(mark)} static")

    @contextlib.contextmanager
    def transaction(self):
        """Gives a function write(path, value)."""
        tx = self.names.begin()
        yield lambda path, value: self.names.write(path, value, tx)
        self.names.commit(tx)

    def counts(self):
        return [self.generator.count(mark) for mark in range(generator.MARKS)]

    def wait_frames(self, count):
        goal = self.generator.sent + count
        wait_until(lambda: self.generator.sent >= goal, 20 * SLOW, f"{count} more frames leave", step=0.0005)

    def only(self, marks, frames=5000):
        """From here on frames carry these marks only (and BROADCAST, by which the stack itself speaks)."""
        before = self.counts()
        self.wait_frames(frames)
        changed = {mark for mark, (was, now) in enumerate(zip(before, self.counts())) if now != was} - {BROADCAST}
        assert changed and changed <= set(marks), f"frames carry {changed}, and should carry {marks}"
