# SPDX-License-Identifier: Apache-2.0
"""What the benchmarks' drivers share: how a side is run, and how figures are summed up and shown."""

import argparse
import os
import platform
import re
import statistics

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

NATIVE, LIBMN, GO = "native", "libmn", "go"


class Stop(Exception):
    """Nothing that follows could be believed."""


def environment(side, procs, lib):
    """The caller's environment, with libmn or without any trace of it."""
    others = re.split(r"[ :]+", os.environ.get("LD_PRELOAD", ""))
    preload = [path for path in others if path and not os.path.basename(path).startswith("libmn.")]
    if side == LIBMN:
        env = {**os.environ, "MN_PROCS": str(procs), "MN_STATS": "1"}
        preload.insert(0, lib)
    else:
        env = {name: value for name, value in os.environ.items() if not name.startswith("MN_")}
    env["LD_PRELOAD"] = ":".join(preload)
    if side == GO:
        env["GOMAXPROCS"] = str(procs)
    return env


def cpus_for(procs):
    """As many of the CPUs that we may use as there are scheduling contexts."""
    return set(sorted(os.sched_getaffinity(0))[:procs])


def check_at_work(stderr, procs):
    """A silent fall-back to libc's threads would compare native with native."""
    stats = re.findall(r"^libmn: stats: (.*)$", stderr, re.MULTILINE)
    if not stats:
        raise Stop("libmn printed no statistics (MN_STATS=1): was it loaded?")
    found = dict(word.split("=", 1) for word in stats[-1].split() if "=" in word)
    at_work = found.get("mode") == "mn" and found.get("gs", "").isdecimal() and int(found["gs"]) >= 1
    if not at_work or found.get("procs") != str(procs):
        raise Stop(f"libmn was not at work with MN_PROCS={procs}: {stats[-1]}")


def last_line(text):
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1].strip() if lines else ""


def spread(values):
    """Median, least and most, or None."""
    if not values:
        return None
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def number(value):
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.1f}"


def machine():
    """What the figures depend on besides libmn."""
    model = platform.machine()
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        for text in file:
            if text.startswith("model name"):
                model = text.split(":", 1)[1].strip()
                break
    return {
        "cpu": model,
        "cpus": len(os.sched_getaffinity(0)),
        "kernel": platform.release(),
        "libc": " ".join(platform.libc_ver()),
    }


def positive(text):
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a positive number")
    return value
