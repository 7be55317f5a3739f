# SPDX-License-Identifier: Apache-2.0
"""Tests how mn reads what it is asked: help, words that it does not know, and what it makes of odd ones."""

import os
import re
import unittest

from mn_stub import ROOT, mn, stub
from mnlib import meant
from mnlib.commands import whole


class Asked(unittest.TestCase):
    def said(self, *words, **options):
        done = mn(*words, **options)
        self.assertEqual((done.returncode, done.stderr), (0, ''), words)
        return done.stdout

    def refused(self, text, *words, status=125, **options):
        """One line, and nothing else."""
        done = mn(*words, **options)
        self.assertEqual((done.returncode, done.stdout), (status, ''), (words, done.stderr))
        self.assertRegex(done.stderr, r'^mn: [^\n]+\n$', words)
        self.assertIn(text, done.stderr)


class Help(Asked):
    def test_help(self):
        self.assertEqual(self.said('help'), self.said('--help'))
        self.assertEqual(self.said(), self.said('--help'))
        for command in whole.ALL:
            self.assertEqual(self.said('help', command.NAME), self.said(command.NAME, '--help'))
            self.assertIn(command.HELP, ' '.join(self.said('help').split()))

    def test_version(self):
        self.assertEqual(self.said('--version'), f'mn {whole.VERSION}\n')

    def test_of_what_is_no_command(self):
        self.refused("'comprae': no such command; did you mean compare?", 'help', 'comprae')
        self.refused("'walk': no such command: there are run, compare, ci, trace, top, stacks, help (", 'help', 'walk')
        self.refused("'run': an argument too many", 'help', 'top', 'run')


class Meant(Asked):
    def test_commands(self):
        for word, command in (('comprae', 'compare'), ('Run', 'run'), ('stack', 'stacks'), ('com', 'compare'), ('hlep', 'help')):
            self.refused(f'{word!r}: no such command; did you mean {command}? (see mn --help)', word)
        self.refused("'': no such command: there are run, ", '')

    def test_options(self):
        for command, word, option in (('compare', '--jsn', '--json'), ('compare', '--metrics', '--metric'),
                                      ('run', '--prcos=3', '--procs'), ('ci', '--failbelow', '--fail-below'),
                                      ('top', '--onec', '--once')):
            status = 2 if command == 'ci' else 125
            self.refused(f'{word.partition("=")[0]!r}: no such option; did you mean {option}? (see mn {command} --help)',
                         command, word, '1', status=status)
        self.refused("'--verison': no such option; did you mean --version? (see mn --help)", '--verison')
        self.refused("'--frob': no such option (see mn run --help)", 'run', '--frob', '--', 'true')
        self.refused("'-x': no such option (see mn stacks --help)", 'stacks', '-x', '1')
        self.refused("'2': an argument too many", 'top', '1', '2')

    def test_variants(self):
        given = ('compare', '--lib', stub, '--also')
        self.refused('libmn has no option MN_PROC; did you mean procs?', *given, 'proc=1', 'true')
        self.refused('libmn has no option MN_FROB; it has procs, mode', *given, 'frob=1', 'true')

    def test_no_abbreviations(self):
        for command, word, option in (('compare', '--js', '--json'), ('run', '--stat', '--stats'), ('top', '--on', '--once')):
            self.refused(f'did you mean {option}?', command, word, '1')

    def test_no_tool_has_abbreviations(self):
        parsers = 0
        for path in (os.path.join(place, name) for top in ('scripts', 'test', 'bench')
                     for place, _, names in os.walk(os.path.join(ROOT, top)) for name in names):
            with open(path, errors='replace') as file:
                text = file.read()
            for begin in re.finditer(r'(?<!class Parser\()argparse\.ArgumentParser\(', text):
                parsers += 1
                self.assertIn('allow_abbrev=False', text[begin.end():begin.end() + 120], path)
        self.assertGreater(parsers, 10)

    def test_nearest(self):
        known = ['MN_PROCS', 'MN_PROGRAMS', 'MN_MODE']
        for word, found in (('MN_PROC', 'MN_PROCS'), ('MN_PROGS', 'MN_PROCS'), ('MN_PROG', 'MN_PROGRAMS'), ('MN_X', None),
                            ('', None), ('MN_MOD', 'MN_MODE')):
            self.assertEqual(meant.nearest(word, known), found, word)


if __name__ == '__main__':
    unittest.main()
