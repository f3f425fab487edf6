# SPDX-License-Identifier: BSD-3-Clause
"""A bridge of three ports, with one host behind each: learning, flooding, ageing, static stations, flushing.

What a host sends is followed by a *fence*: a broadcast that all others get. What they got before it is all
that they will get, so that 'it does not arrive' needs no waiting.
"""

import itertools
import time

import pytest

from conftest import SLOW
from netns import wait_until
from packets import BROADCAST, Peer, Stream, account, ether, number, udp

MACS = {"p1": "02:00:00:00:00:a1", "p2": "02:00:00:00:00:a2", "p3": "02:00:00:00:00:a3"}
NOBODY, ELSEWHERE = "02:00:00:00:00:77", "02:00:00:00:00:78"

CONFIG = "".join(f"port add {port} devargs net_af_packet{n},iface={port}\n" for n, port in enumerate(MACS)) + \
    "bridge add b0 port p1 port p2 port p3\n"


class Scene:
    def __init__(self, lab, stack, start, more=""):
        self.hosts = {port: lab.host(port, stack, port) for port in MACS}
        self.kedged = start(CONFIG + more, namespace=stack)
        self.kedged.wait_up(*MACS)
        self.names = self.kedged.names
        self.peers = {port: Peer(host, MACS[port]) for port, host in self.hosts.items()}
        self.next = itertools.count()

    def frame(self, to, source, n):
        return udp("10.0.0.1", "10.0.0.2", number(n), to=to, source=source)

    def send(self, port, to, source=None, count=1):
        """Send `count` frames at a port. Where they arrived: {port: how many}, for ports that got any."""
        sent, source = [next(self.next) for _ in range(count)], source or MACS[port]
        self.peers[port].wire.send(*[self.frame(to, source, n) for n in sent])
        self.fence(port)
        got = {other: len([n for n in peer.numbers() if n in sent]) for other, peer in self.peers.items()}
        return {other: n for other, n in got.items() if n}

    def fence(self, port):
        mark = next(self.next)
        self.peers[port].wire.send(self.frame(BROADCAST, MACS[port], mark))
        wait_until(lambda: all(mark in peer.numbers() for other, peer in self.peers.items()
                               if other != port and self.is_up(other)),
                   what=lambda: f"all get the broadcast; {account(self.names)}")

    def is_up(self, port):
        return self.names.get(f"/port/{port}/link") == "up" and self.names.get(f"/bridge/b0/port/{port}") is not None

    def station(self, mac):
        return self.names.get(f"/fdb/b0/{mac}")

    def learned(self, mac, port, timeout=5):
        wait_until(lambda: self.station(mac) == f"{port} learned", timeout,
                   lambda: f"{mac} is behind {port}, not {self.station(mac)}")
        self.names.applied()

    def forgotten(self, mac, timeout=5 * SLOW):
        wait_until(lambda: self.station(mac) is None, timeout, f"{mac} is forgotten")
        self.names.applied()

    def say(self, *ports):
        for port in ports:
            self.fence(port)
            self.learned(MACS[port], port)


@pytest.fixture
def scene(lab, stack, kedged):
    return lambda more="": Scene(lab, stack, kedged, more)


def test_learning_ends_flooding(scene):
    s = scene()
    assert s.send("p1", MACS["p2"]) == {"p2": 1, "p3": 1}, "p2 has said nothing yet"
    s.say("p2")
    assert s.send("p1", MACS["p2"], count=20) == {"p2": 20}
    assert s.send("p3", MACS["p2"], count=20) == {"p2": 20}
    s.say("p1")
    assert s.send("p2", MACS["p1"], count=20) == {"p1": 20}
    assert s.kedged.stat("stations/learned") == 3
    assert s.kedged.stat("total/bridged") == 60


@pytest.mark.parametrize("to", [BROADCAST, "01:00:5e:00:00:01", "33:33:00:00:00:01", NOBODY],
                         ids=["broadcast", "IPv4 multicast", "IPv6 multicast", "unknown unicast"])
def test_what_is_for_many_or_for_nobody_is_flooded(scene, to):
    s = scene()
    s.say("p1", "p2", "p3")
    assert s.send("p1", to, count=5) == {"p2": 5, "p3": 5}
    assert s.send("p2", to, count=5) == {"p1": 5, "p3": 5}


def test_what_never_leaves_a_bridge(scene):
    """IEEE 802.1D, 7.12.6: spanning tree, LACP, LLDP. And what would go back where it came from."""
    s = scene()
    s.say("p1", "p2", "p3")
    assert s.send("p1", "01:80:c2:00:00:00") == {}
    assert s.send("p1", "01:80:c2:00:00:0e") == {}
    assert s.send("p1", "01:80:c2:00:00:10") == {"p2": 1, "p3": 1}, "the first address that is not reserved"
    before = s.kedged.stat("total/drop/same-port")
    assert s.send("p1", MACS["p1"], source=ELSEWHERE, count=3) == {}
    assert s.kedged.stat("total/drop/same-port") == before + 3


def test_bad_sources_teach_nothing(scene):
    s = scene()
    s.say("p1")
    before = s.kedged.stat("total/drop/bad-source")
    for source in (BROADCAST, "01:00:00:00:00:01", "00:00:00:00:00:00"):
        assert s.send("p1", BROADCAST, source=source) == {}
        assert s.station(source) is None
    assert s.kedged.stat("total/drop/bad-source") == before + 3


def test_large_and_small_frames_go_through_unchanged(scene):
    s = scene()
    s.say("p1", "p2", "p3")
    wire, peer = s.peers["p1"].wire, s.peers["p2"]
    payloads = [bytes(size) for size in range(8, 1473, 61)] + [bytes(1472)]
    wire.send(*[udp("10.0.0.1", "10.0.0.2", payload, to=peer.mac, source=MACS["p1"], ttl=1) for payload in payloads])
    wait_until(lambda: len([packet for packet in peer.packets if packet.ttl == 1]) == len(payloads))
    got = [packet for packet in peer.packets if packet.ttl == 1]
    assert [packet.payload for packet in got] == payloads, "also the TTL is left alone"
    assert {packet.source for packet in got} == {MACS["p1"]}


def test_station_moves_with_its_frames(scene):
    s = scene()
    s.say("p1", "p2", "p3")
    moved = s.kedged.stat("stations/moved")
    for turn in range(20):
        port = ("p2", "p3")[turn % 2]
        s.peers[port].wire.send(ether(BROADCAST, ELSEWHERE, 0x88b5, b"here"))
        s.learned(ELSEWHERE, port)
        assert s.send("p1", ELSEWHERE, count=5) == {port: 5}
    assert s.kedged.stat("stations/moved") - moved == 19


def test_station_moves_under_bridged_traffic(scene):
    """Flows through the bridge follow: what is sent after the move was applied arrives at the new port only."""
    s = scene()
    s.say("p1")
    peers = [s.peers["p2"], s.peers["p3"]]
    peers[0].wire.send(ether(BROADCAST, ELSEWHERE, 0x88b5))
    s.learned(ELSEWHERE, "p2")
    for peer in peers:
        peer.packets.clear()
    with Stream(s.peers["p1"].wire, lambda n: s.frame(ELSEWHERE, MACS["p1"], n), to=peers) as stream:
        for turn in range(1, 11):
            stream.wait_more(50)
            here, there = peers[turn % 2], peers[1 - turn % 2]
            here.wire.send(ether(BROADCAST, ELSEWHERE, 0x88b5))
            s.learned(ELSEWHERE, ("p2", "p3")[turn % 2])
            after = stream.sent + 1
            stream.wait_more(50)
            wait_until(lambda: stream.sent - 10 in here.numbers())
            assert not [n for n in there.numbers() if n >= after]
        sent = stream.stop()
    wait_until(lambda: sum(len(peer.packets) for peer in peers) >= sent)
    assert sorted(peers[0].numbers() + peers[1].numbers()) == list(range(sent))


# ---- ageing ----

def test_stations_age_out_unless_they_speak(scene):
    """Ten seconds are the shortest that 802.1Q allows. p3 is in another bridge, where they stay for ever."""
    s = scene()
    with s.names.transaction() as tx:
        tx.remove("/bridge/b0/port/p3")
        tx.write("/bridge/b1/port/p3", "")
        tx.write("/bridge/b1/ageing", "0")
    s.names.applied()
    s.say("p1", "p2")
    s.peers["p3"].wire.send(ether(BROADCAST, MACS["p3"], 0x88b5))
    s.kedged.wait_name(f"/fdb/b1/{MACS['p3']}", "p3 learned")
    s.names.write("/bridge/b0/ageing", "10")
    start = time.monotonic()
    with Stream(s.peers["p2"].wire, lambda n: s.frame(BROADCAST, MACS["p2"], 10**6 + n), rate=50):
        s.forgotten(MACS["p1"], 15 * SLOW)
        assert time.monotonic() - start > 8, "not too early"
        assert s.station(MACS["p2"]) == "p2 learned", "it has gone on speaking"
        assert s.send("p2", MACS["p1"]) == {"p1": 1}
    assert s.names.read(f"/fdb/b1/{MACS['p3']}") == "p3 learned"
    assert s.kedged.stat("stations/aged") == 1


# ---- static stations ----

def test_static_station_needs_no_learning_and_never_moves(scene):
    s = scene(f"fdb add b0 {ELSEWHERE} port p2\n")
    s.say("p1", "p3")
    assert s.send("p1", ELSEWHERE)["p2"] == 1, "the very first one may be flooded: the lcore doesn't know it yet"
    s.names.applied()
    assert s.send("p1", ELSEWHERE, count=3) == {"p2": 3}
    before = s.kedged.stat("stations/refused/static")
    s.send("p3", BROADCAST, source=ELSEWHERE)
    wait_until(lambda: s.kedged.stat("stations/refused/static") > before)
    assert s.station(ELSEWHERE) == "p2 static"
    assert s.send("p1", ELSEWHERE, count=3) == {"p2": 3}
    assert ELSEWHERE in s.kedged.log


def test_static_station_added_and_removed_while_running(scene):
    s = scene()
    s.say("p1", "p2", "p3")
    s.names.write(f"/fdb/b0/{MACS['p2']}", "p3 static")
    s.names.applied()
    assert s.send("p1", MACS["p2"], count=3) == {"p3": 3}, "what is configured goes before what was learned"
    s.names.remove(f"/fdb/b0/{MACS['p2']}")
    s.names.applied()
    assert s.send("p1", MACS["p2"], count=3) == {"p2": 3, "p3": 3}
    s.say("p2")
    assert s.send("p1", MACS["p2"], count=3) == {"p2": 3}


# ---- ports that go ----

def test_link_down_flushes_stations(scene):
    s = scene(f"fdb add b0 {ELSEWHERE} port p2\n")
    s.say("p1", "p2", "p3")
    s.peers["p2"].wire.send(ether(BROADCAST, NOBODY, 0x88b5))
    s.learned(NOBODY, "p2")
    s.hosts["p2"].ip("link set eth0 down")
    s.kedged.wait_name("/port/p2/link", "down")
    s.forgotten(MACS["p2"])
    s.forgotten(NOBODY)
    assert s.station(ELSEWHERE) == "p2 static", "what is configured stays"
    assert s.station(MACS["p1"]) == "p1 learned", "and so does what is elsewhere"
    assert s.send("p1", MACS["p2"]) == {"p3": 1}, "flooded to the ports that are up"
    s.hosts["p2"].ip("link set eth0 up")
    s.kedged.wait_name("/port/p2/link", "up")
    s.names.applied()
    assert s.send("p1", MACS["p2"]) == {"p2": 1, "p3": 1}
    s.say("p2")
    assert s.send("p1", MACS["p2"]) == {"p2": 1}


def test_port_leaves_the_bridge_and_comes_back(scene):
    s = scene()
    s.say("p1", "p2", "p3")
    s.names.remove("/bridge/b0/port/p2")
    s.forgotten(MACS["p2"])
    assert s.send("p1", MACS["p2"]) == {"p3": 1}
    assert s.send("p1", BROADCAST) == {"p3": 1}
    before = s.kedged.stat("total/drop/no-interface")
    s.peers["p2"].wire.send(s.frame(BROADCAST, MACS["p2"], next(s.next)))
    wait_until(lambda: s.kedged.stat("total/drop/no-interface") == before + 1)
    s.names.write("/bridge/b0/port/p2", "")
    s.names.applied()
    s.say("p2")
    assert s.send("p1", MACS["p2"]) == {"p2": 1}


def test_bridge_is_removed_and_made_again(scene):
    s = scene()
    s.say("p1", "p2", "p3")
    s.names.remove("/bridge/b0")
    s.names.applied()
    wait_until(lambda: s.kedged.stat("stations/entries") == 0)
    with s.names.transaction() as tx:
        for port in MACS:
            tx.write(f"/bridge/b0/port/{port}", "")
    s.names.applied()
    assert s.send("p1", MACS["p2"]) == {"p2": 1, "p3": 1}
    s.say("p2")
    assert s.send("p1", MACS["p2"]) == {"p2": 1}
