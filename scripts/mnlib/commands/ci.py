# SPDX-License-Identifier: Apache-2.0
"""mn ci: has M:N become worse? For pipelines."""

import argparse
import os
import sys

from .. import baseline, estimate, gate, metrics, terminal
from ..progress import Bar
from ..report import summary, words
from . import common, measured

NAME = 'ci'
HELP = 'has M:N become worse than it was: for pipelines'
FAILED = 2
REGRESSION = 1
DIFFERENT = 3

DESCRIPTION = '''
Measures how many times better M:N is than 1:1, side by side, and holds that ratio against the one
in a baseline, or against 1 without one. A ratio knows no machine: the baseline may come from another.
Runs more pairs until it is sure, at most --max-runs or --max-seconds. Writes Markdown to standard
output and adds it to $GITHUB_STEP_SUMMARY where that is set.
'''
EPILOG = r'''
examples:
  mn ci -- ./app
      M:N must be at least 0.95 times as good as 1:1, by wall time
  mn ci --baseline perf.json --write-baseline -- ./app
      the first time: measures and writes perf.json, to be committed; later: compares with it
  mn ci --baseline perf.json --fail-below 0.9 \
      --metric 'qps: ([\d.]+)' -- ./bench
      by a figure of the program's own; up to 10 % less is let pass
  mn ci --baseline perf.json --update -- ./app
      writes perf.json anew, after a change that is meant to be slower
  mn ci --strict --max-seconds 300 -- ./app
      fails, too, when noise leaves it undecided

exit status: 0 pass (or could not tell, without --strict); 1 regression; 2 usage, or mn itself or
the program failed; 3 results differ between 1:1 and M:N.
'''


def fraction(text):
    try:
        value = float(text)
    except ValueError:
        value = 0
    if not 0 < value <= 10:
        raise argparse.ArgumentTypeError(f'{text!r} is not a ratio above 0 and up to 10')
    return value


def add_options(parser):
    parser.description = DESCRIPTION
    parser.epilog = EPILOG
    parser.add_argument('--baseline', type=common.file_name, metavar='FILE', help='the ratios to compare with')
    parser.add_argument('--write-baseline', action='store_true', help='write FILE if there is none')
    parser.add_argument('--update', action='store_true', help='write FILE anew; compare with nothing')
    parser.add_argument('--fail-below', type=fraction, default=0.95, metavar='RATIO',
                        help='the least allowed, as a part of the baseline; default 0.95')
    parser.add_argument('--strict', action='store_true', help='fail when it could not tell')
    parser.add_argument('--summary', type=common.file_name, metavar='FILE',
                        help='add the Markdown to FILE, which may be a device, not to $GITHUB_STEP_SUMMARY')
    counts = common.number(estimate.LEAST_PAIRS, 1000)
    parser.add_argument('--min-runs', type=counts, default=10, metavar='PAIRS',
                        help='decide after no fewer pairs of runs; default 10')
    parser.add_argument('--max-runs', type=counts, default=50, metavar='PAIRS',
                        help='give up after so many; default 50')
    parser.add_argument('--max-seconds', type=common.number(1, 86400), default=600,
                        metavar='SECONDS', help='or after this time; default 600')
    measured.add_options(parser)


def main(options, parser):
    if (options.update or options.write_baseline) and not options.baseline:
        parser.error('--update and --write-baseline need --baseline FILE')
    if options.max_runs < options.min_runs:
        parser.error(f'--max-runs {options.max_runs} is less than --min-runs {options.min_runs}')
    subject = measured.Subject(options, parser)
    judged = options.metric or metrics.BUILT_IN[:1]
    writes = options.update or options.write_baseline and not os.path.lexists(options.baseline)
    target = options.summary or os.environ.get('GITHUB_STEP_SUMMARY') or None
    with measured.outputs({'--baseline': options.baseline if writes else None}, options.update, FAILED,
                          {'--summary': target}) as files:
        return measure(options, subject, judged, files)


def measure(options, subject, judged, files):
    writes = '--baseline' in files
    try:
        base = None
        if options.baseline and not writes:
            base = baseline.read(options.baseline, subject.program, judged)
    except baseline.BadBaseline as bad:
        common.fail(bad, FAILED)
    bar = Bar(1 + 2 * options.max_runs)
    with measured.one_line_errors(FAILED, bar.clear):
        series = subject.series(progress=bar)
        # A new baseline should not be what makes later decisions hard.
        precise = 1 + (1 - min(options.fail_below, 0.99)) / 2 if writes else None
        findings = gate.measure(series, judged, options.min_runs, options.max_runs,
                                options.max_seconds, options.fail_below, base, precise)
        result = series.judge()
    bar.clear()
    status, headline, remarks = _conclude(options, result, findings, writes)
    if writes and status == 0:
        def fill(file):
            baseline.write(file, result, judged, subject.library)
        try:
            measured.write(files['--baseline'], fill, FAILED)
        except baseline.BadBaseline as bad:
            common.fail(bad, FAILED)
    unjudged = writes or status == DIFFERENT or words.without_threads(result)
    lines = summary.markdown(result, [] if unjudged else findings,
                             options.fail_below, subject.library, headline, remarks)
    if '--summary' in files:
        measured.write(files['--summary'], lambda file: file.write('\n'.join(lines) + '\n'), FAILED)
    width = terminal.columns(sys.stdout)
    common.say([folded for line in lines for folded in ([line] if line.startswith('|') else terminal.fold(line, width))], FAILED)
    return status


def _conclude(options, result, findings, writes):
    """Exit status, headline and remarks; ends mn where nothing was measured."""
    stuck = result.timed_out()
    if stuck == ['1:1']:
        common.fail(f'the command did not end within {options.timeout} s at 1:1', FAILED)
    if result.differences:
        return (DIFFERENT, '**results differ** between 1:1 and M:N',
                [*([result.failure] if result.failure else []), *result.differences])
    if result.failure:
        common.fail(result.failure, FAILED)
    unseen = [note for note in result.notes if 'libmn was not at work' in note]
    if unseen:
        common.fail(f'{unseen[0]}: nothing to measure', FAILED)
    idle = words.without_threads(result)
    if idle and writes:
        common.fail(f'{idle} No baseline is written', FAILED)
    if idle:
        return 0, 'pass, without threads', [idle]
    if writes:
        return 0, 'baseline written', [f'Wrote {options.baseline}. Nothing was compared: commit it, '
                                       'and later runs are held against it.']
    outcome = gate.overall(findings)
    if outcome == gate.PASS:
        return 0, 'pass', []
    if outcome == gate.REGRESSION:
        return REGRESSION, '**regression**', []
    if options.strict:
        return REGRESSION, '**could not tell**, which --strict takes for a failure', [_advice()]
    return 0, 'pass, but could not tell', [_advice()]


def _advice():
    return ('The figures vary too much for a decision: a longer run of the program, --max-runs, a '
            'quieter machine or a lower --fail-below would help.')
