# SPDX-License-Identifier: Apache-2.0
"""Tests mn top, mn stacks and gdb's script on processes that mean them harm: each says what it can, or one clear line, in
time, and nothing of the process's reaches the terminal but as text."""

import os
import re
import resource
import subprocess
import sys
import unittest

from observed import ROOT, SECONDS, Program

MN = os.path.join(ROOT, 'scripts', 'mn')
SCRIPT = os.path.join(ROOT, 'scripts', 'mn-gdb.py')
MEMORY = 2 << 30
CONTROLS = re.compile(r'[^\n -~]')

# Of the table: what tools are told, for each what mn top and mn stacks say (None: they show what there is).
TABLE = [
    ('G.name garbled', 'of another version than mn: there is no G.name'),
    ('G.name size 1099511627776', 'makes no sense: G.name'),
    ('G.name size 0', 'makes no sense: G.name'),
    ('G.tid value 4611686018427387904', 'makes no sense: G.tid'),
    ('G.tid value 1', 'makes no sense: G'),
    ('G.state size 3', 'makes no sense: G.state'),
    ('G value 3', 'makes no sense: G'),
    ('G value 18446744073709551615', 'makes no sense: G'),
    ('P value 35184372088832', 'makes no sense: P'),
    ('P.parks size 8', None),
    ('Sched.nprocs size 3', 'makes no sense: a number of 3 bytes'),
    ('Sched.nprocs value 18446744073709551615', 'makes no sense: Sched.nprocs'),
    ('sched value 1', 'where nothing is'),
    ('HEAD magic 120', 'of another version than mn'),
    ('HEAD count 18446744073709551615', 'of another version than mn'),
    ('HEAD count 0', 'of another version than mn'),
    ('HEAD entries 3', 'where nothing is'),
    ('StackClass.stride value 0', None),
    ('StackClass.stride value 8', None),
    ('StackClass.cursor value 0', None),
    ('M.all_next value 0', None),
    ('wait.mutex value 99999', None),
    ('waiter.queued value 77', None),
]
# Only mn top, or only mn stacks, has use for these.
TOP_ONLY = [('slot.colours value 0', 'makes no sense: slot.colours'), ('slot.g_align value 0', 'makes no sense: slot.g_align'),
            ('Sched.most_ms value 18446744073709551615', 'makes no sense: Sched.most_ms'),
            ('Arena.next value 8', 'makes no sense: Arena.next'),
            # The last: libmn, too, believes it.
            ('Sched.nprocs of sched = 2147483647', 'its state makes no sense: 2,147,483,647 Ps')]
STACKS_ONLY = [('signal_actions size 9999999999', 'makes no sense: signal_actions'),
               ('stand_in_signal value 4096', 'where nothing is')]


class Hostile(unittest.TestCase):
    def mn(self, *words):
        def at_start():
            resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))

        return subprocess.run([sys.executable, MN, *map(str, words)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True, errors='surrogateescape', timeout=SECONDS, check=False,
                              preexec_fn=at_start)

    def refused(self, pattern, *words):
        done = self.mn(*words)
        self.assertEqual((done.returncode, done.stdout), (125, ''), (words, done.stderr))
        self.assertRegex(done.stderr, rf'^mn: process \d+: [^\n]*{pattern}[^\n]*\n$', words)

    def shown(self, *words):
        done = self.mn(*words)
        self.assertEqual((done.returncode, done.stderr), (0, ''), words)
        self.assertIsNone(CONTROLS.search(done.stdout), done.stdout)
        return done.stdout


def tell(program, line):
    before = program.out.count('done\n')
    program.child.stdin.write(line + '\n')
    program.child.stdin.flush()
    program.until(lambda: program.out.count('done\n') > before, 'done')


class Table(Hostile):
    def check(self, program, commands, line, said):
        tell(program, line)
        for command in commands:
            words = [*command, program.child.pid]
            with self.subTest(line=line, command=command):
                if said is None:
                    self.shown(*words)
                else:
                    self.refused(re.escape(said), *words)
        tell(program, 'restore')

    def test_what_makes_no_sense_is_one_line(self):
        top, stacks = ('top', '--once'), ('stacks', '--timeout', SECONDS)
        with Program('hostile_layout', MN_PROCS='2') as program:
            program.ready()
            for commands, lines in (((top, stacks), TABLE), ((stacks,), STACKS_ONLY), ((top,), TOP_ONLY)):
                for line, said in lines:
                    self.check(program, commands, line, said)


class Names(Hostile):
    def test_titles_move_no_cursor_and_forge_no_line(self):
        with Program('hostile_layout', MN_PROCS='2') as program:
            tell(program.ready(), r'title \e[31mx\nGs: 9')
            view = self.shown('top', '--once', program.child.pid)
            self.assertTrue(view.startswith(r'\x1b[31mx\nGs: 9  process '), view)
            self.assertEqual(len(re.findall('^Gs: ', view, re.M)), 1)
            self.shown('stacks', program.child.pid)

    def test_in_gdb(self):
        with Program('hostile_layout', MN_PROCS='2') as program:
            tell(program.ready(), r'title \e[31mx\nGs: 9')
            for line, said in ((None, r'  \\x1b\[31mx\\nGs: 9 '), ('G.state size 3', 'mn: .* makes no sense: G.state'),
                               ('slot.colours value 0', 'mn: .* makes no sense: slot.colours'),
                               ('SavedFrame.rbx size 3', r'\n +1  waiting .*  \?\n')):
                if line:
                    tell(program, line)
                done = subprocess.run(['gdb', '-q', '-nx', '-batch', '-iex', 'set debuginfod enabled off', '-p',
                                       str(program.child.pid), '-ex', f'source {SCRIPT}', '-ex', 'info gs',
                                       '-ex', 'g all info registers rip'],
                                      stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                      text=True, errors='surrogateescape', timeout=2 * SECONDS, check=False)
                self.assertRegex(done.stdout, said)
                self.assertNotRegex(done.stdout, r'Traceback|Python Exception|Error occurred|\x1b')
                tell(program, 'restore')


class Answers(Hostile):
    def test_floods_end(self):
        for how, said in (('bytes', 'its dump is larger than 128 MiB|did not end within 2 s'),
                          ('lines', 'its dump is larger than 128 MiB|did not end within 2 s'),
                          ('slowly', 'did not end within 2 s')):
            with Program('answers', how, MN_DUMP_SIGNAL='USR1') as program:
                self.refused(f'({said})', 'stacks', '--timeout', 2, program.ready().child.pid)

    def test_what_a_dump_says_is_text(self):
        says = (r'libmn: dump of process \e]0;x\e\\, 1 Ps:\nthread 1 "\e[31m" (0x1) [waiting for \e[2J, 1 ms]:\n'
                r'    #0 f\e[1m+0x1\nthread 99999999999999999999999 (0x1) [x]:\nthread 2 (0x1) [in, 1.2.3 s]:\n')
        for options in ((), ('--raw',)):
            with Program('answers', 'says', says, MN_DUMP_SIGNAL='USR1') as program:
                text = self.shown('stacks', *options, program.ready().child.pid)
                self.assertIn(r'\x1b[2J', text)
                self.assertIn(r'f\x1b[1m+0x1', text)


if __name__ == '__main__':
    unittest.main()
