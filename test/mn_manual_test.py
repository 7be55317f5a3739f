# SPDX-License-Identifier: Apache-2.0
"""The manual pages and completions say what mn --help and MN_HELP=1 say, and can be read."""

import os
import pty
import re
import select
import shutil
import signal
import subprocess
import sys
import time
import unittest

from mn_stub import ROOT, environment, folder, mn, script

LIBRARY = os.path.join(ROOT, 'build', 'libmn.so')
MADE = os.path.join(folder, 'manual')
PAGES = ('mn', 'mn-run', 'mn-compare', 'mn-ci', 'mn-trace', 'mn-top', 'mn-stacks', 'mn-help')


def output_of(*command, **extra):
    done = subprocess.run(command, env=environment(extra), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          stdin=subprocess.DEVNULL, text=True, check=False)
    return done.stdout


def text_of(path):
    with open(os.path.join(MADE, path), encoding='ascii') as file:
        return file.read()


def pages():
    return [*(f'man1/{name}.1' for name in PAGES), 'man7/libmn.7']


def options_of(page):
    """What --help lists: names that begin a line."""
    text = mn(*page.split('-')[1:], '--help').stdout
    return set(re.findall(r'^  (-\w)\b', text, re.M) + re.findall(r'^  (?:-\w, )?(--[\w-]+)', text, re.M))


def setUpModule():
    subprocess.run([sys.executable, os.path.join(ROOT, 'scripts', 'manual'), LIBRARY, MADE], check=True)


def wants(program):
    return unittest.skipUnless(shutil.which(program), f'for want of {program}')


def zsh(line, wanted):
    """What a terminal shows once Tab is pressed at the end of a line."""
    child, terminal = pty.fork()
    if child == 0:
        os.execvpe('zsh', ['zsh', '-f', '-i'], environment({'TERM': 'dumb', 'PATH': f'{folder}:{os.environ["PATH"]}'}))
    try:
        os.write(terminal, f'fpath=({MADE}/zsh $fpath); autoload -U compinit; compinit -u -D; print READ""Y\n'.encode())
        until(terminal, 'READY')
        os.write(terminal, f'{line}\t'.encode())
        return until(terminal, wanted)
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(terminal)


def until(terminal, wanted):
    """What is written until it has `wanted`, or for a minute."""
    text, deadline = '', time.monotonic() + 60
    while wanted not in text and select.select([terminal], [], [], max(0, deadline - time.monotonic()))[0]:
        text += os.read(terminal, 4096).decode(errors='replace')
    return text


class Pages(unittest.TestCase):
    def test_there_is_one_for_each_command(self):
        commands = re.search(r'\[--version\] (\S+)', mn('--help').stdout)[1]
        self.assertEqual(['mn', *(f'mn-{name}' for name in commands.split('|'))], list(PAGES))

    def test_they_have_every_option(self):
        for page in PAGES:
            text = text_of(f'man1/{page}.1').replace('\\-', '-')
            self.assertGreaterEqual(len(options_of(page)), 2, page)
            for option in options_of(page):
                self.assertRegex(text, rf'\.TP\n[^\n]*\\fB{option}\\fR', page)

    def test_libmn_has_every_variable(self):
        said = output_of('true', LD_PRELOAD=LIBRARY, MN_HELP='1')
        names = re.findall(r'^libmn: (MN_\w+):', said, re.M)
        self.assertGreater(len(names), 10)
        for name in names:
            self.assertIn(f'.TP\n\\fB{name}\\fR\n', text_of('man7/libmn.7'))

    def test_libmn_has_the_limits_of_the_readme(self):
        with open(os.path.join(ROOT, 'README.md'), encoding='utf-8') as file:
            listed = re.search(r'^## What does not work\n(.*?)^## ', file.read(), re.M | re.S)[1]
        limits = text_of('man7/libmn.7').partition('.SH LIMITS')[2].partition('.SH')[0]
        self.assertEqual(limits.count('.IP'), len(re.findall(r'^- ', listed, re.M)))

    @wants('man')
    def test_man_has_no_warnings(self):
        for page in pages():
            done = subprocess.run(['man', '--warnings', '-l', os.path.join(MADE, page)], stdout=subprocess.DEVNULL,
                                  stderr=subprocess.PIPE, text=True, check=True, env=environment({'MANWIDTH': '100'}))
            self.assertEqual(done.stderr, '', page)

    @wants('mandoc')
    def test_mandoc_has_no_warnings(self):
        for page in pages():
            self.assertEqual(output_of('mandoc', '-T', 'lint', '-W', 'warning', os.path.join(MADE, page)), '')

    def test_bad_input_is_one_line(self):
        for arguments, text in (([], 'say: '), (['/no/libmn.so', MADE], 'does not list'),
                                ([LIBRARY, '/proc/none'], '/proc/none')):
            done = subprocess.run([sys.executable, os.path.join(ROOT, 'scripts', 'manual'), *arguments], check=False,
                                  stderr=subprocess.PIPE, text=True)
            self.assertEqual((done.returncode, done.stderr.count('\n')), (1, 1), done.stderr)
            self.assertIn(text, done.stderr)


class Completions(unittest.TestCase):
    def bash(self, line, before=''):
        """What bash completes at the end of a line."""
        words = ' '.join(f"'{word}'" for word in line.split(' '))
        return set(output_of('bash', '--norc', '-c', f'compopt() {{ :; }}; {before} source {MADE}/bash/mn; '
                             f'COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); _mn; '
                             'printf "%s\\n" "${COMPREPLY[@]}"').split())

    def test_bash_has_every_option(self):
        for page in PAGES:
            line = ' '.join([*page.split('-'), '-'])
            self.assertEqual(self.bash(line), options_of(page))

    def test_bash_knows_commands_and_values(self):
        self.assertIn('compare', self.bash('mn '))
        self.assertEqual(self.bash('mn st'), {'stacks'})
        self.assertEqual(self.bash('mn help st'), {'stacks'})
        self.assertIn(str(os.getpid()), self.bash('mn top '))
        self.assertIn(str(os.getpid()), self.bash('mn stacks --timeout 3 '))
        for line in ('mn run --lib /etc/passw', 'mn run --lib = /etc/passw', 'mn compare --html /etc/passw'):
            self.assertIn('/etc/passwd', self.bash(line))
        self.assertEqual(self.bash('mn run --procs '), set())
        self.assertEqual(self.bash('mn walk '), set())

    def test_bash_completes_the_program(self):
        for line in ('mn run pyth', 'mn run -- pyth', 'mn run --procs 3 pyth', 'mn compare --server pyth'):
            self.assertIn('python3', self.bash(line))
        self.assertIn('/etc/passwd', self.bash('mn run -- python3 /etc/passw'))
        offset = '_command_offset() { COMPREPLY=("at$1"); };'
        for line, at in (('mn run -- a -', 3), ('mn run --stats a ', 3), ('mn ci --lib x -- a', 5), ('mn trace ', 2)):
            self.assertEqual(self.bash(line, offset), {f'at{at}'}, line)

    def test_zsh_has_every_option(self):
        text = text_of('zsh/_mn')
        for page in PAGES:
            part = text if page == 'mn' else re.search(rf' {page[3:]}\) _arguments .*?;;\n', text, re.S)[0]
            for option in options_of(page):
                self.assertRegex(part, rf"'\*?{option}\[", page)

    @wants('zsh')
    def test_zsh_can_read_it(self):
        self.assertEqual(output_of('zsh', '-n', f'{MADE}/zsh/_mn'), '')

    @wants('zsh')
    def test_zsh_completes(self):
        script('#!/bin/sh\n', 'unmistakable')
        for line, completed in (('mn st', 'mn stacks'), ('mn help st', 'help stacks'), ('mn stacks --r', '--raw'), ('mn run --lib /etc/hostn', '/etc/hostname'),
                                ('mn run -- unmist', 'unmistakable'), ('mn run --stats unmist', 'unmistakable'),
                                ('mn trace -- cat /etc/hostn', '/etc/hostname')):
            self.assertIn(completed, zsh(line, completed))

    def test_fish_has_every_option(self):
        text = text_of('fish/mn.fish')
        for page in PAGES:
            condition = '__mn_no_command' if page == 'mn' else f"'__mn_command {page[3:]}'"
            lines = '\n'.join(re.findall(rf'^complete -c mn -n {condition} .*', text, re.M))
            for option in options_of(page):
                self.assertRegex(lines, rf' -l {option[2:]} ' if option[1] == '-' else rf' -s {option[1:]} ')

    @wants('fish')
    def test_fish_completes(self):
        def fish(line):
            done = output_of('fish', '-c', f"source {MADE}/fish/mn.fish; complete -C'{line}'", HOME=folder)
            return {each.partition('\t')[0] for each in done.splitlines()}
        self.assertEqual(fish('mn st'), {'stacks'})
        self.assertEqual(fish('mn help st'), {'stacks'})
        self.assertEqual(fish('mn stacks --'), {'--help', '--raw', '--timeout'})
        for line in ('mn run pyth', 'mn run -- pyth', 'mn run --procs 3 -- pyth'):
            self.assertIn('python3', fish(line))
        self.assertIn('/etc/passwd', fish('mn compare --html /etc/passw'))
        self.assertIn('/etc/passwd', fish('mn compare -- cat /etc/passw'))


if __name__ == '__main__':
    unittest.main()
