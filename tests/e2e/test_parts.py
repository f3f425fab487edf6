# SPDX-License-Identifier: BSD-3-Clause
"""Parts of the name space: those that the configuration hangs, and those that are computed."""

import os
import subprocess

import pytest

from names import CONTROL, MKDIR, TRANSACTION_START, WATCH, NamesError
from netns import execute, wait_until
from rings import INTRODUCE, RELEASE

CONFIG = """\
mount add /tenant7 xenstore
mount add /srv/names plain      # below a folder of the plain part
name add /srv/names/host.a 1
"""


@pytest.fixture
def server(kedged):
    return kedged(CONFIG, args=["--names-only"])


def refused(names, path, value="x"):
    with pytest.raises(NamesError) as caught:
        names.write(path, value)
    return caught.value.errno_name, names.reason()


def test_each_part_has_its_own_rules(server):
    names = server.names
    assert names.perms("/tenant7") == ["n0"]
    assert names.perms("/srv/names") == ["r0"]
    assert names.read("/srv/names/host.a") == "1"
    names.write("/tenant7/vm-1/state", "4")
    assert names.perms("/tenant7/vm-1/state") == ["n0"]
    error, reason = refused(names, "/tenant7/host.a")
    assert error == "EINVAL" and "below /tenant7" in reason


def test_root_may_be_xenstores(kedged):
    names = kedged("mount add / xenstore\nmount add /srv plain\n", args=["--names-only"]).names
    assert names.perms("/") == ["n0"]
    assert refused(names, "/a.b")[0] == "EINVAL"
    names.write("/srv/a.b", "1")
    assert names.perms("/srv/a.b") == ["r0"]


def test_save_writes_mounts_first_and_can_be_read_again(server, kedged):
    server.names.write("/tenant7/x", "1")
    saved = server.ctl("save").stdout
    lines = saved.splitlines()
    assert lines[:2] == ["mount add /tenant7 xenstore", "mount add /srv/names plain"]
    assert not any("/tool/xenstored" in line or "/stats" in line for line in lines)
    again = kedged(saved, args=["--names-only"])
    assert again.names.read("/tenant7/x") == "1"
    assert again.ctl("save").stdout == saved


def test_mistakes_are_told_by_line(server, tmp_path):
    file = tmp_path / "wrong.conf"
    file.write_text("mount add /a xenstore\nmount add /a plain\nmount add /b sideways\nmount add /c.d/ plain\n"
                    "mount del /a\nmount add /flow/x plain\nmount add /stats/x plain\nrout add 10.0.0.0/8\n")
    result = server.ctl(["check", file], check=False)
    assert result.returncode == 1
    lines = [line.split(":", 1)[1] for line in result.stdout.splitlines()]
    assert [int(line.split(":")[0]) for line in lines] == [2, 3, 4, 5, 6, 7, 8]
    for line, words in zip(lines, ("hangs there already", "plain or xenstore", "does not end in '/'",
                                   "mount add PATH", "a module's", "a module's", 'mean "route"')):
        assert words in line


def test_computed_parts_say_so(server):
    names = server.names
    for part in ("connection", "log", "memory", "quota"):
        path = f"/tool/xenstored/{part}"
        assert part in names.list("/tool/xenstored")
        assert names.read(path) == "computed"
        assert names.perms(path) == ["n0"]
        assert refused(names, path)[0] == "EROFS"
    assert names.read("/stats") == "computed"
    mounts = [names.read(f"/stats/mounts/{number}").split() for number in names.list("/stats/mounts")]
    assert ["/tool/xenstored/quota", "xenstore", "computed"] in mounts
    assert ["/tenant7", "xenstore", "configured"] in mounts
    assert ["/", "plain", "-"] in mounts


def test_what_leads_to_computed_parts_stays(server):
    """It could not be made again. A domain that owned it takes it along, and the privileged go on to read."""
    n = server.names
    for path in "/tool/xenstored", "/tool":
        with pytest.raises(NamesError, match="EROFS.*below it is computed"):
            n.remove(path)
    n.write("/tool/xenstored-not", "")
    n.remove("/tool/xenstored-not")
    assert n.list("/tool/xenstored/quota")
    n.ask(INTRODUCE, 7, 1, 1)
    n.set_perms("/tool/xenstored", "n7")
    n.ask(RELEASE, 7)
    assert n.get("/tool/xenstored") is None
    assert n.list("/tool/xenstored/quota") and n.read("/tool/xenstored/memory/names")


def test_what_the_computed_parts_hold(server):
    names = server.names
    assert names.read("/tool/xenstored/log/level") == "notice"
    assert names.list("/tool/xenstored/quota") == ["default", "domain", "user"]
    assert names.read("/tool/xenstored/quota/default/nodes") == "1000"
    names.write("/tenant7/a/b", "x")
    names.set_perms("/tenant7/a", "n7")
    assert names.read("/tool/xenstored/quota/domain/7/used/nodes") == "1"
    assert names.read("/tool/xenstored/quota/domain/7/watches") == "128"
    (me,) = names.list("/tool/xenstored/connection/socket")
    assert names.read(f"/tool/xenstored/connection/socket/{me}/address") == f"uid {os.geteuid()} pid {os.getpid()}"
    names.watch("/tenant7", "t")
    assert names.read(f"/tool/xenstored/connection/socket/{me}/current-watches") == "1"
    assert int(names.read("/tool/xenstored/memory/names")) > 10
    for path in ("quota/nonsense", "quota/domain/x", "quota/default/nodes/x", "connection/socket/99999", "log/x"):
        with pytest.raises(NamesError) as caught:
            names.read(f"/tool/xenstored/{path}")
        assert caught.value.errno_name == "ENOENT"


def open_to_all(server):
    """The folders on the way to its socket."""
    for folder in [server.socket.parent, *server.socket.parent.parents]:
        if folder.stat().st_uid == os.geteuid() and folder != folder.parent and str(folder) != "/tmp":
            folder.chmod(folder.stat().st_mode | 0o011)


def test_a_user_without_privilege(server):
    """It has no domid: Xenstore's parts are closed to it, and plain ones are not."""
    server.names.write("/tenant7/open", "1")
    server.names.set_perms("/tenant7/open", "b0")

    def tool(name, *args):
        return subprocess.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", f"xenstore-{name}",
                               *args], env={**os.environ, "XENSTORED_PATH": str(server.socket)}, text=True,
                              capture_output=True).returncode

    open_to_all(server)
    assert tool("read", "/srv/names/host.a") == 0
    assert tool("read", "/tenant7/open") == 0
    assert tool("write", "/tenant7/open", "2") == 0
    assert tool("write", "/tenant7/open/below", "2") != 0  # it would have no owner
    assert tool("read", "/tenant7") != 0
    assert tool("list", "/tool/xenstored/quota") != 0
    assert server.names.read("/tenant7/open") == "2"


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")
def test_limits_are_a_users_over_all_its_connections(server):
    def connect():
        os.seteuid(1000)
        try:
            client = server.connect()
            client.list("/")  # it was accepted, as this user
            return client
        finally:
            os.seteuid(0)

    def takes(client, *request):
        try:
            client.ask(*request)
        except NamesError as error:
            assert error.errno_name == "ENOSPC"
            return False
        return True

    open_to_all(server)
    server.names.mkdir("/home")
    server.names.set_perms("/home", "r1000")
    for quota in "nodes", "watches", "transactions":
        server.names.ask(CONTROL, "quota", "set", quota, "3", "uid:1000")
    one, two = connect(), connect()
    clients = [one, two, one, two, one]
    assert [takes(client, WATCH, "/home", str(i)) for i, client in enumerate(clients)] == [True] * 3 + [False] * 2
    assert [takes(client, TRANSACTION_START, "") for client in clients] == [True] * 3 + [False] * 2
    assert [takes(client, MKDIR, f"/home/{i}") for i, client in enumerate(clients)] == [True] * 2 + [False] * 3
    two.close()
    wait_until(lambda: takes(one, WATCH, "/home", "again"), 5, "what the other had is free")
    assert takes(one, TRANSACTION_START, "")
    assert server.names.ask(CONTROL, "check") == b"OK\0"


def test_ls_with_permissions(server):
    listing = execute(["xenstore-ls", "-fp", "/tool"], env={**os.environ, "XENSTORED_PATH": str(server.socket)}).stdout
    assert '/tool/xenstored/quota = "computed"   (n0)' in listing
    assert '/tool/xenstored/quota/default/path-max = "2048"' in listing
