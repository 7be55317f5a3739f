# SPDX-License-Identifier: Apache-2.0
"""mn top: what the threads of a running program do, live."""

import argparse
import sys

from .. import screen, terminal, topview
from . import common

NAME = 'top'
HELP = 'watch what the threads of a running program do'
DESCRIPTION = '''
Shows the scheduler of a running program, what its threads wait for, and where most of them wait. On a
terminal the view is drawn anew until q or Ctrl-C is pressed; elsewhere, and where TERM is dumb, each is a block of lines. The
program is not stopped, and does not notice.
'''


def seconds(text):
    try:
        value = float(text)
    except ValueError:
        value = 0
    if not 0.1 <= value <= 3600:
        raise argparse.ArgumentTypeError(f'{text!r} is not a number of seconds from 0.1 to 3600')
    return value


def add_options(parser):
    parser.description = DESCRIPTION
    parser.usage = f'{parser.prog} [options] PID'
    common.add_pid(parser)
    parser.add_argument('-d', type=seconds, default=1, metavar='SECONDS', dest='delay',
                        help='between two views; default 1')
    parser.add_argument('-n', type=common.number(1, 10 ** 9), metavar='COUNT', dest='count',
                        help='end after so many views')
    parser.add_argument('--once', action='store_true', help='one view: the same as -n 1')


def main(options, _parser):
    count = 1 if options.once else options.count
    with common.inspected(options.pid) as (process, state):
        view = topview.View(process, state)
        view.check()
        place = screen.Screen() if sys.stdin.isatty() and terminal.draws(sys.stdout) else screen.Paper()
        try:
            with place:
                loop(view, place, options, count)
        except topview.Over:
            common.say([f'process {options.pid} has ended'])
    return 0


def loop(view, place, options, count):
    views = 0
    while True:
        with common.bounded(common.MOST_SECONDS, f'process {options.pid}: it keeps mn from reading it', place.give_back):
            lines = view.lines(place.rows())
        place.show(lines)
        views += 1
        if views == count or not place.wait(options.delay):
            return
