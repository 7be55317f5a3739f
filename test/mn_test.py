# SPDX-License-Identifier: Apache-2.0
"""Tests scripts/mn and what the test runners share. A stub stands in for libmn.so: these are
tests of the scripts, and must tell a libmn at work from one that is not."""

import os
import shutil
import stat
import sys
import tempfile
import time
import unittest

from mn_stub import build, folder, mn, script, stub
from mnlib import compare, measure, preload, process, proctree, suite, verdict


class Cli(unittest.TestCase):
    def refused(self, status, text, *arguments, **options):
        """mn says one line and leaves with the status."""
        done = mn(*arguments, **options)
        self.assertEqual(done.returncode, status, done.stderr)
        self.assertEqual(done.stdout, '')
        self.assertEqual(done.stderr.count('\n'), 1, done.stderr)
        self.assertTrue(done.stderr.startswith('mn: '), done.stderr)
        self.assertIn(text, done.stderr)

    def run_refused(self, status, text, *command):
        for action in ('run', 'compare'):
            self.refused(status, text, action, '--lib', stub, '--', *command)

    def test_help(self):
        for arguments in ([], ['--help'], ['run', '--help'], ['compare', '--help'],
                          ['ci', '--help']):
            done = mn(*arguments)
            self.assertEqual(done.returncode, 0)
            self.assertIn('usage: mn', done.stdout)

    def test_bad_arguments(self):
        self.refused(125, "'walk'", 'walk')
        self.refused(125, 'no command', 'run')
        self.refused(125, 'no command', 'compare', '-n', '2', '--')
        for procs in ('0', '257', '-1', 'two', ''):
            self.refused(125, 'procs', 'run', f'--procs={procs}', '--', 'true')
        self.refused(125, '-n', 'compare', '-n', '0', '--', 'true')
        self.refused(125, '--frob', 'run', '--frob', '--', 'true')
        self.refused(125, 'no such library', 'run', '--lib', '/no/libmn.so', '--', 'true')
        self.refused(125, 'cannot be written', 'compare', '--lib', stub, '--json', '/no/where',
                     '--', 'true')

    def test_library_path_that_ld_preload_cannot_hold(self):
        odd = os.path.join(folder, 'a b')
        os.mkdir(odd)
        self.refused(125, 'space', 'run', '--lib', shutil.copy(stub, odd), '--', 'true')

    def test_not_found_and_not_executable(self):
        self.run_refused(127, 'not found', 'no-such-program')
        self.run_refused(127, 'not found', './no/such/program')
        self.run_refused(127, 'empty', '')
        self.run_refused(126, 'directory', '/')
        path = script('#!/bin/sh\n', 'plain')
        os.chmod(path, 0o644)
        self.run_refused(126, 'not executable', path)
        self.run_refused(126, 'neither', script('just text\n', 'text'))

    def test_static_programs(self):
        main = 'int main(void) { return 0; }'
        path = build(main, 'static', '-static')
        self.run_refused(125, 'statically linked', path)
        self.run_refused(125, 'statically linked', build(main, 'pie', '-static-pie'))
        self.run_refused(125, 'statically linked', script(f'#!{path} -x\n', 'indirect'))

    def test_set_uid_and_set_gid_programs(self):
        path = build('int main(void) { return 0; }', 'setid')
        for bit, text in ((stat.S_ISUID, 'set-uid'), (stat.S_ISGID, 'set-gid')):
            os.chmod(path, 0o755 | bit)
            self.run_refused(125, text, path)

    def test_foreign_loader_and_machine(self):
        path = build('int main(void) { return 0; }', 'foreign',
                     '-Wl,--dynamic-linker=/lib/ld-musl-x86_64.so.1')
        self.run_refused(125, 'not a glibc program', path)
        with open(path, 'r+b') as file:
            file.seek(18)
            file.write(b'\xf3\x00')
        self.run_refused(125, 'riscv', path)
        with open(path, 'r+b') as file:
            file.truncate(30)
        self.run_refused(126, 'damaged', path)

    def test_interpreters(self):
        self.run_refused(127, 'not found', script('#!/no/interpreter\n', 'nowhere'))
        self.run_refused(127, 'not found', script('#!/usr/bin/env no-such\n', 'env-nowhere'))
        path = os.path.join(folder, 'loop')
        self.run_refused(126, 'too many', script(f'#!{path}\n', 'loop'))
        done = mn('run', '--lib', stub, '--', script('#!/usr/bin/env -S sh -u\necho $1\n'), 'word')
        self.assertEqual((done.returncode, done.stdout), (0, 'word\n'))

    def test_run(self):
        done = mn('run', '--lib', stub, '--procs', '3', '--stats', '--', 'sh', '-c',
                  'echo "$LD_PRELOAD $MN_PROCS $MN_STATS"; ls -d /; exit 7')
        self.assertEqual(done.returncode, 7)
        self.assertEqual(done.stdout, f'{stub} 3 1\n/\n')
        self.assertEqual(verdict.stats_of(done.stderr)[0],
                         {'mode': 'mn', 'procs': '3', 'gs': '3'})
        done = mn('run', '--lib', stub, 'sh', '-c', 'echo "[${MN_PROCS-}${MN_STATS-}]"')
        self.assertEqual(done.stdout, '[]\n')

    def test_run_keeps_other_preloads(self):
        other = shutil.copy(stub, os.path.join(folder, 'other.so'))
        for before, after in ((other, f'{stub}:{other}'), (f'{stub} {other}', f'{stub}:{other}')):
            done = mn('run', '--lib', stub, '--', 'sh', '-c', 'echo $LD_PRELOAD',
                      env={'LD_PRELOAD': before})
            self.assertEqual(done.stdout, after + '\n')

    def test_run_leaves_signals_as_they_were(self):
        done = mn('run', '--lib', stub, '--', 'sh', '-c', 'kill -PIPE $$; echo survived')
        self.assertEqual((done.returncode, done.stdout), (-13, ''))


class Measuring(unittest.TestCase):
    def test_threads_memory_and_time(self):
        text = ('import threading, time; x = bytearray(100 << 20)\n'
                'for _ in range(9): threading.Thread(target=time.sleep, args=(0.5,)).start()')
        run = measure.measure([sys.executable, '-c', text], preload.native_environment())
        self.assertEqual(run.status, 0)
        self.assertEqual(run.threads, 10)
        self.assertTrue(100 << 20 < run.memory < 150 << 20, run.memory)
        self.assertTrue(0.5 <= run.wall < 20, run.wall)
        self.assertGreaterEqual(run.switches, 9)

    def test_descendants_are_counted(self):
        run = measure.measure(['sh', '-c', 'sleep 0.7 & sleep 0.7 & wait'],
                              preload.native_environment())
        self.assertEqual(run.threads, 3)

    def test_small_programs_are_not_charged_for_this_interpreter(self):
        run = measure.measure(['sleep', '0.2'], preload.native_environment())
        self.assertLess(run.memory, 8 << 20)


class Verdict(unittest.TestCase):
    def test_at_work(self):
        good = 'noise\nlibmn: stats: mode=mn procs=2 gs=12 switches=345 ms=4\n'
        self.assertIsNone(verdict.complaint(good))
        self.assertIsNone(verdict.complaint('50 %\r' + good))
        self.assertIsNone(verdict.complaint('no newline' + good[6:]))

    def test_not_at_work(self):
        self.assertIsNone(verdict.complaint('libmn: stats: mode=mn gs=1 pid=7 program=a mode=1:1 gs=0\n'))
        for stderr in ('', 'mode=mn gs=2', 'libmn: stats: mode=1:1 procs=2 gs=3',
                       'libmn: stats: mode=mn procs=2 gs=0', 'libmn: stats: mode=mn procs=2'):
            self.assertIn('not at work', verdict.complaint(stderr))
        self.assertIsNone(verdict.complaint('libmn: stats: mode=mn gs=0', threads=False))

    def test_other_lines(self):
        self.assertIn('MN_X', verdict.complaint('libmn: MN_X: what\nlibmn: stats: mode=mn gs=1'))

    def test_programs_without_threads_say_so(self):
        self.assertFalse(verdict.makes_threads('a\nno-threads\n'))
        self.assertTrue(verdict.makes_threads('a no-threads b'))


class Process(unittest.TestCase):
    def test_hang_is_described_and_ended(self):
        result = process.run(['sh', '-c', 'sleep 77 & sleep 78; true'], dict(os.environ), 0.5)
        self.assertIn('did not end', result.ending())
        text = '\n'.join(result.hang)
        self.assertIn('sleep 77', text)
        self.assertIn('sleep 78', text)
        self.assertIn('nanosleep', text)
        self.assertEqual(result.status, -9)

    def test_leftovers_end_with_the_command(self):
        result = process.run(['sh', '-c', 'sleep 99 & echo $!'], dict(os.environ), 10)
        self.assertIsNone(result.hang)
        deadline = time.monotonic() + 10
        while proctree.status(int(result.out)).get('State', 'Z')[0] != 'Z':
            self.assertLess(time.monotonic(), deadline, 'still alive')
            time.sleep(0.01)


class SuiteOfPrograms(unittest.TestCase):
    """A little tree with programs of its own, run under the stub."""

    def setUp(self):
        self.root = tempfile.mkdtemp(dir=folder)
        os.makedirs(os.path.join(self.root, 'test', 'programs'))
        os.makedirs(os.path.join(self.root, 'build', 'test', 'programs'))
        self.suite = suite.Suite(self.root, stub, timeout=20)

    def add(self, name, shell, head='', expected=None):
        sources = os.path.join(self.root, 'test', 'programs')
        with open(os.path.join(sources, name + '.c'), 'w') as file:
            file.write(f'// SPDX\n// {head}\n')
        if expected is not None:
            with open(os.path.join(sources, name + '.expected'), 'w') as file:
                file.write(expected)
        path = os.path.join(self.root, 'build', 'test', 'programs', name)
        # bash ends by exit(), where the stub speaks; dash by _exit().
        script('#!/bin/bash\n' + shell, path)

    def failure(self, **options):
        test, = self.suite.programs()
        return self.suite.run_libmn(test, 2, **options).failure

    def test_equal(self):
        self.add('equal', 'echo a; exit 5')
        self.assertIsNone(self.failure())

    def test_different_output(self):
        self.add('differs', 'echo a; echo "b$MN_PROCS"')
        self.assertIn("line 2: 'b2', natively 'b'", self.failure())

    def test_different_status(self):
        self.add('differs', 'exit ${MN_PROCS-0}')
        self.assertIn('exit status 2, natively exit status 0', self.failure())

    def test_extra_options_and_command(self):
        self.add('option', 'test "$MN_SWITCH" != ucontext')
        test, = self.suite.programs()
        outcome = self.suite.run_libmn(test, 4, {'MN_SWITCH': 'ucontext'})
        self.assertIn('exit status 1', outcome.failure)
        self.assertIn('MN_STATS=1 MN_PROCS=4 MN_SWITCH=ucontext LD_PRELOAD=', outcome.command)

    def test_complaint_on_stderr(self):
        self.add('complains', 'echo "libmn: out of luck" >&2')
        self.assertIn('out of luck', self.failure())

    def test_death_by_signal(self):
        self.add('dies', 'kill -9 $$')
        self.assertIn('no oracle', self.failure())
        self.add('dies', 'kill -9 $$', head='test: signal=yes')
        self.assertIsNone(suite.Suite(self.root, stub).run_libmn(self.suite.programs()[0],
                                                                 1).failure)

    def test_expected_output(self):
        self.add('order', 'echo "${MN_PROCS-native}"', 'test: native=no procs=2', '2\n')
        test, = self.suite.programs()
        self.assertFalse(test.has_native)
        self.assertFalse(test.wants(1))
        self.assertTrue(test.wants(2))
        self.assertIsNone(self.failure())

    def test_gaps(self):
        os.makedirs(os.path.join(self.root, 'test'), exist_ok=True)
        with open(os.path.join(self.root, 'test', 'gaps.txt'), 'w') as file:
            file.write('# comment\none * a reason\ntwo 1 another reason\n')
        gaps = suite.Suite(self.root, stub, timeout=20)
        one, two, three = (suite.Test(name, [], False) for name in ('one', 'two', 'three'))
        self.assertTrue(gaps.is_gap(one, 8))
        self.assertTrue(gaps.is_gap(two, 1))
        self.assertFalse(gaps.is_gap(two, 2))
        self.assertFalse(gaps.is_gap(three, 1))
        self.assertEqual(gaps.gaps[1].reason, 'another reason')

    def test_bad_suite(self):
        self.add('odd', '', head='test: nativ=no')
        with self.assertRaises(suite.BadSuite):
            self.suite.programs()
        self.add('odd', '')
        os.remove(os.path.join(self.root, 'build', 'test', 'programs', 'odd'))
        with self.assertRaises(suite.BadSuite):
            self.suite.programs()


if __name__ == '__main__':
    unittest.main()
