# SPDX-License-Identifier: BSD-3-Clause
"""Live update: a daemon of names becomes another program, and its clients go on."""

import glob
import itertools
import os
import pathlib
import shutil
import subprocess
import threading
import time

import pytest

from conftest import KEDGED, SLOW
from names import CONTROL, GET_QUOTA, HEADER, READ, SET_QUOTA, TRANSACTION_START, WATCH, NamesError
from netns import wait_until
from rings import Guest


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
    assert "could not take over" in control(n, "-s")
    assert "no-such-option" in daemon.log
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


def test_a_guest_that_comes_meanwhile(names_only, binary):
    """A ring can't be handed over, also if it is attached while transactions are waited for."""
    daemon = names_only()
    with daemon.connect() as n, daemon.connect() as admin, daemon.connect() as monitor:
        assert control(admin, "-f", binary) == "OK"
        with n.transaction():
            n.write("/vm/t", "1")
            admin.send(CONTROL, b"live-update\0-s\0")
            wait_until(lambda: control(monitor, "-s") == "BUSY", 5)
            guest = Guest(monitor, 7)
        assert b"rings" in admin.receive()
        with guest:
            assert running(daemon) == KEDGED
            assert n.read("/vm/t") == "1"


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


