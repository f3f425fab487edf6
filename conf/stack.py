# SPDX-License-Identifier: BSD-3-Clause
"""The lab with a kedged in it, for conf/run and conf/demo: start it, ask it, clean up after it."""

import contextlib
import ctypes
import json
import os
import signal
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILD = os.path.join(ROOT, os.environ.get("KEDGE_BUILD", "build"))
NAME = os.environ.get("KEDGE_LAB", "kedge")
SOCKET = "/run/kedge/kedged.sock" if NAME == "kedge" else f"/run/kedge/{NAME}.sock"
HUGEPAGES_MIB = 192


class Failure(Exception):
    """What went wrong, in a sentence for the user."""


def lab(*arguments):
    """conf/lab ARGUMENTS; what it printed."""
    done = subprocess.run([f"{ROOT}/conf/lab", *arguments], text=True, capture_output=True, check=False)
    if done.returncode:
        raise Failure(done.stderr.strip() or f"conf/lab {arguments[0]} failed")
    return done.stdout.strip()


def kedgectl(*arguments):
    """What build/kedgectl ARGUMENTS printed."""
    done = subprocess.run([f"{BUILD}/kedgectl", *arguments], text=True, capture_output=True,
                          check=False, env={**os.environ, "KEDGE_SOCKET": SOCKET})
    if done.returncode:
        raise Failure(f"kedgectl {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout


class Statistics(dict):
    """Names below /stats and their values: {"lcore/0/routed": "17", ...}."""

    def number(self, name):
        return int(self.get(name, 0))


def stats():
    def flat(tree, prefix):
        for name, value in tree.items():
            if isinstance(value, dict):
                yield from flat(value, f"{prefix}{name}/")
            else:
                yield prefix + name, value

    return Statistics(flat(json.loads(kedgectl("stats", "--json")), ""))


@contextlib.contextmanager
def inside(namespace):
    """What is opened in here belongs to the lab's namespace, and stays there afterwards."""
    libc = ctypes.CDLL(None, use_errno=True)
    clone_newnet = 0x40000000
    with open("/proc/thread-self/ns/net") as home, open(f"/run/netns/{NAME}-{namespace}") as there:
        if libc.setns(there.fileno(), clone_newnet):
            raise OSError(ctypes.get_errno(), f"cannot enter {NAME}-{namespace}")
        try:
            yield
        finally:
            libc.setns(home.fileno(), clone_newnet)


def memory_options():
    """Hugepages if there are any, or if they can be had; else without, and what that costs."""
    done = subprocess.run([f"{ROOT}/conf/hugepages", str(HUGEPAGES_MIB)], text=True,
                          capture_output=True, check=False)
    print(done.stdout.strip() or done.stderr.strip())
    if done.returncode == 0 and pages("free") * 2 >= HUGEPAGES_MIB:
        return []
    print("running without hugepages: it works, and costs a third to a half of the packets a second on\n"
          "ports that are not bound by the kernel (af_packet, as in this lab, is)")
    return ["--no-huge"]


class Stack:
    """A context: the lab is up and kedged runs in it; at the end all of it is gone."""

    def __init__(self, log):
        self.log = log
        self.daemon = None
        self.made_folder = False

    def __enter__(self):
        if os.geteuid() != 0:
            raise Failure("only root can make the lab's network namespaces: try with sudo")
        for signal_number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(signal_number, lambda *_: sys.exit(1))
        folder = os.path.dirname(SOCKET)
        self.made_folder = not os.path.isdir(folder)
        os.makedirs(folder, exist_ok=True)
        self.pages_before = pages("nr")
        memory = memory_options()
        lab("up")
        try:
            self.start(memory)
        except BaseException:
            self.__exit__()
            raise
        return self

    def start(self, memory):
        # In a session of its own: Ctrl-C is for us, and we end it in order.
        self.daemon = subprocess.Popen(
            ["nsenter", f"--net=/run/netns/{NAME}-stack", f"{BUILD}/kedged", "--socket", SOCKET,
             "--config", f"{ROOT}/conf/lab.conf", *memory],
            stdout=self.log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, start_new_session=True)
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            if self.daemon.poll() is not None:
                raise Failure(f"kedged ended at its start:\n{self.last_words()}")
            if os.path.exists(SOCKET):
                kedgectl("wait")
                return
            time.sleep(0.02)
        raise Failure(f"kedged opened no socket within 30 s:\n{self.last_words()}")

    def last_words(self, lines=15):
        with open(self.log.name, errors="replace") as log:
            return "".join(log.readlines()[-lines:]).rstrip()

    def running(self):
        return self.daemon.poll() is None

    def __exit__(self, *_):
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # an impatient second Ctrl-C leaves nothing behind
        if self.daemon and self.running():
            self.daemon.terminate()
            try:
                self.daemon.wait(5)
            except subprocess.TimeoutExpired:
                self.daemon.kill()
                self.daemon.wait()
                print("kedged did not end within 5 s and was killed")
        subprocess.run([f"{ROOT}/conf/lab", "down"], check=False)
        give_back(self.pages_before)
        if self.made_folder:
            with contextlib.suppress(OSError):  # somebody else's socket is in it by now
                os.rmdir(os.path.dirname(SOCKET))


# ---- hugepages that we reserved go back ----

PAGES = "/sys/kernel/mm/hugepages/hugepages-2048kB"


def pages(which):
    """2 MiB pages: "nr" reserved, "free" of them."""
    try:
        with open(f"{PAGES}/{which}_hugepages") as file:
            return int(file.read())
    except OSError:
        return 0


def give_back(before):
    if pages("nr") > before:
        with contextlib.suppress(OSError), open(f"{PAGES}/nr_hugepages", "w") as file:
            file.write(str(before))
