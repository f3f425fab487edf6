# SPDX-License-Identifier: BSD-3-Clause
"""The end of a daemon, and the next one: under load, by SIGTERM and SIGKILL, with hugepages, while it starts.
And configurations that can't be right: tests/e2e/broken/*.conf."""

import collections
import contextlib
import glob
import os
import pathlib
import re
import signal
import subprocess
import threading

import pytest

from conftest import KEDGECTL, KEDGED, ROOT, SLOW
from names import NamesError
from netns import execute, wait_until
from packets import Peer, Stream, Wire, number, udp

PAGES = pathlib.Path("/sys/kernel/mm/hugepages/hugepages-2048kB")
ROUTER, CLIENT = "02:00:00:00:00:01", "02:00:00:00:01:02"

CONFIG = f"""\
port set p1 mtu 1400
iface set i1 mac {ROUTER}
port add n devargs net_null0,no-rx=1
port add r devargs net_ring0
bridge add b0 port n port r ageing 20
iface add b0 on bridge b0 address 10.5.0.1/24 address 10.6.0.1/24 mode bound
fdb add b0 02:00:00:00:05:05 port r
neigh add b0 10.5.0.5 mac 02:00:00:00:05:05
neigh add i1 10.1.0.2 mac {CLIENT}
route add default via 10.2.0.2
route add 10.7.0.0/16 via 10.5.0.5
route add 10.8.0.0/16 blackhole
route add 10.9.0.0/16 dev i2
flow add web dst=10.5.0.0/24 proto=tcp dport=80-89 priority 7 action drop
flow add seen proto=icmp priority -1 action count
name set /tool/note "kept in the configuration only"
"""


def configured(names):
    """What users have written: all but what the stack has."""
    roots = ("/port", "/bridge", "/fdb", "/iface", "/neigh", "/route", "/flow", "/tool")
    tree = {path: value for root in roots for path, value in names.tree(root).items()}
    ours = re.compile(r"/port/[^/]*/(link|mac|id|lcore|error)$|/tool/xenstored/")
    return {path: value for path, value in tree.items() if not ours.search(path) and "learned" not in value}


def left_behind(prefix, daemon):
    """Files and processes of a daemon that should have gone."""
    return [*glob.glob(f"/dev/hugepages/{prefix}*"), *glob.glob(f"/var/run/dpdk/{prefix}*"),
            *(str(path) for path in daemon.folder.iterdir() if path.name not in ("log", "notify", "kedge.conf"))]


def loaded(routed, **options):
    """Two hosts that flood each other with pings through the stack, and a client that writes all the time."""
    r = routed(CONFIG, **options)
    assert r.h2.ping("10.1.0.1", 1, wait=5) == 1
    r.load = [r.h2.popen("ping -f -q 10.2.0.1", stdout=subprocess.DEVNULL),
              r.h2.popen("ping -f -q -s 1000 10.1.0.1", stdout=subprocess.DEVNULL)]
    r.writer = threading.Thread(target=write_until_it_ends, args=(r.kedged.connect(),), daemon=True)
    r.writer.start()
    wait_until(lambda: r.kedged.stat("total/local") > 500, 20 * SLOW)
    return r


def write_until_it_ends(names):
    with contextlib.suppress(OSError, NamesError):
        for n in range(10**9):
            names.write(f"/route/10.{100 + n % 50}.0.0/16", f"via 10.2.0.{2 + n % 200}")


# ---- with the configuration, everything is back ----

def test_restart_brings_everything_back(routed, kedged):
    r = routed(CONFIG)
    r.kedged.wait_up("n", "r")
    before = configured(r.names)
    assert len(before) > 40
    assert r.h2.ping("10.1.0.1", 2) == 2
    assert r.kedged.stop() == 0
    again = kedged(r.kedged.config.read_text(), namespace=r.kedged_namespace)
    again.wait_up("p1", "p2", "n", "r")
    assert configured(again.names) == before
    assert r.h2.ping("10.1.0.1", 5) == 5, "hosts go on with what they know of it"


def test_what_was_not_in_the_configuration_is_gone(routed, kedged):
    r = routed()
    r.names.write("/route/10.9.0.0/16", "via 10.2.0.2")
    assert r.h1.ping("10.2.0.2", 2) == 2
    assert r.names.get("/neigh/i2/10.2.0.2")
    r.kedged.stop()
    again = kedged(r.kedged.config.read_text(), namespace=r.kedged_namespace)
    assert again.names.get("/route/10.9.0.0/16") is None
    assert again.names.get("/neigh/i2/10.2.0.2") is None, "what was learned is learned again"
    again.wait_up("p1", "p2")
    assert r.h1.ping("10.2.0.2", 2) == 2


def test_restarts_under_traffic(routed, kedged):
    """A stream goes on while daemons end and start: each one serves it from its first seconds."""
    r = routed(f"iface set i1 mac {ROUTER}\n")
    daemon, peer = r.kedged, Peer(r.h2, "02:00:00:00:02:03", "10.2.0.3", router="10.2.0.1")
    with Stream(Wire(r.h1), lambda n: udp("10.1.0.2", "10.2.0.3", number(n), to=ROUTER, source=CLIENT)):
        for turn in range(4):
            had = len(peer.packets)
            peer.wait_packets(had + 200, 10 * SLOW)
            if turn % 2:
                daemon.process.kill()
                daemon.wait()
            else:
                assert daemon.stop() == 0
            daemon = kedged(r.kedged.config.read_text(), namespace=r.kedged_namespace, socket_path=daemon.socket)
    got = peer.numbers()
    assert got == sorted(set(got)), "in order, none twice"


# ---- the end ----

def test_sigterm_under_load_leaves_nothing(routed):
    prefix = f"kedgetest-{os.getpid()}-term"
    r = loaded(routed, args=["--file-prefix", prefix])
    assert glob.glob(f"/var/run/dpdk/{prefix}*"), "there is something to leave"
    assert r.kedged.stop() == 0
    assert r.kedged.stop_seconds < 2 * SLOW
    assert left_behind(prefix, r.kedged) == []
    assert [line for line in r.kedged.log.splitlines() if line.startswith("error")] == []


@pytest.fixture
def hugepages():
    """200 hugepages more than are in use; skips where the machine has none."""
    if not PAGES.exists() or not any("hugetlbfs" in line for line in open("/proc/mounts")):
        pytest.skip("no hugepages here")
    had = (PAGES / "nr_hugepages").read_text()
    if int((PAGES / "free_hugepages").read_text()) < 200:
        (PAGES / "nr_hugepages").write_text(str(int(had) + 200))
    if int((PAGES / "free_hugepages").read_text()) < 200:
        (PAGES / "nr_hugepages").write_text(had)
        pytest.skip("no memory for hugepages")
    yield
    (PAGES / "nr_hugepages").write_text(had)


def test_hugepages_come_back(hugepages, routed, kedged):
    """After SIGTERM under load at once; after SIGKILL with the next daemon."""
    prefix = f"kedgetest-{os.getpid()}-huge"
    r = loaded(routed, huge=True, args=["--file-prefix", prefix])
    used = glob.glob(f"/dev/hugepages/{prefix}*")
    assert used, "it has taken some"
    assert r.kedged.stop() == 0
    assert r.kedged.stop_seconds < 2 * SLOW
    assert left_behind(prefix, r.kedged) == []
    options = dict(namespace=r.kedged_namespace, huge=True, args=["--file-prefix", prefix])
    killed = kedged(r.kedged.config.read_text(), **options)
    killed.process.kill()
    killed.wait()
    assert glob.glob(f"/dev/hugepages/{prefix}*"), "nobody could clean up"
    last = kedged(r.kedged.config.read_text(), **options)
    assert len(glob.glob(f"/dev/hugepages/{prefix}*")) <= len(used)
    assert last.stop() == 0
    assert left_behind(prefix, last) == []


def test_sigkill_under_load_and_restart(routed, kedged):
    prefix = f"kedgetest-{os.getpid()}-kill"
    r = loaded(routed, args=["--file-prefix", prefix])
    r.kedged.process.kill()
    r.kedged.wait()
    assert r.kedged.socket.exists()
    again = kedged(r.kedged.config.read_text(), namespace=r.kedged_namespace, args=["--file-prefix", prefix],
                   socket_path=r.kedged.socket)
    again.wait_up("p1", "p2")
    wait_until(lambda: again.stat("total/local") > 100, 20 * SLOW, "the load is served again")
    assert again.stop() == 0
    assert left_behind(prefix, again) == []


@pytest.mark.parametrize("kind", ["net_af_xdp0,iface=p0", "net_tap0,iface=ktap"])
def test_sigkill_leaves_devices_usable(lab, stack, kedged, kind):
    h = lab.host("h", stack, "p0", "10.0.0.2/24")
    config = f"port add p0 devargs {kind}\niface add i0 on port p0 address 10.0.0.1/24\n"

    def answers(daemon):
        daemon.wait_up("p0")
        if "tap" in kind:
            stack.ip("address replace 10.0.0.2/24 dev ktap")
        return (stack if "tap" in kind else h).ping("10.0.0.1", 4) >= 3

    daemon = kedged(config, namespace=stack)
    assert answers(daemon)
    daemon.process.kill()
    daemon.wait()
    daemon = kedged(config, namespace=stack, socket_path=daemon.socket)
    assert answers(daemon)
    assert daemon.stop() == 0
    assert "ktap" not in stack.ip("link show").stdout


@pytest.mark.parametrize("number_of", [signal.SIGTERM, signal.SIGINT])
def test_signal_while_it_starts(lab, stack, kedged, number_of):
    """Whenever it comes, it ends soon, properly, and leaves nothing."""
    lab.host("h", stack, "p0")
    for delay in (0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5):
        prefix = f"kedgetest-{os.getpid()}-start"
        daemon = kedged("port add p0 devargs net_af_packet0,iface=p0\nport add p1 devargs net_null0\n",
                        namespace=stack, ready=False, args=["--file-prefix", prefix])
        with contextlib.suppress(subprocess.TimeoutExpired):
            daemon.process.wait(delay)
        daemon.signal(number_of)
        # Before it can do anything about signals they simply end it.
        assert daemon.wait(5 * SLOW) in (0, -number_of), daemon.log
        assert left_behind(prefix, daemon) == []


def test_second_sigterm_changes_nothing(kedged):
    daemon = kedged("port add n devargs net_null0\n")
    for _ in range(20):
        daemon.signal(signal.SIGTERM)
    assert daemon.wait() == 0
    assert left_behind("-", daemon) == []


# ---- broken configurations ----

BROKEN = sorted((ROOT / "tests/e2e/broken").glob("*.conf"))


def expectations(path):
    """{line number: pieces of what is to be said}; "#> a | b" stands above the line that it is about."""
    expected, pieces = {}, None
    for number_of, line in enumerate(path.read_text(errors="replace").split("\n"), 1):
        if line.startswith("#> "):
            pieces = line[3:].split(" | ")
        elif pieces:
            expected[number_of], pieces = pieces, None
    return expected


def judge(path, output):
    said = collections.defaultdict(str)
    for line in output.splitlines():
        where, number_of, what = line.split(":", 2)
        assert where == str(path)
        said[int(number_of)] += what
    expected = expectations(path)
    assert sorted(said) == sorted(expected), "every mistake, and nothing but mistakes"
    for number_of, pieces in expected.items():
        for piece in pieces:
            assert piece in said[number_of], f"line {number_of}"


@pytest.mark.parametrize("path", BROKEN, ids=lambda path: path.stem)
def test_broken_configuration(path):
    result = execute([KEDGED, "--check", "--config", path], check=False)
    assert result.returncode == 1
    judge(path, result.stdout)
    again = execute([KEDGECTL, "check", path], check=False)
    assert again.returncode == 1


@pytest.mark.parametrize("path", BROKEN, ids=lambda path: path.stem)
def test_broken_configuration_starts_no_daemon(path, tmp_path):
    result = execute([KEDGED, "--config", path, "--socket", tmp_path / "sock", "--no-huge", "--memory", "128"], check=False)
    assert result.returncode == 1
    first = min(expectations(path))
    assert f"{path}:{first}:" in result.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("path", sorted((ROOT / "conf").glob("*.conf")), ids=lambda path: path.stem)
def test_configurations_that_come_with_kedge_are_right(path):
    result = execute([KEDGED, "--check", "--config", path])
    assert "ok" in result.stdout
