# SPDX-License-Identifier: BSD-3-Clause
"""Seeing what a change does: kedgectl graph, top and trace."""

import json
import os
import re
import shutil
import signal
import subprocess
import xml.etree.ElementTree

import pytest

from conftest import KEDGECTL, SLOW
from millions import Daemon
from netns import wait_until

NEIGHBOUR = "/neigh/i2/10.2.0.2"


def busy(routed, **options):
    """Routed hosts with a neighbour that was learned and a flow that uses it."""
    r = routed(**options)
    assert r.h1.ping("10.2.0.2", 2) == 2
    return r


# ---- graph ----

def test_graph_shows_who_depends_on_what(routed):
    r = busy(routed)
    for words in ("graph", f"graph {NEIGHBOUR}"):
        dot = r.kedged.ctl(words).stdout
        assert dot.startswith("digraph kedge {") and dot.rstrip().endswith("}")
        for edge in (f'"{NEIGHBOUR}" -> "/adjacency/0/10.2.0.2"', '"/adjacency/0/10.2.0.2" -> "worker 0" [label="'):
            assert edge in dot, edge
        assert ('"/iface/i2" -> "/adjacency/0/10.2.0.2"' in dot) == (words == "graph")
    assert '"/adjacency/0/10.1.0.2"' not in dot, "which does not follow from that neighbour"
    graph = json.loads(r.kedged.ctl("graph --json").stdout)
    names = {node["name"]: node for node in graph["nodes"]}
    assert names["/adjacency/0/10.2.0.2"]["kind"] == "adjacency" and names[NEIGHBOUR]["version"] > 0
    assert all(edge["from"] in names for edge in graph["edges"])
    assert len({(edge["from"], edge["to"]) for edge in graph["edges"]}) == len(graph["edges"]), "each stands once"
    assert {"from": NEIGHBOUR, "to": "/adjacency/0/10.2.0.2"} in graph["edges"]
    assert any(edge["to"] == "worker 0" and edge["flows"] > 0 for edge in graph["edges"])


def test_a_graph_of_many_pages(routed):
    """Everybody is in it, and nobody twice, however many names there are."""
    routes = "".join(f"route add 10.{n // 250 + 10}.{n % 250}.0/24 via 10.2.0.2\n" for n in range(3))
    r = busy(routed, more="iface set i2 address 10.3.0.1/16\n" + routes)
    for n in range(150):
        r.h1.run(f"ping -c1 -W0.01 10.3.1.{n + 1}", check=False)
    graph = json.loads(r.kedged.ctl("graph --json").stdout)
    names = [node["name"] for node in graph["nodes"]]
    assert len(names) == len(set(names)) > 150
    assert sum(name.startswith("/adjacency/0/10.3.1.") for name in names) >= 140


@pytest.mark.skipif(shutil.which("dot") is None, reason="graphviz is not installed")
def test_graph_is_drawn(routed):
    r = busy(routed)
    drawing = xml.etree.ElementTree.fromstring(r.kedged.ctl(f"graph {NEIGHBOUR} --svg").stdout)
    assert drawing.tag.endswith("svg")
    assert NEIGHBOUR in "".join(drawing.itertext())


@pytest.mark.skipif(shutil.which("dot") is None, reason="graphviz is not installed")
def test_nobody_reads_the_drawing(kedged):
    """Like any program whose reader has gone: ended by SIGPIPE, without a word."""
    daemon = kedged("flow add all\n")
    read, write = os.pipe()
    os.close(read)
    graph = subprocess.Popen([KEDGECTL, "--socket", daemon.socket, "graph", "--svg"], stdout=write,
                             stderr=subprocess.PIPE, text=True, restore_signals=True)
    os.close(write)
    assert graph.communicate(timeout=20 * SLOW)[1] == ""
    assert graph.returncode == -signal.SIGPIPE


def test_graph_of_nobody(kedged):
    daemon = kedged()
    result = daemon.ctl("graph /neigh/i2/10.2.0.9", check=False)
    assert result.returncode == 1 and "nobody depends on /neigh/i2/10.2.0.9" in result.stderr
    for words in ("graph x", "graph /a /b", "graph --svg --json"):
        assert daemon.ctl(words, check=False).returncode == 2


# ---- top ----

def test_top_tells_of_changes():
    """100 flows, one neighbour that moves: each move is a notice, and all flows follow."""
    with Daemon(100, capacity=1000, arguments=["--workers", "2"]) as daemon:
        wait_until(lambda: daemon.number("total/flow/flows") == 200, 20 * SLOW, "flows")
        socket = f"{daemon.directory}/socket"
        top = subprocess.Popen([KEDGECTL, "--socket", socket, "top", "--json", "--interval", "0.5"],
                               stdout=subprocess.PIPE, text=True)
        try:
            for n in range(200):
                daemon.move(10 + n % 100)
                daemon.applied()
            looks = [json.loads(top.stdout.readline())]
            for n in range(200):
                daemon.move(10 + n % 100)
            looks.append(json.loads(top.stdout.readline()))
        finally:
            top.terminate()
            top.wait(5)
        text = subprocess.run([KEDGECTL, "--socket", socket, "top", "--once", "--interval", "0.1"], check=True,
                              stdout=subprocess.PIPE, text=True).stdout
    moving = max(looks, key=lambda look: look["commits"])
    apply = moving["apply"]
    assert moving["commits"] > 0 and moving["notices"] > 0 and moving["told"] >= moving["notices"]
    assert apply["recent"] and 0 < apply["p50_us"] <= apply["p90_us"] <= apply["p99_us"]
    assert sum(count for _, count in apply["histogram"]) == apply["commits"] > 0
    assert apply["slowest"] in (0, 1) and apply["slowest_mean_us"] > 0
    assert set(moving["lcore"]) == {"0", "1"} and all(one["flows"] == 100 for one in moving["lcore"].values())
    assert "commit to applied" in text and "slowest: worker" in text and "notices/s" in text


# ---- trace ----

def start_trace(kedged, *words):
    trace = subprocess.Popen([KEDGECTL, "--socket", kedged.socket, "trace", *words], stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, text=True)
    wait_until(lambda: kedged.names.read("/stats/trace") == "armed", 5 * SLOW, "the trace is armed")
    return trace


def test_trace_follows_a_change_to_its_first_packet(routed):
    r = busy(routed, args=["--workers", "2"])
    ping = r.h1.popen("ping -i 0.02 10.2.0.2", stdout=subprocess.DEVNULL)
    mac = r.h2.mac()
    trace = start_trace(r.kedged, NEIGHBOUR, "--json")
    r.names.write("/local/other", "a change that is not the one")
    r.names.write(NEIGHBOUR, f"{mac} static")  # the same address: packets arrive as before
    r.names.write(NEIGHBOUR, "02:00:00:00:09:09 static")
    out, err = trace.communicate(timeout=10 * SLOW)
    assert trace.returncode == 0, err
    told = json.loads(out)
    workers = [one for one in told["lcores"] if one["told"]]
    assert 0 < told["published_ns"] <= told["notices_ns"]
    for worker in workers:
        assert told["published_ns"] <= worker["notice_ns"] <= worker["applied_ns"]
    ping.terminate()

    # Again, with one commit that changes the record, and read by people.
    ping = r.h1.popen("ping -i 0.02 10.2.0.2", stdout=subprocess.DEVNULL)
    wait_until(lambda: r.names.read("/stats/trace") == "idle", 5 * SLOW, "it is over")
    trace = start_trace(r.kedged, NEIGHBOUR)
    r.names.write(NEIGHBOUR, f"{mac} static")
    out, err = trace.communicate(timeout=10 * SLOW)
    ping.terminate()
    assert trace.returncode == 0, err
    lines = out.splitlines()
    assert lines[0].startswith(f"{NEIGHBOUR}: version ")
    times = [float(match[1]) for match in (re.match(r" *([0-9.]+) us  ", line) for line in lines[1:]) if match]
    assert times == sorted(times) and times[0] == 0
    steps = [re.sub(r" *[0-9.]+ us  ", "", line) for line in lines[1:]]
    assert steps[:2] == ["the commit begins", "published"], out
    assert any(re.match(r"notices for [12] workers", step) for step in steps), out
    assert any(re.match(r"worker \d: has taken its notices", step) for step in steps), out
    assert any(re.match(r"worker \d: its flows are told \([1-9]", step) for step in steps), out
    assert any(re.match(r"worker \d: first packet, src=10.1.0.2,dst=10.2.0.2,proto=icmp", step) for step in steps), out


def test_trace_of_a_route(routed):
    """A binding: flows look again, and the first that goes by the new decision is shown."""
    r = busy(routed, more="route add 10.9.0.0/16 via 10.2.0.2\n")
    r.h2.ip("addr add 10.9.1.1/32 dev lo")
    ping = r.h1.popen("ping -i 0.02 10.9.1.1", stdout=subprocess.DEVNULL)
    wait_until(lambda: r.kedged.stat("total/flow/flows") > 2, 5 * SLOW, "the flow")
    trace = start_trace(r.kedged, "/route/10.9.1.0", "--json")
    r.names.write("/route/10.9.1.0/24", "via 10.2.0.2")
    out, err = trace.communicate(timeout=10 * SLOW)
    ping.terminate()
    assert trace.returncode == 0, err
    told = json.loads(out)
    worker = told["lcores"][0]
    assert worker["told"] == 1 and worker["flows"] >= 1
    assert told["published_ns"] <= worker["notice_ns"] <= worker["packet_ns"]
    assert "dst=10.9.1.1" in worker["flow"]


def test_one_trace_at_a_time(kedged):
    daemon = kedged("port add p1 devargs net_null0,no-rx=1\n")
    trace = start_trace(daemon, "/port/p1", "--json")
    result = daemon.ctl("trace /port/p1", check=False)
    assert result.returncode == 1 and "one at a time" in result.stderr
    daemon.names.write("/port/p1/mtu", "1400")
    out, err = trace.communicate(timeout=10 * SLOW)
    assert trace.returncode == 0, err
    assert json.loads(out)["number"] > 0 and daemon.names.read("/stats/trace") == "idle"
    assert daemon.ctl("trace port", check=False).returncode == 2
