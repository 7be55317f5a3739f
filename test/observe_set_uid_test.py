# SPDX-License-Identifier: Apache-2.0
"""Tests that a set-user-id program does not obey the MN_ variables of whoever starts it.

ld.so preloads libmn into it where /etc/ld.so.preload says so, here in a mount namespace of the test's own."""

import ctypes
import os
import shutil
import subprocess
import tempfile
import unittest

import observed

CLONE_NEWNS, MS_BIND, MS_REC, MS_PRIVATE = 0x20000, 0x1000, 0x4000, 1 << 18
USER = 12345
LIBC = ctypes.CDLL(None, use_errno=True)


def mount(source, target, flags):
    if LIBC.mount(source.encode(), target.encode(), None, flags, None) != 0:
        raise OSError(ctypes.get_errno(), 'mount')


class SetUid(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        os.chmod(folder.name, 0o755)
        self.etc = os.path.join(folder.name, 'etc')
        os.mkdir(self.etc)
        lib = shutil.copy(observed.the_library(), folder.name)
        shutil.copy('/etc/ld.so.cache', self.etc)
        with open(os.path.join(self.etc, 'ld.so.preload'), 'w', encoding='utf-8') as file:
            file.write(lib + '\n')
        self.program = shutil.copy(os.path.join(observed.PROGRAMS, 'set_uid'), folder.name)
        self.open = os.path.join(folder.name, 'open')
        os.mkdir(self.open)
        os.chmod(self.open, 0o777)

    def become_a_user(self):
        """In the child, before it executes the program."""
        if LIBC.unshare(CLONE_NEWNS) != 0:
            raise OSError(ctypes.get_errno(), 'unshare')
        mount('none', '/', MS_REC | MS_PRIVATE)
        mount(self.etc, '/etc', MS_BIND)
        os.setgroups([])
        os.setgid(USER)
        os.setuid(USER)

    def run_it(self, **options):
        try:
            return subprocess.run([self.program], env=options, capture_output=True, text=True, check=False,
                                  timeout=observed.SECONDS, preexec_fn=self.become_a_user)
        except subprocess.SubprocessError:
            self.skipTest('for want of mount namespaces')

    @unittest.skipIf(os.geteuid() != 0, 'for want of root')
    def test_options_are_not_read(self):
        trace = os.path.join(self.open, 'trace')
        options = [{'MN_STATS': '1'}, {'MN_HELP': '1'}, {'MN_PROCS': 'all'}, {'MN_TRACE': trace},
                   {'MN_SCHEDTRACE': '1', 'MN_DUMP_SIGNAL': 'USR1'}]
        # By a user's own program they are.
        self.assertIn('libmn: stats', self.run_it(**options[0]).stderr)
        self.assertEqual(self.run_it(MN_PROCS='all').returncode, 125)
        os.chmod(self.program, 0o4755)
        for option in options:
            done = self.run_it(**option)
            self.assertEqual((done.returncode, done.stdout, done.stderr), (0, 'as 0\n', ''), option)
        self.assertFalse(os.path.exists(trace))


if __name__ == '__main__':
    unittest.main()
