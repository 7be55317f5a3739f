# SPDX-License-Identifier: Apache-2.0
"""CONFORMANCE.md: a section for each suite, each written by its own script.

Each suite has a file of reasons: lines "CASE PROCS REASON" (CASE is a shell pattern, PROCS may be *)
for the cases that pass natively and not under libmn.
"""

import fnmatch
import os
import platform
from typing import NamedTuple

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


class Reasons:
    def __init__(self, path):
        self._lines = []
        if os.path.exists(path):
            with open(path) as file:
                self._lines = [line.rstrip('\n').split(None, 2) for line in file
                               if line.strip() and not line.startswith('#')]

    def of(self, name, procs):
        """Why the case does not pass with MN_PROCS=procs; None: the file does not say."""
        for pattern, where, reason in self._lines:
            if fnmatch.fnmatchcase(name, pattern) and where in ('*', str(procs)):
                return reason
        return None


class Row(NamedTuple):
    """A case in the report."""
    group: str
    name: str
    native: bool    # it passes natively, so it counts
    differs: dict   # by MN_PROCS: what it came to where it does not pass under libmn


def _machine():
    linux = '.'.join(platform.release().split('.')[:2])
    libc = ' '.join(platform.libc_ver())
    return f'{libc}, Linux {linux}, {os.cpu_count()} CPUs'


def report_lines(intro, columns, rows, all_procs, title, reasons):
    """The section of a suite: passes per group, and what differs under `title`.

    columns: what the groups and the cases are called.
    """
    lines = [*intro, f'({_machine()}).', '',
             '| ' + ' | '.join([*columns, 'native', *(f'`MN_PROCS={p}`' for p in all_procs)]) + ' |',
             '|---|---|---|' + '---|' * len(all_procs)]
    for group in [*dict.fromkeys(row.group for row in rows), None]:
        mine = [row for row in rows if group in (None, row.group)]
        good = [row for row in mine if row.native]
        cells = [group or '**all**', len(mine), len(good)]
        cells += [sum(p not in row.differs for row in good) for p in all_procs]
        lines.append('| ' + ' | '.join(map(str, cells)) + ' |')
    lines += ['', f'### {title}', '']
    return lines + ([f'- `{row.name}`, `MN_PROCS={p}`, {row.differs[p]}: '
                     f'{reasons.of(row.name, p) or "not known yet"}'
                     for row in rows if row.native for p in all_procs if p in row.differs]
                    or ['Nothing.'])
