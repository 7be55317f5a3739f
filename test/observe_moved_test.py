# SPDX-License-Identifier: Apache-2.0
"""Tests that libmn loads no companion but the one beside it, wherever the program goes."""

import os
import shutil
import signal
import tempfile
import unittest

import observed
from observed import Program, named, threads_in

ANOTHER = os.path.join(observed.ROOT, 'build', 'test', 'tls_plugin.so')    # "of another version", once it is loaded


class Moved(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.here, self.there = (os.path.join(folder.name, name) for name in ('here', 'there'))
        self.folder = os.path.join(self.here, 'lib')
        os.makedirs(self.folder)
        built = os.path.dirname(observed.the_library())
        for name in ('libmn.so', 'libmn-dump.so'):
            shutil.copy(os.path.join(built, name), self.folder)

    @staticmethod
    def plant(folder):
        os.makedirs(folder)
        shutil.copy(ANOTHER, os.path.join(folder, 'libmn-dump.so'))

    def dump(self, preload, *argv):
        """By default the dump ends the process, and the companion is loaded for it."""
        with Program('moved', *argv, cwd=self.here, LD_PRELOAD=preload) as program:
            program.ready().child.send_signal(signal.SIGQUIT)
            self.assertEqual(program.end(), -signal.SIGQUIT)
            return program.err

    def test_loaded_by_a_relative_path(self):
        self.plant(os.path.join(self.there, 'lib'))
        for preload in ('lib/libmn.so', './lib/../lib/libmn.so', os.path.join(self.folder, 'libmn.so')):
            said = self.dump(preload, 'to', self.there)
            self.assertNotIn('guesses', said)
            self.assertIn('wait_in_thread', named(threads_in(said), 'waiting').functions)

    @unittest.skipIf(os.geteuid() != 0, 'for want of root')
    def test_another_root(self):
        self.plant(self.there + self.folder)
        said = self.dump(os.path.join(self.folder, 'libmn.so'), 'root', self.there)
        self.assertRegex(said, 'callers are guesses, .*: .*root directory')
        self.assertIn('waiting for a signal', named(threads_in(said), 'waiting').state)


if __name__ == '__main__':
    unittest.main()
