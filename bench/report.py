# SPDX-License-Identifier: BSD-3-Clause
"""Results: a line 'BENCH name value unit key=value...', the same as JSON, and a picture."""

import datetime
import json
import os
import platform
import statistics
import subprocess

RESULTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "results")


def median(values):
    return statistics.median(values)


def spread(values):
    """The range beside a median, as text."""
    return f"{min(values):.4g}..{max(values):.4g}"


def interval(values):
    """The 95 percent interval of a median, from the values in order (binomial), as text."""
    ordered, count = sorted(values), len(values)
    outside = max(0, int((count - 1.96 * count ** 0.5) / 2))
    return f"{ordered[outside]:.4g}..{ordered[count - 1 - outside]:.4g}"


def percentile(values, share):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def _output(*command):
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def machine():
    """What the figures were measured on."""
    model = "unknown"
    with open("/proc/cpuinfo", encoding="ascii") as file:
        for line in file:
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    with open("/proc/meminfo", encoding="ascii") as file:
        pages = [line.split()[1] for line in file if line.startswith("HugePages_Total")]
    return {
        "date": datetime.date.today().isoformat(),
        "cpu": model,
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "hugepages": int(pages[0]) if pages else 0,
        "dpdk": _output("dpkg-query", "-W", "-f", "${Version}", "dpdk"),
        "commit": _output("git", "rev-parse", "--short", "HEAD"),
    }


class Report:
    """Collects the results of one run of a benchmark."""

    def __init__(self, name, command):
        self.name = name
        self.data = {"benchmark": name, "command": command, "machine": machine(), "results": []}

    def result(self, name, value, unit, **keys):
        words = " ".join(f"{key}={text}" for key, text in keys.items())
        print(f"BENCH {name} {value:.6g} {unit} {words}".rstrip(), flush=True)
        self.data["results"].append({"name": name, "value": value, "unit": unit, **keys})

    def path(self, ending):
        os.makedirs(RESULTS, exist_ok=True)
        return os.path.join(RESULTS, f"{self.name}.{ending}")

    def keep_others(self):
        """Some figures were measured again: the other results of the last run stay."""
        def what(result):
            return {key: text for key, text in result.items()
                    if key not in ("value", "range", "beside", "goal", "met")}
        try:
            with open(self.path("json"), encoding="ascii") as file:
                before = json.load(file)["results"]
        except OSError:
            return
        new = [what(result) for result in self.data["results"]]
        kept = [result for result in before if what(result) not in new]
        self.data["results"] = kept + self.data["results"]
        self.data["earlier"] = bool(kept)

    def write(self):
        with open(self.path("json"), "w", encoding="ascii") as file:
            json.dump(self.data, file, indent=1)
            file.write("\n")

    def picture(self, title, xlabel, ylabel, series, logarithmic=True, log_y=False):
        """series: {label: [(x, y), ...]}; drawn by gnuplot, as SVG."""
        def quoted(text):
            return "'" + text.replace("'", "''") + "'"

        script = [
            "set terminal svg size 800,500 background 'white'",
            f"set output '{self.path('svg')}'",
            f"set title {quoted(title)}",
            f"set xlabel {quoted(xlabel)}",
            f"set ylabel {quoted(ylabel)}",
            "set grid",
            "set key top left",
            "set logscale y" if log_y else "set yrange [0:*]",
        ]
        if logarithmic:
            script += ["set logscale x", "set format x '10^{%T}'"]
        blocks = []
        for number, (label, points) in enumerate(series.items()):
            rows = "\n".join(f"{x} {y}" for x, y in points)
            script.append(f"$s{number} << EOD\n{rows}\nEOD")
            blocks.append(f"$s{number} with linespoints linewidth 2 title {quoted(label)}")
        script.append("plot " + ", ".join(blocks))
        try:
            subprocess.run(["gnuplot"], input="\n".join(script), text=True, check=True)
        except (OSError, subprocess.CalledProcessError) as error:
            print(f"no picture: {error}")
