#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compares echo servers under many connections that each wait for their answer.

A thread for each connection, all calls blocking (echo/echo_threads.c), on libc's threads and on
libmn's; Go's net with a goroutine for each (echo/echo.go), where go was installed when it was
built; and one thread with epoll (echo/echo_epoll.c), the yardstick. Each run is a new server on one
CPU and a new load (echo/load.c) on another, over the loopback interface; the servers take turns.
A ratio is requests a second, divided by those of libc's threads in the same round.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import threading

from common import (GO, LIBMN, NATIVE, ROOT, Stop, check_at_work, environment, last_line, machine,
                    number, positive, spread)  # fmt: skip

EPOLL = "epoll"
PROGRAMS = {NATIVE: "echo_threads", LIBMN: "echo_threads", GO: "echo_go", EPOLL: "echo_epoll"}

SPARE_DESCRIPTORS = 100
SPARE_PROCESSES = 500
SECONDS_TO_END = 60

# What a line shows of each run beside its requests a second.
FIGURES = {
    "p50_us": "p50 µs",
    "p99_us": "p99 µs",
    "p999_us": "p99.9 µs",
    "cpu_us": "CPU µs",
    "rss_kib": "RSS KiB",
    "kernel_threads": "kernel threads",
}

# From so many connections on, requests a second and p99 must be as the issue of servers says.
DEMANDING = 1000
LEAST_RATIO = 1.5


# ---- one run ------------------------------------------------------------------------------------


class Unable(Exception):
    """This machine cannot do it; or it was done wrong: failed: ..."""


def cannot_have(side, connections):
    """Why the limits of this machine do not allow so many connections, or None."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard != resource.RLIM_INFINITY and hard < connections + SPARE_DESCRIPTORS:
        return f"cannot: {hard} descriptors at most"
    if side != NATIVE:
        return None
    limits = [resource.getrlimit(resource.RLIMIT_NPROC)[0]]
    for name in ("kernel/pid_max", "kernel/threads-max"):
        with open(f"/proc/sys/{name}", encoding="ascii") as file:
            limits.append(int(file.read()))
    least = min(limit for limit in limits if limit != resource.RLIM_INFINITY)
    return f"cannot: {least} threads at most" if least < connections + SPARE_PROCESSES else None


def prepare_child(cpu):
    """In the child: on its CPU, with as many descriptors as it may have."""
    os.sched_setaffinity(0, {cpu})
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def start(program, arguments, env, cpu):
    return subprocess.Popen(
        [program, *arguments],
        env=env,
        preexec_fn=lambda: prepare_child(cpu),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def end(child):
    """Has it end by closing its stdin; what it wrote on stderr."""
    try:
        return child.communicate(timeout=SECONDS_TO_END)[1]
    except subprocess.TimeoutExpired:
        child.kill()
        child.communicate()
        return None


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def status_field(pid, name):
    with open(f"/proc/{pid}/status", encoding="utf-8") as file:
        for line in file:
            if line.startswith(name + ":"):
                return int(line.split()[1])
    return 0


def answer_of(child, seconds, what):
    """The next line that a child writes."""
    timer = threading.Timer(seconds, child.kill)
    timer.start()
    line = child.stdout.readline()
    timer.cancel()
    if not line:
        error = last_line(end(child) or "")
        raise Unable(f"failed: {what} {error or f'said nothing for {seconds} s'}")
    return line


def run_once(options, side, connections):
    """One server under load: its figures."""
    env = environment(side, 1, options.lib)
    server = start(os.path.join(options.folder, PROGRAMS[side]), [], env, options.cpus[0])
    try:
        port = answer_of(server, SECONDS_TO_END, "the server").split()[1]
        milliseconds = [str(int(options.warm_up * 1000)), str(int(options.seconds * 1000))]
        load = start(os.path.join(options.folder, "load"), [port, str(connections), *milliseconds],
                     environment(NATIVE, 1, options.lib), options.cpus[1])  # fmt: skip
        try:
            answer_of(load, options.timeout, "the load")
            before = cpu_seconds(server.pid)
            figures = json.loads(answer_of(load, options.timeout, "the load"))
            used = cpu_seconds(server.pid) - before
            figures["rss_kib"] = status_field(server.pid, "VmRSS")
            figures["kernel_threads"] = status_field(server.pid, "Threads")
        finally:
            end(load)
    finally:
        stderr = end(server)
    if stderr is None or server.returncode != 0:
        raise Unable(f"failed: the server did not end well: {server.returncode} {last_line(stderr or '')}")
    if side == LIBMN:
        check_at_work(stderr, 1)
    if figures["requests"] == 0:
        raise Unable(f"failed: no answer in {figures['seconds']} s")
    figures["rps"] = figures["requests"] / figures["seconds"]
    figures["cpu_us"] = used * 1e6 / figures["requests"]
    return figures


# ---- rounds -------------------------------------------------------------------------------------


def measure(options, connections):
    """All sides, `options.n` rounds, each beginning with another side: {side: [figures or None]}."""
    runs = {side: [] for side in options.sides}
    errors = {side: cannot_have(side, connections) for side in options.sides}
    for number_of_round in range(options.n):
        first = number_of_round % len(options.sides)
        for side in options.sides[first:] + options.sides[:first]:
            if errors[side] is None:
                try:
                    runs[side].append(run_once(options, side, connections))
                except Unable as reason:
                    errors[side] = str(reason)
    return {side: [] if errors[side] else found for side, found in runs.items()}, errors


def summarise(connections, side, runs, errors):
    """One line of the table, with everything that --json keeps."""
    line = {"connections": connections, "side": side, "error": errors[side], "runs": runs[side]}
    for name in ("rps", *FIGURES):
        line[name] = spread([figures[name] for figures in runs[side]])
    line["ratio"] = None
    if runs[side] and runs.get(NATIVE):
        pairs = [mine["rps"] / theirs["rps"] for mine, theirs in zip(runs[side], runs[NATIVE])]
        line["ratio"] = spread(pairs)
    return line


def verdict(lines):
    """Of libmn, for the lines of one number of connections: what is missed; empty: all is reached."""
    line = {line["side"]: line for line in lines}
    mine, native, go = line.get(LIBMN), line.get(NATIVE), line.get(GO)
    if mine is None or mine["connections"] < DEMANDING:
        return ""
    if mine["rps"] is None:
        return "MISS: libmn has no figures"
    missed = []
    if mine["ratio"] is not None and mine["ratio"]["median"] < LEAST_RATIO:
        missed.append(f"{LEAST_RATIO} times native")
    if native and native["p99_us"] and mine["p99_us"]["median"] > native["p99_us"]["median"]:
        missed.append("native's p99")
    if go and go["rps"] and mine["rps"]["median"] < go["rps"]["median"]:
        missed.append("Go")
    return "MISS: " + ", ".join(missed) if missed else "ok"


# ---- the table ----------------------------------------------------------------------------------

LAYOUT = "{:>11} {:<7} {:>28} {:>18}" + " {:>9}" * 5 + " {:>14}"


def print_header():
    titles = [*FIGURES.values()]
    print(LAYOUT.format("connections", "server", "requests/s: median (min–max)", "/ native", *titles))


def cell(figures):
    if figures is None:
        return "-"
    return f"{number(figures['median'])} ({number(figures['min'])}–{number(figures['max'])})"


def ratio_cell(figures):
    return "-" if figures is None else "{median:.2f} ({min:.2f}–{max:.2f})".format(**figures)


def print_line(line):
    medians = [number(line[name]["median"]) if line[name] else "-" for name in FIGURES]
    print(LAYOUT.format(f"{line['connections']:,}", line["side"], cell(line["rps"]),
                        ratio_cell(line["ratio"]), *medians))  # fmt: skip
    if line["error"]:
        print(f"  {line['side']}: {line['error']}")
    sys.stdout.flush()


# ---- the command --------------------------------------------------------------------------------


def counts(text):
    return [positive(part) for part in text.split(",")]


def seconds(text):
    value = float(text)
    if not 0 < value <= 600:
        raise argparse.ArgumentTypeError(f"{text}: from 0 to 600 seconds")
    return value


def parse_options():
    parser = argparse.ArgumentParser(
        description=__doc__,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("-n", type=positive, default=5, metavar="RUNS", help="rounds (default 5)")
    add("--connections", type=counts, default=[100, 1000, 10000], metavar="N[,N…]",
        help="default 100,1000,10000")  # fmt: skip
    add("--sides", default=",".join(PROGRAMS), help=f"default {','.join(PROGRAMS)}")
    add("--warm-up", type=seconds, default=2, metavar="SECONDS", help="default 2")
    add("--seconds", type=seconds, default=4, help="the window that counts (default 4)")
    add("--timeout", type=seconds, default=180, metavar="SECONDS",
        help="after which a load counts as hung (default 180)")  # fmt: skip
    add("--json", metavar="FILE", help="write every figure of every run to FILE")
    add("--check", action="store_true", help="exit with status 1 if a figure is missed")
    add("--lib", default=os.path.join(ROOT, "build", "libmn.so"), help="default build/libmn.so")
    add("--folder", default=os.path.join(ROOT, "build", "bench", "echo"),
        help="where the programs are (default build/bench/echo)")  # fmt: skip
    options = parser.parse_args()
    options.lib = os.path.abspath(options.lib)
    options.cpus = sorted(os.sched_getaffinity(0))
    if len(options.cpus) < 2:
        print("one CPU only: server and load share it", file=sys.stderr)
        options.cpus *= 2
    options.sides = options.sides.split(",")
    for side in options.sides:
        if side not in PROGRAMS:
            parser.error(f"no server {side!r}")
    return options


def available(options):
    """The sides that were built; all must be but Go."""
    for side in list(options.sides):
        if os.path.exists(os.path.join(options.folder, PROGRAMS[side])):
            continue
        if side != GO:
            raise Stop(f"{options.folder}/{PROGRAMS[side]} does not exist: run make bench-echo")
        print("go: not installed when the servers were built", file=sys.stderr)
        options.sides.remove(side)
    if LIBMN in options.sides and not os.path.exists(options.lib):
        raise Stop(f"{options.lib} does not exist: run make first")


def main():
    options = parse_options()
    try:
        available(options)
        about = machine()
        print(", ".join(f"{name} {value}" for name, value in about.items()), f"; {options.n} rounds")
        print_header()
        lines, verdicts = [], []
        for connections in options.connections:
            runs, errors = measure(options, connections)
            found = [summarise(connections, side, runs, errors) for side in options.sides]
            for line in found:
                print_line(line)
            verdicts.append(verdict(found))
            if verdicts[-1]:
                print(f"{'':11} {verdicts[-1]}")
            lines += found
    except Stop as reason:
        print(f"bench/echo.py: {reason}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump({"machine": about, "rounds": options.n, "lines": lines}, file, indent=1)
    failed = any((line["error"] or "").startswith("failed") for line in lines)
    missed = any(text.startswith("MISS") for text in verdicts)
    return 1 if failed or (options.check and missed) else 0


if __name__ == "__main__":
    sys.exit(main())
