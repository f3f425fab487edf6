# SPDX-License-Identifier: BSD-3-Clause
"""The journal: what users have written survives a restart, and kill -9 loses nothing that was acknowledged.

KEDGE_KILL_ROUNDS says how often the daemon is killed under load (10; `make test-kill` takes 200)."""

import contextlib
import os
import pathlib
import random
import select
import sqlite3
import subprocess
import threading
import time

import pytest

from conftest import ENVIRONMENT, SLOW
from names import GET_QUOTA, HEADER, SET_QUOTA, WRITE, Names, NamesError, encode
from netns import wait_until

ROUNDS = int(os.environ.get("KEDGE_KILL_ROUNDS", "10"))


@pytest.fixture
def journal(tmp_path):
    return tmp_path / "names.journal"


@pytest.fixture
def names_only(kedged, journal):
    """names_only("reply", ...): a daemon that serves names and keeps them in the journal."""
    def start(sync="reply", config=None, **more):
        args = ["--names-only", "--journal", journal, "--journal-sync", sync, *more.pop("args", ())]
        return kedged(config, args=args, **more)
    return start


def kill(daemon):
    daemon.process.kill()
    daemon.wait()


def state(names, path):
    """{path: (value, permissions)} of everything at and below path."""
    return {below: (names.read(below), names.perms(below)) for below in [path, *names.tree(path)]}


# ---- what comes back ----

@pytest.mark.parametrize("sync", ["reply", "soon", "off"])
def test_names_values_and_permissions_come_back(names_only, sync):
    daemon = names_only(sync)
    n = daemon.names
    n.write("/vm/a", "1")
    n.write("/vm/a/b/c", b"bytes\0and\xff" * 40)
    n.write("/plain/10.0.0.1", "")
    n.set_perms("/vm/a", "n7", "r1000", "b2147483748")
    n.set_perms("/", "r0", "w12")
    n.write("/vm/" + "x" * 2000, "a long name")
    with n.transaction():
        n.write("/vm/t/1", "one")
        n.write("/vm/t/2", "two")
        n.remove("/vm/a/b/c")
    n.write("/vm/gone/below/deep", "x")
    n.write("/vm/gone-not", "x")
    n.remove("/vm/gone")
    before = {path: state(n, path) for path in ("/vm", "/plain")}
    assert daemon.stop() == 0
    again = names_only(sync)
    assert {path: state(again.names, path) for path in before} == before
    assert again.names.perms("/") == ["r0", "w12"]
    assert again.names.get("/vm/gone") is None


def test_limits_and_special_names_come_back(names_only):
    daemon = names_only()
    daemon.names.ask(SET_QUOTA, "5", "nodes", "7")
    daemon.names.ask(SET_QUOTA, "watches", "9")
    daemon.names.set_perms("@introduceDomain", "n0", "r5")
    kill(daemon)
    n = names_only().names
    assert n.ask(GET_QUOTA, "5", "nodes") == b"7\0"
    assert n.ask(GET_QUOTA, "watches") == b"9\0"
    assert n.ask(GET_QUOTA, "5", "watches") == b"9\0"
    assert n.perms("@introduceDomain") == ["n0", "r5"]


def test_a_route_without_its_interface_comes_back(kedged, journal):
    """It waits since the interface went, and could not be set as it is."""
    config, args = "port add p0 devargs net_null0,no-rx=1\n", ["--journal", journal]
    daemon = kedged(config, args=args)
    daemon.ctl("iface add i0 on port p0 address 10.0.0.1/24")
    daemon.ctl("route add 10.0.0.0/8 via 10.0.0.254")
    daemon.ctl("iface del i0")
    assert "by the way of itself" in daemon.ctl("route set 10.0.0.0/8 via 10.0.0.253", check=False).stderr
    assert daemon.stop() == 0
    assert kedged(config, args=args).names.read("/route/10.0.0.0/8") == "via 10.0.0.254"


def large_request(number):
    payload = f"/vm/{number % 300}/{number}\0value".encode()
    return HEADER.pack(WRITE, 0, 0, len(payload)) + payload


def test_a_large_store_is_back_soon(names_only):
    """XSA-419: a store of 120,000 nodes took its server 20 minutes to reload, as work grew with its square."""
    daemon = names_only("off")
    n, count = daemon.names, 120000
    for first in range(0, count, 1000):
        n.socket.sendall(b"".join(large_request(i) for i in range(first, first + 1000)))
        for _ in range(1000):
            assert n.message()[0] == WRITE
    assert daemon.stop() == 0
    began = time.monotonic()
    assert len(names_only("off").names.list("/vm/7")) == count // 300
    assert time.monotonic() - began < 30 * SLOW


def test_off_and_soon_survive_kill_after_a_while(names_only):
    for sync in ("off", "soon"):
        daemon = names_only(sync)
        daemon.names.write(f"/vm/{sync}", "kept")
        wait_until(lambda: daemon.stat("journal/waiting") == 0, 5 * SLOW)
        kill(daemon)
    assert names_only().names.list("/vm") == ["off", "soon"]


def test_commit_numbers_go_on(names_only):
    """Generations of listings are commit numbers: they never repeat, also those of commits that were not journaled."""
    def generation(n):
        n.write("/vm/d/x", "")
        n.remove("/vm/d/x")
        return int(n.ask(22, "/vm/d", "0").split(b"\0")[0])
    last = 0
    for turn in range(4):
        daemon = names_only()
        now = generation(daemon.names)
        assert now > last
        last = now
        (kill if turn % 2 else daemon.stop)(daemon) if turn % 2 else daemon.stop()


def test_configuration_comes_on_top(names_only):
    daemon = names_only(config="name set /vm/both file\nname set /vm/file file\n")
    daemon.names.write("/vm/both", "user")
    daemon.names.write("/vm/user", "user")
    daemon.names.remove("/vm/file")
    daemon.stop()
    again = names_only(config="name set /vm/both file\nname set /vm/file file\n")
    assert again.names.tree("/vm") == {"/vm/both": "file", "/vm/file": "file", "/vm/user": "user"}
    again.stop()
    assert names_only().names.tree("/vm")["/vm/both"] == "file", "the file's lines are journaled as well"


def test_only_what_users_wrote_comes_back(routed, kedged, tmp_path):
    args = ["--journal", tmp_path, "--journal-sync", "reply"]
    r = routed("bridge add b0 port n\nport add n devargs net_null0,no-rx=1\niface add b0 on bridge b0\n", args=args)
    assert r.h1.ping("10.2.0.2", 2) == 2
    r.kedged.wait_up("n")
    assert "learned" in r.kedged.wait_name("/neigh/i2/10.2.0.2")
    r.kedged.ctl("route add 10.9.0.0/16 via 10.2.0.2")
    r.kedged.ctl("neigh add i2 10.2.0.77 mac 02:00:00:00:00:77")
    r.kedged.ctl("fdb add b0 02:00:00:00:05:05 port n")
    r.kedged.ctl("neigh set i2 10.2.0.2 mac 02:00:00:00:00:02")
    r.kedged.ctl("neigh del i2 10.2.0.2")
    saved = r.kedged.ctl("save").stdout
    assert "10.9.0.0/16" in saved
    kill(r.kedged)
    with contextlib.closing(sqlite3.connect(tmp_path / "names.journal")) as rest:
        rows = {bytes(row[0]).decode() for row in rest.execute("SELECT path FROM name")}
    assert {"/route/10.9.0.0/16", "/neigh/i2/10.2.0.77", "/fdb/b0/02:00:00:00:05:05", "/port/p1/devargs"} <= rows
    assert not {path for path in rows if path.endswith(("/link", "/mac", "/error", "/id", "/lcore"))}
    assert "/neigh/i2/10.2.0.2" not in rows and "/neigh/i1/10.1.0.2" not in rows
    again = kedged(None, namespace=r.kedged_namespace, args=args)
    again.wait_up("p1", "p2", "n")
    assert again.ctl("save").stdout == saved
    assert r.h1.ping("10.2.0.2", 3) >= 2


def test_a_big_store_comes_back_soon(names_only, tmp_path):
    daemon = names_only("soon")
    count = 100_000
    messages = []
    with daemon.connect() as n:
        for i in range(count):
            payload = encode(f"/local/domain/{i % 500}/device/{i // 500}") + b"\0" + encode(str(i))
            messages.append(payload)
        for start in range(0, count, 500):
            n.socket.sendall(b"".join(b"\x0b\0\0\0" + bytes(8) + len(m).to_bytes(4, "little") + m
                                      for m in messages[start:start + 500]))
            for _ in range(500):
                n.receive()
    assert daemon.stop() == 0
    again = names_only("soon")
    line = next(line for line in again.log.splitlines() if "names are loaded" in line)
    assert f"{count + 1001} names" in line, "with 500 domains, a folder in each, and /local/domain: " + line
    milliseconds = int(line.split(" in ")[1].split()[0])
    assert milliseconds < 1000 * SLOW, line
    assert again.names.read("/local/domain/499/device/199") == str(199 * 500 + 499)


# ---- files that are none ----

def refused(names_only, journal):
    daemon = names_only(ready=False)
    assert daemon.wait() == 1
    return next(line for line in daemon.log.splitlines() if str(journal) in line)


def test_foreign_files_are_refused(names_only, journal):
    journal.write_bytes(b"this is not a journal, whatever its name may say\n" * 100)
    kept = journal.read_bytes()
    assert "is not a journal of kedged" in refused(names_only, journal)
    assert journal.read_bytes() == kept
    journal.unlink()
    other = sqlite3.connect(journal)
    other.execute("CREATE TABLE other(x)")
    other.commit()
    other.close()
    assert "is not a journal of kedged" in refused(names_only, journal)


def test_damaged_files_are_refused(names_only, journal):
    daemon = names_only()
    for i in range(300):
        daemon.names.write(f"/vm/{i}", f"value-{i}-" + "v" * 50)
    daemon.stop()
    good = journal.read_bytes()
    at = good.index(b"value-77-")
    journal.write_bytes(good[:at] + b"Value" + good[at + 5:])
    assert "damaged" in refused(names_only, journal) and "/vm/77" in refused(names_only, journal)
    journal.write_bytes(good[:len(good) // 2])
    assert "damaged" in refused(names_only, journal)
    journal.write_bytes(good)
    later = sqlite3.connect(journal)
    later.execute("PRAGMA user_version = 99")
    later.close()
    assert "format 99" in refused(names_only, journal)


def test_names_that_the_stack_refuses(names_only, kedged, journal):
    """They were plain names while there was no stack: the message says which journal, which name, and how to mend it."""
    daemon = names_only("reply")
    daemon.names.write("/port/p0/mtu", "5")
    kill(daemon)
    with pytest.raises(AssertionError) as error:
        kedged(args=["--journal", journal])
    for words in (f"{journal}: the name below stands in this journal", "/port/p0/mtu", f"--names-only --journal {journal}"):
        assert words in str(error.value)
    mended = names_only("reply")
    mended.names.remove("/port")
    kill(mended)
    kedged(args=["--journal", journal])


def test_a_torn_tail_is_what_was_not_acknowledged(names_only, journal):
    daemon = names_only()
    daemon.names.write("/vm/first", "1")
    kill(daemon)
    tail = pathlib.Path(f"{journal}-wal")
    tail.write_bytes(tail.read_bytes() + b"\x37\x7f\x06\x82 the beginning of something")
    again = names_only()
    assert again.names.read("/vm/first") == "1"


def test_one_journal_one_daemon(names_only, journal):
    names_only()
    assert "in use" in refused(names_only, journal)


def test_the_file_is_private(names_only, journal):
    names_only()
    assert journal.stat().st_mode & 0o777 == 0o600


# ---- a disk that fails ----

@pytest.fixture
def small_disk(tmp_path):
    """A file system of one MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", folder], check=True)
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def test_full_disk(kedged, small_disk):
    args = ["--names-only", "--journal", small_disk, "--journal-sync", "reply"]
    daemon = kedged(None, args=args)
    n = daemon.names
    n.write("/vm/before", "kept")
    filler = small_disk / "filler"
    filler.write_bytes(b"x" * (700 << 10))
    acknowledged = 0
    slow = daemon.connect()
    slow.socket.settimeout(0.5)
    with pytest.raises((TimeoutError, NamesError)):
        for i in range(500):
            slow.write(f"/vm/{i}", "v" * 3000)
            acknowledged += 1
    wait_until(lambda: n.read("/stats/journal/error") != "", 5 * SLOW)
    with pytest.raises(NamesError) as refusal:
        n.write("/vm/later", "x")
    assert refusal.value.errno_name == "ENOSPC" and "can't be written" in refusal.value.reason
    assert n.read("/vm/before") == "kept", "reading goes on"
    assert "error" in daemon.log and "can't be written" in daemon.log
    filler.unlink()
    wait_until(lambda: n.read("/stats/journal/error") == "", 5 * SLOW)
    n.write("/vm/later", "x")
    assert "can be written again" in daemon.log
    slow.close()
    kill(daemon)
    again = kedged(None, args=args)
    assert again.names.read("/vm/later") == "x"
    assert len(again.names.list("/vm")) >= acknowledged + 2


# ---- a disk that is slow ----

SLOW_DISK = r"""
#include <dlfcn.h>
#include <stdlib.h>
#include <unistd.h>
int fdatasync(int fd)
{
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
    while (access(getenv("KEDGE_SLOW_DISK"), F_OK) == 0)
        usleep(1000);
    return real(fd);
}
"""


@pytest.fixture
def slow_disk(tmp_path, monkeypatch):
    """slow_disk.touch(): from now on nothing gets to the disk, until slow_disk.unlink()."""
    if SLOW > 1:
        pytest.skip("sanitizers want to be loaded first")
    (tmp_path / "slow.c").write_text(SLOW_DISK)
    library, switch = tmp_path / "slow.so", tmp_path / "slow"
    subprocess.run(["gcc", "-D_GNU_SOURCE", "-shared", "-fPIC", "-o", library, tmp_path / "slow.c"], check=True)
    for name, value in (("LD_PRELOAD", library), ("KEDGE_SLOW_DISK", switch)):
        monkeypatch.setitem(ENVIRONMENT, name, str(value))
    yield switch
    switch.unlink(missing_ok=True)


def ask_write(n, path, value=""):
    n.send(WRITE, encode(path) + b"\0" + encode(value))


def is_silent(n, seconds=0.3):
    return not select.select([n.socket], [], [], seconds)[0]


def test_replies_and_events_wait_for_the_disk(names_only, slow_disk):
    daemon = names_only("reply")
    n, other, watcher = daemon.names, daemon.connect(), daemon.connect()
    watcher.watch("/vm", "all")
    watcher.watch("/vm/a", "t")
    assert {watcher.event(), watcher.event()} == {("/vm", "all"), ("/vm/a", "t")}
    slow_disk.touch()
    ask_write(n, "/vm/a", "1")
    n.send(4, b"/vm/later\0token\0")  # its reply waits behind
    assert is_silent(n) and is_silent(watcher)
    assert other.read("/vm/a") == "1", "others may see it before"
    assert watcher.read("/vm/a") == "1", "also those who will hear of it"
    ask_write(other, "/vm/a", "2")
    ask_write(n, "/vm/b", "3")
    assert is_silent(other) and is_silent(watcher)
    slow_disk.unlink()
    assert [n.message()[0] for _ in range(4)] == [WRITE, 4, 15, WRITE]
    assert other.receive() == b"OK\0"
    events = []
    while (event := watcher.event(0.3)) is not None:
        events.append(event)
    assert {path for path, token in events if token == "all"} == {"/vm/a", "/vm/b"}
    assert 1 <= events.count(("/vm/a", "t")) <= 2, "the second change is merged, or told when it is durable"
    for client in (other, watcher):
        client.close()


def test_a_busy_name_is_told_nevertheless(names_only):
    """One that is written all the time is told of in between: no later commit keeps an earlier event back."""
    daemon = names_only("reply")
    watcher, stop = daemon.connect(), threading.Event()
    watcher.watch("/vm/hot", "t")
    assert watcher.event()

    def write(n):
        while not stop.is_set():
            n.write("/vm/hot", "x")

    writers = [threading.Thread(target=write, args=(daemon.connect(),)) for _ in range(3)]
    for thread in writers:
        thread.start()
    try:
        for _ in range(20):
            assert watcher.event(5 * SLOW), "it hears while the others go on"
    finally:
        stop.set()
        for thread in writers:
            thread.join()


def test_lag_is_bounded(names_only, slow_disk):
    """With 'soon' nobody is more than a second ahead of the disk: then changes wait, and reads go on."""
    daemon = names_only("soon")
    n, reader = daemon.names, daemon.connect()
    slow_disk.touch()
    n.socket.settimeout(3)
    start, written = time.monotonic(), 0
    with pytest.raises(TimeoutError):
        while time.monotonic() < start + 30:
            n.write("/vm/a", str(written))
            written += 1
            time.sleep(0.01)
    assert 1 < time.monotonic() - start < 10
    assert int(reader.read("/vm/a")) == written - 1
    slow_disk.unlink()
    n.socket.settimeout(10)
    n.receive()
    assert reader.read("/vm/a") == str(written)


def test_memory_is_bounded(names_only, slow_disk):
    """What waits for the disk is bounded, whatever clients send; reads go on."""
    daemon = names_only("soon")
    n, reader = daemon.connect(), daemon.connect()
    slow_disk.touch()
    n.socket.settimeout(0.5)
    with pytest.raises(TimeoutError):
        for i in range(100_000):
            path = f"/vm/{i % 1000}".encode() + b"\0"
            n.send(WRITE, path + b"v" * (4000 - len(path)))
            if select.select([n.socket], [], [], 0)[0]:
                n.socket.recv(1 << 16)
    assert int(reader.read("/stats/journal/waiting")) < 40 << 20
    status = pathlib.Path(f"/proc/{daemon.process.pid}/status").read_text()
    assert int(status.split("VmRSS:")[1].split()[0]) < 250 << 10
    slow_disk.unlink()
    wait_until(lambda: int(reader.read("/stats/journal/waiting")) == 0, 20)


# ---- kill -9 ----

class Client(threading.Thread):
    """Writes, removes and commits below a name of its own until the daemon is gone. .kept is what was acknowledged,
    .maybe what it is with the request that was not answered."""

    def __init__(self, socket, number, kept, shared):
        super().__init__(daemon=True)
        self.names, self.root = Names(socket, timeout=30), f"/vm/client{number}"
        self.kept, self.maybe = dict(kept), None
        self.shared, self.added, self.adding = shared, 0, False
        self.random = random.Random()
        self.requests = 0

    def change(self):
        """One or several names, and what they become."""
        name = f"{self.root}/{self.random.randrange(40)}"
        kind = self.random.randrange(4)
        if kind == 0:
            return {name: None}
        if kind == 1:
            return {name: str(self.random.random()), f"{name}/below": "x" * self.random.randrange(200)}
        if kind == 2:
            value = str(self.random.random())
            return {f"{self.root}/{self.random.randrange(40)}": value for _ in range(5)}
        return {name: str(self.random.random())}

    def apply(self, changes):
        after = dict(self.kept)
        for path, value in changes.items():
            if value is None:
                after = {old: kept for old, kept in after.items() if old != path and not old.startswith(path + "/")}
            else:
                after[path] = value
        return after

    def request(self, changes):
        def send():
            for path, value in changes.items():
                if value is None:
                    self.names.remove(path)
                else:
                    self.names.write(path, value)
        if len(changes) == 1:
            return send()
        with self.names.transaction():
            send()

    def add_shared(self):
        """A read-modify-write of a name that all clients share."""
        with self.names.transaction():
            value = int(self.names.get(self.shared, "0"))
            self.names.write(self.shared, str(value + 1))

    def run(self):
        try:
            self.names.mkdir(self.root)
            while True:
                self.requests += 1
                if self.random.randrange(5) == 0:
                    self.adding = True
                    try:
                        self.add_shared()
                        self.added += 1
                    except NamesError as error:
                        assert error.errno_name == "EAGAIN"
                    self.adding = False
                    continue
                changes = self.change()
                self.maybe = self.apply(changes)
                self.request(changes)
                self.kept, self.maybe = self.maybe, None
        except (OSError, ConnectionError):
            self.names.close()


def check_kept(names, client):
    found = names.tree(client.root) if names.get(client.root) is not None else {}
    kept = [found_as for found_as in (client.kept, client.maybe) if found_as is not None]
    assert found in kept, (f"{client.root}: neither what was acknowledged nor what was asked for last\n"
                           f"found {sorted(set(found.items()) - set(client.kept.items()))} more and lost "
                           f"{sorted(set(client.kept.items()) - set(found.items()))}")
    return found


def test_kill(names_only, tmp_path):
    clients, kept, shared = 4, [{} for _ in range(4)], 0
    delay = random.Random()
    daemon = names_only()
    for _ in range(ROUNDS):
        threads = [Client(daemon.socket, i, kept[i], "/vm/shared") for i in range(clients)]
        for thread in threads:
            thread.start()
        time.sleep(delay.uniform(0, 0.15) * SLOW)
        kill(daemon)
        for thread in threads:
            thread.join(30)
            assert not thread.is_alive()
        daemon.close()
        daemon = names_only()
        kept = [check_kept(daemon.names, thread) for thread in threads]
        least = shared + sum(thread.added for thread in threads)
        most = least + sum(thread.adding for thread in threads)
        shared = int(daemon.names.get("/vm/shared", "0"))
        assert least <= shared <= most
