# SPDX-License-Identifier: Apache-2.0
"""make install and make uninstall: what is installed works stripped, and goes away without a trace."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

from mn_stub import ROOT, environment
from observed import SECONDS, Program

INSTALL = os.path.join(ROOT, 'scripts', 'install.py')
THREADS = 'import threading\nfor _ in range(9): threading.Thread(target=print, args=("x\\n",), kwargs={"end": ""}).start()'


def run(*command, **extra):
    return subprocess.run(command, env=environment(extra), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, check=False, timeout=2 * SECONDS)


def make(target, **variables):
    done = subprocess.run(['make', '-s', '-C', ROOT, target, *(f'{name}={value}' for name, value in variables.items())],
                          env={key: value for key, value in os.environ.items() if not key.startswith(('MAKE', 'MFLAGS'))},
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          check=False)
    return done.returncode, done.stdout


def tree(folder):
    """All paths below, folders with a slash."""
    return {os.path.relpath(os.path.join(place, name), folder) + slash for place, folders, files in os.walk(folder)
            for names, slash in ((folders, '/'), (files, '')) for name in names}


class Temporary(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix='mn-install-')
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def at(self, *path):
        return os.path.join(self.folder, *path)


class Make(Temporary):
    """One installation for each test: none takes two seconds."""

    def install(self, **variables):
        self.assertEqual(make('install', **variables), (0, ''))

    def test_what_is_installed_works_where_it_is(self):
        self.install(PREFIX=self.at('usr'))
        mn, library = self.at('usr/bin/mn'), self.at('usr/lib/libmn.so')
        self.assertRegex(run(mn, '--version').stdout, r'^mn \d')
        done = run(mn, 'run', '--stats', '--', sys.executable, '-c', THREADS)
        self.assertEqual((done.returncode, done.stdout), (0, 'x\n' * 9))
        self.assertRegex(done.stderr, r'^libmn: stats: mode=mn .* gs=9 ')
        for name in ('mn.1', 'mn-compare.1'):
            self.assertTrue(os.path.isfile(self.at('usr/share/man/man1', name)), name)
        for place in ('bash-completion/completions/mn', 'zsh/site-functions/_mn', 'fish/vendor_completions.d/mn.fish'):
            self.assertTrue(os.path.isfile(self.at('usr/share', place)), place)
        with Program('looked_at', 'wait', '10', lib=library) as program:
            stacks = run(mn, 'stacks', str(program.ready().child.pid))
            self.assertEqual(stacks.stderr, '')
            self.assertRegex(stacks.stdout, r'(?s)10 threads: waiting for mutex .*wait_for_mutex\+0x')

    def test_the_library_is_stripped_and_gdb_finds_what_is_missing(self):
        self.install(PREFIX=self.at('usr'))
        library = self.at('usr/lib/libmn.so')
        self.assertLess(os.path.getsize(library), 1 << 20)
        self.assertNotIn('.symtab', run('readelf', '-SW', library).stdout)
        ids = [re.search(r'Build ID: (\w+)', run('readelf', '-nW', path).stdout)[1]
               for path in (library, self.at('usr/lib/.debug/libmn.so.debug'), os.path.join(ROOT, 'build', 'libmn.so'))]
        self.assertEqual(len(set(ids)), 1)
        if not shutil.which('gdb'):
            self.skipTest('for want of gdb')
        with Program('every_wait', lib=library) as program:
            done = run('gdb', '-q', '-nx', '-batch', '-iex', 'set debuginfod enabled off', '-iex',
                       f'add-auto-load-safe-path {self.at("usr/lib")}', '-p', str(program.ready().child.pid),
                       '-ex', 'info gs', '-ex', 'ptype mn::sched')
        self.assertRegex(done.stdout, r'(?m)^ +2  waiting +mutex .* wait_for_mutex$')
        self.assertIn('nprocs', done.stdout)

    def test_nothing_is_left(self):
        # Folders that are there stay, empty or not.
        os.makedirs(self.at('usr/local/bin'))
        os.makedirs(self.at('usr/local/share/man/man1'))
        with open(self.at('usr/local/share/man/man1/other.1'), 'w', encoding='ascii'):
            pass
        before = tree(self.folder)
        self.install(DESTDIR=self.folder)
        self.assertGreater(len(tree(self.folder)), len(before) + 40)
        run(self.at('usr/local/bin/mn'), '--help', PYTHONDONTWRITEBYTECODE='')
        self.assertTrue(any('__pycache__' in path for path in tree(self.folder)))
        self.install(DESTDIR=self.folder)
        self.assertEqual(make('uninstall', DESTDIR=self.folder), (0, ''))
        self.assertEqual(tree(self.folder), before)
        status, said = make('uninstall', DESTDIR=self.folder)
        self.assertNotEqual(status, 0)
        self.assertRegex(said, r'^install: nothing is installed here: ')

    def test_gdb_of_the_distribution_reads_the_script_by_itself(self):
        folder = 'usr/lib/x86_64-linux-gnu'
        self.install(DESTDIR=self.folder, PREFIX='/usr', LIBDIR=f'/{folder}', STRIP='no')
        self.assertTrue(os.path.isfile(self.at('usr/share/gdb/auto-load', folder, 'libmn.so-gdb.py')))
        self.assertIn('.symtab', run('readelf', '-SW', self.at(folder, 'libmn.so')).stdout)
        self.assertFalse(os.path.exists(self.at(folder, '.debug')))
        done = run(self.at('usr/bin/mn'), 'run', '--', 'sh', '-c', 'echo $LD_PRELOAD')
        self.assertEqual(done.stdout, self.at(folder, 'libmn.so') + '\n')


class Script(Temporary):
    """scripts/install.py by itself."""

    def install(self, *lines, action='install'):
        text = ''.join(f'{line}\n' for line in lines)
        return subprocess.run([sys.executable, INSTALL, action, '--destdir', self.folder, '/a/list'], input=text,
                              text=True, check=False, stderr=subprocess.PIPE)

    def test_what_a_newer_version_lacks_goes_away(self):
        one = self.install(f'644 {INSTALL} /a/b/one', f'755 {INSTALL} /a/two')
        self.assertEqual((one.returncode, one.stderr), (0, ''))
        self.assertEqual(os.stat(self.at('a/two')).st_mode & 0o777, 0o755)
        self.assertEqual(tree(self.folder), {'a/', 'a/b/', 'a/b/one', 'a/list', 'a/two'})
        self.assertEqual(self.install(f'644 {INSTALL} /a/two').returncode, 0)
        self.assertEqual(tree(self.folder), {'a/', 'a/list', 'a/two'})
        self.assertEqual(self.install(action='uninstall').returncode, 0)
        self.assertEqual(tree(self.folder), set())

    def test_what_others_put_there_stays(self):
        self.install(f'644 {INSTALL} /a/b/one')
        os.mkdir(self.at('a/b/__pycache__'))
        with open(self.at('a/other'), 'w', encoding='ascii'):
            pass
        self.assertEqual(self.install(action='uninstall').returncode, 0)
        self.assertEqual(tree(self.folder), {'a/', 'a/other'})

    def test_bad_input_is_one_line(self):
        os.mkdir(self.at('d'))
        for line, text in (('644 x', 'not of the form'), ('644 /no/file /a/b', '/no/file'), (f'644 {INSTALL} /d', '/d')):
            done = self.install(line)
            self.assertEqual((done.returncode, done.stderr.count('\n')), (1, 1), done.stderr)
            self.assertIn(text, done.stderr)
        self.assertEqual(tree(self.folder), {'a/', 'a/list', 'd/'})
        self.assertEqual(self.install(action='uninstall').returncode, 0)
        self.assertEqual(tree(self.folder), {'d/'})


if __name__ == '__main__':
    unittest.main()
