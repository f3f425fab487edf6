# SPDX-License-Identifier: BSD-3-Clause
"""
What it costs to forward a packet: cycles of one lcore, everything included (generator, driver, look-up,
rewrite, counters), at several numbers of flows; beside testpmd (which looks nothing up) and DPDK's own l3fwd
in exact-match mode, in the same run, rounds alternating.
"""

import tempfile

from bench import programs
from bench.report import median, spread

SETTLE = 0.7


def programs_at(flows, l3fwd_binary, rules):
    return {
        "generator": lambda: programs.testpmd("io", flows),
        "testpmd": lambda: programs.testpmd("macswap", flows),
        "l3fwd": lambda: programs.l3fwd(l3fwd_binary, rules, flows),
        "kedged": lambda: programs.Kedged(flows),
    }


def warm(program, flows):
    """Until every flow has been seen several times."""
    program.cycles(SETTLE)
    while program.generator.sent < 4 * flows:
        program.cycles(0.2)


def measure_at(flows, rounds, seconds, binary):
    figures = {}
    with tempfile.TemporaryDirectory(prefix="kedge-rules-") as rules:
        programs.write_rules(rules, flows)
        for _ in range(rounds):
            for name, start in programs_at(flows, binary, rules).items():
                with start() as program:
                    warm(program, flows)
                    figures.setdefault(name, []).append(program.cycles(seconds))
    return figures


def run(report, sizes, rounds, seconds):
    series = {}
    with tempfile.TemporaryDirectory(prefix="kedge-l3fwd-") as directory:
        binary = programs.build_l3fwd(directory)
        for flows in sizes:
            figures = measure_at(flows, rounds, seconds, binary)
            share = median(figures["generator"])
            for name, values in figures.items():
                series.setdefault(name, []).append((flows, median(values)))
            report.result("forward.cycles", median(figures["kedged"]), "cycles/packet", flows=flows,
                          range=spread(figures["kedged"]), generator=f"{share:.4g}")
            for peer in ("testpmd", "l3fwd"):
                report.result(f"forward.cycles.{peer}", median(figures[peer]), "cycles/packet", flows=flows,
                              range=spread(figures[peer]), generator=f"{share:.4g}")
            ratios = [ours / theirs for ours, theirs in zip(figures["kedged"], figures["l3fwd"])]
            report.result("forward.vs_l3fwd", median(ratios), "ratio", flows=flows, range=spread(ratios))
    report.write()
    report.picture("Cost of forwarding a packet on one core", "flows", "cycles per packet, everything included",
                   series)
