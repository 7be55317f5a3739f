# SPDX-License-Identifier: Apache-2.0
"""What the Debian package is made from. test/deb.py tries the package itself."""

import os
import re
import shutil
import subprocess
import sys
import unittest

from mn_stub import ROOT, environment, folder

DEBIAN = os.path.join(ROOT, 'scripts', 'debian')


def text_of(*path):
    with open(os.path.join(ROOT, *path), encoding='utf-8') as file:
        return file.read()


def changelog():
    return subprocess.run([sys.executable, os.path.join(DEBIAN, 'changelog.py')], stdout=subprocess.PIPE, text=True,
                          check=True).stdout


class Changelog(unittest.TestCase):
    def test_it_has_every_version_and_every_point(self):
        ours, made = text_of('CHANGELOG.md'), changelog()
        versions = re.findall(r'^## \[(.*?)\]', ours, re.M)
        self.assertEqual(re.findall(r'^libmn \((.*?)\) ', made, re.M), versions)
        self.assertEqual(versions[0], text_of('scripts', 'mnlib', 'version.txt').strip())
        self.assertEqual(len(re.findall(r'^  \* ', made, re.M)), len(re.findall(r'^- ', ours, re.M)))
        self.assertLessEqual(max(map(len, re.findall(r'^  .*', made, re.M))), 80)

    @unittest.skipUnless(shutil.which('dpkg-parsechangelog'), 'for want of dpkg-dev')
    def test_dpkg_can_read_it(self):
        done = subprocess.run(['dpkg-parsechangelog', '-l', '-', '-S', 'Version'], input=changelog(), text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=True)
        self.assertEqual((done.stdout.strip(), done.stderr), (text_of('scripts', 'mnlib', 'version.txt').strip(), ''))


class Build(unittest.TestCase):
    def test_what_is_missing_is_said(self):
        tools = os.path.join(folder, 'tools')
        os.makedirs(tools)
        for tool in ('dirname', 'sh'):
            os.symlink(shutil.which(tool), os.path.join(tools, tool))
        done = subprocess.run(['sh', os.path.join(ROOT, 'scripts', 'deb')], env=environment({'PATH': tools}),
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
        self.assertEqual((done.returncode, done.stdout), (1, ''))
        self.assertEqual(done.stderr, 'deb: dpkg-buildpackage is not installed: run scripts/setup deb\n')

    def test_what_it_names_is_there(self):
        for name in ('docs', 'examples'):
            for pattern in re.findall(r'^[^#\s]\S*', text_of('scripts', 'debian', f'libmn.{name}'), re.M):
                self.assertTrue(os.path.exists(os.path.join(ROOT, pattern.replace('/*', ''))), pattern)


if __name__ == '__main__':
    unittest.main()
