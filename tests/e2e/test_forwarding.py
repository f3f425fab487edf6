# SPDX-License-Identifier: BSD-3-Clause
"""Packets through the stack: routed and bridged, by the hosts' own programs, and frame by frame."""

import hashlib
import json
import subprocess
import sys

import pytest

from conftest import SLOW
from netns import wait_until
from packets import ARP_REQUEST, BROADCAST, IPV4, Peer, Wire, arp, echo, ether, ipv4, number, parse, udp

ROUTER, HOST = "02:00:00:00:00:01", "02:00:00:00:01:02"


# ---- programs of the hosts ----

def test_ping_routed(routed):
    r = routed()
    assert r.h1.ping("10.1.0.1", 5) == 5, "the stack's own address"
    assert r.h1.ping("10.2.0.1", 5) == 5, "its address on the other side"
    assert r.h1.ping("10.2.0.2", 10) == 10, "the host behind it"
    assert r.h2.ping("10.1.0.2", 10) == 10, "and the other way"
    assert r.kedged.stat("total/routed") >= 40
    assert "10.2.0.2" in r.names.list("/neigh/i2")


def test_ping_of_all_sizes(routed):
    r = routed()
    for size in (0, 1, 17, 18, 19, 63, 64, 1471, 1472):
        result = r.h1.run(f"ping -n -c 2 -i 0.02 -s {size} 10.2.0.2")
        assert "2 received" in result.stdout, size


def test_ping_bridged(bridged):
    b = bridged()
    b.b.address("10.0.0.6/24")
    assert b.a.ping("10.0.0.6", 10) == 10, "from port to port of the bridge"
    assert b.kedged.stat("total/bridged") >= 18
    assert b.kedged.stat("total/routed") == 0
    assert b.c.ping("10.0.0.5", 10) == 10, "from a routed port into the bridge"
    assert b.a.ping("10.0.1.2", 10) == 10, "and out of it"


def test_traceroute_shows_kedge(routed):
    r = routed()
    for method in ("", "-I", "-T -p 9"):
        result = r.h1.run(f"traceroute -n -q 1 -w 2 {method} 10.2.0.2")
        hops = [line.split()[1] for line in result.stdout.splitlines()[1:]]
        assert hops == ["10.1.0.1", "10.2.0.2"], result.stdout


def test_tcp_is_complete_and_right(routed, tmp_path):
    """Five megabytes over HTTP with curl, compared byte by byte."""
    r = routed()
    data = hashlib.shake_128(b"kedge").digest(5_000_000)
    (tmp_path / "www").mkdir()
    (tmp_path / "www/data").write_bytes(data)
    r.h2.popen([sys.executable, "-m", "http.server", "--bind", "10.2.0.2", "--directory", tmp_path / "www", "8000"],
               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    r.h1.run(f"curl -sS --retry 50 --retry-connrefused --retry-delay 0 --max-time {60 * SLOW} "
             f"-o {tmp_path}/got http://10.2.0.2:8000/data", timeout=90 * SLOW)
    assert (tmp_path / "got").read_bytes() == data


def iperf3(r, words):
    server = r.h2.popen("iperf3 -s -1", stdout=subprocess.DEVNULL)
    wait_until(lambda: ":5201" in r.h2.run("ss -ltn").stdout, what="iperf3 listens")
    result = json.loads(r.h1.run(f"iperf3 -J -c 10.2.0.2 {words}", timeout=60 * SLOW).stdout)
    server.wait(10)
    assert "error" not in result
    return result["end"]


@pytest.mark.parametrize("way", ["", "-R", "-P 8"])
def test_iperf3_tcp(routed, way):
    end = iperf3(routed(), f"-t 1 {way}")
    assert end["sum_received"]["bytes"] > 1_000_000
    # Each byte that was sent has arrived, but for what was on its way when the clock stopped.
    assert end["sum_sent"]["bytes"] - end["sum_received"]["bytes"] < 20_000_000


@pytest.mark.parametrize("way", ["", "-R"])
def test_iperf3_udp(routed, way):
    end = iperf3(routed(), f"-u -b 10M -l 1400 -t 1 {way}")
    assert end["sum"]["packets"] > 500
    assert end["sum"]["lost_packets"] == 0


# ---- too big, too old, nowhere ----

def test_fragments(routed):
    r = routed("port set p2 mtu 1400\n")
    r.h2.ip("link set eth0 mtu 1400")
    for size in (1372, 1373, 1472, 4000, 20000):
        result = r.h1.run(f"ping -n -c 2 -i 0.05 -M dont -s {size} 10.2.0.2")
        assert "2 received" in result.stdout, size


def test_dont_fragment_is_answered(routed):
    r = routed("port set p2 mtu 1400\n")
    r.h2.ip("link set eth0 mtu 1400")
    assert "1 received" in r.h1.run("ping -n -c 1 -M do -s 1372 10.2.0.2").stdout
    result = r.h1.run("ping -n -c 1 -W 2 -M do -s 1373 10.2.0.2", check=False)
    assert "From 10.1.0.1" in result.stdout and "mtu = 1400" in result.stdout, result.stdout
    assert r.kedged.stat("total/drop/mtu") == 1
    assert "mtu 1400" in r.h1.ip("route get 10.2.0.2").stdout, "the host has learned it"


def test_ttl_expires(routed):
    r = routed()
    result = r.h1.run("ping -n -c 1 -W 2 -t 1 10.2.0.2", check=False)
    assert "From 10.1.0.1" in result.stdout and "Time to live exceeded" in result.stdout
    assert r.kedged.stat("total/drop/ttl") == 1
    assert "1 received" in r.h1.run("ping -n -c 1 -t 2 10.2.0.2").stdout


@pytest.mark.parametrize("route, answer, reason", [
    ("", "Destination Net Unreachable", "no-route"),
    ("route add 10.9.0.0/16 reject", "Destination Net Unreachable", "no-route"),
    ("route add 10.9.0.0/16 blackhole", None, "blackhole"),
    ("route add 10.9.0.0/16 via 10.2.0.77", "Destination Host Unreachable", None),
])
def test_nowhere_to_go(routed, route, answer, reason):
    r = routed(route + "\n", args=["--neigh-retransmit", "100"])
    result = r.h1.run(f"ping -n -c 1 -W {3 if answer else 1} 10.9.0.1", check=False)
    assert "0 received" in result.stdout
    assert ("From 10.1.0.1" in result.stdout and answer in result.stdout) if answer else "From" not in result.stdout, \
        result.stdout
    if reason:
        assert r.kedged.stat(f"total/drop/{reason}") == 1
        flow, = json.loads(r.kedged.ctl("flow why dst=10.9.0.1 --json").stdout)
        assert flow["action"] == (route.split() or [reason])[-1]
    else:
        assert r.kedged.stat("total/drop/unreachable") + r.kedged.stat("total/drop/hold-timeout") == 1
        assert r.names.read("/neigh/i2/10.2.0.77") == "failed"


def test_actions_of_flows(routed):
    r = routed("flow add quiet proto=udp dport=7 priority 10 action drop\n"
               "flow add seen proto=icmp priority 10 action count\n")
    before = r.kedged.stat("total/drop/denied")
    wire = Wire(r.h1)
    wire.send(*[udp("10.1.0.2", "10.2.0.2", to=r.names.read("/port/p1/mac"), source=r.h1.mac(), dport=7)] * 5)
    assert r.h1.ping("10.2.0.2", 3) == 3
    assert r.kedged.stat("total/drop/denied") == before + 5
    assert r.kedged.stat("flow/quiet/packets") == 5
    assert r.kedged.stat("flow/seen/packets") == 6


# ---- each reason for a drop ----

def to_us(packet):
    return ether(ROUTER, HOST, IPV4, packet)


def bad(**what):
    return to_us(ipv4("10.1.0.2", "10.2.0.2", 17, b"payload.", **what))


DROPPED = [
    ("short", to_us(b"")[:20]),
    ("short", bad(total=1000)),
    ("not-ours", udp("10.1.0.2", "10.2.0.2", to="02:00:00:00:00:77", source=HOST)),
    ("ethertype", ether(ROUTER, HOST, 0x88b5, b"experiment")),
    ("bad-source", udp("10.1.0.2", "10.2.0.2", to=ROUTER, source="03:00:00:00:00:01")),
    ("bad-source", udp("127.0.0.1", "10.2.0.2", to=ROUTER, source=HOST)),
    ("bad-source", udp("224.0.0.1", "10.2.0.2", to=ROUTER, source=HOST)),
    ("bad-source", udp("255.255.255.255", "10.2.0.2", to=ROUTER, source=HOST)),
    ("bad-source", udp("10.1.0.1", "10.2.0.2", to=ROUTER, source=HOST)),
    ("ip-header", bad(version=5)),
    ("ip-checksum", bad(bad_sum=1)),
    ("source-route", bad(options=bytes([131, 7, 4, 10, 9, 9, 9, 0]))),
    ("source-route", bad(options=bytes([137, 7, 4, 10, 9, 9, 9, 0]))),
    ("ttl", bad(ttl=1)),
    ("ttl", bad(ttl=0)),
    ("no-route", udp("10.1.0.2", "172.16.0.1", to=ROUTER, source=HOST)),
    ("local", udp("10.1.0.2", "10.1.0.1", to=ROUTER, source=HOST)),
]


def test_each_drop_is_counted_by_its_reason(routed):
    r = routed(f"iface set i1 mac {ROUTER}\nneigh add i2 10.2.0.2 mac {HOST}\n")
    wire = Wire(r.h1)

    def drops():
        return {name.split("/")[-1]: int(value) for name, value in r.names.tree("/stats/total/drop").items()}

    for number_of, (reason, frame) in enumerate(DROPPED):
        before = drops()
        wire.send(frame)
        wait_until(lambda: drops() != before, what=f"frame {number_of} is counted as {reason}")
        assert drops() == {**before, reason: before[reason] + 1}, f"frame {number_of}"
    assert r.kedged.stat("total/routed") == 0


def test_port_without_an_interface(lab, stack, kedged):
    h = lab.host("h", stack, "p0")
    daemon = kedged("port add p0 devargs net_af_packet0,iface=p0\n", namespace=stack)
    daemon.wait_up("p0")
    Wire(h).send(udp("10.1.0.2", "10.2.0.2", to=BROADCAST, source=HOST))
    wait_until(lambda: daemon.stat("total/drop/no-interface") == 1)


# ---- packets that wait ----

@pytest.fixture
def waiting(routed):
    """The neighbour 10.2.0.3 answers when the test wants it to."""
    r = routed(f"iface set i1 mac {ROUTER}\nneigh add i1 10.1.0.2 mac {HOST}\n")
    r.wire, r.peer = Wire(r.h1), Peer(r.h2, "02:00:00:00:02:03", router="10.2.0.1")
    return r


def numbered(n, **more):
    return udp("10.1.0.2", "10.2.0.3", number(n), to=ROUTER, source=HOST, **more)


def test_first_packets_are_held_and_go_in_order(waiting):
    w = waiting
    w.wire.send(*[numbered(n) for n in range(50)])
    wait_until(lambda: w.kedged.stat("total/held_now") == 50)
    assert w.peer.packets == []
    w.peer.announce("probe-us", "10.2.0.3")
    w.peer.wait_packets(50)
    assert w.peer.numbers() == list(range(50))
    assert w.kedged.stat("total/held_now") == 0
    assert {packet.to for packet in w.peer.packets} == {w.peer.mac}


def test_later_packets_queue_behind_held_ones(waiting):
    """While held packets go out others keep coming, of the same flow and of others: none overtakes. With
    several neighbours, one after the other, because how much they overlap is chance."""
    w = waiting
    for host in range(10, 30):
        sent = [udp("10.1.0.2", f"10.2.0.{host}", number(n), to=ROUTER, source=HOST, sport=4000 + n % 3)
                for n in range(60)]
        w.wire.send(*sent[:20])
        wait_until(lambda: w.kedged.stat("total/held_now") == 20)
        w.peer.announce("probe-us", f"10.2.0.{host}")
        w.wire.send(*sent[20:])
        w.peer.wait_packets(60)
        assert w.peer.numbers() == list(range(60)), host
        w.peer.packets.clear()


def test_held_packets_are_bounded(waiting):
    w = waiting
    w.wire.send(*[numbered(n) for n in range(200)])
    wait_until(lambda: w.kedged.stat("total/held_now") + w.kedged.stat("total/drop/hold-full") == 200)
    held = w.kedged.stat("total/held_now")
    assert 0 < held < 200
    w.peer.announce("probe-us", "10.2.0.3")
    w.peer.wait_packets(held)
    assert w.peer.numbers() == list(range(held)), "the oldest ones are kept"
    assert parse(numbered(0)).payload == number(0)
