# SPDX-License-Identifier: Apache-2.0
"""mn compare: the same command at 1:1 and at M:N, in turn."""

import json
import os
import sys

from .. import compare
from . import common

NAME = 'compare'
HELP = 'run a command both ways and compare'
DESCRIPTION = '''
Runs the command at 1:1 (without libmn) and at M:N (with it) in turn, after one run that only
warms the caches, and prints medians with the lowest and highest figure. Each run reads the same
standard input when that is a file, and nothing otherwise. What it writes on standard output is
compared; standard error is not.
'''

DIFFERENT = 1


def add_options(parser):
    parser.description = DESCRIPTION
    common.add_program_options(parser)
    parser.add_argument('-n', type=common.number(1, 1000), default=5, metavar='RUNS', dest='runs',
                        help='runs on each side; default 5')
    parser.add_argument('--timeout', type=common.number(1, 86400), metavar='SECONDS',
                        help='end a run that takes longer; default: never')
    parser.add_argument('--json', metavar='FILE', help='also write all figures to FILE')


def main(options, parser):
    library, _ = common.check_command(options, parser)  # it finds its own way, under its own name
    if options.json:
        directory = os.path.dirname(os.path.abspath(options.json))
        if not os.access(directory, os.W_OK):
            common.fail(f'{options.json}: cannot be written')
    result = compare.compare(options.command, library, options.runs, options.procs,
                             common.stdin_file(), options.timeout, progress=progress_dots())
    if sys.stderr.isatty():
        print('\r\033[K', end='', file=sys.stderr)
    contexts = options.procs or os.environ.get('MN_PROCS') or 'one for each CPU'
    print(' '.join(options.command))
    print(f'{len(result.native)} + {len(result.libmn)} runs; scheduling contexts: {contexts}; '
          f'CPUs: {len(os.sched_getaffinity(0))}\n')
    print('\n'.join(compare.describe(result)))
    print(f'\nsame output and exit status: {result.same}')
    for line in result.differences:
        print(line)
    for line in result.notes:
        print(f'note: {line}')
    if options.json:
        with open(options.json, 'w') as file:
            json.dump(compare.as_json(result, options.procs), file, indent=1)
            file.write('\n')
    return DIFFERENT if result.differences else 0


def progress_dots():
    if not sys.stderr.isatty():
        return None
    return lambda: print('.', end='', file=sys.stderr, flush=True)
