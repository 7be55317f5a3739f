# SPDX-License-Identifier: Apache-2.0
"""CONFORMANCE.md: a section for each suite, each written by its own script."""

import os

HEAD = ['# Conformance', '',
        'Test suites of others, natively and under libmn: how many cases pass.', '']


def _sections(path):
    """The lines under each "## TITLE", in order."""
    found = {}
    title = None
    if os.path.exists(path):
        with open(path) as file:
            for line in file.read().splitlines():
                if line.startswith('## '):
                    title = line[3:]
                if title is not None:
                    found.setdefault(title, []).append(line)
    return found


def write_section(path, title, lines):
    """Puts a section in place of the one with that title; the others stay."""
    sections = _sections(path)
    sections[title] = [f'## {title}', '', *lines]
    text = list(HEAD)
    for section in sections.values():
        while section and not section[-1]:
            section.pop()
        text += [*section, '']
    with open(path, 'w') as file:
        file.write('\n'.join(text[:-1]) + '\n')
