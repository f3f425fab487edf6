# SPDX-License-Identifier: BSD-3-Clause
"""What a worker under full traffic does not do whatever else goes on, and what a change of a value does not cost
however many depend on it: counted, not timed."""

import contextlib
import os
import re
import signal
import subprocess

import pytest

from conftest import SLOW
from millions import Daemon
from netns import wait_until

MOVES, WATCH = 200, 4


def all_bound(daemon, flows):
    wait_until(lambda: daemon.number("lcore/0/flow/flows") >= flows, 20 * SLOW, f"{flows} flows")


def worker_thread(pid):
    threads = []
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/comm", encoding="ascii") as name:
            if re.match("(rte|lcore)-worker", name.read()):
                threads.append(task)
    thread, = threads
    return thread


def voluntary_switches(thread):
    with open(f"/proc/{thread}/status", encoding="ascii") as status:
        return int(re.search(r"^voluntary_ctxt_switches:\s+(\d+)", status.read(), re.MULTILINE)[1])


@contextlib.contextmanager
def system_calls_of(thread, path):
    """The list that is given is filled at the end with the system calls of that thread, a line each."""
    calls = []
    tracer = subprocess.Popen(["strace", "-p", thread, "-o", path], stderr=subprocess.PIPE, text=True)
    try:
        assert "attached" in tracer.stderr.readline()
        yield calls
    finally:
        tracer.send_signal(signal.SIGINT)
        tracer.communicate(timeout=30 * SLOW)
    with open(path, encoding="ascii", errors="replace") as lines:
        calls.extend(line for line in lines if re.match(r"\w+\(", line))


def storm(daemon, silent):
    """Values and bindings change, a transaction is large, somebody watches all of it and does not read, and each
    commit waits for the journal."""
    for i in range(MOVES):
        daemon.move(5 + i % 3)
        if i % 20 == 0:
            daemon.names.write("/route/10.2.0.0/24", "via 10.0.0.6")
        elif i % 20 == 10:
            daemon.names.remove("/route/10.2.0.0/24")
    with daemon.transaction() as write:
        for i in range(5000):
            write(f"/large/{i % 50}/{i}", "value")
    daemon.names.remove("/large")
    daemon.applied()


def test_a_worker_makes_no_system_call_and_never_waits(tmp_path):
    """Apart from liburcu's, which wakes who waits for the end of a grace period."""
    arguments = ["--journal", str(tmp_path / "journal"), "--journal-sync", "reply"]
    with Daemon(1000, capacity=2000, arguments=arguments) as daemon:
        all_bound(daemon, 1000)
        silent = type(daemon.names)(os.path.join(daemon.directory, "socket"))
        silent.request(WATCH, b"/\0token\0")
        thread = worker_thread(daemon.process.pid)
        waits = voluntary_switches(thread)
        storm(daemon, silent)
        assert voluntary_switches(thread) == waits
        with system_calls_of(thread, str(tmp_path / "calls")) as calls:
            storm(daemon, silent)
        silent.close()
        assert [call for call in calls if not re.match(r"futex\(\w+, FUTEX_WAKE\w*, ", call)] == []
        assert daemon.generator.torn == 0


@pytest.mark.parametrize("flows", [1, 10_000])
def test_a_value_costs_the_same_for_one_flow_and_for_many(flows):
    """One record and at most one notice for each change, and no flow is gone to."""
    with Daemon(flows, capacity=20_000) as daemon:
        all_bound(daemon, flows)
        daemon.applied()
        names = ["store/records_compiled", "store/notices", "lcore/0/flow/told", "lcore/0/flow/bound",
                 "lcore/0/flow/rebound", "lcore/0/flow/looked_again"]
        before = [daemon.number(name) for name in names]
        for i in range(MOVES):
            daemon.move(6 + i % 2)
        daemon.applied()
        compiled, notices, *gone_to = (daemon.number(name) - was for name, was in zip(names, before))
        assert compiled == MOVES
        assert 0 < notices <= MOVES
        assert gone_to == [0, 0, 0, 0]
        daemon.only({6 + (MOVES - 1) % 2}, 3 * flows)
