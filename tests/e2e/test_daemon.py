# SPDX-License-Identifier: BSD-3-Clause
"""The daemon itself: beginning, end, its command line, --check, and ports that come and go."""

import glob
import os
import pathlib
import resource
import signal
import socket
import subprocess
import time

import pytest

from conftest import KEDGED, SLOW
from names import NamesError
from netns import execute, wait_until


def run_kedged(*args, timeout=20 * SLOW):
    return execute([KEDGED, *args], check=False, timeout=timeout)


def prefix_of(daemon):
    """The folder that DPDK keeps for this daemon, while it runs."""
    for folder in glob.glob("/var/run/dpdk/kedge-*"):
        if any(f"/{os.path.basename(folder)}/" in line
               for line in pathlib.Path(f"/proc/{daemon.process.pid}/maps").read_text().splitlines()):
            return folder
    return None


# ---- beginning and end ----

def test_start_and_stop(kedged):
    daemon = kedged()
    assert daemon.names.read("/stats/ready") == "1"
    assert daemon.names.read("/stats/version") in run_kedged("--version").stdout
    folder = prefix_of(daemon)
    assert folder
    assert daemon.stop() == 0
    assert daemon.stop_seconds < 1 * SLOW
    assert not daemon.socket.exists()
    assert not os.path.exists(folder)
    assert [line for line in daemon.log.splitlines() if line.startswith("error")] == []


def test_ready_and_stopping_are_told(kedged):
    daemon = kedged(ready=False)
    daemon.wait_ready()
    daemon.signal(signal.SIGTERM)
    daemon.notify.settimeout(5 * SLOW)
    assert daemon.notify.recv(4096) == b"STOPPING=1"
    assert daemon.wait() == 0


def test_sigint_ends_it_too(kedged):
    daemon = kedged()
    daemon.signal(signal.SIGINT)
    assert daemon.wait() == 0


def test_killed_daemon_leaves_nothing_to_the_next(kedged):
    first = kedged()
    first.process.kill()
    first.wait()
    second = kedged(socket_path=first.socket)
    assert second.names.read("/stats/ready") == "1"
    folder = prefix_of(second)
    assert second.stop() == 0
    assert not os.path.exists(folder)


def hugepage_files():
    return set(glob.glob("/dev/hugepages/kedge-*map_*"))


@pytest.mark.skipif(not pathlib.Path("/dev/hugepages").is_mount(), reason="no hugetlbfs is mounted")
def test_hugepages_leave_no_file(kedged):
    free = int(pathlib.Path("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages").read_text())
    if free < 160:
        pytest.skip(f"{free} hugepages are free, 160 are needed: make hugepages")
    before = hugepage_files()
    first = kedged(huge=True)
    assert hugepage_files() - before
    assert "--no-huge" not in first.log
    first.process.kill()
    first.wait()
    assert hugepage_files() - before
    # What a killed daemon has left goes at the next start, whatever memory that uses.
    second = kedged(socket_path=first.socket)
    assert hugepage_files() == before
    assert second.stop() == 0
    third = kedged(huge=True, socket_path=first.socket)
    assert hugepage_files() - before
    assert third.stop() == 0
    assert hugepage_files() == before


def test_without_hugepages_it_says_what_that_costs(kedged):
    page, free = (int(line.split()[1]) for name in ("Hugepagesize:", "HugePages_Free:")
                  for line in open("/proc/meminfo", encoding="ascii") if line.startswith(name))
    daemon = kedged(huge=True, args=["--packets", "2048", "--memory", str(page * free // 1024 + 500)])
    assert "hugepages are free" in daemon.log and "make hugepages" in daemon.log


def test_second_daemon_on_the_same_socket_is_refused(kedged):
    first = kedged()
    folder = prefix_of(first)
    second = kedged(ready=False, socket_path=first.socket)
    assert second.wait() == 1
    assert str(first.socket) in second.log
    # It has touched neither the socket nor DPDK's files of the first.
    assert first.connect().read("/stats/ready") == "1"
    assert os.path.exists(folder)
    assert "dpdk" not in second.log


def test_second_daemon_with_the_same_prefix_is_refused(kedged):
    first = kedged(args=["--file-prefix", f"kedge-same{os.getpid()}"])
    folder = pathlib.Path(f"/var/run/dpdk/kedge-same{os.getpid()}")
    files = sorted(folder.iterdir())
    second = kedged(args=["--file-prefix", f"kedge-same{os.getpid()}"], ready=False)
    assert second.wait() == 1
    assert "--file-prefix" in second.log
    assert sorted(folder.iterdir()) == files
    assert first.stop() == 0
    assert not folder.exists()


def test_dpdk_that_does_not_start_leaves_nothing(kedged):
    before = set(glob.glob("/var/run/dpdk/kedge-*"))
    daemon = kedged(args=["--eal=--no-such-option"], ready=False)
    assert daemon.wait() == 1
    assert "DPDK does not start" in daemon.log
    assert not daemon.socket.exists()
    assert set(glob.glob("/var/run/dpdk/kedge-*")) <= before


def test_two_daemons_beside_each_other(kedged):
    first, second = kedged(), kedged()
    first.names.write("/tool/me", "first")
    assert second.names.get("/tool/me") is None
    assert first.stop() == 0
    assert second.names.read("/stats/ready") == "1"


def test_end_under_load(routed):
    r = routed()
    assert r.h1.ping("10.2.0.2", 2) == 2
    load = r.h1.popen("ping -f -q 10.2.0.2", stdout=subprocess.DEVNULL)
    wait_until(lambda: r.kedged.stat("total/routed") > 2000, 20)
    assert r.kedged.stop() == 0
    assert r.kedged.stop_seconds < 1 * SLOW
    load.kill()


def test_client_that_is_connected_does_not_hold_it(kedged):
    daemon = kedged()
    client = daemon.connect()
    client.watch("/", "t")
    assert daemon.stop() == 0
    assert daemon.stop_seconds < 1 * SLOW


def test_names_only(kedged):
    daemon = kedged(config="name set /tool/x \"1 2\"\n", args=["--names-only"])
    assert daemon.names.read("/tool/x") == "1 2"
    daemon.names.applied()
    assert daemon.names.list("/stats/lcore") == []
    # No EAL: no folder of DPDK's, and no thread but the main one and the reclaimer's.
    assert prefix_of(daemon) is None
    assert len(os.listdir(f"/proc/{daemon.process.pid}/task")) <= 3
    assert daemon.stop() == 0


def test_idle_costs_little(bridged):
    b = bridged()
    assert b.c.ping("10.0.0.5", 3) == 3
    time.sleep(1)
    pid = b.kedged.process.pid

    def ticks():
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        return int(fields[11]) + int(fields[12])

    before, start = ticks(), time.monotonic()
    time.sleep(3)
    used = (ticks() - before) / os.sysconf("SC_CLK_TCK") / (time.monotonic() - start)
    assert used < 0.1 * SLOW, f"{used:.1%} of a core"


def test_memory_stays_bounded_while_ports_come_and_go(kedged):
    daemon = kedged()

    def packets_free():
        return daemon.stat("packets/free")

    before = packets_free()
    for _ in range(10):
        daemon.names.write("/port/n/devargs", "net_null0")
        daemon.wait_name("/port/n/link", "up")
        daemon.names.remove("/port/n")
        daemon.wait_gone("/port/n")
    wait_until(lambda: packets_free() == before, what="all packets are back")


# ---- command line ----

@pytest.mark.parametrize("args, named, right", [
    (["--nonsense"], "--nonsense", "--help"),
    (["--workers", "0"], "--workers", "from 1 to"),
    (["--workers"], "--workers", "needs an argument"),
    (["--log", "loud"], "--log", "warning"),
    (["--check"], "--check", "--config FILE"),
    (["veth0"], "veth0", "--help"),
])
def test_bad_options_exit_2(args, named, right):
    result = run_kedged(*args)
    assert result.returncode == 2
    assert named in result.stderr and right in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_help_and_version():
    result = run_kedged("--help")
    assert result.returncode == 0 and "--config FILE" in result.stdout
    assert run_kedged("--version").stdout.startswith("kedged ")


def test_cpu_that_may_not_be_used(kedged):
    daemon = kedged(ready=False, args=["--lcores", "0,1000"])
    assert daemon.wait() == 1
    assert "CPU 1000" in daemon.log
    assert not daemon.socket.exists()


def test_more_workers_than_cpus(routed):
    r = routed(args=["--workers", "3"])
    assert r.h1.ping("10.2.0.2", 3) == 3
    # Ports are dealt to workers in turn.
    assert {r.names.read("/port/p1/lcore"), r.names.read("/port/p2/lcore")} == {"0", "1"}
    r.names.applied()


def test_socket_mode_and_group(kedged):
    daemon = kedged(args=["--socket-mode", "0640", "--socket-group", "daemon"])
    info = daemon.socket.stat()
    assert info.st_mode & 0o777 == 0o640
    assert info.st_gid != 0


# ---- configuration ----

def check(tmp_path, text):
    file = tmp_path / "c.conf"
    file.write_text(text)
    result = run_kedged("--check", "--config", file)
    return result.returncode, result.stdout.replace(str(file), "FILE").splitlines()


def test_check_ok(tmp_path):
    code, lines = check(tmp_path, "# comment\n\nport add p0 devargs net_null0\n"
                                  "iface add i0 on port p0 address 10.0.0.1/24\n")
    assert (code, lines) == (0, ["FILE: ok, 2 commands"])


def test_check_finds_every_mistake(tmp_path):
    code, lines = check(tmp_path, """\
port add p0 devargs net_null0
prot add p1 devargs net_null1
iface add i0 on port p0 address 10.0.0.300/24
route add 10.0.0.5/8 via 10.0.0.9
neigh add i0 10.0.0.9 mac 02:00:00:00:00:0x
flow add f src=10.0.0.0/8 action explode
port add p2 devargs "net_null2
route add 10.9.0.0/16
""")
    assert code == 1
    assert [line.split(": ")[0] for line in lines] == [f"FILE:{n}" for n in range(2, 9)]
    # Each says what would be right.
    assert '"port"' in lines[0]
    assert "10.0.0.0/8" in lines[2]


def test_check_of_a_file_that_is_not_there(tmp_path):
    result = run_kedged("--check", "--config", tmp_path / "none")
    assert result.returncode == 1 and "No such file" in result.stdout


def test_bad_configuration_is_all_or_nothing(kedged):
    daemon = kedged(config="port add p0 devargs net_null0\nroute add 10.0.0.5/8 via 10.0.0.9\n", ready=False)
    assert daemon.wait() == 1
    assert ":2:" in daemon.log and "10.0.0.0/8" in daemon.log
    assert not daemon.socket.exists()


# ---- ports ----

@pytest.mark.parametrize("devargs", [
    "net_null0",
    "net_ring0",
    "net_tap0,iface=ktap",
    "net_pcap0,rx_pcap={folder}/in.pcap,tx_pcap={folder}/out.pcap",
    "net_af_packet0,iface=p0",
    "net_af_xdp0,iface=p0",
])
def test_each_kind_of_device(lab, stack, kedged, tmp_path, devargs):
    lab.host("h", stack, "p0")
    # An empty capture file: its header alone.
    (tmp_path / "in.pcap").write_bytes(bytes.fromhex("d4c3b2a1020004000000000000000000ffff000001000000"))
    devargs = devargs.format(folder=tmp_path)
    daemon = kedged(f"port add p devargs {devargs}\n", namespace=stack)
    assert daemon.names.get("/port/p/error") is None
    daemon.wait_name("/port/p/link", "up")
    assert daemon.names.read("/port/p/id") == "0"
    assert daemon.names.read("/port/p/lcore") == "0"
    assert len(daemon.names.read("/port/p/mac")) == 17
    # Close it, and open it again.
    daemon.names.remove("/port/p")
    daemon.wait_gone("/port/p")
    daemon.names.write("/port/p/devargs", devargs)
    daemon.wait_name("/port/p/link", "up", timeout=10 * SLOW)
    assert daemon.names.get("/port/p/error") is None


@pytest.mark.parametrize("kind", ["af_packet", "af_xdp"])
def test_kernel_backed_ports_carry_packets(lab, stack, kedged, kind):
    h = lab.host("h", stack, "p0", "10.0.0.2/24")
    daemon = kedged(f"port add p0 devargs net_{kind}0,iface=p0\n"
                    "iface add i0 on port p0 address 10.0.0.1/24\n", namespace=stack)
    daemon.wait_up("p0")
    assert h.ping("10.0.0.1", 5) >= 4


def test_tap_port_carries_packets(stack, kedged):
    daemon = kedged("port add p0 devargs net_tap0,iface=ktap\n"
                    "iface add i0 on port p0 address 10.0.0.1/24\n", namespace=stack)
    daemon.wait_up("p0")
    stack.address("10.0.0.2/24", "ktap")
    assert stack.ping("10.0.0.1", 5) >= 4


def test_ports_added_and_removed_while_running(lab, stack, kedged):
    daemon = kedged(namespace=stack)
    h = lab.host("h", stack, "p0", "10.0.0.2/24")
    for _ in range(3):
        with daemon.names.transaction() as tx:
            tx.write("/port/p0/devargs", "net_af_packet0,iface=p0")
            tx.write("/iface/i0/on", "port p0")
            tx.write("/iface/i0/address/10.0.0.1", "24")
        daemon.wait_up("p0")
        assert h.ping("10.0.0.1", 3) >= 2
        with daemon.names.transaction() as tx:
            tx.remove("/port/p0")
            tx.remove("/iface/i0")
        daemon.names.applied()
        assert h.ping("10.0.0.1", 1, wait=1) == 0


def test_removed_under_traffic(routed):
    r = routed()
    assert r.h1.ping("10.2.0.2", 2) == 2
    load = r.h1.popen("ping -f -q 10.2.0.2", stdout=subprocess.DEVNULL)
    for _ in range(5):
        r.names.remove("/port/p2")
        time.sleep(0.05)
        r.names.write("/port/p2/devargs", "net_af_packet2,iface=p2")
        r.kedged.wait_up("p2")
        time.sleep(0.1)
    load.kill()
    assert r.h1.ping("10.2.0.2", 5) >= 4


def test_removed_and_added_at_once(kedged):
    daemon = kedged("port add n devargs net_null0\n")
    for _ in range(20):
        daemon.names.remove("/port/n")
        daemon.names.write("/port/n/devargs", "net_null0")
    daemon.wait_name("/port/n/link", "up")
    daemon.wait_name("/port/n/id", "0")
    assert daemon.names.get("/port/n/error") is None


def test_other_devargs_close_and_open(kedged):
    daemon = kedged("port add n devargs net_null0\n")
    daemon.names.write("/port/n/devargs", "net_nonsense7")
    error = daemon.wait_name("/port/n/error")
    assert "net_nonsense7" in error and "net_af_packet0" in error
    assert daemon.names.get("/port/n/id") is None
    daemon.names.write("/port/n/devargs", "net_null1")
    daemon.wait_name("/port/n/link", "up")
    assert daemon.names.get("/port/n/error") is None


def test_reasons_why_a_port_fails(stack, kedged):
    daemon = kedged("port add a devargs net_af_packet0,iface=nowhere\n"
                    "port add b devargs net_pcap0,rx_pcap=/nowhere/in.pcap\n", namespace=stack)
    # Ready although ports have failed.
    assert "nowhere" in daemon.names.read("/port/a/error")
    assert "net_pcap0" in daemon.names.read("/port/b/error")
    assert daemon.names.get("/port/a/id") is None
    # The same again and again is told once.
    time.sleep(1)
    assert daemon.log.count("port a: ") == 1


def test_port_waits_for_its_interface(lab, stack, kedged):
    daemon = kedged("port add p0 devargs net_af_packet0,iface=p0\n"
                    "iface add i0 on port p0 address 10.0.0.1/24\n", namespace=stack)
    assert "p0" in daemon.names.read("/port/p0/error")
    h = lab.host("h", stack, "p0", "10.0.0.2/24")
    daemon.wait_up("p0")
    wait_until(lambda: daemon.names.get("/port/p0/error") is None)
    assert h.ping("10.0.0.1", 3) >= 2


def test_interface_vanishes_and_comes_back(lab, routed):
    r = routed()
    assert r.h1.ping("10.2.0.2", 2) == 2
    r.h2.ip("link del eth0")
    r.kedged.wait_name("/port/p2/link", "down")
    assert "gone" in r.kedged.wait_name("/port/p2/error")
    assert r.names.get("/port/p2/id") is None
    # The other port goes on.
    assert r.h1.ping("10.1.0.1", 3) >= 2
    lab.veth(r.kedged_namespace, "p2", r.h2, "eth0")
    r.h2.address("10.2.0.2/24")
    r.h2.route("default", "10.2.0.1")
    r.kedged.wait_up("p2")
    wait_until(lambda: r.names.get("/port/p2/error") is None)
    # The new eth0 has another address, and says so by asking.
    assert r.h2.ping("10.2.0.1", 2) >= 1
    assert r.h1.ping("10.2.0.2", 5) >= 4


def test_tap_that_is_deleted_is_made_again(stack, kedged):
    daemon = kedged("port add p0 devargs net_tap0,iface=ktap\n", namespace=stack)
    daemon.wait_up("p0")
    stack.ip("link del ktap")
    daemon.wait_name("/port/p0/error")
    daemon.wait_up("p0")
    assert "ktap" in stack.ip("link show").stdout


def test_link_state_follows_the_kernel(routed):
    r = routed()
    r.h2.ip("link set eth0 down")
    r.kedged.wait_name("/port/p2/link", "down")
    r.h2.ip("link set eth0 up")
    r.kedged.wait_name("/port/p2/link", "up")
    assert r.names.get("/port/p2/error") is None
    assert r.names.read("/port/p2/id")


def test_mtu_follows(routed):
    r = routed()
    r.names.write("/port/p2/mtu", "1400")
    wait_until(lambda: "mtu 1400" in r.kedged_namespace.ip("link show p2").stdout)
    r.names.write("/port/p2/mtu", "9000")
    assert "9000" in r.kedged.wait_name("/port/p2/error")
    r.names.write("/port/p2/mtu", "1500")
    r.kedged.wait_gone("/port/p2/error")


# ---- /stats ----

def test_applied_and_last(routed):
    r = routed()
    assert r.h1.ping("10.2.0.2", 1) == 1
    r.names.write("/route/10.9.0.0/16", "via 10.2.0.2")
    r.names.applied()
    number = int(r.names.read("/stats/last/number"))
    assert number >= 1
    assert float(r.names.read("/stats/last/applied_us")) > 0
    assert abs(float(r.names.read("/stats/last/time")) - time.time()) < 60
    r.names.write("/tool/x", "1")
    assert int(r.names.read("/stats/applied")) > number


def test_every_stat_can_be_listed_and_read(routed):
    r = routed("flow add web dst=10.2.0.0/24 proto=icmp action count\n")
    assert r.h1.ping("10.2.0.2", 3) == 3
    tree = r.names.tree("/stats")
    for name in ("total/routed", "lcore/0/drop/ttl", "port/p1/rx_packets", "flow/web/packets",
                 "store/commits", "server/requests", "last/number", "moved", "uptime", "ready"):
        assert f"/stats/{name}" in tree, sorted(tree)
    assert int(tree["/stats/flow/web/packets"]) >= 3
    assert int(tree["/stats/total/routed"]) >= 6
    assert int(tree["/stats/port/p1/rx_packets"]) >= 3
    with pytest.raises(NamesError) as error:
        r.names.read("/stats/lcore/7/routed")
    assert error.value.errno_name == "ENOENT"


def test_why_flows_and_dependents(routed):
    import json

    r = routed()
    assert r.h1.ping("10.2.0.2", 2) == 2
    page = json.loads(r.names.read("/stats/flows/0/0"))
    flows = list(page["flows"])
    while "next" in page:
        page = json.loads(r.names.read(f"/stats/flows/0/{page['next']}"))
        flows += page["flows"]
    there = [flow for flow in flows if flow.get("dst") == "10.2.0.2"]
    assert there[0]["src"] == "10.1.0.2" and there[0]["proto"] == "icmp" and there[0]["iface"] == "i1"
    assert there[0]["action"] == "forward" and there[0]["port"] == "p2"
    key = "src=10.1.0.2,dst=10.2.0.2,proto=icmp,sport={}".format(there[0]["sport"])
    why = json.loads(r.names.read(f"/stats/why/{key}"))
    names = {source["name"]: source["version"] for source in why[0]["from"]}
    assert {"/route/10.2.0.0/24", "/neigh/i2/10.2.0.2", "/port/p2", "/iface/i2"} <= set(names), names
    assert all(names.values())
    dependents = json.loads(r.names.read("/stats/dependents/neigh/i2/10.2.0.2"))
    assert dependents["flows"] >= 1
    assert dependents["derived"][0]["kind"] == "adjacency"
    with pytest.raises(NamesError) as error:
        r.names.read("/stats/why/src=10.1.0.2")
    assert error.value.errno_name == "EINVAL" and "dst=" in error.value.reason
    with pytest.raises(NamesError) as error:
        r.names.read("/stats/why/src=10.1.0.2,dst=10.2.0.9,proto=udp")
    assert error.value.errno_name == "ENOENT"


def test_first_packet_after_idle(routed):
    r = routed()
    assert r.h1.ping("10.2.0.2", 2) == 2
    time.sleep(1)
    result = r.h1.run("ping -n -c 5 -i 1 10.2.0.2")
    times = [float(line.split("time=")[1].split()[0]) for line in result.stdout.splitlines() if "time=" in line]
    assert len(times) == 5
    # There and back, each after a second of sleep.
    assert sorted(times)[2] < 2 * SLOW, times
