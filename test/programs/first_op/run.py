#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""First operations: each exported function called as the first thing that main, a new thread and a
library's constructor do. Last line: "N passed, N failed".

Every symbol that libmn.so exports must have a case in a *_cases.c. Every case runs natively and
under libmn with MN_PROCS=1 and 2, and must exit with status 0 each time.
"""

import argparse
import concurrent.futures
import os
import subprocess
import sys

ROOT = os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..', '..'))
sys.path.insert(0, os.path.join(ROOT, 'scripts'))

from mnlib import preload, process, verdict  # noqa: E402

MODES = ['main', 'thread', 'ctor']
PROCS = [1, 2]
TIMEOUT = 30

# natively: the main thread cannot be unwound before it reached main
NOT_IN_CONSTRUCTOR = {'pthread_exit', 'thrd_exit'}
# ends the process on the spot, or before libmn could ask to be called at its end
NO_STATISTICS = {'_exit', '_Exit', 'quick_exit', 'exit'}


class Failed(Exception):
    """Nothing can be run; the message says why."""


def output_of(*command, env=None):
    try:
        return subprocess.run(command, env=env, check=True, text=True, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, timeout=TIMEOUT).stdout
    except (OSError, subprocess.SubprocessError) as error:
        raise Failed(str(error)) from error


def exported_functions(library):
    """The names of the functions that a library exports, without their versions."""
    names = set()
    for line in output_of('nm', '-D', '--defined-only', library).splitlines():
        words = line.split()
        if len(words) == 3 and words[1] in 'TWi':
            names.add(words[2].split('@')[0])
    return sorted(names)


class FirstOps:
    def __init__(self, program, library):
        self._program = program
        self._library = library
        self._native_env = {key: value for key, value in preload.native_environment().items()
                            if not key.startswith('MN_') and key != 'FIRST_OP'}
        self.cases = output_of(program, 'list', env=self._native_env).split()

    def without_case(self):
        """Exported functions that no case calls. A case may be called NAME:VARIANT."""
        covered = {case.split(':')[0] for case in self.cases}
        return [name for name in exported_functions(self._library) if name not in covered]

    def runs(self):
        for case in self.cases:
            for mode in MODES:
                if mode == 'ctor' and case in NOT_IN_CONSTRUCTOR:
                    continue
                for procs in [None, *(PROCS if self._library else [])]:
                    yield case, mode, procs

    def run(self, case, mode, procs):
        """Runs one case once: None, or what was wrong and how to see it again."""
        first = {'FIRST_OP': case} if mode == 'ctor' else {}
        env = {**self._native_env, **first}
        shown = first
        if procs is not None:
            env = preload.libmn_environment(self._library, env, procs, stats=True)
            shown = {key: env[key] for key in ('MN_PROCS', 'MN_STATS', 'LD_PRELOAD')} | first
        command = [self._program, mode, case]
        result = process.run(command, env, TIMEOUT)
        failure = None
        if result.hang is not None or result.status != 0:
            failure = result.ending()
        elif procs is not None and case.split(':')[0] not in NO_STATISTICS:
            failure = verdict.complaint(result.err, threads=False)
        if failure is None:
            return None
        by_hand = ' '.join([f'{key}={value}' for key, value in shown.items()] + command)
        lines = [f'FAILED {case} [{mode}, {"native" if procs is None else f"MN_PROCS={procs}"}]: '
                 f'{failure}', f'  by hand: {by_hand}']
        lines += ['  ' + line for line in result.err.splitlines()[-10:] + (result.hang or [])]
        return '\n'.join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--program', metavar='FILE', help='the built first_op',
                        default=os.path.join(ROOT, 'build/test/programs/first_op/first_op'))
    parser.add_argument('--lib', metavar='FILE', help='the libmn.so to test',
                        default=os.path.join(ROOT, 'build/libmn.so'))
    parser.add_argument('--native', action='store_true', help='run only without libmn')
    parser.add_argument('-j', '--jobs', type=int, default=os.cpu_count())
    parser.add_argument('only', nargs='*', help='only these cases')
    options = parser.parse_args()

    passed = failed = 0
    try:
        first_ops = FirstOps(os.path.abspath(options.program),
                             None if options.native else preload.find_library(options.lib))
        if not options.native:
            for name in first_ops.without_case():
                print(f'FAILED {name}: exported, but no *_cases.c has a case for it')
                failed += 1
        runs = [run for run in first_ops.runs() if not options.only or run[0] in options.only]
    except (Failed, preload.Refused) as error:
        print(f'FAILED {error}')
        runs = []
        failed += 1
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        for failure in pool.map(lambda run: first_ops.run(*run), runs):
            if failure is None:
                passed += 1
            else:
                failed += 1
                print(failure, flush=True)
    print(f'{passed} passed, {failed} failed')
    return 1 if failed or not passed else 0


if __name__ == '__main__':
    sys.exit(main())
