# SPDX-License-Identifier: Apache-2.0
"""The version is one: in the file, in mn, in the library, and in the changelog."""

import os
import re
import subprocess
import unittest

from mn_stub import ROOT, environment, mn

LIBRARY = os.path.join(ROOT, 'build', 'libmn.so')


def text_of(*path):
    with open(os.path.join(ROOT, *path), encoding='utf-8') as file:
        return file.read()


VERSION = text_of('scripts', 'mnlib', 'version.txt').strip()


class Version(unittest.TestCase):
    def test_it_is_a_version(self):
        self.assertRegex(VERSION, r'^\d+\.\d+\.\d+$')

    def test_mn_says_it(self):
        done = mn('--version')
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, f'mn {VERSION}\n', ''))

    def test_the_changelog_begins_with_it(self):
        newest = re.search(r'^## \[(.*?)\] - \d{4}-\d\d-\d\d$', text_of('CHANGELOG.md'), re.M)
        self.assertEqual(newest[1], VERSION)

    def test_mn_help_of_the_library_begins_with_it(self):
        done = subprocess.run(['true'], env=environment({'LD_PRELOAD': LIBRARY, 'MN_HELP': '1'}),
                              stderr=subprocess.PIPE, text=True, check=True)
        lines = done.stderr.splitlines()
        self.assertEqual(lines[0], f'libmn {VERSION}')
        self.assertTrue(lines[1].startswith('libmn: MN_'), lines[1])

    def test_it_can_be_read_out_of_the_library(self):
        with open(LIBRARY, 'rb') as file:
            self.assertIn(f'libmn {VERSION}\0'.encode(), file.read())
        symbols = subprocess.run(['nm', '-D', '--defined-only', LIBRARY], stdout=subprocess.PIPE,
                                 text=True, check=True).stdout
        self.assertRegex(symbols, r'(?m) R mn_version$')


if __name__ == '__main__':
    unittest.main()
