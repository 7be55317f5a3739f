# SPDX-License-Identifier: Apache-2.0
"""Tests what libmn shows of a program: thread dumps, deadlocks, schedtrace lines, statistics. The
programs are those of test/observe."""

import collections
import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time
import unittest

from mnlib import preload, suite

ROOT = os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))
PROGRAMS = os.path.join(ROOT, 'build', 'test', 'observe')
SECONDS = 60    # tells a hang
PROCS = ('1', '2', '8')

THREAD = re.compile(r'((?:main |kernel )?thread(?: \d+)?)(?: "(.*)")? \(0x[0-9a-f]+\) \[(.*)\]:$')
FRAME = re.compile(r'    #\d+ (\? )?([^+]*)(\+0x[0-9a-f]+)?( \(.*\+0x[0-9a-f]+\))?$')
ADDRESS = '0x[0-9a-f]+'

Thread = collections.namedtuple('Thread', 'label name state functions')

library = None    # the libmn.so to test; run.py says which


class Program:
    """A program of test/observe under libmn, and what it has written so far."""

    def __init__(self, *argv, lib=None, ignore=None, **env):
        def at_start():
            if ignore:
                signal.signal(ignore, signal.SIG_IGN)

        lib = lib or library or preload.find_library(None)
        env = {**preload.libmn_environment(lib, suite.clean_environment()), **env}
        argv = [os.path.join(PROGRAMS, argv[0]), *argv[1:]]
        self.child = subprocess.Popen(argv, env=env, stdin=subprocess.PIPE, text=True, errors='replace',
                                      stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                      preexec_fn=at_start)
        self._text = {}
        self._changed = threading.Condition()
        self._readers = [threading.Thread(target=self._read, args=(name, pipe), daemon=True)
                         for name, pipe in (('out', self.child.stdout), ('err', self.child.stderr))]
        for reader in self._readers:
            reader.start()

    def _read(self, name, pipe):
        for line in pipe:
            with self._changed:
                self._text[name] = self._text.get(name, '') + line
                self._changed.notify_all()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.child.kill()
        self.child.wait()
        for reader in self._readers:
            reader.join()
        for pipe in (self.child.stdin, self.child.stdout, self.child.stderr):
            pipe.close()

    @property
    def out(self):
        return self._text.get('out', '')

    @property
    def err(self):
        return self._text.get('err', '')

    def until(self, holds, what):
        """Waits until holds() is true of what has been written."""
        deadline = time.monotonic() + SECONDS
        with self._changed:
            while not holds():
                if time.monotonic() >= deadline:
                    raise AssertionError(f'not within {SECONDS} s: {what}; so far:\n{self.out}{self.err}')
                self._changed.wait(0.1)

    def ready(self):
        self.until(lambda: 'ready\n' in self.out, 'ready')
        return self

    def say(self):
        """The line that programs wait for."""
        self.child.stdin.write('\n')
        self.child.stdin.flush()

    def end(self):
        """Waits for the end; the exit status, or -N."""
        status = self.child.wait(SECONDS)
        for reader in self._readers:
            reader.join()
        return status

    def ask(self, number):
        """Sends a signal after which the program goes on; the dump that follows."""
        before = self.err.count('libmn: end of dump')
        self.child.send_signal(number)
        self.until(lambda: self.err.count('libmn: end of dump') > before, 'a dump')
        return threads_in(self.err[self.err.rindex('libmn: dump of process'):])


def threads_in(text):
    """The threads of a dump. A line in it that is none of a dump's is an error."""
    begin = text.index('libmn: dump of process')
    found = []
    for line in text[begin:text.index('libmn: end of dump', begin)].splitlines():
        thread, frame = THREAD.match(line), FRAME.match(line)
        if thread:
            found.append(Thread(thread[1], thread[2], thread[3], []))
        elif frame:
            found[-1].functions.append((frame[1] or '') + frame[2])
        elif not line.startswith('libmn: '):
            raise AssertionError(f'in a dump: {line!r}')
    return found


def named(threads, name):
    found = [thread for thread in threads if thread.name == name]
    if len(found) != 1:
        raise AssertionError(f'{len(found)} threads called {name}: {threads}')
    return found[0]


class Dump(unittest.TestCase):
    # A thread that computes keeps main off at MN_PROCS=1.
    WHILE_ONE_COMPUTES = ('2', '8')

    # Name, state, function of the program's that is on its stack.
    WAITS = [
        ('holder', rf'waiting for semaphore {ADDRESS}, [\d.]+ m?s', 'wait_for_release'),
        ('mutex', rf'waiting for mutex {ADDRESS} held by thread 1, [\d.]+ m?s', 'wait_for_mutex'),
        ('cond', rf'waiting for condition variable {ADDRESS}, [\d.]+ m?s', 'wait_for_cond'),
        ('reader', rf'waiting for reader-writer lock {ADDRESS} to read, held for writing by thread 1, '
                   r'[\d.]+ m?s', 'wait_to_read'),
        ('writer', rf'waiting for reader-writer lock {ADDRESS} to write, held for reading, [\d.]+ m?s',
         'wait_to_write'),
        ('barrier', rf'waiting for barrier {ADDRESS}, [\d.]+ m?s', 'wait_at_barrier'),
        ('once', rf'waiting for semaphore {ADDRESS}, [\d.]+ m?s', 'never_done'),
        ('twice', rf'waiting for pthread_once {ADDRESS} that another thread runs, [\d.]+ m?s',
         'run_once_more'),
        ('joiner', r'waiting for thread 1 to end, [\d.]+ m?s', 'wait_to_join'),
        ('sleeper', r'waiting for its sleep to end, [\d.]+ m?s, at most 9\d\d.\d s more', 'sleep_long'),
        ('kernel', r'(in system call read|interrupted by the signal), on kernel thread \d+',
         'read_silence'),
        ('ended', 'ended, not joined', None),
        ('every_wait', r'((in system call read|interrupted by the signal),|running) on kernel thread \d+',
         'main'),
    ]

    def complaint(self, threads):
        """What a dump of every_wait lacks; None: nothing."""
        for name, state, function in self.WAITS:
            thread = named(threads, name)
            if not re.fullmatch(state, thread.state):
                return f'{thread} is not: {state}'
            if function is not None and function not in thread.functions:
                return f'{thread}: no {function}'
        return None

    def test_signal_left_at_its_default(self):
        """All is printed, then the process dies as it would have."""
        for procs in PROCS:
            with Program('every_wait', MN_PROCS=procs, MN_STATS='1') as program:
                program.ready().child.send_signal(signal.SIGQUIT)
                self.assertEqual(program.end(), -signal.SIGQUIT, program.err)
                self.assertTrue(program.err.endswith('libmn: end of dump\n'), program.err)
                self.assertRegex(program.err, r'^libmn: dump of process \d+, \d+ Ps, \d+ of them busy: '
                                              r'signal 3\n')
                self.assertIsNone(self.complaint(threads_in(program.err)))

    def test_signal_given_by_option(self):
        """All is printed, as often as it is asked for, and the program goes on."""
        for procs in PROCS:
            with Program('every_wait', MN_PROCS=procs, MN_DUMP_SIGNAL='USR2') as program:
                program.ready()
                for _ in range(3):
                    self.assertIsNone(self.complaint(program.ask(signal.SIGUSR2)))
                program.say()
                self.assertEqual(program.end(), 0)

    def test_context_switch_by_ucontext(self):
        with Program('every_wait', MN_SWITCH='ucontext', MN_DUMP_SIGNAL='12') as program:
            program.ready()
            self.assertIsNone(self.complaint(program.ask(signal.SIGUSR2)))

    def test_since_when(self):
        """Waiting times are counted from when the wait began, also of waits that begin after a long
        time in which nothing ran."""
        with Program('every_wait', MN_DUMP_SIGNAL='40') as program:
            program.ready()
            begin = time.monotonic()
            time.sleep(2)
            state = named(program.ask(40), 'cond').state
            most = time.monotonic() - begin
            waited = float(re.search(r', ([\d.]+) s$', state)[1])
            self.assertGreaterEqual(waited, 1.9)
            self.assertLess(waited, most + SECONDS)

    def test_running_thread(self):
        for procs in self.WHILE_ONE_COMPUTES:
            for asks in (True, False):
                env = {'MN_DUMP_SIGNAL': 'USR1'} if asks else {}
                with Program('dump', 'computing', MN_PROCS=procs, **env) as program:
                    program.ready()
                    if asks:
                        threads = program.ask(signal.SIGUSR1)
                        program.say()
                        self.assertEqual(program.end(), 0)
                    else:
                        program.child.send_signal(signal.SIGQUIT)
                        self.assertEqual(program.end(), -signal.SIGQUIT)
                        threads = threads_in(program.err)
                    busy, = [thread for thread in threads if thread.label == 'thread 1']
                    self.assertRegex(busy.state, r'^(running|interrupted by the signal,) on kernel thread \d+$')
                    self.assertIn('compute', busy.functions)

    def test_system_calls_are_not_interrupted(self):
        """Where the program goes on it must not notice."""
        with Program('dump', 'in_the_kernel', MN_DUMP_SIGNAL='USR1') as program:
            program.ready()
            for _ in range(20):
                states = [thread.state for thread in program.ask(signal.SIGUSR1)]
                self.assertRegex(states[1], r'^in system call poll, on kernel thread \d+$')
            program.say()
            self.assertEqual(program.end(), 0)
            self.assertEqual(program.out.replace('interrupted\n', '', 20), 'ready\n')

    def test_thread_of_libcs_own(self):
        with Program('dump', 'stranger', MN_DUMP_SIGNAL='USR1') as program:
            stranger = named(program.ready().ask(signal.SIGUSR1), 'stranger')
            self.assertRegex(stranger.label, r'^kernel thread \d+$')
            self.assertRegex(stranger.state, rf'^waiting for semaphore {ADDRESS}, ')
            self.assertIn('wait_as_a_stranger', [name.removeprefix('? ') for name in stranger.functions])

    def test_deep_stack(self):
        with Program('dump', 'deep') as program:
            program.ready().child.send_signal(signal.SIGQUIT)
            self.assertEqual(program.end(), -signal.SIGQUIT)
            deep = threads_in(program.err)[1]
            self.assertEqual(deep.functions.count('recurse'), 56)
            self.assertIn('wait_deep', deep.functions)

    def test_without_the_companion(self):
        with tempfile.TemporaryDirectory() as folder:
            lib = shutil.copy(library or preload.find_library(None), folder)
            with Program('every_wait', lib=lib) as program:
                program.ready().child.send_signal(signal.SIGQUIT)
                self.assertEqual(program.end(), -signal.SIGQUIT)
                self.assertRegex(program.err, r'callers are guesses, .*: .*libmn-dump\.so: cannot open')
                mutex = named(threads_in(program.err), 'mutex')
                self.assertIn('held by thread 1', mutex.state)
                self.assertIn('? wait_for_mutex', mutex.functions)

    def test_option_none(self):
        for value in ('0', 'none'):
            with Program('every_wait', MN_DUMP_SIGNAL=value) as program:
                program.ready().child.send_signal(signal.SIGQUIT)
                self.assertEqual((program.end(), program.err), (-signal.SIGQUIT, ''))

    def test_program_without_threads(self):
        with Program('dump', 'no_threads') as program:
            program.ready().child.send_signal(signal.SIGQUIT)
            self.assertEqual((program.end(), program.err), (-signal.SIGQUIT, ''))
        with Program('dump', 'no_threads', MN_DUMP_SIGNAL='HUP') as program:
            program.ready().child.send_signal(signal.SIGHUP)
            program.until(lambda: 'has made no threads' in program.err, 'a word')
            program.say()
            self.assertEqual(program.end(), 0)

    def test_signal_that_the_program_handles_or_ignores(self):
        with Program('dump', 'own_handler', MN_PROCS='2') as program:
            program.ready().child.send_signal(signal.SIGQUIT)
            self.assertEqual((program.end(), program.err), (0, ''))
            self.assertIn('handled', program.out)
        with Program('dump', 'computing', ignore=signal.SIGQUIT, MN_PROCS='2') as program:
            program.ready().child.send_signal(signal.SIGQUIT)
            program.say()
            self.assertEqual((program.end(), program.err), (0, ''))

    def test_the_process_does_not_get_past_the_signal(self):
        for case in ('raising', 'signalled_before_exit'):
            for procs in PROCS:
                with Program('dump', case, MN_PROCS=procs) as program:
                    self.assertEqual(program.end(), -signal.SIGQUIT, case)
                    self.assertIn('libmn: end of dump', program.err)
                    self.assertEqual(program.out, '')


class Deadlock(unittest.TestCase):
    MESSAGE = 'libmn: fatal: all threads are asleep - deadlock!\n'

    def found(self, case, procs):
        with Program('deadlock', case, MN_DEADLOCK='1', MN_PROCS=procs) as program:
            self.assertEqual(program.end(), 2, program.err)
            self.assertTrue(program.err.startswith(self.MESSAGE), program.err)
            return threads_in(program.err)

    def test_two_mutexes(self):
        for procs in PROCS:
            main, other = self.found('mutexes', procs)
            self.assertRegex(main.state, rf'^waiting for mutex {ADDRESS} held by thread 1, ')
            self.assertEqual(other.name, 'b-then-a')
            self.assertRegex(other.state, rf'^waiting for mutex {ADDRESS} held by main thread, ')
            self.assertIn('main', main.functions)
            self.assertIn('lock_b_then_a', other.functions)

    def test_others(self):
        for case, count in (('join', 2), ('main_has_ended', 4), ('all_kinds', 5), ('wired', 2)):
            for procs in PROCS:
                threads = self.found(case, procs)
                self.assertEqual(len(threads), count, threads)
                for thread in threads:
                    self.assertRegex(thread.state, '^waiting for |^ended, not joined$')

    def test_only_when_asked_for(self):
        with Program('deadlock', 'mutexes') as program:
            time.sleep(1)
            self.assertIsNone(program.child.poll())
            program.child.send_signal(signal.SIGTERM)
            self.assertEqual((program.end(), program.err), (-signal.SIGTERM, ''))

    def test_none(self):
        """Each program ends with status 0: what wakes it must not be overlooked."""
        for case in ('sleeper', 'timed', 'timed_wired', 'child_writes', 'sigwaiter', 'handler',
                     'libc_timer', 'ping_pong', 'no_threads'):
            for procs in PROCS:
                with Program('deadlock', case, MN_DEADLOCK='1', MN_PROCS=procs) as program:
                    self.assertEqual((program.end(), program.err), (0, ''), f'{case}, MN_PROCS={procs}')


class Schedtrace(unittest.TestCase):
    LINE = re.compile(r'SCHED (\d+)ms: ((?:\w+=\d+ )+)\[([\d ]*)\]$')

    def lines(self, program):
        found = []
        for line in program.err.splitlines():
            match = self.LINE.match(line)
            if match is None:
                raise AssertionError(f'among schedtrace lines: {line!r}')
            words = dict(word.split('=') for word in match[2].split())
            found.append((int(match[1]), {key: int(value) for key, value in words.items()},
                          [int(size) for size in match[3].split()]))
        return found

    def test_idle_program(self):
        """Lines keep coming although nothing runs."""
        for procs in PROCS:
            with Program('every_wait', MN_SCHEDTRACE='50', MN_PROCS=procs) as program:
                program.ready()
                have = program.err.count('\n')
                program.until(lambda: program.err.count('\n') >= have + 10, 'ten more lines')
                program.say()
                self.assertEqual(program.end(), 0)
                lines = self.lines(program)
                times = [line[0] for line in lines]
                self.assertEqual(times, sorted(times))
                for earlier, later in zip(lines, lines[1:]):
                    for counter in ('switches', 'steals', 'retakes', 'handoffs', 'preemptions'):
                        self.assertLessEqual(earlier[1][counter], later[1][counter])
                values, queues = lines[-1][1:]
                self.assertEqual(values['procs'], int(procs))
                self.assertEqual(values['idleprocs'], int(procs))
                self.assertEqual(len(queues), int(procs))
                self.assertEqual(queues, [0] * int(procs))
                self.assertEqual(values['gs'], 12)    # main and 12 more, of which one has ended
                self.assertEqual(values['waiting'], 10)
                self.assertEqual(values['running'], 2)
                self.assertEqual(values['blockedms'], 2)

    def test_busy_program(self):
        with Program('dump', 'computing', MN_SCHEDTRACE='20', MN_PROCS='2') as program:
            program.ready()
            have = program.err.count('\n')
            program.until(lambda: program.err.count('\n') >= have + 3, 'three more lines')
            program.say()
            self.assertEqual(program.end(), 0)
            self.assertLess(self.lines(program)[-1][1]['idleprocs'], 2)

    def test_off(self):
        with Program('dump', 'computing', MN_SCHEDTRACE='0', MN_PROCS='2') as program:
            program.ready().say()
            self.assertEqual((program.end(), program.err), (0, ''))


class Statistics(unittest.TestCase):
    def test_line(self):
        for procs in PROCS:
            with Program('dump', 'in_the_kernel', MN_STATS='1', MN_PROCS=procs) as program:
                program.ready().say()
                self.assertEqual(program.end(), 0)
                self.assertRegex(program.err, rf'^libmn: stats: mode=mn procs={procs} gs=1 switches=\d+ '
                                              r'steals=\d+ ms=\d+ retakes=\d+ handoffs=\d+ '
                                              r'preemptions=\d+ parks=(\w+:\d+,)*sleep:\d+(,\w+:\d+)*\n$')


if __name__ == '__main__':
    unittest.main()
