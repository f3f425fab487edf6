# SPDX-License-Identifier: BSD-3-Clause
"""
What a changed neighbour costs elsewhere: the Linux kernel between namespaces, and Open vSwitch with DPDK behind
the same generator; and kedged between namespaces. Each gives a list of times in microseconds for each change: from
just before the request, or the announcement, is handed over until the first frame with the new address.
"""

import contextlib
import os
import shutil
import socket
import struct
import subprocess
import tempfile
import time

from bench import programs

VETH = os.path.join(programs.TOP, "build/bench/veth")
OVS = "/usr/lib/openvswitch-switch-dpdk/ovs-vswitchd-dpdk"


def run(*command, **more):
    return subprocess.run(command, check=True, capture_output=True, text=True, **more).stdout


# ---- between namespaces ----

@contextlib.contextmanager
def namespaces():
    """A sender, a router and a receiver, on two veth pairs: `in` and `out` of the router, eth0 of the others."""
    names = [f"kedge{os.getpid()}-{label}" for label in ("send", "route", "receive")]
    try:
        for name in names:
            run("ip", "netns", "add", name)
        sender, router, receiver = names
        for far, port in ((sender, "in"), (receiver, "out")):
            run("ip", "-n", router, "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", far)
            run("ip", "-n", far, "link", "set", "eth0", "up")
            run("ip", "-n", router, "link", "set", port, "up")
        yield names
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)


def linux_routes(router):
    run("ip", "-n", router, "link", "set", "in", "address", programs.ROUTER_MAC)
    for port, address in (("in", "192.168.1.1/24"), ("out", "10.0.0.1/24")):
        run("ip", "-n", router, "address", "add", address, "dev", port)
    run("ip", "-n", router, "route", "add", "10.2.0.0/16", "via", "10.0.0.5")
    # A second announcement within a second counts (locktime), or nothing could be compared.
    run("nsenter", f"--net=/run/netns/{router}", "sysctl", "-qw", "net.ipv4.ip_forward=1",
        "net.ipv4.conf.all.rp_filter=0", "net.ipv4.conf.in.rp_filter=0", "net.ipv4.neigh.out.locktime=0")


def microseconds(lines):
    """The first frame with the new address, of each change."""
    return [int(line.split()[1]) / 1000 for line in lines]


def linux(changes, flows):
    """Times of the changes, and how many packets a second were forwarded meanwhile."""
    with namespaces() as (sender, router, receiver):
        linux_routes(router)
        lines = run(VETH, "netlink", sender, receiver, str(changes), "2000", router, str(flows)).splitlines()
    return microseconds(lines[:-1]), float(lines[-1].split()[1])


def announce(sender, receiver, changes):
    """10.0.0.5 makes itself known, and then moves again and again."""
    run("ip", "-n", receiver, "link", "set", "eth0", "address", programs.mac_of(5))
    run("ip", "-n", receiver, "address", "add", "10.0.0.5/24", "dev", "eth0")
    run("nsenter", f"--net=/run/netns/{receiver}", "ping", "-q", "-c1", "-W5", "10.0.0.1")
    return microseconds(run(VETH, "announce", sender, receiver, str(changes), "2000").splitlines())


def announced_to_linux(changes):
    with namespaces() as (sender, router, receiver):
        linux_routes(router)
        return announce(sender, receiver, changes)


KEDGED_CONFIGURATION = f"""
port add in devargs net_af_packet0,iface=in
port add out devargs net_af_packet1,iface=out
iface add in on port in address 192.168.1.1/24 mac {programs.ROUTER_MAC}
iface add out on port out address 10.0.0.1/24 mac 02:00:00:00:00:02
route add 10.2.0.0/16 via 10.0.0.5
"""


def announced_to_kedged(changes, polls):
    """The same, through kedged on af_packet ports: its worker polls on CPU 1, its control core polls or sleeps on CPU
    0, which it shares with the sender as the kernel does that forwards in the sender's system calls."""
    with namespaces() as (sender, router, receiver), tempfile.TemporaryDirectory(prefix="kedge-bench-") as folder:
        with open(os.path.join(folder, "config"), "w", encoding="ascii") as file:
            file.write(KEDGED_CONFIGURATION)
        path = os.path.join(folder, "socket")
        daemon = subprocess.Popen(
            ["nsenter", f"--net=/run/netns/{router}", programs.KEDGED, "--socket", path, "--config",
             os.path.join(folder, "config"), "--cores", "0,1", "--poll", "--file-prefix", programs.prefix(),
             *(["--poll-control"] if polls else []), *([] if programs.hugepages() else ["--no-huge"])],
            stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            names = programs.Names(path)
            end = time.monotonic() + 20
            while names.read("/stats/ready") != "1" and time.monotonic() < end:
                time.sleep(0.05)
            return announce(sender, receiver, changes)
        finally:
            daemon.terminate()
            daemon.wait(10)


# ---- Open vSwitch ----

class OpenFlow:
    """OpenFlow 1.0 on the bridge's own socket: as much of it as a change of one flow takes."""

    HEADER = struct.Struct("!BBHI")
    FLOW_MOD, BARRIER_REQUEST, BARRIER_REPLY = 14, 18, 19

    def __init__(self, switch):
        """Ready for a request. Not for long: Open vSwitch closes a connection that doesn't answer its probes."""
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.connect(f"{switch.folder}/br0.mgmt")
        self.number = 0
        self.send(0, b"")
        self.wait_barrier()

    def send(self, kind, body):
        self.number += 1
        self.socket.sendall(self.HEADER.pack(1, kind, self.HEADER.size + len(body), self.number) + body)

    def receive(self):
        header = self.socket.recv(8, socket.MSG_WAITALL)
        _, kind, size, number = self.HEADER.unpack(header)
        return kind, number, self.socket.recv(size - 8, socket.MSG_WAITALL) if size > 8 else b""

    def wait_barrier(self):
        self.send(self.BARRIER_REQUEST, b"")
        wanted = self.number
        while True:
            kind, number, body = self.receive()
            if kind == 1:
                raise RuntimeError(f"Open vSwitch refuses: {body.hex()}")
            if kind == 2:  # an echo request
                self.socket.sendall(self.HEADER.pack(1, 3, 8 + len(body), number) + body)
            if kind == self.BARRIER_REPLY and number == wanted:
                return

    def set_destination(self, mac, exact):
        """All packets of port 1 leave by port 2 with this destination. exact: hash the 5-tuple on the way, which
        makes the cached flow of each connection its own (NXAST_MULTIPATH of nicira-ext.h)."""
        match = struct.pack("!IH", 0x3fffff & ~1, 1) + bytes(34)  # all wild but in_port
        actions = b""
        if exact:
            actions += struct.pack("!HHIHHHxxHHIxxHI", 0xffff, 32, 0x2320, 10, 1, 50, 0, 0, 0, 31, 0x00010004)
        actions += struct.pack("!HH6s6x", 5, 16, bytes.fromhex(mac.replace(":", "")))
        actions += struct.pack("!HHHH", 0, 8, 2, 0)
        body = match + struct.pack("!QHHHHIHH", 0, 0, 0, 0, 100, 0xffffffff, 0xffff, 0) + actions
        self.send(self.FLOW_MOD, body)

    def close(self):
        self.socket.close()


class OpenVSwitch:
    """ovs-vswitchd with DPDK in a folder of its own; main threads on CPU 0, its PMD thread on CPU 1. It needs
    hugepages: it always asks for DPDK's --in-memory."""

    def __init__(self, flows):
        self.folder = tempfile.mkdtemp(prefix="kedge-ovs-")
        self.generator = None
        self.processes = []
        self.flows = flows
        self.environment = dict(os.environ, OVS_RUNDIR=self.folder, OVS_LOGDIR=self.folder, OVS_DBDIR=self.folder,
                                OVS_SYSCONFDIR=self.folder)

    def start(self, command, **environment):
        with open(os.path.join(self.folder, "log"), "ab") as log:
            self.processes.append(subprocess.Popen(command, env={**self.environment, **environment}, stdout=log,
                                                   stderr=log, stdin=subprocess.DEVNULL))

    def vsctl(self, *arguments):
        run("ovs-vsctl", f"--db=unix:{self.folder}/db.sock", "--timeout=30", *arguments, env=self.environment)

    def __enter__(self):
        try:
            self.start_all()
        except BaseException:
            self.__exit__()
            raise
        return self

    def start_all(self):
        database = os.path.join(self.folder, "conf.db")
        run("ovsdb-tool", "create", database, "/usr/share/openvswitch/vswitch.ovsschema")
        self.start(["taskset", "-c", "0", "ovsdb-server", database, f"--remote=punix:{self.folder}/db.sock",
                    f"--unixctl={self.folder}/db.ctl"])
        self.wait(lambda: os.path.exists(f"{self.folder}/db.sock"))
        self.vsctl("--no-wait", "init", "--", "set", "Open_vSwitch", ".", "other_config:dpdk-init=true",
                   "other_config:dpdk-lcore-mask=0x1", "other_config:pmd-cpu-mask=0x2",
                   f"other_config:flow-limit={self.flows + 10000}", "other_config:max-idle=600000",
                   "other_config:dpdk-socket-mem=1024",
                   f"other_config:dpdk-extra=--no-pci --file-prefix {programs.prefix()} "
                   "--vdev net_null0 --vdev net_null1,no-rx=1")
        self.generator = programs.Generator(os.path.join(self.folder, "generator"), 1, programs.ROUTER_MAC)
        self.generator.pause()
        self.start([OVS, f"unix:{self.folder}/db.sock", f"--unixctl={self.folder}/vs.ctl"],
                   LD_PRELOAD=programs.PLUGIN, KEDGE_GENERATOR=self.generator.path)
        self.vsctl("add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=netdev", "fail-mode=secure", "--",
                   "add-port", "br0", "p1", "--", "set", "Interface", "p1", "type=dpdk",
                   "options:dpdk-devargs=net_null0", "ofport_request=1", "--",
                   "add-port", "br0", "p2", "--", "set", "Interface", "p2", "type=dpdk",
                   "options:dpdk-devargs=net_null1", "ofport_request=2")
        self.wait(lambda: os.path.exists(f"{self.folder}/br0.mgmt"))

    def wait(self, condition, seconds=60):
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end or any(process.poll() is not None for process in self.processes):
                with open(os.path.join(self.folder, "log"), "rb") as log:
                    raise RuntimeError("Open vSwitch: " + log.read().decode(errors="replace")[-1500:])
            time.sleep(0.05)

    def datapath_flows(self):
        text = run("ovs-appctl", "-t", f"{self.folder}/vs.ctl", "upcall/show", env=self.environment)
        return int(text.split("(current")[1].split(")")[0])

    def __exit__(self, *_):
        for process in reversed(self.processes):
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if self.generator is not None:
            self.generator.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def fill(switch, flows, seconds=120):
    """Use every flow until each has its own cached one; answers how many there are."""
    end = time.monotonic() + seconds
    switch.generator.set_flows(flows)
    switch.generator.pause(False)
    while switch.datapath_flows() < flows and time.monotonic() < end:
        time.sleep(0.5)
    return switch.datapath_flows()


def open_vswitch(changes, flows, exact, ghz):
    """Times of the changes until the last frame with the old address, and how many flows were cached. The start is
    the clock of the newest burst sent before the request, which is at most a burst early."""
    old, new = 5, 6
    times = []
    with OpenVSwitch(flows) as switch:
        with contextlib.closing(OpenFlow(switch)) as control:
            control.set_destination(programs.mac_of(old), exact)
            control.wait_barrier()
        cached = fill(switch, flows if exact else 1)
        switch.generator.set_flows(flows)
        time.sleep(1)
        for _ in range(changes):
            switch.generator.clear(new)
            with contextlib.closing(OpenFlow(switch)) as control:
                start = switch.generator.tsc
                control.set_destination(programs.mac_of(new), exact)
                control.wait_barrier()
            last = 0
            while last == 0 or switch.generator.last(old) != last or switch.generator.first(new) == 0:
                last = switch.generator.last(old)
                time.sleep(0.2)
            times.append((switch.generator.last(old) - start) / ghz / 1000)
            old, new = new, old
    return times, cached
