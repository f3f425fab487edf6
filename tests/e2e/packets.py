# SPDX-License-Identifier: BSD-3-Clause
"""Frames made and read by hand, and hosts that are nothing but a socket: for tests that must know each
frame on a cable.

    wire = Wire(host)                       the cable at eth0 of a namespace
    wire.send(udp("10.1.0.2", "10.2.0.2", b"x", to=ROUTER, source=CLIENT))
    wire.frames()                           what has come so far

    peer = Peer(host, mac, "10.0.0.5")      a thread that answers ARP for its address and keeps the rest
    peer.announce("request")                says that it has the address, in one of the FORMS
    peer.numbers()                          of the numbered packets that it has got

    stream = Stream(wire, make, to=[peer])  sends numbered packets from a thread, until .stop()

MAC and IPv4 addresses are texts.
"""

import collections
import contextlib
import ctypes
import errno
import socket
import struct
import threading
import time

from netns import wait_until

ETH_ALL, IPV4, ARP, RARP = 0x0003, 0x0800, 0x0806, 0x8035
ARP_REQUEST, ARP_REPLY, RARP_REQUEST = 1, 2, 3
ICMP, TCP, UDP = 1, 6, 17
BROADCAST, ZERO = "ff:ff:ff:ff:ff:ff", "00:00:00:00:00:00"
SOL_PACKET, PACKET_IGNORE_OUTGOING, SO_RCVBUFFORCE = 263, 23, 33
CLONE_NEWNET = 0x40000000


@contextlib.contextmanager
def inside(namespace):
    """What this thread opens in here belongs to the namespace, and stays there afterwards."""
    libc = ctypes.CDLL(None, use_errno=True)
    with open("/proc/thread-self/ns/net") as home, open(f"/run/netns/{namespace.name}") as there:
        if libc.setns(there.fileno(), CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), f"cannot enter {namespace.name}")
        try:
            yield
        finally:
            libc.setns(home.fileno(), CLONE_NEWNET)


# ---- making frames ----

def mac_bytes(text):
    return bytes.fromhex(text.replace(":", ""))


def mac_text(raw):
    return raw.hex(":")


def checksum(data):
    """RFC 1071."""
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def ether(to, source, ethertype, payload=b"", pad=True):
    frame = mac_bytes(to) + mac_bytes(source) + struct.pack("!H", ethertype) + payload
    return frame.ljust(60, b"\0") if pad else frame


def arp(source, operation, sender, target, sender_mac=None, target_mac=ZERO, to=BROADCAST, ethertype=ARP):
    body = (struct.pack("!HHBBH", 1, IPV4, 6, 4, operation) + mac_bytes(sender_mac or source) +
            socket.inet_aton(sender) + mac_bytes(target_mac) + socket.inet_aton(target))
    return ether(to, source, ethertype, body)


# What hosts send when an address has moved to them: form -> frame of (MAC, address, the router's address).
FORMS = {
    "request": lambda mac, ours, _: arp(mac, ARP_REQUEST, ours, ours),
    "request-bcast": lambda mac, ours, _: arp(mac, ARP_REQUEST, ours, ours, target_mac=BROADCAST),
    "reply": lambda mac, ours, _: arp(mac, ARP_REPLY, ours, ours, target_mac=BROADCAST),
    "probe-us": lambda mac, ours, router: arp(mac, ARP_REQUEST, ours, router),
    "rarp": lambda mac, ours, _: arp(mac, RARP_REQUEST, "0.0.0.0", "0.0.0.0", target_mac=mac, ethertype=RARP),
}


def ipv4(src, dst, protocol, payload=b"", ttl=64, ident=0, flags=0, options=b"", version=4, total=None, bad_sum=0):
    words = 5 + len(options) // 4
    header = struct.pack("!BBHHHBBH4s4s", version << 4 | words, 0, total or words * 4 + len(payload), ident, flags, ttl,
                         protocol, 0, socket.inet_aton(src), socket.inet_aton(dst)) + options
    return header[:10] + struct.pack("!H", checksum(header) ^ bad_sum) + header[12:] + payload


def udp(src, dst, payload=b"", *, to, source, sport=4000, dport=9, **ip):
    """A whole frame. No UDP checksum: none is allowed, and hosts in namespaces take it."""
    datagram = struct.pack("!HHHH", sport, dport, 8 + len(payload), 0) + payload
    return ether(to, source, IPV4, ipv4(src, dst, UDP, datagram, **ip))


def echo(src, dst, payload=b"", *, to, source, ident=1, sequence=1, **ip):
    message = struct.pack("!BBHHH", 8, 0, 0, ident, sequence) + payload
    message = message[:2] + struct.pack("!H", checksum(message)) + message[4:]
    return ether(to, source, IPV4, ipv4(src, dst, ICMP, message, **ip))


# ---- reading frames ----

Packet = collections.namedtuple("Packet", "to source src dst protocol ttl sport dport payload")


def parse(frame):
    """An IPv4 frame as a Packet; ports are 0 unless it is UDP or TCP. None: it is something else."""
    if len(frame) < 34 or frame[12:14] != b"\x08\x00":
        return None
    size, total = (frame[14] & 15) * 4, struct.unpack_from("!H", frame, 16)[0]
    body = frame[14 + size:14 + total]
    protocol, sport, dport = frame[23], 0, 0
    if protocol in (UDP, TCP) and len(body) >= 8:
        sport, dport = struct.unpack_from("!HH", body)
        body = body[8 if protocol == UDP else (body[12] >> 4) * 4:]
    return Packet(mac_text(frame[:6]), mac_text(frame[6:12]), socket.inet_ntoa(frame[26:30]),
                  socket.inet_ntoa(frame[30:34]), protocol, frame[22], sport, dport, body)


# ---- the cable ----

class Wire:
    """A raw socket on an interface: what is sent is as if a host put it there, and all that the other
    end puts there is received, whomever it is for."""

    def __init__(self, namespace, interface="eth0"):
        with inside(namespace):
            self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        self.socket.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
        self.socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 64 << 20)
        with inside(namespace):
            self.socket.bind((interface, ETH_ALL))
        self.socket.settimeout(0.1)
        namespace.closing.callback(self.socket.close)

    def send(self, *frames):
        for frame in frames:
            while True:
                try:
                    self.socket.send(frame)
                    break
                except OSError as error:
                    if error.errno not in (errno.ENOBUFS, errno.EAGAIN):
                        raise
                    time.sleep(0.0005)

    def receive(self):
        """The next frame, None if there is none for a while."""
        try:
            return self.socket.recv(65536)
        except TimeoutError:
            return None
        except OSError as error:
            if error.errno != errno.ENETDOWN:  # told once, when the link goes down
                raise
            return None

    def frames(self):
        """All that has come so far."""
        return list(iter(self.receive, None))

    def wait(self, match, timeout=5):
        """The first frame for which match(frame) is true."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            frame = self.receive()
            if frame is not None and match(frame):
                return frame
        raise AssertionError(f"no such frame within {timeout} s")


class Peer(threading.Thread):
    """A host with a MAC address and, while `address` is not None, an IPv4 address for which it answers
    ARP. All IPv4 packets that reach its cable are kept in order in `packets`, for whomever they are."""

    def __init__(self, namespace, mac, address=None, router="10.0.0.1", interface="eth0"):
        super().__init__(daemon=True)
        self.wire = Wire(namespace, interface)
        self.mac, self.address, self.router = mac, address, router
        self.packets, self.arps = [], []
        self.ended = threading.Event()
        namespace.closing.callback(self.end)
        self.start()

    def run(self):
        while not self.ended.is_set():
            frame = self.wire.receive()
            if frame is None:
                continue
            packet = parse(frame)
            if packet is not None:
                self.packets.append(packet)
            elif frame[12:14] == b"\x08\x06":
                self.arps.append(frame)
                self.answer(frame)

    def answer(self, frame):
        if (self.address and frame[20:22] == b"\0\1" and frame[38:42] == socket.inet_aton(self.address) and
                frame[28:32] != frame[38:42]):
            asker = mac_text(frame[22:28])
            self.wire.send(arp(self.mac, ARP_REPLY, self.address, socket.inet_ntoa(frame[28:32]),
                               target_mac=asker, to=asker))

    def announce(self, form="request", address=None):
        self.wire.send(FORMS[form](self.mac, address or self.address, self.router))

    def numbers(self):
        """Of the packets of a Stream that have come, in the order in which they came."""
        return [struct.unpack("!Q", packet.payload[:8])[0] for packet in list(self.packets)
                if packet.protocol == UDP and len(packet.payload) >= 8]

    def wait_packets(self, count, timeout=10):
        wait_until(lambda: len(self.packets) >= count, timeout,
                   lambda: f"{count} packets at {self.mac} (there are {len(self.packets)})")

    def end(self):
        self.ended.set()
        if self.is_alive():
            self.join(2)


def number(n):
    return struct.pack("!Q", n)


class Stream(threading.Thread):
    """Sends make(n) for n = 0, 1, 2, ... at a steady rate, until stop(). `sent` is how many have gone.

    to: the peers where they arrive. While WINDOW packets are neither here nor there it waits: so no queue
    overflows on a machine that is busy with something else, and a packet that doesn't arrive is the stack's
    fault. Without it nothing is waited for."""

    WINDOW = 40  # fewer than the stack holds for one next hop

    def __init__(self, wire, make, rate=2000, to=()):
        super().__init__(daemon=True)
        self.wire, self.make, self.rate, self.to = wire, make, rate, to
        self.sent = 0
        self.ended = threading.Event()
        self.start()

    def may_send(self):
        return not self.to or self.sent - sum(len(peer.packets) for peer in self.to) < self.WINDOW

    def run(self):
        due = time.monotonic()
        while not self.ended.is_set():
            now = time.monotonic()
            if now < due or not self.may_send():
                time.sleep(min(max(due - now, 0.0002), 0.01))
                continue
            self.wire.send(self.make(self.sent))
            self.sent += 1
            # Who was late may catch up with a few.
            due = max(due + 1 / self.rate, now - 16 / self.rate)

    def wait_more(self, count, timeout=20):
        """Wait until so many more have been sent."""
        goal = self.sent + count
        wait_until(lambda: self.sent >= goal, timeout, f"{count} more packets are sent")

    def stop(self):
        """Returns how many packets there were."""
        self.ended.set()
        self.join(5)
        return self.sent

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


def sequence_of(*peers):
    """All numbers at all peers, sorted: a list with each number once says that nothing was lost and
    nothing came twice."""
    return sorted(n for peer in peers for n in peer.numbers())



def account(names):
    """For messages: where packets have gone, of the counters that are not 0."""
    wanted = ("packets", "routed", "bridged", "flooded", "local", "held", "held_now", "released", "drop")
    tree = names.tree("/stats/total") | names.tree("/stats/port")
    return {name.removeprefix("/stats/"): int(value) for name, value in tree.items()
            if value not in ("", "0") and (name.startswith("/stats/port") or name.split("/")[3] in wanted)}
