# SPDX-License-Identifier: BSD-3-Clause
"""The tables of README.md: how kedged compares, from the same results as docs/benchmarks.md."""

from bench import goals

SIZES = (1, 1000, 100000, 1000000)

FORWARDING = [
    ("dpdk-testpmd macswap: looks nothing up", "forward.cycles.testpmd"),
    ("DPDK's l3fwd, exact match", "forward.cycles.l3fwd"),
    ("**kedged**: flow look-up, TTL, checksum, counters, dependency check", "forward.cycles"),
    ("ratio to l3fwd, median of the rounds", "forward.vs_l3fwd"),
]

MILLION = {"dependents": [1, 1000000]}
POLLS = {"control": ["polls"]}

# What, and for kedged, Linux and Open vSwitch: (figure, {key: [values], of which each gives one number}).
CHANGES = [
    ("from the publication, with 1 dependent flow / 1,000,000", ("push.commit_to_wire_ns.p50", MILLION), None, None),
    ("from a client's request over the socket, 1 / 1,000,000", ("push.socket_to_wire_us.p50", MILLION | POLLS),
     ("push.socket_to_wire_us.linux.p50", {}), ("push.socket_to_wire_us.ovs.p50", {"cached": [1, 65536]})),
    ("from a client's request over a shared page, 1 / 1,000,000", ("push.ring_to_wire_us.p50", MILLION | POLLS), None,
     None),
    ("from the neighbour's announcement (gratuitous ARP)", ("push.announce_us.p50", POLLS),
     ("push.announce_us.linux.p50", {}), None),
]
OTHERS = [
    ("changes a second, a worker forwarding at full load", ("push.changes_per_s", {})),
    ("us to delete a route, one of 1,000,000", ("push.route_delete_us.p50", {})),
    ("s to add 1,000,000 routes in one transaction", ("push.routes_1m_s", {})),
    ("ms until the last of 1,000,000 flows is bound anew, by a more specific route, at full load",
     ("push.rebound_ms", {key: [value] for key, value in goals.REBOUND.items()})),
    ("frames with a torn header, over 10,000,000 changes", ("push.torn_frames", {})),
]


def values(results, figure, keys):
    """The figure's values, for each combination of the keys' values."""
    choices = [{}]
    for key, allowed in keys.items():
        choices = [{**choice, key: value} for choice in choices for value in allowed]
    found = [goals.find(results, figure, **choice) for choice in choices]
    if figure.endswith("_ns.p50"):
        return [value / 1000 for value in found if value is not None]
    return [value for value in found if value is not None]


def short(value):
    return f"{value:.3g}" if value < 1000 else f"{float(f'{value:.3g}'):,.0f}"


def cell(results, source):
    return " / ".join(map(short, values(results, *source))) if source is not None else ""


def forwarding(results):
    for what, figure in FORWARDING:
        yield [what] + [f"{value:.2f}" if "vs" in figure else f"{value:.0f}"
                        for value in values(results, figure, {"flows": SIZES})]


def tables(results, lines_of):
    """lines_of(heads, rows): a table in Markdown."""
    rows = [[what, *(cell(results, source) for source in sources)] for what, *sources in CHANGES]
    others = [[what, cell(results, source)] for what, source in OTHERS]
    return "\n".join([
        *lines_of(["cycles a packet on one core, generator included", "1 flow", "1,000", "100,000", "1,000,000"],
                  forwarding(results)), "",
        *lines_of(["us until the first frame with a neighbour's new address", "kedged", "Linux", "Open vSwitch"], rows),
        "", *lines_of(["and", "kedged"], others)])
