# SPDX-License-Identifier: BSD-3-Clause
"""
The push at scale, inside one process (bench/scale.c says what each figure is): memory of a flow and a name, commits
a second and what they cost forwarding, routes in one transaction and single deletions, flows told of a change, flows
bound anew and the dip in forwarding meanwhile, the same with other shares of the lcore's time, and what waits for an
lcore that stands still.
"""

import os
import subprocess

from bench import programs

PROGRAM = os.path.join(programs.TOP, "build/bench/scale")
FIGURES = ["memory", "changes", "routes", "told", "rebound", "shares", "stopped"]


def parse(line):
    """'BENCH name value unit key=value...' -> name, value, unit, {key: value}"""
    _, name, value, unit, *rest = line.split()
    return name, float(value), unit, dict(word.split("=", 1) for word in rest)


def figures(size, rounds, which=None):
    """The results of one run, one figure after the other, each in a process of its own."""
    for figure in which or FIGURES:
        output = subprocess.run([PROGRAM, "--flows", str(size), "--routes", str(size), "--rounds", str(rounds), figure],
                                stdout=subprocess.PIPE, text=True, check=True).stdout
        yield from (parse(line) for line in output.splitlines() if line.startswith("BENCH "))


def picture(report):
    """How long until the last flow is bound anew by a more specific route, by the share of time that walks have."""
    series = {}
    for result in report.data["results"]:
        if result["name"] == "push.rebound_ms" and result["change"] == "more-specific":
            series.setdefault(int(result["share"]), []).append(
                (int(result["flows"]), result["value"], float(result["dip_percent"])))
    lines = {}
    for share, points in sorted(series.items()):
        dip = max(point[2] for point in points)
        lines[f"{share} % of the time: forwarding loses at most {dip:.0f} %"] = [point[:2] for point in sorted(points)]
    report.picture("Until the last flow is bound anew, at full load", "flows concerned", "ms", lines, log_y=True)


def run(report, size, rounds, growth):
    """growth: more numbers of flows, to measure the memory at."""
    for name, value, unit, keys in figures(size, rounds):
        report.result(name, value, unit, **keys)
    for flows in growth:
        for name, value, unit, keys in figures(flows, rounds, ["memory"]):
            report.result(name, value, unit, **keys)
    report.write()
    picture(report)
