# SPDX-License-Identifier: Apache-2.0
"""Tests how mn reads what it is asked: help, words that it does not know, and what it makes of odd ones."""

import os
import re
import unittest

from mn_stub import ROOT, build, mn, stub
from mnlib import meant, settings
from mnlib.commands import whole


LIBRARY = os.path.join(ROOT, 'build', 'libmn.so')


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


class Settings(Asked):
    """The MN_ variables of whoever starts mn."""

    COMMANDS = (('run',), ('compare', '-n', '1'), ('ci', '--min-runs', '7', '--max-runs', '7', '--fail-below', '0.01'), ('trace',))

    def test_one_that_is_not_known_is_said_once(self):
        for command in self.COMMANDS:
            done = mn(*command, '--lib', stub, '--', 'bash', '-c', 'true; true', env={'MN_PROC': '2', 'MN_MODE': 'mn'})
            self.assertEqual((done.returncode, done.stderr),
                             (0, 'mn: MN_PROC=2: libmn has no such option, and ignores it; did you mean MN_PROCS?\n'), command)
        done = mn('run', '--lib', stub, '--', 'true', env={'MN_X\n': '\033', 'MN_procs': '3'})
        self.assertEqual(done.stderr, 'mn: MN_X\\n=\\x1b: libmn has no such option, and ignores it\n'
                         'mn: MN_procs=3: libmn has no such option, and ignores it; did you mean MN_PROCS?\n')

    def test_the_names_are_libmns(self):
        for env in ({'MN_DEADLOK': '1'}, {'MN_DEADLOK': '1', 'MN_PROGRAMS': 'another'}):
            done = mn('run', '--lib', LIBRARY, '--', 'true', env=env)
            self.assertEqual((done.returncode, done.stderr), (0, 'mn: MN_DEADLOK=1: libmn has no such option, and ignores it; '
                                                              'did you mean MN_DEADLOCK?\n'))
        every = {name: '1' for name in settings.names(LIBRARY)}
        self.assertGreater(len(every), 10)
        os_environ, os.environ = os.environ, every
        try:
            self.assertEqual(settings.unknown(LIBRARY), [])
        finally:
            os.environ = os_environ

    def test_a_library_that_lists_none_is_let_be(self):
        idle = build('int unused;', 'idle.so', '-shared', '-fPIC')
        self.said('run', '--lib', idle, '--', 'true', env={'MN_PROC': '2'})

    def test_a_bad_value_is_said_before_anything_runs(self):
        for command in self.COMMANDS:
            self.refused("mn: MN_PROCS='none' is not valid: it must be a number", *command, '--lib', stub, '--', 'sh', '-c', 'echo',
                         env={'MN_PROCS': 'none'}, status=2 if command[0] == 'ci' else 125)
        self.said('run', '--lib', stub, '--procs', '3', '--', 'true', env={'MN_PROCS': 'none'})

    def test_what_leaves_nothing_to_compare(self):
        for command, status in (('compare', 125), ('ci', 2)):
            self.refused('MN_MODE=1:1 leaves threads to libc: there is no M:N to measure; unset it', command, '--lib', stub,
                         '--', 'true', env={'MN_MODE': '1:1'}, status=status)


if __name__ == '__main__':
    unittest.main()
