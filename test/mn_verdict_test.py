# SPDX-License-Identifier: Apache-2.0
"""Tests what mn compare and mn ci say where there is no race to judge: programs that fail, and programs without threads."""

import json
import os
import unittest

from mn_stub import environment, folder, mn, script, stub

FAILS_AT_MN = '[ -z "$LD_PRELOAD" ] || exit 4'


def compare(*words, runs=7, **options):
    return mn('compare', '--lib', stub, '-n', str(runs), *words, **options)


class Failures(unittest.TestCase):
    """A program that fails is said to fail, in the first line, and its costs are not compared."""

    def said(self, first, *command, status=1):
        pages = [os.path.join(folder, f'{self.id()}.{kind}') for kind in ('json', 'html')]
        done = compare('--force', '--json', pages[0], '--html', pages[1], '--', *command)
        self.assertEqual((done.returncode, done.stderr), (status, ''))
        self.assertEqual(done.stdout.split('\n')[0], first)
        self.assertNotIn('M:N is', done.stdout)
        self.assertNotIn('same output', done.stdout)
        with open(pages[0]) as file:
            figures = json.load(file)
        self.assertEqual((figures['verdict'], figures['failed']), (first, True))
        self.assertEqual({ratio for each in figures['metrics'] for ratio in each['ratios'].values()}, {None})
        with open(pages[1], encoding='utf-8') as file:
            page = file.read()
        self.assertIn(f'<h1>{first}</h1>', page)
        self.assertNotIn('<svg', page)
        return done.stdout, figures

    def test_natively(self):
        text, figures = self.said('The program fails with libmn and without it: exit status 1. There is nothing to compare.',
                                  'false')
        self.assertEqual(len(figures['runs']), 2)    # more of them say no more
        text, _ = self.said('The program fails with libmn and without it: exit status 3. There is nothing to compare.',
                            'sh', '-c', 'echo no such thing >&2; exit 3')
        self.assertIn('1:1 stderr: no such thing', text)

    def test_by_a_signal(self):
        self.said('The program fails with libmn and without it: killed by SIGTERM. There is nothing to compare.',
                  'sh', '-c', 'kill -TERM $$')

    def test_only_under_libmn(self):
        text, _ = self.said('The program fails only under libmn (M:N): exit status 4. Without libmn it does not fail.',
                            'sh', '-c', FAILS_AT_MN)
        self.assertIn('the endings differ: 1:1 exit status 0, M:N exit status 4', text)

    def test_only_without(self):
        self.said('The program fails without libmn, and not with it: exit status 1. There is nothing to compare.',
                  'sh', '-c', 'test -n "$LD_PRELOAD"')

    def test_now_and_then(self):
        counter = os.path.join(folder, 'counter')
        text = (f'n=$(cat {counter} 2>/dev/null || echo 0); echo $((n + 1)) >{counter}; '
                '[ -n "$LD_PRELOAD" ] || [ $n -lt 3 ] || exit 5')
        said, figures = self.said('The program fails without libmn, and not with it: exit status 5, in 6 of 8 runs. '
                                  'There is nothing to compare.', 'sh', '-c', text)
        self.assertEqual(len(figures['runs']), 14)

    def test_ci(self):
        def ci(*command):
            return mn('ci', '--lib', stub, '--min-runs', '7', '--max-runs', '7', '--', *command, env=environment())
        done = ci('false')
        self.assertEqual((done.returncode, done.stdout, done.stderr),
                         (2, '', 'mn: The program fails with libmn and without it: exit status 1. There is nothing to compare.\n'))
        done = ci(script(f'#!/bin/sh\n{FAILS_AT_MN}\n', 'fails-at-mn'))
        self.assertEqual((done.returncode, done.stderr), (3, ''))
        self.assertIn('- The program fails only under libmn (M:N): exit status 4.', done.stdout)


if __name__ == '__main__':
    unittest.main()
