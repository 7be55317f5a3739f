# SPDX-License-Identifier: Apache-2.0
"""Tests that what others wrote is text wherever mn shows it, and that no file or process gets more than a refusal out of
its parsers."""

import json
import os
import re
import subprocess
import sys
import unittest

from mn_stub import ROOT, folder, mn, script, stub
from mnlib import foreign

FUZZ = os.path.join(ROOT, 'test', 'mn_fuzz.py')
CONTROLS = re.compile(r'[^\n -~]')


class Shown(unittest.TestCase):
    def test_what_is_shown_is_one_printable_line(self):
        for text in ('\033[31m', 'a\nb', '\r', '\x9b1m', '\u202egpj', '\u2028', '\udcff', '\x7f', '\u200b', '\t'):
            shown = foreign.shown(text)
            self.assertTrue(shown.isprintable(), shown)
            self.assertIn('\\', shown)
        for text in ('', 'plain', 'Ärger', '日本', r'back\slash', '"[x]" | `y`'):
            self.assertEqual(foreign.shown(text), text)

    def test_in_markdown_it_means_nothing(self):
        for text in ('wall time', 'no end within the time limit at M:N', 'Figures vary: a longer run, --max-runs.'):
            self.assertEqual(foreign.in_markdown(text), text)
        for text in ('a|b', '@x', '#1', 'www.x.org', 'https://x', '<b>', '[a](b)', '*a*', 'a_b_', '&lt;', '~a~', '- a', '1. a',
                     '\\', '$x$', ':+1: /', '', '!'):
            shown = foreign.in_markdown(text)
            self.assertRegex(shown, '^`.+`$')
            self.assertNotIn('|', shown)
        self.assertEqual(foreign.code('a``b`'), '``` a``b` ```')
        self.assertEqual(foreign.code(''), '`  `')
        self.assertEqual(foreign.code('\\|\n'), r'`\\x7c\n`')


class Messages(unittest.TestCase):
    def test_options_forge_no_lines(self):
        forged = '\nmn: all is well\033[31m'
        for words in (['run', f'--frob{forged}', '--', 'true'], [f'walk{forged}'], ['top', forged], ['stacks', f'1{forged}'],
                      ['run', '--lib', forged, '--', 'true'], ['run', '--lib', stub, '--', f'/no/{forged}'],
                      ['trace', '--read', f'/no/{forged}'], ['compare', '--lib', stub, '--json', f'/no/{forged}/x', 'true'],
                      ['compare', '--lib', stub, '--also', f'procs={forged}', '--', 'true'],
                      ['ci', '--lib', stub, '--baseline', f'/no/{forged}', '--', 'true'],
                      ['compare', '--lib', stub, '--metric', f'a(.){forged}', '--', 'true'],
                      ['compare', '--lib', stub, '--server', f'"{forged}', '--load', 'true', '--wait', '1']):
            done = mn(*words)
            self.assertEqual((done.returncode != 0, done.stdout), (True, ''), words)
            self.assertEqual(done.stderr.count('\n'), 1, (words, done.stderr))
            self.assertIsNone(CONTROLS.search(done.stderr), done.stderr)

    def test_what_a_program_says_is_text(self):
        program = script('#!/bin/bash\n[ -z "$LD_PRELOAD" ] || { printf "\\033]0;x\\007%s\\n" "$1" >&2; exit 3; }\n', 'says')
        done = mn('compare', '--lib', stub, '-n', '1', '--', program, '\033[31m\u202e\n')
        self.assertEqual((done.returncode, done.stderr), (1, ''))
        self.assertIsNone(CONTROLS.search(done.stdout), done.stdout)
        self.assertIn(r'  M:N stderr: \x1b]0;x\x07\x1b[31m\u202e', done.stdout)

    LOCALES = ({}, {'LC_ALL': 'C', 'PYTHONUTF8': '0', 'PYTHONCOERCECLOCALE': '0'})

    def path(self, name, number):
        return os.path.join(folder, f'{name}{number}-').encode() + b'\xff\xc3\xa4\n'

    def test_words_that_are_no_utf_8(self):
        """Of the program, of figures and of files, in whatever mn writes; other readers of JSON, too, can read it."""
        for number, env in enumerate(self.LOCALES):
            json_file, page = self.path('json', number), self.path('page', number)
            done = mn('compare', '--lib', stub, '-n', '1', '--json', json_file, '--html', page, '--metric', b'\xff\xc3\xa4=(\\d)',
                      '--', 'echo', b'\xff\xc3\xa4=7', env=env)
            self.assertEqual((done.returncode, done.stderr), (0, ''))
            self.assertIn(r'\udcff', done.stdout)
            figures = self.read(json_file)
            word = r'\udcff' + (r'\udcc3\udca4' if env else 'ä')
            self.assertEqual(figures['command'], ['echo', f'{word}=7'])
            self.assertEqual((figures['metrics'][0]['name'], figures['runs'][0][rf'{word}=(\d)']), (rf'{word}=(\d)', 7))
            with open(page, encoding='utf-8') as file:
                self.assertIn(r'\udcff', file.read())

    def test_words_that_are_no_utf_8_in_a_pipeline(self):
        for number, env in enumerate(self.LOCALES):
            baseline, summary = self.path('baseline', number), self.path('summary', number)
            given = ('ci', '--lib', stub, '--min-runs', '7', '--max-runs', '7', '--fail-below', '0.01', '--summary', summary,
                     '--baseline', baseline)
            for more in ('--write-baseline', '--strict'):
                done = mn(*given, more, '--metric', b'\xff (\\d)', '--', 'echo', b'\xff 7', env=env)
                self.assertEqual((done.returncode, done.stderr), (0, ''), done.stdout)
                self.assertIn(r'`echo', done.stdout)
            self.assertEqual(self.read(baseline)['command'], ['echo', r'\udcff 7'])
            with open(summary, encoding='utf-8') as file:
                self.assertIn(r'\udcff 7', file.read())

    def test_words_that_are_no_utf_8_of_other_commands(self):
        for number, env in enumerate(self.LOCALES):
            for words, text in ((['run', '--lib', stub, '--', b'/no/\xff'], '/no/'), (['trace', '--read', b'/no/\xff'], '/no/'),
                                (['compare', '--lib', stub, '--also', b'\xff=1', '--', 'true'], '--also'),
                                (['run', '--lib', b'\xff', '--', 'true'], 'no such library'), ([b'\xff'], 'no such command'),
                                (['top', b'\xff'], 'PID'), (['run', b'--\xff', '--', 'true'], 'no such option'),
                                (['compare', '--lib', stub, '--server', 'a', '--load', b'\xff', '--wait', '1'], 'not found'),
                                (['compare', '--lib', stub, '--server', 'true', '--load', 'true', '--wait', b'\xff:1'],
                                 'no name of a host')):
                done = mn(*words, env=env)
                self.assertEqual((done.returncode in (125, 127), done.stdout), (True, ''), words)
                self.assertRegex(done.stderr, r'^mn: [ -~]*\n$', words)
                self.assertIn(text, done.stderr)
            trace = self.path('trace', number)
            done = mn('trace', '-o', trace, '--', sys.executable, '-c',
                      'import threading; t = threading.Thread(target=print); t.start(); t.join()', env=env)
            self.assertEqual((done.returncode, done.stderr), (0, ''))
            self.assertIn(r'\udcff', done.stdout)
            self.assertTrue(os.path.exists(trace))

    def read(self, path):
        """JSON in which no character is half of one."""
        with open(path, encoding='utf-8') as file:
            content = json.load(file)
        json.dumps(content, ensure_ascii=False).encode()
        return content


class Time(unittest.TestCase):
    def test_a_read_that_hangs_ends(self):
        text = (f'import sys, time; sys.path.insert(0, {os.path.join(ROOT, "scripts")!r})\n'
                'from mnlib.commands import common\n'
                'with common.bounded(0.5, "process 1: \\n it"): time.sleep(1000)')
        done = subprocess.run([sys.executable, '-c', text], text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              timeout=60, check=False)
        self.assertEqual((done.returncode, done.stdout, done.stderr),
                         (125, '', 'mn: process 1: \\n it, for more than 0.5 s\n'))


class Parsers(unittest.TestCase):
    def test_mutated_and_random_input(self):
        done = subprocess.run([sys.executable, FUZZ, '--cases', '300'], text=True, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, check=False)
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertRegex(done.stdout, r'^1\d\d\d passed, 0 failed\n$')

    def test_odd_values_in_each_place(self):
        done = subprocess.run([sys.executable, FUZZ, '--places'], text=True, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, check=False)
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertRegex(done.stdout, r'^[23]\d\d\d passed, 0 failed\n$')


if __name__ == '__main__':
    unittest.main()
