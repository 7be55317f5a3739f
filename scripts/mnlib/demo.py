# SPDX-License-Identifier: Apache-2.0
"""The demo: real programs, the same binaries, with and without libmn. About a minute.

demo.py [--lib PATH] [--seconds N]: N bounds the whole; programs that come too late are left out.
"""

import os
import re
import shutil
import sys
import tempfile
import textwrap
import time

HERE = os.path.dirname(os.path.abspath(os.path.realpath(__file__)))
ROOT = os.path.normpath(os.path.join(HERE, '..', '..'))
sys.path.insert(0, os.path.join(ROOT, 'scripts'))

from mnlib import compare, ends, metrics, preload, sample, terminal  # noqa: E402
from mnlib.commands.common import file_name, number  # noqa: E402
from mnlib.commands.parsing import Parser  # noqa: E402

FAILED = 2
RUNS = 3
RUN_TIMEOUT = 60
DATA_MEBIBYTES = 24
MOST_COLUMNS = 100    # of a paragraph


class Program:
    """One row: what it shows and the command. `pick` takes the comparable part of its output."""

    def __init__(self, what, argv, pick=None):
        self.what = what
        self.argv = argv
        self.pick = pick


def sysbench_events(text):
    """sysbench prints timings; what must be equal is the number of events."""
    return ' '.join(re.findall(r'total number of events:\s*(\d+)', text))


def programs(data):
    apps = os.path.join('test', 'apps')
    return [
        Program('python3: 1,000 threads hand a token round a ring',
                ['python3', os.path.join(apps, 'ring.py'), '1000', '30000']),
        Program('python3: 10,000 threads started and joined',
                ['python3', os.path.join(apps, 'births.py'), '10000', '100']),
        Program('python3: 1,000 threads on queues and locks',
                ['python3', os.path.join(apps, 'queues.py'), '1000']),
        Program('sysbench threads: 64 threads and 8 locks',
                ['sysbench', 'threads', '--threads=64', '--events=1000', '--time=0', 'run'],
                sysbench_events),
        Program(f'pigz: compresses {DATA_MEBIBYTES} MiB with 8 threads',
                ['pigz', '-p', '8', '-c', data]),
        Program(f'xz: compresses {DATA_MEBIBYTES} MiB with 4 threads',
                ['xz', '-1', '-T4', '-c', data]),
    ]


def row(program, result):
    """What the last table says of one program."""
    native, libmn = result.medians('wall')
    unseen = any('not at work' in note for note in result.notes)
    verdict = 'libmn not seen' if unseen and result.same == 'yes' else result.same
    if not result.native or not result.libmn or any(
            run.timed_out for run in result.native + result.libmn):
        return [program.what, '-', '-', '-', '-', verdict]
    threads = ' : '.join('-' if side is None else metrics.count(side)
                         for side in result.medians('threads'))
    return [program.what, metrics.seconds(native), metrics.seconds(libmn),
            compare.ratio_in_words(native, libmn, 'faster', 'slower'), threads, verdict]


def explain(rows, contexts):
    width = terminal.columns(sys.stdout)
    print('\nThe same programs without libmn (1:1, a kernel thread for every thread) and with it '
          f'(M:N),\n{len(os.sched_getaffinity(0))} CPUs, {contexts} scheduling contexts, '
          f'median of {RUNS} runs each:\n')
    heading = ['program', '1:1', 'M:N', 'M:N is', 'kernel threads', 'same result']
    print('\n'.join(terminal.table([heading] + rows, width)))
    print('\n' + textwrap.fill(
        'kernel threads: the most that existed at once, 1:1 and M:N. same result: standard output '
        'and exit status. Programs that compute all the time gain nothing: they had few threads, '
        'which rarely wait. Try your own: scripts/mn compare -- COMMAND',
        max(min(width or MOST_COLUMNS, MOST_COLUMNS), terminal.LEAST_COLUMNS)))


def main():
    parser = Parser(prog='demo', description=__doc__.splitlines()[0], failed=FAILED)
    parser.add_argument('--lib', type=file_name, metavar='PATH', help='the libmn.so to use')
    parser.add_argument('--seconds', type=number(1, 86400), default=75, metavar='N', help='bound for the whole')
    options = parser.parse_args()
    try:
        library = preload.find_library(options.lib)
    except preload.Refused as refusal:
        ends.complain(f'demo: {refusal}')
        return FAILED
    os.chdir(ROOT)
    deadline = time.monotonic() + options.seconds
    rows, wrong = [], []
    with tempfile.TemporaryDirectory(prefix='mn-demo-') as folder:
        data = os.path.join(folder, 'data')
        sample.write_mixed(data, DATA_MEBIBYTES)
        for program in programs(data):
            if shutil.which(program.argv[0]) is None:
                rows.append([program.what, '-', '-', '-', '-', 'not installed'])
                continue
            if time.monotonic() > deadline:
                rows.append([program.what, '-', '-', '-', '-', 'no time left'])
                continue
            print(f'{program.what}\n  $ scripts/mn compare -n {RUNS} -- '
                  f'{" ".join(program.argv)}', flush=True)
            result = compare.compare(program.argv, library, RUNS, timeout=RUN_TIMEOUT,
                                     pick=program.pick)
            rows.append(row(program, result))
            for line in result.differences + result.notes:
                print(f'  {line}')
            if result.differences:
                wrong.append(program.what)
    explain(rows, os.environ.get('MN_PROCS') or len(os.sched_getaffinity(0)))
    if wrong:
        ends.complain('demo: libmn changed the result of: ' + '; '.join(wrong))
    return 1 if wrong else 0


if __name__ == '__main__':
    ends.run(main, 'demo', FAILED)
