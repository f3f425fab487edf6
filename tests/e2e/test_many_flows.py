# SPDX-License-Identifier: BSD-3-Clause
"""Many flows through one neighbour that moves under full traffic: no frame with a mixed header, no flow that
is left behind. The traffic never leaves the process (net_null), so that it is millions of packets a second."""

import pytest

from conftest import SLOW
from millions import Daemon, mac_of
from netns import wait_until

FLOWS, FRAMES, MOVES = 10_000, 12_000_000, 500


def all_bound(daemon, flows):
    wait_until(lambda: daemon.number("lcore/0/flow/flows") >= flows, 20 * SLOW, f"{flows} flows")


def dropped(daemon):
    """Packets that were dropped for what routing says. (Before flows are bound there are some.)"""
    return sum(daemon.number(f"total/drop/{reason}") for reason in ("no-route", "hold-full", "flows-full", "unreachable"))


def test_no_frame_carries_a_mixed_header():
    """10,000 flows, one neighbour, 500 moves, at least 10 million frames that were looked at."""
    with Daemon(FLOWS, capacity=2 * FLOWS) as daemon:
        all_bound(daemon, FLOWS)
        start, moved, moves, drops = daemon.generator.sent, daemon.number("moved"), 0, dropped(daemon)
        while moves < MOVES or daemon.generator.sent - start < FRAMES:
            moves += 1
            mark = 10 + moves % 200
            daemon.move(mark)
            if moves % 10 == 0:
                daemon.applied()
                daemon.only({mark})
        daemon.applied()
        daemon.only({mark}, 3 * FLOWS)
        assert daemon.generator.sent - start >= 10_000_000
        assert daemon.generator.torn == 0
        assert daemon.number("lcore/0/flow/flows") == FLOWS, "no flow was lost or made anew"
        assert daemon.number("moved") - moved >= FLOWS, "and each has followed"
        assert dropped(daemon) == drops


def test_each_move_takes_all_flows_along():
    with Daemon(FLOWS, capacity=2 * FLOWS) as daemon:
        all_bound(daemon, FLOWS)
        for mark in range(10, 60):
            moved = daemon.number("moved")
            daemon.move(mark)
            daemon.applied()
            daemon.only({mark}, 3 * FLOWS)
            assert daemon.number("moved") - moved == FLOWS
        assert daemon.generator.torn == 0


@pytest.mark.parametrize("change", [
    {"/route/10.2.0.0/16": "via 10.0.0.6"},
    {"/route/10.2.0.0/24": "via 10.0.0.6"},
    {"/flow/f/match": "dst=10.2.0.1", "/flow/f/priority": "1", "/flow/f/action": "via 10.0.0.6"},
], ids=["route", "more specific route", "definition"])
def test_ten_thousand_flows_are_bound_anew(change):
    """What changes is not the record that flows follow, but which: each looks again, and none goes the old way
    after that is applied."""
    with Daemon(FLOWS, capacity=2 * FLOWS) as daemon:
        all_bound(daemon, FLOWS)
        for _ in range(20):
            with daemon.transaction() as write:
                for path, value in change.items():
                    write(path, value)
            daemon.applied()
            daemon.only({6}, 3 * FLOWS)
            if "/flow/f/match" in change:
                daemon.names.remove("/flow/f")
            elif "/route/10.2.0.0/24" in change:
                daemon.names.remove("/route/10.2.0.0/24")
            else:
                daemon.names.write("/route/10.2.0.0/16", "via 10.0.0.5")
            daemon.applied()
            daemon.only({5}, 3 * FLOWS)
        assert daemon.generator.torn == 0


def test_a_mixed_header_would_be_seen():
    """That the generator can find one: an address whose bytes differ looks like a torn one."""
    with Daemon(100) as daemon:
        daemon.names.write("/neigh/out/10.0.0.5", "02:05:05:05:05:06 static")
        wait_until(lambda: daemon.generator.torn > 0)
    with Daemon(100) as daemon:
        daemon.names.write("/neigh/out/10.0.0.5", f"{mac_of(7)} static")
        daemon.applied()
        daemon.only({7})
        assert daemon.generator.torn == 0
