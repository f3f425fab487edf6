# SPDX-License-Identifier: BSD-3-Clause
"""
The Xenstore servers that are measured: kedged --names-only, Debian's oxenstored and xenstored (which need no
Xen thanks to bench/xen_stub.c), and the floor, a server that does nothing. Server and client are pinned to
one CPU.
"""

import os
import shutil
import subprocess
import tempfile
import time

from bench.names import Names

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILD = os.path.join(TOP, "build")
CLIENT = os.path.join(BUILD, "bench/names_client")
STUB = os.path.join(BUILD, "bench/xen_stub.so")
XEN = "/usr/lib/xen-4.17/bin"
PACKAGE = "xen-utils-4.17"

# Their defaults are for guests of a small host; with these nothing that is measured meets a limit.
OXENSTORED_QUOTAS = """
quota-maxentity = 100000000
quota-maxsize = 4096
quota-maxwatch = 10000000
quota-transaction = 10000
quota-path-max = 3072
quota-maxoutstanding = 1000000
quota-maxwatchevents = 1000000
"""
XENSTORED_QUOTAS = ["-E", "100000000", "-S", "1000000", "-W", "10000000", "-t", "1000"]


def pinned(cpu):
    return lambda: os.sched_setaffinity(0, {cpu})


class Server:
    """One of them, running, until the end of a with block. DIR in its command is a folder of its own."""

    def __init__(self, name, command, cpu, files=None, preload=False):
        self.name, self.cpu = name, cpu
        self.directory = tempfile.mkdtemp(prefix="kedge-bench-")
        self.socket = os.path.join(self.directory, "socket")
        for path, text in (files or {}).items():
            with open(os.path.join(self.directory, path), "w", encoding="ascii") as file:
                file.write(text.replace("DIR", self.directory))
        environment = dict(os.environ, XENSTORED_RUNDIR=self.directory)
        if preload:
            environment["LD_PRELOAD"] = STUB
        self.log = open(os.path.join(self.directory, "output"), "wb")
        self.process = subprocess.Popen([word.replace("DIR", self.directory) for word in command],
                                        env=environment, stdin=subprocess.DEVNULL, stdout=self.log,
                                        stderr=subprocess.STDOUT, preexec_fn=pinned(cpu))

    def __enter__(self):
        try:
            Names(self.socket).close()
        except OSError as error:
            with open(self.log.name, encoding="utf-8", errors="replace") as log:
                text = log.read()
            self.__exit__()
            raise RuntimeError(f"{self.name} does not answer:\n{text}") from error
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
        shutil.rmtree(self.directory, ignore_errors=True)

    def client(self, figure, *arguments):
        """What the client measures there: {name: number}."""
        result = subprocess.run([CLIENT, self.socket, figure, *map(str, arguments)], capture_output=True,
                                text=True, check=False, preexec_fn=pinned(self.cpu))
        if result.returncode != 0:
            raise RuntimeError(f"{figure} {arguments} at {self.name}: {result.stderr}")
        return {name: float(value) for name, value in map(str.split, result.stdout.splitlines())}

    def resident(self):
        """Bytes of memory."""
        time.sleep(0.3)  # until what it frees later is freed
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmRSS:")) * 1024


def floor(cpu):
    return Server("floor", [os.path.join(BUILD, "bench/floor"), "DIR/socket"], cpu)


def kedged(cpu, logs=False):
    words = [os.path.join(BUILD, "kedged"), "--names-only", "--socket", "DIR/socket"]
    if logs:
        words += ["--log-file", "DIR/log", "--log", "debug", "--access-log", "DIR/access-log", "--access-log-reads",
                  "--access-log-transactions", "--access-log-specials"]
    return Server("kedged", words, cpu)


def oxenstored(cpu, logs=False):
    configuration = OXENSTORED_QUOTAS + "access-log-file = DIR/access.log\nxenstored-log-file = DIR/log\n"
    return Server("oxenstored", [f"{XEN}/oxenstored", "--no-fork", "--no-domain-init", "--config-file", "DIR/conf",
                                 *([] if logs else ["--no-access-log"])], cpu, {"conf": configuration}, True)


def xenstored(cpu, logs=False):
    return Server("xenstored", [f"{XEN}/xenstored", "--no-fork", "--internal-db=on", *XENSTORED_QUOTAS,
                                *(["--trace-file", "DIR/trace"] if logs else [])], cpu, preload=True)


PEERS = {"oxenstored": oxenstored, "xenstored": xenstored}
