# SPDX-License-Identifier: BSD-3-Clause
"""Three workers on the machine's CPUs: a port is served by all of them, each flow by one, in order.

    h1 - p1 [kedged, 3 workers] p2 - h2

p1 and p2 have one queue each (qpairs=1, which is the driver's default), or two.
"""

import contextlib
import json
import socket
import struct
import threading
import time

import pytest

from conftest import SLOW
from millions import Daemon, Refused, programs
from netns import wait_until
from packets import SO_RCVBUFFORCE, inside

WORKERS = 3
THREE = ["--workers", str(WORKERS)]
PAUSE = 0.004
PAIRS = "port set p1 devargs net_af_packet1,iface=p1,qpairs=2\nport set p2 devargs net_af_packet2,iface=p2,qpairs=2\n"


def of_each(kedged, name):
    return [kedged.stat(f"lcore/{worker}/{name}") for worker in range(WORKERS)]


class Streams:
    """Numbered datagrams of many flows from one host to another, by their own sockets: one for each flow at the
    sender, one at the receiver, which tells flows by their source ports."""

    def __init__(self, sender, receiver, address, flows):
        with inside(receiver):
            self.to = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self.to.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 64 << 20)
            self.to.bind((address, 0))
        self.to.settimeout(0.5)
        self.sockets = []
        for _ in range(flows):
            with inside(sender):
                one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            one.connect(self.to.getsockname())
            self.sockets.append(one)
        self.next = {one.getsockname()[1]: 0 for one in self.sockets}
        self.received = self.sent = self.late = 0
        self.ended = False
        self.thread = threading.Thread(target=self._receive)
        self.thread.start()

    def _receive(self):
        while True:
            try:
                data, (_, port) = self.to.recvfrom(64)
            except TimeoutError:
                if self.ended:
                    return
                continue
            number, = struct.unpack("!I", data)
            self.late += number < self.next[port]
            self.next[port] = max(number + 1, self.next[port])
            self.received += 1

    def send(self, rounds):
        for _ in range(rounds):
            number = struct.pack("!I", self.sent)
            for one in self.sockets:
                one.send(number)
            self.sent += 1
            time.sleep(PAUSE)  # so that no queue of the kernel overflows

    def end(self):
        self.ended = True
        self.thread.join()
        for one in [self.to, *self.sockets]:
            one.close()


@pytest.mark.parametrize("more", ["", PAIRS], ids=["one queue", "two queues"])
def test_flows_keep_their_order(routed, more):
    r = routed(more, args=THREE)
    streams = Streams(r.h1, r.h2, "10.2.0.2", 100)
    try:
        streams.send(1)
        wait_until(lambda: streams.received == 100, 10 * SLOW, lambda: f"{streams.received} have come")
        streams.send(200)
        wait_until(lambda: streams.received >= 19_000, 20 * SLOW, lambda: f"{streams.received} have come")
    finally:
        streams.end()
    assert streams.late == 0
    flows = of_each(r.kedged, "flow/flows")
    if more == "":
        assert all(flows), "all workers have flows"
        assert sum(of_each(r.kedged, "spread_out")) == sum(of_each(r.kedged, "spread_in")) > 0
    else:
        assert r.names.read("/port/p1/rx_queues") == r.names.read("/port/p1/tx_queues") == "2"
        assert sum(count > 0 for count in flows) >= 2
        assert r.kedged.stat("total/drop/spread-full") == 0


def reordering(host):
    """What TCP of a host has seen of packets that overtook others."""
    words = host.run("cat /proc/net/netstat /proc/net/snmp").stdout.splitlines()
    table = {}
    for names, values in zip(words[::2], words[1::2]):
        table.update(zip(names.split()[1:], values.split()[1:]))
    return sum(int(table[name]) for name in ("TCPOFOQueue", "TCPSACKReorder", "TCPTSReorder", "TCPDSACKRecv"))


def test_tcp_sees_no_reordering(routed):
    """Eight connections, so that all three workers have some."""
    r = routed(args=THREE)
    server = r.h2.popen("iperf3 -s -1", stdout=-3)
    wait_until(lambda: ":5201" in r.h2.run("ss -ltn").stdout, what="iperf3 listens")
    result = json.loads(r.h1.run("iperf3 -J -c 10.2.0.2 -t 2 -P 8 -b 10M", timeout=60 * SLOW).stdout)
    server.wait(10)
    assert "error" not in result
    assert result["end"]["sum_received"]["bytes"] > 1_000_000
    if r.kedged.stat("total/drop/spread-full") + r.kedged.stat("total/drop/tx-full") == 0 and \
            result["end"]["sum_sent"]["retransmits"] == 0:
        assert reordering(r.h2) == 0 and reordering(r.h1) == 0
    assert all(of_each(r.kedged, "flow/flows"))


def test_fragments_and_the_stack_itself(routed):
    """Fragments of a datagram come together again, ARP and pings of the stack's own addresses are answered, whoever
    polls and whoever has the flow."""
    r = routed(args=THREE)
    for size in (56, 4000, 20000):
        for _ in range(4):  # each ping is another identifier, and so another flow
            assert "2 received" in r.h1.run(f"ping -n -c 2 -i 0.02 -M dont -s {size} 10.2.0.2").stdout, size
    for _ in range(8):
        assert r.h1.ping("10.1.0.1", 2) == 2
    assert r.kedged.stat("total/local") >= 16


def test_how_many_serve_can_be_changed(routed):
    """Under traffic; nothing is lost."""
    r = routed("port set p1 workers 1\n", args=THREE)
    streams = Streams(r.h1, r.h2, "10.2.0.2", 60)

    def send(rounds):
        goal = streams.received + 60 * rounds
        streams.send(rounds)
        wait_until(lambda: streams.received >= goal, 10 * SLOW, lambda: f"{goal - streams.received} are missing")

    try:
        send(1)
        send(5)
        assert [count > 0 for count in of_each(r.kedged, "flow/bound")] == [True, False, False]
        r.kedged.ctl("port set p1 workers 2 --applied")
        send(5)
        assert [count > 0 for count in of_each(r.kedged, "flow/bound")] == [True, True, False]
        r.names.remove("/port/p1/workers")
        r.names.applied()
        send(5)
        assert all(of_each(r.kedged, "flow/bound"))
    finally:
        streams.end()
    shown = json.loads(r.kedged.ctl("port show p1 --json").stdout)
    port = shown[0] if isinstance(shown, list) else shown
    assert port["rx_queues"] == 1 and port["lcore"] in (0, 1, 2)


def test_wrong_numbers_are_refused(kedged, tmp_path):
    daemon = kedged()
    for words in ("workers 0", "workers 17", "queues x"):
        result = daemon.ctl(f"port add p1 devargs net_null0 {words}", check=False)
        assert result.returncode == 1 and "a number from 1 to 16" in result.stderr, result.stderr


# ---- millions of packets: net_null, one receive queue, spread in software ----

FLOWS = 10_000


def spread_daemon(**more):
    configuration = programs.CONFIGURATION + "port set in queues 1\n"
    return Daemon(FLOWS, capacity=2 * FLOWS, configuration=configuration, arguments=THREE, **more)


def flows_of(daemon):
    return [daemon.number(f"lcore/{worker}/flow/flows") for worker in range(WORKERS)]


def value_of(daemon, path):
    """None while it does not exist."""
    with contextlib.suppress(Refused):
        return daemon.names.read(path)
    return None


def test_ten_thousand_flows_follow_on_all_workers():
    """One worker polls and hands over more than the others, on the same CPU, can take: what has no room is dropped
    and counted. Every flow follows each move of the neighbour, on whatever worker, with no torn header."""
    with spread_daemon() as daemon:
        wait_until(lambda: sum(flows_of(daemon)) == FLOWS, 60 * SLOW, lambda: f"{flows_of(daemon)} flows")
        assert all(FLOWS / WORKERS * 0.8 < count < FLOWS / WORKERS * 1.2 for count in flows_of(daemon))
        for mark in range(10, 40):
            daemon.move(mark)
            daemon.applied()
            daemon.only({mark}, FLOWS)
        assert daemon.generator.torn == 0
        assert sum(flows_of(daemon)) == FLOWS, "each flow is on one worker"
        assert daemon.number("total/drop/spread-full") > 0
        in_all = daemon.number("total/packets")
        assert daemon.number("total/spread_out") <= in_all


def test_a_port_with_rss_has_a_queue_for_each():
    """net_null has no real RSS: each of its queues makes packets of all flows."""
    with Daemon(100, capacity=1000, arguments=THREE) as daemon:
        assert daemon.names.read("/port/in/rx_queues") == "3"
        assert daemon.names.read("/port/out/tx_queues") == "3"
        wait_until(lambda: flows_of(daemon) == [100] * WORKERS, 30 * SLOW, lambda: str(flows_of(daemon)))
        assert daemon.number("total/spread_out") == 0
        daemon.move(7)
        daemon.applied()
        daemon.only({7}, 10_000)
        assert daemon.generator.torn == 0
        daemon.names.write("/port/in/queues", "2")  # the device is opened anew
        wait_until(lambda: value_of(daemon, "/port/in/rx_queues") == "2", 20 * SLOW, "two queues")
        daemon.only({7}, 10_000)
