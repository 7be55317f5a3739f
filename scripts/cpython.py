#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs CPython's own tests natively and under libmn. Last line: "N passed, N failed".

They are Debian's (package libpython3.X-testsuite), as is the interpreter. Each case must come to what it comes to natively. One that does not
is run alone, RUNS times in turn with a native run, and counts as failed if it does so less often. A case
that crashes or hangs ends its process; the others of its module go on in a new one.

--report writes cases per module, and what differs with its reason out of test/cpython.txt, which has
lines "CASE PROCS REASON" (CASE is a shell pattern, PROCS may be *).
"""

import argparse
import concurrent.futures
import json
import os
import re
import sys
import tempfile

ROOT = os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))
sys.path.insert(0, os.path.join(ROOT, 'scripts'))

from mnlib import preload, process, section, suite  # noqa: E402

PYTHON = os.path.realpath('/usr/bin/python3')    # Debian's, whatever else is first on PATH
ONE = os.path.join(ROOT, 'test', 'cpython', 'one.py')
LOGS = os.path.join(ROOT, 'build', 'test', 'logs')
REASONS = os.path.join(ROOT, 'test', 'cpython.txt')
TITLE = "CPython's own tests"
MODULES = '''test_signal test_subprocess test_threading test_threadsignals test_asyncio
    test_concurrent_futures test_socketserver test_fork1 test_posix test_faulthandler
    test_multiprocessing_fork test_multiprocessing_forkserver test_multiprocessing_spawn
    test_multiprocessing_main_handling'''.split()
THE_END = 'the end of the process'
CASE_SECONDS = 120
MODULE_SECONDS = 1800
MOST_STARTS = 20
# Natively these are what a case may come to; others are nothing to be held against libmn.
GOOD = {'passed', 'skipped', 'fails as expected'}


class Case:
    def __init__(self, module, name):
        self.module = module
        self.name = name
        self.native = None
        self.libmn = {}    # by MN_PROCS


class Runner:
    def __init__(self, options, library):
        self._options = options
        self._library = library
        self._env = {**suite.clean_environment(), 'PATH': '/usr/bin:/bin:/usr/sbin:/sbin'}

    def _environment(self, procs):
        if procs is None:
            return self._env
        return preload.libmn_environment(self._library, self._env, procs)

    def run(self, module, procs, only=()):
        """What each case came to."""
        found = {}
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, 'results')
            work = os.path.join(folder, 'work')
            os.mkdir(work)
            for _ in range(MOST_STARTS):
                result = process.run([PYTHON, ONE, path, str(CASE_SECONDS), module, *only],
                                     self._environment(procs), MODULE_SECONDS, cwd=work)
                before = len(found)
                under_way = self._read(path, found)
                ended = process.ending(result.status) if result.hang is None else 'hung'
                if under_way is not None:
                    found[under_way] = 'hung' if 'Timeout (' in result.err else ended
                    self._log(under_way, procs, found[under_way], result)
                else:
                    found[f'{module}: {THE_END}'] = 'passed' if ended == 'exit status 0' else ended
                    if ended != 'exit status 0':
                        self._log(module, procs, ended, result)
                if under_way is None or len(found) == before:
                    break
        return found

    @staticmethod
    def _read(path, found):
        """Adds the cases that have ended; the one that has not, or None."""
        under_way = None
        if not os.path.exists(path):
            return None
        with open(path) as file:
            for line in map(json.loads, file):
                if line['result'] == 'begins':
                    under_way = line['case']
                    found.setdefault(under_way, 'not run to its end')
                else:
                    under_way = None if under_way == line['case'] else under_way
                    found[line['case']] = line['result']
                    if line['result'] == 'failed':
                        found[line['case'], 'why'] = line['why']
        begun = [case for case, result in found.items() if result == 'not run to its end']
        return begun[-1] if begun else None

    @staticmethod
    def _log(name, procs, verdict, result):
        os.makedirs(LOGS, exist_ok=True)
        where = 'native' if procs is None else f'MN_PROCS={procs}'
        with open(os.path.join(LOGS, f'cpython_{name}_{where}.log'), 'w') as file:
            file.write('\n'.join([verdict, result.out[-100000:], result.err[-100000:],
                                  *(result.hang or [])]) + '\n')

    def all(self, modules, procs):
        with concurrent.futures.ThreadPoolExecutor(self._options.jobs) as pool:
            return dict(zip(modules, pool.map(lambda module: self.run(module, procs), modules)))

    def again(self, case, procs):
        """(native, libmn): how many of RUNS came to what the first native one did."""
        same = [0, 0]
        for _ in range(self._options.runs):
            for side, where in enumerate((None, procs)):
                found = self.run(case.module, where, [case.name])
                same[side] += found.get(case.name) == case.native
        return same


def report_lines(cases, all_procs, reasons):
    version = re.sub(r'^\S*/', '', PYTHON)
    rows = [section.Row(case.module, case.name, case.native in GOOD,
                        {p: result for p, result in case.libmn.items() if result != case.native})
            for case in cases]
    return section.report_lines(
        [f"Debian's {version} and its lib{version}-testsuite: how many of a module's cases come to",
         'what they come to natively. Written by `make cpython`'],
        ('module', 'cases'), rows, all_procs, 'What differs under libmn', reasons)


def parse(argv):
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('modules', nargs='*', metavar='MODULE', help='default: ' + ' '.join(MODULES))
    parser.add_argument('--procs', default='1,2,8')
    parser.add_argument('--jobs', type=int, default=4)
    parser.add_argument('--runs', type=int, default=5, help='of those that differ (5)')
    parser.add_argument('--lib')
    parser.add_argument('--report', metavar='FILE', help='write its section of CONFORMANCE.md')
    return parser.parse_args(argv)


def main(argv):
    options = parse(argv)
    suite.as_in_the_foreground()
    if not os.path.exists(PYTHON):
        sys.exit(f'cpython: {PYTHON}: not there: sh scripts/setup cpython')
    modules = options.modules or MODULES
    all_procs = [int(word) for word in options.procs.split(',')]
    runner = Runner(options, preload.find_library(options.lib))
    reasons = section.Reasons(REASONS)
    cases = []
    for module, found in runner.all(modules, None).items():
        for name, result in found.items():
            if isinstance(name, str):
                case = Case(module, name)
                case.native = result
                cases.append(case)
    good = [case for case in cases if case.native in GOOD]
    print(f'{len(cases)} cases, {len(good)} good natively', flush=True)
    for case in cases:
        if case.native not in GOOD:
            print(f'not counted: {case.name}: natively {case.native}')
    failed = 0
    for procs in all_procs:
        results = runner.all(modules, procs)
        for case in good:
            found = results[case.module]
            case.libmn[procs] = first = found.get(case.name, 'not run')
            if first == case.native:
                continue
            native, libmn = runner.again(case, procs)
            if libmn >= native > 0:
                case.libmn[procs] = case.native
            else:
                failed += reasons.of(case.name, procs) is None
            print(f'{"FAILED" if case.libmn[procs] != case.native else "again"} {case.name} '
                  f'[MN_PROCS={procs}]: {first}, natively {case.native}; alone as natively {native} '
                  f'natively, {libmn} under libmn of {options.runs}', flush=True)
            print('\n'.join('  ' + line for line in found.get((case.name, 'why'), '').splitlines()[-12:]))
        for name, result in ((name, result) for module in modules for name, result in results[module].items()
                             if isinstance(name, str) and name not in {case.name for case in cases}):
            failed += result not in GOOD
            print(f'{name} [MN_PROCS={procs}]: {result}, natively there is none')
    if options.report:
        section.write_section(options.report, TITLE, report_lines(cases, all_procs, reasons))
    print(f'{len(good) * len(all_procs) - failed} passed, {failed} failed')
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
