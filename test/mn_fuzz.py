#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Feeds what mn reads of others with mutated and random input: each parser gives a result or refuses in a line, in time
and memory that are bounded.

  python3 test/mn_fuzz.py --seconds 600 [--seed N] [--only trace]

The last line is a total. What fails is named with its parser and its seed: `--only PARSER --seed N --cases 1` repeats it. test/mn_hostile_test.py runs a short part of this with every test run.
"""

import argparse
import functools
import itertools
import os
import random
import re
import resource
import sys
import time

ROOT = os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))
sys.path.insert(0, os.path.join(ROOT, 'scripts'))

import fuzzed  # noqa: E402

TOKEN = re.compile(rb'[\w.]+')
MOST_SECONDS = 10    # of CPU time, for one input
MEMORY = 4 << 30


class Failure(Exception):
    """An input that a parser neither took nor refused as it should."""


def mutated(chance, data, words):
    """Some bytes of `data` changed, repeated, cut, moved, or replaced by one of `words`."""
    data = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 4, 16))):
        at = chance.randrange(len(data) + 1)
        length = chance.choice((1, 1, 2, 4, 8, 64))
        how = chance.randrange(7)
        if how == 0:
            data[at:at + length] = chance.randbytes(length)
        elif how == 1:
            data[at:at] = data[at:at + length] * chance.choice((1, 2, 1000))
        elif how == 2:
            del data[at:at + length]
        elif how == 3:
            data[at:at + length] = chance.choice(words)
        elif how == 4:
            data[at:at + 8] = chance.choice(fuzzed.NUMBERS).to_bytes(8, 'little')
        elif how == 5:
            word = TOKEN.search(data, at)
            data[slice(*word.span()) if word else slice(at, at)] = chance.choice(words)
        else:
            del data[at:]
    return bytes(data)


def run_case(target, seed):
    """An input of chance for one target. Raises Failure."""
    give(target, target.make(random.Random(f'{target.name} {seed}'), mutated))


def give(target, given):
    begin = time.process_time()
    try:
        said = target.parse(given)
    except target.refusals:
        said = []
    except Exception as error:    # whatever else it is, mn would show a traceback
        raise Failure(f'{type(error).__name__}: {error}') from error
    seconds = time.process_time() - begin
    if seconds > MOST_SECONDS:
        raise Failure(f'took {seconds:.1f} s')
    for line in said:
        if not line.isprintable():
            raise Failure(f'shows what is not printable: {line[:200]!r}')


def cases_of(options):
    """(target, seed) in turn, until time or cases are over."""
    targets = [target for target in fuzzed.targets() if options.only in (None, target.name)]
    deadline = None if options.seconds is None else time.monotonic() + options.seconds
    for seed in itertools.count(options.seed):
        if options.cases is not None and seed - options.seed >= options.cases:
            return
        for target in targets:
            if deadline is not None and time.monotonic() >= deadline:
                return
            if options.only or seed % target.every == 0:
                yield target, seed


def inputs(options):
    """How each is said, and what runs it."""
    if options.places:
        for target in fuzzed.targets():
            for number, given in enumerate(target.places()):
                yield f'--places, {target.name} {number}', functools.partial(give, target, given)
    else:
        for target, seed in cases_of(options):
            yield f'--only {target.name} --seed {seed}', functools.partial(run_case, target, seed)


def main():
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--seconds', type=float)
    parser.add_argument('--cases', type=int, help='inputs for each parser')
    parser.add_argument('--places', action='store_true', help='each odd value in each place of what is JSON, and no chance')
    parser.add_argument('--seed', type=int, default=1)
    parser.add_argument('--only', choices=[target.name for target in fuzzed.targets()])
    options = parser.parse_args()
    if options.seconds is None and options.cases is None and not options.places:
        parser.error('say --seconds, --cases or --places')
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    passed = failed = 0
    for name, run in inputs(options):
        try:
            run()
            passed += 1
        except Failure as failure:
            failed += 1
            print(f'FAILED {name}: {failure}', flush=True)
    print(f'{passed} passed, {failed} failed')
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
