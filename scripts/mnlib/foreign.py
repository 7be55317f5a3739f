# SPDX-License-Identifier: Apache-2.0
"""Text that others wrote, made safe to show: names of threads and programs, symbols, dumps, files.

Whoever prints lines passes each through shown(), as the last thing: a line stays one line, and nothing in
it moves a cursor, changes colours or runs backwards. Markdown has a grammar of its own: in_markdown().
"""

import re

# Words of ours, and names that mean nothing in Markdown: no link, mention, emphasis, entity or cell in them.
PLAIN = re.compile(r"[A-Za-z](?:[A-Za-z0-9 ,;:%'\"()+=-]|\.(?= |$))*")


def shown(text):
    """`text` as one line, in which what is not printable is visibly escaped: \\x1b, \\n, \\u202e, \\udcff."""
    text = str(text)
    if text.isprintable():
        return text
    return ''.join(c if c.isprintable() else _escaped(c) for c in text)


def _escaped(character):
    return character.encode('unicode_escape', 'surrogatepass').decode()


def well_formed(value):
    """A value as JSON may hold it for all readers: a byte that is no UTF-8, which Python keeps as half a surrogate pair,
    is visibly escaped, as shown() does it."""
    if isinstance(value, str):
        return value.encode(errors='backslashreplace').decode()
    if isinstance(value, dict):
        return {well_formed(key): well_formed(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [well_formed(each) for each in value]
    return value


def in_markdown(text):
    """`text` as it may stand in a line or in a table of GitHub's Markdown: as it is where that is harmless, else
    as code, in which nothing has a meaning but backticks, and in a table |."""
    text = shown(text).strip()
    return text if PLAIN.fullmatch(text) else code(text)


def code(text):
    """A code span; in tables, too. Never empty."""
    text = shown(text).replace('|', '\\x7c')
    longest = max((len(run) for run in re.findall('`+', text)), default=0)
    fence = '`' * (longest + 1)
    # Whoever reads Markdown takes one space off either end, and an empty span for no span.
    padded = not text.strip() or text[0] in ' `' or text[-1] in ' `'
    return f'{fence} {text} {fence}' if padded else f'{fence}{text}{fence}'
