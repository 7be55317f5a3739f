# SPDX-License-Identifier: Apache-2.0
"""Tests mn top and mn stacks on running programs: what they say of them, that the programs do not notice, and
what mn says where it cannot look."""

import fcntl
import os
import pty
import re
import select
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time
import unittest

import observed
from observed import PROGRAMS, ROOT, SECONDS, Program

MN = os.path.join(ROOT, 'scripts', 'mn')
NOBODY = 65534
INSIDE_PROCS = ('1', '2')
GO_ON = 'ready\n200\n'    # what looked_at with 100 + 100 threads writes


# Its modules and itself may lie where nobody may read.
AS_NOBODY = f'''
import os, pkgutil, sys
sys.path.insert(0, {os.path.dirname(MN)!r})
from mnlib.commands import whole
del sys.argv[0]
with open(sys.argv[0]) as file:
    text = file.read()
os.setuid({NOBODY})
exec(compile(text, sys.argv[0], 'exec'), dict(__name__='__main__', __file__=sys.argv[0]))
'''


def mn(*words, as_nobody=False):
    python = [sys.executable, '-c', AS_NOBODY] if as_nobody else [sys.executable]
    return subprocess.run([*python, MN, *map(str, words)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, timeout=SECONDS, check=False)


class Inside(unittest.TestCase):
    def said(self, *words):
        result = mn(*words)
        self.assertEqual((result.returncode, result.stderr), (0, ''), words)
        return result.stdout

    def refused(self, pattern, *words, **how):
        """One line on standard error, and nothing else."""
        result = mn(*words, **how)
        self.assertEqual((result.returncode, result.stdout), (125, ''), result.stderr)
        self.assertRegex(result.stderr, rf'^mn: {pattern}[^\n]*\n$')

    def goes_on(self, program, status=7, out=GO_ON):
        """To its end, as natively."""
        program.say()
        self.assertEqual((program.end(), program.out, program.err), (status, out, ''))

    def until_all_wait(self, program, count):
        """A view in which all threads wait: "ready" is said as they begin to."""
        deadline = time.monotonic() + SECONDS
        while True:
            view = self.said('top', '--once', program.child.pid)
            if re.search(rf'^mutex +{count:,} ', view, re.M) and re.search(rf'^sem +{count:,} ', view, re.M):
                return view
            self.assertLess(time.monotonic(), deadline, view)


class Top(Inside):
    def test_figures(self):
        """What the program has done is what top says."""
        for procs in INSIDE_PROCS:
            with Program('looked_at', 'wait', '100', MN_PROCS=procs) as program:
                view = self.until_all_wait(program.ready(), 100)
                self.assertRegex(view, rf'^looked_at  process {program.child.pid}  up \d+:\d\d  libmn /')
                self.assertRegex(view, r'\nGs: 201: 0 running, 0 runnable, 200 waiting, 1 in the kernel\n')
                self.assertRegex(view, rf'Ps: {procs}: {procs} idle;  global queue: 0\n')
                self.assertEqual(len(re.findall(r'^ \d  idle +0 ', view, re.M)), int(procs), view)
                self.assertRegex(view, r'(?m)^mutex +100 +100\*$')
                self.assertRegex(view, r'(?m)^sem +100 +100\*$')
                hot = re.findall(r'^ +(\d+) (\w+) +0x[0-9a-f]{14}  (.*)$', view, re.M)
                self.assertEqual(set(hot), {('100', 'mutex', 'the_mutex (looked_at)'),
                                            ('100', 'sem', 'the_semaphore (looked_at)')})
                self.goes_on(program)

    def test_natively(self):
        """The oracle of the others."""
        result = subprocess.run([os.path.join(PROGRAMS, 'looked_at'), 'wait', '100'], input='\n', text=True,
                                stdout=subprocess.PIPE, timeout=SECONDS, check=False)
        self.assertEqual((result.returncode, result.stdout), (7, GO_ON))

    def test_a_program_at_work(self):
        """Threads that do nothing but switch, seen again and again."""
        for procs in INSIDE_PROCS:
            with Program('looked_at', 'run', '5', MN_PROCS=procs) as program:
                views = self.said('top', '-n', '5', '-d', '0.2', program.ready().child.pid).split('\n\nlooked_at')
                self.assertEqual(len(views), 5)
                for view in views[1:]:
                    rows = re.findall(r'^ \d  (.{26}) +\d+ +([\d,]+) +[\d,]+ +[\d,]+ +[\d,]+$', view, re.M)
                    self.assertEqual(len(rows), int(procs), view)
                    self.assertGreater(sum(int(switches.replace(',', '')) for _, switches in rows), 1000, view)
                    self.assertIn('Gs: 11: ', view)
                self.assertRegex('\n'.join(views), r' \d  thread \d+ [ms]\d ')
                self.goes_on(program, out='ready\n10\n')

    def test_ten_thousand_threads(self):
        with Program('looked_at', 'wait', '5000', MN_PROCS='2') as program:
            view = self.until_all_wait(program.ready(), 5000)
            self.assertIn('Gs: 10,001: ', view)
            self.goes_on(program, out='ready\n10000\n')

    def test_end_of_the_program(self):
        with Program('looked_at', 'wait', '3') as program:
            top = subprocess.Popen([sys.executable, MN, 'top', '-d', '0.1', str(program.ready().child.pid)],
                                   text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            with top:
                self.assertIn('looked_at', top.stdout.readline())
                self.goes_on(program, out='ready\n6\n')
                out, err = top.communicate(timeout=SECONDS)
            self.assertEqual((top.returncode, err), (0, ''))
            self.assertTrue(out.endswith(f'process {program.child.pid} has ended\n'), out)

    def on_terminal(self, rows, columns, term, pid):
        """What a terminal gets of two views."""
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack('HHHH', rows, columns, 0, 0))
        with subprocess.Popen([sys.executable, MN, 'top', '-n', '2', '-d', '0.1', str(pid)], stdin=theirs, stdout=theirs,
                              stderr=theirs, env={**os.environ, 'TERM': term, 'COLUMNS': ''}) as top:
            os.close(theirs)
            text = b''
            while select.select([ours], [], [], SECONDS)[0]:
                try:
                    text += os.read(ours, 65536)
                except OSError:    # it has ended
                    break
            os.close(ours)
            self.assertEqual(top.wait(SECONDS), 0, text)
        return text.decode()

    def test_on_small_terminals(self):
        with Program('looked_at', 'wait', '3') as program:
            pid = program.ready().child.pid
            for rows, columns in ((1, 1), (2, 5), (5, 20), (24, 40)):
                for screen in self.on_terminal(rows, columns, 'xterm', pid).split('\033[H')[1:]:
                    lines = re.sub(r'\033\[[?\d]*[A-Za-z]', '', screen).replace('\r', '').split('\n')
                    self.assertLessEqual(len(lines), rows)
                    self.assertLessEqual(max(map(len, lines)), columns)
            self.goes_on(program, out='ready\n6\n')

    def test_on_a_terminal_that_knows_no_escapes(self):
        with Program('looked_at', 'wait', '3') as program:
            for term in ('dumb', ''):
                text = self.on_terminal(24, 40, term, program.ready().child.pid)
                self.assertNotIn('\033', text)
                self.assertEqual(text.count('looked_at  process '), 2)
                self.assertEqual(max(map(len, text.split('\r\n'))), 40)
            self.goes_on(program, out='ready\n6\n')

    def test_on_a_terminal(self):
        """Drawn again and again in 80 columns until q is pressed."""
        with Program('looked_at', 'wait', '3') as program:
            pid = program.ready().child.pid
            ours, theirs = pty.openpty()
            fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack('HHHH', 24, 80, 0, 0))
            before = termios.tcgetattr(theirs)
            top = subprocess.Popen([sys.executable, MN, 'top', '-d', '0.1', str(pid)], stdin=theirs, stdout=theirs,
                                   env={**os.environ, 'TERM': 'xterm'})
            text = b''
            while text.count(b'\033[J') < 3:
                self.assertTrue(select.select([ours], [], [], SECONDS)[0], text)
                text += os.read(ours, 65536)
            os.write(ours, b'q')
            self.assertEqual(top.wait(SECONDS), 0)
            self.assertEqual(termios.tcgetattr(theirs), before)
            for screen in text.decode().split('\033[H')[1:]:
                lines = re.sub(r'\033\[[?\d]*[A-Za-z]', '', screen).split('\r\n')
                self.assertLessEqual(len(lines), 24)
                self.assertLessEqual(max(map(len, lines)), 80)
            os.close(ours)
            os.close(theirs)
            self.goes_on(program, out='ready\n6\n')

    def test_library_that_was_replaced(self):
        """What the process has mapped counts, not what lies there by now."""
        with tempfile.TemporaryDirectory() as folder:
            lib = shutil.copy(observed.the_library(), folder)
            with Program('looked_at', 'wait', '100', lib=lib) as program:
                program.ready()
                os.unlink(lib)
                with open(lib, 'w') as file:
                    file.write('something else')
                self.assertIn('the_mutex', self.until_all_wait(program, 100))
                self.goes_on(program)


class Stacks(Inside):
    def check_groups(self, program):
        text = self.said('stacks', program.child.pid)
        self.assertRegex(text, r'^dump of process \d+, \d Ps, 0 of them busy: 201 threads, 3 different stacks\n')
        groups = text.split('\n\n')[1:]
        self.assertEqual(len(groups), 3, text)
        mutex, = [group for group in groups if 'wait_for_mutex' in group]
        sem, = [group for group in groups if 'wait_for_semaphore' in group]
        self.assertRegex(mutex, r'^100 threads: waiting for mutex 0x[0-9a-f]+ held by main thread, ')
        self.assertRegex(sem, r'^100 threads: waiting for semaphore 0x[0-9a-f]+, ')
        self.assertIn('\n    names: m0-99\n', mutex)
        self.assertIn('\n    names: s0-99\n', sem)
        self.assertRegex(groups[2], r'^1 thread: (in system call read|running)\n    who: main\n')

    def test_groups(self):
        for procs in INSIDE_PROCS:
            for env in ({}, {'MN_DUMP_SIGNAL': 'USR1'}, {'MN_SWITCH': 'ucontext'}):
                with Program('looked_at', 'wait', '100', MN_PROCS=procs, **env) as program:
                    self.until_all_wait(program.ready(), 100)
                    for _ in range(3):
                        self.check_groups(program)
                    self.goes_on(program)

    def test_raw(self):
        with Program('every_wait', MN_PROCS='2') as program:
            text = self.said('stacks', '--raw', program.ready().child.pid)
            threads = observed.threads_in(text)
            self.assertIn('wait_to_join', observed.named(threads, 'joiner').functions)
            self.assertEqual(len(threads), 14)
            program.say()
            self.assertEqual((program.end(), program.err), (0, ''))

    def test_system_calls_are_not_interrupted(self):
        """Nor is main, to whom a signal that was sent to the process would come."""
        with Program('dump', 'in_the_kernel') as program:
            for _ in range(20):
                self.said('stacks', program.ready().child.pid)
            program.say()
            self.assertEqual((program.end(), program.out, program.err), (0, 'ready\n', ''))

    def test_threads_at_work(self):
        for procs in INSIDE_PROCS:
            with Program('looked_at', 'run', '5', MN_PROCS=procs) as program:
                program.ready()
                for _ in range(10):
                    self.assertIn('11 threads', self.said('stacks', program.child.pid))
                self.goes_on(program, out='ready\n10\n')

    def test_several_at_once(self):
        with Program('looked_at', 'wait', '100') as program:
            self.until_all_wait(program.ready(), 100)
            asking = [subprocess.Popen([sys.executable, MN, 'stacks', str(program.child.pid)], text=True,
                                       stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(4)]
            for one in asking:
                out, err = one.communicate(timeout=SECONDS)
                self.assertEqual((one.returncode, err), (0, ''))
                self.assertIn('201 threads, 3 different stacks', out)
            self.goes_on(program)

    def test_ten_thousand_threads(self):
        with Program('looked_at', 'wait', '5000', MN_PROCS='2') as program:
            self.until_all_wait(program.ready(), 5000)
            text = self.said('stacks', program.child.pid)
            self.assertIn('10,001 threads, 3 different stacks', text)
            self.assertEqual(text.count('\n5,000 threads: '), 2)
            self.goes_on(program, out='ready\n10000\n')

    def test_program_of_another_user(self):
        """Root looks at anybody's, which then must be able to open root's pipe."""
        if os.geteuid() != 0:
            self.refused('process 1: not permitted: run mn as the user', 'stacks', 1)
            return
        with Program('looked_at', 'wait', '100', user=NOBODY) as program:
            self.until_all_wait(program.ready(), 100)
            self.check_groups(program)
            self.refused('process \\d+: not permitted: run mn as the user', 'stacks', 1, as_nobody=True)
            self.goes_on(program)


class Refusals(Inside):
    def both(self, pattern, pid):
        for command in ('top', 'stacks'):
            self.refused(pattern, command, pid)

    def test_no_such_process(self):
        child = subprocess.Popen(['true'])
        child.wait(SECONDS)
        self.both(f'process {child.pid}: no such process', child.pid)
        for wrong in ('0', '-1', 'x', '99999999'):
            self.refused('', 'top', wrong)

    def test_not_permitted(self):
        with Program('looked_at', 'wait', '3') as program:
            pid = program.ready().child.pid if os.geteuid() == 0 else 1
            for command in ('top', 'stacks'):
                self.refused(f'process {pid}: not permitted: run mn as the user that the process runs as', command, pid,
                             as_nobody=os.geteuid() == 0)
            self.goes_on(program, out='ready\n6\n')

    def test_without_libmn(self):
        self.both(f'process {os.getpid()}: it does not have libmn preloaded', os.getpid())

    def test_passed_through(self):
        with Program('looked_at', 'wait', '3', MN_MODE='1:1') as program:
            self.both("process .*: its threads are libc's", program.ready().child.pid)
            self.goes_on(program, out='ready\n6\n')

    def test_no_threads(self):
        with Program('dump', 'no_threads') as program:
            self.both('process .*: libmn has made no threads in it', program.ready().child.pid)
            program.say()
            self.assertEqual((program.end(), program.err), (0, ''))

    def test_another_version(self):
        with tempfile.TemporaryDirectory() as folder:
            lib = shutil.copy(observed.the_library(), folder)
            for old, new, what in ((b'mnlayout\1\0\0\0', b'mnlayout\2\0\0\0', 'than mn'),
                                   (b'\0mn_layout\0', b'\0mn_mislaid\0'[:11], 'it has no mn_layout')):
                with open(lib, 'rb') as file:
                    content = file.read()
                self.assertIn(old, content)
                os.unlink(lib)
                with open(lib, 'wb') as file:
                    file.write(content.replace(old, new.ljust(len(old), b'\0')[:len(old)]))
                with Program('looked_at', 'wait', '3', lib=lib) as program:
                    self.both(f'process .*: its libmn is of another version .*{what}', program.ready().child.pid)
                    self.goes_on(program, out='ready\n6\n')

    def test_signals_that_must_not_be_sent(self):
        pattern = 'process .*: the program handles or ignores SIGQUIT itself; start it with MN_DUMP_SIGNAL=USR1'
        with Program('dump', 'own_handler', MN_PROCS='2') as program:
            self.refused(pattern, 'stacks', program.ready().child.pid)
            self.assertNotIn('handled', program.out)
            program.child.send_signal(signal.SIGQUIT)
            self.assertEqual((program.end(), program.err), (0, ''))
        with Program('looked_at', 'wait', '3', ignore=signal.SIGQUIT) as program:
            self.refused(pattern, 'stacks', program.ready().child.pid)
            self.goes_on(program, out='ready\n6\n')
        with Program('looked_at', 'wait', '3', MN_DUMP_SIGNAL='none') as program:
            self.refused('process .*: it was started with MN_DUMP_SIGNAL=none', 'stacks', program.ready().child.pid)
            self.goes_on(program, out='ready\n6\n')

    def test_what_a_script_starts_in_the_background(self):
        """It ignores SIGQUIT from its birth, which is nothing that it does."""
        for before, pattern in (('', 'it ignores SIGQUIT, as all does that a script starts with &; start it with MN_DUMP_SIGNAL=USR1'),
                                ('env MN_DUMP_SIGNAL=USR1 ', None), ('env --default-signal=QUIT ', None)):
            script = f'{before}{PROGRAMS}/looked_at wait 3 <&3 & echo $!; wait $!'
            with Program('/bin/sh', '-c', f'exec 3<&0; {script}') as program:
                pid = program.ready().out.split('\n')[0]
                if pattern:
                    self.refused(f'process {pid}: {pattern}', 'stacks', pid)
                else:
                    self.assertIn('wait_for_mutex', self.said('stacks', pid))
                self.goes_on(program, out=f'{pid}\nready\n6\n')

    def test_stopped_process(self):
        """Which then takes the request, that nobody waits for any more, and goes on."""
        with Program('looked_at', 'wait', '3') as program:
            program.ready().child.send_signal(signal.SIGSTOP)
            self.refused('process .*: no answer within 1 s: it is stopped', 'stacks', '--timeout', 1, program.child.pid)
            program.child.send_signal(signal.SIGCONT)
            self.goes_on(program, out='ready\n6\n')


if __name__ == '__main__':
    unittest.main()
