# SPDX-License-Identifier: BSD-3-Clause
"""Stock Xenstore clients against `kedged --names-only`: Debian's xenstore-utils and python3-pyxs, found by
XENSTORED_PATH. What they cannot send is tested with our own client, and clients that misbehave too."""

import os
import random
import resource
import socket
import struct
import subprocess
import threading
import time

import pytest

import names as wire
from conftest import SLOW
from names import NamesError
from netns import execute, wait_until


@pytest.fixture
def server(kedged):
    return kedged(None, args=["--names-only"])


@pytest.fixture
def tool(server):
    """tool("read", "/a/b") runs xenstore-read; stdout without its last newline."""
    env = {**os.environ, "XENSTORED_PATH": str(server.socket)}

    def run(name, *args, check=True):
        result = execute([f"xenstore-{name}", *args], check, env=env)
        return result.stdout.removesuffix("\n") if check else result

    run.env = env
    return run


def test_write_read_exists_remove(tool):
    tool("write", "/tool/a", "hello", "/tool/b", "two words")
    assert tool("read", "/tool/a") == "hello"
    assert tool("read", "-p", "/tool/b") == "/tool/b: two words"
    assert tool("exists", "/tool/a", check=False).returncode == 0
    assert tool("exists", "/tool/x", check=False).returncode == 1
    tool("rm", "/tool/a")
    assert tool("exists", "/tool/a", check=False).returncode == 1
    assert "couldn't read path" in tool("read", "/tool/a", check=False).stderr
    assert tool("rm", "/none/at/all", check=False).returncode != 0
    assert tool("write", "/not legal", "x", check=False).returncode != 0


def test_relative_paths_are_those_of_domain_0(tool):
    tool("write", "data/x", "1")
    assert tool("read", "/local/domain/0/data/x") == "1"
    assert tool("list", "data") == "x"


def test_list_and_ls(tool):
    for name in ("b", "a", "c"):
        tool("write", f"/d/{name}/x", name.upper())
    assert tool("list", "/d").split() == ["a", "b", "c"]
    assert tool("list", "-p", "/d").split() == ["/d/a", "/d/b", "/d/c"]
    assert tool("ls", "-f", "/d").splitlines() == [
        '/d/a = ""', '/d/a/x = "A"', '/d/b = ""', '/d/b/x = "B"', '/d/c = ""', '/d/c/x = "C"']
    assert "/stats/self/error" in tool("ls", "-f", "/")


def test_ls_of_a_wide_node(server, tool):
    with server.names.transaction() as tx:
        for i in range(10000):
            tx.mkdir(f"/wide/a-child-with-number-{i:05}")
    lines = tool("ls", "-f", "/wide").splitlines()
    assert lines == [f'/wide/a-child-with-number-{i:05} = ""' for i in range(10000)]
    assert len(tool("list", "/wide").split()) == 10000


def test_chmod(tool):
    tool("write", "/p/q", "1")
    tool("chmod", "/p", "n5", "r6")
    assert '/p = ""   (n5,r6)' in tool("ls", "-p", "-f", "/").splitlines()
    tool("chmod", "-r", "/p", "b0")
    assert tool("ls", "-p", "-f", "/p") == '/p/q = "1"   (b0)'


def test_legal_characters_beyond_xenstore(tool):
    tool("write", "/neighbours/10.0.0.5", "x", "/neighbours/fe80::1", "y")
    assert tool("list", "/neighbours").split() == ["10.0.0.5", "fe80::1"]


def test_watch(server, tool):
    with subprocess.Popen(["xenstore-watch", "-n", "4", "/w"], env=tool.env, stdout=subprocess.PIPE,
                          text=True) as watch:
        assert watch.stdout.readline() == "/w\n"  # the first one comes at once
        tool("write", "/w/a", "1")
        assert watch.stdout.readline() == "/w/a\n"
        server.names.write("/w/b/c", "2")
        assert watch.stdout.readline() == "/w/b/c\n"
        tool("rm", "/w")
        assert watch.stdout.readline() == "/w\n"
        assert watch.wait(10) == 0


def test_special_watches_are_accepted(tool):
    for name in ("@introduceDomain", "@releaseDomain"):
        assert tool("watch", "-n", "1", name) == name


def test_reasons(server, tool):
    with pytest.raises(NamesError) as refused:
        server.names.write("/stats/self/error", "x")
    assert refused.value.errno_name == "EROFS"
    assert "computed" in refused.value.reason
    with pytest.raises(NamesError) as refused:
        server.names.read("/nothing/there")
    assert refused.value.errno_name == "ENOENT" and "/nothing/there" in refused.value.reason
    assert tool("read", "/stats/self/error") == ""  # another connection's


def test_pyxs(server):
    pyxs = pytest.importorskip("pyxs")
    with pyxs.Client(unix_socket_path=str(server.socket)) as client:
        client.write(b"/py/a", b"1")
        client.mkdir(b"/py/b")
        assert client.read(b"/py/a") == b"1"
        assert client.list(b"/py") == [b"a", b"b"]
        assert client.exists(b"/py/b") and not client.exists(b"/py/c")
        client.set_perms(b"/py/a", [b"b0", b"r7"])
        assert client.get_perms(b"/py/a") == [b"b0", b"r7"]
        assert client.get_domain_path(3) == b"/local/domain/3"
        client.transaction()
        client.write(b"/py/in", b"2")
        assert server.names.get("/py/in") is None
        assert client.commit() is True
        assert server.names.read("/py/in") == "2"
        client.transaction()
        assert client.read(b"/py/a") == b"1"
        client.write(b"/py/z", b"2")
        server.names.write("/py/a", "other")
        assert client.commit() is False  # EAGAIN
        client.delete(b"/py/b")
        with pytest.raises(pyxs.PyXSError):
            client.read(b"/py/b")


def test_pyxs_monitor(server):
    pyxs = pytest.importorskip("pyxs")
    with pyxs.Client(unix_socket_path=str(server.socket)) as client:
        monitor = client.monitor()
        monitor.watch(b"/m", b"token")
        events = monitor.wait()
        assert tuple(next(events)) == (b"/m", b"token")
        server.names.write("/m/x", "1")
        assert tuple(next(events)) == (b"/m/x", b"token")
        monitor.unwatch(b"/m", b"token")


# ---- clients that misbehave ----


def memory_kib(server):
    with open(f"/proc/{server.process.pid}/status", encoding="ascii") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS:"))


def test_a_client_that_never_reads_stops_nobody(server):
    with server.connect() as silent:
        silent.watch("/", "token")
        names = server.names
        for i in range(2000):
            names.write(f"/busy/n{i % 100}", "warm")
        before = memory_kib(server)
        request = b"".join(
            wire.HEADER.pack(wire.WRITE, 0, 0, len(payload)) + payload
            for payload in (f"/busy/n{i}\0value".encode() for i in range(100)))
        for _ in range(1000):  # 100,000 writes
            names.socket.sendall(request)
            for _ in range(100):
                names.receive()
        assert memory_kib(server) - before < 16 * 1024 * SLOW
        assert silent.event() is not None


def test_garbage_and_half_messages(server):
    generator = random.Random(1)
    half = [server.connect() for _ in range(20)]
    for connection in half:
        connection.socket.sendall(wire.HEADER.pack(wire.WRITE, 0, 0, 100) + b"/half\0")
    for _ in range(200):
        with socket.socket(socket.AF_UNIX) as raw:
            raw.connect(str(server.socket))
            try:
                raw.sendall(generator.randbytes(generator.randrange(1, 20000)))
            except (BrokenPipeError, ConnectionResetError):
                pass  # it has been told off
    assert server.names.get("/half") is None
    for connection in half:
        connection.socket.sendall(b"x" * 94)
        connection.receive()
        connection.close()
    assert server.names.read("/half") == "x" * 94


def test_too_long_closes_the_connection(server):
    with server.connect() as bad:
        bad.socket.sendall(wire.HEADER.pack(wire.READ, 0, 0, 4097))
        with pytest.raises(ConnectionError):
            bad.message()
    assert server.names.list("/") is not None


def test_many_clients_at_once(server):
    """Read-modify-write loops of several clients on one name: nothing is lost."""
    rounds, clients = 50, 8
    server.names.write("/counter", "0")

    def count():
        with server.connect() as names:
            done = 0
            while done < rounds:
                try:
                    with names.transaction() as tx:
                        tx.write("/counter", int(tx.read("/counter")) + 1)
                    done += 1
                except NamesError as error:
                    assert error.errno_name == "EAGAIN"

    threads = [threading.Thread(target=count) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60 * SLOW)
    assert server.names.read("/counter") == str(rounds * clients)


def test_connections_are_cheap_and_go_away(server):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, hard), hard))
    try:
        connections = [server.connect() for _ in range(400)]
        for connection in connections:
            connection.watch("/x", "t")
        for connection in connections:
            connection.close()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    wait_until(lambda: server.names.read("/stats/server/connections") == "1", 5 * SLOW)


def test_an_idle_server_sleeps(server):
    server.names.read("/")
    def ticks():
        with open(f"/proc/{server.process.pid}/stat", encoding="ascii") as stat:
            fields = stat.read().rsplit(")", 1)[1].split()
        return int(fields[11]) + int(fields[12])
    before = ticks()
    time.sleep(2)
    assert ticks() - before < 20  # of 200


def test_a_second_daemon_refuses_and_the_socket_goes_away(server, kedged):
    second = kedged(None, args=["--names-only"], socket_path=server.socket, ready=False)
    assert second.wait() != 0
    assert str(server.socket) in second.log
    assert server.names.list("/") is not None
    assert server.stop() == 0
    assert server.stop_seconds < 1 * SLOW
    assert not server.socket.exists()
    assert not os.path.exists(f"{server.socket}.lock")


def test_a_killed_daemons_socket_is_replaced(server, kedged):
    server.process.kill()
    server.wait()
    assert server.socket.exists()
    again = kedged(None, args=["--names-only"], socket_path=server.socket)
    assert again.names.list("/") is not None


def test_byte_by_byte(server):
    request = struct.pack("<IIII", wire.WRITE, 7, 0, 10) + b"/slow\0byte"
    with server.connect() as slow:
        for byte in request:
            slow.socket.sendall(bytes([byte]))
        assert slow.message() == (wire.WRITE, 7, 0, b"OK\0")
    assert server.names.read("/slow") == "byte"
