# SPDX-License-Identifier: Apache-2.0
"""mn trace: a trace of a program's threads, and who waited for what."""

import os
import signal
import subprocess
import sys

from .. import files, metrics, preload, process, terminal, traces
from ..foreign import shown
from . import common

NAME = 'trace'
HELP = 'trace which thread runs when, and who blocks whom'
DESCRIPTION = '''
Runs the command on user-level threads and writes a trace: a track for each scheduling context (P),
on it a slice for each turn of a thread, with what ended it, and an arrow from the moment at which
it was woken. Open the file in Perfetto (ui.perfetto.dev) or in chrome://tracing. At the end it
says what was waited for longest; --read says that of a trace that exists.

A trace is bounded: a P with more than some 25,000 turns and wake-ups a second for long leaves gaps,
which are shown. It has no tracks of threads with a kernel thread of their own.
'''
EPILOG = '''
examples:
  mn trace -- python3 app.py             writes mn-trace.json
  mn trace -o t.json --procs 1 -- CMD    one P: who runs after whom
  mn trace --read t.json                 what was waited for longest
'''

MOST = 10
MOSTLY = 0.1     # of the wake-ups, for one thread to be named
DEFAULT_FILE = 'mn-trace.json'


def add_options(parser):
    parser.description = DESCRIPTION
    parser.epilog = EPILOG
    common.add_program_options(parser)
    parser.add_argument('-o', type=common.file_name, metavar='FILE', dest='output',
                        help=f'where to write it, a new file; default: {DEFAULT_FILE}')
    common.add_force(parser)
    parser.add_argument('--read', type=common.file_name, metavar='FILE',
                        help='only say what is in this trace, which stays as it is')


def main(options, parser):
    if options.read:
        if options.command or options.output:
            parser.error('--read goes with no COMMAND and no -o')
        return summarise(options.read)
    library, path = common.check_command(options, parser)
    try:
        output = preload.absolute(options.output or DEFAULT_FILE)
    except preload.Refused as refusal:
        common.fail(refusal)
    clear(output, options.force)
    environment = preload.libmn_environment(library, procs=options.procs)
    environment['MN_TRACE'] = output
    status = run(options.command, path, environment)
    if status < 0:
        common.say([f'mn: the command ended with {process.ending(status)}'])
    if os.path.lexists(output):
        summarise(output, ours=True)
    else:
        common.say(['mn: there is no trace: the command made no threads, or could not write it'])
    return 128 - status if status < 0 else status


def clear(path, force):
    """libmn writes over nothing."""
    try:
        if force and os.path.lexists(path):
            os.close(files.open_existing(path))
            os.unlink(path)
        os.close(files.create(path))
        os.unlink(path)
    except OSError as error:
        common.fail(f'{path}: {error.strerror}')


def run(command, path, environment):
    """Ctrl-C is the command's: mn waits for what comes of it. What ends mn otherwise is passed on, for the same end."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    child = None

    def pass_on(number, _frame):
        if child is not None:
            child.send_signal(number)

    passed = {number: signal.signal(number, pass_on) for number in (signal.SIGTERM, signal.SIGHUP)
              if signal.getsignal(number) != signal.SIG_IGN}
    try:
        # What Python ignores, SIGPIPE and SIGXFSZ, its children do not.
        child = subprocess.Popen(command, executable=path, env=environment,
                                 preexec_fn=lambda: signal.signal(signal.SIGINT, before))
        return child.wait()
    except OSError as error:
        return common.fail(f'{command[0]}: {error.strerror}', 126)
    finally:
        for number, action in {signal.SIGINT: before, **passed}.items():
            signal.signal(number, action)


def summarise(path, ours=False):
    """Prints what is in a trace. One of ours that breaks off gets an end."""
    try:
        trace = traces.read(path)
        if ours and not trace.complete and not trace.cut:
            traces.mend(path)
    except traces.Damaged as damaged:
        common.fail(damaged)
    except OSError as error:
        common.fail(f'{path}: {error.strerror}')
    common.say(summary(path, trace))
    return 0


def summary(path, trace):
    """Lines."""
    yield (f'{path}: {trace.count:,} turns of {trace.threads:,} threads in {metrics.seconds(trace.seconds)}'
           + (f'; {trace.unrecorded:,} more were not recorded' if trace.unrecorded else '')
           + (f'; there are more than {traces.MOST_EVENTS:,} events: the rest was not read' if trace.cut else
              '' if trace.complete else '; the end is missing'))
    found = sorted(traces.waits(trace).items(), key=lambda item: -item[1].microseconds)
    if found:
        rows = [['waited for', 'times', 'in all', 'longest', 'woken by, mostly']]
        rows += [row(key, wait) for key, wait in found[:MOST]]
        yield ''
        yield from terminal.table([[shown(cell) for cell in each] for each in rows], terminal.columns(sys.stdout))
    if len(found) > MOST:
        yield f'and {len(found) - MOST:,} others'


def row(key, wait):
    kind, address, holder = key
    what = f'{kind} {address}' + (f' held by {holder}' if holder else '')
    who = '-'
    if wait.wakers:
        name, count = wait.wakers.most_common(1)[0]
        share = count / wait.count
        who = f'{name} ({share:.0%})' if share >= MOSTLY else f'{len(wait.wakers):,} threads'
    return [what, f'{wait.count:,}', metrics.seconds(wait.microseconds / 1e6),
            metrics.seconds(wait.longest / 1e6), who]
