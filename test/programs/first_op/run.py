#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The context matrix: every exported function, called in every context. Last line: "N passed, N failed".

Every symbol that libmn.so exports must have a case in a *_cases.c. Every case runs in every context of
contexts.c: first of all that main, a thread, a foreign thread and a library's constructor do, in
children of vfork and fork, in handlers, with a cancel pending, and where a seccomp filter refuses what
it does not need natively. It runs natively and under libmn with each MN_PROCS. What it writes (results,
errno, and what the threads see afterwards) and its exit status must be as natively.

differences.txt names the differences that must be. Second names of a function run first of all only.
"""

import argparse
import concurrent.futures
import fnmatch
import multiprocessing
import os
import re
import select
import signal
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.normpath(os.path.join(HERE, '..', '..', '..'))
sys.path.insert(0, os.path.join(ROOT, 'scripts'))

from mnlib import preload, process, verdict  # noqa: E402

TIMEOUT = 30
# Each run waits more than it computes: for the kernel's RCU, and for others.
RUNS_PER_CPU = 6
# A difference counts if none of so many native runs gives what libmn gave.
NATIVE_RUNS = 3
LEARNING_RUNS = 4

FIRST_OF_ALL = {'main', 'thread', 'ctor', 'foreign'}
CONFINED = {'confined', 'confined-late'}
# natively: the main thread cannot be unwound before it reached main
NOT_IN_CONSTRUCTOR = {'pthread_exit', 'thrd_exit'}
# ends the process on the spot, or before libmn could ask to be called at its end; CONFINED, it may not say anything
NO_STATISTICS = {'_exit', '_Exit', 'quick_exit', 'exit'}
EXPORTS = os.path.join(ROOT, 'runtime', 'os', 'real.def')
DIFFERENCES = os.path.join(HERE, 'differences.txt')


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


def second_names():
    with open(EXPORTS) as file:
        return set(re.findall(r'^ALIAS\((\w+),', file.read(), re.MULTILINE))


class Result:
    """How one run ended: its status as process.ending() wants it, None if it hung."""

    def __init__(self, status, out, err):
        self.status = status
        self.out = out
        self.err = err

    def same(self, other):
        return (self.status, self.out) == (other.status, other.out)

    def ending(self):
        return f'did not end in {TIMEOUT} s' if self.status is None else process.ending(self.status)


class Spawner:
    """Runs commands one after the other, at less cost than subprocess does."""

    def __init__(self):
        self._files = [tempfile.TemporaryFile() for _ in range(2)]

    def run(self, command, env):
        for file in self._files:
            file.seek(0)
            file.truncate()
        actions = [(os.POSIX_SPAWN_OPEN, 0, '/dev/null', os.O_RDONLY, 0),
                   (os.POSIX_SPAWN_DUP2, self._files[0].fileno(), 1),
                   (os.POSIX_SPAWN_DUP2, self._files[1].fileno(), 2)]
        pid = os.posix_spawn(command[0], command, env, file_actions=actions, setsid=True,
                             setsigdef=[signal.SIGPIPE])
        ended = self._await(pid)
        try:
            os.killpg(pid, signal.SIGKILL)    # also ends what it left behind
        except ProcessLookupError:
            pass
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        return Result(status if ended else None, *map(self._content, self._files))

    @staticmethod
    def _await(pid):
        handle = os.pidfd_open(pid)
        try:
            return bool(select.select([handle], [], [], TIMEOUT)[0])
        finally:
            os.close(handle)

    @staticmethod
    def _content(file):
        file.seek(0)
        return file.read().decode(errors='replace')


class Differences:
    """differences.txt: lines "CONTEXT CASE PROCS REASON". PROCS native: natively it is not defined."""

    def __init__(self):
        with open(DIFFERENCES) as file:
            self._lines = [line.split(None, 3) for line in file
                           if line.strip() and not line.startswith('#')]

    def reason(self, context, case, procs):
        for contexts, cases, where, reason in self._lines:
            if (any(fnmatch.fnmatchcase(context, one) for one in contexts.split(',')) and
                    any(fnmatch.fnmatchcase(case, one) for one in cases.split(',')) and
                    (where in ('native', '*') or str(procs) in where.split(','))):
                return reason.rstrip()
        return None


class Matrix:
    def __init__(self, program, library, procs):
        self._program = program
        self._library = library
        self._procs = procs
        self._env = {key: value for key, value in preload.native_environment().items()
                     if not key.startswith(('MN_', 'FIRST_OP'))}
        self._differences = Differences()
        self.cases = output_of(program, 'list', env=self._env).split()
        self.contexts = output_of(program, 'contexts', env=self._env).split()

    def without_case(self):
        """Exported functions that no case calls. A case may be called NAME:VARIANT."""
        covered = {case.split(':')[0] for case in self.cases}
        return [name for name in exported_functions(self._library) if name not in covered]

    def lacks(self):
        """Contexts that this machine does not allow, with the reason."""
        try:
            output_of(self._program, 'learn:confined', 'sched_yield', env=self._env)
        except Failed:
            return {context: 'for want of system calls that another process can watch' for context in CONFINED}
        return {}

    def cells(self, only, contexts):
        aliases = second_names()
        for context in self.contexts:
            for case in self.cases:
                if ((only and case not in only) or (contexts and context not in contexts) or
                        (context == 'ctor' and case in NOT_IN_CONSTRUCTOR) or
                        (context not in FIRST_OF_ALL and case in aliases) or
                        self._differences.reason(context, case, 'native')):
                    continue
                yield context, case

    def cell(self, context, case):
        """Runs a case in a context: what failed, in lines of text, and how many runs passed."""
        spawner = Spawner()
        special = {'FIRST_OP': case} if context == 'ctor' else {}
        if context in CONFINED:
            special = {'FIRST_OP_ALLOW': self._needed(spawner, context, case)}
        native = spawner.run([self._program, context, case], {**self._env, **special})
        if native.status is None or native.status < 0 or (native.status and context in FIRST_OF_ALL):
            return [self._described(context, case, None, special, native.ending(), native)], 0
        failures, runs = [], 1
        for procs in self._procs if self._library else []:
            if self._differences.reason(context, case, procs):
                continue
            runs += 1
            failure = self._under_libmn(spawner, context, case, procs, special, native)
            if failure:
                failures.append(failure)
        return failures, runs - len(failures)

    def _needed(self, spawner, context, case):
        """The system calls without which the case does not do natively what it does with all of them."""
        needed = set()
        for _ in range(LEARNING_RUNS):
            learned = spawner.run([self._program, 'learn:' + context, case], self._env)
            *said, numbers = learned.out.splitlines() or ['']
            needed.update(filter(None, numbers.split(',')))
            allowed = ','.join(sorted(needed, key=int))
            native = spawner.run([self._program, context, case], {**self._env, 'FIRST_OP_ALLOW': allowed})
            if native.status == 0 and native.out.splitlines() == said:
                break    # what others do meanwhile may take other ways the next time
        return allowed

    def _under_libmn(self, spawner, context, case, procs, special, native):
        env = {**preload.libmn_environment(self._library, self._env, procs, stats=True), **special}
        command = [self._program, context, case]
        result = spawner.run(command, env)
        wrong = None
        if not result.same(native):
            others = (spawner.run(command, {**self._env, **special}) for _ in range(NATIVE_RUNS))
            if not any(result.same(other) for other in others):
                wrong = difference(result, native)
        elif result.status == 0 and case.split(':')[0] not in NO_STATISTICS and context not in CONFINED:
            wrong = verdict.complaint(result.err, threads=False)
        return wrong and self._described(context, case, procs, special, wrong, result)

    def _described(self, context, case, procs, special, wrong, result):
        shown = dict(special)
        if procs is not None:
            shown.update(MN_PROCS=procs, LD_PRELOAD=self._library)
        where = 'native' if procs is None else f'MN_PROCS={procs}'
        words = [f'{key}={value}' for key, value in shown.items()]
        by_hand = ' '.join(words + [self._program, context, case])
        lines = [f'FAILED {case} [{context}, {where}]: {wrong}', f'  by hand: {by_hand}']
        return '\n'.join(lines + ['  ' + line for line in result.err.splitlines()[-5:]])


def difference(result, native):
    if result.status != native.status:
        last = (result.out.splitlines() or ['nothing'])[-1].strip()
        return f'{result.ending()}, natively {native.ending()}; last it wrote {last!r}'
    ours, theirs = result.out.splitlines(), native.out.splitlines()
    for mine, other in zip(ours, theirs):
        if mine != other:
            return f'{mine.strip()!r}, natively {other.strip()!r}'
    return f'{len(ours)} lines, natively {len(theirs)}'


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0], allow_abbrev=False)
    parser.add_argument('--program', metavar='FILE', help='the built first_op',
                        default=os.path.join(ROOT, 'build/test/programs/first_op/first_op'))
    parser.add_argument('--lib', metavar='FILE', help='the libmn.so to test',
                        default=os.path.join(ROOT, 'build/libmn.so'))
    parser.add_argument('--native', action='store_true', help='run only without libmn')
    parser.add_argument('--procs', default='1,2,8')
    parser.add_argument('--context', action='append', default=[], help='only this; repeatable')
    parser.add_argument('-j', '--jobs', type=int, default=RUNS_PER_CPU * os.cpu_count())
    parser.add_argument('only', nargs='*', help='only these cases')
    options = parser.parse_args()

    passed = failed = 0
    cells = []
    try:
        matrix = Matrix(os.path.abspath(options.program),
                        None if options.native else preload.find_library(options.lib),
                        [int(word) for word in options.procs.split(',')])
        if not options.native:
            for name in matrix.without_case():
                print(f'FAILED {name}: exported, but no *_cases.c has a case for it')
                failed += 1
        lacks = matrix.lacks()
        for context, reason in lacks.items():
            print(f'NOT RUN {context}: {reason}')
        cells = [cell for cell in matrix.cells(options.only, options.context) if cell[0] not in lacks]
    except (Failed, preload.Refused, OSError) as error:
        print(f'FAILED {error}')
        failed += 1
    fork = multiprocessing.get_context('fork')
    with concurrent.futures.ProcessPoolExecutor(options.jobs, mp_context=fork) as pool:
        for failures, fine in pool.map(matrix.cell, *zip(*cells), chunksize=4) if cells else []:
            passed += fine
            failed += len(failures)
            for failure in failures:
                print(failure, flush=True)
    print(f'{passed} passed, {failed} failed')
    return 1 if failed or not passed else 0


if __name__ == '__main__':
    sys.exit(main())
