# SPDX-License-Identifier: BSD-3-Clause
"""
The push at scale, inside one process (bench/scale.c says what each figure is): memory of a flow and a name, commits
a second and what they cost forwarding, routes in one transaction and single deletions, flows told of a change, flows
bound anew and the dip in forwarding meanwhile, and what waits for an lcore that stands still.
"""

import os
import subprocess

from bench import programs

PROGRAM = os.path.join(programs.TOP, "build/bench/scale")
FIGURES = ["memory", "changes", "routes", "told", "rebound", "stopped"]


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


def run(report, size, rounds, growth):
    """growth: more numbers of flows, to measure the memory at."""
    for name, value, unit, keys in figures(size, rounds):
        report.result(name, value, unit, **keys)
    for flows in growth:
        for name, value, unit, keys in figures(flows, rounds, ["memory"]):
            report.result(name, value, unit, **keys)
    report.write()
