# SPDX-License-Identifier: Apache-2.0
"""Tests what the owner of a process gets when root looks at it by mn: nothing that is root's."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import unittest

from observed import ROOT, SECONDS, Program

MN = os.path.join(ROOT, 'scripts', 'mn')
OWNER = 12345
SECRET = 'correct-horse', 'battery-staple'

with open(os.path.join(ROOT, 'test', 'intruder.py')) as text:
    INTRUDER = text.read()


@unittest.skipUnless(os.geteuid() == 0, 'for want of root')
class Owner(unittest.TestCase):
    def intruder(self, how, *own):
        intruder = subprocess.Popen([sys.executable, '-c', INTRUDER, str(OWNER), how, *SECRET, *map(str, own)],
                                    text=True, cwd='/', stdout=subprocess.PIPE, env={})
        self.addCleanup(intruder.stdout.close)
        self.addCleanup(intruder.wait)
        self.addCleanup(intruder.kill)
        self.assertEqual(intruder.stdout.readline(), 'looking\n')
        return intruder

    def stacks(self, seconds, pid):
        """mn stacks as root with something to lose: an environment, a file, a directory, groups."""
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        file = open(os.path.join(folder.name, 'secret'), 'w+')
        self.addCleanup(file.close)
        file.write(''.join(SECRET))
        file.flush()
        return subprocess.Popen([sys.executable, MN, 'stacks', '--timeout', str(seconds), str(pid)], cwd=folder.name,
                                text=True, env={**os.environ, 'MN_SECRET': ''.join(SECRET)}, pass_fds=(file.fileno(),),
                                extra_groups=[0, 4, 6], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE)

    def looked(self, how, seconds):
        """What the intruder finds while mn asks a process that is stopped, and mn's number. mn ends in time."""
        with Program('looked_at', 'wait', '3', user=OWNER) as program:
            pid = program.ready().child.pid
            intruder = self.intruder(how, pid)
            program.child.send_signal(signal.SIGSTOP)
            with self.stacks(seconds, pid) as mn:
                out, err = mn.communicate(timeout=SECONDS)
            intruder.kill()
            found = [json.loads(line) for line in intruder.stdout.read().splitlines()]
            self.assertEqual((mn.returncode, out), (125, ''), err)
            self.assertRegex(err, r'^mn: process \d+: [^\n]*\n$')
            return found, mn.pid

    def test_nothing_of_roots_can_be_had(self):
        found, mn = self.looked('look', 8)
        self.assertEqual(len(found), 1, found)
        holder = found[0]
        self.assertNotEqual(holder['pid'], mn)
        self.assertEqual(holder['environ'], repr(b''))
        self.assertFalse(holder['secret'])
        self.assertNotIn(SECRET[0], holder['cmdline'])
        for what in holder['taken'].values():
            self.assertRegex(what, r'^pipe:')
        self.assertEqual((holder['cwd'], holder['root']), ('/', '/'))
        self.assertEqual(holder['session'], holder['pid'])
        status = holder['status']
        self.assertEqual(status['Groups'].split(), [])
        self.assertEqual(status['Uid'].split() + status['Gid'].split(), [str(OWNER)] * 8)
        self.assertEqual({int(status[name], 16) for name in ('CapPrm', 'CapEff', 'CapInh', 'CapAmb')}, {0})
        self.assertEqual((status['NoNewPrivs'].strip(), status['Seccomp'].strip()), ('1', '2'))

    def test_whoever_kills_or_traces_what_mn_asks_by_keeps_mn_from_nothing(self):
        for how in ('kill', 'trace'):
            found, _ = self.looked(how, 4)
            self.assertEqual(len(found), 1, found)
            self.assertEqual(found[0].get('traced', 0), 0)

    @staticmethod
    def of_the_owner():
        found = set()
        for name in filter(str.isdigit, os.listdir('/proc')):
            with contextlib.suppress(FileNotFoundError):    # it has ended
                if os.stat(f'/proc/{name}').st_uid == OWNER:
                    found.add(name)
        return found

    def test_it_is_gone_afterwards(self):
        before = self.of_the_owner()
        with Program('looked_at', 'wait', '3', user=OWNER) as program:
            pid = program.ready().child.pid
            with self.stacks(SECONDS, pid) as mn:
                out, err = mn.communicate(timeout=SECONDS)
            self.assertEqual((mn.returncode, err), (0, ''))
            self.assertIn('7 threads', out)
            self.assertEqual(self.of_the_owner() - before, {str(pid)})


if __name__ == '__main__':
    unittest.main()
