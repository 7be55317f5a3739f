# SPDX-License-Identifier: Apache-2.0
"""mn compare: the same program at 1:1 and at M:N, in turn."""

import sys

from .. import compare, terminal
from ..progress import Bar
from ..report import figures, page, words
from . import common, measured

NAME = 'compare'
HELP = 'is M:N better for a program than 1:1, and why'
DESCRIPTION = '''
Runs a program at 1:1 (without libmn) and at M:N (with it) in turn, after one run at 1:1 that only
warms the caches, and says which is better, how sure that is, and what each cost: time, CPU,
context switches, kernel threads, memory. A pair is one run of each, back to back; a difference
counts when the 98 % interval of the pairs' median ratio leaves out 1 and it is 2 % or more. There
are 12 pairs, or as many as ten seconds have room for, up to 40.

Each run reads the same standard input when that is a file, and nothing otherwise. What it writes
on standard output is compared; standard error is not.
'''
EPILOG = r'''
examples:
  mn compare -- pigz -k -c big.log
      judged by wall time
  mn compare -n 20 --html report.html --json report.json -- \
      xz -T4 -k -c big.log
      twenty pairs; also a page to look at and the figures for a program
  mn compare --also procs=1,2,4 --also preempt_ms=0 -- ./app
      more variants: libmn's options without MN_, in small letters (MN_HELP=1 lists them)
  mn compare --also mode=1:1 -- ./app
      is it libmn's threads or its mere presence?
  mn compare --metric 'events: +(\d+)' \
      --metric-less 'p95=95th percentile: +([\d.]+)' -- \
      sysbench threads --threads=64 run
      judged by what the program says of itself; a REGEX that holds a = needs a NAME=
  mn compare --server './server --port 8080' --wait 8080 \
      --load 'wrk -t2 -c100 -d5 http://localhost:8080/' \
      --metric 'Requests/sec: +([\d.]+)'
      a server under load: costs are the server's, time and figures the load generator's

exit status: 0; 1 when results differ between 1:1 and M:N, the program fails (ends with another status
than 0, or by a signal), or a run took longer than --timeout; 125 when mn itself fails, 126 or 127 when there is no such command, 128 + N after signal N.
'''

DIFFERENT = 1


def add_options(parser):
    parser.description = DESCRIPTION
    parser.epilog = EPILOG
    parser.add_argument('-n', type=common.number(1, 1000), metavar='PAIRS', dest='runs',
                        help='runs of each variant; default 12 to 40, the shorter the more; '
                             'less than 7 show nothing')
    parser.add_argument('--also', action='append', default=[], metavar='NAME=VALUE[,VALUE...]',
                        help='further variants of M:N, by an option of libmn; repeatable')
    measured.add_options(parser)
    parser.add_argument('--html', type=common.file_name, metavar='FILE', help='also write a page with plots to FILE, a new one')
    parser.add_argument('--json', type=common.file_name, metavar='FILE',
                        help='also write all figures to FILE, a new one (schema.json in mnlib/report)')
    common.add_force(parser)


def main(options, parser):
    subject = measured.Subject(options, parser)
    with measured.outputs({'--json': options.json, '--html': options.html}, options.force, parser.failed) as files:
        return measure(options, parser, subject, files)


def measure(options, parser, subject, files):
    sides = 2 + sum(text.count(',') + 1 for text in options.also)
    bar = Bar(1 + (options.runs or compare.LEAST_ROUNDS) * sides)
    with measured.one_line_errors(parser.failed, bar.clear):
        series = subject.series(options.also, bar)
        series.rounds(options.runs)
        result = series.judge()
    bar.clear()
    for option, form in (('--json', figures), ('--html', page)):
        if option in files:
            measured.write(files[option], lambda file, form=form: form.write(
                file, result, options.procs, subject.library), parser.failed)
    common.say(words.text(result, options.procs, terminal.columns(sys.stdout)), parser.failed)
    return DIFFERENT if result.differences or result.failure else 0
