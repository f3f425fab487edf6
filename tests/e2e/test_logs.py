# SPDX-License-Identifier: BSD-3-Clause
"""The daemon's log and the access log: what stands in them, where they go, and that nobody waits for them."""

import os
import re
import select
import signal
import subprocess

import pytest

from conftest import KEDGED
from names import NamesError
from netns import wait_until

LINE = re.compile(r"\[(\d{8}T\d\d:\d\d:\d\d\.\d{3}Z)\] ([AD]\d+)(?:\.(\d+))? +(\S+) *(.*)")


def lines(path):
    """All whole lines as (who, transaction or None, what, rest)."""
    found = []
    for line in path.read_text().splitlines():
        match = LINE.fullmatch(line)
        assert match, line
        assert len(line) <= 180
        found.append(match.groups()[1:])
    return found


@pytest.fixture
def logged(kedged, tmp_path):
    """Starts a daemon with an access log; .access is its file, .lines() what stands in it at the end."""
    def start(*args):
        daemon = kedged(None, args=["--names-only", "--access-log", tmp_path / "access", *args])
        daemon.access = tmp_path / "access"
        return daemon
    return start


def operations(daemon):
    """Ends the daemon; who is told apart by order of appearance, connections are left out."""
    daemon.stop()
    return [line[1:] for line in lines(daemon.access) if line[2] not in ("newconn", "endconn")]


def do_something(names):
    names.write("/plain/a", "value\0with\x01bytes")
    names.read("/plain/a")
    names.mkdir("/local/m")
    names.set_perms("/local/m", "n1", "r2")
    names.watch("/plain", "token")
    names.event()
    with names.transaction() as tx:
        tx.write("/plain/b", "2")
    names.event()
    names.unwatch("/plain", "token")
    with pytest.raises(RuntimeError), names.transaction():
        raise RuntimeError
    names.ask(10, 3)
    names.remove("/local/m")


EXPECTED = [(None, "write", "/plain/a value with?bytes"),
            (None, "mkdir", "/local/m"),
            (None, "set_perms", "/local/m n1 r2"),
            (None, "watch", "/plain token"),
            (None, "event", "/plain token"),
            ("1", "write", "/plain/b 2"),
            ("1", "commit", "T"),
            (None, "event", "/plain/b token"),
            (None, "unwatch", "/plain token"),
            (None, "rm", "/local/m")]


def test_changes_are_logged(logged):
    daemon = logged()
    do_something(daemon.names)
    assert operations(daemon) == EXPECTED


def test_switches(logged):
    daemon = logged("--access-log-reads", "--access-log-transactions", "--access-log-specials")
    do_something(daemon.names)
    found = operations(daemon)
    more = [(None, "read", "/plain/a"), (None, "transaction_start", ""), ("2", "transaction_end", "F"),
            (None, "get_domain_path", "3")]
    assert [line for line in found if line in EXPECTED] == EXPECTED
    assert all(line in found for line in more), found


def test_only_some_mounts(logged):
    daemon = logged("--access-log-mounts", "/local,/vm")
    do_something(daemon.names)
    assert [line for line in operations(daemon) if line[1] != "commit"] == \
        [(None, "mkdir", "/local/m"), (None, "set_perms", "/local/m n1 r2"), (None, "rm", "/local/m")]


def test_errors_and_conflicts(logged):
    daemon = logged()
    names = daemon.names
    with pytest.raises(NamesError, match="EINVAL"):
        names.write("/local/b.c", "x")
    with pytest.raises(NamesError, match="ENOENT"):
        names.read("/nothing")
    with pytest.raises(NamesError, match="EAGAIN"), names.transaction() as tx, daemon.connect() as other:
        tx.get("/plain")
        other.write("/plain", "1")
        tx.write("/other", "2")
    found = operations(daemon)
    assert (None, "error", "EINVAL /local/b.c") in found
    assert ("1", "conflict", "T") in found
    assert not any("ENOENT" in line[2] for line in found)


def test_long_values_are_cut(logged):
    daemon = logged()
    daemon.names.write("/plain", "v" * 4000)
    daemon.stop()
    line = daemon.access.read_text().splitlines()[1]
    assert len(line) == 180 and line.endswith("vvv...")


def test_connections(logged):
    daemon = logged()
    with daemon.connect() as client:
        client.write("/a", "1")
    with daemon.connect() as client:
        client.write("/b", "1")
    daemon.stop()
    found = lines(daemon.access)
    assert found[0][2:] == ("newconn", f"uid 0 pid {os.getpid()}")
    who = {line[3]: line[0] for line in found if line[2] == "write"}
    assert who["/a 1"] != who["/b 1"]
    assert sum(line[2] == "endconn" for line in found) == 2


def test_sighup_goes_on_in_a_new_file(logged, tmp_path):
    daemon = logged("--log-file", tmp_path / "own")
    daemon.names.write("/a", "before")
    moved = tmp_path / "moved"
    daemon.access.rename(moved)
    (tmp_path / "own").rename(tmp_path / "own.moved")
    daemon.signal(signal.SIGHUP)
    wait_until(daemon.access.exists, 10, "the log is opened anew")
    wait_until((tmp_path / "own").exists, 10, "the daemon's, too")
    daemon.names.write("/a", "after")
    daemon.stop()
    assert "before" in moved.read_text() and "after" not in moved.read_text()
    assert "after" in daemon.access.read_text() and "before" not in daemon.access.read_text()
    assert "ready" in (tmp_path / "own.moved").read_text()
    assert daemon.log == ""  # nothing on stderr


def test_rotation(logged):
    """Two megabytes in files of one, of which two are kept; all of them whole lines."""
    daemon = logged("--log-size", 1, "--log-files", 2)
    names = daemon.names
    count = 3 * 2 ** 20 // 170
    for i in range(count):
        names.send(11, b"/plain\0%06d" % i + b"x" * 200)
        if i % 100 == 99 or i == count - 1:
            for _ in range(i % 100 + 1):
                names.receive()
        if i % 5000 == 4999:  # no more than the buffer takes, however slow the writer is
            wait_until(lambda: any(b" %06d" % i in file.read_bytes() for file in daemon.access.parent.glob("access*")), 30,
                       "the log is written")
    daemon.stop()
    files = [daemon.access.with_name(f"access.{i}") for i in (2, 1)] + [daemon.access]
    numbers = [int(line[3].split()[1][:6]) for file in files for line in lines(file) if line[2] == "write"]
    assert len(numbers) > 2 * 2 ** 20 // 190
    assert numbers == list(range(numbers[0], numbers[-1] + 1))
    assert not daemon.access.with_name("access.3").exists()


def test_a_log_that_is_not_written_stops_nobody(kedged, tmp_path):
    """The log goes to a pipe that nobody reads: requests are answered as before, and the log says what is missing."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    daemon = kedged(None, args=["--names-only", "--access-log", pipe])
    names = daemon.names
    for _ in range(400):  # 6 MB
        for _ in range(100):
            names.send(11, b"/plain\0" + b"x" * 150)
        for _ in range(100):
            names.receive()
    read = b""
    while b" lines were left out" not in read:
        assert select.select([reader], [], [], 20)[0], "the log says what is missing"
        read += os.read(reader, 1 << 20)
    daemon.stop()
    os.close(reader)


def test_syslog(kedged, tmp_path):
    """syslog:FACILITY, with a socket of our own where programs find syslog: in a mount namespace of the daemon's."""
    code = ("import os, socket, subprocess, sys\n"
            "s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)\n"
            "subprocess.run(['mount', '-t', 'tmpfs', 'none', '/dev'], check=True)\n"
            "s.bind('/dev/log'); s.settimeout(10)\n"
            "os.mknod('/dev/null', 0o20666, os.makedev(1, 3)); os.mknod('/dev/urandom', 0o20666, os.makedev(1, 9))\n"
            f"p = subprocess.Popen(['{KEDGED}', '--names-only', '--socket', '{tmp_path}/s',"
            " '--access-log', 'syslog:local3', '--log-file', 'syslog:daemon'])\n"
            "print(s.recv(4096).decode(), flush=True); print(s.recv(4096).decode(), flush=True)\n"
            "p.terminate(); p.wait()\n")
    watcher = subprocess.Popen(["unshare", "-m", "--propagation", "private", "python3", "-c", code],
                               stdout=subprocess.PIPE, text=True)
    try:
        ready = watcher.stdout.readline()
        assert ready.startswith("<30>") and "ready" in ready  # daemon.info
        import names
        with names.Names(tmp_path / "s") as client:
            client.write("/a", "1")
            line = watcher.stdout.readline()
            assert line.startswith("<158>") and "newconn" in line  # local3.info
        assert watcher.wait(20) == 0
    finally:
        watcher.kill()
        watcher.wait()
        watcher.stdout.close()


def control(names, *words):
    return names.ask(0, *words).rstrip(b"\0").decode()


def test_control_turns_it_on_and_off(kedged, tmp_path):
    names = kedged(None, args=["--names-only"]).names
    path = tmp_path / "later"
    assert control(names, "logfile") == "off"
    assert control(names, "log") == "notice\n+access -reads -transactions -specials"
    assert control(names, "logfile", path) == "OK"
    names.write("/a", "logged")
    names.read("/a")
    assert control(names, "log", "+reads") == "OK"
    assert names.get("/a/b") is None
    names.read("/a")
    assert control(names, "log", "off") == "OK"
    names.write("/a", "not logged")
    assert control(names, "log", "on") == "OK"
    assert control(names, "logfile").splitlines()[0] == str(path)
    assert control(names, "logfile", "off") == "OK"  # all that came before is written
    names.write("/a", "nowhere")
    assert [line[2:] for line in lines(path)] == [("write", "/a logged"), ("read", "/a/b"),
                                                  ("read", "/stats/self/error"), ("read", "/a")]
    for words, says in (("logfile", "relative"), "neither"), (("logfile", "/no/such/folder/x"), "No such file"), \
            (("log", "+nothing"), "neither a level"):
        with pytest.raises(NamesError, match=says):
            control(names, *words)
    assert control(names, "log", "debug") == "OK"
    assert control(names, "log").startswith("debug")


@pytest.mark.parametrize("args, says", [
    (["--access-log", "syslog:nobody"], "no such facility"),
    (["--access-log", "/no/such/folder/log"], "No such file"),
    (["--log-file", "/no/such/folder/log"], "No such file"),
    (["--access-log", "/tmp/x", "--access-log-mounts", "/nothing"], "mount"),
    (["--access-log-reads"], "--access-log WHERE"),
    (["--log-size", "x"], "number"),
])
def test_what_can_not_be_opened_is_said(tmp_path, args, says):
    result = subprocess.run([KEDGED, "--names-only", "--socket", tmp_path / "s", *args], capture_output=True, text=True,
                            timeout=20)
    assert result.returncode in (1, 2)
    assert says in result.stderr
