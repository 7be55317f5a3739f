# SPDX-License-Identifier: Apache-2.0
"""Tests mn compare with a stub for libmn.so. Nothing here asserts a time."""

import json
import math
import os
import resource
import pty
import random
import signal
import subprocess
import sys
import time
import unittest

from mn_stub import MN, ROOT, build, environment, folder, mn, script, stub
from mnlib import aside, compare, estimate, measure, metrics, proctree, served, variants
from mnlib.report import words

SECONDS = 30    # tells a hang
TRIALS = 100
PAIRS = compare.LEAST_ROUNDS

# Listens on the unix socket argv[1]; SIGTERM ends it unless argv[2] is "stubborn".
SERVER = r'''
import signal, socket, sys
if sys.argv[2:] == ['stubborn']: signal.signal(signal.SIGTERM, signal.SIG_IGN)
s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen()
while True: s.accept()[0].close()
'''


def compare_with(*arguments, runs=2, **options):
    return mn('compare', '--lib', stub, '-n', str(runs), *arguments, **options)


class Refusals(unittest.TestCase):
    def refused(self, text, *arguments, status=125, **options):
        done = mn(*arguments, **options)
        self.assertEqual((done.returncode, done.stdout), (status, ''), done.stderr)
        self.assertEqual(done.stderr.count('\n'), 1, done.stderr)
        self.assertTrue(done.stderr.startswith('mn: '), done.stderr)
        self.assertIn(text, done.stderr)

    def compare_refused(self, text, *arguments):
        self.refused(text, 'compare', '--lib', stub, '-n', '1', *arguments)

    def test_also(self):
        self.compare_refused('no option MN_FROB', '--also', 'frob=1', '--', 'true')
        self.compare_refused("MN_PROCS='0' is not valid", '--also', 'procs=1,0', '--', 'true')
        self.compare_refused('NAME=VALUE', '--also', 'procs', '--', 'true')
        self.compare_refused('procs=1: twice', '--also', 'procs=1,1', '--', 'true')
        silent = build('int unused;', 'silent.so', '-shared', '-fPIC')
        self.refused('does not list', 'compare', '--lib', silent, '--also', 'procs=1', '--', 'true')

    def test_metric(self):
        self.compare_refused('no regular expression', '--metric', '(', '--', 'true')
        self.compare_refused('one group', '--metric', 'qps', '--', 'true')
        self.compare_refused("'wall' is measured anyway", '--metric', 'wall=(.)', '--', 'true')
        self.compare_refused("called 'a'", '--metric', 'a=(.)', '--metric-less', 'a=(b)', '--', 'true')
        self.compare_refused('nothing in the output matches', '--metric', r'qps: (\d+)', '--', 'true')
        self.compare_refused("no number: 'many'", '--metric', r'qps: (\w+)', '--', 'echo', 'qps: many')

    def test_files(self):
        for option in ('--json', '--html'):
            self.compare_refused('cannot be written', option, '/no/where', '--', 'true')
            self.compare_refused('/dev/full: cannot be written: not a file', option, '/dev/full', '--', 'true')
            self.without_room(option)
        with open('/dev/full', 'w') as full:
            done = compare_with('--', 'true', stdout=full)
        self.assertEqual((done.returncode, done.stderr),
                         (125, 'mn: standard output: No space left on device\n'))

    def without_room(self, option):
        """What cannot be written to its end is not left behind."""
        path = os.path.join(folder, 'no-room')
        self.refused('File too large', 'compare', '--lib', stub, '-n', '1', option, path, '--', 'true',
                     preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (300, 300)))
        self.assertFalse(os.path.exists(path))

    def test_server(self):
        self.compare_refused('--load is missing', '--server', 'sleep 9')
        self.compare_refused('not both', '--server', 'a', '--load', 'b', '--wait', '1', '--', 'true')
        given = ('--load', 'true', '--wait', os.path.join(folder, 'never'))
        self.compare_refused('No closing quotation', '--server', "a 'b", *given)
        self.compare_refused('exit status 3) before it listened', '--server',
                             "sh -c 'echo the reason >&2; exit 3'", *given)
        self.compare_refused(': the reason', '--server', "sh -c 'echo the reason >&2; exit 3'", *given)
        self.compare_refused('neither PORT', '--server', 'sleep 9', '--load', 'true', '--wait', 'x')


class Runs(unittest.TestCase):
    def test_same(self):
        done = compare_with('--', 'seq', '1000')
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertIn('same output and exit status: yes', done.stdout)
        self.assertTrue(done.stdout.startswith('No difference could be shown: 2 pairs are too few'))
        self.assertNotIn('not at work', done.stdout)
        self.assertEqual(done.stderr, '')

    def test_different_output(self):
        done = compare_with('--', 'sh', '-c', 'echo "${LD_PRELOAD-none}"')
        self.assertEqual(done.returncode, 1)
        self.assertTrue(done.stdout.startswith('The results differ: the outputs differ'))

    def test_different_status(self):
        done = compare_with('--', 'sh', '-c',
                            'test -z "$LD_PRELOAD" || { echo why >&2; kill -9 $$; }')
        self.assertEqual(done.returncode, 1)
        self.assertIn('1:1 exit status 0, M:N killed by SIGKILL', done.stdout)
        self.assertIn('M:N stderr: why', done.stdout)

    def test_varying_output(self):
        done = compare_with('--', 'sh', '-c', 'echo $$; sleep 0.1')
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertIn('same output and exit status: varies', done.stdout)

    def test_says_when_libmn_was_not_at_work(self):
        idle = build('int unused;', 'idle.so', '-shared', '-fPIC')
        done = mn('compare', '--lib', idle, '-n', '1', '--', 'true')
        self.assertTrue(done.stdout.startswith('This compares nothing: M:N: libmn was not at work'))

    def test_every_run_reads_stdin_anew(self):
        with open(__file__) as file:
            done = compare_with('--', 'sh', '-c', 'test "$(wc -l)" -gt 50', stdin=file)
        self.assertEqual(done.returncode, 0)
        self.assertNotIn('exit status 1', done.stdout)

    def test_time_limit(self):
        done = compare_with('--timeout', '1', '--', 'sh', '-c', 'test -z "$LD_PRELOAD" || sleep 100')
        self.assertEqual(done.returncode, 1)
        self.assertTrue(done.stdout.startswith('Not measured: no end within the time limit at M:N'))

    def test_json_has_what_the_schema_says(self):
        path = os.path.join(folder, 'figures.json')
        done = compare_with('--json', path, '--also', 'procs=1,3', '--also', 'mode=1:1', '--metric',
                            r'qps: ([\d.,]+)', '--', 'sh', '-c',
                            'sleep 0.05; echo "qps: 1"; echo "qps: 2,${MN_PROCS:-0}00"', runs=7)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        with open(path) as file:
            figures = json.load(file)
        with open(os.path.join(ROOT, 'scripts', 'mnlib', 'report', 'schema.json')) as file:
            self.conforms(figures, json.load(file), 'figures')
        self.assertEqual([each['name'] for each in figures['variants']],
                         ['1:1', 'M:N', 'procs=1', 'procs=3', 'mode=1:1'])
        self.assertEqual(figures['variants'][4]['options'], {'MN_MODE': '1:1'})
        self.assertEqual(figures['metrics'][0]['medians'],
                         {'1:1': 2000, 'M:N': 2000, 'procs=1': 2100, 'procs=3': 2300, 'mode=1:1': 2000})
        self.assertAlmostEqual(figures['metrics'][0]['ratios']['procs=3']['low'], 1.15)
        self.assertEqual(figures['same'], 'yes')    # the figures themselves may differ
        self.assertEqual(len(figures['runs']), 35)
        self.assertIn('qps of procs=3 is 1.15 times higher', done.stdout)

    def conforms(self, value, schema, where):
        """As much of JSON schema as ours uses."""
        kinds = {'object': dict, 'array': list, 'string': str, 'number': (int, float), 'integer': int,
                 'boolean': bool, 'null': type(None)}
        wanted = schema.get('type', [])
        wanted = [wanted] if isinstance(wanted, str) else wanted
        if wanted:
            self.assertIsInstance(value, tuple(kinds[each] for each in wanted if each != 'number') +
                                  (kinds['number'] if 'number' in wanted else ()), where)
        self.assertEqual(value, schema.get('const', value), where)
        self.assertIn(value, schema.get('enum', [value]), where)
        if isinstance(value, dict):
            self.assertEqual(set(schema.get('required', [])) - set(value), set(), where)
            for key, each in value.items():
                inner = schema.get('properties', {}).get(key, schema.get('additionalProperties'))
                if inner:
                    self.conforms(each, inner, f'{where}.{key}')
        for index, each in enumerate(value) if isinstance(value, list) else ():
            self.conforms(each, schema.get('items', {}), f'{where}[{index}]')

    def test_progress_bar_on_a_terminal(self):
        master, slave = pty.openpty()
        done = compare_with('--', 'true', stderr=slave)
        os.close(slave)
        self.assertEqual(done.returncode, 0)
        said = os.read(master, 65536).decode()
        os.close(master)
        self.assertIn('run 5 of 5', said)
        self.assertRegex(said, r'about \d+ s left')
        self.assertTrue(said.endswith('\r\033[K'))

    def test_interrupted(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            mark = os.path.join(folder, f'mark-{number}')
            child = subprocess.Popen(
                [sys.executable, MN, 'compare', '--lib', stub, '--', 'sh', '-c',
                 f'sleep 1000 & echo $! >{mark}.new; mv {mark}.new {mark}; wait'],
                env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            wait_for(lambda: os.path.exists(mark))  # noqa: B023
            child.send_signal(number)
            out, err = child.communicate(timeout=SECONDS)
            self.assertEqual((child.returncode, out, err),
                             (128 + number, '', 'mn: interrupted; nothing is left running\n'))
            with open(mark) as file:
                self.assertTrue(gone(int(file.read())))


def wait_for(condition):
    deadline = time.monotonic() + SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError('it did not happen in time')
        time.sleep(0.01)


def gone(pid):
    wait_for(lambda: proctree.status(pid).get('State', 'Z')[0] == 'Z')
    return True


class Servers(unittest.TestCase):
    def setUp(self):
        self.server = script('#!/usr/bin/env python3\n' + SERVER, 'server')
        self.socket = os.path.join(folder, 'socket')

    def serve(self, load, *arguments, server='', **options):
        return compare_with('--server', f'{self.server} {self.socket}{server}', '--wait', self.socket,
                            '--load', load, *arguments, **options)

    def test_load_is_native_and_its_output_counts(self):
        path = os.path.join(folder, 'served.json')
        done = self.serve("sh -c 'echo qps: 7; echo ${LD_PRELOAD-none}'", '--metric', r'qps: (\d)',
                          '--json', path)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertIn('same output and exit status: yes', done.stdout)
        self.assertNotIn('not at work', done.stdout)
        with open(path) as file:
            figures = json.load(file)
        self.assertEqual({run['qps'] for run in figures['runs']}, {7})
        self.assertEqual({run['ending'] for run in figures['runs']},
                         {'load exit status 0, server stopped'})
        self.assertTrue(all(run['cpu'] > 0 and run['threads'] >= 1 for run in figures['runs']))
        self.assertFalse(os.path.exists(self.socket))

    def test_refuses_when_somebody_listens(self):
        with subprocess.Popen([sys.executable, self.server, self.socket]) as other:
            wait_for(served.Address(self.socket).answers)
            done = self.serve('true')
            other.terminate()
        os.unlink(self.socket)
        self.assertEqual(done.returncode, 125)
        self.assertIn('somebody listens', done.stderr)

    def test_stubborn_server_is_killed_and_that_is_said(self):
        server = served.Served([sys.executable, self.server, self.socket, 'stubborn'], ['true'],
                               served.Address(self.socket), environment(), grace=0.2)
        run = server.measure(environment())
        self.assertIn('killed by SIGKILL (it did not end at SIGTERM)', run.ending)
        self.assertFalse(os.path.exists(self.socket))

    def test_load_that_takes_too_long(self):
        mark = os.path.join(folder, 'load-pid')
        done = self.serve(f"sh -c 'echo $$ >{mark}; sleep 100'", '--timeout', '1')
        self.assertEqual(done.returncode, 1)
        self.assertIn('no end within the time limit at 1:1', done.stdout)
        self.assertNotIn('the same', done.stdout)    # of M:N there is no figure
        with open(mark) as file:
            self.assertTrue(gone(int(file.read())))

    def test_server_that_dies_under_load(self):
        done = self.serve(f'pkill -9 -f {self.socket}$', runs=1)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertTrue(done.stdout.startswith('The program fails with libmn and without it: load exit status 0, '
                                               'server killed by SIGKILL. '), done.stdout)


def simulated(chance, slowdown):
    """Log ratios of noisy runs: 3 % normal noise, drift, and one run in fifty disturbed by up to 40 %."""
    logs, drift = [], 0
    for index in range(PAIRS):
        times = {}
        for side in ('native', 'libmn') if index % 2 == 0 else ('libmn', 'native'):
            drift += chance.gauss(0, 0.005)
            noise = chance.gauss(0, 0.03) + (chance.random() < 0.02) * chance.uniform(0, 0.4)
            times[side] = math.exp(noise + drift) * (slowdown if side == 'libmn' else 1)
        logs += estimate.log_ratios([times['native']], [times['libmn']], True)
    return logs


class Statistics(unittest.TestCase):
    def test_planted_slowdown_is_found_and_no_other(self):
        chance = random.Random(7)
        false_alarms = sum(estimate.estimate(simulated(chance, 1)).shown() for _ in range(TRIALS))
        found = 0
        for _ in range(TRIALS):
            result = estimate.estimate(simulated(chance, 1.1))
            found += result.shown() and result.ratio < 1
        self.assertLessEqual(false_alarms, 5)
        self.assertGreaterEqual(found, 95)

    def test_interval(self):
        result = estimate.estimate([math.log(1.5)] * 10)
        self.assertAlmostEqual(result.low, 1.5)
        self.assertAlmostEqual(result.high, 1.5)
        self.assertTrue(result.shown())
        self.assertIsNone(estimate.estimate([0.1] * 5).low)
        self.assertIsNone(estimate.estimate([]))
        self.assertEqual([estimate.least_pairs(level) for level in (0.95, estimate.LEVEL)], [6, estimate.LEAST_PAIRS])
        chance = random.Random(3)
        spread = [chance.gauss(0, 0.1) for _ in range(20)]
        narrow, wide = (estimate.estimate(spread, level) for level in (0.8, 0.999))
        self.assertLess(wide.low, narrow.low)
        self.assertGreater(wide.high, narrow.high)
        self.assertEqual(estimate.estimate(spread).low, estimate.estimate(spread).low)

    def test_resolution(self):
        for ratio, low, high, same, shown in ((1, 0.99, 1.01, True, False), (0.999, 0.998, 0.9995, True, False),
                                              (1.01, 0.97, 1.05, False, False), (1.01, 1.001, 1.03, False, False),
                                              (1.03, 1.01, 1.05, False, True), (0.97, 0.96, 0.98, False, True),
                                              (2, None, None, False, False)):
            found = estimate.Estimate(ratio, low, high, 12)
            self.assertEqual((found.same(), found.shown()), (same, shown), ratio)

    def test_ratio_is_of_what_is_better(self):
        self.assertAlmostEqual(estimate.log_ratios([2], [1], True)[0], math.log(2))
        self.assertAlmostEqual(estimate.log_ratios([2], [1], False)[0], -math.log(2))
        self.assertEqual(estimate.log_ratios([2, 0], [1, 1], True), [])

    def test_order_is_fair(self):
        for size in (2, 3, 4):
            rounds = [compare.order(list(range(size)), index) for index in range(size)]
            for place in range(size):
                self.assertEqual({each[place] for each in rounds}, set(range(size)))


class Words(unittest.TestCase):
    def test_ratio_in_words(self):
        for native, libmn, said in ((3.0, 1.0, '3.00x less'), (1.0, 12.0, '12.0x more'),
                                    (1.0, 1.01, 'the same'), (0, 0, 'the same'), (5, 0, 'less'),
                                    (4000, 4, '1,000x less'), (None, 1, '-')):
            self.assertEqual(compare.ratio_in_words(native, libmn, 'less', 'more'), said)

    def test_metric_names(self):
        for text, name in ((r'qps: ([\d.]+)', 'qps'), (r'p95=95th: ([\d.]+)', 'p95'),
                           (r'^Requests/sec: +(.*)', 'Requests/sec'), (r'(\d+) ops', r'(\d+) ops')):
            self.assertEqual(metrics.parse(text, False).key, name)

    def test_last_match_and_stderr(self):
        metric = metrics.parse(r'n=n: ([\d.,]+)', True)
        self.assertEqual(metrics.extract([metric], 'n: 1\nn: 1,234.5', 'n: 3'), {'n': 1234.5})
        self.assertEqual(metrics.extract([metric], '', 'n: 3'), {'n': 3})
        self.assertEqual(metrics.mask([metric], 'a n: 12 b'), 'a n:  b')

    def test_a_regular_expression_has_so_much_time(self):
        limit, metrics.MOST_SECONDS = metrics.MOST_SECONDS, 0.5
        try:
            for text in (r'x=(?:a+)+(\d)', r'n=(?:(?:a|aa)*)*?b(\d)'):
                with self.assertRaisesRegex(metrics.BadMetric, f'^--metric: .* takes more than 0.5 s on the output: repet'):
                    compare.Program(['echo', 'a' * 100]).measure(environment(), wanted=[metrics.parse(text, True)])
        finally:
            metrics.MOST_SECONDS = limit
        with self.assertRaises(ChildProcessError):    # none is left
            os.waitpid(-1, os.WNOHANG)

    def test_what_another_process_computes(self):
        self.assertEqual(aside.within(60, lambda: {'a': [1.5, 'b' * 100000]}), {'a': [1.5, 'b' * 100000]})
        for work in (lambda: os._exit(3), lambda: {}[0], lambda: os.kill(os.getpid(), signal.SIGKILL)):
            with self.assertRaises(ChildProcessError):
                aside.within(60, work)
        with self.assertRaises(TimeoutError):
            aside.within(0.1, lambda: time.sleep(1000))

    def test_verdicts(self):
        for factor, said in ((1 / 1.53, 'M:N is 1.53 times faster (98 % interval 1.53 to 1.53) over 12 '
                              'pairs; it used 4 kernel threads where 1:1 used 1,003.'),
                             (1.1, 'M:N is 1.10 times slower (98 % interval 1.10 to 1.10) over 12 pairs'),
                             (1, 'M:N is the same as 1:1: any difference is below 2 % (98 % interval 1.00 to 1.00 '
                              'times as good) over 12 pairs.'),
                             (1.015, 'M:N is the same as 1:1: any difference is below 2 % (98 % interval 0.99 to 0.99'),
                             (1 / 1.015, 'M:N is the same as 1:1: ')):
            self.assertTrue(words.verdict(imagined(factor)).startswith(said), words.verdict(imagined(factor)))


def imagined(factor, noise=0.0):
    """A Comparison nobody measured."""
    chance = random.Random(5)
    chosen = [variants.Variant('1:1', {}, False), variants.Variant('M:N', {}, True)]
    result = compare.Comparison(compare.Program(['app', '--fast']), chosen, metrics.BUILT_IN)
    for index in range(PAIRS):
        for variant in compare.order(chosen, index):
            run = measure.Run()
            run.begin = float(len(result.sequence))
            run.status, run.ending, run.output = 0, 'exit status 0', 'x'
            run.wall = (factor if variant.libmn else 1) * math.exp(chance.gauss(0, noise))
            run.user, run.system = run.wall * 0.8, run.wall * 0.1
            run.switches, run.threads = (90, 4) if variant.libmn else (98765, 1003)
            run.memory = (20 << 20) + chance.randrange(1 << 18)
            result.runs[variant.name].append(run)
            result.sequence.append((variant.name, run))
    return result


if __name__ == '__main__':
    unittest.main()
