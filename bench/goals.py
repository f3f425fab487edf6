# SPDX-License-Identifier: BSD-3-Clause
"""
What the push and forwarding are meant to reach, for the first table of docs/benchmarks.md: each figure with its goal,
what was measured beside it in the same run, and what is quoted of programs that Debian does not have.
"""

BURST, TSC_GHZ = 32, 2.6  # of the machines that the figures come from

QUOTED = ("What is quoted of grout was measured once with grout 0.17, built from its sources, on a virtual machine of the "
          "same kind (2 cores of AMD EPYC, no NIC); it is not part of the run.")


def within_three_round_trips(value):
    """Three times the cross-core round trip and one burst of packets, in ns."""
    return 3 * value("push.cross_core_ns") + BURST * value("forward.cycles", flows=1) / TSC_GHZ


def socket_rows():
    for flows in (1, 1000, 1000000):
        for control, share, limit in (("polls", "p50", 10), ("polls", "p99", 30), ("sleeps", "p50", 40)):
            yield (f"request to wire, control core {control}, {share}", f"push.socket_to_wire_us.{share}",
                   {"dependents": flows, "control": control}, "at most", limit, "grout 46 / 106")


REBOUND = {"flows": 1000000, "change": "more-specific", "share": 7}  # the daemon's own share

# What, figure (or one of its keys, behind a colon), the keys that tell its rows apart, goal, and what is quoted.
GOALS = [
    ("commit to wire", "push.commit_to_wire_ns.p50", {"dependents": 1}, "at most", within_three_round_trips, ""),
    ("the same for one dependent and for a million", "push.flat_ratio", {}, "at most", 1.2, ""),
    ("forwarding lost to 10,000 changes a second, percent", "push.forward_drop", {}, "at most", 2, ""),
    *socket_rows(),
    ("request to wire, beside Linux", "push.socket_vs_linux", {}, "at most", 1, ""),
    *((f"request over a ring page to wire, {share}", f"push.ring_to_wire_us.{share}",
       {"dependents": flows, "control": "polls"}, "at most", limit, "")
      for flows in (1, 1000000) for share, limit in (("p50", 10), ("p99", 30))),
    ("request over a ring page to wire, beside Linux", "push.ring_vs_linux", {}, "at most", 1, ""),
    ("announcement to wire", "push.announce_us.p50", {"control": "polls"}, "at most", 30, "grout 54-72"),
    ("the same, control core sleeps", "push.announce_us.p50", {"control": "sleeps"}, "at most", 30, "grout 54-72"),
    ("changes a second under full load", "push.changes_per_s", {}, "at least", 100000, "grout 1,100"),
    ("a route deleted, one of many", "push.route_delete_us.p50", {}, "at most", 20, "grout 113,000"),
    ("1,000,000 routes in one transaction, seconds", "push.routes_1m_s", {"routes": 1000000}, "at most", 1, "grout 21"),
    ("flows told a second, idle", "push.told_per_s", {"change": "neighbour"}, "at least", 10000000, ""),
    ("forwarding lost while 1,000,000 flows are told, percent", "push.told_ms:dip_percent", {"flows": 1000000},
     "at most", 5, ""),
    ("last of 1,000,000 flows bound anew, ms", "push.rebound_ms", REBOUND, "at most", 100,
     "Open vSwitch 1,000 at 200,000 flows"),
    ("forwarding lost meanwhile, percent", "push.rebound_ms:dip_percent", REBOUND, "at most", 10, ""),
    ("torn headers in 1,000 million frames", "push.torn_frames", {}, "at most", 0, "grout 7 in 12 million"),
    *((f"cost of a packet beside l3fwd, {flows} flows", "forward.vs_l3fwd", {"flows": flows}, "at most", limit, quoted)
      for flows, limit, quoted in ((1, 1.0, "grout about 3"), (1000, 0.9, ""), (100000, 0.7, ""), (1000000, 0.6, ""))),
]

PEERS = {
    "push.socket_to_wire_us.p50": ("push.socket_to_wire_us.linux.p50", "push.socket_to_wire_us.ovs.p50"),
    "push.socket_to_wire_us.p99": ("push.socket_to_wire_us.linux.p99",),
    "push.ring_to_wire_us.p50": ("push.socket_to_wire_us.linux.p50",),
    "push.ring_to_wire_us.p99": ("push.socket_to_wire_us.linux.p99",),
    "push.announce_us.p50": ("push.announce_us.linux.p50",),
    "push.commit_to_wire_ns.p50": ("push.cross_core_ns",),
    "push.torn_frames": ("push.torn_frames.in_place",),
}


def matches(result, figure, keys):
    return result["name"] == figure and all(str(result.get(key)) == str(value) for key, value in keys.items())


def find(results, figure, **keys):
    """The value of the first such result; None if it was not measured."""
    name, _, key = figure.partition(":")
    return next((float(result[key or "value"]) for result in results if matches(result, name, keys)), None)


def is_met(value, word, limit):
    return value >= limit if word == "at least" else value <= limit


def beside(results, figure, number):
    """What else was measured in the same run: 'linux.p50 4.4'."""
    words = []
    for peer in PEERS.get(figure, ()):
        values = [number(result["value"]) for result in results if result["name"] == peer]
        if values:
            words.append(f"{peer.split('.', 1)[1].removeprefix('socket_to_wire_us.')} {' / '.join(values)}")
    return ", ".join(words)


def rows(results, number):
    """The lines of the table, for what was measured. number(value): how it is printed."""
    for what, figure, keys, word, goal, quoted in GOALS:
        value = find(results, figure, **keys)
        if value is None:
            continue
        try:
            limit = goal(lambda name, **more: find(results, name, **more)) if callable(goal) else goal
        except TypeError:  # what the limit is made of was not measured
            continue
        more = "".join(f" {key}={text}" for key, text in keys.items())
        met = "yes" if is_met(value, word, limit) else "no"
        yield [what, f"`{figure}`{more}", f"{word} {number(limit)}", number(value), met, beside(results, figure, number),
               quoted]
