# SPDX-License-Identifier: BSD-3-Clause
"""Addresses that move, and flows that follow: every form of announcement, the three modes of an interface,
and announcements that must not be believed.

    client - pc [ic 10.0.1.1 | kedged | br0 10.0.0.1, bridge of pa and pb] - a, b

10.0.0.5 is at a. The client sends numbered packets of many flows to it, and `moved()` judges where each has
arrived: those sent before the announcement at the old place, those sent after it was applied at the new one,
and all of them once.
"""

import struct

import pytest

from netns import wait_until
from packets import (ARP_REPLY, ARP_REQUEST, BROADCAST, FORMS, ZERO, Peer, Stream, Wire, account, arp, ether,
                     number, sequence_of, udp)

CLIENT, ROUTER, BRIDGE = "02:00:00:00:01:02", "02:00:00:00:00:01", "02:00:00:00:00:02"
MAC_A, MAC_B, MAC_C = "02:00:00:00:0a:0a", "02:00:00:00:0b:0b", "02:00:00:00:0c:0c"
ADDRESS, FLOWS = "10.0.0.5", 50
NEIGHBOUR = f"/neigh/br0/{ADDRESS}"

CONFIG = f"""\
port add pc devargs net_af_packet0,iface=pc
port add pa devargs net_af_packet1,iface=pa
port add pb devargs net_af_packet2,iface=pb
bridge add br0 port pa port pb
iface add ic on port pc address 10.0.1.1/24 mac {ROUTER}
iface add br0 on bridge br0 address 10.0.0.1/24 mac {BRIDGE}
neigh add ic 10.0.1.2 mac {CLIENT}
"""


class Scene:
    """Where things are. Neither a nor b has a kernel that answers: they are Peers."""

    def __init__(self, lab, stack, start, more="", mac_b=MAC_B):
        hosts = {name: lab.host(name, stack, f"p{name}") for name in "cab"}
        self.kedged = start(CONFIG + more, namespace=stack)
        self.kedged.wait_up("pc", "pa", "pb")
        self.names = self.kedged.names
        self.client = Wire(hosts["c"])
        self.a = Peer(hosts["a"], MAC_A, ADDRESS)
        self.b = Peer(hosts["b"], mac_b)

    def packet(self, n):
        return udp("10.0.1.2", ADDRESS, number(n), to=ROUTER, source=CLIENT, sport=4000 + n % FLOWS)

    def stream(self, rate=2000):
        return Stream(self.client, self.packet, rate, to=(self.a, self.b))

    def neighbour_is(self, mac):
        wait_until(lambda: self.names.get(NEIGHBOUR) == f"{mac} learned",
                   what=lambda: f"{NEIGHBOUR} is {mac}, not {self.names.get(NEIGHBOUR)}")
        self.names.applied()

    def station_is(self, mac, port):
        wait_until(lambda: self.names.get(f"/fdb/br0/{mac}") == f"{port} learned",
                   what=lambda: f"{mac} is behind {port}, not {self.names.get(f'/fdb/br0/{mac}')}")
        self.names.applied()

    def announce(self, peer, form):
        """The address is now at this peer, which says so; its predecessor is dead."""
        for other in (self.a, self.b):
            other.address = ADDRESS if other is peer else None
        peer.announce(form)

    def arrived(self, stream):
        """The stream ends, and every packet is somewhere, once."""
        sent = stream.stop()
        wait_until(lambda: len(self.a.packets) + len(self.b.packets) >= sent,
                   what=lambda: f"{sent} packets arrive; at a {len(self.a.packets)}, at b {len(self.b.packets)}, "
                                f"{account(self.names)}")
        assert sequence_of(self.a, self.b) == list(range(sent)), "none is lost, none comes twice"


@pytest.fixture
def scene(lab, stack, kedged):
    return lambda more="", **options: Scene(lab, stack, kedged, more, **options)


def followed(s, stream, before, after, mac):
    """Packets before number `before` are at a, those from number `after` on at b, with their MAC addresses."""
    s.arrived(stream)
    at_a, at_b = s.a.numbers(), s.b.numbers()
    assert set(range(before)) <= set(at_a), "sent before the announcement"
    assert set(range(after, stream.sent)) <= set(at_b), "sent after it was applied"
    assert {packet.to for packet in s.a.packets} == {MAC_A}
    assert {packet.to for packet in s.b.packets} == {mac}
    # Each flow changes its way once.
    for flow in range(FLOWS):
        mine = [n for n in at_a if n % FLOWS == flow], [n for n in at_b if n % FLOWS == flow]
        assert max(mine[0]) < min(mine[1])


@pytest.mark.parametrize("form", [form for form in FORMS if form != "rarp"])
def test_to_another_mac(scene, form):
    """A container is rescheduled: the address comes up at another port with another MAC address."""
    s = scene()
    with s.stream() as stream:
        s.a.wait_packets(200)
        s.neighbour_is(MAC_A)
        moved, before = s.kedged.stat("moved"), stream.sent - 20
        wait_until(lambda: len(s.a.packets) > before)
        s.announce(s.b, form)
        s.neighbour_is(MAC_B)
        after = stream.sent + 1
        stream.wait_more(200)
        followed(s, stream, before, after, MAC_B)
    assert s.kedged.stat("neighbours/moved") == 1
    assert s.kedged.stat("moved") - moved == FLOWS, "flows followed, each once"
    assert "moved from" in s.kedged.log


@pytest.mark.parametrize("form", FORMS)
def test_to_another_port_with_the_same_mac(scene, form):
    """A VM migrates: it keeps its addresses and comes up at another port. The station moves; nobody touches
    the neighbour."""
    s = scene(mac_b=MAC_A)
    with s.stream() as stream:
        s.a.wait_packets(200)
        s.neighbour_is(MAC_A)
        s.station_is(MAC_A, "pa")
        watcher = s.kedged.connect()
        watcher.watch(NEIGHBOUR, "n")
        assert watcher.event() is not None, "the first one comes by itself"
        moved, before = s.kedged.stat("moved"), stream.sent - 20
        wait_until(lambda: len(s.a.packets) > before)
        s.announce(s.b, form)
        s.station_is(MAC_A, "pb")
        after = stream.sent + 1
        stream.wait_more(200)
        followed(s, stream, before, after, MAC_A)
    assert s.kedged.stat("stations/moved") == 1
    assert s.kedged.stat("neighbours/moved") == 0
    assert s.kedged.stat("neighbours/rarp_in") == (form == "rarp")
    assert s.kedged.stat("moved") - moved in (FLOWS, FLOWS + 1), "the station itself may be one more"
    assert watcher.event(0.1) is None, "the neighbour's name was not written"


def test_rarp_of_another_mac_moves_no_neighbour(scene):
    s = scene()
    with s.stream() as stream:
        s.a.wait_packets(100)
        s.neighbour_is(MAC_A)
        s.b.announce("rarp", ADDRESS)
        s.station_is(MAC_B, "pb")
        stream.wait_more(100)
        s.arrived(stream)
    assert s.b.packets == []
    assert s.names.read(NEIGHBOUR) == f"{MAC_A} learned"


def test_two_moves_within_a_second_both_count(scene):
    """There is no time in which a further announcement is not believed (Linux's locktime)."""
    s = scene()
    with s.stream() as stream:
        s.a.wait_packets(100)
        s.neighbour_is(MAC_A)
        s.announce(s.b, "request")
        s.neighbour_is(MAC_B)
        stream.wait_more(100)
        s.announce(s.a, "reply")
        s.neighbour_is(MAC_A)
        after = stream.sent + 1
        stream.wait_more(100)
        s.arrived(stream)
    assert s.kedged.stat("neighbours/moved") == 2
    assert len(s.b.packets) >= 90
    assert set(range(after, stream.sent)) <= set(s.a.numbers())


def test_moves_at_once_end_at_the_last(scene):
    """Announcements in one burst, from three MAC addresses: each counts, and the last one holds."""
    s = scene()
    macs = [MAC_B, MAC_C, "02:00:00:00:0d:0d"]
    with s.stream() as stream:
        s.a.wait_packets(100)
        s.neighbour_is(MAC_A)
        s.b.wire.send(*[FORMS["request"](mac, ADDRESS, "") for mac in macs * 20])
        s.neighbour_is(macs[-1])
        wait_until(lambda: s.kedged.stat("neighbours/moved") == 60)
        after = stream.sent + 1
        stream.wait_more(100)
        s.arrived(stream)
    late = [packet for packet in s.b.packets if struct.unpack("!Q", packet.payload[:8])[0] >= after]
    assert {packet.to for packet in late} == {macs[-1]}
    assert set(range(after, stream.sent)) <= set(s.b.numbers())


def test_flapping_loses_nothing(scene):
    """An address that goes to and fro as quickly as it can, under traffic."""
    s = scene()
    with s.stream() as stream:
        s.a.wait_packets(100)
        s.neighbour_is(MAC_A)
        for turn in range(500):
            (s.b, s.a)[turn % 2].announce("request", ADDRESS)
        s.announce(s.b, "request")
        wait_until(lambda: s.kedged.stat("neighbours/moved") >= 2)
        stream.wait_more(50)
        s.b.announce()
        s.neighbour_is(MAC_B)
        after = stream.sent + 1
        stream.wait_more(100)
        s.arrived(stream)
    assert set(range(after, stream.sent)) <= set(s.b.numbers())


# ---- who is not to be believed ----

def refusals(s):
    return {name.split("/")[-1]: int(value) for name, value in s.names.tree("/stats/neighbours/refused").items()}


STATIC, STRANGER = "10.0.0.9", "02:00:00:00:0e:0e"

# Refused for -> the frame, and the cable that it comes from.
SPOOFED = {
    "own_address, by a request": ("own_address", "b", arp(STRANGER, ARP_REQUEST, "10.0.0.1", "10.0.0.1")),
    "own_address, by a reply": ("own_address", "b", arp(STRANGER, ARP_REPLY, "10.0.0.1", "10.0.0.1")),
    "own_mac": ("own_mac", "c", arp(ROUTER, ARP_REQUEST, "10.0.1.9", "10.0.1.9")),
    "is_static, by a request": ("is_static", "b", arp(STRANGER, ARP_REQUEST, STATIC, STATIC)),
    "is_static, by a reply": ("is_static", "b", arp(STRANGER, ARP_REPLY, STATIC, STATIC, target_mac=BROADCAST)),
    "is_static, by asking us": ("is_static", "b", arp(STRANGER, ARP_REQUEST, STATIC, "10.0.0.1")),
    "the wrong interface": ("wrong_subnet", "c", arp(STRANGER, ARP_REQUEST, ADDRESS, ADDRESS)),
    "the wrong interface, asking us": ("wrong_subnet", "c", arp(STRANGER, ARP_REQUEST, ADDRESS, "10.0.1.1")),
    "the wrong subnet": ("wrong_subnet", "b", arp(STRANGER, ARP_REQUEST, "10.7.0.5", "10.0.0.1")),
    "the subnet's own address": ("wrong_subnet", "b", arp(STRANGER, ARP_REQUEST, "10.0.0.0", "10.0.0.1")),
    "the broadcast address": ("wrong_subnet", "b", arp(STRANGER, ARP_REQUEST, "10.0.0.255", "10.0.0.1")),
    "a sender that is not the frame's": ("bad_mac", "b", arp(MAC_B, ARP_REQUEST, ADDRESS, ADDRESS,
                                                              sender_mac=STRANGER)),
    "a sender that is zero": ("bad_mac", "b", arp(MAC_B, ARP_REQUEST, ADDRESS, ADDRESS, sender_mac=ZERO)),
    "a sender that is all": ("bad_mac", "b", arp(MAC_B, ARP_REPLY, ADDRESS, ADDRESS, sender_mac=BROADCAST)),
    "another hardware": ("malformed", "b", ether(BROADCAST, MAC_B, 0x0806, b"\0\7" + b"\0" * 26)),
    "an unknown operation": ("malformed", "b", arp(MAC_B, 77, ADDRESS, ADDRESS)),
    "a reply from nobody": ("malformed", "b", arp(MAC_B, ARP_REPLY, "0.0.0.0", ADDRESS)),
}


def test_spoofed_packets_change_nothing(scene):
    s = scene(f"neigh add br0 {STATIC} mac 02:00:00:00:09:09\n")
    with s.stream() as stream:
        s.a.wait_packets(50)
        s.neighbour_is(MAC_A)
        neighbours, wires = s.names.tree("/neigh"), {"b": s.b.wire, "c": s.client}
        for what, (reason, cable, frame) in SPOOFED.items():
            before = refusals(s)
            wires[cable].send(frame)
            wait_until(lambda: refusals(s) != before, what=f"refused: {what}")
            assert refusals(s) == {**before, reason: before[reason] + 1}, what
            assert s.names.tree("/neigh") == neighbours, what
        s.arrived(stream)
    assert s.b.packets == []
    assert s.kedged.stat("neighbours/moved") == 0
    for reason in {reason for reason, _, _ in SPOOFED.values()}:
        assert f"refused, {reason}" in s.kedged.log


def test_refusals_are_logged_with_a_rate_limit(scene):
    s = scene()
    spoof, count = arp(STRANGER, ARP_REQUEST, "10.0.0.1", "10.0.0.1"), 2000
    for sent in range(0, count, 100):
        s.b.wire.send(*[spoof] * 100)
        wait_until(lambda: refusals(s)["own_address"] == sent + 100)
    lines = [line for line in s.kedged.log.splitlines() if "own_address" in line]
    assert 1 <= len(lines) < 100, "thousands of packets are not thousands of lines"
    assert STRANGER in lines[0] and "10.0.0.1" in lines[0] and "pb" in lines[0]


def test_own_address_is_defended(scene):
    s = scene()
    s.b.wire.frames()
    s.b.wire.send(arp(STRANGER, ARP_REQUEST, "10.0.0.1", "10.0.0.1"))
    ours = arp(BRIDGE, ARP_REQUEST, "10.0.0.1", "10.0.0.1")
    wait_until(lambda: any(frame[6:32] == ours[6:32] for frame in s.b.arps), what="we announce our address")


BOUND = f"""\
iface set br0 mode bound
neigh add br0 {ADDRESS} mac {MAC_A}
fdb add br0 {MAC_A} port pa
"""


def test_mode_bound_knows_only_what_is_configured(scene):
    """The configured triple of address, MAC and port: the right one is not refused, any other changes nothing."""
    s = scene(BOUND)
    with s.stream() as stream:
        s.a.wait_packets(50)
        neighbours, stations = s.names.tree("/neigh"), s.names.tree("/fdb")
        s.a.announce("request")
        for what, frame in (
                ("another MAC", FORMS["request"](MAC_B, ADDRESS, "")),
                ("another MAC that asks us", FORMS["probe-us"](MAC_B, ADDRESS, "10.0.0.1")),
                ("another port", FORMS["reply"](MAC_A, ADDRESS, "")),
                ("another address", FORMS["probe-us"](MAC_B, "10.0.0.77", "10.0.0.1"))):
            before = refusals(s)["not_bound"]
            s.b.wire.send(frame)
            wait_until(lambda: refusals(s)["not_bound"] == before + 1, what=f"refused: {what}")
            assert s.names.tree("/neigh") == neighbours, what
        s.b.wire.send(FORMS["rarp"](MAC_A, "", ""))
        wait_until(lambda: s.kedged.stat("stations/refused/static") >= 1)
        stream.wait_more(50)
        s.arrived(stream)
    assert s.b.packets == []
    assert refusals(s)["not_bound"] == 4
    assert {mac: where for mac, where in s.names.tree("/fdb").items() if "static" in where} == \
        {mac: where for mac, where in stations.items() if "static" in where}


def test_mode_static_learns_nothing(scene):
    s = scene(f"iface set br0 mode static\nneigh add br0 {STATIC} mac {MAC_A}\n")
    neighbours = s.names.tree("/neigh")
    s.b.announce("request", ADDRESS)
    s.b.announce("request", STATIC)
    wait_until(lambda: refusals(s)["is_static"] == 1)
    s.b.announce("probe-us", ADDRESS)
    wait_until(lambda: refusals(s)["mode_static"] == 1)
    # The stack does not answer with knowledge, but it does answer.
    wait_until(lambda: any(frame[20:22] == b"\0\2" and frame[28:32] == bytes([10, 0, 0, 1]) for frame in s.b.arps))
    assert s.names.tree("/neigh") == neighbours


def test_mode_can_change_while_running(scene):
    s = scene()
    s.b.announce("probe-us", ADDRESS)
    s.neighbour_is(MAC_B)
    s.names.write("/iface/br0/mode", "static")
    assert s.names.get(NEIGHBOUR) is None, "what was learned is gone"
    s.b.announce("probe-us", ADDRESS)
    wait_until(lambda: refusals(s)["mode_static"] == 1)
    assert s.names.get(NEIGHBOUR) is None
    s.names.write("/iface/br0/mode", "follow")
    s.b.announce("probe-us", ADDRESS)
    s.neighbour_is(MAC_B)


def test_unknown_senders_are_learned_only_if_they_talk_to_us(scene):
    """RFC 826: an address that nobody has asked for makes no entry by being announced."""
    s = scene()
    s.b.announce("request", "10.0.0.60")
    s.b.announce("reply", "10.0.0.61")
    s.b.announce("probe-us", "10.0.0.62")
    s.kedged.wait_name("/neigh/br0/10.0.0.62", f"{MAC_B} learned")
    assert "10.0.0.60" not in s.names.list("/neigh/br0")
    assert "10.0.0.61" not in s.names.list("/neigh/br0")
