# SPDX-License-Identifier: Apache-2.0
"""Tests scripts/mn-gdb.py on a process and on its core file, at each way of switching contexts."""

import os
import re
import subprocess
import tempfile
import unittest

from observed import PROGRAMS, ROOT, SECONDS, Program

SCRIPT = os.path.join(ROOT, 'scripts', 'mn-gdb.py')
# Of every_wait: id, state, name, what it waits for, function.
ROWS = [(1, 'waiting', 'holder', r'sem 0x[0-9a-f]+', 'wait_for_release'),
        (2, 'waiting', 'mutex', r'mutex 0x[0-9a-f]+', 'wait_for_mutex'),
        (3, 'waiting', 'cond', r'cond 0x[0-9a-f]+', 'wait_for_cond'),
        (4, 'waiting', 'reader', r'read 0x[0-9a-f]+', 'wait_to_read'),
        (5, 'waiting', 'writer', r'write 0x[0-9a-f]+', 'wait_to_write'),
        (6, 'waiting', 'barrier', r'barrier 0x[0-9a-f]+', 'wait_at_barrier'),
        (9, 'waiting', 'joiner', 'join', 'wait_to_join'),
        (10, 'waiting', 'sleeper', 'sleep', 'sleep_long'),
        (11, 'running', 'kernel', '', 'read_silence'),
        (0, 'running', 'every_wait', '', 'main')]


class Gdb(unittest.TestCase):
    def gdb(self, target, *commands):
        words = [word for command in (f'source {SCRIPT}', *commands) for word in ('-ex', command)]
        result = subprocess.run(['gdb', '-q', '-nx', '-batch', '-iex', 'set debuginfod enabled off', *target, *words],
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                errors='replace', timeout=2 * SECONDS, check=False)
        return result.stdout

    def check(self, target, switch, *more):
        """What the script shows; all of it."""
        text = self.gdb(target, 'info gs', 'echo <2>\\n', 'g 2 bt', 'echo <0>\\n', 'g 0 bt', 'echo <all>\\n',
                        'g all bt', 'echo <own>\\n', 'bt', 'echo <99>\\n', 'g 99 bt', 'echo <end>\\n', *more)
        parts = dict(re.findall(r'^<(\w+)>\n(.*?)(?=^<)', text, re.M | re.S))
        for number, state, name, wait, function in ROWS:
            self.assertRegex(text, rf'(?m)^ +{number}  {state} +{name}  +{wait} +{function}$')
        mutex = parts['2']
        self.assertRegex(mutex, r'^#1 ', mutex)
        self.assertRegex(mutex, r'#\d+ +0x[0-9a-f]+ in wait_for_mutex \(')
        if switch == 'asm':
            self.assertRegex(mutex.rstrip().splitlines()[-1], r' in mn_context_start \(')
        self.assertRegex(parts['0'], r'#\d+ .*\bmain \(')
        for _, _, _, _, function in ROWS:
            self.assertRegex(parts['all'], rf'#\d+ .*\b{function} \(')
        self.assertEqual(parts['all'].count('\nG '), 13, parts['all'])
        # Afterwards gdb looks at the kernel thread again, from its own first frame on.
        self.assertRegex(parts['own'], r'^#0 ')
        self.assertRegex(text, r'mn: there is no thread 99 \(info gs\)')
        self.assertNotIn('Traceback', text)

    def test_process_and_core_file(self):
        for env in ({'MN_PROCS': '1'}, {'MN_PROCS': '2'}, {'MN_PROCS': '2', 'MN_SWITCH': 'ucontext'}):
            # gdb does not get past guard markers as it writes a core file; the kernel does.
            env = {**env, 'MN_DISABLE': 'guard_install', 'MN_STACK_SIZE': '65536'}
            with Program('every_wait', **env) as program, tempfile.TemporaryDirectory() as folder:
                pid, core = str(program.ready().child.pid), os.path.join(folder, 'core')
                self.check(['-p', pid], env.get('MN_SWITCH', 'asm'), f'generate-core-file {core}')
                program.say()
                self.assertEqual((program.end(), program.err), (0, ''))
                self.check([os.path.join(PROGRAMS, 'every_wait'), core], env.get('MN_SWITCH', 'asm'))

    def test_without_threads_and_without_libmn(self):
        with Program('dump', 'no_threads') as program:
            text = self.gdb(['-p', str(program.ready().child.pid)], 'info gs')
            self.assertIn('mn: libmn has made no threads in this program', text)
            program.say()
            self.assertEqual((program.end(), program.err), (0, ''))
        text = self.gdb([os.path.join(PROGRAMS, 'dump')], 'info gs', 'g 1', 'g x bt')
        self.assertIn('mn: there is no libmn in this program', text)
        self.assertEqual(text.count('mn: say: g ID COMMAND'), 2, text)
        self.assertNotIn('Traceback', text)


if __name__ == '__main__':
    unittest.main()
