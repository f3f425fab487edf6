# SPDX-License-Identifier: BSD-3-Clause
"""Storms of changes under full traffic. After each: all is applied, nothing was lost, memory is bounded, forwarding
has gone on, and `kedgectl check` finds that every flow of every worker, and every record, agrees with the names. And
that the check would have found one that does not."""

import contextlib
import ctypes
import json
import os
import re
import signal
import struct
import time

from conftest import KEDGECTL, SLOW
from millions import Daemon, mac_of, programs
from netns import execute, wait_until

FLOWS = 20_000
PTRACE_ATTACH, PTRACE_DETACH, WALL = 16, 17, 0x40000000


def check(daemon):
    result = execute([KEDGECTL, "--socket", os.path.join(daemon.directory, "socket"), "check", "--json"], check=False,
                     timeout=60 * SLOW)
    assert result.stdout, result.stderr
    return result.returncode, json.loads(result.stdout)


def assert_sound(daemon, flows=FLOWS):
    """Wait until all is applied; then everything agrees."""
    daemon.applied()
    code, found = check(daemon)
    assert code == 0 and found["wrong_flows"] == found["wrong_records"] == found["pending"] == 0, found
    assert found["flows"] == flows
    assert daemon.generator.torn == 0
    assert daemon.number("store/waiting_bytes") < 64 << 20


def start(flows=FLOWS, **more):
    return Daemon(flows, capacity=2 * flows, **more)


def all_bound(daemon, flows=FLOWS):
    wait_until(lambda: daemon.number("lcore/0/flow/flows") >= flows, 20 * SLOW, f"{flows} flows")


def test_a_neighbour_that_flaps():
    """A thousand times a second, for two seconds."""
    with start() as daemon:
        all_bound(daemon)
        sent, begin = daemon.generator.sent, time.monotonic()
        for i in range(2000):
            daemon.move(5 if i % 2 else 6)
            time.sleep(max(0, begin + (i + 1) / 1000 - time.monotonic()))
        assert daemon.generator.sent - sent > 100_000 / SLOW, "forwarding has gone on"
        assert_sound(daemon)
        daemon.only({5}, 3 * FLOWS)


def test_many_names_in_one_transaction():
    """100,000 names, among them those that the flows depend on."""
    with start() as daemon:
        all_bound(daemon)
        before = daemon.generator.sent
        with daemon.transaction() as write:
            write("/neigh/out/10.0.0.5", f"{mac_of(6)} static")
            for i in range(100_000):
                write(f"/neigh/in/192.{i >> 16}.{i >> 8 & 255}.{i & 255}",
                      f"02:00:00:{i >> 16:02x}:{i >> 8 & 255:02x}:{i & 255:02x} static")
        assert daemon.generator.sent > before
        assert_sound(daemon)
        daemon.only({6}, 3 * FLOWS)


def test_all_routes_are_replaced_at_once():
    routes = [f"10.2.{i}.0/24" for i in range(64)] + [f"10.{100 + i // 250}.{i % 250}.0/24" for i in range(5000)]
    with start() as daemon:
        all_bound(daemon)
        for via, mark in (("10.0.0.6", 6), ("10.0.0.5", 5), ("10.0.0.6", 6)):
            with daemon.transaction() as write:
                for route in [*routes, "10.2.0.0/16"]:
                    write(f"/route/{route}", f"via {via}")
            daemon.applied()
            daemon.only({mark}, 3 * FLOWS)
        tx = daemon.names.begin()
        for route in routes:
            daemon.names.remove(f"/route/{route}", tx)
        daemon.names.write("/route/10.2.0.0/16", "via 10.0.0.5", tx)
        daemon.names.commit(tx)
        assert_sound(daemon)
        daemon.only({5}, 3 * FLOWS)


def test_a_process_that_stands_still():
    """Stopped for a second (a debugger, the scheduler) in the middle of changes: it goes on where it was."""
    with start() as daemon:
        all_bound(daemon)
        for i in range(200):
            daemon.move(5 + i % 3)
        os.kill(daemon.process.pid, signal.SIGSTOP)
        time.sleep(1)
        os.kill(daemon.process.pid, signal.SIGCONT)
        for i in range(200):
            daemon.move(5 + i % 2)
        daemon.move(7)
        assert_sound(daemon)
        daemon.only({7}, 3 * FLOWS)


@contextlib.contextmanager
def standing_still(pid):
    """The thread of the daemon's worker is held by a tracer, as by a debugger; the others go on."""
    libc = ctypes.CDLL(None, use_errno=True)
    threads = []
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/comm", encoding="ascii") as name:
            if re.match("(rte|lcore)-worker", name.read()):
                threads.append(int(task))
    thread, = threads
    assert libc.ptrace(PTRACE_ATTACH, thread, None, None) == 0, os.strerror(ctypes.get_errno())
    os.waitpid(thread, WALL)
    try:
        yield
    finally:
        assert libc.ptrace(PTRACE_DETACH, thread, None, None) == 0


def test_a_worker_that_stands_still():
    """For a second, and the control core goes on: what waits for the worker is bounded, nothing is lost."""
    with start() as daemon:
        all_bound(daemon)
        with standing_still(daemon.process.pid):
            sent, end = daemon.generator.sent, time.monotonic() + 1
            moves = most = 0
            while time.monotonic() < end:
                daemon.move(5 + moves % 3)
                daemon.names.write("/route/10.2.0.0/16", f"via 10.0.0.{5 + moves % 2}")
                moves += 1
                most = max(most, daemon.number("store/waiting_bytes"))
            assert daemon.generator.sent - sent <= 64, "it did stand still"
        assert 0 < most < 256 << 20
        daemon.names.write("/route/10.2.0.0/16", "via 10.0.0.5")
        daemon.move(7)
        assert_sound(daemon)
        daemon.only({7}, 3 * FLOWS)


def test_the_check_runs_during_a_storm():
    """What a change has not reached yet is pending, never wrong."""
    with start() as daemon:
        all_bound(daemon)
        other = type(daemon.names)(os.path.join(daemon.directory, "socket"))
        for i in range(4):
            for j in range(50):
                other.write("/route/10.2.0.0/16", f"via 10.0.0.{5 + j % 2}")
            code, found = check(daemon)
            assert code == 0 and found["wrong_flows"] == found["wrong_records"] == 0, (i, found)
        other.close()
        assert_sound(daemon)


def flow_lines(pid):
    """Where flows lie in the daemon's memory, one for each adjacency: {adjacency: address}. A flow is a cache line
    that begins with its key (10.1.x.x, 10.2.0.1, ports, interface, protocol 17, kind 1), and the adjacency's
    anchor follows (flows/flow.h, flows/table.h)."""
    found = {}
    key = re.compile(rb"\x0a\x01[\0-\xff]{2}\x0a\x02\0\x01[\0-\xff]{2}\0\x35[\0-\xff]{2}\x11\x01", re.DOTALL)
    with open(f"/proc/{pid}/maps", encoding="ascii") as maps, open(f"/proc/{pid}/mem", "rb") as memory:
        for line in maps:
            fields = line.split()
            begin, end = (int(text, 16) for text in fields[0].split("-"))
            if fields[1] != "rw-p" or len(fields) > 5 or end - begin > 64 << 20:
                continue
            memory.seek(begin)
            data = memory.read(end - begin)
            for match in key.finditer(data):
                anchor, packets = struct.unpack_from("<QQ", data, match.start() + 16)
                if match.start() % 64 == 0 and anchor and packets:
                    found.setdefault(anchor, begin + match.start())
    return found


def test_a_wrong_decision_is_found():
    """One flow's adjacency is overwritten, from outside, with that of others."""
    config = programs.CONFIGURATION + "flow add near src=10.1.0.0/27 action via 10.0.0.6\n"
    with start(100, configuration=config) as daemon:
        all_bound(daemon, 100)
        assert_sound(daemon, 100)
        lines = flow_lines(daemon.process.pid)
        assert len(lines) == 2
        (right, address), (wrong, _) = lines.items()
        with open(f"/proc/{daemon.process.pid}/mem", "r+b", buffering=0) as memory:
            memory.seek(address + 16)
            memory.write(struct.pack("<Q", wrong))
            code, found = check(daemon)
            memory.seek(address + 16)
            memory.write(struct.pack("<Q", right))
        assert code == 1 and found["wrong_flows"] == 1 and found["wrong_records"] == 0, found
        assert found["faults"][0]["what"] == "adjacency"
        assert {found["faults"][0]["bound"], found["faults"][0]["expected"]} == \
            {"/adjacency/0/10.0.0.5", "/adjacency/0/10.0.0.6"}
        assert_sound(daemon, 100)
