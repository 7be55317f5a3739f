# SPDX-License-Identifier: Apache-2.0
"""Tests what mn writes to terminals: narrow ones, ones that know no escapes, and what is none."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import unittest

from mn_stub import MN, environment, folder, mn, stub
from mnlib import terminal
from mnlib.commands import whole

SECONDS = 60
NARROW = (1, 5, 20, 40)
ESCAPE = re.compile(r'\x1b\[[?\d;]*[A-Za-z]')


def on_terminal(*words, columns=80, env=None):
    """Exit status and what a terminal gets, standard error too."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack('HHHH', 24, columns, 0, 0))
    with subprocess.Popen([sys.executable, MN, *words], stdin=theirs, stdout=theirs, stderr=theirs,
                          env=environment({'TERM': 'xterm', **(env or {})})) as child:
        os.close(theirs)
        text = b''
        while piece := read(ours):
            text += piece
        os.close(ours)
        status = child.wait(SECONDS)
    return status, text.decode().replace('\r\n', '\n')


def read(ours):
    try:
        return os.read(ours, 65536)
    except OSError:    # nobody has the other end any more
        return b''


def too_long(text, columns):
    """Lines of more columns that are no single word."""
    return [line for line in text.split('\n') if len(line) > columns and ' ' in line.strip()]


class Narrow(unittest.TestCase):
    def test_help(self):
        for columns in NARROW:
            for words in ([], *([command.NAME] for command in whole.ALL)):
                done = mn(*words, '--help', env={'COLUMNS': str(columns)})
                self.assertEqual((done.returncode, done.stderr), (0, ''))
                if columns >= 40:    # below that an option and its value may have a line of their own
                    self.assertEqual(too_long(done.stdout, columns), [])
        for columns in ('-5', '0', 'many', '', '9' * 30):
            self.assertEqual(mn('--help', env={'COLUMNS': columns}).returncode, 0, columns)

    def test_help_has_room_on_all_terminals(self):
        for words in ([], *([command.NAME] for command in whole.ALL)):
            self.assertEqual(too_long(mn(*words, '--help').stdout, 80), [], words)

    def test_comparisons(self):
        for columns in NARROW:
            for env in ({}, {'COLUMNS': str(columns)}):
                status, text = on_terminal('compare', '--lib', stub, '-n', '7', '--', 'sleep', '0.01',
                                           columns=200 if env else columns, env=env)
                self.assertEqual(status, 0, text)
                said = text.split('\r\x1b[K')[-1]
                self.assertEqual(too_long(said, max(columns, 10)), [])
                self.assertRegex(' '.join(said.split()), r'wall time 1:1: [\d.]+ ms .* M:N: [\d.]+ ms .* M:N is: ')
        _, text = on_terminal('compare', '--lib', stub, '-n', '7', '--', 'sleep', '0.01', columns=200)
        self.assertRegex(text, r'\nwall time  +[\d.]+ ms \(')

    def test_pipelines(self):
        status, text = on_terminal('ci', '--lib', stub, '--min-runs', '7', '--max-runs', '7', '--fail-below', '0.01', '--', 'true',
                                   columns=30)
        self.assertEqual(status, 0, text)
        said = text.split('\r\x1b[K')[-1]
        self.assertEqual([line for line in too_long(said, 30) if not line.startswith('|')], [])

    def test_progress_keeps_to_its_line(self):
        for columns in (1, 2, 20, 50, 60, 200):
            _, text = on_terminal('compare', '--lib', stub, '-n', '2', '--', 'true', columns=columns)
            bars = text.split('\r\x1b[K')[1:-1]
            self.assertEqual(len(bars), 5)
            self.assertLess(max(map(len, bars)), columns, bars)

    def test_traces(self):
        path = os.path.join(folder, 'narrow-trace.json')
        with open(path, 'w') as file:
            for name, begin, end in (('a', 1, '"waits","for":"mutex","address":"0x7f0000001234","held by":"main thread"'),
                                     ('b', 3, '"yields"'), ('a', 5, '"yields"')):
                file.write(('[' if begin == 1 else '') + f'{{"ph":"X","pid":7,"tid":1,"ts":{begin},"dur":1,"name":"thread {name}",'
                           f'"cat":"thread","args":{{"name":"{name}","end":{end}}}}},\n')
            file.write(']\n')
        _, wide = on_terminal('trace', '--read', path, columns=200)
        self.assertRegex(wide, r'\nwaited for  +times  in all  longest  woken by')
        _, narrow = on_terminal('trace', '--read', path, columns=40)
        self.assertIn('mutex 0x7f0000001234 held by main thread\n  times: 1\n', narrow)


class WithoutEscapes(unittest.TestCase):
    def test_a_terminal_that_knows_none(self):
        for term in ('dumb', ''):
            status, text = on_terminal('compare', '--lib', stub, '-n', '1', '--', 'true', env={'TERM': term})
            self.assertEqual(status, 0)
            self.assertNotIn('\x1b', text)
            self.assertNotIn('run 1', text)

    def test_what_is_no_terminal(self):
        done = mn('compare', '--lib', stub, '-n', '7', '--', 'true', env={'TERM': 'xterm', 'COLUMNS': '20'})
        self.assertEqual(done.stderr, '')
        self.assertNotIn('\x1b', done.stdout)
        self.assertRegex(done.stdout, r'\nwall time  +[\d.]+ ms \(')    # the reader's lines are not broken


class Fold(unittest.TestCase):
    def test_fold(self):
        for line, width, folded in (('ab cd ef gh', 11, ['ab cd ef gh']), ('ab cd ef gh', None, ['ab cd ef gh']),
                                    ('ab cd ef gh ij', 10, ['ab cd ef', 'gh ij']), ('- ab cd ef gh', 10, ['- ab cd ef', '  gh']),
                                    ('  ab cd ef gh', 10, ['  ab cd ef', '    gh']), ('a' * 30, 10, ['a' * 30]), ('', 5, ['']),
                                    ('  mn x    does much and more', 20, ['  mn x    does much', '          and more'])):
            self.assertEqual(terminal.fold(line, width), folded)

    def test_paragraphs(self):
        self.assertEqual(terminal.paragraphs('\nab\ncd ef\n\nexamples:\n  ab cd ef gh ij\n  x\n', 12),
                         'ab cd ef\n\nexamples:\n  ab cd ef\n    gh ij\n  x')

    def test_tables(self):
        rows = [['', '1:1', 'M:N'], ['wall time', '12 ms', '1.5 ms'], ['memory', '', '3']]
        self.assertEqual(terminal.table(rows, 30)[0], '           1:1    M:N')
        self.assertEqual(terminal.table(rows, 20), ['wall time', '  1:1: 12 ms', '  M:N: 1.5 ms', 'memory', '  M:N: 3'])


if __name__ == '__main__':
    unittest.main()
