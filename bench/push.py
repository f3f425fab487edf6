# SPDX-License-Identifier: BSD-3-Clause
"""
How long a change takes to the wire: from just before the new version is published, to the last frame that
still leaves with the old header, by the same clock (the TSC): with one dependent flow and with many, under
the same traffic.

The traffic is one flow at full rate in both cases. What differs is how many other flows are bound to the
neighbour that moves: they were all used before, and none has been forgotten.
"""

import time

from bench import programs
from bench.report import median, percentile, spread

OLD, NEW = 5, 6
GAP = 0.002  # between two changes; a change is on the wire long before


def tsc_ghz(generator):
    start, clock = generator.tsc, time.monotonic_ns()
    time.sleep(0.5)
    return (generator.tsc - start) / (time.monotonic_ns() - clock)


def fill(kedged, flows):
    """Use every flow once or more, then go back to one."""
    kedged.generator.set_flows(flows)
    bound = 0
    while bound < flows:
        time.sleep(0.2)
        bound = int(kedged.names.read("/stats/lcore/0/flows"))
    kedged.generator.set_flows(1)
    time.sleep(0.1)


def change(kedged, mark):
    """Give the neighbour another MAC address; answers when it was published."""
    kedged.names.write("/neigh/out/10.0.0.5", programs.mac_of(mark) + " static")
    return int(kedged.names.read("/stats/store/published_clock"))


def times_to_wire(kedged, changes, ghz):
    """Nanoseconds from before the publication to the last frame with the old address."""
    times = []
    old, new = OLD, NEW
    for _ in range(changes):
        published = change(kedged, new)
        time.sleep(GAP)
        last = kedged.generator.last(old)
        times.append(max(0, last - published) / ghz)
        old, new = new, old
    return times


def measure(dependents, changes, warm=100):
    with programs.Kedged(1, capacity=max(dependents, 1024) + 1024) as kedged:
        fill(kedged, dependents)
        ghz = tsc_ghz(kedged.generator)
        times_to_wire(kedged, warm, ghz)
        times = times_to_wire(kedged, changes, ghz)
        bound = int(kedged.names.read("/stats/lcore/0/flows"))
        if bound < dependents:
            raise RuntimeError(f"only {bound} of {dependents} flows were bound at the end")
        if kedged.generator.torn:
            raise RuntimeError(f"{kedged.generator.torn} frames had a torn header")
        return times


def run(report, many, rounds, changes):
    few, lots = [], []
    for _ in range(rounds):
        few.append(measure(1, changes))
        lots.append(measure(many, changes))
    for dependents, measured in ((1, few), (many, lots)):
        medians = [median(times) for times in measured]
        everything = [value for times in measured for value in times]
        report.result("push.commit_to_wire_ns.p50", median(everything), "ns", dependents=dependents,
                      range=spread(medians))
        report.result("push.commit_to_wire_ns.p99", percentile(everything, 0.99), "ns", dependents=dependents)
    ratios = [median(b) / median(a) for a, b in zip(few, lots)]
    report.result("push.flat_ratio", median(ratios), "ratio", dependents=many, range=spread(ratios))
    report.write()
    report.picture("From the publication to the last frame with the old header", "dependent flows", "ns (median)",
                   {"kedged": [(1, median([v for t in few for v in t])), (many, median([v for t in lots for v in t]))]})
