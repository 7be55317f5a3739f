# SPDX-License-Identifier: Apache-2.0
"""What is measured of a run: the kernel's figures, and figures that the program itself writes."""

import hashlib
import math
import os
import re

from . import aside
from .foreign import well_formed

MOST = 1e45        # of a figure; its inverse is the least
MOST_WORD = 64     # characters
MOST_SECONDS = 10  # for the figures of one run


class BadMetric(Exception):
    """A --metric that will not do, or that a program's output does not have."""


def seconds(value):
    if value < 1:
        return f'{value * 1000:.1f} ms'
    return f'{value:.2f} s'


def count(value):
    return f'{round(value):,}'


def mebibytes(value):
    return f'{value / (1 << 20):.1f} MiB'


def plain(value):
    return f'{value:,.0f}' if abs(value) >= 10000 else f'{value:,.4g}'


class Metric:
    """`key` names it in files, `title` to people; `unit` is what the raw figures are in."""

    def __init__(self, key, title, write, words, less_is_better=True, unit='count', pattern=None):
        self.key = key
        self.title = title
        self.write = write
        self.better, self.worse = words
        self.less_is_better = less_is_better
        self.unit = unit
        self.pattern = pattern    # of a figure in the program's output

    def of(self, run):
        """The figure of a Run; None: not known."""
        return run.figures.get(self.key) if self.pattern else getattr(run, self.key)


BUILT_IN = [
    Metric('wall', 'wall time', seconds, ('faster', 'slower'), unit='s'),
    Metric('cpu', 'CPU time', seconds, ('less', 'more'), unit='s'),
    Metric('switches', 'context switches', count, ('fewer', 'more')),
    Metric('threads', 'kernel threads', count, ('fewer', 'more')),
    Metric('memory', 'peak memory', mebibytes, ('less', 'more'), unit='bytes'),
]


def parse(text, less_is_better):
    """A Metric of 'REGEX' or 'NAME=REGEX'; BadMetric when it is none."""
    named = re.match(r'([A-Za-z][\w ./%-]*)=(.+)$', text, re.DOTALL)
    name, source = (named[1].strip(), named[2]) if named else (_name_of(text), text)
    try:
        pattern = re.compile(source, re.MULTILINE)
    except re.error as error:
        raise BadMetric(f'{source!r} is no regular expression: {error}') from error
    if pattern.groups != 1:
        raise BadMetric(f'{source!r} must have one group (...) that is the number, '
                        f'and has {pattern.groups}')
    if name in {metric.key for metric in BUILT_IN}:
        raise BadMetric(f'{name!r} is measured anyway: give the figure another name, NAME={source}')
    name = well_formed(name)
    return Metric(name, name, plain, ('lower', 'higher') if less_is_better else ('higher', 'lower'),
                  less_is_better, 'as the program writes it', pattern)


def _name_of(source):
    """The words that a regular expression begins with."""
    words = re.match(r'[\w ./%-]*', source.lstrip('^'))[0].strip()
    return words or source


def evaluate(wanted, out, err):
    """The figures of Metrics in a program's output, and a digest of stdout without them; BadMetric when one is not there.
    Bytes are what they are in arguments, so that an expression may have them.
    The user's regular expressions may take years, and Python's cannot be interrupted."""
    try:
        answer = aside.within(MOST_SECONDS, lambda: _evaluated(wanted, os.fsdecode(out), os.fsdecode(err)))
    except TimeoutError:
        raise BadMetric(f'{_which(wanted)} takes more than {MOST_SECONDS} s on the output: repetitions within repetitions, '
                        'such as (a+)+, may take for ever') from None
    except ChildProcessError:
        raise BadMetric(f'{_which(wanted)} takes more memory than there is') from None
    if 'bad' in answer:
        raise BadMetric(answer['bad'])
    return answer['figures'], answer['digest']


def _which(wanted):
    patterns = ', '.join(repr(metric.pattern.pattern) for metric in wanted)
    return f'--metric: {patterns}' if len(wanted) == 1 else f'--metric: one of {patterns}'


def _evaluated(wanted, out, err):
    try:
        figures = extract(wanted, out, err)
    except BadMetric as bad:
        return {'bad': str(bad)}
    return {'figures': figures, 'digest': hashlib.sha256(os.fsencode(mask(wanted, out))).hexdigest()}


def extract(found, out, err):
    """The figures of Metrics in a program's output: the last match on stdout, or else stderr."""
    figures = {}
    for metric in found:
        matches = metric.pattern.findall(out) or metric.pattern.findall(err)
        if not matches:
            raise BadMetric(f'--metric {metric.key}: nothing in the output matches '
                            f'{metric.pattern.pattern!r}')
        try:
            value = float(matches[-1].replace(',', ''))
        except ValueError:
            value = math.nan
        if not (value == 0 or 1 / MOST <= abs(value) <= MOST):
            why = f'beyond {MOST:g}' if math.isfinite(value) else 'no number'
            raise BadMetric(f'--metric {metric.key}: what {metric.pattern.pattern!r} finds is {why}: '
                            f'{matches[-1][:MOST_WORD]!r}')
        figures[metric.key] = value
    return figures


def mask(found, out):
    """The output without the figures: they differ from run to run."""
    for metric in found:
        out = metric.pattern.sub(lambda match: match[0].replace(match[1] or '', '', 1), out)
    return out
