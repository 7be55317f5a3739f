#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How long a thread that wants to run now and then is kept waiting by others.

test/programs/ticker.c: beside eight threads that read silent pipes, eight that wait for a file
lock, eight that spin on a flag and eight that compute, one thread sleeps a millisecond at a time.
The longest gap between two of its ticks, natively and under libmn in turn.
"""

import argparse
import os
import re
import subprocess
import sys

from common import (LIBMN, NATIVE, ROOT, Stop, check_at_work, environment, number, positive,
                    spread)  # fmt: skip

ANSWER = re.compile(r"all finished\n(\d+) ticks, worst gap ([\d.]+) ms\n")


def run_once(options, side, procs):
    """Ticks a second, and the longest gap in ms."""
    child = subprocess.run([options.program, str(options.seconds)], capture_output=True, text=True,
                           timeout=options.seconds + 60, check=False,
                           env=environment(side, procs, options.lib))  # fmt: skip
    answer = ANSWER.fullmatch(child.stdout)
    if child.returncode != 0 or answer is None:
        raise Stop(f"{side}: exit status {child.returncode}, {child.stdout!r}")
    if side == LIBMN:
        check_at_work(child.stderr, procs)
    return int(answer[1]) / options.seconds, float(answer[2])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("-n", type=positive, default=5, help="rounds")
    parser.add_argument("--procs", default="1,2,8", help="MN_PROCS, comma separated")
    parser.add_argument("--seconds", type=positive, default=2)
    parser.add_argument("--lib", default=os.path.join(ROOT, "build", "libmn.so"))
    parser.add_argument("--program", default=os.path.join(ROOT, "build", "test", "programs", "ticker"))
    options = parser.parse_args()
    sides = [(NATIVE, 0)] + [(LIBMN, int(procs)) for procs in options.procs.split(",")]
    found = {side: [] for side in sides}
    try:
        for _ in range(options.n):
            for side in sides:
                found[side].append(run_once(options, *side))
    except (Stop, OSError, subprocess.TimeoutExpired) as reason:
        print(f"bench/ticker.py: {reason}", file=sys.stderr)
        return 1
    print(f"{'':18} ticks/s   worst gap, ms: median (least to most of {options.n})")
    for side, procs in sides:
        ticks, gaps = (spread(values) for values in zip(*found[side, procs]))
        name = f"libmn, MN_PROCS={procs}" if procs else "native"
        print(f"{name:18} {number(ticks['median']):>7}   "
              f"{number(gaps['median'])} ({number(gaps['min'])} to {number(gaps['max'])})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
