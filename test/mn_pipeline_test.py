# SPDX-License-Identifier: Apache-2.0
"""scripts/ci: what projects copy into their pipelines."""

import os
import re
import subprocess
import tempfile
import unittest

from mn_stub import ROOT, environment

CI = os.path.join(ROOT, 'scripts', 'ci')
# Stands in for a checkout of libmn.
SETUP = 'echo "setup $1" >>"$TEST_LOG"\n'
MAKEFILE = '''
.RECIPEPREFIX = >
install:
> @echo make >>"$$TEST_LOG"
> @mkdir -p $(PREFIX)/bin
> @printf '#!/bin/sh\\necho mn 9.8.7\\n' >$(PREFIX)/bin/mn
> @chmod +x $(PREFIX)/bin/mn
'''


class Install(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix='mn-ci-')
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.write('repository/scripts/setup', SETUP)
        self.write('repository/Makefile', MAKEFILE)
        self.git('init', '-q')
        self.git('add', '.')
        self.git('-c', 'user.name=x', '-c', 'user.email=x@example.org', 'commit', '-qm', 'x')
        self.git('tag', 'v9.8.7')

    def at(self, *path):
        return os.path.join(self.folder, *path)

    def write(self, path, text):
        os.makedirs(os.path.dirname(self.at(path)), exist_ok=True)
        with open(self.at(path), 'w', encoding='ascii') as file:
            file.write(text)

    def git(self, *words):
        subprocess.run(['git', '-C', self.at('repository'), *words], check=True)

    def log(self):
        with open(self.at('log'), encoding='ascii') as file:
            return file.read().split('\n')[:-1]

    def install(self, **extra):
        settings = {'LIBMN_REPOSITORY': self.at('repository'), 'LIBMN_TAG': 'v9.8.7', 'LIBMN_HOME': self.at('home'),
                    'TEST_LOG': self.at('log'), 'TMPDIR': self.folder, **extra}
        return subprocess.run(['sh', os.path.join(CI, 'libmn-install.sh')], env=environment(settings), check=False,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def test_it_builds_a_tag_once(self):
        place = self.at('home', 'v9.8.7', 'bin')
        for _ in range(2):
            done = self.install(GITHUB_PATH=self.at('path'))
            self.assertEqual((done.returncode, done.stdout), (0, f'{place}\n'), done.stderr)
        self.assertEqual(self.log(), ['setup build', 'make'])
        self.assertEqual(subprocess.run([os.path.join(place, 'mn')], stdout=subprocess.PIPE, check=True).stdout, b'mn 9.8.7\n')
        with open(self.at('path'), encoding='ascii') as file:
            self.assertEqual(file.read(), f'{place}\n' * 2)
        self.assertEqual(sorted(os.listdir(self.folder)), ['home', 'log', 'path', 'repository'])

    def test_what_is_missing_is_said(self):
        for extra, text in (({'LIBMN_REPOSITORY': ''}, 'where libmn comes from'), ({'LIBMN_TAG': ''}, 'which version'),
                            ({'LIBMN_TAG': 'v0'}, 'v0')):
            done = self.install(**extra)
            self.assertNotEqual(done.returncode, 0)
            self.assertIn(text, done.stderr)
            self.assertEqual(done.stdout, '')


class Workflow(unittest.TestCase):
    def test_it_names_what_is_there(self):
        with open(os.path.join(CI, 'libmn-performance.yml'), encoding='ascii') as file:
            text = file.read()
        for script in re.findall(r'\bsh (\S+\.sh)\b', text):
            self.assertTrue(os.path.isfile(os.path.join(CI, script)), script)
        with open(os.path.join(ROOT, 'scripts', 'mnlib', 'version.txt'), encoding='ascii') as file:
            version = file.read().strip()
        self.assertIn(f'LIBMN_TAG: v{version} ', text)
        self.assertIn(f'libmn_{version}_amd64.deb', text)


if __name__ == '__main__':
    unittest.main()
