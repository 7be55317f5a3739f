# SPDX-License-Identifier: Apache-2.0
"""Tests thread dumps: who runs where, who waits for what."""

import re
import shutil
import signal
import tempfile
import time
import unittest

import observed
from observed import ADDRESS, PROCS, SECONDS, Program, named, threads_in


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
        ('receiver', r'waiting for descriptor \d+ to be read from, [\d.]+ m?s', 'wait_for_data'),
        ('kernel', r'((in system call read|interrupted by the signal),|running) on kernel thread \d+',
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
            states = [program.ask(signal.SIGUSR1)[1].state for _ in range(20)]
            # The signal may come to this very thread, which is then seen in its handler.
            for state in states:
                self.assertRegex(state, r'^((in system call poll|interrupted by the signal),|running) '
                                        r'on kernel thread \d+$')
            self.assertTrue(any(state.startswith('in system call poll') for state in states), states)
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
            lib = shutil.copy(observed.the_library(), folder)
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

    def test_flood(self):
        """As many requests as there can be are answered one after the other, and not each."""
        for procs in PROCS:
            with Program('dump', 'computing', MN_PROCS=procs, MN_DUMP_SIGNAL='USR1') as program:
                program.ready()
                begin = time.monotonic()
                for _ in range(20_000):
                    program.child.send_signal(signal.SIGUSR1)
                program.ask(signal.SIGUSR1)
                program.say()
                self.assertEqual(program.end(), 0)
                self.assertLess(program.err.count('libmn: end of dump'), 3 + 10 * (time.monotonic() - begin))

    def test_crowd(self):
        """All of many threads, each with its name, what it waits for, since when, and where."""
        kinds = {'cond': (rf'waiting for condition variable {ADDRESS}, [\d.]+ m?s', 'wait_for_cond'),
                 'recv': (r'waiting for descriptor \d+ to be read from, [\d.]+ m?s', 'wait_for_data')}
        for procs in PROCS:
            for how, (state, function) in kinds.items():
                with Program('crowd', how, '1200', MN_PROCS=procs, MN_DUMP_SIGNAL='USR1') as program:
                    threads = program.ready().ask(signal.SIGUSR1)
                    self.assertEqual(len(threads), 1201)
                    self.assertEqual({thread.name for thread in threads[1:]},
                                     {f'w{number}' for number in range(1200)})
                    for thread in threads[1:]:
                        self.assertRegex(thread.state, f'^{state}$')
                        self.assertIn(function, thread.functions)


if __name__ == '__main__':
    unittest.main()
