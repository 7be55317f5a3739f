# SPDX-License-Identifier: Apache-2.0
"""What the terminal can show, where there is one; and lines that fit into it. Elsewhere lines have any length."""

import os
import re
import textwrap

COLUMNS = 80
LEAST_COLUMNS = 10
MOST_HANG = 0.6


def draws(stream):
    """Whether it is a terminal that takes escape sequences."""
    return stream.isatty() and os.environ.get('TERM', '') not in ('', 'dumb')


def columns(stream):
    """How wide the terminal is; None where the stream is none."""
    if not stream.isatty():
        return None
    given = os.environ.get('COLUMNS', '')
    if re.fullmatch('[0-9]{1,6}', given) and int(given) > 0:
        return int(given)
    try:
        return os.get_terminal_size(stream.fileno()).columns or COLUMNS
    except OSError:
        return COLUMNS


def fold(line, width):
    """The line as lines that have room, broken between words; what follows the first stands below it, or below the text
    of an example. Width None: any."""
    if width is None or len(line) <= width:
        return [line]
    width = max(width, LEAST_COLUMNS)
    hang = next((size for size in _hangs(line) if size <= width * MOST_HANG), 0)
    return textwrap.wrap(line, width, subsequent_indent=' ' * hang, break_long_words=False, break_on_hyphens=False) or [line]


def _hangs(line):
    example = re.match(r' +\S.*?  +(?=\S)', line)
    if example:
        yield len(example[0])
    if line.startswith((' ', '- ')):
        yield len(re.match(' *', line)[0]) + 2


def paragraphs(text, width):
    """Running text, filled anew; blocks with indented lines, as examples are, keep their lines."""
    made = []
    for block in text.strip('\n').split('\n\n'):
        lines = block.split('\n') if re.search('(?m)^ ', block) else [' '.join(block.split())]
        made += [folded for line in lines for folded in fold(line, width)] + ['']
    return '\n'.join(made[:-1])


def table(rows, width=None):
    """Lines of left-aligned columns; the first row is the heading. Where they have no room, a block for each row."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ['  '.join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows]
    lines.insert(1, '  '.join('-' * width for width in widths))
    return lines if width is None or max(map(len, lines)) <= width else _blocks(rows, width)


def _blocks(rows, width):
    (corner, *headings), *rows = rows
    lines = [corner] if corner else []
    for title, *cells in rows:
        lines.append(title)
        lines += [f'  {heading}: {cell}' for heading, cell in zip(headings, cells) if cell]
    return [folded for line in lines for folded in fold(line, width)]
