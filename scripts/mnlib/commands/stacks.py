# SPDX-License-Identifier: Apache-2.0
"""mn stacks: the stacks of all threads of a running program."""

from .. import asking, dump, heldpipe
from . import common

NAME = 'stacks'
HELP = 'show where the threads of a running program are'
# Seconds beyond --timeout, after which not even a read that hangs is waited for.
GRACE = heldpipe.START_SECONDS + 5

DESCRIPTION = '''
Prints what each thread of a running program does or waits for, and its stack. Threads whose stacks are
the same are one entry, the largest first. The program goes on.
'''


def add_options(parser):
    parser.description = DESCRIPTION
    parser.usage = f'{parser.prog} [options] PID'
    common.add_pid(parser)
    parser.add_argument('--raw', action='store_true', help='one entry for each thread, as libmn writes it')
    parser.add_argument('--timeout', type=common.number(1, 3600), default=30, metavar='SECONDS',
                        help='how long to wait for the program; default 30')


def main(options, _parser):
    why = f'process {options.pid}: it keeps mn from reading it'
    with common.bounded(options.timeout + GRACE, why), common.inspected(options.pid) as (process, state):
        text = asking.request(process, state, options.timeout)
    common.say(dump.lines_of(text)[:-1] if options.raw else dump.report(text))
    return 0
