# SPDX-License-Identifier: Apache-2.0
"""Text in the language of manual pages (man(7)), and the little Markdown that libmn's own texts use."""

import re

CHARACTERS = {'\\': r'\e', "'": r'\(aq', '`': r'\(ga', '^': r'\(ha', '~': r'\(ti', '"': r'\(dq',
              'µ': r'\(mc', '…': '...', '×': r'\(mu', '→': r'\(->', '–': r'\(en'}


class Odd(Exception):
    """A character that no manual page has."""


def escape(text):
    """One line of running text."""
    text = ''.join(CHARACTERS.get(character, character) for character in text)
    if not text.isascii():
        raise Odd(f'no escape is known for a character of: {text}')
    # What is typed has minus signs: options, and names with dashes. A hyphen between words stays one.
    text = re.sub(r'(?<![A-Za-z0-9])-|-(?=-)', r'\\-', text)
    return r'\&' + text if text.startswith('.') else text


def typed(text):
    """What is to be typed as it stands: all dashes are minus signs."""
    return re.sub(r'(?<!\\)-', r'\\-', escape(text))


def bold(text):
    return rf'\fB{typed(text)}\fR'


def italic(text):
    return rf'\fI{typed(text)}\fR'


def heading(title):
    return f'.SH {title.upper()}'


def example(text):
    """Lines that stay as they are."""
    lines = text.split('\n')
    indent = min(len(line) - len(line.lstrip()) for line in lines if line.strip())
    return ['.PP', '.nf', '.RS 4', *(typed(line[indent:]) for line in lines), '.RE', '.fi']


def inline(text):
    """A paragraph of Markdown: `typed`, *stressed*, [text](where)."""
    text = re.sub(r'\[([^]]*)\]\([^)]*\)', r'\1', ' '.join(text.split()))
    made = ''
    for part in re.split(r'(`[^`]+`|\*[^*\s][^*]*\*)', text):
        if part.startswith('`') and len(part) > 2:
            made += bold(part[1:-1])
        elif part.startswith('*') and len(part) > 2:
            made += italic(part[1:-1])
        else:
            made += escape(part) if not made else escape('x' + part)[1:]
    # A line may not begin with what looks like a request.
    return r'\&' + made if made.startswith('.') else made


def markdown(text):
    """Headings (##), paragraphs, bullets, and fenced examples."""
    made = []
    for block in re.findall(r'```.*?```|(?:(?!```).)+', text, re.DOTALL):
        if block.startswith('```'):
            made += example(block.split('\n', 1)[1][:-3].rstrip('\n'))
            continue
        for paragraph in re.split(r'\n(?=\s*\n|- |## )', block):
            paragraph = paragraph.strip()
            if paragraph.startswith('## '):
                made.append(heading(paragraph[3:]))
            elif paragraph.startswith('- '):
                made += [r'.IP \(bu 2', inline(paragraph[2:])]
            elif paragraph:
                made += ['.PP', inline(paragraph)]
    return made
