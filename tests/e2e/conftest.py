# SPDX-License-Identifier: BSD-3-Clause
"""Fixtures of the end-to-end tests: real daemons, real namespaces, real packets.

    lab      a Lab (netns.py): namespaces and veth pairs, removed afterwards
    stack    the namespace that kedged runs in
    kedged   starts a daemon: kedged(config) -> Kedged, stopped afterwards; see Kedged
    routed   the smallest useful set-up, see Routed: two hosts in two subnets, kedged between them
    bridged  two hosts behind the ports of one bridge, and one behind a routed port, see Bridged

Run them as root with `make e2e`, or some of them with

    /usr/bin/python3 -m pytest -p no:cacheprovider tests/e2e/test_daemon.py -k vanish

KEDGE_BUILD names the build's folder (build). Each daemon runs with --no-huge, one worker on the CPU
after the control core's, its own socket and its own temporary folder. What it logged is shown with a
test that fails.
"""

import contextlib
import os
import pathlib
import select
import signal
import socket
import subprocess
import time

import pytest

from names import Names, NamesError
from netns import Lab, execute, wait_until

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = (ROOT / os.environ.get("KEDGE_BUILD", "build")).resolve()
KEDGED, KEDGECTL = BUILD / "kedged", BUILD / "kedgectl"

# Sanitizers make everything slower, and start-up most of all.
SLOW = 5 if any(word in str(BUILD) for word in ("address", "thread", "undefined")) else 1

# What leaks are not ours; read by sanitizers only.
ENVIRONMENT = {"LSAN_OPTIONS": f"suppressions={ROOT}/tests/e2e/lsan.supp:print_suppressions=0", **os.environ}


class Kedged:
    """One daemon.

    config     text of its configuration file; None: it gets none
    namespace  to run in; None: this one
    args       more arguments. --no-huge is given unless huge=True
    ready      wait until it says READY=1 by the sd_notify protocol

    .names            a connection of its own to the control socket (names.Names)
    .connect()        another one
    .ctl("neigh show", check=True)   runs kedgectl; the result has .stdout, .stderr, .returncode
    .stat("lcore/0/routed")          a number out of /stats
    .log              what it has written to stderr
    .stop()           SIGTERM; returns its exit code, and .stop_seconds says how long it took
    """

    def __init__(self, folder, config="", namespace=None, args=(), ready=True, huge=False, socket_path=None):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.socket = pathlib.Path(socket_path or self.folder / "kedged.sock")
        self.config = self.folder / "kedge.conf"
        self.log_path = self.folder / "log"
        self._names = None
        self.stop_seconds = None
        self.signals = set()  # that it was sent
        words = [str(KEDGED), "--socket", str(self.socket), "--memory", "256"]
        words += [] if huge else ["--no-huge"]
        if config is not None:
            self.config.write_text(config)
            words += ["--config", str(self.config)]
        words += [str(arg) for arg in args]
        if namespace is not None:
            words = namespace.enter(words)
        notify = self.folder / "notify"
        self.notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notify.bind(str(notify))
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            env={**ENVIRONMENT, "NOTIFY_SOCKET": str(notify)})
        if ready:
            self.wait_ready()

    def wait_ready(self, timeout=15 * SLOW):
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            if select.select([self.notify], [], [], 0.05)[0]:
                if b"READY=1" in self.notify.recv(4096).split(b"\n"):
                    return self
            if self.process.poll() is not None:
                raise AssertionError(f"kedged ended with {self.process.returncode}:\n{self.log}")
        raise AssertionError(f"kedged is not ready after {timeout} s:\n{self.log}")

    @property
    def log(self):
        return self.log_path.read_text(errors="replace")

    @property
    def names(self):
        if self._names is None:
            self._names = self.connect()
        return self._names

    def connect(self):
        return Names(self.socket)

    def ctl(self, words, check=True, timeout=20):
        return execute([KEDGECTL, "--socket", self.socket] + (words.split() if isinstance(words, str) else
                                                              [str(word) for word in words]), check, timeout)

    def stat(self, name):
        return int(self.names.read(f"/stats/{name}"))

    def wait_name(self, path, value=None, timeout=5 * SLOW):
        """Wait until a name has the value; None: until it exists. Returns its value."""
        def there():
            now = self.names.get(path)
            return now is not None and (value is None or now == value)
        wait_until(there, timeout, f"{path} is {value!r} (it is {self.names.get(path)!r})\n{self.log}")
        return self.names.get(path)

    def wait_gone(self, path, timeout=5 * SLOW):
        wait_until(lambda: self.names.get(path) is None, timeout, f"{path} is gone")

    def wait_up(self, *ports):
        for port in ports:
            self.wait_name(f"/port/{port}/link", "up")

    def signal(self, number):
        self.signals.add(number)
        self.process.send_signal(number)

    def wait(self, timeout=10 * SLOW):
        """Its exit code, when it ends by itself."""
        return self.process.wait(timeout)

    def stop(self, timeout=10 * SLOW):
        if self._names is not None:
            self._names.close()
            self._names = None
        if self.process.poll() is None:
            start = time.monotonic()
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(timeout)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(5)
                raise AssertionError(f"kedged did not end within {timeout} s:\n{self.log}") from None
            self.stop_seconds = time.monotonic() - start
        return self.process.returncode

    def close(self):
        """For fixtures: ends it whatever happens."""
        with contextlib.suppress(AssertionError, OSError):
            self.stop(5 * SLOW)
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(5)
        self.notify.close()

    def assert_sound(self):
        """For fixtures: it has neither crashed nor been found wrong by a sanitizer. Before it handles signals it may
        be ended by them."""
        assert self.process.returncode in (0, 1, -signal.SIGKILL, *(-number for number in self.signals)), \
            f"kedged ended with {self.process.returncode}:\n{self.log}"
        for report in ("ERROR: AddressSanitizer", "ERROR: LeakSanitizer", "WARNING: ThreadSanitizer",
                       "runtime error:"):
            assert report not in self.log, self.log


@pytest.fixture(scope="session", autouse=True)
def _built():
    if os.geteuid() != 0:
        pytest.exit("the end-to-end tests make network namespaces: run them as root", 2)
    for program in (KEDGED, KEDGECTL):
        if not program.exists():
            pytest.exit(f"{program} is not there: run make first", 2)


@pytest.fixture
def lab():
    lab = Lab()
    yield lab
    lab.close()


@pytest.fixture
def stack(lab):
    return lab.namespace("stack")


@pytest.hookimpl(tryfirst=True, hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """Daemons' logs go into the report of a test that failed."""
    report = (yield).get_result()
    if report.when == "call" and report.failed:
        for number, daemon in enumerate(getattr(item, "daemons", [])):
            report.sections.append((f"log of kedged {number}", daemon.log[-20000:]))


@pytest.fixture
def kedged(request, tmp_path):
    """Start daemons: kedged(config, namespace=..., args=...); as many as the test wants."""
    request.node.daemons = daemons = []

    def start(config="", **more):
        daemon = Kedged(tmp_path / f"kedged{len(daemons)}", config, **{**more, "ready": False})
        daemons.append(daemon)
        if more.get("ready", True):
            daemon.wait_ready()
        return daemon

    yield start
    for daemon in daemons:
        daemon.close()
    for daemon in daemons:
        daemon.assert_sound()


class Routed:
    """h1 (10.1.0.2/24, eth0) - p1 [kedged: i1 10.1.0.1, i2 10.2.0.1] p2 - h2 (10.2.0.2/24, eth0)"""

    CONFIG = """\
port add p1 devargs net_af_packet1,iface=p1
port add p2 devargs net_af_packet2,iface=p2
iface add i1 on port p1 address 10.1.0.1/24
iface add i2 on port p2 address 10.2.0.1/24
"""

    def __init__(self, lab, stack, start, more="", **options):
        self.h1 = lab.host("h1", stack, "p1", "10.1.0.2/24", gateway="10.1.0.1")
        self.h2 = lab.host("h2", stack, "p2", "10.2.0.2/24", gateway="10.2.0.1")
        self.kedged = start(self.CONFIG + more, namespace=stack, **options)
        self.kedged_namespace = stack
        self.kedged.wait_up("p1", "p2")
        self.names = self.kedged.names


class Bridged:
    """c (10.0.1.2/24) - pc [kedged: ic 10.0.1.1 | br0 10.0.0.1 on bridge br0 of pa and pb] - a, b

    a and b are behind the two ports of the bridge: a is 10.0.0.5/24, b has no address yet, so that
    the address can move to it."""

    CONFIG = """\
port add pc devargs net_af_packet1,iface=pc
port add pa devargs net_af_packet2,iface=pa
port add pb devargs net_af_packet3,iface=pb
bridge add br0 port pa port pb
iface add ic on port pc address 10.0.1.1/24
iface add br0 on bridge br0 address 10.0.0.1/24
"""

    def __init__(self, lab, stack, start, more="", **options):
        self.c = lab.host("c", stack, "pc", "10.0.1.2/24", gateway="10.0.1.1")
        self.a = lab.host("a", stack, "pa", "10.0.0.5/24", gateway="10.0.0.1")
        self.b = lab.host("b", stack, "pb")
        self.kedged = start(self.CONFIG + more, namespace=stack, **options)
        self.kedged_namespace = stack
        self.kedged.wait_up("pc", "pa", "pb")
        self.names = self.kedged.names


@pytest.fixture
def routed(lab, stack, kedged):
    """Call it with more lines of configuration, and with kedged's arguments: routed(more, args=[...])"""
    return lambda more="", **options: Routed(lab, stack, kedged, more, **options)


@pytest.fixture
def bridged(lab, stack, kedged):
    return lambda more="", **options: Bridged(lab, stack, kedged, more, **options)


__all__ = ["Kedged", "Names", "NamesError", "Routed", "Bridged"]
