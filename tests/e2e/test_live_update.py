# SPDX-License-Identifier: BSD-3-Clause
"""Live update: a daemon of names becomes another program, and its clients go on."""

import fcntl
import glob
import itertools
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import threading
import time

import pytest

from conftest import BUILD, KEDGED, SLOW
from names import CONTROL, GET_QUOTA, HEADER, READ, SET_QUOTA, TRANSACTION_END, TRANSACTION_START, WATCH, WATCH_EVENT
from names import NamesError
from netns import wait_until
from rings import ERROR, INTRODUCE, RELEASE, REQUEST_CONSUMER, REQUEST_PRODUCER, Guest, introduce, introduced


@pytest.fixture
def binary(tmp_path):
    """Another kedged, to tell which one runs."""
    path = tmp_path / "kedged-new"
    shutil.copy(KEDGED, path)
    return path


@pytest.fixture
def names_only(kedged):
    def start(config=None, **more):
        return kedged(config, args=["--names-only", *more.pop("args", ())], **more)
    return start


def control(n, *words):
    return n.ask(CONTROL, "live-update", *words).rstrip(b"\0").decode()


def running(daemon):
    return pathlib.Path(os.readlink(f"/proc/{daemon.process.pid}/exe"))


def memories(daemon):
    """Of rings, that the daemon has in hand."""
    folder = f"/proc/{daemon.process.pid}/fd"
    return sum(os.readlink(f"{folder}/{fd}").startswith("/memfd:ring") for fd in os.listdir(folder))


def update(daemon, binary, *words):
    """By a connection of its own; the answer, and it is the binary that runs now."""
    with daemon.connect() as n:
        assert control(n, "-f", binary) == "OK"
        answer = control(n, "-s", *words)
        assert answer == "OK"
        assert n.read("/stats/server/connections"), "the connection goes on"
    assert running(daemon) == binary


def test_clients_notice_nothing(names_only, binary):
    daemon = names_only("name set /vm/config 1\n")
    n, watcher = daemon.connect(), daemon.connect()
    n.write("/vm/a/b", b"value\0" * 30)
    n.set_perms("/vm/a", "n7", "r1000", "b2147483748")
    n.remove("/vm/config")
    watcher.watch("/vm/a", "token")
    watcher.watch("relative", "")
    watcher.watch("@releaseDomain", "r")
    assert {watcher.event() for _ in range(3)} == {("/vm/a", "token"), ("relative", ""), ("@releaseDomain", "r")}
    before = (n.tree("/vm"), n.perms("/vm/a"), n.perms("/"))
    update(daemon, binary)
    assert (n.tree("/vm"), n.perms("/vm/a"), n.perms("/")) == before, "the configuration is not read again"
    assert watcher.event(0.2) is None, "a watch does not fire because of it"
    n.write("/vm/a/new", "")
    assert watcher.event() == ("/vm/a/new", "token")
    n.write("relative/x", "")
    assert watcher.event() == ("relative/x", "")
    watcher.unwatch("/vm/a", "token")
    with daemon.connect() as other:
        assert other.tree("/vm")["/vm/a/new"] == ""
    update(daemon, KEDGED)
    assert n.perms("/vm/a") == before[1]
    assert daemon.stop() == 0 and not daemon.socket.exists()


def test_limits_special_names_and_depths_are_kept(names_only, binary):
    daemon = names_only()
    n, shallow = daemon.connect(), daemon.connect()
    n.ask(SET_QUOTA, "5", "nodes", "7")
    n.ask(SET_QUOTA, "watches", "9")
    n.ask(CONTROL, "quota", "set", "nodes", "3", "uid:1000")
    n.set_perms("@introduceDomain", "n0", "r5")
    shallow.ask(WATCH, "/vm", "t", "1")
    assert shallow.event() == ("/vm", "t")
    for program in (binary, KEDGED):
        update(daemon, program)
        assert n.ask(GET_QUOTA, "5", "nodes") == b"7\0"
        assert n.ask(GET_QUOTA, "watches") == b"9\0"
        assert n.ask(GET_QUOTA, "5", "transactions") == b"10\0"
        user = n.ask(CONTROL, "quota", "uid:1000").decode().split("limits:")[1]
        assert user.split()[:3] == ["nodes", ":", "3"]
        assert n.perms("@introduceDomain") == ["n0", "r5"]
        n.write("/vm/a/b", "too deep")
        n.write("/vm/a", "")
        assert shallow.event() == ("/vm/a", "t")
        assert shallow.event(0.2) is None


def test_numbers_of_commits_go_on(names_only, binary):
    daemon = names_only()

    def generation():
        n.write("/vm/d/x", "")
        n.remove("/vm/d/x")
        return int(n.ask(22, "/vm/d", "0").split(b"\0")[0])

    with daemon.connect() as n:
        last = generation()
        for _ in range(3):
            update(daemon, binary)
            assert generation() > last
            last = generation()


def test_what_is_under_way_goes_on(names_only, binary):
    """Half a request, replies and events that nobody has read: nothing is lost, nothing comes twice."""
    daemon = names_only()
    half, slow, watcher, n = (daemon.connect() for _ in range(4))
    half.socket.sendall(b"\x0b\0\0\0" + bytes(8) + (11).to_bytes(4, "little") + b"/tool/h")
    n.write("/tool/big", "x" * 4000)
    requests = 200
    slow.socket.sendall(b"".join(HEADER.pack(READ, number, 0, 10) + b"/tool/big\0" for number in range(requests)))
    watcher.watch("/tool", "w")
    assert watcher.event()
    for number in range(3000):
        n.write(f"/tool/e/{number}/{'y' * 100}", "")
    wait_until(lambda: int(n.read("/stats/server/requests")) >= 3000, 5 * SLOW)
    update(daemon, binary)
    half.socket.sendall(b"\0abc")
    assert half.receive() == b"OK\0"
    assert n.read("/tool/h") == "abc"
    for number in range(requests):
        kind, request, _, payload = slow.message()
        assert (kind, request, payload) == (READ, number, b"x" * 4000)
    heard = set()
    while (event := watcher.event(0.5)) is not None:
        assert event not in heard
        heard.add(event)
    assert {path for path, _ in heard} >= {"/tool/h"}
    assert len([path for path, _ in heard if path.startswith("/tool/e/")]) == 3000 or ("/tool", "w") in heard


def test_open_transactions_are_waited_for(names_only, binary):
    daemon = names_only()
    n, other, admin = daemon.connect(), daemon.connect(), daemon.connect()
    with n.transaction():
        n.write("/vm/t", "1")
        assert control(admin, "-f", binary) == "OK"
        admin.send(CONTROL, b"live-update\0-s\0")
        other.send(TRANSACTION_START, b"\0")
        other.socket.settimeout(0.3)
        with pytest.raises(TimeoutError):
            other.receive()
        assert running(daemon) == KEDGED
        assert n.read("/vm/t") == "1"
    assert admin.receive() == b"OK\0"
    assert running(daemon) == binary
    other.socket.settimeout(5)
    assert other.receive().rstrip(b"\0").isdigit(), "it was started by the new one"
    assert n.read("/vm/t") == "1"


@pytest.mark.parametrize("words", [("-t", "1"), ("-t", "1", "-F")])
def test_open_transactions_end_after_a_while(names_only, binary, words):
    daemon = names_only()
    n = daemon.connect()
    n.tx = int(n.ask(TRANSACTION_START, "", tx=0).rstrip(b"\0"))
    n.write("/vm/t", "1")
    start = time.monotonic()
    update(daemon, binary, *words)
    assert 0.5 < time.monotonic() - start < 5 * SLOW
    for request in (lambda: n.read("/vm/t"), lambda: n.write("/vm/t", "2"), lambda: n.ask(7, "T")):
        with pytest.raises(NamesError) as refusal:
            request()
        assert refusal.value.errno_name == "EAGAIN"
    with pytest.raises(NamesError) as refusal:
        n.ask(7, "T")
    assert refusal.value.errno_name == "ENOENT", "it has ended"
    n.tx = 0
    assert n.get("/vm/t") is None
    with n.transaction():
        n.write("/vm/t", "3")
    assert n.read("/vm/t") == "3"


def test_under_load(names_only, binary):
    """Clients write and commit all the time, while the daemon is updated again and again."""
    daemon = names_only(args=["--journal", binary.parent / "j", "--journal-sync", "reply"])
    stop, counts, failures = threading.Event(), [0] * 3, []

    def work(number):
        try:
            with daemon.connect() as n:
                while not stop.is_set():
                    try:
                        with n.transaction():
                            n.write(f"/vm/{number}", str(counts[number] + 1))
                        counts[number] += 1
                    except NamesError as error:
                        assert error.errno_name == "EAGAIN"
        except BaseException as error:  # pylint: disable=broad-except
            failures.append(error)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(3)]
    for thread in threads:
        thread.start()
    try:
        for turn in range(6):
            update(daemon, [binary, KEDGED][turn % 2])
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert not failures
    assert all(counts)
    found = [daemon.names.read(f"/vm/{i}") for i in range(3)]
    assert found == [str(count) for count in counts]
    daemon.process.kill()
    daemon.wait()
    again = names_only(args=["--journal", binary.parent / "j"])
    assert [again.names.read(f"/vm/{i}") for i in range(3)] == found, "the journal goes on with the new program"


def test_a_journal_that_is_new_to_it(names_only, binary, tmp_path):
    daemon = names_only()
    daemon.names.write("/vm/old", "1")
    words = f"--socket {daemon.socket} --names-only --journal {tmp_path / 'j'} --journal-sync reply"
    assert control(daemon.names, "-c", words) == "OK"
    update(daemon, binary)
    daemon.names.write("/vm/new", "2")
    daemon.process.kill()
    daemon.wait()
    again = names_only(args=["--journal", tmp_path / "j"])
    assert again.names.tree("/vm") == {"/vm/old": "1", "/vm/new": "2"}


def test_logs_go_on(names_only, binary, tmp_path):
    """What was queued for the logs is written before, and the new program goes on with them; so does the old one if
    the new one can't be run."""
    log, access = tmp_path / "own.log", tmp_path / "access.log"
    daemon = names_only(args=["--log-file", log, "--access-log", access])
    n = daemon.connect()
    for turn in range(4):
        for number in range(100):
            n.write(f"/vm/{turn}/{number}", "")
        broken = tmp_path / "broken"
        if turn == 2:
            shutil.copy(binary, broken)
            with daemon.connect() as admin:
                assert control(admin, "-f", broken) == "OK"
                broken.write_bytes(b"no program")
                assert "take over" in control(admin, "-s")
        else:
            update(daemon, [binary, KEDGED][turn % 2])
    assert "takes over" in log.read_text()
    n.write("/vm/last", "")
    wait_until(lambda: "/vm/last" in access.read_text(), 5 * SLOW)
    written = access.read_text()
    assert all(f"/vm/{turn}/{number}" in written for turn in range(4) for number in range(100))


def test_refusals(names_only, binary, tmp_path, kedged):
    daemon = names_only()
    n = daemon.names
    assert "-f" in control(n, "-s")
    assert "can be run" in control(n, "-f", "/nowhere/at/all")
    assert "can be run" in control(n, "-f", "kedged")
    assert "takes" in control(n, "-x")
    assert "takes" in control(n)
    broken = tmp_path / "broken"
    broken.write_text("#!/nowhere/at/all\n")
    broken.chmod(0o755)
    assert control(n, "-f", broken) == "OK"
    assert "can't take over" in control(n, "-s")
    assert control(n, "-f", "/bin/true") == "OK"
    assert "could not take over" in control(n, "-s")
    assert control(n, "-f", binary) == "OK"
    assert control(n, "-c", "--no-such-option") == "OK"
    assert "could not take over: kedged: --no-such-option" in control(n, "-s")
    assert "no-such-option" in daemon.log
    assert control(n, "-c", f"--names-only --socket {tmp_path}/other") == "OK"
    assert f"keeps the control socket, which is {daemon.socket}" in control(n, "-s")
    n.write("/vm/still", "here")
    assert n.read("/vm/still") == "here", "the old one goes on"
    assert control(n, "-a") == "OK"
    assert "-f" in control(n, "-s"), "it was taken back"
    with daemon.connect() as other, other.transaction(), daemon.connect() as admin:
        assert control(n, "-f", binary) == "OK"
        before, reads = daemon.stat("server/requests"), itertools.count(1)
        admin.send(CONTROL, b"live-update\0-s\0")
        wait_until(lambda: daemon.stat("server/requests") > before + next(reads), 5)
        assert control(n, "-s") == "BUSY"
        assert control(n, "-a") == "OK"
        assert b"taken back" in admin.receive()
        other.write("/vm/x", "")
    full = kedged("")
    assert "names-only" in control(full.names, "-f", binary)


def test_guests_notice_nothing(names_only, binary):
    """Over rings: half a request, replies and events that are not taken, whole requests, watches."""
    daemon = names_only()
    with daemon.connect() as monitor, Guest(monitor, 7) as guest, Guest(monitor, 8) as slow:
        guest.write("data/a", "1")
        guest.watch("data", "token")
        assert guest.event() == ("data", "token")
        slow.write("big", "x" * 1500)
        slow.watch("from-others", "w")
        for number in range(4):
            slow.send(READ, b"big\0", request=number)
        for number in range(100):
            daemon.names.write(f"/local/domain/8/from-others/{number}", "")
        for program in (binary, KEDGED):
            guest.socket.sendall(b"\x0b\0\0\0" + bytes(8) + (8).to_bytes(4, "little") + b"data")
            daemon.names.read("/")
            update(daemon, program)
            assert guest.event(0.2) is None, "a watch does not fire because of it"
            guest.socket.sendall(b"/h\0!")
            assert guest.receive() == b"OK\0"
            assert guest.event() == ("data/h", "token")
            assert guest.read("data/a") == "1"
            daemon.names.write("/local/domain/7/data/a", "1")
            assert guest.event() == ("data/a", "token")
            with pytest.raises(NamesError, match="EACCES"):
                guest.read("/local/domain/8/big")
        kinds = [slow.message() for _ in range(5)]
        assert [kind[1] for kind in kinds if kind[0] == READ] == [0, 1, 2, 3]
        assert all(kind[3] == b"x" * 1500 for kind in kinds if kind[0] == READ)
        slow.events += [kind[3] for kind in kinds if kind[0] == WATCH_EVENT]
        heard = set()
        while (event := slow.event(0.5)) is not None:
            heard.add(event[0])
        assert heard >= {f"from-others/{number}" for number in range(100)}
        with guest.transaction():
            guest.write("data/b", "in it")
        assert daemon.names.read("/local/domain/7/data/b") == "in it"


def test_transactions_of_guests(names_only, binary):
    """They are waited for, also those of a guest that comes meanwhile, and end after a while."""
    daemon = names_only()
    with daemon.connect() as admin, daemon.connect() as monitor, Guest(monitor, 7) as guest:
        guest.watch("t", "w")
        assert control(admin, "-f", binary) == "OK"
        with guest.transaction():
            guest.write("t", "1")
            admin.send(CONTROL, b"live-update\0-s\0")
            wait_until(lambda: control(monitor, "-s") == "BUSY", 5)
            late = Guest(monitor, 8)
            late.send(TRANSACTION_START, b"\0")
            late.socket.settimeout(0.3)
            with pytest.raises(TimeoutError):
                late.receive()
            assert running(daemon) == KEDGED
        assert admin.receive() == b"OK\0"
        assert running(daemon) == binary
        late.socket.settimeout(10)
        late.tx = int(late.receive().rstrip(b"\0"))
        late.write("x", "1")
        assert {guest.event(), guest.event()} == {("t", "w")}
        update(daemon, KEDGED, "-t", "1")
        for request in (lambda: late.read("x"), lambda: late.ask(TRANSACTION_END, "T")):
            with pytest.raises(NamesError, match="EAGAIN"):
                request()
        late.tx = 0
        assert late.get("x") is None
        late.close()


def test_ends_of_guests_go_on(names_only, binary):
    """Who answers for a guest still does, who was ignored still is, and may begin anew; who had asked for that gets it."""
    daemon = names_only()
    process = subprocess.Popen(["sleep", "1000"])
    pidfd = os.pidfd_open(process.pid)
    try:
        with daemon.connect() as monitor, daemon.connect() as other, \
                Guest(monitor, 7) as mine, Guest(other, 8, life=pidfd) as lives, Guest(other, 9) as ignored:
            ignored.write("kept", "yes")
            ignored.poke(REQUEST_PRODUCER, ignored.socket.get(REQUEST_CONSUMER) + 2000)
            ignored.wait_error(2)
            other.watch("@releaseDomain", "gone")
            assert other.event() == ("@releaseDomain", "gone")
            update(daemon, binary)
            assert ignored.socket.get(ERROR) == 2
            ignored.reconnect()
            assert ignored.read("kept") == "yes"
            lives.write("x", "1")
            process.kill()
            process.wait()
            assert other.event(10) == ("@releaseDomain", "gone")
            assert not introduced(other, 8) and introduced(other, 7)
            mine.write("x", "1")
            monitor.close()
            assert other.event(10) == ("@releaseDomain", "gone")
            assert not introduced(other, 7) and introduced(other, 9)
            assert other.get("/local/domain/7") is None
            update(daemon, KEDGED)
            wait_until(lambda: len(os.listdir(f"/proc/{daemon.process.pid}/fd")) < 20, 5, "nothing is leaked")
    finally:
        process.kill()
        process.wait()
        os.close(pidfd)


def test_a_ring_that_can_no_longer_be_mapped(names_only, binary):
    """Whoever handed in the memory has sealed it meanwhile: its guest ends, and nobody else."""
    daemon = names_only()
    with daemon.connect() as monitor, Guest(monitor, 7) as sealed, Guest(monitor, 8) as guest:
        sealed.write("x", "1")
        sealed.watch("x", "w")
        fcntl.fcntl(sealed.socket.memory, fcntl.F_ADD_SEALS, 0x10)  # F_SEAL_FUTURE_WRITE
        update(daemon, binary)
        assert not introduced(monitor, 7) and introduced(monitor, 8)
        assert "domain 7 is released" in daemon.log
        assert monitor.get("/local/domain/7") is None
        guest.write("x", "1")
        with pytest.raises(NamesError, match="EINVAL.*sealed"):
            introduce(monitor, 7, sealed.descriptors)


def test_what_was_handed_in_and_not_used_yet(names_only, binary):
    """The descriptors have come, and only half of the INTRODUCE."""
    daemon = names_only()
    with daemon.connect() as monitor, Guest(monitor, 7) as guest:
        message = HEADER.pack(INTRODUCE, 0, 0, 6) + b"8\0000\0001\0"
        socket.send_fds(monitor.socket, [message[:18]], guest.descriptors)
        wait_until(lambda: memories(daemon) == 2, 5, "they have come")
        update(daemon, binary)
        monitor.socket.sendall(message[18:])
        assert monitor.receive() == b"OK\0"
        monitor.ask(RELEASE, 7)  # its page is the other's as well
        guest.domid = 8
        monitor.mkdir("/local/domain/8")
        monitor.set_perms("/local/domain/8", "n8")
        guest.write("x", "1")
        assert monitor.read("/local/domain/8/x") == "1"


def test_a_guest_may_ask_for_it(names_only, binary):
    """Domain 0 is privileged over its ring as well; the answer comes by the ring, from the new program."""
    daemon = names_only()
    with daemon.connect() as monitor, Guest(monitor, 0) as zero:
        zero.watch("/vm", "w")
        assert zero.event() == ("/vm", "w")
        assert control(zero, "-f", binary) == "OK"
        assert control(zero, "-s") == "OK"
        assert running(daemon) == binary
        monitor.write("/vm/x", "1")
        assert zero.event() == ("/vm/x", "w")


def test_the_example_goes_on(names_only, binary):
    """docs/examples/guest.c over a ring: its watch, and a request that comes in between."""
    daemon = names_only()
    example = subprocess.Popen([BUILD / "examples/guest", "9"], stdout=subprocess.PIPE, text=True,
                               env={**os.environ, "KEDGE_SOCKET": str(daemon.socket)})
    try:
        wait_until(lambda: introduced(daemon.names, 9), 10, "the example introduces its guest")
        for turn, program in enumerate([binary, KEDGED] * 3):
            example.send_signal(signal.SIGSTOP)
            daemon.names.write("/local/domain/9/request", f"question {turn}")
            update(daemon, program)
            example.send_signal(signal.SIGCONT)
            assert daemon.wait_name("/local/domain/9/reply", f"question {turn}: fine")
        daemon.names.write("/local/domain/9/request", "quit")
        assert example.wait(10) == 0
        wait_until(lambda: not introduced(daemon.names, 9), 10, "the guest's end is noticed")
    finally:
        example.kill()
        example.wait()
        example.stdout.close()


def test_stock_clients(names_only, binary):
    """xenstore-watch runs across it, and xenstore-control does it."""
    daemon = names_only()
    environment = {**os.environ, "XENSTORED_PATH": str(daemon.socket)}
    watch = subprocess.Popen(["stdbuf", "-oL", "xenstore-watch", "/vm/w"], stdout=subprocess.PIPE, text=True,
                             env=environment)
    try:
        assert watch.stdout.readline().strip() == "/vm/w"
        programs = glob.glob("/usr/lib/xen-*/bin/xenstore-control")  # the one in /usr/bin refuses without Xen
        if programs:
            done = subprocess.run([programs[-1], "live-update", "-t", "5", binary], env=environment,
                                  capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stdout + done.stderr
        else:
            update(daemon, binary)
        assert running(daemon) == binary
        subprocess.run(["xenstore-write", "/vm/w/x", "1"], env=environment, check=True)
        assert watch.stdout.readline().strip() == "/vm/w/x"
    finally:
        watch.kill()
        watch.wait()


