# SPDX-License-Identifier: BSD-3-Clause
"""Every client against `kedged --names-only` where it is hard: wide nodes, permissions of somebody without
privilege, transactions that meet. The stock tools and python3-pyxs, and the example of our own library."""

import contextlib
import os
import shutil
import subprocess
import tempfile

import pytest

from conftest import BUILD, ROOT, SLOW
from names import NamesError
from netns import execute

WIDE = 10000
NOBODY = 65534


@pytest.fixture
def server(kedged):
    """A daemon whose socket everybody may reach."""
    folder = tempfile.mkdtemp(prefix="kedge-clients-")
    os.chmod(folder, 0o755)
    yield kedged(None, args=["--names-only"], socket_path=os.path.join(folder, "socket"))
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def tool(server):
    """tool("read", "/a/b") runs xenstore-read; stdout without its last newline. uid: as somebody else."""
    env = {**os.environ, "XENSTORED_PATH": str(server.socket)}

    def run(name, *args, check=True, uid=None):
        words = [f"xenstore-{name}", *args]
        if uid is not None:
            words = ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", *words]
        result = execute(words, check, 60 * SLOW, env=env)
        return result.stdout.removesuffix("\n") if check else result

    run.env = env
    return run


@pytest.fixture
def wide(server):
    """/wide with 10,000 children: its names, in order."""
    names = [f"n{i:05}" for i in range(WIDE)]
    with server.names.transaction() as tx:
        for name in names:
            tx.write(f"/wide/{name}", name.upper())
    return names


def test_tools_on_a_wide_node(server, tool, wide):
    some = wide[::100]
    assert tool("list", "/wide").split() == wide
    assert tool("ls", "/wide").splitlines() == [f'{name} = "{name.upper()}"' for name in wide]
    assert tool("read", *[f"/wide/{name}" for name in some]).split() == [name.upper() for name in some]
    tool("write", *[word for name in some for word in (f"/wide/{name}", "new")])
    assert [server.names.read(f"/wide/{name}") for name in wide[:101]] == \
        ["new", *[name.upper() for name in wide[1:100]], "new"]
    assert tool("exists", "/wide/n09999", check=False).returncode == 0
    assert tool("exists", "/wide/n10000", check=False).returncode == 1
    tool("rm", "/wide/n00000")
    assert tool("list", "/wide").split() == wide[1:]
    tool("rm", "/wide")
    assert tool("exists", "/wide", check=False).returncode == 1


def test_chmod_of_a_wide_node(server, tool, wide):
    tool("chmod", "-r", "/wide", "r0", f"b{NOBODY}")
    assert server.names.perms("/wide/n04711") == ["r0", f"b{NOBODY}"]
    lines = tool("ls", "-p", "-f", "/wide").splitlines()
    assert lines[4711] == f'/wide/{wide[4711]} = "{wide[4711].upper()}"   (r0,b{NOBODY})'
    assert all(line.endswith(f"(r0,b{NOBODY})") for line in lines)


def test_watch_of_a_wide_node(server, tool, wide):
    with subprocess.Popen(["xenstore-watch", "-n", str(WIDE + 1), "/wide"], env=tool.env, stdout=subprocess.PIPE,
                          text=True) as watch:
        assert watch.stdout.readline() == "/wide\n"
        with server.names.transaction() as tx:
            for name in wide:
                tx.write(f"/wide/{name}", "2")
        seen = [watch.stdout.readline().strip() for _ in wide]
        assert watch.wait(20 * SLOW) == 0
    assert seen == [f"/wide/{name}" for name in wide]


def test_tools_without_privilege(server, tool):
    server.names.write("/open/x", "1")
    server.names.write("/closed/x", "2")
    tool("chmod", "-r", "/closed", "n0")
    assert tool("read", "/open/x", uid=NOBODY) == "1"
    assert tool("list", "/open", uid=NOBODY) == "x"
    for words in (("read", "/closed/x"), ("list", "/closed"), ("exists", "/closed/x"), ("write", "/open/x", "3"),
                  ("write", "/open/new", "3"), ("rm", "/open/x"), ("chmod", "/open/x", f"b{NOBODY}"),
                  ("read", "/closed/not-there")):
        assert tool(*words, uid=NOBODY, check=False).returncode != 0, words
    tool("chmod", "/open", "r0", f"b{NOBODY}")
    tool("write", "/open/mine/a", "4", uid=NOBODY)
    assert server.names.read("/open/mine/a") == "4"
    tool("chmod", "/open/mine/a", f"n{NOBODY}", uid=NOBODY)
    assert tool("read", "/open/mine/a", uid=NOBODY) == "4"
    tool("rm", "/open/mine", uid=NOBODY)
    assert server.names.get("/open/mine") is None


def test_transactions_of_tools_that_meet(server, tool):
    """xenstore-write writes all of its names in one transaction, and begins anew if that fails."""
    pairs = [word for i in range(50) for word in (f"/meet/n{i}", "{}")]
    writers = [subprocess.Popen(["sh", "-c", 'i=0; while [ $i -lt 20 ]; do xenstore-write "$@" || exit 1; '
                                 "i=$((i + 1)); done", "sh", *[word.format(letter) for word in pairs]], env=tool.env)
               for letter in "abcd"]
    values = set()
    while any(writer.poll() is None for writer in writers):
        with contextlib.suppress(NamesError), server.names.transaction() as tx:  # ENOENT at first
            values.add(len({tx.read(f"/meet/n{i}") for i in range(50)}))
    assert [writer.returncode for writer in writers] == [0, 0, 0, 0]
    assert values == {1}  # always those of one writer


def test_pyxs_where_it_is_hard(server, tool, wide):
    pyxs = pytest.importorskip("pyxs")
    with pyxs.Client(unix_socket_path=str(server.socket)) as client:
        with pytest.raises(pyxs.PyXSError):
            client.list(b"/wide")  # it knows no listing in parts, and is told that it needs one
        client.transaction()
        assert [client.read(f"/wide/{name}".encode()) for name in wide[:500]] == \
            [name.upper().encode() for name in wide[:500]]
        for name in wide[:500]:
            client.delete(f"/wide/{name}".encode())
        assert client.commit() is True
        assert tool("list", "/wide").split() == wide[500:]
        monitor = client.monitor()
        monitor.watch(b"/wide", b"t")
        events = monitor.wait()
        assert tuple(next(events)) == (b"/wide", b"t")
        with server.names.transaction() as tx:
            for name in wide[500:1500]:
                tx.remove(f"/wide/{name}")
        for name in wide[500:1500]:
            assert tuple(next(events)) == (f"/wide/{name}".encode(), b"t")
        monitor.unwatch(b"/wide", b"t")


def test_our_own_example(server):
    env = {**os.environ, "KEDGE_SOCKET": str(server.socket)}
    result = execute([str(BUILD / "examples/pipeline"), "/example", "20000"], env=env)
    assert "20000 names written" in result.stdout and f"sum {sum(range(20000))}" in result.stdout
    assert server.names.read("/example/19999") == "19999"
    refused = execute([str(BUILD / "examples/pipeline"), "/stats", "10"], False, env=env)
    assert refused.returncode == 1 and "computed" in refused.stderr


@pytest.mark.parametrize("example", ["watch", "pipeline", "guest"])
def test_examples_say_how_they_are_used(example):
    for words in ["--help"], ["/a", "/b", "/c", "/d"]:
        result = execute([str(BUILD / "examples" / example), *words], False)
        assert result.returncode == 1 and result.stderr.startswith("Usage: "), result


@pytest.mark.skipif(SLOW != 1, reason="the library would need the sanitizers' own")
def test_a_client_is_built_with_what_is_installed(server, tmp_path):
    """As a user's own program would be: by pkg-config, outside of the source tree; and all goes again."""
    make = ["make", "-s", "-C", str(ROOT), f"B={BUILD}", f"PREFIX={tmp_path}/usr"]
    execute([*make, "install-built"])
    env = {**os.environ, "PKG_CONFIG_PATH": f"{tmp_path}/usr/lib/pkgconfig", "KEDGE_SOCKET": str(server.socket)}
    flags = execute(["pkg-config", "--cflags", "--libs", "kedge-client"], env=env).stdout.split()
    for example in "watch", "pipeline", "guest":
        (tmp_path / f"{example}.c").write_bytes((ROOT / f"docs/examples/{example}.c").read_bytes())
        execute(["cc", "-D_GNU_SOURCE", "-o", str(tmp_path / example), str(tmp_path / f"{example}.c"), *flags], cwd=tmp_path)
    assert "10 names written" in execute([str(tmp_path / "pipeline"), "/installed", "10"], env=env).stdout
    execute([*make, "uninstall"])
    assert [path for path in (tmp_path / "usr").rglob("*") if not path.is_dir()] == []
