# SPDX-License-Identifier: BSD-3-Clause
"""kedgectl against a real daemon: every noun and verb, JSON, exit codes and what is said, save and back."""

import contextlib
import json
import os
import re
import select
import shlex
import signal
import subprocess
import time

import pytest

from conftest import KEDGECTL, KEDGED, ROOT, SLOW
from netns import execute, wait_until

# Ports that receive nothing.
CONFIG = """\
port add p1 devargs net_null0,no-rx=1
port add p2 devargs net_null1,no-rx=1 mtu 1400
bridge add br0 ageing 300 port p1
bridge add br1 port p2
iface add br0 on bridge br0 mode bound address 10.0.0.1/24 address 10.0.9.1/24
fdb add br0 02:00:00:00:00:05 port p1
neigh add br0 10.0.0.5 mac 02:00:00:00:00:05
route add 10.9.0.0/16 via 10.0.0.5
route add default via 10.0.0.7
flow add web dst=10.9.0.0/16 proto=tcp dport=80 priority 10 action drop
name add /app/text "two words"
"""


@pytest.fixture
def daemon(kedged):
    daemon = kedged(CONFIG)
    daemon.wait_up("p1", "p2")
    return daemon


def shown(daemon, words):
    """What kedgectl prints with --json."""
    return json.loads(daemon.ctl(f"{words} --json").stdout)


def refused(daemon, words, status=1):
    """The sentence on stderr."""
    result = daemon.ctl(words, check=False)
    assert result.returncode == status, (words, result.stdout, result.stderr)
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1
    if "--json" in (words.split() if isinstance(words, str) else words):
        return json.loads(result.stderr)["error"]
    assert result.stderr.startswith("kedgectl: ")
    return result.stderr


def run(*words, **more):
    return execute([KEDGECTL, *words], check=False, **more)


# ---- without a daemon ----

def test_version_and_help():
    assert run("--version").stdout.split()[0] == "kedgectl"
    assert "--socket" in run("--help").stdout
    assert "via ADDRESS" in run("route", "--help").stdout
    assert run("rout", "--help").returncode == 2


@pytest.mark.parametrize("words, says", [
    ("", "what is to be done?"),
    ("rout show", 'did you mean "route"?'),
    ("route shwo", 'did you mean "show"?'),
    ("route", "route --help"),
    ("--jsno", 'did you mean "--json"?'),
    ("--json=1 route show", "--json takes no value"),
    ("--socket", "--socket needs a value, PATH"),
    ("wait --timeout soon", "is not a time"),
    ("port show --once", "does not take --once"),
    ("route add 10.0.0.0/8 reject --timeout 1", "--timeout goes with --applied"),
    ("route add 10.0.0.0/8 vai 10.0.0.1", 'did you mean "via"?'),
    ("flow add x action vai 10.0.0.1", '"vai" is not an action; did you mean "via"?'),
    ("neigh add br0 10.0.0.9 mac zz", '"zz" is not a MAC address'),
    ("port show a b", '"b" is too much'),
    ("neigh show br0 --dependents", "of which one?"),
    ("name read route", "begins with '/'"),
    ("name show", "PATH is missing"),
    ("watch route", "is not a path"),
    ("flow why", "which flow?"),
    ("flow why src=foo", 'src: "foo" is no address; 10.1.0.2, or a prefix'),
    ("flow why proto=bogus", '"bogus" is no protocol; tcp, udp,'),
    ("flow why sport=70000", '"70000" is no port; a number from 0 to 65535'),
    ("flow why mac=zz", '"zz" is no MAC address'),
    ("flow why bridge=br0 src=1.1.1.1", "bridge and src don't go together"),
    ("flow why dst=", "dst has no value"),
    ("save file", "takes no file"),
    ("check a b", "\"b\" is too much"),
])
def test_wrong_usage(daemon, words, says):
    assert says in refused(daemon, words, 2)


def test_refusals_in_json(daemon, tmp_path):
    """On stderr, as stdout holds answers only; wherever --json stands."""
    for words, status, says in (("route del 10.0.0.0/8 --json", 1, "there is no route 10.0.0.0/8"),
                                ("--json name read /nope", 1, "there is no /nope"),
                                ("port add x --json devargs net_null7 mtu 5", 1, "/port/x/mtu"),
                                ("--jsno --json", 2, '"--jsno" is not a flag')):
        assert refused(daemon, words, status).startswith(says)
    assert "no daemon" in json.loads(run("--socket", tmp_path / "none", "save", "--json").stderr)["error"]


def test_no_daemon(tmp_path):
    result = run("--socket", tmp_path / "none", "route", "show")
    assert result.returncode == 1
    assert f"no daemon at {tmp_path}/none" in result.stderr


def test_socket_from_the_environment(daemon):
    result = run("stats", "ready", env={**os.environ, "KEDGE_SOCKET": str(daemon.socket)})
    assert result.stdout == "ready 1\n"


# ---- changes ----

def test_add_set_del(daemon):
    daemon.ctl("route add 10.8.0.0/16 via 10.0.0.6")
    assert daemon.names.read("/route/10.8.0.0/16") == "via 10.0.0.6"
    assert "exists already" in refused(daemon, "route add 10.8.0.0/16 via 10.0.0.8")
    daemon.ctl("route set 10.8.0.0/16 blackhole")
    assert daemon.names.read("/route/10.8.0.0/16") == "blackhole"
    daemon.ctl("route del 10.8.0.0/16")
    assert daemon.names.get("/route/10.8.0.0/16") is None
    assert "there is no route 10.8.0.0/16" in refused(daemon, "route del 10.8.0.0/16")
    assert "use add" in refused(daemon, "route set 10.8.0.0/16 reject")


def test_deleted_routes_leave_no_name(daemon):
    """The address goes with its last length, not before, and from a configuration file too."""
    for prefix in "10.50.0.0/16", "10.50.0.0/24":
        daemon.ctl(f"route add {prefix} reject")
    daemon.ctl("route del 10.50.0.0/16")
    assert daemon.names.list("/route/10.50.0.0") == ["24"]
    daemon.ctl("route del 10.50.0.0/24")
    daemon.ctl("route del default")
    assert daemon.names.list("/route") == ["10.9.0.0"]


def test_routes_removed_by_name_leave_nothing_that_counts(daemon, kedged):
    before = daemon.ctl("save").stdout, daemon.ctl("route show").stdout
    daemon.names.write("/route/10.123.0.0/16", "blackhole")
    daemon.names.remove("/route/10.123.0.0/16")
    assert daemon.names.list("/route/10.123.0.0") == []
    assert (daemon.ctl("save").stdout, daemon.ctl("route show").stdout) == before
    assert "10.123.0.0" in refused(daemon, "route del 10.123.0.0/16")
    daemon.ctl("route add 10.123.0.0/17 blackhole")
    daemon.ctl("route del 10.123.0.0/17")
    assert daemon.names.get("/route/10.123.0.0") is None


def test_what_is_to_be_deleted_must_be_there(daemon):
    assert refused(daemon, "route del 10.0.0.0/8") == (
        "kedgectl: there is no route 10.0.0.0/8; `kedgectl route show` lists what there is\n")
    assert "there is no port nope; `kedgectl port show`" in refused(daemon, "port del nope")
    assert refused(daemon, "name del /nope") == "kedgectl: there is no /nope\n"


def test_members(daemon):
    daemon.ctl("iface set br0 address 10.0.8.1/24 mode follow")
    daemon.ctl("iface del br0 address 10.0.9.1/24")
    assert daemon.names.list("/iface/br0/address") == ["10.0.0.1", "10.0.8.1"]
    assert "has no address 10.0.9.1" in refused(daemon, "iface del br0 address 10.0.9.1")
    daemon.ctl("bridge del br0 port p1")
    daemon.ctl("bridge set br0 ageing 60 port p1")
    assert shown(daemon, "bridge show br0") == {"name": "br0", "ageing": 60, "port": ["p1"]}


def test_the_daemon_gives_the_reason(daemon):
    said = refused(daemon, "route add 10.8.0.1/16 via 10.0.0.1")
    assert "/route/10.8.0.1/16" in said and "10.8.0.0/16" in said
    assert "protocol" in refused(daemon, "flow add x proto=tpc")
    assert "MAC" in refused(daemon, "fdb add br0 02:00 port p1")


def test_all_or_nothing(daemon):
    refused(daemon, "iface add x on bridge br1 address 10.5.0.1/24 address 10.6.0.0/24")
    assert daemon.names.get("/iface/x") is None


def test_applied(daemon):
    daemon.ctl("neigh set br0 10.0.0.5 mac 02:00:00:00:00:06 --applied")
    daemon.ctl("--applied neigh set br0 10.0.0.5 mac 02:00:00:00:00:07 --timeout=0.5")
    assert daemon.names.read("/neigh/br0/10.0.0.5") == "02:00:00:00:00:07 static"


def test_changes_at_once_are_all_done(daemon):
    """Twenty at a time, on the same name: each is done again until nobody comes in between."""
    processes = [subprocess.Popen([KEDGECTL, "--socket", daemon.socket, "route", "set", "10.9.0.0/16",
                                   "via", f"10.0.0.{number}"], stderr=subprocess.PIPE)
                 for number in range(10, 30)]
    for process in processes:
        assert process.communicate(timeout=20 * SLOW)[1] == b""
        assert process.returncode == 0


def test_names_of_any_kind(daemon):
    daemon.ctl(["name", "add", "/app/x", "--", "--json"])
    assert daemon.names.read("/app/x") == "--json"
    daemon.ctl(["name", "set", "/app/x", "new"])
    assert daemon.ctl("name read /app/x").stdout == "new\n"
    assert daemon.ctl("name list /app").stdout == "text\nx\n"
    assert shown(daemon, "name list /app") == ["text", "x"]
    assert shown(daemon, "name read /app/text") == "two words"
    assert shown(daemon, "name show /app") == {"/app": "", "/app/text": "two words", "/app/x": "new"}
    daemon.ctl("name perms /app/x n0 r5")
    assert daemon.ctl("name perms /app/x").stdout == "n0 r5\n"
    daemon.ctl("name del /app")
    for verb in "read", "show", "list", "perms", "del":
        assert refused(daemon, f"name {verb} /app") == "kedgectl: there is no /app\n"


# What a user may write, to be read by another one on a terminal.
HOSTILE, ESCAPED = "ok\n/srv/admin = yes\033[31mred\u009b", r"ok\n/srv/admin = yes\x1b[31mred\xc2\x9b"


def test_values_of_others_can_forge_nothing(daemon):
    daemon.names.write("/srv/esc", HOSTILE)
    assert daemon.ctl("name show /srv").stdout == f"/srv\n/srv/esc = {ESCAPED}\n"
    assert daemon.ctl("name read /srv/esc").stdout == HOSTILE + "\n"
    assert shown(daemon, "name read /srv/esc") == HOSTILE
    assert daemon.ctl("name read /srv/esc --json").stdout.rstrip("\n").isprintable()
    with started(daemon, "watch /srv") as watch:
        watching(daemon, 1)
        daemon.names.write("/srv/esc", HOSTILE)
        assert line(watch) == f"/srv/esc = {ESCAPED}"
    assert "\n" not in refused(daemon, ["name", "read", "/srv/\n\033[31m"]).rstrip("\n")
    assert r"\n\x1b[31m" in refused(daemon, ["name", "read", "/srv/\n\033[31m"])


def test_a_daemon_of_names_only_shows_any_value(kedged):
    """Its /route and /flow are plain storage."""
    daemon = kedged(None, args=["--names-only"])
    daemon.names.write("/route/10.0.0.0/8", HOSTILE)
    daemon.names.write("/flow/web/action", HOSTILE)
    daemon.names.write("/neigh/br0/10.0.0.5", HOSTILE)
    for words in "route show", "flow show", "neigh show", "neigh show br0 10.0.0.5", "flow why web":
        text = daemon.ctl(words, check=False).stdout
        assert r"ok\n/srv/admin" in text and "\033" not in text, words


def test_stats_cause_no_error(kedged):
    daemon = kedged(None, args=["--names-only"])
    errors = [text for text in (daemon.ctl("stats").stdout for _ in range(2)) if "self/error" in text]
    assert errors == []
    assert daemon.stat("server/errors") == 0


# ---- show ----

def test_show_ports(daemon):
    port = shown(daemon, "port show p2")
    assert port["name"] == "p2" and port["link"] == "up" and port["mtu"] == 1400
    assert port["devargs"] == "net_null1,no-rx=1" and port["rx_packets"] == 0
    assert port["mac"] == daemon.names.read("/port/p2/mac")
    assert [port["name"] for port in shown(daemon, "port show")] == ["p1", "p2"]
    for verb in "show", "del":
        assert refused(daemon, f"port {verb} p9") == (
            "kedgectl: there is no port p9; `kedgectl port show` lists what there is\n")


def test_show_what_is_configured(daemon):
    assert shown(daemon, "iface show br0") == {
        "name": "br0", "on": "bridge br0", "mode": "bound", "address": ["10.0.0.1/24", "10.0.9.1/24"]}
    assert shown(daemon, "fdb show") == [
        {"bridge": "br0", "mac": "02:00:00:00:00:05", "port": "p1", "kind": "static"}]
    assert shown(daemon, "fdb show br0 02:00:00:00:00:05")["port"] == "p1"
    neighbour = shown(daemon, "neigh show br0 10.0.0.5")
    assert neighbour["mac"] == "02:00:00:00:00:05" and neighbour["state"] == "PERMANENT"
    assert shown(daemon, "fdb show br1") == []
    assert "there is no interface br1" in refused(daemon, "neigh show br1")
    assert "there is no neighbour br0 10.0.0.99" in refused(daemon, "neigh show br0 10.0.0.99")
    assert shown(daemon, "route show") == [
        {"prefix": "0.0.0.0/0", "to": "via 10.0.0.7", "from": "route"},
        {"prefix": "10.0.0.0/24", "to": "dev br0", "from": "interface"},
        {"prefix": "10.0.9.0/24", "to": "dev br0", "from": "interface"},
        {"prefix": "10.9.0.0/16", "to": "via 10.0.0.5", "from": "route"}]
    assert shown(daemon, "route show default")["to"] == "via 10.0.0.7"
    flow = shown(daemon, "flow show web")
    assert flow["priority"] == 10 and flow["action"] == "drop" and flow["packets"] == 0
    assert flow["match"] == "dst=10.9.0.0/16 proto=tcp dport=80"


def test_columns(daemon):
    lines = daemon.ctl("neigh show").stdout.splitlines()
    assert lines[0].split() == ["iface", "address", "mac", "kind", "state", "age"]
    assert lines[1].split()[:5] == ["br0", "10.0.0.5", "02:00:00:00:00:05", "static", "PERMANENT"]
    at = lines[0].index("mac")
    assert lines[1][at:].startswith("02:")
    assert daemon.ctl("bridge show").stdout.splitlines()[2].split() == ["br1", "300", "p2"]


def test_what_is_not_given_is_shown_as_it_holds(daemon):
    daemon.ctl("flow add all")
    assert shown(daemon, "port show p1")["mtu"] == 1500
    assert shown(daemon, "bridge show br1")["ageing"] == 300
    flow = shown(daemon, "flow show all")
    assert flow["priority"] == 0 and flow["action"] == "route"


def test_numbers_in_addresses_are_ordered_by_value(daemon):
    for number in (100, 9, 20):
        daemon.ctl(f"neigh add br0 10.0.0.{number} mac 02:00:00:00:00:05")
    assert [row["address"] for row in shown(daemon, "neigh show")] == [
        "10.0.0.5", "10.0.0.9", "10.0.0.20", "10.0.0.100"]


def test_many_names(daemon):
    """More than fit in a message, and in a batch of requests."""
    with daemon.names.transaction() as names:
        for number in range(3000):
            names.write(f"/route/10.{100 + number // 250}.{number % 250}.0/24", "blackhole")
    routes = shown(daemon, "route show")
    assert len(routes) == 3004
    assert {"prefix": "10.111.249.0/24", "to": "blackhole", "from": "route"} in routes
    saved = daemon.ctl("save").stdout
    assert saved.count(" blackhole\n") == 3000


# ---- stats, top ----

def test_stats(daemon):
    stats = shown(daemon, "stats")
    assert stats["ready"] == 1 and stats["version"] == daemon.names.read("/stats/version")
    assert stats["flow"]["web"]["packets"] == 0
    assert isinstance(stats["last"]["time"], float)
    assert daemon.ctl("stats lcore/0/flow/flows").stdout == "lcore/0/flow/flows 0\n"
    assert shown(daemon, "stats /stats/lcore/0")["flow"]["flows"] == 0
    assert "/stats/nope" in refused(daemon, "stats nope")
    lines = dict(line.split(" ", 1) for line in daemon.ctl("stats").stdout.splitlines())
    assert lines["neigh/br0/10.0.0.5"] == "PERMANENT 0 02:00:00:00:00:05"


def test_top(daemon):
    text = daemon.ctl("top --once --interval 0.05").stdout
    assert text.startswith("kedged ") and "last change: version" in text and "p2" in text
    look = shown(daemon, "top --once --interval 0.05")
    assert look["port"]["p1"]["link"] == "up" and look["routes"] > 0 and look["last"]["number"] > 0


def test_top_goes_on_until_it_is_ended(daemon):
    with started(daemon, "top --json --interval 0.05") as top:
        looks = [json.loads(line(top)) for _ in range(3)]
        assert all(look["flows"] == 0 for look in looks)
        top.send_signal(signal.SIGINT)
        assert top.wait(5 * SLOW) == 0


# ---- watch ----

@contextlib.contextmanager
def started(daemon, words):
    """kedgectl in the background."""
    process = subprocess.Popen([KEDGECTL, "--socket", daemon.socket, *words.split()], stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def line(process, timeout=5 * SLOW):
    """The next line that it prints."""
    text = b""
    deadline = time.monotonic() + timeout
    while not text.endswith(b"\n"):
        assert select.select([process.stdout], [], [], max(0, deadline - time.monotonic()))[0], text
        byte = os.read(process.stdout.fileno(), 1)
        assert byte, (text, process.stderr.read())
        text += byte
    return text.decode().rstrip("\n")


def watching(daemon, count):
    wait_until(lambda: daemon.stat("server/events") >= count, what="the watches are set")


def test_watch(daemon):
    with started(daemon, "watch /neigh /route") as watch:
        watching(daemon, 2)
        daemon.ctl("neigh set br0 10.0.0.5 mac 02:00:00:00:00:06")
        assert line(watch) == "/neigh/br0/10.0.0.5 = 02:00:00:00:00:06 static"
        daemon.ctl("route del 10.9.0.0/16")
        assert line(watch) == "/route/10.9.0.0/16 is gone"
        watch.send_signal(signal.SIGINT)
        assert watch.wait(5 * SLOW) == 0


def test_watch_json(daemon):
    with started(daemon, "watch /app --json") as watch:
        watching(daemon, 1)
        daemon.ctl(["name", "set", "/app/text", 'a "b"'])
        assert json.loads(line(watch)) == {"name": "/app/text", "value": 'a "b"'}
        daemon.ctl("name del /app/text")
        assert json.loads(line(watch)) == {"name": "/app/text", "value": None}


def test_watch_ends_with_the_daemon(daemon):
    with started(daemon, "watch") as watch:
        watching(daemon, 1)
        daemon.stop()
        assert watch.wait(5 * SLOW) == 1
        assert b"closed the connection" in watch.stderr.read()


# ---- wait ----

def test_wait(kedged, tmp_path):
    socket_path = tmp_path / "later.sock"
    waiting = subprocess.Popen([KEDGECTL, "wait", "--socket", socket_path])
    time.sleep(0.1)
    assert waiting.poll() is None
    kedged(socket_path=socket_path)
    assert waiting.wait(10 * SLOW) == 0
    assert run("wait", "--timeout", "1", "--socket", socket_path).returncode == 0
    assert json.loads(run("wait", "--json", "--socket", socket_path).stdout) == {"ready": 1}


def test_wait_gives_up(tmp_path):
    start = time.monotonic()
    result = run("wait", "--timeout", "0.3", "--socket", tmp_path / "none")
    assert result.returncode == 1 and "after 0.3 s" in result.stderr
    assert 0.3 <= time.monotonic() - start < 5 * SLOW


# ---- save and check ----

def test_save_comes_back(daemon, kedged):
    daemon.ctl(["name", "set", "/app/text", 'tab\t"quote" # \\ and more'])
    saved = daemon.ctl("save").stdout
    assert "neigh add br0 10.0.0.5 mac 02:00:00:00:00:05\n" in saved
    assert "link" not in saved and "/stats" not in saved
    daemon.stop()
    again = kedged(saved)
    assert again.ctl("save").stdout == saved
    assert again.names.read("/app/text") == 'tab\t"quote" # \\ and more'
    assert json.loads(again.ctl("save --json").stdout) == saved.splitlines()


def test_saved_lines_are_commands(kedged):
    first = kedged(CONFIG)
    saved = first.ctl("save").stdout
    first.stop()
    second = kedged("")
    for command in saved.splitlines():
        second.ctl(shlex.split(command))
    assert second.ctl("save").stdout == saved


def test_save_says_what_it_can_not(daemon):
    daemon.names.write("/app/binary", b"a\0b")
    result = daemon.ctl("save", check=False)
    assert result.returncode == 1 and "1 name" in result.stderr
    assert "# /app/binary has a NUL byte" in result.stdout and "route add" in result.stdout


def test_check(tmp_path):
    good, bad = tmp_path / "good.conf", tmp_path / "bad.conf"
    good.write_text(CONFIG)
    bad.write_text("port add p1 devargs net_null0\nrout add 10.0.0.0/8 via 10.0.0.1\n")
    assert run("check", good, timeout=20 * SLOW).returncode == 0
    result = run("check", bad, timeout=20 * SLOW)
    assert result.returncode != 0
    said = result.stdout + result.stderr
    assert f"{bad}:2:" in said and 'did you mean "route"?' in said
    mistakes = [json.loads(line) for line in run("check", bad, "--json", timeout=20 * SLOW).stdout.splitlines()]
    assert [(mistake["file"], mistake["line"]) for mistake in mistakes] == [(str(bad), 2)]
    assert 'did you mean "route"?' in mistakes[0]["text"]
    assert json.loads(run("check", good, "--json", timeout=20 * SLOW).stdout) == {
        "file": str(good), "commands": len(CONFIG.splitlines())}


def test_a_pipe_is_no_configuration():
    result = subprocess.run([KEDGECTL, "check", "/dev/stdin"], input="name add /app/x 1\n", capture_output=True,
                            text=True, timeout=20 * SLOW, check=False)
    assert result.returncode == 1 and "it is a pipe" in result.stdout + result.stderr


# ---- looking into flows ----

def test_flows_and_dependents(bridged):
    setup = bridged("flow add icmp proto=icmp\n")
    assert setup.c.ping("10.0.0.5") == 1
    daemon = setup.kedged

    flows = shown(daemon, "flow why src=10.0.1.2 dst=10.0.0.5 proto=icmp")
    assert len(flows) == 1
    assert flows[0]["port"] == "pa" and flows[0]["mac_to"] == setup.a.mac()
    origins = {origin["name"]: origin["version"] for origin in flows[0]["from"]}
    assert {"/flow/icmp", "/neigh/br0/10.0.0.5"} <= set(origins)
    text = daemon.ctl("flow why src=10.0.1.2 dst=10.0.0.5 proto=icmp").stdout
    assert "icmp 10.0.1.2 > 10.0.0.5" in text and "to port pa" in text
    for name, version in origins.items():
        assert any(part.split()[:3] == [name, "version", str(version)] for part in text.splitlines())

    learned = shown(daemon, "flow show --learned")
    assert any(flow["dst"] == "10.0.0.5" and flow["proto"] == "icmp" for flow in learned if "dst" in flow)
    assert "icmp 10.0.1.2 > 10.0.0.5" in daemon.ctl("flow show --learned").stdout

    dependents = shown(daemon, "neigh show br0 10.0.0.5 --dependents")
    assert sum(derived["flows"] for derived in dependents["derived"]) >= 1
    text = daemon.ctl("neigh show br0 10.0.0.5 --dependents").stdout
    assert "/neigh/br0/10.0.0.5, version" in text and "derived from it" in text
    assert shown(daemon, "flow show icmp --dependents")["flows"] >= 1
    assert "/flow/icmp, version" in daemon.ctl("flow why icmp").stdout
    assert shown(daemon, "flow show icmp")["packets"] >= 1

    ports = f"sport={flows[0]['sport']} dport={flows[0]['dport']}"
    assert shown(daemon, f"flow why src=10.0.1.2 dst=10.0.0.5 proto=icmp {ports}")[0]["from"] == flows[0]["from"]
    assert [flow["src"] for flow in shown(daemon, "flow why dst=10.0.1.2")] == ["10.0.0.5"]
    assert len(shown(daemon, f"flow why bridge=br0 mac={setup.a.mac()}")) == 1

    assert "no such flow" in refused(daemon, "flow why src=10.0.1.2 dst=10.0.0.77 proto=icmp")
    assert "no such flow" in refused(daemon, "flow why src=10.0.1.77 --json")
    assert "host\" is no address" in refused(daemon, "flow why src=10.0.1.2 dst=host proto=icmp", 2)
    assert [flow["src"] for flow in shown(daemon, "flow why dst=10.0.1.0/24 proto=1")] == ["10.0.0.5"]
    assert "no such flow" in refused(daemon, "flow why dst=10.0.2.0/24")
    assert "iface=nope" in refused(daemon, "flow why src=10.0.1.2 dst=10.0.0.5 proto=icmp iface=nope")
    assert 'did you mean "proto"?' in refused(daemon, "flow why prto=icmp", 2)
    assert "terms are like src=" in refused(daemon, "flow why proto=icmp web", 2)
    assert "there is no flow nope" in refused(daemon, "flow why nope")


def test_neighbours_without_a_name_are_shown(bridged):
    """One that is being looked for, or was not found, is no name, but people want to see it."""
    setup = bridged()
    setup.c.ping("10.0.0.77", wait=1)
    rows = {row["address"]: row for row in shown(setup.kedged, "neigh show")}
    assert rows["10.0.0.77"]["state"] in ("INCOMPLETE", "FAILED")
    assert "mac" not in rows["10.0.0.77"]
    assert "10.0.0.77" not in setup.kedged.ctl("save").stdout


# ---- names only ----

def test_names_only(kedged):
    daemon = kedged(None, args=["--names-only"])
    daemon.ctl("wait --timeout 5")
    daemon.ctl("name add /app/x 1 --applied")
    assert "name add /app/x 1\n" in daemon.ctl("save").stdout
    assert KEDGED.exists()


# ---- time ----

def test_one_shot_commands_take_below_5_ms(daemon):
    """Half of them at least; the machine may have other things to do."""
    def once(words):
        start = time.perf_counter()
        subprocess.run([KEDGECTL, "--socket", daemon.socket, *words.split()], check=True,
                       stdout=subprocess.DEVNULL)
        return time.perf_counter() - start

    for words in ("route show", "neigh show br0 10.0.0.5", "neigh set br0 10.0.0.5 mac 02:00:00:00:00:05"):
        times = sorted(once(words) for _ in range(21))
        assert times[10] < 0.005 * SLOW, (words, times)


# ---- documents ----

def commands_of(page):
    """Configuration lines in the code of a page; those that take things away again are left out."""
    for text in page.read_text().splitlines():
        words = text.split()
        if text.startswith("    ") and len(words) > 2 and words[1] in ("add", "set"):
            yield text.strip()


def test_documented_lines_are_right(tmp_path):
    """Each block of the page on its own: they are examples, not one configuration."""
    page = ROOT / "docs/configuration.md"
    sections = page.read_text().split("\n## ")
    for number, section in enumerate(sections):
        file, config = tmp_path / f"{number}.md", tmp_path / f"{number}.conf"
        file.write_text(section)
        lines = list(commands_of(file))
        config.write_text("\n".join(lines) + "\n")
        result = run("check", config, timeout=20 * SLOW)
        assert result.returncode == 0, result.stdout + result.stderr
    assert sum(1 for _ in commands_of(page)) > 25


@pytest.mark.parametrize("program", [KEDGED, KEDGECTL])
def test_manual_pages_name_all_options(program):
    manual = (ROOT / f"docs/man/{program.name}.8").read_text().replace("\\-", "-")
    options = set(re.findall(r"--([a-z-]+)", execute([program, "--help"]).stdout))
    for option in options:
        assert f"Fl -{option}" in manual, option
    assert len(options) > 5


def test_manual_page_names_all_commands():
    manual = (ROOT / "docs/man/kedgectl.8").read_text()
    for noun in ("port", "bridge", "iface", "fdb", "neigh", "route", "flow", "name"):
        for verb in re.findall(rf"^  {noun} ([a-z]+)", run(noun, "--help").stdout, re.MULTILINE):
            assert f"Cm {noun} {verb}" in manual, (noun, verb)


def test_value_that_is_too_long_is_named(kedged):
    daemon = kedged()
    room = 4096 - len("/big") - 1
    refusal = daemon.ctl(["name", "add", "/big", "x" * (room + 1)], check=False)
    assert refusal.returncode == 1
    assert f"a value of {room + 1} bytes is too long; at most {room} " in refusal.stderr
    daemon.ctl(["name", "add", "/big", "x" * room])
    assert daemon.names.read("/big") == "x" * room


def test_scripts_say_what_is_missing():
    """In one sentence, and nothing after it."""
    lab = execute([ROOT / "conf/lab", "announce"], check=False, env={**os.environ, "KEDGE_LAB": f"none{os.getpid()}"})
    assert (lab.returncode, lab.stderr.count("\n")) == (1, 1) and "is the lab up?" in lab.stderr
