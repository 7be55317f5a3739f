# SPDX-License-Identifier: Apache-2.0
"""Tests which files mn writes and reads, by a stub of libmn.so: none that exists is written over unasked, no dangling link
is followed, a directory and a device are refused in a line."""

import os
import tempfile
import unittest

from mn_stub import mn, stub

TRACE = (b'[{"ph":"M","pid":1,"tid":0,"ts":0,"name":"process_name","args":{"name":"x"}},\n'
         b'{"ph":"X","pid":1,"tid":1,"ts":1.0,"dur":2.0,"name":"thread 1","cat":"thread",'
         b'"args":{"name":"n","end":"yields"}},\n')


class Files(unittest.TestCase):
    def setUp(self):
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.folder = temporary.name
        self.file, self.link = self.path('file'), self.path('link')

    def path(self, name):
        return os.path.join(self.folder, name)

    def write(self, content=b'mine', path=None):
        with open(path or self.file, 'wb') as file:
            file.write(content)

    def content(self, path=None):
        with open(path or self.file, 'rb') as file:
            return file.read()

    def refused(self, text, *words, status=125):
        done = mn(*words, cwd=self.folder)
        self.assertEqual((done.returncode, done.stdout), (status, ''), (words, done.stderr))
        self.assertRegex(done.stderr, r'^mn: [^\n]*\n$')
        self.assertIn(text, done.stderr, words)

    def went_well(self, *words):
        done = mn(*words, cwd=self.folder)
        self.assertEqual((done.returncode, done.stderr), (0, ''), words)
        return done.stdout

    @staticmethod
    def writers():
        """Words that have mn write the file that comes in the middle, and its status where it refuses."""
        compare = 'compare', '--lib', stub, '-n', '1'
        yield (*compare, '--json'), 125
        yield (*compare, '--html'), 125
        yield ('trace', '--lib', stub, '-o'), 125
        yield ('ci', '--lib', stub, '--min-runs', '7', '--max-runs', '7', '--update', '--baseline'), 2


class Writing(Files):
    def test_what_exists_stays_without_force(self):
        self.write()
        for words, status in self.writers():
            if '--update' not in words:
                self.refused(f'{self.file}: ' if 'trace' in words else 'cannot be written: exists; --force', *words,
                             self.file, '--', 'true', status=status)
        self.assertEqual(self.content(), b'mine')

    def test_the_default_file_of_traces_is_no_exception(self):
        self.write(path=self.path('mn-trace.json'))
        self.refused('mn-trace.json: exists; --force writes over it', 'trace', '--lib', stub, '--', 'true')
        self.assertEqual(self.content(self.path('mn-trace.json')), b'mine')

    def test_force(self):
        for option in ('--json', '--html'):
            self.write()
            self.went_well('compare', '--lib', stub, '-n', '1', '--force', option, self.file, '--', 'true')
            self.assertNotIn(b'mine', self.content())
        self.write()
        self.went_well('trace', '--lib', stub, '--force', '-o', self.file, '--', 'true')
        self.assertFalse(os.path.exists(self.file))    # the stub writes none

    def test_what_was_not_measured_stays(self):
        self.write()
        self.refused('nothing in the output', 'compare', '--lib', stub, '-n', '1', '--force', '--json', self.file,
                     '--metric', 'a(.)', '--', 'true')
        self.assertEqual(self.content(), b'mine')
        self.refused('nothing in the output', 'compare', '--lib', stub, '-n', '1', '--json', self.path('new'),
                     '--metric', 'a(.)', '--', 'true')
        self.assertFalse(os.path.exists(self.path('new')))

    def test_links_are_not_followed(self):
        self.write()
        for target in (self.path('nothing'), self.file):
            os.symlink(target, self.link)
            for words, status in self.writers():
                for force in ((), ('--force',)):
                    if not (force and 'ci' in words):
                        self.refused('a symbolic link, which is not followed', words[0], *force, *words[1:], self.link,
                                     '--', 'true', status=status)
            os.unlink(self.link)
        self.assertFalse(os.path.lexists(self.path('nothing')))
        self.assertEqual(self.content(), b'mine')

    def test_summary_follows_no_dangling_link(self):
        os.symlink(self.path('nothing'), self.link)
        self.refused('No such file', 'ci', '--lib', stub, '--summary', self.link, '--', 'true', status=2)
        self.assertFalse(os.path.lexists(self.path('nothing')))

    def test_directories_devices_and_pipes(self):
        os.mkfifo(self.path('pipe'))
        for words, status in self.writers():
            for path in (self.folder, '/dev/null', self.path('pipe')):
                self.refused('not a file', *words, path, '--', 'true', status=status)
        self.refused('Is a directory', 'ci', '--lib', stub, '--summary', self.folder, '--', 'true', status=2)

    def test_one_file_for_two_things(self):
        self.refused('the file of both --json and --html', 'compare', '--lib', stub, '--json', self.file, '--html',
                     os.path.join(self.folder, '.', 'file'), '--', 'true')
        self.assertFalse(os.path.exists(self.file))
        self.write()
        os.link(self.file, self.link)
        self.refused('the file of both --json and --html', 'compare', '--lib', stub, '--force', '--json', self.file,
                     '--html', self.link, '--', 'true')
        self.refused('the file of both --baseline and --summary', 'ci', '--lib', stub, '--update', '--baseline',
                     self.file, '--summary', self.file, '--', 'true', status=2)
        self.assertEqual(self.content(), b'mine')


class Reading(Files):
    def test_a_trace_that_is_read_stays_as_it_is(self):
        self.write(TRACE)
        self.assertIn('the end is missing', self.went_well('trace', '--read', self.file))
        self.assertEqual(self.content(), TRACE)
        os.chmod(self.file, 0o444)
        self.assertIn('1 turns of 1 threads', self.went_well('trace', '--read', self.file))

    def test_only_files_are_read(self):
        os.mkfifo(self.path('pipe'))
        for path in (self.folder, '/dev/zero', self.path('pipe')):
            self.refused('not a file', 'trace', '--read', path)
        os.symlink(self.path('nothing'), self.link)
        self.refused('No such file', 'trace', '--read', self.link)


if __name__ == '__main__':
    unittest.main()
