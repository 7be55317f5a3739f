#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compares the thread benchmarks on libc's threads and on libmn's, run by run, and Go's goroutines.

Each row of threads_bench runs in processes of its own, natively and with libmn preloaded in turn,
and so does its counterpart in go/threads.go where go was installed when that was to be built: so
all see the same machine. With MN_PROCS=N all are kept on the same N CPUs, if there are that many.
A ratio is native / libmn, or go / libmn: how many times cheaper libmn is. Figures that must be
reached come from targets.csv.
"""

import argparse
import csv
import json
import os
import re
import statistics
import subprocess
import sys

from common import (GO, LIBMN, NATIVE, ROOT, Stop, check_at_work, cpus_for, environment, last_line,
                    machine, number, positive, spread)  # fmt: skip

TARGETS = os.path.join(ROOT, "bench", "targets.csv")

# What Google Benchmark appends to the name of a row to say how it was measured.
SUFFIX = re.compile(r"/(iterations:\d+|repeats:\d+|process_time|real_time|manual_time)(?=/|$)")
NS_PER_UNIT = {"ns": 1, "us": 1e3, "ms": 1e6, "s": 1e9}

# Rows that need more memory than many machines have (about 12 GB).
LARGE = re.compile(r"^alive/threads:1000000/")

# ---- running ------------------------------------------------------------------------------------


def list_rows(binary):
    """The rows of the benchmark: short name to full name, in the program's order."""
    command = [binary, "--benchmark_list_tests=true"]
    try:
        out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        raise Stop(f"cannot list the benchmarks (are they built?): {error}") from error
    return {SUFFIX.sub("", name): name for name in out.split()}


def list_go_rows(program):
    """Those that have a counterpart; none where there is no Go."""
    if not os.path.exists(program):
        print("go: not installed when the benchmarks were built", file=sys.stderr)
        return frozenset()
    return frozenset(subprocess.run([program, "-list"], check=True, capture_output=True,
                                    text=True).stdout.split())  # fmt: skip


def command_of(options, side, full_name):
    if side == GO:
        return [options.go, "-row", SUFFIX.sub("", full_name), "-min_time", str(options.min_time)]
    return [
        options.bench,
        f"--benchmark_filter=^{re.escape(full_name)}$",
        "--benchmark_format=json",
        f"--benchmark_min_time={options.min_time}",
    ]


def run_once(options, side, full_name, procs):
    """Runs one row once. Returns (metrics, None), or (None, why there are none)."""
    command = command_of(options, side, full_name)
    cpus = cpus_for(procs)
    try:
        done = subprocess.run(
            command,
            env=environment(side, procs, options.lib),
            preexec_fn=lambda: os.sched_setaffinity(0, cpus),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=options.timeout,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return None, f"failed: did not end within {options.timeout} s"
    if done.returncode == 125 and side == LIBMN:
        raise Stop(last_line(done.stderr))
    if done.returncode != 0:
        how = f"signal {-done.returncode}" if done.returncode < 0 else f"status {done.returncode}"
        return None, f"failed: {how} {last_line(done.stderr)}".rstrip()
    if side == LIBMN:
        check_at_work(done.stderr, procs)
    try:
        (result,) = json.loads(done.stdout)["benchmarks"]
    except (ValueError, KeyError) as error:
        return None, f"failed: no result ({error})"
    if result.get("error_occurred"):
        return None, result["error_message"]
    metrics = {name: value for name, value in result.items() if isinstance(value, (int, float))}
    scale = NS_PER_UNIT[result["time_unit"]]
    metrics["time"] = result["real_time"] * scale
    metrics["cpu"] = result["cpu_time"] * scale
    return metrics, None


def run_in_turn(options, full_name, procs):
    """All sides of a row, and which of them goes first changes, too."""
    sides = [NATIVE, LIBMN]
    if SUFFIX.sub("", full_name) in options.go_rows:
        sides.append(GO)
    runs = {NATIVE: [], LIBMN: [], GO: []}
    errors = {NATIVE: None, LIBMN: None, GO: None}
    for number in range(options.n):
        first = number % len(sides)
        for side in sides[first:] + sides[:first]:
            if errors[side] is None:  # what cannot be done once is not tried again
                metrics, errors[side] = run_once(options, side, full_name, procs)
                runs[side].append(metrics)
    for side, error in errors.items():
        if error is not None:
            runs[side] = []
    return runs, errors


# ---- figures ------------------------------------------------------------------------------------


def read_targets():
    """(row, metric) to the lines of targets.csv about it."""
    targets = {}
    with open(TARGETS, encoding="utf-8", newline="") as file:
        for line in csv.DictReader(text for text in file if not text.startswith("#")):
            for column in ("must", "aim", "ratio"):
                line[column] = float(line[column]) if line[column] else None
            targets.setdefault((line["row"], line["metric"]), []).append(line)
    return targets


def ratio(values, other):
    """How many times cheaper libmn is than the other; of pairs the least and the most."""
    if not values[other] or not values[LIBMN] or min(values[LIBMN]) <= 0:
        return None
    found = spread([a / b for a, b in zip(values[other], values[LIBMN])])
    found["median"] = statistics.median(values[other]) / statistics.median(values[LIBMN])
    return found


def summarise(row, metric, unit, procs, runs, errors, target):
    """One line of the table, with everything that --json keeps."""
    scale = NS_PER_UNIT.get(unit, 1)
    values = {
        side: [metrics[metric] / scale for metrics in runs[side] if metric in metrics]
        for side in (NATIVE, LIBMN, GO)
    }
    line = {"row": row, "metric": metric, "unit": unit, "procs": procs, "errors": errors}
    for side in (NATIVE, LIBMN, GO):
        line[side] = spread(values[side])
        line[side + "_runs"] = values[side]
    line["ratio"] = ratio(values, NATIVE)
    line["go_ratio"] = ratio(values, GO)
    for column in ("must", "aim"):
        line[column] = target[column] if target else None
    line["must_ratio"] = target["ratio"] if target else None
    line["verdict"] = verdict(line)
    return line


def verdict(line):
    """FAIL, MISS, ok (what must be reached is) or aim; empty if there is no figure to reach."""
    error = line["errors"][LIBMN]
    if error is not None and not error.startswith(("cannot:", "skipped:")):
        return "FAIL"
    if line[LIBMN] is None:
        must = line["must"] is not None and not (error or "").startswith("skipped:")
        return "MISS" if must else "-"
    reached = []
    if line["must"] is not None:
        reached.append(line[LIBMN]["median"] <= line["must"])
    if line["must_ratio"] is not None and line["ratio"] is not None:
        reached.append(line["ratio"]["median"] >= line["must_ratio"])
    if not reached:
        return ""
    if not all(reached):
        return "MISS"
    return "aim" if line["aim"] is not None and line[LIBMN]["median"] <= line["aim"] else "ok"


def unit_of(row, targets):
    """The unit that a row's time is shown in."""
    if (row, "time") in targets:
        return targets[row, "time"][0]["unit"]
    return "ms" if row.startswith("skynet") else "ns"


def lines_of_row(row, procs, runs, errors, targets):
    """A row's time, then each of its counters that a figure is set for."""
    units = {"time": unit_of(row, targets)}
    units.update({m: t[0]["unit"] for (r, m), t in targets.items() if r == row and m != "time"})
    for metric, unit in units.items():
        about = targets.get((row, metric), [])
        target = next((t for t in about if t["procs"] in (str(procs), "*")), None)
        yield summarise(row, metric, unit, procs, runs, errors, target)


# ---- the table ----------------------------------------------------------------------------------

LAYOUT = "{:<40} {:>2}  {:>26}  {:>26}  {:>20}  {:>9} {:>10}  {:>9} {:>7} {:>6}  {}"


def cell(figures, error):
    if figures is None:
        return (error or "none").split(":")[0]
    return f"{number(figures['median'])} ({number(figures['min'])}–{number(figures['max'])})"


def print_header():
    print(
        LAYOUT.format(
            "row", "P", "native: median (min–max)", "libmn: median (min–max)", "native / libmn",
            "go", "go / libmn", "must", "aim", "must x", "verdict",
        )
    )  # fmt: skip


def print_line(line):
    name = line["row"] if line["metric"] == "time" else f"  {line['metric']}"
    print(
        LAYOUT.format(
            f"{name}, {line['unit']}",
            line["procs"],
            cell(line[NATIVE], line["errors"][NATIVE]),
            cell(line[LIBMN], line["errors"][LIBMN]),
            cell(line["ratio"], "-"),
            number(line[GO]["median"]) if line[GO] else "-",
            f"{line['go_ratio']['median']:.2f}" if line["go_ratio"] else "-",
            number(line["must"]),
            number(line["aim"]),
            number(line["must_ratio"]),
            line["verdict"],
        ).rstrip(),
        flush=True,
    )
    if line["metric"] == "time":
        for side, error in line["errors"].items():
            if error:
                print(f"  {side}: {error}", flush=True)


# ---- the command --------------------------------------------------------------------------------


def procs_list(text):
    return [positive(part) for part in text.split(",")]


def regex(text):
    try:
        return re.compile(text)
    except re.error as error:
        raise argparse.ArgumentTypeError(f"bad regular expression: {error}") from error


def parse_options():
    parser = argparse.ArgumentParser(
        description=__doc__,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("-n", type=positive, default=7, metavar="RUNS", help="runs of each side (default 7)")
    add("--only", type=regex, metavar="REGEX", help="only rows whose name the regex finds")
    add("--procs", type=procs_list, default=[1, 2], metavar="N[,N…]",
        help="values of MN_PROCS (default 1,2)")  # fmt: skip
    add("--min-time", type=float, default=0.2, metavar="SECONDS",
        help="how long a row runs each time (default 0.2)")  # fmt: skip
    add("--timeout", type=float, default=120, metavar="SECONDS",
        help="after which a row counts as hung (default 120)")  # fmt: skip
    add("--large", action="store_true", help="also 1,000,000 threads alive (12 GB)")
    add("--json", metavar="FILE", help="write every figure of every run to FILE")
    add("--check", action="store_true", help="exit with status 1 if a figure is missed")
    add("--list", action="store_true", help="list the rows and end")
    add("--lib", default=os.path.join(ROOT, "build", "libmn.so"), help="default build/libmn.so")
    add("--bench", default=os.path.join(ROOT, "build", "bench", "threads_bench"),
        help="default build/bench/threads_bench")  # fmt: skip
    add("--go", default=os.path.join(ROOT, "build", "bench", "threads_go"), metavar="PROGRAM",
        help="default build/bench/threads_go; left out where that was not built")  # fmt: skip
    options = parser.parse_args()
    options.lib = os.path.abspath(options.lib)
    options.bench = os.path.abspath(options.bench)
    return options


def measure(options, rows):
    """Runs and prints every row; returns the lines of the table."""
    targets = read_targets()
    lines = []
    print_header()
    for row, full_name in rows.items():
        for procs in options.procs:
            runs, errors = run_in_turn(options, full_name, procs)
            for line in lines_of_row(row, procs, runs, errors, targets):
                print_line(line)
                lines.append(line)
    return lines


def main():
    options = parse_options()
    try:
        wanted = {
            row: full_name
            for row, full_name in list_rows(options.bench).items()
            if (options.only is None or options.only.search(row))
            and (options.large or not LARGE.search(row))
        }
        if options.list:
            print("\n".join(wanted))
            return 0
        if not wanted:
            raise Stop("no row matches --only (see --list)")
        if not os.path.exists(options.lib):
            raise Stop(f"{options.lib} does not exist: run make first")
        about = machine()
        print(", ".join(f"{name} {value}" for name, value in about.items()), f"; {options.n} runs")
        options.go_rows = list_go_rows(options.go)
        lines = measure(options, wanted)
    except Stop as reason:
        print(f"bench/run.py: {reason}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump({"machine": about, "runs": options.n, "rows": lines}, file, indent=1)
    verdicts = [line["verdict"] for line in lines]
    print(", ".join(f"{verdicts.count(v)} {v}" for v in ("aim", "ok", "MISS", "FAIL")))
    return 1 if "FAIL" in verdicts or (options.check and "MISS" in verdicts) else 0


if __name__ == "__main__":
    sys.exit(main())
