# SPDX-License-Identifier: Apache-2.0
"""A comparison in sentences and as a table."""

import os
import shlex
import statistics

from .. import compare, estimate, terminal, variants
from ..foreign import shown

LEAST_COST = 0.00005    # seconds
LEVEL = f'{estimate.LEVEL * 100:.0f} % interval'


def command_line(program):
    if hasattr(program, 'server'):
        return f'{shlex.join(program.server)}   under   {shlex.join(program.load)}'
    return shlex.join(program.argv)


def verdict(result, name='M:N'):
    """The answer, in a sentence or two, by the first metric."""
    if result.timed_out():
        return f'Not measured: {result.differences[0]}.'
    if result.failure:
        return result.failure
    if result.differences:
        return f'The results differ: {result.differences[0]}.'
    unseen = [note for note in result.notes if note.startswith(f'{name}: libmn was not at work')]
    if unseen:
        return f'This compares nothing: {unseen[0]}.'
    return without_threads(result) or _ratio(result, name)


def without_threads(result):
    """The sentence of a program that made none, or None."""
    if result.made_threads() is not False:
        return None
    if hasattr(result.program, 'server'):
        return 'The server made no threads: M:N cannot matter.'
    return f'The program made no threads: M:N cannot matter; {_start_up(result)}.'


def _start_up(result):
    """What libmn costs a program that does not use it, in words. All of it is CPU time, which others disturb less."""
    pairs = list(zip(result.native, result.libmn))
    if len(pairs) < estimate.LEAST_PAIRS:
        return f'what its start-up costs, {len(pairs)} pair{"s" if len(pairs) != 1 else ""} cannot tell'
    for key in ('wall', 'cpu'):
        metric = next(each for each in result.metrics if each.key == key)
        found = result.estimate(metric)
        if found and found.high < 1:
            cost = statistics.median(metric.of(b) - metric.of(a) for a, b in pairs)
            return f'start-up costs {metric.write(cost) if cost >= LEAST_COST else "less than 0.1 ms"}'
    return 'start-up costs too little to be told from noise'


def _ratio(result, name):
    metric = result.metrics[0]
    found = result.estimate(metric, name)
    pairs = f'over {result.pairs()} pair{"s" if result.pairs() != 1 else ""}'
    # "M:N is 1.2 times faster" says itself that it is time; other figures are named.
    subject = name if metric.key == 'wall' else f'{metric.title} of {name}'
    if found is None:
        return f'No ratio of {metric.title} can be told: a figure is zero, negative or missing.'
    if found.low is None:
        return (f'No difference could be shown: {result.pairs()} pairs are too few to tell one from '
                f'noise; at least {estimate.LEAST_PAIRS} are needed (-n).')
    native = '1:1' if metric.key == 'wall' else 'at 1:1'
    if found.same():
        return (f'{subject} is the same as {native}: any difference is below {_percent(estimate.RESOLUTION)} % '
                f'({LEVEL} {interval(found)} times as good) {pairs}.')
    if not found.shown():
        most = max(found.high, 1 / found.low) - 1
        size = f' of {_percent(estimate.RESOLUTION)} % or more' if found.certain() else ''
        return (f'No difference{size} could be shown: {subject} is {interval(found)} times as good as {native} ({LEVEL}), '
                f'{pairs}. If there is one, it is likely less than {_percent(most)} %.')
    better = found.ratio > 1
    ratio, low, high = ((found.ratio, found.low, found.high) if better else
                        (1 / found.ratio, 1 / found.high, 1 / found.low))
    return (f'{subject} is {compare.times(ratio)} times {metric.better if better else metric.worse} '
            f'({LEVEL} {compare.times(low)} to {compare.times(high)}) {pairs}{_threads(result, name)}.')


def _percent(part):
    return f'{part * 100:,.0f}' if part >= 0.1 else f'{part * 100:.2g}'


def further(result):
    """The sentences for the variants of --also."""
    found = []
    silent = result.differences or result.failure or without_threads(result)
    for variant in result.variants[2:] if not silent else ():
        sentence = verdict(result, variant.name)
        named = variant.name in sentence
        found.append(sentence if named else f'{variant.name}: {sentence}')
    return found


def _threads(result, name):
    metric = next(each for each in result.metrics if each.key == 'threads')
    native, libmn = result.median(metric, '1:1'), result.median(metric, name)
    if native is None or libmn is None or round(native) == round(libmn):
        return ''
    threads = 'thread' if round(libmn) == 1 else 'threads'
    return f'; it used {metric.write(libmn)} kernel {threads} where 1:1 used {metric.write(native)}'


def interval(found):
    return f'{compare.times(found.low)} to {compare.times(found.high)}'


def judgement(metric, found, same=False):
    """'1.53x faster (1.49 to 1.58)': what a table says of a ratio."""
    if same or found and found.same():
        return 'the same'
    if found is None:
        return '-'
    better = found.ratio > 1
    ratio = found.ratio if better else 1 / found.ratio
    text = f'{compare.times(ratio)}x {metric.better if better else metric.worse}'
    if found.low is None:
        return f'{text} (too few pairs to be sure)'
    if not found.shown():
        return f'no difference shown ({interval(found)})'
    low, high = sorted((found.low, found.high) if better else
                       (1 / found.low, 1 / found.high))
    return f'{text} ({compare.times(low)} to {compare.times(high)})'


def rows(result):
    """(metric, figures of each variant, Estimates of all but the first, whether all are equal)."""
    for metric in result.metrics:
        values = [result.values(metric, variant.name) for variant in result.variants]
        same = all(values) and len({value for each in values for value in each}) == 1
        yield metric, values, [result.estimate(metric, variant.name)
                               for variant in result.variants[1:]], same


def table(result, width=None):
    """Median (lowest to highest) of each variant, and what M:N is against 1:1."""
    lines = []
    if len(result.variants) == 2:
        cells = [['', '1:1', 'M:N', 'M:N is']]
        for metric, values, (found,), same in rows(result):
            cells.append([metric.title, *(summary(each, metric.write) for each in values),
                          judgement(metric, found, same)])
        return terminal.table(cells, width)
    for metric, values, estimates, same in rows(result):
        cells = [[metric.title, 'median (lowest to highest)', 'against 1:1']]
        for variant, figures, found in zip(result.variants, values, [None, *estimates]):
            cells.append([variant.name, summary(figures, metric.write),
                          '' if variant.name == '1:1' else judgement(metric, found, same)])
        lines += terminal.table(cells, width) + ['']
    return lines[:-1]


def summary(values, write):
    if not values:
        return '-'
    middle = write(statistics.median(values))
    if len(values) == 1:
        return middle
    return f'{middle} ({write(min(values))} to {write(max(values))})'


def text(result, procs, width=None):
    """All of it, a list of lines; of so many columns, where they can be broken."""
    lines = [verdict(result), *further(result)]
    lines += ['', command_line(result.program),
              f'{result.pairs()} pairs; scheduling contexts: {variants.contexts(procs)}; '
              f'CPUs: {len(os.sched_getaffinity(0))}', '']
    if not result.failure:
        lines += [*table(result, width), '', f'same output and exit status: {result.same}']
    lines += result.differences
    lines += [f'note: {line}' for line in result.notes]
    return [folded for line in lines for folded in terminal.fold(shown(line), width)]
