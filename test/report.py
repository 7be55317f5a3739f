# SPDX-License-Identifier: Apache-2.0
"""What test/run.py prints of the tests, and what it counts."""

import collections
import os
import re
import sys

LOGS = os.path.join('build', 'test', 'logs')
DOTS_PER_LINE = 80
DETAIL_LINES = 80
REPEATED = 20
REPEATED_DETAIL = 3

Finding = collections.namedtuple('Finding', 'name failure command details wall')


class Report:
    """Counts, prints dots and failures, keeps logs."""

    def __init__(self, root):
        self.passed = self.failed = 0
        self._root = root
        self._failures = []
        self._dots = 0
        self._pending = []
        self._slow = []

    def group(self, title):
        print(f'{title}: ', end='', flush=True)
        self._dots = 0

    def add(self, finding):
        if self._dots == DOTS_PER_LINE:
            print('\n  ', end='')
            self._dots = 0
        self._dots += 1
        self._slow.append((finding.wall, finding.name))
        if finding.failure is None:
            self.passed += 1
            print('.', end='', flush=True)
        else:
            self.failed += 1
            self._pending.append(finding)
            said = [line.strip() for line in finding.details if line.strip()]
            self._failures.append(': '.join([finding.name, finding.failure, *said[:REPEATED_DETAIL]]))
            print('F', end='', flush=True)

    def end_group(self):
        print()
        for finding in self._pending:
            print(f'FAILED {finding.name}: {finding.failure}')
            print(f'  by hand: {finding.command}')
            print('\n'.join('  ' + line for line in finding.details[:DETAIL_LINES]))
            if len(finding.details) > DETAIL_LINES:
                print(f'  ... all of it: {self._log(finding)}')
        self._pending = []
        sys.stdout.flush()

    def slowest(self, count):
        for wall, name in sorted(self._slow, reverse=True)[:count]:
            print(f'{wall:7.1f} s  {name}')

    def add_total(self, title, passed, failed):
        """What a script counted that has shown its failures itself."""
        self.passed += passed
        self.failed += failed
        if failed:
            self._failures.append(f'{title}: {failed} failed')

    def repeat_failures(self):
        """For readers who see only the end of a long output."""
        for failure in self._failures[:REPEATED]:
            print(f'FAILED {failure}')
        if len(self._failures) > REPEATED:
            print(f'... and {len(self._failures) - REPEATED} more')

    def _log(self, finding):
        folder = os.path.join(self._root, LOGS)
        os.makedirs(folder, exist_ok=True)
        path = os.path.join(folder, re.sub(r'[^\w.=-]+', '_', finding.name).strip('_') + '.log')
        with open(path, 'w') as file:
            file.write('\n'.join([finding.failure, finding.command, *finding.details]) + '\n')
        return os.path.relpath(path, self._root)
