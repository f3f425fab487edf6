# SPDX-License-Identifier: BSD-3-Clause
"""Every kind of port with packets on it, added and removed while the daemon runs and while traffic flows.
(That each can be opened and closed at all, and what happens when a device fails, is in test_daemon.py.)"""

import struct
import subprocess

import pytest

from conftest import SLOW
from netns import wait_until
from packets import (ARP_REPLY, ARP_REQUEST, BROADCAST, ICMP, Peer, Stream, Wire, account, arp, checksum, echo, ether,
                     number, parse, udp)

ROUTER, HOST = "02:00:00:00:00:01", "02:00:00:00:01:02"

# Kind of port -> device arguments.
KINDS = {
    "af_packet": "net_af_packet{n},iface={port}",
    "af_xdp": "net_af_xdp{n},iface={port}",
    "tap": "net_tap{n},iface=t{port}",
}


class Side:
    """A host 10.N.0.2 behind port pN of some kind; the stack is 10.N.0.1. Behind a tap it is the kernel of the
    daemon's own namespace: a tap can't leave it."""

    def __init__(self, lab, stack, kind, n):
        self.n, self.port, self.kind = n, f"p{n}", kind
        self.devargs = KINDS[kind].format(n=n, port=self.port)
        self.host = stack if kind == "tap" else lab.host(self.port, stack, self.port, f"10.{n}.0.2/24",
                                                         gateway=f"10.{n}.0.1")

    def lines(self):
        # An address of its own: the kernel shares the port's frames with af_packet, and must not take them.
        return (f"port add {self.port} devargs {self.devargs}\n"
                f"iface add i{self.n} on port {self.port} address 10.{self.n}.0.1/24 mac 02:00:00:00:0{self.n}:01\n")

    def up(self, daemon):
        daemon.wait_name(f"/port/{self.port}/link", "up", 20 * SLOW)
        if self.kind == "tap":
            self.host.address(f"10.{self.n}.0.2/24", f"t{self.port}")
            self.host.route("default", f"10.{self.n}.0.1")


@pytest.mark.parametrize("one, two", [("af_packet", "af_xdp"), ("af_xdp", "af_xdp"), ("af_packet", "tap")])
def test_packets_between_kinds_of_ports(lab, stack, kedged, one, two):
    a, b = Side(lab, stack, one, 1), Side(lab, stack, two, 2)
    daemon = kedged(a.lines() + b.lines(), namespace=stack)
    a.up(daemon)
    b.up(daemon)
    wait_until(lambda: a.host.ping("10.2.0.2", 1, wait=1), 10 * SLOW)
    assert a.host.ping("10.2.0.2", 20) == 20, account(daemon.names)
    assert b.host.ping("10.1.0.2", 20) == 20
    result = a.host.run("ping -n -c 3 -i 0.05 -s 1472 10.2.0.2")
    assert "3 received" in result.stdout
    result = a.host.run("ping -n -c 3 -i 0.05 -M dont -s 5000 10.2.0.2")
    assert "3 received" in result.stdout
    assert daemon.stat("port/p1/rx_packets") > 40 and daemon.stat("port/p2/tx_packets") > 40


@pytest.mark.parametrize("kind", ["af_packet", "af_xdp"])
def test_port_removed_and_added_while_traffic_flows(lab, stack, kedged, kind):
    """The traffic of others goes on meanwhile without a loss; its own goes on as soon as it is back."""
    own, other, third = Side(lab, stack, kind, 1), Side(lab, stack, "af_packet", 2), Side(lab, stack, "af_packet", 3)
    daemon = kedged("".join(side.lines() for side in (own, other, third)) +
                    f"iface set i2 mac {ROUTER}\nneigh add i2 10.2.0.9 mac {HOST}\n", namespace=stack)
    for side in (own, other, third):
        side.up(daemon)
    wire, peer = Wire(other.host), Peer(third.host, "02:00:00:00:03:09", "10.3.0.9", router="10.3.0.1")
    own.host.popen("ping -f -q 10.3.0.2", stdout=subprocess.DEVNULL)
    with Stream(wire, lambda n: udp("10.2.0.9", "10.3.0.9", number(n), to=ROUTER, source=HOST), to=[peer]) as stream:
        for _ in range(3):
            before = daemon.stat("port/p1/rx_packets")
            wait_until(lambda: daemon.stat("port/p1/rx_packets") > before + 50, 20 * SLOW, "its own traffic flows")
            daemon.names.remove("/port/p1")
            daemon.wait_gone("/port/p1")
            stream.wait_more(100)
            daemon.names.write("/port/p1/devargs", own.devargs)
            own.up(daemon)
        sent = stream.stop()
    wait_until(lambda: len(peer.numbers()) >= sent)
    assert peer.numbers() == list(range(sent)), "the others did not notice"
    assert daemon.names.get("/port/p1/error") is None


def test_ports_of_every_kind_come_and_go(lab, stack, kedged, tmp_path):
    """One transaction adds ports of all kinds, another takes them all away, again and again; packet buffers
    come back."""
    pcap(tmp_path / "in.pcap", [])
    side = Side(lab, stack, "af_packet", 1)
    lab.host("x", stack, "px")
    daemon = kedged(side.lines(), namespace=stack)
    side.up(daemon)
    assert side.host.ping("10.1.0.1", 3) == 3
    devices = {"n": "net_null7,no-rx=1", "r": "net_ring7", "t": "net_tap7,iface=tt7", "x": "net_af_xdp7,iface=px",
               "c": f"net_pcap7,rx_pcap={tmp_path}/in.pcap,tx_pcap={tmp_path}/out.pcap"}
    free = daemon.stat("packets/free")
    for _ in range(4):
        with daemon.names.transaction() as tx:
            for port, devargs in devices.items():
                tx.write(f"/port/{port}/devargs", devargs)
                tx.write(f"/iface/{port}/on", f"port {port}")
                tx.write(f"/iface/{port}/address/10.77.{ord(port)}.1", "24")
        for port in devices:
            daemon.wait_name(f"/port/{port}/link", "up", 20 * SLOW)
        assert side.host.ping("10.1.0.1", 3) == 3, "the first one goes on"
        with daemon.names.transaction() as tx:
            for port in devices:
                tx.remove(f"/port/{port}")
                tx.remove(f"/iface/{port}")
        for port in devices:
            daemon.wait_gone(f"/port/{port}", 20 * SLOW)
        daemon.names.applied()
        assert daemon.names.list("/port") == ["p1"]
    wait_until(lambda: daemon.stat("packets/free") >= free - 64, 10 * SLOW,
               lambda: f"{daemon.stat('packets/free')} of {free} buffers are free")


@pytest.mark.parametrize("why", ["closed", "refused"])
def test_af_xdp_ports_give_their_buffers_back(lab, stack, kedged, why):
    """DPDK's driver keeps what it has given to the kernel when a device is closed, and when it does not open: it
    must not be the stack's, or a port that is tried again and again would take all there is."""
    h = lab.host("h", stack, "p0", "10.0.0.2/24")
    config = "port add p0 devargs net_af_xdp0,iface=p0\niface add i0 on port p0 address 10.0.0.1/24\n"
    daemon = kedged(config, namespace=stack)
    if why == "closed":
        for _ in range(15):
            daemon.wait_name("/port/p0/link", "up", 20 * SLOW)
            daemon.names.remove("/port/p0")
            daemon.wait_gone("/port/p0")
            daemon.names.write("/port/p0/devargs", "net_af_xdp0,iface=p0")
        daemon.wait_up("p0")
        assert h.ping("10.0.0.1", 3) >= 2
    else:
        daemon.wait_up("p0")
        daemon = kedged(config, namespace=stack)  # the first one has the interface's queue
        for _ in range(15):
            assert "can't be set up" in daemon.wait_name("/port/p0/error")
            daemon.names.remove("/port/p0")
            daemon.wait_gone("/port/p0")
            daemon.names.write("/port/p0/devargs", "net_af_xdp0,iface=p0")
    total = daemon.stat("packets/total")
    wait_until(lambda: daemon.stat("packets/free") > total - 100)


# ---- devices that are not of this world ----

def pcap(path, frames):
    """A capture file: Ethernet, as tcpdump -w writes it."""
    header = struct.pack("<IHHiIII", 0xa1b2c3d4, 2, 4, 0, 0, 65535, 1)
    path.write_bytes(header + b"".join(struct.pack("<IIII", 0, 0, len(frame), len(frame)) + frame for frame in frames))


def frames_of(path):
    data, at, found = path.read_bytes(), 24, []
    while at < len(data):
        size = struct.unpack_from("<I", data, at + 8)[0]
        found.append(data[at + 16:at + 16 + size])
        at += 16 + size
    return found


def test_pcap_port_reads_and_writes_captures(kedged, tmp_path):
    """What is in one file comes in, what goes out is in the other: the answers to a ping of all sizes."""
    pings = [echo("10.0.0.2", "10.0.0.1", bytes(size), to=ROUTER, source=HOST, sequence=size) for size in range(0, 1000, 50)]
    pcap(tmp_path / "in.pcap", [arp(HOST, ARP_REQUEST, "10.0.0.2", "10.0.0.1"), *pings])
    daemon = kedged(f"port add c devargs net_pcap0,rx_pcap={tmp_path}/in.pcap,tx_pcap={tmp_path}/out.pcap\n"
                    f"iface add i on port c address 10.0.0.1/24 mac {ROUTER}\n")
    wait_until(lambda: daemon.stat("total/local") == len(pings), what=lambda: account(daemon.names))
    wait_until(lambda: daemon.stat("port/c/tx_packets") >= len(pings) + 1)
    assert daemon.names.read("/neigh/i/10.0.0.2") == f"{HOST} learned"
    assert daemon.stop() == 0
    out = frames_of(tmp_path / "out.pcap")
    assert any(frame[:6].hex(":") == HOST and frame[20:22] == b"\0\2" for frame in out if frame[12:14] == b"\x08\x06")
    replies = [packet for packet in map(parse, out) if packet]
    assert [struct.unpack_from("!H", packet.payload, 6)[0] for packet in replies] == list(range(0, 1000, 50))
    for packet, size in zip(replies, range(0, 1000, 50)):
        assert (packet.to, packet.src, packet.protocol, packet.payload[0]) == (HOST, "10.0.0.1", ICMP, 0)
        assert len(packet.payload) == 8 + size and checksum(packet.payload) == 0


def test_ring_port_gives_back_what_it_gets(lab, stack, kedged):
    """net_ring with one ring is a loop: what goes out comes in again. So the stack hears its own announcement,
    does not believe it, and no frame circulates."""
    daemon = kedged("port add r devargs net_ring0\niface add i on port r address 10.0.0.1/24\n", namespace=stack)
    daemon.wait_up("r")
    wait_until(lambda: daemon.stat("port/r/rx_packets") >= 1)
    wait_until(lambda: daemon.stat("neighbours/refused/own_mac") + daemon.stat("total/drop/bad-source") >= 1,
               what=lambda: account(daemon.names))
    sent = daemon.stat("port/r/tx_packets")
    daemon.names.applied()
    assert daemon.stat("port/r/tx_packets") <= sent + 1
    assert daemon.names.tree("/neigh") == {}


def test_null_port_swallows_everything(lab, stack, kedged):
    side = Side(lab, stack, "af_packet", 1)
    daemon = kedged(side.lines() + "port add n devargs net_null0,no-rx=1\n"
                    f"iface add in on port n address 10.9.0.1/24\nneigh add in 10.9.0.2 mac {HOST}\n", namespace=stack)
    side.up(daemon)
    daemon.wait_up("n")
    before = daemon.stat("port/n/tx_packets")
    assert side.host.ping("10.9.0.2", 10, wait=0.1) == 0
    wait_until(lambda: daemon.stat("port/n/tx_packets") >= before + 10)
    assert side.host.ping("10.1.0.1", 2) == 2


def test_a_port_of_a_bridge_is_replaced_by_another_kind(lab, stack, kedged):
    """The name stays, the device behind it is another: a station behind it is learned again."""
    a = lab.host("a", stack, "pa", "10.0.0.5/24")
    b = lab.host("b", stack, "pb", "10.0.0.6/24")
    daemon = kedged("port add pa devargs net_af_packet0,iface=pa\nport add pb devargs net_af_packet1,iface=pb\n"
                    "bridge add b0 port pa port pb\n", namespace=stack)
    daemon.wait_up("pa", "pb")
    assert a.ping("10.0.0.6", 3) == 3
    for devargs in ("net_af_xdp1,iface=pb", "net_af_packet1,iface=pb"):
        before = daemon.names.read("/port/pb/id")
        daemon.names.write("/port/pb/devargs", devargs)
        wait_until(lambda: daemon.names.get("/port/pb/link") == "up" and daemon.names.get("/port/pb/error") is None and
                   daemon.names.get("/port/pb/id") is not None, 20 * SLOW)
        wait_until(lambda: a.ping("10.0.0.6", 1, wait=1), 20 * SLOW, f"pings go through {devargs}, was device {before}")
        assert a.ping("10.0.0.6", 5) == 5
