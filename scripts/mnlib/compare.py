# SPDX-License-Identifier: Apache-2.0
"""Runs one command at 1:1 and at M:N in turn, and says in words how they differ."""

import os
import statistics

from . import measure, preload, process, verdict

# Differences of the medians below this are noise on any machine.
NOISE = 0.02


def seconds(value):
    if value < 1:
        return f'{value * 1000:.1f} ms'
    return f'{value:.2f} s'


def count(value):
    return f'{round(value):,}'


def mebibytes(value):
    return f'{value / (1 << 20):.1f} MiB'


# Attribute of a Run, what people call it, how it is written, words for less and more.
METRICS = [
    ('wall', 'wall time', seconds, 'faster', 'slower'),
    ('user', 'user CPU time', seconds, 'less', 'more'),
    ('system', 'system CPU time', seconds, 'less', 'more'),
    ('switches', 'kernel context switches', count, 'fewer', 'more'),
    ('memory', 'peak memory', mebibytes, 'less', 'more'),
    ('threads', 'kernel threads at the peak', count, 'fewer', 'more'),
]


class Comparison:
    """The runs of one command; `same` is 'yes', 'no' or 'varies' (1:1 disagrees with itself)."""

    def __init__(self, argv):
        self.argv = argv
        self.native = []
        self.libmn = []
        self.same = 'yes'
        self.differences = []
        self.notes = []

    def values(self, metric):
        """The figures of both sides: two lists, empty where nothing is known."""
        return tuple([getattr(run, metric) for run in runs if getattr(run, metric) is not None]
                     for runs in (self.native, self.libmn))

    def medians(self, metric):
        return tuple(statistics.median(side) if side else None for side in self.values(metric))


def compare(argv, library, runs=5, procs=None, stdin_path=os.devnull, timeout=None, pick=None,
            progress=None):
    """Measures `argv` after one run at 1:1 that only warms the caches.

    `pick`, where given, takes from stdout what must be equal: the rest (timings) may vary.
    """
    result = Comparison(argv)
    native = preload.native_environment()
    libmn = preload.libmn_environment(library, procs=procs, stats=True)
    keep = 4096 if pick is None else 1 << 20

    def once(env):
        if progress:
            progress()
        run = measure.measure(argv, env, stdin_path, timeout, keep)
        if pick is not None:
            run.output = pick(run.out.decode(errors='replace'))
        return run

    warm = once(native)
    for index in range(0 if warm.timed_out else runs):
        # Each side goes first in every other pair, so that drift hits both alike.
        for side in (native, libmn) if index % 2 == 0 else (libmn, native):
            run = once(side)
            (result.native if side is native else result.libmn).append(run)
        if run.timed_out:
            break
    if warm.timed_out:
        result.native.append(warm)
    _judge(result, warm)
    return result


def _judge(result, warm):
    stuck = [name for name, runs in (('1:1', result.native), ('M:N', result.libmn))
             if any(run.timed_out for run in runs)]
    if stuck:
        result.same = 'no'
        result.differences.append(f'no end within the time limit at {" and ".join(stuck)}')
        return
    _judge_endings(result, [warm] + result.native)
    _judge_output(result, [warm] + result.native)
    complaints = [verdict.complaint(run.err.decode(errors='replace'), threads=False)
                  for run in result.libmn]
    result.notes += sorted({complaint for complaint in complaints if complaint})


def _judge_endings(result, native):
    theirs = {run.status for run in native}
    ours = {run.status for run in result.libmn}
    if not ours <= theirs:
        result.same = 'no'
        result.differences.append('the endings differ: 1:1 ' + _endings(theirs) +
                                  ', M:N ' + _endings(ours))
        result.differences += _last_words('M:N', next(run for run in result.libmn
                                                      if run.status not in theirs))
    elif theirs != {0}:
        result.notes.append('the command ended with ' + _endings(theirs))
        result.notes += _last_words('1:1', next(run for run in native if run.status != 0))


def _judge_output(result, native):
    theirs = {run.output for run in native}
    ours = {run.output for run in result.libmn}
    if ours <= theirs:
        return
    if len(theirs) > 1:
        if result.same == 'yes':
            result.same = 'varies'
        result.notes.append('the output varies from run to run at 1:1 already: not compared')
        return
    result.same = 'no'
    differing = sum(run.output not in theirs for run in result.libmn)
    result.differences.append(f'the outputs differ: {differing} of {len(result.libmn)} M:N runs '
                              'wrote something else on stdout than 1:1 did')


def _endings(statuses):
    return ' and '.join(process.ending(status) for status in sorted(statuses))


def _last_words(side, run):
    lines = [line for line in run.err.decode(errors='replace').splitlines()
             if line.strip() and not line.startswith(verdict.STATS)]
    return [f'  {side} stderr: {line}' for line in lines[-5:]]


def ratio_in_words(native, libmn, less, more):
    """How many times `libmn` is below or above `native`: '3.1x faster'."""
    if native is None or libmn is None:
        return '-'
    if native == libmn or (min(native, libmn) > 0 and
                           max(native, libmn) / min(native, libmn) < 1 + NOISE):
        return 'the same'
    if min(native, libmn) <= 0:
        return less if libmn < native else more
    ratio = max(native, libmn) / min(native, libmn)
    number = f'{ratio:,.0f}' if ratio >= 100 else f'{ratio:.1f}' if ratio >= 10 else f'{ratio:.2f}'
    return f'{number}x {less if libmn < native else more}'


def describe(result):
    """The comparison as a table: median (lowest to highest) of each side, and the ratio."""
    rows = [['', '1:1', 'M:N', 'M:N is']]
    for metric, title, write, less, more in METRICS:
        native, libmn = result.values(metric)
        words = ratio_in_words(*result.medians(metric), less, more)
        if words not in ('-', 'the same') and _overlap(native, libmn):
            words += ' (within the spread)'
        rows.append([title, _summary(native, write), _summary(libmn, write), words])
    return table(rows)


def _summary(values, write):
    if not values:
        return '-'
    middle = write(statistics.median(values))
    if len(values) == 1:
        return middle
    return f'{middle} ({write(min(values))} to {write(max(values))})'


def _overlap(a, b):
    return len(a) > 1 and len(b) > 1 and min(a) <= max(b) and min(b) <= max(a)


def table(rows):
    """Lines of left-aligned columns; the first row is the heading."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ['  '.join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip()
             for row in rows]
    lines.insert(1, '  '.join('-' * width for width in widths))
    return lines


def as_json(result, procs):
    """Everything measured, for other programs to read."""
    def side(runs):
        return [{'status': run.status, 'stdout_sha256': run.output,
                 **{metric[0]: getattr(run, metric[0]) for metric in METRICS}} for run in runs]
    return {
        'command': result.argv,
        'procs': procs,
        'same': result.same,
        'differences': result.differences,
        'notes': result.notes,
        'units': {'wall': 's', 'user': 's', 'system': 's', 'switches': 'count',
                  'memory': 'bytes', 'threads': 'count'},
        '1:1': side(result.native),
        'm:n': side(result.libmn),
        'medians': {metric[0]: dict(zip(('1:1', 'm:n'), result.medians(metric[0])))
                    for metric in METRICS},
    }
