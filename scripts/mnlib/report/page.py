# SPDX-License-Identifier: Apache-2.0
"""A comparison as one HTML page that needs nothing from elsewhere."""

import html
import os

from .. import variants
from ..foreign import shown
from . import machine, plots, words
from .style import STYLE

WIDE, NARROW = 1076, 336

HOW_TO_READ = f'''
<p>A <b>pair</b> is one run at 1:1 and one at M:N, back to back, so that both meet the machine in the
same mood. The <b>ratio</b> is the median of the pairs’ ratios, turned so that more than 1 means that
M:N is better. Its line is the <b>{words.LEVEL}</b>, a bootstrap over the pairs: where it crosses 1, no
difference was shown. The more pairs (<code>-n</code>), the shorter the line.</p>
<p>In the distributions every run is a dot; the box holds the middle half of the runs, the bar is the
median. Axes need not begin at zero. A slope in the timeline is the machine warming up or others
working on it: both sides share it.</p>
<p>CPU time, context switches and memory are the kernel’s own figures; kernel threads are the most seen
at once, sampled. Few kernel threads and context switches are how M:N gains; where they do not differ,
a gain has another reason.</p>
'''


def write(file, result, procs, library):
    file.write(render(result, procs, library))


def render(result, procs, library):
    """The page as text."""
    verdict = words.verdict(result)
    extra = ''.join(f'<p>{_e(each)}</p>' for each in words.further(result))
    return ''.join([
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f'<title>mn compare: {_e(words.command_line(result.program))}</title>',
        f'<style>{STYLE}</style></head><body><main>',
        f'<h1>{_e(verdict)}</h1>{extra}{_command(result, procs)}{_remarks(result)}',
        '' if result.failure else _figures(result),
        _machine(library), '</main></body></html>\n'])


def _figures(result):
    return ''.join([_ratios(result), _distributions(result), _timeline(result), _table(result),
                    f'<section><h2>How to read it</h2>{HOW_TO_READ}</section>'])


def _e(text):
    return html.escape(shown(text))


def _command(result, procs):
    program = result.program
    lines = ([f'server  {words.shlex.join(program.server)}', f'load    {words.shlex.join(program.load)}']
             if hasattr(program, 'server') else [words.command_line(program)])
    same = '' if result.failure else f'; same output and exit status: <b>{_e(result.same)}</b>'
    return (f'<pre>{chr(10).join(map(_e, lines))}</pre><p class="quiet">{result.pairs()} pairs; scheduling '
            f'contexts: {_e(variants.contexts(procs))}; CPUs: {len(os.sched_getaffinity(0))}{same}</p>')


def _remarks(result):
    lines = [f'<li class="bad">{_e(each)}</li>' for each in result.differences]
    lines += [f'<li>{_e(each)}</li>' for each in result.notes]
    return f'<ul>{"".join(lines)}</ul>' if lines else ''


def _both(draw):
    """A plot for wide windows and one for narrow ones."""
    return f'<div class="wide">{draw(WIDE)}</div><div class="narrow">{draw(NARROW)}</div>'


def _ratios(result):
    several = len(result.variants) > 2
    rows = [(f'{metric.title}, {variant.name}' if several else metric.title, estimate,
             _short(words.judgement(metric, estimate, same)))
            for metric, _, estimates, same in words.rows(result)
            for variant, estimate in zip(result.variants[1:], estimates)]
    if not any(estimate for _, estimate, _ in rows):
        return ''
    return (f'<section><h2>How many times better than 1:1</h2>'
            f'{_both(lambda width: plots.ratios(rows, width))}</section>')


def _short(text):
    return text.replace('no difference shown', 'not shown').replace('too few pairs to be sure',
                                                                    'too few pairs')


def _distributions(result):
    cards = []
    for metric, values, _, _ in words.rows(result):
        groups = [(variant.name, figures) for variant, figures in zip(result.variants, values)]
        aim = 'less is better' if metric.less_is_better else 'more is better'
        plot = plots.distribution(metric, groups)
        if plot:
            cards.append(f'<figure><figcaption>{_e(metric.title)} <span class="quiet">{aim}</span>'
                         f'</figcaption>{plot}</figure>')
    return f'<section><h2>Every run</h2><div class="cards">{"".join(cards)}</div></section>'


def _timeline(result):
    metric = result.metrics[0]
    names = [variant.name for variant in result.variants]
    sequence = [(name, metric.of(run)) for name, run in result.sequence]
    legend = ' '.join(f'<span class="key v{place % 6}">{_e(name)}</span>'
                      for place, name in enumerate(names))
    title = metric.title if metric.pattern else metric.title.capitalize()
    return (f'<section><h2>{_e(title)} in the order of the runs</h2>'
            f'<p class="legend">{legend}</p>'
            f'{_both(lambda width: plots.timeline(metric, names, sequence, width))}</section>')


def _table(result):
    names = ''.join(f'<th>{_e(variant.name)}</th>' for variant in result.variants)
    against = ''.join(f'<th>{_e(variant.name)} is</th>' for variant in result.variants[1:])
    lines = []
    for metric, values, estimates, same in words.rows(result):
        cells = [words.summary(each, metric.write) for each in values]
        cells += [words.judgement(metric, estimate, same) for estimate in estimates]
        lines.append(f'<tr><th>{_e(metric.title)}</th>' +
                     ''.join(f'<td>{_e(cell)}</td>' for cell in cells) + '</tr>')
    return ('<section><h2>Medians (lowest to highest)</h2><div class="scroll"><table><tr><th></th>'
            f'{names}{against}</tr>{"".join(lines)}</table></div></section>')


def _machine(library):
    known = machine.describe(library)
    gibibytes = known['memory_bytes'] / (1 << 30)
    facts = [('processor', f'{known["cpu"]}, {known["cpus"]} CPUs'), ('memory', f'{gibibytes:.1f} GiB'),
             ('kernel', f'{known["kernel"]}, {known["architecture"]}'), ('libc', known['libc']),
             ('libmn', f'{known["libmn"]}, built {known["libmn_build"]}'), ('measured', known['time'])]
    return ('<section><h2>Machine</h2><dl>' +
            ''.join(f'<dt>{name}</dt><dd>{_e(value)}</dd>' for name, value in facts) +
            '</dl></section>')
