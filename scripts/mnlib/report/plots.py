# SPDX-License-Identifier: Apache-2.0
"""Plots as SVG text. Colours are classes, so that the page's style serves light and dark.

A plot is drawn for a width in pixels at which its text is readable; it does not scale.
"""

import html
import math
import random
import statistics

from ..foreign import shown

LINE = 18          # between lines of text
PADDING = 8        # left and right of the axis, so that its outer labels fit
STACKED_PIXELS = 600
LABEL_PIXELS = 78  # at least, between two labels of an axis


class Axis:
    """Maps figures to pixels from `left` to `right`; equal ratios are equal steps where `log`."""

    def __init__(self, low, high, left, right, factor=1, log=False):
        self.low, self.high, self.left, self.right = low, high, left, right
        self._factor = factor    # from figures to what the labels show, for them to be round
        self._map = math.log if log else float
        self._log = log

    def at(self, value):
        low, high = self._map(self.low), self._map(self.high)
        return self.left + (self._map(value) - low) / (high - low) * (self.right - self.left)

    def ticks(self, wanted=None):
        wanted = wanted or max(2, int((self.right - self.left) / LABEL_PIXELS))
        if self._log and self.high / self.low > 4:
            return _log_ticks(self.low, self.high, wanted)
        low, high = self.low * self._factor, self.high * self._factor
        step = nice((high - low) / wanted)
        first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
        return [number * step / self._factor for number in range(first, last + 1)]


def nice(step):
    """The next 1, 2 or 5 times a power of ten, from `step` on."""
    power = 10 ** math.floor(math.log10(step))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= step * (1 - 1e-9))


def _log_ticks(low, high, wanted):
    for factors in ((1, 2, 5), (1, 3), (1,)):
        found = [factor * 10 ** power for power in range(math.floor(math.log10(low)), 40)
                 for factor in factors if low <= factor * 10 ** power <= high]
        if len(found) <= wanted:
            break
    return found[::math.ceil(len(found) / wanted)] if found else []


def escaped(text_):
    return html.escape(shown(text_))


def svg(width, height, title, parts):
    return (f'<svg width="{width}" height="{height}" viewBox="0 0 {width} {height}" role="img" '
            f'aria-label="{escaped(title)}">{"".join(parts)}</svg>')


def text(x, y, words, kind='', anchor='start'):
    return (f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}" text-anchor="{anchor}">'
            f'{escaped(words)}</text>')


def line(x1, y1, x2, y2, kind):
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{kind}"/>'


def dot(x, y, kind, words, radius=3.5):
    return (f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius}" class="{kind}">'
            f'<title>{escaped(words)}</title></circle>')


def horizontal(axis, top, bottom, write):
    """The lines of an axis and its labels below."""
    parts = []
    for tick in axis.ticks():
        x = axis.at(tick)
        parts.append(line(x, top, x, bottom, 'grid'))
        words = write(tick)
        half = len(words) * 4    # labels stay within the plot
        shown = min(max(x, half), axis.right + PADDING - half)
        parts.append(text(shown, bottom + 15, words, 'tick', 'middle'))
    return parts


def span(values, room=0.06):
    low, high = min(values), max(values)
    margin = (high - low) * room or abs(high) * 0.1 or 1
    return max(low - margin, 0) if low >= 0 else low - margin, high + margin


def distribution(metric, groups, width=336):
    """Every run a dot, a row for each variant, over a box from quartile to quartile."""
    values = [value for _, figures in groups for value in figures]
    if not values:
        return ''
    factor, unit = scale(metric, values)
    axis = Axis(*span(values), PADDING, width - PADDING, factor)
    row = 56
    bottom = row * len(groups) + 4
    parts = horizontal(axis, 4, bottom, lambda tick: label(tick * factor, unit))
    for index, (name, figures) in enumerate(groups):
        if not figures:
            continue
        kind = f'v{index % 6}'
        top = index * row + 4
        middle = statistics.median(figures)
        parts.append(text(0, top + 12, name, f'label {kind}'))
        parts.append(text(width, top + 12, f'median {metric.write(middle)}', 'value', 'end'))
        y = top + 36
        if len(figures) > 3:
            low, _, high = statistics.quantiles(figures, n=4, method='inclusive')
            parts.append(f'<rect x="{axis.at(low):.1f}" y="{y - 12}" height="24" rx="2" class="box {kind}"'
                         f' width="{max(axis.at(high) - axis.at(low), 1):.1f}"/>')
        parts.append(line(axis.at(middle), y - 14, axis.at(middle), y + 14, f'median {kind}'))
        chance = random.Random(index)
        parts += [dot(axis.at(value), y + chance.uniform(-8, 8), f'dot {kind}',
                      f'{name}: {metric.write(value)}') for value in figures]
    return svg(width, bottom + 22, f'{metric.title} of each run', parts)


def ratios(rows, width):
    """`rows`: title, Estimate, words. A dot for each ratio, a line for its interval; log scale."""
    known = [row for row in rows if row[1] is not None]
    if not known:
        return ''
    ends = [end for _, each, _ in known for end in (each.low, each.high, each.ratio) if end]
    low, high = min(ends + [0.9]), max(ends + [1.1])
    axis = Axis(low / 1.04, high * 1.04, PADDING, width - PADDING, log=True)
    stacked = width < STACKED_PIXELS    # no room for both texts in one line
    row, above = (62, 34) if stacked else (46, 18)
    bottom = LINE + row * len(known)
    parts = [text(axis.at(1) - 8, 12, '1:1 better', 'side', 'end') if axis.at(1) > 80 else '',
             text(axis.at(1) + 8, 12, 'M:N better', 'side') if axis.at(1) < width - 84 else '']
    parts += horizontal(axis, LINE, bottom, lambda tick: label(tick, '×'))
    parts.append(line(axis.at(1), LINE, axis.at(1), bottom, 'one'))
    for index, (title, each, words) in enumerate(known):
        y = LINE + (index + 1) * row - 12
        kind = 'good' if each.shown() and each.ratio > 1 else 'bad' if each.shown() else 'none'
        parts.append(text(0, y - above, title, 'label'))
        parts.append(text(*((0, y - 18, words, 'value') if stacked else
                            (width, y - 18, words, 'value', 'end'))))
        if each.low is not None:
            parts.append(line(axis.at(each.low), y, axis.at(each.high), y, f'interval {kind}'))
        parts.append(dot(axis.at(each.ratio), y, f'ratio {kind}', f'{title}: {words}', 5))
    return svg(width, bottom + 22, 'ratio of each metric with its interval', parts)


def timeline(metric, names, sequence, width, height=200):
    """The runs in the order in which they ran; `sequence`: variant's name and figure."""
    known = [(index, name, value) for index, (name, value) in enumerate(sequence) if value is not None]
    if not known:
        return ''
    values = [value for _, _, value in known]
    factor, unit = scale(metric, values)
    up = Axis(*span(values), height - 40, 10, factor)
    labels = [(tick, label(tick * factor, unit)) for tick in up.ticks(4)]
    left = 8 + 7 * max((len(words) for _, words in labels), default=0)
    across = Axis(0.5, len(sequence) + 0.5, left, width - PADDING)
    parts = []
    for tick, words in labels:
        parts.append(line(left, up.at(tick), width, up.at(tick), 'grid'))
        parts.append(text(left - 6, up.at(tick) + 4, words, 'tick', 'end'))
    numbers = [1] + [tick for tick in across.ticks() if tick == int(tick) and 1 < tick < len(sequence)]
    parts += [text(across.at(number), height - 22, f'{number:.0f}', 'tick', 'middle')
              for number in numbers]
    parts.append(text(width, height - 4, 'run, in the order measured', 'tick', 'end'))
    for place, name in enumerate(names):
        points = [(across.at(index + 1), up.at(value), value) for index, n, value in known if n == name]
        kind = f'v{place % 6}'
        path = ' '.join(f'{x:.1f},{y:.1f}' for x, y, _ in points)
        parts.append(f'<polyline points="{path}" class="thread {kind}"/>')
        parts += [dot(x, y, f'dot {kind}', f'{name}: {metric.write(value)}') for x, y, value in points]
    return svg(width, height, f'{metric.title} in the order of the runs', parts)


def scale(metric, values):
    """The factor and the unit that suit an axis of these figures."""
    top = max(map(abs, values)) or 1
    if metric.unit == 's':
        return (1, ' s') if top >= 1 else (1e3, ' ms') if top >= 1e-3 else (1e6, ' µs')
    if metric.unit == 'bytes':
        return (2 ** -30, ' GiB') if top >= 2 ** 31 else (2 ** -20, ' MiB')
    return (1e-6, ' M') if top >= 1e6 else (1e-3, ' k') if top >= 1e4 else (1, '')


def label(number, unit):
    number = float(f'{number:.6g}')
    return f'{number:,.0f}{unit if number else ""}' if number == int(number) else f'{number:,g}{unit}'
