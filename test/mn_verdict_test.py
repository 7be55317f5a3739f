# SPDX-License-Identifier: Apache-2.0
"""Tests what mn compare and mn ci say where there is no race to judge: programs that fail, and programs without threads."""

import json
import os
import sys
import unittest

from mn_stub import environment, folder, mn, script, stub
from mnlib import compare as comparing
from mnlib import measure, metrics, variants
from mnlib.report import words

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


class WithoutThreads(unittest.TestCase):
    IDLE = {'STUB_THREADS': '0'}
    SAID = r'The program made no threads: M:N cannot matter; start-up costs (\d+\.\d ms|too little[^.]*)\.'

    def test_compare(self):
        page = os.path.join(folder, 'idle.json')
        done = compare('--json', page, '--', 'sleep', '0.01', env=self.IDLE)
        self.assertEqual((done.returncode, done.stderr), (0, ''))
        self.assertRegex(done.stdout, f'^{self.SAID}\n\n')
        with open(page) as file:
            figures = json.load(file)
        self.assertIs(figures['made_threads'], False)
        self.assertRegex(figures['verdict'], f'^{self.SAID}$')

    def test_few_pairs(self):
        done = compare('--', 'true', env=self.IDLE, runs=1)
        self.assertTrue(done.stdout.startswith('The program made no threads: M:N cannot matter; what its start-up costs, 1 '
                                               'pair cannot tell.\n'), done.stdout)

    def test_cost(self):
        for difference, said in ((0.0003, '0.3 ms'), (0.00002, 'less than 0.1 ms'), (0, 'too little to be told from noise'),
                                 (-0.001, 'too little to be told from noise')):
            result = measured(lambda index, d=difference: 0.01 + d)
            self.assertEqual(words.verdict(result), f'The program made no threads: M:N cannot matter; start-up costs {said}.')
        result = measured(lambda index: 0.01 + (index % 2 - 0.5) * 0.002)
        self.assertTrue(words.verdict(result).endswith('start-up costs too little to be told from noise.'))
        for _, run in zip(range(12), result.libmn):
            run.user += 0.0004    # which wall time does not show
        self.assertTrue(words.verdict(result).endswith('start-up costs 0.4 ms.'))

    def test_what_is_not_known_is_not_said(self):
        for stats, threaded, made in (([], False, None), ([{'mode': '1:1', 'gs': '0'}], False, None),
                                      ([{'mode': 'mn', 'gs': '0'}], True, True), ([{'mode': 'mn', 'gs': 'x'}], False, None),
                                      ([{'mode': 'mn', 'gs': '0'}, {'mode': 'mn', 'gs': '2'}], False, True),
                                      ([{'mode': 'mn', 'gs': '0'}] * 2, False, False)):
            result = measured(lambda index: 1.0)
            for run in result.libmn:
                run.stats, run.threaded = stats, threaded
            self.assertIs(result.made_threads(), made, stats)

    def test_threads_that_only_the_kernel_shows(self):
        text = 'import threading, time; threading.Thread(target=time.sleep, args=(0.3,)).start()'
        done = compare('--', sys.executable, '-c', text, env=self.IDLE, runs=1)
        self.assertNotIn('no threads', done.stdout)

    def test_statistics_before_much_else_count(self):
        done = compare('--', 'bash', '-c', 'seq 10000 >&2', env=self.IDLE, runs=1)
        self.assertIn('made no threads', done.stdout)
        done = compare('--', 'bash', '-c', 'STUB_THREADS=3 bash -c ls; seq 10000 >&2', env=self.IDLE, runs=1)
        self.assertNotIn('made no threads', done.stdout)

    def test_ci(self):
        def ci(*options, env=self.IDLE):
            return mn('ci', '--lib', stub, '--min-runs', '7', '--max-runs', '1000', *options, '--', 'sleep', '0.01', env=env)
        done = ci('--strict', '--fail-below', '10')
        self.assertEqual((done.returncode, done.stderr), (0, ''), done.stdout)
        self.assertTrue(done.stdout.startswith('### libmn: pass, without threads\n'), done.stdout)
        self.assertRegex(done.stdout, f'\n- `?{self.SAID}`?\n')
        self.assertIn('`sleep 0.01`, 7 pairs', done.stdout)    # more of them say no more
        self.assertNotIn('regression', done.stdout)
        baseline = os.path.join(folder, 'idle-baseline.json')
        done = ci('--baseline', baseline, '--write-baseline')
        self.assertEqual((done.returncode, done.stdout), (2, ''))
        self.assertRegex(done.stderr, f'^mn: {self.SAID} No baseline is written\n$')
        self.assertFalse(os.path.exists(baseline))


def measured(libmn_wall):
    """A Comparison of a program without threads that takes 10 ms."""
    chosen = [variants.Variant('1:1', {}, False), variants.Variant('M:N', {}, True)]
    result = comparing.Comparison(comparing.Program(['app']), chosen, metrics.BUILT_IN)
    for index in range(12):
        for variant in chosen:
            run = measure.Run()
            run.status, run.ending = 0, 'exit status 0'
            run.wall = libmn_wall(index) if variant.libmn else 0.01
            run.user, run.system = 0.004, 0.001
            run.stats = [{'mode': 'mn', 'gs': '0'}] if variant.libmn else []
            result.runs[variant.name].append(run)
    return result


if __name__ == '__main__':
    unittest.main()
