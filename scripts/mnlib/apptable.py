# SPDX-License-Identifier: Apache-2.0
"""What scripts/apps.py found: counts, a table for people and the same as JSON."""

import json
import os
import sys

from . import metrics, terminal

LAST_LINES = 40     # of a program's diagnosis: what stderr says before a crash comes last
FIRST_LINES = 30    # of a server's, the rest is in its log
SECONDS = 's'
HEADING = ['program', 'MN_PROCS', 'native', 'libmn', 'ratio', 'kernel threads', 'verdict']


class Table:
    def __init__(self):
        self.passed = self.failed = 0
        self._rows = []

    def add(self, program, procs, native, libmn, unit, verdict, runs=()):
        """One comparison; figures that are not known are None. In a ratio, above 1 is better."""
        ratio = None
        if native and libmn:
            ratio = native / libmn if unit == SECONDS else libmn / native
        self._rows.append({'program': program, 'procs': procs, 'native': native, 'libmn': libmn,
                           'unit': unit, 'ratio': ratio, 'verdict': verdict,
                           'kernel_threads': [run.kernel_threads for run in runs]})

    @staticmethod
    def say(line):
        print(line, flush=True)

    def fail(self, name, failure, command, details, log=None):
        self.failed += 1
        print(f'FAILED {name}: {failure}')
        if command:
            print(f'  by hand: {command}')
        for line in details[:FIRST_LINES] if log else details[-LAST_LINES:]:
            print(f'  {line}')
        if log:
            print(f'  all of it: {os.path.relpath(log)}')
        sys.stdout.flush()

    def lines(self):
        """Figures are seconds, or so many a second; ratio above 1: libmn is the faster."""
        rows = [HEADING]
        for row in self._rows:
            rows.append([row['program'], str(row['procs'] or '-'),
                         _figure(row['native'], row['unit']), _figure(row['libmn'], row['unit']),
                         '-' if row['ratio'] is None else f'{row["ratio"]:.2f}',
                         ' : '.join(f'{count:,}' for count in row['kernel_threads']) or '-',
                         row['verdict']])
        return terminal.table(rows)

    def write_json(self, path):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, 'w') as file:
            json.dump({'passed': self.passed, 'failed': self.failed, 'rows': self._rows}, file,
                      indent=1)
            file.write('\n')


def _figure(value, unit):
    if value is None:
        return '-'
    if unit == SECONDS:
        return metrics.seconds(value)
    return f'{value:,.0f} {unit}'
