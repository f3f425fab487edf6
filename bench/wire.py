# SPDX-License-Identifier: BSD-3-Clause
"""
From a client's request to the wire, for kedged and for what people use instead, in one run.

kedged: a client (bench/change.c) writes a neighbour's new address to the control socket while one lcore forwards at
full rate; the time is from just before the request is handed to the kernel until the first frame leaves with the new
address. One lcore sends all frames in order, so that is when the old address is gone. The client and the control
core share CPU 0; the worker polls on CPU 1. dependents is the number of flows that are bound to the neighbour.
ring_to_wire: the same client over a page of shared memory (nameserv/ring_client.h) instead of the socket.

Linux: the same through RTM_NEWNEIGH, between network namespaces; the sender, and with it the forwarding, is on CPU 1.
Open vSwitch: a flow_mod, until the last frame with the old address: its cached flows follow one after the other
(exact=1: one cached flow for each connection; exact=0: one for all).

Announcements: the neighbour tells its new address by a gratuitous ARP reply; kedged on af_packet ports and Linux, on
the same veth pairs.

Limits: what a request takes on this machine without Kedge (bench/limits.c), from the client to another process that has
received it, and how often whoever computes is kept from its CPU, which is what a 99th percentile sees: hop=cpu-gaps is
what it would be if each change took what the median one takes, and only these gaps came in between.

Torn headers: as many changes as the socket takes, and the frames in which the destination was neither the old nor
the new address; then the same with a daemon that edits headers in place on purpose, which shows that the test
finds them.
"""

import os
import random
import subprocess

from bench import peers, programs
from bench.push import fill, tsc_ghz
from bench.report import median, percentile, spread

CHANGE = os.path.join(programs.TOP, "build/bench/change")
CROSS_CORE = os.path.join(programs.TOP, "build/bench/cross_core")
LIMITS = os.path.join(programs.TOP, "build/bench/limits")
IN_PLACE = os.path.join(programs.TOP, "build/bench/in_place")
NAME = "/neigh/out/10.0.0.5"
GAP_US = 2000


def change(kedged, mode, count, number):
    command = ["taskset", "-c", "0", CHANGE, mode, os.path.join(kedged.directory, "socket"), kedged.generator.path,
               NAME, str(count), str(number)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(done.stderr.strip())
    return done.stdout.splitlines()


def kedged_times(dependents, changes, polls, mode="one"):
    """Microseconds from the request to the first new frame, for each change; mode as of bench/change.c."""
    with programs.Kedged(1, capacity=max(dependents, 1024) + 1024,
                         arguments=["--poll-control"] if polls else []) as kedged:
        fill(kedged, dependents)
        change(kedged, mode, 100, GAP_US)
        return [int(line.split()[1]) / 1000 for line in change(kedged, mode, changes, GAP_US)]


def measure_kedged(report, times):
    for (mode, polls, size), rounds in times.items():
        name = "push.ring_to_wire_us" if mode == "ring" else "push.socket_to_wire_us"
        word = "polls" if polls else "sleeps"
        every = [value for one in rounds for value in one]
        report.result(name + ".p50", median(every), "us", dependents=size, control=word,
                      range=spread([median(one) for one in rounds]))
        report.result(name + ".p99", percentile(every, 0.99), "us", dependents=size, control=word)


def measure_linux(report, rounds, socket_rounds, ring_rounds):
    every = [value for one, _ in rounds for value in one]
    report.result("push.socket_to_wire_us.linux.p50", median(every), "us", flows=10000,
                  range=spread([median(one) for one, _ in rounds]))
    report.result("push.socket_to_wire_us.linux.p99", percentile(every, 0.99), "us", flows=10000,
                  mpps=f"{median([rate for _, rate in rounds]) / 1e6:.2f}")
    for name, kedged_rounds in (("push.socket_vs_linux", socket_rounds), ("push.ring_vs_linux", ring_rounds)):
        ratios = [median(ours) / median(theirs[0]) for ours, theirs in zip(kedged_rounds, rounds)]
        report.result(name, median(ratios), "ratio", range=spread(ratios))


def measure_open_vswitch(report, quick):
    if not os.path.exists(peers.OVS) or not programs.hugepages():
        print("Open vSwitch is left out: it needs openvswitch-switch-dpdk and hugepages (make hugepages)")
        return
    with programs.Kedged(1) as kedged:
        ghz = tsc_ghz(kedged.generator)
    for flows, exact in [(1, True), (1000, True), (100000, False)] + ([] if quick else [(10000, True), (100000, True)]):
        times, cached = peers.open_vswitch(5 if quick else 11, flows, exact, ghz)
        report.result("push.socket_to_wire_us.ovs.p50", median(times), "us", flows=flows, exact=int(exact),
                      cached=cached, range=spread(times))


def measure_announcements(report, announced, linux):
    rows = [("push.announce_us", announced[polls], {"control": "polls" if polls else "sleeps"})
            for polls in (True, False)]
    for name, rounds, keys in rows + [("push.announce_us.linux", linux, {})]:
        every = [value for one in rounds for value in one]
        report.result(name + ".p50", median(every), "us", range=spread([median(one) for one in rounds]), **keys)
        report.result(name + ".p99", percentile(every, 0.99), "us", **keys)


def measure_torn(report, changes):
    for name, binary, count in (("push.torn_frames", programs.KEDGED, changes),
                                ("push.torn_frames.in_place", IN_PLACE, changes // 10)):
        with programs.Kedged(1, binary=binary) as kedged:
            before = kedged.generator.sent
            done, seconds = change(kedged, "many", count, 64)[0].split()
            frames = kedged.generator.sent - before
            torn = kedged.generator.torn
        report.result(name, torn, "frames", frames=frames, changes=done, changes_per_s=f"{count / float(seconds):.0f}")


def cross_core():
    return float(subprocess.run([CROSS_CORE], capture_output=True, text=True, check=True).stdout)


HOPS = {"socket-polls": ["socket", "polls"], "socket-sleeps": ["socket", "sleeps"], "memory-yield": ["yield"],
        "eventfd-other-cpu": ["wake"]}


def limits(*arguments):
    """Microseconds."""
    lines = subprocess.run([LIMITS, *map(str, arguments)], capture_output=True, text=True, check=True).stdout
    return [int(line) / 1000 for line in lines.splitlines()]


def with_gaps(work, gaps, seconds, trials=20000):
    """What a change takes, in microseconds, that needs `work` of CPU 0 and then a moment of CPU 1, if nothing comes
    in its way but gaps like those that were measured ({cpu: [length]}, in so many seconds): those that begin
    meanwhile on CPU 0, and what is left of the one that CPU 1 is in."""
    random_ = random.Random(1)
    begins = len(gaps[0]) * work / (seconds * 1e6)
    is_in_one = sum(gaps[1]) / (seconds * 1e6)
    times = []
    for _ in range(trials):
        time = work
        if random_.random() < begins:
            time += random_.choice(gaps[0])
        if random_.random() < is_in_one:  # a long one is met more often
            time += random_.choices(gaps[1], weights=gaps[1])[0] * random_.random()
        times.append(time)
    return times


def measure_gaps(report, gaps, work):
    """gaps: {cpu: [[length] of each round of a second]}; work: of a change, in microseconds."""
    for cpu, rounds in gaps.items():
        for above in (10, 50, 100):
            counts = [sum(1 for gap in one if gap > above) for one in rounds]
            report.result("push.cpu_gaps_per_s", median(counts), "1/s", cpu=cpu, above_us=above, range=spread(counts))
    every = {cpu: [gap for one in rounds for gap in one] for cpu, rounds in gaps.items()}
    if all(every.values()):
        times = with_gaps(work, every, len(gaps[0]))
        report.result("push.limit_us.p99", percentile(times, 0.99), "us", hop="cpu-gaps", work=f"{work:.1f}")


def measure_limits(report, hops):
    for name, rounds in hops.items():
        every = [value for one in rounds for value in one]
        report.result("push.limit_us.p50", median(every), "us", hop=name, range=spread([median(one) for one in rounds]))
        report.result("push.limit_us.p99", percentile(every, 0.99), "us", hop=name)


def run(report, rounds, quick):
    sizes = [1, 1000, 1000000]
    changes = 200 if quick else 1000
    ways = [("one", True), ("one", False), ("ring", True)]
    times = {(mode, polls, size): [] for mode, polls in ways for size in sizes}
    linux, round_trips, announced, announced_linux = [], [], {True: [], False: []}, []
    hops, gaps = {name: [] for name in HOPS}, {0: [], 1: []}
    for _ in range(rounds):
        round_trips.append(cross_core())
        for name, list_ in hops.items():
            list_.append(limits(*HOPS[name], changes, GAP_US))
        for cpu, list_ in gaps.items():
            list_.append(limits("gaps", cpu, 1))
        for key, list_ in times.items():
            list_.append(kedged_times(key[2], changes, key[1], key[0]))
        linux.append(peers.linux(changes, 10000))
        for polls, list_ in announced.items():
            list_.append(peers.announced_to_kedged(changes, polls))
        announced_linux.append(peers.announced_to_linux(changes))
    report.result("push.cross_core_ns", median(round_trips), "ns", range=spread(round_trips))
    measure_limits(report, hops)
    measure_gaps(report, gaps, median([value for one in times["one", True, 1] for value in one]))
    measure_kedged(report, times)
    measure_linux(report, linux, times["one", True, 1], times["ring", True, 1])
    measure_announcements(report, announced, announced_linux)
    measure_open_vswitch(report, quick)
    measure_torn(report, 200000 if quick else 10000000)
    report.write()
    report.picture("From a client's request to the first frame with the new address", "dependent flows", "us (median)",
                   {label: [(size, median([v for one in times[mode, polls, size] for v in one])) for size in sizes]
                    for label, mode, polls in (("control core polls", "one", True),
                                               ("control core polls, over a ring", "ring", True),
                                               ("control core sleeps", "one", False))})
