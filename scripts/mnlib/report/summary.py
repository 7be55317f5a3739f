# SPDX-License-Identifier: Apache-2.0
"""What mn ci says, as Markdown that is readable as text, too. What others wrote, names and messages, is in it as text:
in_markdown() and code() see to that."""

from .. import compare, gate
from ..foreign import code, in_markdown
from . import machine, words

MARKS = {gate.PASS: 'pass', gate.REGRESSION: '**regression**', gate.UNSURE: 'could not tell'}


def sentence(finding, fail_below, pairs):
    """What one Finding means."""
    title = in_markdown(finding.metric.title)
    if finding.decisive is None:
        return f'{title}: no ratio can be told, a figure is zero or negative.'
    what = 'than its baseline' if finding.base else 'than 1:1'
    ratio, low = finding.decisive.ratio, finding.decisive.low
    where = f'{words.interval(finding.decisive)} after {pairs} pairs' if low else f'{pairs} pairs'
    if finding.outcome == gate.UNSURE:
        return (f'{title}: could not tell. M:N is {compare.times(ratio)} times as good as '
                f'{"its baseline" if finding.base else "1:1"} ({where}), and {fail_below:g} lies within.')
    if finding.outcome == gate.PASS:
        return (f'{title}: M:N is no worse {what}, within what is allowed: {compare.times(ratio)} times '
                f'as good ({where}); {fail_below:g} is the least allowed.')
    return (f'{title}: M:N is worse {what}: {compare.times(ratio)} times as good ({where}); '
            f'{fail_below:g} is the least allowed.')


def markdown(result, findings, fail_below, library, headline, remarks=()):
    pairs = result.pairs()
    lines = [f'### libmn: {headline}', '']
    lines += [f'- {in_markdown(each)}' for each in remarks]
    lines += [f'- {sentence(each, fail_below, pairs)}' for each in findings]
    lines += ['', *_table(result, findings, fail_below), '']
    known = machine.describe(library)
    lines += [f'{code(words.command_line(result.program))}, {pairs} pairs, {known["cpus"]} CPUs '
              f'({in_markdown(known["cpu"])}), {in_markdown(known["kernel"])}. Ratios: how many times better M:N is than 1:1.']
    return lines + [f'- {in_markdown(note)}' for note in result.notes]


def _table(result, findings, fail_below):
    lines = ['| figure | 1:1 | M:N | ratio now | baseline | least allowed | |',
             '|---|---|---|---|---|---|---|']
    judged = {each.metric.key: each for each in findings}
    for metric in result.metrics:
        medians = [result.median(metric, name) for name in ('1:1', 'M:N')]
        written = ['-' if value is None else metric.write(value) for value in medians]
        finding = judged.get(metric.key)
        if finding is None:
            estimate = result.estimate(metric)
            ratio, base, least, mark = _ratio(estimate), '', '', ''
        else:
            ratio, mark = _ratio(finding.now), MARKS[finding.outcome]
            base = compare.times(finding.base) if finding.base else '-'
            least = compare.times((finding.base or 1) * fail_below)
        lines.append(f'| {in_markdown(metric.title)} | {written[0]} | {written[1]} | {ratio} | {base} | {least} | '
                     f'{mark} |')
    return lines


def _ratio(estimate):
    if estimate is None:
        return '-'
    return compare.times(estimate.ratio) + (f' ({words.interval(estimate)})' if estimate.low else '')
