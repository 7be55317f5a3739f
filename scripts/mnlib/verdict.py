# SPDX-License-Identifier: Apache-2.0
"""Was libmn at work, and was it silent about everything but its statistics?

With MN_STATS=1 libmn ends a program with one line on stderr:
    libmn: stats: mode=mn procs=2 gs=12 switches=345 ms=4 ... pid=4711 program=xz
A program that creates no thread says `no-threads` on its stderr when it runs natively.
"""

import re

STATS = 'libmn: stats:'
PREFIX = 'libmn:'
NO_THREADS = 'no-threads'


def stats_of(stderr):
    """The statistics lines in what a program wrote on stderr, as dictionaries of strings."""
    found = []
    for line in _lines(stderr):
        at = line.find(STATS)
        if at != -1:
            figures = line[at + len(STATS):].partition(' program=')[0]    # a name may hold anything
            pairs = (word.partition('=') for word in figures.split())
            found.append({key: value for key, _, value in pairs})
    return found


def made_threads(stats):
    """Whether processes did whose statistics these are; None: not known."""
    if any(_number(line.get('gs')) >= 1 for line in stats):
        return True
    return False if stats and all(line.get('mode') == 'mn' and line.get('gs') == '0' for line in stats) else None


def makes_threads(native_stderr):
    return NO_THREADS not in (line.strip() for line in _lines(native_stderr))


def complaint(stderr, threads=True):
    """Why a run under libmn does not count, or None. Its children may add lines of their own."""
    for line in _lines(stderr):
        if line.startswith(PREFIX) and not line.startswith(STATS):
            return f'libmn complained: {line}'
    stats = stats_of(stderr)
    if not stats:
        return 'libmn was not at work: no statistics on stderr'
    at_work = [line for line in stats if line.get('mode') == 'mn']
    if not at_work:
        return f'libmn was not at work: mode={stats[-1].get("mode")}'
    if threads and not any(_number(line.get('gs')) >= 1 for line in at_work):
        return 'libmn was not at work: no thread became a G'
    return None


def _number(text):
    return int(text) if text and text.isdigit() else 0


def _lines(text):
    # Programs draw progress bars with bare carriage returns.
    return re.split(r'[\r\n]+', text)
