# SPDX-License-Identifier: Apache-2.0
"""Tests mn ci with a stub for libmn.so. The program's own figures stand in for times."""

import json
import os
import random
import re
import unittest

from mn_stub import folder, mn, script, stub
from mnlib import estimate, gate

# Writes $FIGURE at M:N and 100 at 1:1; bash, which ends by exit(), where the stub speaks.
PROGRAM = '''#!/bin/bash
if [ -n "$LD_PRELOAD" ]; then echo "qps: ${FIGURE-100}"; else echo "qps: 100"; fi
'''


class Ci(unittest.TestCase):
    def setUp(self):
        self.baseline = os.path.join(folder, self.id() + '.json')
        self.program = script(PROGRAM, 'ci-program')

    def ci(self, *options, figure=100, command=None, env=None):
        return mn('ci', '--lib', stub, '--min-runs', '7', '--max-runs', '9', '--metric', r'qps: ([\d.]+)',
                  *options, '--', *(command or [self.program]), env={'FIGURE': str(figure), **(env or {})})

    def ended(self, status, text, *options, **more):
        done = self.ci(*options, **more)
        self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        self.assertIn(text, done.stdout)
        self.assertEqual(done.stderr, '')
        return done.stdout

    def refused(self, text, *options, **more):
        done = self.ci(*options, **more)
        self.assertEqual((done.returncode, done.stdout), (2, ''), done.stderr)
        self.assertEqual(done.stderr.count('\n'), 1, done.stderr)
        self.assertTrue(done.stderr.startswith('mn: '), done.stderr)
        self.assertIn(text, done.stderr)

    def test_without_baseline_against_native(self):
        self.ended(0, '### libmn: pass\n')
        self.ended(0, '### libmn: pass\n', figure=96)
        self.assertIn('| qps | 100 | 90 | 0.90 (0.90 to 0.90) | - | 0.95 | **regression** |',
                      self.ended(1, '### libmn: **regression**', figure=90))
        self.ended(0, 'pass', '--fail-below', '0.8', figure=90)

    def test_less_is_better(self):
        options = ('--lib', stub, '--min-runs', '7', '--max-runs', '7', '--metric-less',
                   r'p95=qps: ([\d.]+)', '--', self.program)
        self.assertEqual(mn('ci', *options, env={'FIGURE': '90'}).returncode, 0)
        self.assertEqual(mn('ci', *options, env={'FIGURE': '110'}).returncode, 1)

    def test_baseline(self):
        given = ('--baseline', self.baseline)
        self.refused('no such file; --write-baseline makes it', *given)
        self.ended(0, f'Wrote {self.baseline}', *given, '--write-baseline', figure=150)
        with open(self.baseline) as file:
            self.assertEqual(json.load(file)['metrics']['qps']['ratio'], 1.5)
        self.ended(0, 'pass', *given, '--write-baseline', figure=149)
        self.assertIn('M:N is worse than its baseline: 0.87 times',
                      self.ended(1, '| 1.50 | 1.42 |', *given, figure=130))
        self.ended(0, f'Wrote {self.baseline}', *given, '--update', figure=130)
        self.ended(0, 'pass', *given, figure=130)

    def test_baseline_that_will_not_do(self):
        given = ('--baseline', self.baseline)
        self.ended(0, 'Wrote', *given, '--update')
        self.refused('of another command', *given, command=[self.program, 'more'])
        with open(self.baseline) as file:
            content = json.load(file)
        for text, change in (('not a baseline', {'kind': 'else'}), ('schema 2', {'schema': 2}),
                             ('nothing of qps', {'metrics': {}}),
                             ('no ratios', {'metrics': {'qps': {'pairs': [0] * 9}}}),
                             ('1 pairs', {'metrics': {'qps': {'pairs': [1]}}})):
            with open(self.baseline, 'w') as file:
                json.dump({**content, **change}, file)
            self.refused(text, *given)
        with open(self.baseline, 'w') as file:
            file.write('{')
        self.refused('not JSON', *given)

    def test_usage(self):
        self.refused('need --baseline', '--update')
        self.refused('is less than --min-runs', '--max-runs', '7', '--min-runs', '8')
        self.refused('not a ratio', '--fail-below', 'much')
        self.refused('not found', command=['no-such-program'])
        self.refused('No such file or directory', '--summary', '/no/where')
        self.refused('No space left', '--summary', '/dev/full')
        self.refused('/dev/full: cannot be written: not a file', '--baseline', '/dev/full', '--update')

    def test_names_and_messages_are_text(self):
        """Of a figure, of the command, and of what the program says: no cell, line, link, mention or tag of its own."""
        hostile = ('<img src=x>', '@octocat', '[a](http://b)', '`b`', '|', '# h', '![i](j)')
        said = self.ended(0, 'pass', '--metric', r'(?:\n\n# h|<b>@octocat</b>)?`qps: ([\d.]+)`?',
                          command=[script(PROGRAM.replace('qps: ', 'qps: 100 \\`qps: '), 'ci-hostile'), *hostile, 'a\n# b'])
        for line in said.splitlines():
            plain = re.sub(r'(?<!`)(`+)(?!`).*?(?<!`)\1(?!`)', 'code', line)
            self.assertRegex(plain, r'^[\w /.,:;()%|*#-]*$')
            self.assertTrue(line.startswith(('### libmn: pass', '- ', '| ', '|--', '`')) or not line, line)
        cells = [line.count('|') for line in said.splitlines() if line.startswith('|')]
        self.assertEqual(set(cells), {8}, said)
        program = script(PROGRAM + 'if [ -n "$LD_PRELOAD" ]; then printf "%s\\n" "<b>@octocat" "\033[31m|" >&2; exit 9; fi\n',
                         'ci-says')
        said = self.ended(3, 'results differ', command=[program])
        self.assertIn('- `M:N stderr: <b>@octocat`\n', said)
        self.assertIn('- `M:N stderr: \\x1b[31m\\x7c`\n', said)

    def test_baseline_that_means_harm(self):
        given = ('--baseline', self.baseline)
        self.ended(0, 'Wrote', *given, '--update')
        with open(self.baseline) as file:
            content = json.load(file)
        for text, pairs in (('no ratios', [1e300] * 9), ('no ratios', [True] * 9), ('no ratios', '1234567'),
                            ('no ratios', [float('nan')] * 9), ('no ratios', [10 ** 400] * 9), ('no ratios', None),
                            ('at most 100,000', [1] * 100001)):
            with open(self.baseline, 'w') as file:
                json.dump({**content, 'metrics': {'qps': {'pairs': pairs}}}, file)
            self.refused(text, *given)
        for text, bytes_ in (('not JSON', b'[' * 100000), ('not JSON', b'\xff'), ('not JSON', b'9' * 10000),
                             ('schema \\x1b', json.dumps({**content, 'schema': '\033' * 999}).encode())):
            with open(self.baseline, 'wb') as file:
                file.write(bytes_)
            self.refused(text, *given)
        with open(self.baseline, 'wb') as file:
            file.truncate(1 << 40)
        self.refused('larger than 16 MiB', *given)
        os.unlink(self.baseline)
        os.mkfifo(self.baseline)
        self.refused('not a file', *given)
        for path in (folder, '/dev/zero'):
            self.refused('not a file', '--baseline', path)

    def test_results_that_differ(self):
        program = script(PROGRAM + 'echo "$LD_PRELOAD"\n', 'ci-differs')
        self.ended(3, 'results differ', command=[program])
        program = script(PROGRAM + 'test -z "$LD_PRELOAD" || sleep 100\n', 'ci-hangs')
        self.ended(3, 'no end within the time limit at M:N', '--timeout', '1', command=[program])
        self.ended(3, 'results differ', '--baseline', self.baseline, '--update', '--timeout', '1',
                   command=[program])
        self.assertFalse(os.path.exists(self.baseline))

    def test_program_that_fails_measures_nothing(self):
        self.refused('without it: exit status 4. There is nothing to compare', command=[script(PROGRAM + 'exit 4\n', 'ci-4')])
        self.refused('at 1:1', '--timeout', '1', command=[script('#!/bin/sh\nsleep 100\n', 'ci-sleep')])

    def test_could_not_tell(self):
        noisy = script(f'#!/bin/bash\nn=$(cat {folder}/n 2>/dev/null || echo 0)\n'
                       f'echo $((n + 1)) >{folder}/n\necho qps: $((n % 5 * 30 + 10))\n', 'ci-noisy')
        said = self.ended(0, 'pass, but could not tell', command=[noisy])
        self.assertIn('`, 9 pairs', said)    # it went on to the last
        self.ended(1, 'which --strict takes for a failure', '--strict', command=[noisy])

    def test_summary_goes_where_github_wants_it(self):
        paths = [os.path.join(folder, name) for name in ('github.md', 'own.md')]
        with open(paths[0], 'w') as file:
            file.write('before\n')
        env = {'GITHUB_STEP_SUMMARY': paths[0]}
        said = self.ended(0, 'pass', env=env)
        self.ended(0, 'pass', '--summary', paths[1], env=env)
        with open(paths[0]) as file:
            self.assertEqual(file.read(), 'before\n' + said)
        with open(paths[1]) as file:
            self.assertIn('### libmn: pass', file.read())


class Gate(unittest.TestCase):
    def test_what_cannot_be_told_from_equal_is_no_regression(self):
        self.assertEqual(gate.judge([-0.01] * 9, 1, estimate.LEVEL)[1], gate.PASS)
        self.assertEqual(gate.judge([-0.03] * 9, 1, estimate.LEVEL)[1], gate.REGRESSION)

    def test_looks(self):
        self.assertEqual(gate.looks(10, 50), [10, 15, 22, 33, 50])
        self.assertEqual(gate.looks(6, 6), [6])
        self.assertEqual(gate.looks(6, 7), [6, 7])

    def outcomes(self, shift, base, trials=40):
        """Of simulated builds, 4 % noise a pair, that look after 10, 15, 22, 33 and 50 pairs."""
        chance = random.Random(11)
        numbers = gate.looks(10, 50)
        level = 1 - gate.MISTAKEN / len(numbers)
        outcomes = []
        for _ in range(trials):
            logs = [chance.gauss(shift, 0.04) for _ in range(50)]
            against = [chance.gauss(0, 0.04) for _ in range(30)] if base else ()
            outcome = gate.UNSURE
            for number in numbers:
                outcome = gate.judge(logs[:number], 0.95, level, against)[1]
                if outcome != gate.UNSURE:
                    break
            outcomes.append(outcome)
        return outcomes

    def test_false_alarms_and_misses(self):
        for base in (False, True):
            same = self.outcomes(0, base)
            self.assertLessEqual(same.count(gate.REGRESSION), 1)
            self.assertGreaterEqual(same.count(gate.PASS), 27)
            slower = self.outcomes(-0.105, base)    # a tenth less
            self.assertLessEqual(slower.count(gate.PASS), 1)
            self.assertGreaterEqual(slower.count(gate.REGRESSION), 27)
            edge = self.outcomes(-0.0513, base)     # as bad as may be: alarms are mistakes
            self.assertLessEqual(edge.count(gate.REGRESSION), 2)

    def test_worst_counts(self):
        made = [gate.Finding(None, None, None, outcome, None)
                for outcome in (gate.PASS, gate.UNSURE, gate.REGRESSION)]
        self.assertEqual(gate.overall(made), gate.REGRESSION)
        self.assertEqual(gate.overall(made[:2]), gate.UNSURE)
        self.assertEqual(gate.overall(made[:1]), gate.PASS)


if __name__ == '__main__':
    unittest.main()
