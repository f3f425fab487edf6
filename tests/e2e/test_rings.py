# SPDX-License-Identifier: BSD-3-Clause
"""Guests over ring pages: a real process and a page that it shares with a real daemon, while clients of the socket go on.
"""

import os
import random
import subprocess
import threading

import pytest

from conftest import BUILD
from names import CONTROL, READ, RESET_WATCHES, SET_QUOTA, NamesError
from netns import wait_until
from rings import ERROR, FEATURES, REPLY_CONSUMER, REPLY_PRODUCER, REQUEST_CONSUMER, REQUEST_PRODUCER, RELEASE, Guest
from rings import INTRODUCE, introduce, introduced

INDEXES = (REQUEST_CONSUMER, REQUEST_PRODUCER, REPLY_CONSUMER, REPLY_PRODUCER)


@pytest.fixture
def daemon(kedged):
    return kedged(None, args=["--names-only"])


@pytest.fixture
def busy(daemon):
    """A client of the socket that writes and reads all the time, and must never notice anything."""
    over, rounds = threading.Event(), [0]

    def run():
        with daemon.connect() as client:
            while not over.is_set():
                client.write("/busy", str(rounds[0]))
                assert client.read("/busy") == str(rounds[0])
                rounds[0] += 1

    thread = threading.Thread(target=run)
    thread.start()
    yield rounds
    before = rounds[0]
    wait_until(lambda: rounds[0] > before or not thread.is_alive(), 10, "the client of the socket goes on")
    over.set()
    thread.join()
    assert rounds[0] > before


def test_every_operation(daemon, busy):
    with Guest(daemon.names, 7) as guest:
        assert guest.socket.get(FEATURES) & 3 == 3
        guest.write("data/a", "1")
        guest.mkdir("data/b")
        assert guest.list("data") == ["a", "b"]
        assert daemon.names.read("/local/domain/7/data/a") == "1"
        assert guest.perms("data") == ["n7"]
        guest.set_perms("data/a", "r7", "b3")
        assert daemon.names.perms("/local/domain/7/data/a") == ["r7", "b3"]
        guest.write("long", "x" * 2000)
        assert guest.read("long") == "x" * 2000
        guest.remove("data/b")
        assert guest.list("data") == ["a"]
        with guest.transaction() as tx:
            tx.write("data/c", "in it")
            assert daemon.names.get("/local/domain/7/data/c") is None
        assert daemon.names.read("/local/domain/7/data/c") == "in it"
        daemon.names.write("/local/secret", "x")
        daemon.names.set_perms("/local/secret", "n0")
        with pytest.raises(NamesError, match="EACCES"):
            guest.read("/local/secret")
        with pytest.raises(NamesError, match="EACCES"):
            guest.ask(INTRODUCE, 9, 0, 1)


def test_watches(daemon, busy):
    with Guest(daemon.names, 7) as guest:
        guest.watch("data", "token")
        assert guest.event() == ("data", "token")
        for i in range(200):
            daemon.names.write(f"/local/domain/7/data/{i}", "v")
        seen = set()
        while (event := guest.event(timeout=0.3)) is not None:
            seen.add(event[0])
        assert {f"data/{i}" for i in range(200)} <= seen
        guest.unwatch("data", "token")


def test_guests_are_apart(daemon, busy):
    with Guest(daemon.names, 1) as one, Guest(daemon.names, 2) as two:
        one.write("x", "1")
        two.write("x", "2")
        assert one.read("x") == "1" and two.read("x") == "2"
        with pytest.raises(NamesError, match="EACCES"):
            two.read("/local/domain/1/x")
        one.set_perms("x", "n1", "r2")
        assert two.read("/local/domain/1/x") == "1"


def test_hostile_indexes(daemon, busy):
    """Nonsense in every index: the guest is ignored, keeps its domain, and may begin anew."""
    chance = random.Random(3)
    with Guest(daemon.names, 7) as guest:
        guest.write("kept", "yes")
        for index in INDEXES * 2:
            guest.watch("kept", "w")
            guest.event()
            base = guest.socket.get(REQUEST_CONSUMER if index < REPLY_CONSUMER else REPLY_PRODUCER)
            bad = base + chance.randrange(1025, 2 ** 32 - 1024) * (1 if index % 8 == 4 else -1)
            guest.poke(index, bad)
            daemon.names.write("/local/domain/7/kept", "yes")  # so that there is something to send
            guest.wait_error(2)
            assert introduced(daemon.names, 7)
            guest.reconnect()
            assert guest.socket.get(ERROR) == 0
            assert guest.read("kept") == "yes"
            with pytest.raises(NamesError, match="ENOENT"):
                guest.unwatch("kept", "w")  # nothing is left of the connection before


def test_a_message_that_is_too_long(daemon, busy):
    with Guest(daemon.names, 7) as guest:
        guest.socket.sendall(bytes.fromhex("0b000000" "00000000" "00000000" "01100000"))
        guest.wait_error(3)
        with pytest.raises(ConnectionError):
            guest.read("x")
        guest.reconnect()
        guest.write("x", "1")


def test_soft_memory_is_of_all_that_a_guest_has(daemon, busy):
    """Watches and what it has not taken, not only names; one line until it is less again."""
    def warnings():
        return daemon.log.count("domain 7 has")

    daemon.names.ask(SET_QUOTA, "soft-memory", 5000)
    with Guest(daemon.names, 7) as guest:
        guest.write("big", "x" * 1000)
        for number in range(10):
            guest.watch("data", f"{number}" + "t" * 500)
            guest.event()
        wait_until(lambda: warnings() == 1, 5, "its watches are too much")
        guest.ask(RESET_WATCHES)
        guest.read("big")
        assert warnings() == 1
        for _ in range(10):
            guest.send(READ, b"big\0")
        wait_until(lambda: warnings() == 2, 5, "what it does not take is too much")
        for _ in range(10):
            assert guest.receive() == b"x" * 1000
        assert "more than its soft-memory of 5000" in daemon.log
        assert int(daemon.names.ask(CONTROL, "quota", "max").decode().split("memory")[1].split()[1]) > 5000


def test_reconnect_in_the_middle(daemon, busy):
    """As a kernel does that was started by kexec: half a message, open transaction, unread replies."""
    with Guest(daemon.names, 7) as guest:
        for _ in range(20):
            guest.ask(6, "", tx=0)
            guest.send(2, b"/local/domain/7\0")
            guest.socket.sendall(b"half a header")
            guest.reconnect()
            guest.write("x", "1")
            assert guest.read("x") == "1"
        # 64 transactions may be open; twenty forgotten ones are not
        assert int(guest.ask(6, "", tx=0).rstrip(b"\0")) > 0


def test_the_guest_ends_with_its_monitor(daemon, busy):
    daemon.names.watch("@releaseDomain", "gone")
    assert daemon.names.event() is not None
    monitor = daemon.connect()
    with Guest(monitor, 7) as guest:
        guest.write("x", "1")
        assert introduced(daemon.names, 7)
        monitor.close()
        assert daemon.names.event(timeout=10) == ("@releaseDomain", "gone")
        assert not introduced(daemon.names, 7)
        assert daemon.names.get("/local/domain/7") is None  # its names went with it


def test_the_guest_ends_with_its_process(daemon, busy):
    """A tool introduces and leaves; the domain lives by a pidfd."""
    process = subprocess.Popen(["sleep", "1000"])
    pidfd = os.pidfd_open(process.pid)
    monitor = daemon.connect()
    try:
        with Guest(monitor, 7, life=pidfd) as guest:
            monitor.close()
            guest.write("x", "1")
            assert introduced(daemon.names, 7)
            process.kill()
            process.wait()
            wait_until(lambda: not introduced(daemon.names, 7), 10, "the domain is released")
    finally:
        process.kill()
        process.wait()
        os.close(pidfd)


def test_release_and_another_life(daemon, busy):
    with Guest(daemon.names, 7) as guest:
        guest.write("x", "1")
        daemon.names.ask(RELEASE, 7)
        assert not introduced(daemon.names, 7)
    with Guest(daemon.names, 7) as guest:
        with pytest.raises(NamesError, match="ENOENT|EACCES"):
            guest.read("x")
        guest.write("x", "2")
        assert guest.read("x") == "2"


def test_domain_zero_is_privileged(daemon, busy):
    with Guest(daemon.names, 0) as zero, Guest(daemon.names, 5) as five:
        five.write("x", "1")
        assert zero.read("/local/domain/5/x") == "1"
        zero.write("/anywhere", "1")
        zero.ask(RELEASE, 5)
        assert not introduced(daemon.names, 5)
        with pytest.raises(NamesError, match="EINVAL"):
            zero.ask(INTRODUCE, 0, 0, 1)  # not while it runs a request over it
        with pytest.raises(NamesError, match="EINVAL"):
            zero.ask(RELEASE, 0)
        zero.write("/anywhere", "2")


def test_what_may_be_handed_in(daemon, busy):
    with Guest(daemon.names, 7) as guest:
        memory, to_server, to_guest = guest.descriptors
        shrinks = os.memfd_create("bad", os.MFD_ALLOW_SEALING)
        os.ftruncate(shrinks, 4096)
        for descriptors, says in (([shrinks, to_server, to_guest], "shrink"), ([memory], "ring takes"),
                                  ([to_server, to_server, to_guest], "memfd"), ([memory, memory, to_guest], "eventfds")):
            with pytest.raises(NamesError, match=f"EINVAL.*{says}"):
                introduce(daemon.names, 8, descriptors)
        with pytest.raises(NamesError, match="EINVAL.*page"):
            introduce(daemon.names, 8, guest.descriptors, gfn=1)
        with open("/dev/null", "rb") as null, pytest.raises(NamesError, match="EINVAL.*pidfd"):
            introduce(daemon.names, 8, guest.descriptors + [null.fileno()])
        assert not introduced(daemon.names, 8)
        guest.write("x", "1")
        os.close(shrinks)


def test_descriptors_are_not_leaked(daemon):
    def count():
        return len(os.listdir(f"/proc/{daemon.process.pid}/fd"))

    daemon.names.read("/")
    before = count()
    for i in range(20):
        with Guest(daemon.names, 7) as guest:
            guest.write("x", str(i))
            with pytest.raises(NamesError):
                introduce(daemon.names, 8, guest.descriptors[:2])
            daemon.names.ask(RELEASE, 7)
    wait_until(lambda: count() <= before, 10, "all descriptors are closed")


def test_the_example(daemon, busy):
    """docs/examples/guest.c: a monitor and a guest in C, over Kedge's own client."""
    example = subprocess.Popen([BUILD / "examples/guest", "9"], stdout=subprocess.PIPE, text=True,
                               env={**os.environ, "KEDGE_SOCKET": str(daemon.socket)})
    try:
        wait_until(lambda: introduced(daemon.names, 9), 10, "the example introduces its guest")
        daemon.ctl(["name", "add", "/local/domain/9/request", "how are you"])
        assert daemon.wait_name("/local/domain/9/reply", "how are you: fine")
        daemon.ctl("name set /local/domain/9/request quit")
        assert example.wait(10) == 0
        assert "asked: how are you" in example.stdout.read()
        wait_until(lambda: not introduced(daemon.names, 9), 10, "the guest's end is noticed")
    finally:
        example.kill()
        example.wait()
        example.stdout.close()
