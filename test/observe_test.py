# SPDX-License-Identifier: Apache-2.0
"""Tests what libmn shows of a program: deadlocks, schedtrace lines, statistics; its preemption and
its idleness, which these show."""

import contextlib
import os
import re
import signal
import time
import unittest

from observed import ADDRESS, PROCS, Program, threads_in


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
        for case, count in (('join', 2), ('joins', 4), ('main_has_ended', 4), ('all_kinds', 5), ('wired', 2)):
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
        for case in ('sleeper', 'timed', 'timed_wired', 'child_writes', 'poller', 'receiver',
                     'sigwaiter', 'handler', 'libc_timer', 'ping_pong', 'no_threads'):
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
                self.assertEqual(values['gs'], 13)    # main and 13 more, of which one has ended
                self.assertEqual(values['waiting'], 11)
                self.assertEqual(values['netpoll'], 1)
                self.assertEqual(values['running'], 2)
                self.assertEqual(values['blockedms'], 2)

    def test_interval(self):
        """Lines come when they are due, and the first at once."""
        with Program('crowd', 'sleep', '5', MN_SCHEDTRACE='300', MN_PROCS='2') as program:
            program.ready()
            program.until(lambda: program.err.count('\n') >= 8, 'eight lines')
            times = [line[0] for line in self.lines(program)]
            self.assertLess(times[0], 300)
            for earlier, later in zip(times, times[1:]):
                self.assertGreater(later - earlier, 0)
            # Late ones are not made up for, and the next is on time again.
            self.assertGreaterEqual(times[7] - times[0], 6 * 300)

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


class Preemption(unittest.TestCase):
    """Two threads that compute, on one P: the newest begins."""

    def order(self, **env):
        with Program('turns', MN_PROCS='1', MN_STATS='1', **env) as program:
            self.assertEqual(program.end(), 0)
            return program.out.strip(), int(re.search(r' preemptions=(\d+) ', program.err)[1])

    def test_on(self):
        for env in {}, {'MN_PREEMPT_MS': '20'}:
            order, preemptions = self.order(**env)
            self.assertIn(order[:2], ('BA', 'AB'))
            self.assertGreaterEqual(preemptions, 2)

    def test_off(self):
        order, preemptions = self.order(MN_PREEMPT_MS='0')
        self.assertIn(order, ('BbAa', 'AaBb'))
        self.assertEqual(preemptions, 0)


class Idle(unittest.TestCase):
    """A program in which nothing happens makes fewer than five wake-ups a second."""

    MOST = 5
    LONG = 10    # seconds

    @staticmethod
    def switches(pid):
        """Of each kernel thread, so far."""
        counts = {}
        for task in os.listdir(f'/proc/{pid}/task'):
            with open(f'/proc/{pid}/task/{task}/status') as file:
                counts[task] = sum(int(n) for n in re.findall(r'ctxt_switches:\s*(\d+)', file.read()))
        return counts

    def test_wakeups(self):
        for how, threads in (('ended', 100), ('cond', 100), ('recv', 1000)):
            with contextlib.ExitStack() as stack:
                programs = [stack.enter_context(Program('crowd', how, str(threads), MN_PROCS=procs))
                            for procs in PROCS]
                for program in programs:
                    program.ready()
                time.sleep(2)    # what they do afterwards
                before = [self.switches(program.child.pid) for program in programs]
                time.sleep(self.LONG)
                for program, procs, old in zip(programs, PROCS, before):
                    new = self.switches(program.child.pid)
                    moved = {task: count - old.get(task, 0) for task, count in new.items()
                             if count != old.get(task, 0)}
                    with self.subTest(how=how, procs=procs, moved=moved):
                        self.assertLess(sum(moved.values()), self.MOST * self.LONG)


class Statistics(unittest.TestCase):
    def test_line(self):
        for procs in PROCS:
            with Program('dump', 'in_the_kernel', MN_STATS='1', MN_PROCS=procs) as program:
                program.ready().say()
                self.assertEqual(program.end(), 0)
                self.assertRegex(program.err, rf'^libmn: stats: mode=mn procs={procs} gs=1 switches=\d+ '
                                              r'steals=\d+ ms=\d+ retakes=\d+ handoffs=\d+ '
                                              r'preemptions=\d+ parks=(none|\w+:\d+(,\w+:\d+)*) pid=\d+ program=\S+\n$')


if __name__ == '__main__':
    unittest.main()
