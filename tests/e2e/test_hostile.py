# SPDX-License-Identifier: BSD-3-Clause
"""Clients and hosts that mean harm, while others are served and packets flow.

`busy` is a daemon with established traffic between two hosts; `undisturbed(...)` judges that it went on.
"""

import contextlib
import random
import resource
import socket
import struct
import threading
import time

import pytest

import names as wire_format
from conftest import SLOW
from names import HEADER, NamesError
from netns import wait_until
from packets import ARP_REQUEST, BROADCAST, Peer, Stream, Wire, account, arp, ether, number, udp

ROUTER, CLIENT, HOST, SCANNER = (f"02:00:00:00:00:0{n}" for n in range(1, 5))

CONFIG = f"""\
port add pc devargs net_af_packet0,iface=pc
port add ph devargs net_af_packet1,iface=ph
port add ps devargs net_af_packet2,iface=ps
iface add ic on port pc address 10.1.0.1/24 mac {ROUTER}
iface add ih on port ph address 10.2.0.1/16
iface add is on port ps address 10.3.0.1/24 mac {ROUTER}
neigh add ic 10.1.0.2 mac {CLIENT}
"""


class Busy:
    def __init__(self, lab, stack, start, **options):
        hosts = {port: lab.host(port, stack, port) for port in ("pc", "ph", "ps")}
        self.kedged = start(CONFIG, namespace=stack, **options)
        self.kedged.wait_up(*hosts)
        self.names = self.kedged.names
        self.host = Peer(hosts["ph"], HOST, "10.2.0.2", router="10.2.0.1")
        self.hostile = Wire(hosts["ps"])
        self.stream = Stream(Wire(hosts["pc"]), self.packet, rate=1000, to=[self.host])
        self.host.wait_packets(50)

    def packet(self, n):
        return udp("10.1.0.2", "10.2.0.2", number(n), to=ROUTER, source=CLIENT, sport=4000 + n % 10)

    def undisturbed(self):
        """Traffic goes on, and none of its packets was lost, reordered or doubled."""
        self.stream.wait_more(100)
        sent = self.stream.stop()
        wait_until(lambda: len(self.host.numbers()) >= sent,
                   what=lambda: f"{sent} packets arrive ({len(self.host.numbers())}), {account(self.names)}")
        assert self.host.numbers() == list(range(sent))
        assert self.kedged.process.poll() is None

    def memory_kib(self):
        with open(f"/proc/{self.kedged.process.pid}/status", encoding="ascii") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("RssAnon:"))


@pytest.fixture
def busy(lab, stack, kedged):
    scenes = []

    def start(**options):
        scenes.append(Busy(lab, stack, kedged, **options))
        return scenes[-1]

    yield start
    for scene in scenes:
        scene.stream.stop()


@contextlib.contextmanager
def many_files(count):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(count, hard), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def raw(daemon):
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(10 * SLOW)
    client.connect(str(daemon.socket))
    return client


def throw(client, data):
    """Send, whatever the other end thinks of it."""
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        client.sendall(data)


def serves(daemon):
    """A new client is served."""
    with daemon.connect() as client:
        client.write("/tool/alive", "yes")
        assert client.read("/tool/alive") == "yes"


# ---- clients ----

def test_garbage(busy):
    b, chance = busy(), random.Random(1)
    for _ in range(300):
        with raw(b.kedged) as client:
            throw(client, chance.randbytes(chance.randrange(1, 10000)))
    serves(b.kedged)
    b.undisturbed()


def test_well_framed_garbage(busy):
    """Messages of every type with random payloads: each is answered, with whatever error."""
    b, chance = busy(), random.Random(2)
    before = b.names.tree("/port")
    with raw(b.kedged) as client:
        for n in range(2000):
            payload = chance.choice([b"", b"\0", b"/", b"/port\0", b"/\0" * 20, chance.randbytes(chance.randrange(0, 200)),
                                     b"/" + b"a/" * 1000 + b"\0", b"/x\0" + chance.randbytes(100)])
            kind = chance.choice([*range(0, 24), 99, 2**32 - 1])
            client.sendall(HEADER.pack(kind, n, chance.choice([0, 0, 1, 77, 2**32 - 1]), len(payload)) + payload)
            answered = False
            while not answered:
                header = client.recv(16, socket.MSG_WAITALL)
                got, request, _, size = HEADER.unpack(header)
                client.recv(size, socket.MSG_WAITALL)
                answered = got != wire_format.WATCH_EVENT
            assert request == n
    assert b.names.tree("/port") == before
    serves(b.kedged)
    b.undisturbed()


@pytest.mark.parametrize("size", [4097, 65536, 2**31, 2**32 - 1])
def test_oversize_messages_end_the_connection(kedged, size):
    daemon = kedged(None)
    with raw(daemon) as client:
        throw(client, HEADER.pack(wire_format.WRITE, 1, 0, size) + b"/x\0")
        with contextlib.suppress(ConnectionResetError):
            assert client.recv(1000) == b""
    assert daemon.names.get("/x") is None
    serves(daemon)


def test_half_messages(busy):
    """Headers and payloads that never end, from many, some of whom go away."""
    b = busy()
    clients = [raw(b.kedged) for _ in range(200)]
    for n, client in enumerate(clients):
        message = HEADER.pack(wire_format.WRITE, 1, 0, 20) + b"/tool/half\0012345678\0"[:20]
        throw(client, message[:n % 36])
    for client in clients[::2]:
        client.close()
    serves(b.kedged)
    assert b.names.get("/tool/half") is None
    for client in clients[1::2]:
        client.close()
    wait_until(lambda: b.kedged.stat("server/connections") == 1, 5 * SLOW)
    b.undisturbed()


def test_client_that_never_reads(busy):
    """It watches everything, asks without reading the answers, and names change: memory stays bounded."""
    b = busy()
    silent = [raw(b.kedged) for _ in range(10)]
    for client in silent:
        for n in range(20):
            payload = f"/\0token-{n}\0".encode()
            client.sendall(HEADER.pack(wire_format.WATCH, 0, 0, len(payload)) + payload)
        # Long answers, until it is not listened to any more.
        client.setblocking(False)
        payload = b"/stats\0"
        with contextlib.suppress(BlockingIOError):
            for _ in range(100_000):
                client.send(HEADER.pack(wire_format.DIRECTORY, 0, 0, len(payload)) + payload)

    def change(rounds):
        for n in range(rounds):
            payload = f"/tool/n{n % 500}\0value".encode()
            b.names.send(wire_format.WRITE, payload)
            if n % 50 == 49:
                for _ in range(50):
                    b.names.receive()

    change(2000)
    before = b.memory_kib()
    change(50_000)
    grown = b.memory_kib() - before
    assert grown < 32 * 1024 * SLOW, f"{grown} KiB"
    serves(b.kedged)
    b.undisturbed()
    for client in silent:
        client.close()


def test_transactions_left_open(busy):
    """Old versions of the tree that somebody holds on to, while names change."""
    b = busy()
    clients = [b.kedged.connect() for _ in range(20)]
    for client in clients:
        for _ in range(10):
            client.ask(wire_format.TRANSACTION_START, "", tx=0)
    before = b.memory_kib()
    for n in range(20_000):
        b.names.send(wire_format.WRITE, f"/tool/n{n % 500}\0value{n}".encode())
        if n % 50 == 49:
            for _ in range(50):
                b.names.receive()
    assert b.memory_kib() - before < 128 * 1024 * SLOW
    with pytest.raises(NamesError) as error:
        for _ in range(1000):
            clients[0].ask(wire_format.TRANSACTION_START, "", tx=0)
    assert error.value.errno_name == "ENOSPC" and error.value.reason
    for client in clients:
        client.close()
    # Reading is a transaction too.
    wait_until(lambda: b.kedged.stat("store/transactions_open") == 1, 5 * SLOW,
               lambda: f"{b.kedged.stat('store/transactions_open')} transactions are open")
    b.undisturbed()


def test_thousands_of_connections(busy):
    """More than the daemon may have files open: who is there is served, and when they go others are."""
    b = busy()
    with many_files(8192):
        clients = []
        try:
            with contextlib.suppress(BlockingIOError):
                for _ in range(3000):
                    client = socket.socket(socket.AF_UNIX)
                    clients.append(client)
                    client.setblocking(False)
                    client.connect(str(b.kedged.socket))
            assert b.names.read("/stats/ready") == "1", "one that was there before"
            spent = cpu_seconds(b.kedged)
            b.stream.wait_more(1000)
            spent = cpu_seconds(b.kedged) - spent
        finally:
            for client in clients:
                client.close()
    assert len(clients) > 500
    assert spent < 5 * SLOW
    wait_until(lambda: b.kedged.stat("server/connections") <= 1, 10 * SLOW)
    serves(b.kedged)
    b.undisturbed()


def cpu_seconds(daemon):
    with open(f"/proc/{daemon.process.pid}/stat", encoding="ascii") as stat:
        fields = stat.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / 100


def test_connections_that_come_and_go(busy):
    b = busy()

    def come_and_go():
        for _ in range(500):
            with raw(b.kedged) as client:
                throw(client, HEADER.pack(wire_format.READ, 0, 0, 7) + b"/stats\0")

    threads = [threading.Thread(target=come_and_go) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wait_until(lambda: b.kedged.stat("server/connections_total") >= 2000)
    wait_until(lambda: b.kedged.stat("server/connections") == 1)
    b.undisturbed()


# ---- packets ----

def test_fuzzed_packets(busy):
    """ARP, RARP, IPv4, ICMP, UDP and TCP with random fields, cut off, and noise; to us and to all."""
    from scapy.all import ARP, ICMP, IP, TCP, UDP, Dot1Q, Ether, Raw, fuzz

    b, chance = busy(), random.Random(3)
    random.seed(3)
    neighbours = b.names.tree("/neigh")
    layers = [
        lambda: fuzz(ARP()), lambda: fuzz(ARP(hwtype=1, ptype=0x800, hwlen=6, plen=4)),
        lambda: fuzz(IP()), lambda: fuzz(IP(dst="10.3.0.1")) / fuzz(ICMP()), lambda: IP(dst="10.3.0.1") / fuzz(ICMP()),
        lambda: IP(src="10.3.0.2", dst="10.3.0.1") / fuzz(UDP()), lambda: fuzz(IP(dst="10.3.0.1")) / fuzz(TCP()),
        lambda: IP(src="10.3.0.2", dst="10.2.0.77", flags=1, frag=chance.randrange(8191)) / Raw(chance.randbytes(40)),
        lambda: IP(dst="10.3.0.1", ihl=chance.randrange(5, 16)) / Raw(chance.randbytes(60)),
        lambda: Dot1Q(vlan=chance.randrange(4095)) / fuzz(ARP()),
        lambda: Raw(chance.randbytes(chance.randrange(0, 1400))),
    ]
    for _ in range(150):
        for make in layers:
            to, source = chance.choice([ROUTER, BROADCAST]), chance.choice([SCANNER, SCANNER, "03:00:00:00:00:01", ROUTER])
            frame = bytes(Ether(dst=to, src=source, type=chance.choice([0x800, 0x806, 0x8035])) / make()
                          if chance.random() < 0.5 else Ether(dst=to, src=source) / make())
            frame = frame[:1514] if chance.random() < 0.8 else frame[:chance.randrange(14, 61)]
            b.hostile.send(frame)
    wait_until(lambda: b.kedged.stat("port/ps/rx_packets") >= 1000)
    assert {name: value for name, value in b.names.tree("/neigh").items() if not name.startswith("/neigh/is")} == \
        {name: value for name, value in neighbours.items() if not name.startswith("/neigh/is")}
    b.undisturbed()


def test_frames_of_every_length(busy):
    b = busy()
    whole = {0x0806: arp(SCANNER, ARP_REQUEST, "10.3.0.9", "10.3.0.1"),
             0x0800: udp("10.3.0.9", "10.2.0.2", bytes(60), to=ROUTER, source=SCANNER),
             0x8100: ether(ROUTER, SCANNER, 0x8100, b"\0\1\x08\0" + bytes(60))}
    for frame in whole.values():
        for size in range(14, len(frame)):
            b.hostile.send(frame[:size])
    serves(b.kedged)
    b.undisturbed()


def test_address_scan_does_not_starve_others(busy):
    """Thousands of addresses that nobody has, at a high rate: they may wait for room, established traffic doesn't,
    and what is remembered of them is bounded and goes away."""
    b = busy(args=["--neigh-retransmit", "200", "--neigh-failed", "500", "--flow-idle", "2"])
    before = b.memory_kib()
    total = b.kedged.stat("packets/total")
    for n in range(20_000):
        b.hostile.send(udp("10.3.0.9", f"10.2.{1 + n // 250 % 200}.{1 + n % 250}", to=ROUTER, source=SCANNER))
        if n % 1000 == 0:
            assert b.kedged.stat("packets/free") > total / 2, "held packets do not eat the pool"
    # A neighbour that is there is still found, in the middle of it.
    b.host.announce("probe-us", "10.2.0.9")
    b.kedged.wait_name("/neigh/ih/10.2.0.9", f"{HOST} learned")
    b.undisturbed()
    assert b.memory_kib() - before < 64 * 1024 * SLOW
    wait_until(lambda: b.kedged.stat("total/held_now") == 0, 30 * SLOW)
    wait_until(lambda: b.kedged.stat("neighbours/entries") < 10, 30 * SLOW,
               lambda: f"they are forgotten; {b.kedged.stat('neighbours/entries')} are left")


def test_flood_of_arp(busy):
    """Requests for us from thousands of senders, and as many claims of one address."""
    b = busy(args=["--neigh-limit", "500"])
    for n in range(5000):
        sender = f"10.3.0.{2 + n % 250}"
        b.hostile.send(arp(f"02:00:00:01:{n >> 8:02x}:{n & 255:02x}", ARP_REQUEST, sender, "10.3.0.1"))
    assert b.kedged.stat("neighbours/entries") <= 500
    serves(b.kedged)
    b.undisturbed()
