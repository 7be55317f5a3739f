#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs every test. Last line: the total, "N passed, N failed".

  unit       the GoogleTest binaries given, or all under build/unit, build/asan, build/tsan
  scripts    test/mn_test.py and its like: scripts/mn
  observe    test/observe_test.py and its like: dumps, deadlocks, schedtrace, statistics
  first_op   test/programs/first_op/run.py: every exported function, called in every context
  native     each preload test and program without libmn: must pass, and is the oracle
  libmn      the same with MN_PROCS=1, 2 and 8
  fallback   the same with each fallback forced, MN_PROCS=2
  beside     some of them with jemalloc, tcmalloc and mimalloc preloaded before libmn and after it,
             MN_PROCS=2; with --only those that it selects
  scale      test/scale.py: a hundred thousand threads at once, and a million where memory allows
  apps       real programs: scripts/apps.py --quick programs

test/gaps.txt names what is known not to work under libmn; it is not run there, and listed at the end.

scripts/mnlib/suite.py says what a test must show. What failed in full: build/test/logs.
"""

import argparse
import concurrent.futures
import fnmatch
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import unittest

ROOT = os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))
sys.path.insert(0, os.path.join(ROOT, 'scripts'))

import observed  # noqa: E402
import scale  # noqa: E402
from mnlib import preload, process, suite  # noqa: E402
from report import Finding, Report  # noqa: E402

GROUPS = 'unit scripts observe first_op native libmn fallback beside scale apps'.split()
TOTAL = os.path.join(ROOT, 'build', 'test', 'total')
UNIT_FOLDERS = ['build/unit', 'build/asan/unit', 'build/tsan/unit']
UNIT_TIMEOUT = 300
UNIT_STDERR_LINES = 60
FALLBACK_PROCS = 2
# A test that is skipped for another reason fails.
WANTING = 'for want of '
NOT_RUN = []


class Runner:
    def __init__(self, options):
        self._options = options
        self._report = Report(ROOT)
        self._suite = suite.Suite(ROOT, options.lib, options.timeout)
        self._tests = []

    def run(self):
        wanted = self._options.groups
        if 'unit' in wanted:
            self._unit()
        if 'scripts' in wanted:
            self._scripts('scripts', 'mn_*test.py')
        if 'observe' in wanted:
            observed.library = self._options.lib
            self._scripts('what libmn shows', 'observe*_test.py')
        if 'first_op' in wanted and not self._options.only:
            self._totalled('every function in every context', 'test/programs/first_op/run.py')
        if {'native', 'libmn', 'fallback', 'beside'} & set(wanted):
            self._preload(wanted)
        if 'scale' in wanted:
            self._scale()
        if 'apps' in wanted and not self._options.only:
            self._totalled('real programs', 'scripts/apps.py', '--quick', 'programs')
        if {'libmn', 'fallback'} & set(wanted) and self._suite.gaps:
            print('known gaps, not run under libmn (test/gaps.txt):')
            print('\n'.join(f'  {gap.name} (MN_PROCS {gap.procs}): {gap.reason}' for gap in self._suite.gaps))
        if self._options.slow:
            self._report.slowest(self._options.slow)
        return self._report

    def _selected(self, name):
        only = self._options.only
        return not only or any(fnmatch.fnmatchcase(name, f'*{pattern}*') for pattern in only)

    def _each(self, title, jobs):
        """Runs functions that return Findings, several at a time."""
        jobs = list(jobs)
        if not jobs:
            return
        self._report.group(title)
        with concurrent.futures.ThreadPoolExecutor(self._options.jobs) as pool:
            futures = [pool.submit(job) for job in jobs]
            try:
                for future in concurrent.futures.as_completed(futures):
                    found = future.result()
                    for finding in found if isinstance(found, list) else [found]:
                        self._report.add(finding)
            except BaseException:
                for future in futures:
                    future.cancel()
                process.kill_all()
                raise
        self._report.end_group()

    def _unit(self):
        binaries = self._options.binaries or find_unit_binaries()
        self._each('unit tests', [lambda b=b: unit_findings(b, self._selected, self._options)
                                  for b in binaries])

    def _scripts(self, title, pattern):
        self._report.group(title)
        loaded = unittest.defaultTestLoader.discover(os.path.join(ROOT, 'test'), pattern)
        for finding in script_findings(loaded, self._selected):
            self._report.add(finding)
        self._report.end_group()

    def _preload(self, wanted):
        try:
            self._tests = [test for test in self._suite.preload_tests() + self._suite.programs()
                           if self._selected(test.name)]
            beside = list(suite.beside_allocators(self._options.lib)) if 'beside' in wanted else []
        except (suite.BadSuite, OSError, subprocess.SubprocessError) as error:
            self._report.group('preload tests')
            self._report.add(Finding('preload tests', str(error), 'make', [], 0))
            self._report.end_group()
            return
        if 'native' in wanted:
            self._each('preload tests, native',
                       [lambda t=t: self._suite.run_native(t)[0] for t in self._tests if t.has_native])
        if 'libmn' in wanted:
            for procs in self._options.procs:
                self._under_libmn(procs, {})
        if 'fallback' in wanted:
            for extra in suite.FALLBACKS:
                self._under_libmn(FALLBACK_PROCS, extra)
        if not self._options.only:
            self._tests = [test for test in self._tests
                           if any(fnmatch.fnmatchcase(test.name, pattern) for pattern in suite.BESIDE_ALLOCATORS)]
        for extra in beside:
            self._under_libmn(FALLBACK_PROCS, extra)

    def _under_libmn(self, procs, extra):
        words = [f'{key}={value}' for key, value in {'MN_PROCS': procs, **extra}.items()]
        self._each('preload tests, ' + ' '.join(words),
                   [lambda t=t: self._suite.run_libmn(t, procs, extra)
                    for t in self._tests if t.wants(procs) and not self._suite.is_gap(t, procs, extra)
                    for _ in range(self._options.repeat)])

    def _scale(self):
        self._report.group('many threads')
        missing = []
        for case in scale.CASES:
            if not self._selected(case.name):
                continue
            if scale.available_gib() < case.needs_gib:
                missing.append(f'not run: {case.name}: needs {case.needs_gib} GiB of free memory')
                continue
            failure, command, details, wall = scale.run(case, ROOT, self._options.lib)
            self._report.add(Finding(case.name, failure, command, details, wall))
        self._report.end_group()
        print('\n'.join(missing), end='\n' if missing else '')

    def _totalled(self, title, script, *arguments):
        """Runs a script whose last line is a total."""
        print(f'{title}:', flush=True)
        command = [sys.executable, os.path.join(ROOT, script), *arguments, '--lib', self._options.lib]
        # Shown as it comes; only the total at the end is for us.
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True,
                              errors='replace') as child:
            last = ''
            for line in child.stdout:
                if last:
                    print(last, end='', flush=True)
                last = line
        counts = re.match(r'(\d+) passed, (\d+) failed$', last)
        if counts:
            self._report.add_total(title, int(counts[1]), int(counts[2]))
        if not counts or bool(int(counts[2])) != bool(child.returncode):
            print(last, end='')
            print(f'FAILED {title}: {process.ending(child.returncode)} without a total')
            self._report.add_total(title, 0, 1)


def find_unit_binaries():
    found = []
    for folder in UNIT_FOLDERS:
        path = os.path.join(ROOT, folder)
        for name in sorted(os.listdir(path)) if os.path.isdir(path) else []:
            binary = os.path.join(path, name)
            if '.' not in name and os.path.isfile(binary) and os.access(binary, os.X_OK):
                found.append(binary)
    return found


def unit_findings(binary, selected, options):
    """Runs one GoogleTest binary; a Finding for each of its tests."""
    relative = os.path.relpath(binary, ROOT)
    env = suite.clean_environment()
    # ThreadSanitizer cannot place its shadow memory in every randomised address space.
    wrapper = ['setarch', '-R'] if os.sep + 'tsan' + os.sep in binary else []
    if wrapper and subprocess.run(wrapper + ['true'], stderr=subprocess.DEVNULL,
                                  check=False).returncode != 0:
        wrapper = []
    try:
        names = [name for name in suite.gtest_names(binary, env, wrapper)
                 if selected(f'{relative}:{name}')]
    except (suite.BadSuite, OSError, subprocess.SubprocessError) as error:
        return [Finding(relative, str(error), relative, [], 0)]
    if not names:
        return []
    with tempfile.NamedTemporaryFile(suffix='.json') as output:
        argv = [*wrapper, binary, '--gtest_color=no', f'--gtest_output=json:{output.name}']
        if options.only:
            argv.append('--gtest_filter=' + ':'.join(names))
        if options.repeat > 1:
            argv += [f'--gtest_repeat={options.repeat}', '--gtest_break_on_failure']
        result = process.run(argv, env, UNIT_TIMEOUT * options.repeat, cwd=ROOT)
        verdicts = unit_verdicts(output.name, result.out)
    findings = []
    for name in names:
        failure, wall = verdicts.get(name, ('did not run to its end: ' + result.ending(), 0))
        command = ' '.join([*wrapper, relative, f'--gtest_filter={name}'])
        findings.append(Finding(f'{relative}:{name}', failure, command,
                                said_by(name, result) if failure else [], wall))
    if (result.status != 0 or result.hang) and all(f.failure is None for f in findings):
        findings.append(Finding(relative, f'all tests passed, but: {result.ending()}', relative,
                                said_by(None, result), result.wall))
    return findings


def said_by(name, result):
    """What one test wrote; stderr is the whole binary's: it cannot be told apart."""
    part = re.search(r'^\[ RUN      \] ' + re.escape(name or '') + r'$(.*?)(^\[  |\Z)', result.out,
                     re.MULTILINE | re.DOTALL)
    lines = part[1].splitlines() if part else []
    return [line for line in lines + result.err.splitlines()[-UNIT_STDERR_LINES:] if line] + (
        result.hang or [])


def unit_verdicts(path, stdout):
    """What each test came to: from the JSON report or, after a crash, from the output."""
    try:
        with open(path) as file:
            suites = json.load(file)['testsuites']
    except ValueError:
        return {name: (None, 0) for name in re.findall(r'^\[       OK \] ([^\s,]+)', stdout, re.M)}
    verdicts = {}
    for one in (case for group in suites for case in group['testsuite']):
        failure = None
        if one.get('failures'):
            failure = one['failures'][0]['failure'].splitlines()[0]
        elif one['status'] != 'RUN' or one['result'] != 'COMPLETED':
            failure = f'{one["status"]}, {one["result"]}: a test must run'.lower()
        verdicts[f'{one["classname"]}.{one["name"]}'] = failure, float(one['time'].rstrip('s'))
    return verdicts


def script_findings(tests, selected):
    for test in tests:
        if isinstance(test, unittest.TestSuite):
            yield from script_findings(test, selected)
        elif selected(test.id()):
            begin = time.monotonic()
            result = unittest.TestResult()
            unittest.TestSuite([test]).run(result)
            wanting = [text for _, text in result.skipped if text.startswith(WANTING)]
            if wanting:
                NOT_RUN.append(f'NOT RUN {test.id()}: {wanting[0]}')
                continue
            bad = [text for _, text in result.failures + result.errors + result.skipped]
            yield Finding(test.id(), 'failed' if bad else None,
                          f'cd test && python3 -m unittest {test.id()}',
                          '\n'.join(bad).splitlines(), time.monotonic() - begin)


def parse_arguments():
    def positive(text):
        if not text.isdigit() or int(text) < 1:
            raise argparse.ArgumentTypeError(f'{text!r} is not a positive number')
        return int(text)

    def procs(text):
        return [positive(part) for part in text.split(',')]

    def groups(text):
        unknown = set(text.split(',')) - set(GROUPS)
        if unknown:
            raise argparse.ArgumentTypeError(f'not a group: {", ".join(sorted(unknown))}')
        return text.split(',')

    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('binaries', nargs='*', help='unit test binaries; default: all')
    parser.add_argument('--groups', type=groups, default=GROUPS, metavar='A,B',
                        help='only these: ' + ','.join(GROUPS))
    parser.add_argument('--only', action='append', metavar='PATTERN',
                        help='only tests whose name holds this (shell pattern); repeatable')
    parser.add_argument('--procs', type=procs, default=[1, 2, 8], metavar='1,2,8')
    parser.add_argument('--repeat', type=positive, default=1, metavar='N')
    parser.add_argument('--jobs', type=positive, default=os.cpu_count(), metavar='J')
    parser.add_argument('--timeout', type=positive, default=suite.TIMEOUT, metavar='SECONDS')
    parser.add_argument('--slow', type=positive, default=0, metavar='N',
                        help='list the N slowest tests')
    parser.add_argument('--lib', metavar='PATH', help='the libmn.so to test')
    return parser.parse_args()


def main():
    options = parse_arguments()
    suite.as_in_the_foreground()
    os.chdir(ROOT)
    try:
        if set(options.groups) - {'unit', 'scripts'}:
            options.lib = preload.find_library(options.lib)
    except preload.Refused as refusal:
        print(f'run.py: {refusal}\n0 passed, 1 failed')
        return 1
    options.binaries = [os.path.abspath(binary) for binary in options.binaries]
    begin = time.monotonic()
    report = Runner(options).run()
    print(f'{time.monotonic() - begin:.0f} s')
    nothing = report.passed + report.failed == 0
    if nothing:
        print('run.py: no test has such a name')
        report.failed = 1
    print('\n'.join(NOT_RUN), end='\n' if NOT_RUN else '')
    report.repeat_failures()
    total = f'{report.passed} passed, {report.failed} failed'
    os.makedirs(os.path.dirname(TOTAL), exist_ok=True)
    with open(TOTAL, 'w') as file:
        file.write(total + '\n')
    print(total)
    return 1 if report.failed else 0


if __name__ == '__main__':
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
