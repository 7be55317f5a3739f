# SPDX-License-Identifier: Apache-2.0
"""Every command with odd inputs, odd streams and an end in the middle: one line that says what is wrong, and never a
traceback."""

import os
import re
import signal
import struct
import subprocess
import sys
import time
import unittest

from mn_stub import MN, ROOT, build, environment, folder, mn, script, stub

DEMO = os.path.join(ROOT, 'scripts', 'mnlib', 'demo.py')
SECONDS = 60
RUNNING = ('run', 'compare', 'ci', 'trace')
FAILED = {'ci': 2}    # of mn itself; of the others' 125
LONG = '9' * 5000     # more digits than Python makes a number of


class Odd(unittest.TestCase):
    def refused(self, text, *words, status=None, **options):
        done = mn(*words, **options)
        status = status or FAILED.get(words[0], 125)
        self.assertEqual((done.returncode, done.stdout), (status, ''), (words, done.stderr))
        self.assertRegex(done.stderr, r'^mn: [^\n]+\n$', words)
        self.assertIn(text, done.stderr)


class Inputs(Odd):
    def test_programs(self):
        plain, bare = script('#!/bin/sh\n', 'odd-plain'), script('echo\n', 'odd-bare')
        os.chmod(plain, 0o644)
        for program, text, status in (('', 'the command is empty', 127), ('no-such', 'not found', 127), ('/', 'a directory', 126),
                                      (plain, 'not executable', 126), (bare, 'nor a script with a #! line', 126),
                                      ('/etc/passwd/x', 'not found', 127), ('x' * 5000, 'not found', 127)):
            for command in RUNNING:
                self.refused(text, command, '--lib', stub, '--', program, status=FAILED.get(command, status))

    def test_programs_with_odd_headers(self):
        path = build('int main(void) { return 0; }', 'odd-elf')
        with open(path, 'rb') as file:
            sound = file.read()
        table, = struct.unpack_from('<Q', sound, 32)
        size, count = struct.unpack_from('<HH', sound, 54)
        interpreter = next(at for at in range(table, table + size * count, size) if sound[at:at + 4] == b'\3\0\0\0')
        for field in (8, 32):    # where the loader's name is, and how long
            with open(path, 'r+b') as file:
                file.write(sound)
                file.seek(interpreter + field)
                file.write(b'\xff' * 8)
            done = mn('run', '--lib', stub, '--', path)
            self.assertRegex(done.stderr, r'^(mn: [^\n]+\n)?$')
            self.assertNotIn('Traceback', done.stderr)

    def test_names_of_files(self):
        for words in (('run', '--lib'), ('compare', '--json'), ('compare', '--html'), ('ci', '--baseline'), ('ci', '--summary'),
                      ('trace', '-o')):
            self.refused("'' names no file", *words, '', '--', 'true')
        self.refused("'' names no file", 'trace', '--read', '')
        self.refused('no such library', 'run', '--lib', folder, '--', 'true')
        self.refused('not a shared library', 'run', '--lib', '/etc/passwd', '--', 'true')
        self.refused('Input/output error', 'run', '--lib', '/proc/self/mem', '--', 'true')
        self.refused('--read goes with no COMMAND', 'trace', '--read', '/etc/passwd', 'true')
        self.refused('/etc/passwd is not a trace', 'trace', '--read', '/etc/passwd')

    def test_numbers(self):
        for number in ('', '-1', '1.5', 'x', '\u00b2', '\u0663', '1_0', ' 1', '1\n', LONG):
            for words in (('run', f'--procs={number}', '--', 'true'), ('compare', f'-n={number}', '--', 'true'),
                          ('ci', f'--min-runs={number}', '--', 'true'), ('stacks', f'--timeout={number}', '1')):
                self.refused('is not a number from', *words)
        for number in ('', 'nan', 'inf', '0', 'x', LONG):
            self.refused('is not a number of seconds', 'top', '-d', number, '1')
            self.refused('is not a ratio', 'ci', '--fail-below', number, '--', 'true')
        for number in ('', '0', 'x', '\u00b2', LONG):
            self.refused('PID', 'top', number)
            self.refused('PID', 'stacks', number)

    def test_servers(self):
        for server, load, wait, text in (('', 'true', '1', '--server: the command is empty'), ('true', '', '1', '--load: the '),
                                         ('true', 'true', '', 'neither PORT'), ('true', 'true', '\u00b2', 'neither PORT'),
                                         ('true', 'true', LONG, 'neither PORT'), ('true', 'true', '65536', 'neither PORT'),
                                         ('true', 'true', 'a..b:1', 'no name of a host'), ('/', 'true', '1', 'a directory'),
                                         ('true', 'no-such', '1', 'not found'),
                                         ('true', 'true', '/' + 'x' * 200, "a socket's path has 107 bytes at most")):
            for command in ('compare', 'ci'):
                done = mn(command, '--lib', stub, '--server', server, '--load', load, '--wait', wait)
                self.assertEqual((done.returncode in (2, 125, 126, 127), done.stdout), (True, ''), done.stderr)
                self.assertRegex(done.stderr, r'^mn: [^\n]+\n$')
                self.assertIn(text, done.stderr)

    def test_a_folder_that_is_gone(self):
        gone = "import os, sys; os.mkdir(sys.argv[1]); os.chdir(sys.argv[1]); os.rmdir(sys.argv[1]); os.execv(sys.argv[2], sys.argv[2:])"
        for words, status, text in (('run --lib build/libmn.so -- true', 125, 'the current folder is not there'),
                                    ('trace -- true', 125, 'the current folder is not there'),
                                    (f'run --lib {stub} -- true', 0, ''), ('compare -n 1 --json x -- true', 125, 'cannot be written'),
                                    ('run -- ./true', 127, 'not found')):
            done = subprocess.run([sys.executable, '-c', gone, os.path.join(folder, 'gone'), sys.executable, MN, *words.split()],
                                  env=environment(), text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
            self.assertEqual((done.returncode, done.stdout), (status, ''), done.stderr)
            self.assertRegex(done.stderr, r'^mn: [^\n]+\n$' if status else '^$')
            self.assertIn(text, done.stderr)

    def test_the_demo(self):
        for words, text in ((['--frob'], "'--frob': no such option"), (['--seconds', 'nan'], 'is not a number'),
                            (['--lib', '/no/libmn.so'], 'no such library'), (['--lib', ''], 'names no file'),
                            (['--secs', '3'], 'no such option'), (['x'], 'too many')):
            done = subprocess.run([sys.executable, DEMO, *words], text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                  check=False, env=environment())
            self.assertEqual((done.returncode, done.stdout), (2, ''), done.stderr)
            self.assertRegex(done.stderr, r'^demo: [^\n]+\n$')
            self.assertIn(text, done.stderr)


class Streams(Odd):
    COMMANDS = ('--help', 'help', '--version', 'compare -n 1 -- true', 'ci --min-runs 7 --max-runs 7 --fail-below 0.01 -- true',
                'trace -- true', 'trace --read TRACE', 'walk', 'top 1', 'stacks 1')

    def shell(self, words, redirection):
        words = words.replace(' -- ', f' --lib {stub} -- ').replace('TRACE', self.trace)
        return subprocess.run(['sh', '-c', f'exec "$0" "$@" {redirection}', sys.executable, MN, *words.split()], check=False,
                              env=environment(), text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, timeout=SECONDS)

    def setUp(self):
        self.trace = os.path.join(folder, 'odd-trace.json')
        with open(self.trace, 'w') as file:
            file.write('[{"ph":"M"}\n]\n')

    def test_output_that_cannot_be_written(self):
        for words in self.COMMANDS:
            for redirection, why in (('>/dev/full', 'No space left on device'), ('>&-', 'Bad file descriptor')):
                done = self.shell(words, redirection)
                self.assertIn(done.returncode, (2, 125), words)
                self.assertRegex(done.stderr, r'^mn: [^\n]+\n$', (words, redirection))
                if not words.startswith(('walk', 'top', 'stacks')):
                    self.assertIn(why, done.stderr, words)

    def test_errors_that_cannot_be_written(self):
        for words in self.COMMANDS:
            for redirection in ('2>/dev/full', '2>&-', '<&- 2>&-', '<&-', '<&- >&- 2>&-'):
                done = self.shell(words, redirection)
                wrong = words.startswith(('walk', 'top', 'stacks')) or ' >&-' in redirection
                self.assertIn(done.returncode, (2, 125) if wrong else (0,), (words, redirection, done.stderr))
                self.assertNotIn('Traceback', done.stdout + done.stderr)

    def test_a_program_has_the_streams_that_mn_has(self):
        text = 'for n in 0 1 2; do [ -e /proc/$$/fd/$n ] && echo $n >>"$0"; done; true'
        for redirection, left in (('<&-', '1\n2\n'), ('>&-', '0\n2\n'), ('2>&-', '0\n1\n')):
            seen = os.path.join(folder, 'streams')
            subprocess.run(['sh', '-c', f'exec "$0" "$@" {redirection}', sys.executable, MN, 'run', '--lib', stub, '--', 'sh', '-c',
                            text, seen], check=True, env=environment(), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
            with open(seen) as file:
                self.assertEqual(file.read(), left, redirection)
            os.unlink(seen)

    def test_a_reader_that_leaves(self):
        for words in ('--help', 'compare --help', 'compare -n 1 -- true', 'trace --read TRACE'):
            reader, writer = os.pipe()
            os.close(reader)
            words = words.replace(' -- ', f' --lib {stub} -- ').replace('TRACE', self.trace)
            done = mn(*words.split(), stdout=writer)
            os.close(writer)
            self.assertEqual((done.returncode, done.stderr), (1, ''), words)


class Interrupted(Odd):
    def test_while_modules_are_read(self):
        place = os.path.join(folder, 'late')
        os.mkdir(place)
        with open(os.path.join(place, 'difflib.py'), 'w') as file:
            file.write('import os, signal, time\nos.kill(os.getpid(), signal.SIGINT)\ntime.sleep(60)\n')
        done = mn('--help', env={'PYTHONPATH': place})
        self.assertEqual((done.returncode, done.stdout, done.stderr), (-signal.SIGINT, '', ''))

    def begun(self, *words):
        """mn, once the program that it runs has begun; what it is to say then."""
        mark = os.path.join(folder, f'begun-{len(os.listdir(folder))}')
        child = subprocess.Popen([sys.executable, MN, *words, '--lib', stub, '--', 'bash', '-c',
                                  f'echo $$ >{mark}.new; mv {mark}.new {mark}; exec sleep 1000'], env=environment(),
                                 stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=folder)
        deadline = time.monotonic() + SECONDS
        while not os.path.exists(mark):
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.01)
        with open(mark) as file:
            return child, int(file.read())

    def test_in_the_middle(self):
        for words, number, status in ((['ci'], signal.SIGINT, 130), (['ci'], signal.SIGTERM, 143),
                                      (['compare'], signal.SIGHUP, 129), (['run'], signal.SIGTERM, -signal.SIGTERM),
                                      (['trace', '--force'], signal.SIGTERM, 143), (['trace', '--force'], signal.SIGHUP, 129)):
            child, program = self.begun(*words)
            child.send_signal(number)
            out, err = child.communicate(timeout=SECONDS)
            self.assertEqual(child.returncode, status, (words, out, err))
            self.assertTrue(re.fullmatch(r'(mn: [^\n]+\n)?', err), err)
            deadline = time.monotonic() + SECONDS
            while os.path.exists(f'/proc/{program}'):
                self.assertLess(time.monotonic(), deadline, f'{words}: the program goes on')
                time.sleep(0.01)


if __name__ == '__main__':
    unittest.main()
