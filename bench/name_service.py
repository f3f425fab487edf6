# SPDX-License-Identifier: BSD-3-Clause
"""
The name service beside the servers that it comes from: kedged --names-only, Debian's oxenstored and xenstored,
and a floor that does nothing (bench/servers.py). The client (bench/names_client.c) speaks the raw protocol and
is the same for all. Server and client share one CPU; they are measured in turn, in rounds; each ratio is one of
the medians. oxenstored runs without its access log, unless the figure is about logs.

  sync       a request, its answer, the next request
  flight     64 requests in one go, and the next 64 when all are answered
  txn        10 reads and 10 writes in a transaction; START is one round trip, all the rest another
  fanout     1,000 watches of one connection on one node: from a write until the last event
  elsewhere  what a write costs while 100,000 other nodes are watched
  load       writing 100,000 nodes with values of 16 bytes, 64 in flight; memory a node; removing them all
  memory     memory a node with 1,000,000 of them
  growth     creating, overwriting, removing a node among 1,000 to 1,000,000, one at a time
  list       the names of 10,000 children: in parts, all asked for at once, or in one answer of a server
             that sends more than the protocol allows
  worst      the slowest of 30,000 writes among 100,000 nodes, all logs on
"""

import contextlib

from bench import servers
from bench.report import median, spread

CPU = 1
XENSTORED_NODES_MAX = 100000  # it takes half a minute to load them, and most of an hour for ten times as many


class Bench:
    """What all figures need: where results go, how many rounds, and whether it is only to see that it works."""

    def __init__(self, report, rounds, quick):
        self.report, self.rounds, self.quick = report, rounds, quick
        self.series = {}

    def count(self, full):
        """How many operations; a tenth in quick mode."""
        return max(1, full // 10) if self.quick else full

    def start(self, stack, names, **options):
        """Running servers: {name: Server}."""
        kinds = {"floor": servers.floor, "kedged": servers.kedged, **servers.PEERS}
        return {name: stack.enter_context(kinds[name](CPU, **options)) for name in names}

    def rounds_of(self, running, measure):
        """measure(server), in turn; {name: [value of each round]}."""
        values = {name: [] for name in running}
        for _ in range(self.rounds):
            for name, server in running.items():
                values[name].append(measure(server))
        return values

    def results(self, figure, unit, values, operations=None, **keys):
        """operations: how many of them a round has, by server; a slow one gets fewer."""
        for name, measured in values.items():
            more = {"operations": operations(name)} if operations else {}
            self.report.result(f"names.{figure}", median(measured), unit, server=name, range=spread(measured), **keys,
                               **more)

    def ratio(self, figure, ours, theirs, goal, **keys):
        """goal: 'at least 20', 'at most 0.1'; beside a peer or the floor."""
        ratio, (word, limit) = ours / theirs, goal.removeprefix("at ").split()
        met = ratio >= float(limit) if word == "least" else ratio <= float(limit)
        self.report.result(f"names.{figure}", ratio, "ratio", goal=goal.replace(" ", "_"), met="yes" if met else "no",
                           **keys)

    def beside_peers(self, figure, unit, values, better, goal, operations=None, **keys):
        """Results of all, and our ratio to the better peer. better: max or min."""
        self.results(figure, unit, values, operations, **keys)
        peers = {name: median(measured) for name, measured in values.items() if name in servers.PEERS}
        best = better(peers, key=peers.get)
        self.ratio(f"{figure}.ratio", median(values["kedged"]), peers[best], goal, server="kedged", beside=best, **keys)


ALL = ("floor", "kedged", "oxenstored", "xenstored")
SERVERS = ALL[1:]


def sync(bench):
    with contextlib.ExitStack() as stack:
        running = bench.start(stack, ALL)
        for kind in ("read", "write"):
            values = bench.rounds_of(
                running, lambda server, kind=kind: server.client("flight", kind, 1, bench.count(30000))["rate"])
            bench.results(f"sync.{kind}", "1/s", values)
            bench.ratio(f"sync.{kind}.of_floor", median(values["kedged"]), median(values["floor"]), "at least 0.9",
                        server="kedged", beside="floor")


def flight(bench):
    def operations(name):
        return bench.count({"floor": 2000000, "kedged": 1000000}.get(name, 50000))

    with contextlib.ExitStack() as stack:
        running = bench.start(stack, ALL)
        for kind in ("read", "write"):
            values = bench.rounds_of(running, lambda server, kind=kind: server.client(
                "flight", kind, 64, operations(server.name))["rate"])
            bench.beside_peers(f"flight64.{kind}", "1/s", values, max, "at least 20", operations)


def txn(bench):
    def operations(name):
        return bench.count({"kedged": 20000}.get(name, 2000))

    with contextlib.ExitStack() as stack:
        running = bench.start(stack, SERVERS)
        values = bench.rounds_of(running, lambda server: server.client(
            "txn", 10, 10, operations(server.name))["rate"])
        bench.beside_peers("transaction", "1/s", values, max, "at least 15", operations, reads=10, writes=10)


def fanout(bench):
    watches = 1000
    with contextlib.ExitStack() as stack:
        running = bench.start(stack, SERVERS)
        values = bench.rounds_of(running, lambda server: server.client("fanout", watches, bench.count(50))["p50"])
        bench.beside_peers("fanout", "us", values, min, "at most 0.1", watches=watches)


def elsewhere(bench):
    watches = {"kedged": 100000, "oxenstored": 100000, "xenstored": 10000}
    operations = {"kedged": 20000, "oxenstored": 20000, "xenstored": 2000}
    with contextlib.ExitStack() as stack:
        for name, server in bench.start(stack, SERVERS).items():
            medians = {}
            for count in (0, watches[name]):
                values = [server.client("elsewhere", count, bench.count(operations[name]))["p50"]
                          for _ in range(bench.rounds)]
                medians[count] = median(values)
                bench.report.result("names.elsewhere", medians[count], "us", server=name, range=spread(values),
                                    watches=count)
            if name == "kedged":
                bench.ratio("elsewhere.ratio", medians[watches[name]], medians[0], "at most 1.1", server=name,
                            watches=watches[name])


def load_one(name, nodes):
    """Rate, bytes a node, and milliseconds to remove all."""
    with contextlib.ExitStack() as stack:
        kinds = {"kedged": servers.kedged, **servers.PEERS}
        server = stack.enter_context(kinds[name](CPU))
        server.client("load", 0, 1)
        before = server.resident()
        rate = server.client("load", 0, nodes)["rate"]
        return rate, (server.resident() - before) / nodes, server.client("unload")["p50"] / 1000


def load(bench):
    nodes = 100000
    measured = {name: [] for name in SERVERS}
    for index in range(bench.rounds):
        for name in SERVERS:
            if name != "xenstored" or index == 0:  # which takes half a minute, once
                measured[name].append(load_one(name, bench.count(nodes)))
    columns = [{name: [row[i] for row in rows] for name, rows in measured.items()} for i in range(3)]
    bench.beside_peers("load", "1/s", columns[0], max, "at least 10", nodes=bench.count(nodes))
    bench.beside_peers("memory", "B/node", columns[1], min, "at most 1", nodes=bench.count(nodes))
    bench.beside_peers("unload", "ms", columns[2], min, "at most 1", nodes=bench.count(nodes))


def memory(bench):
    """xenstored is left out: it takes most of an hour to load them."""
    nodes = bench.count(1000000)
    values = {name: [load_one(name, nodes)[1]] for name in ("kedged", "oxenstored")}
    bench.beside_peers("memory", "B/node", values, min, "at most 1", nodes=nodes)


def growth(bench):
    sizes = [1000, 100000] if bench.quick else [1000, 10000, 100000, 1000000]
    most = {"kedged": sizes[-1], "oxenstored": sizes[-1], "xenstored": XENSTORED_NODES_MAX}
    operations = 2000
    for name in SERVERS:
        with contextlib.ExitStack() as stack:
            running = {}
            for size in [size for size in sizes if size <= most[name]]:
                running[size] = bench.start(stack, [name])[name]
                running[size].client("load", 0, size)
            growth_of(bench, name, running, operations)


def growth_of(bench, name, running, operations):
    """running: {size: Server} of one kind."""
    figures = {"create": {}, "overwrite": {}, "remove": {}}
    for _ in range(bench.rounds):
        for size, server in running.items():
            for figure, value in server.client("change", size, bench.count(operations)).items():
                figures[figure].setdefault(size, []).append(value)
    for figure, by_size in figures.items():
        for size, measured in by_size.items():
            bench.report.result(f"names.{figure}", median(measured), "us", server=name, range=spread(measured),
                                nodes=size)
        smallest, largest = min(by_size), max(by_size)
        ratio = median(by_size[largest]) / median(by_size[smallest])
        if name == "kedged":
            bench.ratio(f"{figure}.growth", ratio, 1, "at most 1.5", server=name, nodes=largest)
        else:
            bench.report.result(f"names.{figure}.growth", ratio, "ratio", server=name, nodes=largest)
        bench.series[f"{name}: {figure}"] = [(size, median(measured)) for size, measured in by_size.items()]


def listing(bench):
    children = 10000
    with contextlib.ExitStack() as stack:
        running = bench.start(stack, SERVERS)
        values = bench.rounds_of(running, lambda server: server.client("list", children, bench.count(200))["p50"])
        bench.beside_peers("list", "us", values, min, "at most 0.2", children=children)


def worst(bench):
    nodes = 100000

    def operations(name):
        return bench.count({"xenstored": 3000}.get(name, 30000))

    with contextlib.ExitStack() as stack:
        running = bench.start(stack, SERVERS, logs=True)
        for server in running.values():
            server.client("load", 0, bench.count(nodes))
        values = bench.rounds_of(running, lambda server: server.client(
            "worst", bench.count(nodes), operations(server.name)))
        for key in ("p50", "p999", "max"):
            column = {name: [row[key] / 1000 for row in rows] for name, rows in values.items()}
            bench.results(f"worst.{key}", "ms", column, operations, nodes=bench.count(nodes))
        bench.ratio("worst.of_2ms", median([row["max"] / 1000 for row in values["kedged"]]), 2, "at most 1",
                    server="kedged")


FIGURES = {"sync": sync, "flight": flight, "txn": txn, "fanout": fanout, "elsewhere": elsewhere, "load": load,
           "memory": memory, "growth": growth, "list": listing, "worst": worst}


def run(report, rounds, quick, only):
    bench = Bench(report, rounds, quick)
    for name, figure in FIGURES.items():
        if not only or name in only:
            figure(bench)
    if only:
        report.keep_others()
    report.write()
    if bench.series:
        report.picture("Creating, overwriting and removing a node among others", "nodes", "microseconds, median",
                       bench.series)
