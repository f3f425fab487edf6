# SPDX-License-Identifier: BSD-3-Clause
"""
How long a change takes to the wire, by one clock (the TSC): from just before the new version is published
until no frame leaves with the old header any more; with one dependent flow and with many, under the same
traffic.

One lcore sends all frames, in order. So the first frame with the new header tells when the old one is gone,
and that is the figure; when exactly the last old one left, which often is before the publication, stands
beside it (last_old).

The traffic is one flow at full rate in both cases. What differs is how many other flows are bound to the
neighbour that moves: they were all used before, and none has been forgotten. Both cases are measured in the same
process, first the one and then the other, because where a process happens to lie in memory makes more of a difference
than anything else; flat_ratio is the median of many such pairs, with its 95 percent interval.

p50 and p99 may lie far apart, about a microsecond and most of a millisecond: on a virtual machine that shares its
CPUs, the host takes a CPU away from the worker or the control core for a slice of its scheduler, and a change
that falls into one waits until it is over. Each such case counts: p99 says how often the machine did that (more
than one change in a hundred), p50 what the program costs. `last_old` of those changes is small: old frames do not
leave in the meantime either, nothing does.
"""

import time

from bench import programs
from bench.report import interval, median, percentile, spread

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
        bound = int(kedged.names.read("/stats/lcore/0/flow/flows"))
    kedged.generator.set_flows(1)
    time.sleep(0.1)


def change(kedged, mark):
    """Give the neighbour another MAC address; answers when it was published."""
    kedged.names.write("/neigh/out/10.0.0.5", programs.mac_of(mark) + " static")
    return int(kedged.names.read("/stats/store/published_clock"))


def times_to_wire(kedged, changes, ghz):
    """For each change, nanoseconds from before the publication to the last frame with the old address (0 if
    none left after it), and to the first with the new one."""
    last_old, first_new = [], []
    generator = kedged.generator
    old, new = OLD, NEW
    for _ in range(changes):
        generator.clear(new)
        published = change(kedged, new)
        time.sleep(GAP)
        last_old.append(max(0, generator.last(old) - published) / ghz)
        first_new.append((generator.first(new) - published) / ghz)
        old, new = new, old
    return last_old, first_new


def measure_pair(many, changes, warm=100):
    """The times with one dependent flow and with many, of one daemon: {dependents: (last_old, first_new)}."""
    times = {}
    with programs.Kedged(1, capacity=many + 1024) as kedged:
        ghz = tsc_ghz(kedged.generator)
        for dependents in (1, many):
            fill(kedged, dependents)
            times_to_wire(kedged, warm, ghz)
            times[dependents] = times_to_wire(kedged, changes, ghz)
        bound = int(kedged.names.read("/stats/lcore/0/flow/flows"))
        if bound < many:
            raise RuntimeError(f"only {bound} of {many} flows were bound at the end")
        if kedged.generator.torn:
            raise RuntimeError(f"{kedged.generator.torn} frames had a torn header")
    return times


def report_times(report, dependents, rounds):
    last_old = [value for old, _ in rounds for value in old]
    first_new = [value for _, new in rounds for value in new]
    report.result("push.commit_to_wire_ns.p50", median(first_new), "ns", dependents=dependents,
                  range=spread([median(new) for _, new in rounds]), last_old=f"{median(last_old):.4g}")
    report.result("push.commit_to_wire_ns.p99", percentile(first_new, 0.99), "ns", dependents=dependents,
                  last_old=f"{percentile(last_old, 0.99):.4g}")
    return median(first_new)


def run(report, many, pairs, changes):
    measured = [measure_pair(many, changes) for _ in range(pairs)]
    points = [(dependents, report_times(report, dependents, [times[dependents] for times in measured]))
              for dependents in (1, many)]
    ratios = [median(times[many][1]) / median(times[1][1]) for times in measured]
    report.result("push.flat_ratio", median(ratios), "ratio", dependents=many, range=spread(ratios),
                  interval=interval(ratios), pairs=pairs)
    report.write()
    report.picture("From the publication to the first frame with the new header", "dependent flows", "ns (median)",
                   {"kedged": points})
