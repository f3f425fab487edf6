# SPDX-License-Identifier: BSD-3-Clause
"""The log of moved flows: each flow is told on its worker which link of its chain moved, from where to where."""

import json
import os

from conftest import KEDGECTL, SLOW
from millions import Daemon, mac_of
from netns import execute, wait_until

FLOWS = 50


def ctl(daemon, *words):
    return execute([KEDGECTL, "--socket", os.path.join(daemon.directory, "socket"), *words]).stdout


def moves(daemon):
    return json.loads(ctl(daemon, "flow", "moves", "--json"))


def wait_count(daemon, link, count):
    wait_until(lambda: daemon.number(f"moves/{link}") == count, 5 * SLOW, f"{count} flows moved by their {link}")
    wait_until(lambda: moves(daemon) and link in moves(daemon)[0]["moved"], 5 * SLOW, f"{link} is in the log")


def all_forwarded(daemon):
    """Every flow is there and goes where it shall: a port may have been opened after the first packets. Answers how
    many calls that was."""
    wait_until(lambda: daemon.number("lcore/0/flow/flows") >= FLOWS, 20 * SLOW)
    daemon.applied()
    return daemon.number("lcore/0/flow/heard")


def test_each_flow_is_told_what_moved():
    with Daemon(FLOWS, capacity=1000, arguments=["--log-moves", "--log", "info"]) as daemon:
        heard = all_forwarded(daemon)
        daemon.move(7)
        wait_count(daemon, "neighbour", FLOWS)
        newest = moves(daemon)[0]
        assert newest["moved"] == ["neighbour"] and newest["dst"] == "10.2.0.1"
        assert (newest["from"]["mac_to"], newest["to"]["mac_to"]) == (mac_of(5), mac_of(7))
        assert newest["from"]["port"] == newest["to"]["port"] == "out"
        daemon.names.write("/route/10.2.0.0/24", "via 10.0.0.6")
        wait_count(daemon, "route", FLOWS)
        newest = moves(daemon)[0]
        assert newest["moved"] == ["route", "adjacency"] and newest["to"]["next_hop"] == "10.0.0.6"
        daemon.names.write("/route/10.2.0.0/24", "reject")
        wait_until(lambda: moves(daemon)[0]["to"]["action"] == "reject", 5 * SLOW)
        daemon.names.write("/route/10.2.0.0/24", "via 10.0.0.6")
        wait_count(daemon, "route", 3 * FLOWS)
        with daemon.transaction() as write:
            write("/flow/f/match", "proto=udp")
            write("/flow/f/action", "via 10.0.0.5")
        wait_count(daemon, "definition", FLOWS)
        assert daemon.number("moves/neighbour") == FLOWS
        assert daemon.number("lcore/0/flow/heard") == heard + 5 * FLOWS
        lines = ctl(daemon, "flow", "moves").splitlines()
        assert "moved from forward out" in lines[-1] and lines[-1].endswith(": definition, route, adjacency")


def test_moves_are_logged():
    """A few a second: whatever came before, some of those that go on and on."""
    with Daemon(FLOWS, capacity=1000, arguments=["--log-moves", "--log", "info"]) as daemon:
        all_forwarded(daemon)

        def is_logged():
            daemon.move(7)
            daemon.move(5)
            with open(os.path.join(daemon.directory, "log"), encoding="utf-8") as log:
                return f"moved from out {mac_of(5)} to out {mac_of(7)}: neighbour" in log.read()

        wait_until(is_logged, 20 * SLOW, "a move is in the log", step=0.2)


def test_one_commit_is_one_move():
    """Everything in the chain changes in one transaction."""
    with Daemon(FLOWS, capacity=1000, arguments=["--log-moves"]) as daemon:
        heard, adjacency = all_forwarded(daemon), daemon.number("moves/adjacency")
        with daemon.transaction() as write:
            write("/neigh/out/10.0.0.5", f"{mac_of(8)} static")
            write("/neigh/out/10.0.0.6", f"{mac_of(9)} static")
            write("/iface/out/mac", "02:00:00:00:00:33")
            write("/route/10.2.0.0/16", "via 10.0.0.6")
            write("/flow/f/match", "proto=udp")
        wait_count(daemon, "definition", FLOWS)
        daemon.applied()
        assert daemon.number("moves/adjacency") == adjacency + FLOWS
        assert daemon.number("lcore/0/flow/heard") == heard + FLOWS
        daemon.only({9}, 500)


def test_without_the_option_nobody_is_told():
    with Daemon(FLOWS) as daemon:
        wait_until(lambda: daemon.number("lcore/0/flow/flows") >= FLOWS, 20 * SLOW)
        daemon.move(7)
        daemon.applied()
        assert daemon.number("lcore/0/flow/heard") == daemon.number("moves/neighbour") == 0
        assert moves(daemon) == []
