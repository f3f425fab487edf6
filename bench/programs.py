# SPDX-License-Identifier: BSD-3-Clause
"""
The programs that are measured: each forwards what the generator makes at port 0 and sends it out of port 1,
on one lcore, with two net_null ports. The control core (or main lcore) is on CPU 0, the worker on CPU 1.
"""

import os
import shutil
import subprocess
import tempfile
import time

from bench.generator import Generator
from bench.names import Names

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PLUGIN = os.path.join(TOP, "build/bench/generator.so")
KEDGED = os.path.join(TOP, "build/kedged")
L3FWD_SOURCE = "/usr/share/dpdk/examples"
VDEVS = ["--vdev", "net_null0", "--vdev", "net_null1,no-rx=1"]
ROUTER_MAC = "02:00:00:00:00:01"
BURST_SECONDS = 30


def mac_of(mark):
    """Destinations have five equal last bytes, so that a torn one shows."""
    return "02" + f":{mark:02x}" * 5


class Program:
    """One of them, running. Stops and cleans up at the end of a with block."""

    def __init__(self, name, command, flows, files=None):
        """files: {name: text} to be there before it starts; @DIR@ in the command is where."""
        self.name = name
        self.directory = tempfile.mkdtemp(prefix="kedge-bench-")
        for path, text in (files or {}).items():
            with open(os.path.join(self.directory, path), "w", encoding="ascii") as file:
                file.write(text)
        self.generator = Generator(os.path.join(self.directory, "generator"), flows, ROUTER_MAC)
        self.log = open(os.path.join(self.directory, "log"), "wb")
        environment = dict(os.environ, LD_PRELOAD=PLUGIN, KEDGE_GENERATOR=self.generator.path)
        self.process = subprocess.Popen(
            [part.replace("@DIR@", self.directory) for part in command],
            env=environment, stdin=subprocess.DEVNULL, stdout=self.log, stderr=subprocess.STDOUT)

    def __enter__(self):
        end = time.monotonic() + BURST_SECONDS
        while self.generator.sent == 0:
            if self.process.poll() is not None or time.monotonic() > end:
                with open(os.path.join(self.directory, "log"), "rb") as log:
                    text = log.read().decode(errors="replace")[-2000:]
                self.__exit__()
                raise RuntimeError(f"{self.name} does not forward:\n{text}")
            time.sleep(0.05)
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.log.close()
        self.generator.close()
        shutil.rmtree(self.directory, ignore_errors=True)

    def cycles(self, seconds):
        """Cycles of the lcore for one packet, everything included, over some time."""
        generator = self.generator
        sent, tsc = generator.sent, generator.tsc
        time.sleep(seconds)
        return (generator.tsc - tsc) / max(1, generator.sent - sent)


def prefix():
    return f"kedge-bench-{os.getpid()}"


def hugepages():
    with open("/proc/meminfo", encoding="ascii") as file:
        return any(line.startswith("HugePages_Free") and int(line.split()[1]) >= 512 for line in file)


def memory():
    """The same memory for all: 2 MiB pages where there are enough."""
    return ["-m", "1024"] if hugepages() else ["--no-huge", "-m", "1024"]


def testpmd(mode, flows):
    return Program(f"testpmd {mode}",
                   ["dpdk-testpmd", "-l", "0,1", "--no-pci", "--file-prefix", prefix(), *VDEVS, *memory(), "--",
                    f"--forward-mode={mode}", "--nb-cores=1", "--total-num-mbufs=16384", "--auto-start",
                    "--no-lsc-interrupt", "--stats-period=3600"], flows)


def build_l3fwd(directory):
    """DPDK's own example, built from Debian's dpdk-doc; the one change: ask for no receive offloads, which
    net_null has not got."""
    target = os.path.join(directory, "l3fwd")
    shutil.copytree(os.path.join(L3FWD_SOURCE, "l3fwd"), target)
    for name, old, new in (("main.c", ".offloads = RTE_ETH_RX_OFFLOAD_CHECKSUM,", ".offloads = 0,"),
                           ("Makefile", "-I../common", f"-I{L3FWD_SOURCE}/common")):
        path = os.path.join(target, name)
        with open(path, encoding="utf-8") as file:
            text = file.read()
        if old not in text:
            raise RuntimeError(f"l3fwd's {name} is not as expected: no '{old}'")
        with open(path, "w", encoding="utf-8") as file:
            file.write(text.replace(old, new))
    subprocess.run(["make", "-s", "-C", target], check=True, stdout=subprocess.DEVNULL)
    return os.path.join(target, "build/l3fwd")


def write_rules(directory, flows):
    with open(os.path.join(directory, "rules"), "w", encoding="ascii") as file:
        for i in range(flows):
            file.write(f"R10.2.0.1 10.1.{i // 256 % 256}.{i % 256} 53 {1000 + i // 65536} 0x11 1\n")
    with open(os.path.join(directory, "rules6"), "w", encoding="ascii") as file:
        file.write("R2001:db8::1 2001:db8::2 9 9 0x11 0\n")


def l3fwd(binary, rules, flows):
    return Program("l3fwd em",
                   [binary, "-l", "1", "--no-pci", "--file-prefix", prefix(), *VDEVS, *memory(), "--",
                    "-p", "3", "-P", "--lookup=em", "--config=(0,0,1),(1,0,1)", f"--rule_ipv4={rules}/rules",
                    f"--rule_ipv6={rules}/rules6", f"--eth-dest=1,{mac_of(5)}"], flows)


CONFIGURATION = f"""
port add in devargs net_null0
port add out devargs net_null1,no-rx=1
iface add in on port in address 192.168.1.1/24 mac {ROUTER_MAC}
iface add out on port out address 10.0.0.1/24 mac 02:00:00:00:00:02
neigh add out 10.0.0.5 mac {mac_of(5)}
neigh add out 10.0.0.6 mac {mac_of(6)}
route add 10.2.0.0/16 via 10.0.0.5
"""


class Kedged(Program):
    """The daemon, with a connection to its control socket."""

    def __init__(self, flows, capacity=None, configuration=CONFIGURATION, arguments=(), binary=KEDGED):
        self.names = None
        super().__init__("kedged",
                         [binary, "--socket", "@DIR@/socket", "--config", "@DIR@/config", "--cores", "0,1",
                          "--file-prefix", prefix(), "--flows", str(capacity or max(flows, 1024)),
                          "--flow-idle", "3600", "--packets", "16384", "--poll", *arguments,
                          *([] if hugepages() else ["--no-huge"])],
                         flows, {"config": configuration})

    def __enter__(self):
        super().__enter__()
        self.names = Names(os.path.join(self.directory, "socket"))
        return self

    def __exit__(self, *args):
        if self.names:
            self.names.close()
        super().__exit__(*args)
