#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Does mn compare find a slowdown of 10 % in a real program, and none where there is none?

By hand (make planted), for it takes minutes and its outcome is the machine's: a program that
computes for some milliseconds, and 10 % longer when the stub that stands in for libmn says so.
Prints false alarms and misses by wall time and by CPU time; exit status 1 when those --by one are
more than 5 of 100. On a machine that others load too, wall time misses what CPU time finds.
"""

import argparse
import os
import sys

from mn_stub import build, environment
from mnlib import compare, metrics, variants

KINDS = ('wall', 'cpu')
PROGRAM = r'''
#include <stdlib.h>
int main(void) {
  long rounds = getenv("MN_TEST_PLANTED") ? %d * 11L / 10 : %d;
  for (volatile long i = 0; i < rounds; i++) {}
  return 0;
}
'''
STUB = r'''
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
__attribute__((constructor)) static void Begin(void) { if (%d) setenv("MN_TEST_PLANTED", "1", 1); }
__attribute__((destructor)) static void End(void) { dprintf(2, "libmn: stats: mode=mn gs=1\n"); }
'''


def trial(program, native, library, pairs):
    """The Estimates of wall time and CPU time, by name."""
    # Both sides load a library, or its loading would be a difference.
    chosen = [variants.Variant('1:1', environment({'LD_PRELOAD': native}), False),
              variants.Variant('M:N', environment({'LD_PRELOAD': library}), True)]
    series = compare.Series(program, chosen)
    series.rounds(pairs)
    result = series.judge()
    if result.same != 'yes' or result.notes:
        sys.exit(f'planted: {result.differences + result.notes}')
    return {metric.key: result.estimate(metric) for metric in metrics.BUILT_IN if metric.key in KINDS}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument('--trials', type=int, default=100)
    parser.add_argument('--pairs', type=int, help='as mn compare -n: default 12 to 40')
    parser.add_argument('--rounds', type=int, default=20_000_000, help='of the program: its length')
    parser.add_argument('--by', choices=KINDS, default='wall', help='what decides the exit status')
    options = parser.parse_args()
    program = compare.Program([build(PROGRAM % (options.rounds, options.rounds), 'spin', '-O1')])
    alarms, misses = dict.fromkeys(KINDS, 0), dict.fromkeys(KINDS, 0)
    library = {planted: build(STUB % planted, f'planted-{planted}.so', '-shared', '-fPIC')
               for planted in (0, 1)}
    for number in range(options.trials):
        # One of each in turn, so that both meet the same machine.
        same, slower = (trial(program, library[0], library[planted], options.pairs) for planted in (0, 1))
        for kind in KINDS:
            alarms[kind] += same[kind].shown()
            misses[kind] += not (slower[kind].shown() and slower[kind].ratio < 1)
        print(f'\r{number + 1} of {options.trials} trials', end='', file=sys.stderr, flush=True)
    print(file=sys.stderr)
    print(f'{options.trials} trials')
    for kind in KINDS:
        print(f'{kind:4}  {alarms[kind]} false alarms, {misses[kind]} misses of 10 %')
    return int(max(alarms[options.by], misses[options.by]) > options.trials * 0.05)


if __name__ == '__main__':
    os.environ.pop('LD_PRELOAD', None)
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
