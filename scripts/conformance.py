#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs the Open POSIX Test Suite natively and under libmn. Last line: "N passed, N failed".

SUITE is a folder with its sources: testcases/open_posix_testsuite of the Linux Test Project, or
the project's top. Its programs are compiled into build/conformance. Each runs natively and, if it
passes there, under libmn; one that differs is run alone, RUNS times in turn with a native run,
for many of these tests measure times, and counts as failed if it passes less often than natively.
The shell scripts of the suite test nothing: they say which assertions cannot be tested.

--report writes native : libmn per function, and what fails with its reason out of
test/conformance.txt, which has lines "FUNCTION/TEST PROCS REASON" (PROCS may be *).
"""

import argparse
import concurrent.futures
import fnmatch
import os
import re
import subprocess
import sys
import tempfile

ROOT = os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))
sys.path.insert(0, os.path.join(ROOT, 'scripts'))

from mnlib import preload, process, section, suite  # noqa: E402

BUILD = os.path.join(ROOT, 'build', 'conformance')
LOGS = os.path.join(ROOT, 'build', 'test', 'logs')
REASONS = os.path.join(ROOT, 'test', 'conformance.txt')
TITLE = 'The Open POSIX Test Suite'
INTERFACES = 'conformance/interfaces'
# As the suite's own configuration has it.
CFLAGS = ['-std=c99', '-D_POSIX_C_SOURCE=200809L', '-D_XOPEN_SOURCE=700', '-w', '-g']
LIBS = ['-lpthread', '-lrt', '-lm']
# posixtest.h
STATUSES = {0: 'passed', 1: 'failed', 2: 'unresolved', 4: 'unsupported', 5: 'untested'}
PASSED = 'passed'


class Test:
    def __init__(self, source):
        self.source = source
        self.name = source.split(INTERFACES + '/')[1][:-len('.c')]
        self.function = self.name.split('/')[0]
        self.binary = os.path.join(BUILD, self.name)
        self.native = None
        self.libmn = {}     # by MN_PROCS

    def counts(self):
        return self.native == PASSED


def find_suite(path):
    for folder in (path, os.path.join(path, 'testcases', 'open_posix_testsuite')):
        if os.path.isfile(os.path.join(folder, 'include', 'posixtest.h')):
            return os.path.abspath(folder)
    sys.exit(f'conformance: {path}: there is no include/posixtest.h, so this is not the suite')


def find_tests(folder, patterns):
    tests = []
    for parent, _, files in os.walk(os.path.join(folder, INTERFACES)):
        for file in files:
            if re.fullmatch(r'(speculative-)?\d+-\d+\.c', file):
                test = Test(os.path.join(parent, file))
                if not patterns or any(fnmatch.fnmatch(test.name, p) for p in patterns):
                    tests.append(test)
    return sorted(tests, key=lambda test: test.name)


def compile_test(folder, test):
    """None, or what the compiler said."""
    common = os.path.join(folder, 'lib', 'common.c')
    if (os.path.exists(test.binary) and
            os.path.getmtime(test.binary) > os.path.getmtime(test.source)):
        return None
    os.makedirs(os.path.dirname(test.binary), exist_ok=True)
    result = subprocess.run(['cc', *CFLAGS, '-I', os.path.join(folder, 'include'),
                             '-I', os.path.dirname(test.source), '-o', test.binary, test.source,
                             *([common] if os.path.exists(common) else []), *LIBS],
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                            check=False)
    return result.stdout if result.returncode != 0 else None


class Runner:
    def __init__(self, options, library):
        self._options = options
        self._library = library
        self._env = suite.clean_environment()

    def environment(self, procs):
        if procs is None:
            return self._env
        return preload.libmn_environment(self._library, self._env, procs)

    def once(self, test, procs):
        with tempfile.TemporaryDirectory() as folder:
            result = process.run([test.binary], self.environment(procs), self._options.timeout,
                                 cwd=folder)
        verdict = 'hung' if result.hang is not None else STATUSES.get(result.status,
                                                                      process.ending(result.status))
        if procs is not None and verdict != PASSED:
            self._log(test, procs, verdict, result)
        return verdict

    @staticmethod
    def _log(test, procs, verdict, result):
        os.makedirs(LOGS, exist_ok=True)
        name = f'conformance_{test.name.replace("/", "_")}_MN_PROCS={procs}.log'
        with open(os.path.join(LOGS, name), 'w') as file:
            file.write('\n'.join([verdict, result.out, result.err, *(result.hang or [])]) + '\n')

    def again(self, test, procs):
        """(native, libmn): how many of RUNS passed, each alone."""
        passed = [0, 0]
        for _ in range(self._options.runs):
            for side, where in enumerate((None, procs)):
                passed[side] += self.once(test, where) == PASSED
        return passed

    def all(self, tests, procs):
        with concurrent.futures.ThreadPoolExecutor(self._options.jobs) as pool:
            return list(pool.map(lambda test: self.once(test, procs), tests))


def report_lines(tests, all_procs):
    rows = [section.Row(test.function, test.name, test.counts(),
                        {p: verdict for p, verdict in test.libmn.items() if verdict != PASSED})
            for test in tests]
    return section.report_lines(
        ["The Open POSIX Test Suite is part of the Linux Test Project: how many of a function's tests",
         'pass. Written by `make conformance`'],
        ('function', 'tests'), rows, all_procs, 'What passes natively and not under libmn',
        section.Reasons(REASONS))


def parse(argv):
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('suite', metavar='SUITE')
    parser.add_argument('--only', action='append', metavar='PATTERN', default=[],
                        help='only tests whose FUNCTION/TEST matches; repeatable')
    parser.add_argument('--procs', default='1,2,8')
    parser.add_argument('--jobs', type=int, default=4)
    parser.add_argument('--runs', type=int, default=5, help='of those that differ (5)')
    parser.add_argument('--timeout', type=float, default=120, metavar='SECONDS')
    parser.add_argument('--lib')
    parser.add_argument('--report', metavar='FILE', help='write CONFORMANCE.md')
    return parser.parse_args(argv)


def main(argv):
    options = parse(argv)
    folder = find_suite(options.suite)
    all_procs = [int(word) for word in options.procs.split(',')]
    runner = Runner(options, preload.find_library(options.lib))
    tests = find_tests(folder, options.only)
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        built = list(pool.map(lambda test: compile_test(folder, test), tests))
    broken = [test.name for test, error in zip(tests, built) if error is not None]
    tests = [test for test, error in zip(tests, built) if error is None]
    if broken:
        print(f'not compiled: {", ".join(broken)}')
    for test, verdict in zip(tests, runner.all(tests, None)):
        test.native = verdict
    counting = [test for test in tests if test.counts()]
    print(f'{len(tests)} tests, {len(counting)} pass natively', flush=True)
    failed = 0
    for procs in all_procs:
        for test, verdict in zip(counting, runner.all(counting, procs)):
            test.libmn[procs] = verdict
        for test in counting:
            if test.libmn[procs] != PASSED:
                native, libmn = runner.again(test, procs)
                first = test.libmn[procs]
                if libmn >= native:
                    test.libmn[procs] = PASSED
                else:
                    failed += 1
                print(f'{"FAILED" if libmn < native else "again"} {test.name} [MN_PROCS={procs}]: '
                      f'{first}; alone {native} natively, {libmn} under libmn of {options.runs}',
                      flush=True)
        share = sum(t.libmn[procs] == PASSED for t in counting) / max(1, len(counting))
        print(f'MN_PROCS={procs}: {share:.2%}', flush=True)
    if options.report:
        section.write_section(options.report, TITLE, report_lines(tests, all_procs))
    print(f'{len(counting) * len(all_procs) - failed} passed, {failed} failed')
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
