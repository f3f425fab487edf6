# SPDX-License-Identifier: BSD-3-Clause
"""Network namespaces and veth pairs for the tests.

Every namespace is called kedge<pid>-<label>, so that tests may run beside each other, and is removed
with everything in it when the Lab is closed, whatever happened.

    lab = Lab()
    stack = lab.namespace("stack")
    host = lab.host("h1", stack, "p0", "10.0.0.2/24", gateway="10.0.0.1")
    host.run("ping -c1 10.0.0.1")
    lab.close()
"""

import contextlib
import itertools
import os
import shlex
import signal
import subprocess
import time

NUMBERS = itertools.count()


def command(words):
    return shlex.split(words) if isinstance(words, str) else [str(word) for word in words]


def execute(words, check=True, timeout=30, **more):
    """Run a command (a string is split like a shell does); stdout and stderr are in the result."""
    result = subprocess.run(command(words), stdin=subprocess.DEVNULL, capture_output=True, text=True,
                            errors="replace", timeout=timeout, check=False, **more)
    if check and result.returncode != 0:
        raise AssertionError(f"{words}: exit {result.returncode}\n{result.stdout}{result.stderr}")
    return result


def wait_until(condition, timeout=5, what=None, step=0.01):
    """Wait until condition() is true and return its value; AssertionError if it isn't in time. `what` is
    a text, or a function that gives one."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout} s: {what() if callable(what) else what or condition}")
        time.sleep(step)


class Namespace:
    """One network namespace. Processes started in it are ended with it."""

    def __init__(self, label):
        self.label = label
        self.name = f"kedge{os.getpid()}-{next(NUMBERS)}{label}"
        self.processes = []
        self.closing = contextlib.ExitStack()  # more that has to be undone at the end
        execute(["ip", "netns", "add", self.name])
        self.ip("link set lo up")

    def enter(self, words):
        # Not `ip netns exec` nor `ip -n`: they remount /sys, which can't be done in a chroot.
        return ["nsenter", f"--net=/run/netns/{self.name}"] + command(words)

    def run(self, words, check=True, timeout=30, **more):
        """Run a command inside and wait for it."""
        return execute(self.enter(words), check, timeout, **more)

    def popen(self, words, **more):
        """Start a command inside; it is killed at the end if it still runs."""
        process = subprocess.Popen(self.enter(words), stdin=subprocess.DEVNULL, **more)
        self.processes.append(process)
        return process

    def ip(self, words, check=True):
        return execute(self.enter(["ip"] + command(words)), check)

    def mac(self, interface="eth0"):
        text = self.ip(["-o", "link", "show", interface]).stdout
        return text.split("link/ether ")[1].split()[0]

    def set_mac(self, mac, interface="eth0"):
        self.ip(f"link set {interface} address {mac}")

    def up(self, *interfaces):
        for interface in interfaces:
            self.ip(f"link set {interface} up")

    def address(self, address, interface="eth0"):
        self.ip(f"address add {address} dev {interface}")

    def route(self, prefix, via):
        self.ip(f"route add {prefix} via {via}")

    def ping(self, address, count=1, interval=0.05, wait=2):
        """How many of count pings were answered."""
        result = self.run(f"ping -n -q -i {interval} -c {count} -W {wait} {address}", check=False,
                          timeout=count * (interval + wait) + 10)
        for part in result.stdout.split(", "):
            if part.endswith(" received"):
                return int(part.split()[0])
        return 0

    def close(self):
        self.closing.close()
        for process in self.processes:
            if process.poll() is None:
                process.kill()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(5)
        # Children of what was started here; nobody else knows this namespace.
        for pid in execute(["ip", "netns", "pids", self.name], check=False).stdout.split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
        execute(["ip", "netns", "delete", self.name], check=False)


class Lab:
    """The namespaces of one test."""

    def __init__(self):
        self.namespaces = []

    def namespace(self, label):
        namespace = Namespace(label)
        self.namespaces.append(namespace)
        return namespace

    def veth(self, a, name_a, b, name_b):
        """A veth pair with its ends in two namespaces, both up. Checksum and segmentation offloads
        are off at both ends: af_packet hands a frame over as it is, with a checksum that the
        kernel has left to a device that doesn't exist."""
        execute(["ip", "link", "add", name_a, "netns", a.name, "type", "veth",
                 "peer", "name", name_b, "netns", b.name])
        for namespace, name in ((a, name_a), (b, name_b)):
            namespace.run(f"sysctl -qw net.ipv6.conf.{name}.disable_ipv6=1")
            namespace.run(f"ethtool -K {name} tx off rx off tso off gso off gro off")
            namespace.up(name)

    def host(self, label, stack, port, address=None, gateway=None, mac=None):
        """A namespace whose eth0 is the other end of `port` in the namespace `stack`."""
        host = self.namespace(label)
        self.veth(stack, port, host, "eth0")
        if mac:
            host.set_mac(mac)
        if address:
            host.address(address)
        if gateway:
            host.route("default", gateway)
        return host

    def close(self):
        while self.namespaces:
            self.namespaces.pop().close()
