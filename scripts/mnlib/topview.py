# SPDX-License-Identifier: Apache-2.0
"""The lines of mn top: two looks at a program's state, and what happened between them."""

import collections
import time

from .inspect import Ended, Refused
from .layout import Unreadable
from .symbols import Places

FOREVER = (1 << 63) - 1
MOST_ADDRESSES = 10
MOST_THREADS = 8
MOST_TRIES = 5
# Lines about other things than Ps when there are many.
RESERVED = 16
# Of these waits the key is no address of the program's.
NO_ADDRESS = ('sleep', 'descriptor', 'join')

Look = collections.namedtuple('Look', 'time ps ms gs sched')


class Over(Exception):
    """The process has ended while it was looked at."""


class View:
    SCHED = 'nprocs n_idle_ps n_idle_ms n_ms n_spinning global_size observed'.split()

    def __init__(self, process, state):
        self._process = process
        self._state = state
        self._before = None
        self._places = Places(process)

    def check(self):
        if not self._state.started():
            raise Refused(f'process {self._process.pid}: libmn has made no threads in it')

    def _look(self):
        """A torn read is tried again."""
        for left in reversed(range(MOST_TRIES)):
            try:
                sched = {name: self._state.sched(name) for name in self.SCHED}
                return Look(time.monotonic(), self._state.ps(), self._state.ms(), self._state.gs(), sched)
            except Unreadable:
                if left == 0:
                    raise Ended from None
        return None

    def lines(self, rows):
        """As many as are worth showing on `rows` of them; 0: there is room for all."""
        try:
            now = self._look()
            lines = self._all_lines(now, rows)
        except Ended:
            if self._before is None:
                raise
            raise Over from None
        self._before = now
        return lines

    def _all_lines(self, now, rows):
        before = self._before
        elapsed = now.time - before.time if before else 0
        lines = [self._header(now)]
        if not before:
            lines.append('(*: since the start, not per second)')
        lines += self._p_lines(now, before, elapsed, max(rows - RESERVED, 2) if rows else 0)
        lines += self._wait_lines(now, before, elapsed)
        lines += self._address_lines(now)
        if now.sched['observed'] & self._process.layout['observed.cpu_times']:
            lines += self._thread_lines(now)
        return [line for part in lines for line in ([part] if isinstance(part, str) else part)]

    def _header(self, now):
        s = now.sched
        on_a_p = {p.cur for p in now.ps if p.cur}
        count = collections.Counter(self._doing(g, on_a_p) for g in now.gs)
        lost = self._process.layout['attention.lost_p']
        blocked = sum(1 for m in now.ms if m.wired or m.attention == lost)
        states = ', '.join(f'{count[word]:,} {word}' for word in ('running', 'runnable', 'waiting', 'in the kernel'))
        return [f'{self._process.command()}  process {self._process.pid}  up {duration(self._process.uptime())}  '
                f'libmn {self._process.library}',
                f'Gs: {len(now.gs):,}: {states}',
                f'Ms: {s["n_ms"]}: {s["n_idle_ms"]} idle, {s["n_spinning"]} spinning, {blocked} blocked;  '
                f'Ps: {s["nprocs"]}: {s["n_idle_ps"]} idle;  global queue: {s["global_size"]}']

    @staticmethod
    def _doing(g, on_a_p):
        if g.state == 'waiting' or g.state == 'runnable':
            return g.state
        return 'running' if g.address in on_a_p else 'in the kernel'

    def _p_lines(self, now, before, elapsed, most):
        names = {g.address: g for g in now.gs}
        then = {p.id: p for p in before.ps} if before else {}
        yield ''
        yield ' P  runs                        queue switches/s steals/s preempt/s   timers'
        shown = now.ps if not most or len(now.ps) <= most else sorted(
            now.ps, key=lambda p: (p.m == 0, -p.queue))[:most]
        timers = collections.Counter(g.heap for g in now.gs if g.heap)
        for p in sorted(shown):
            old = then.get(p.id)
            runs = 'idle' if not p.m else self._runs(names.get(p.cur))
            figures = [rate(getattr(p, name), old and getattr(old, name), elapsed)
                       for name in ('switches', 'steals', 'preemptions')]
            yield (f'{p.id:2}  {runs[:26]:26} {p.queue:6} {figures[0]:>10} {figures[1]:>8} {figures[2]:>9} '
                   f'{timers[p.timers]:8,}')
        if len(shown) < len(now.ps):
            yield f'    ... {len(now.ps) - len(shown)} more'

    def _runs(self, g):
        if g is None:
            return 'looks for work'
        return f'{self._state.label(g)} {g.name}'

    def _wait_lines(self, now, before, elapsed):
        waiting = collections.Counter(g.kind for g in now.gs if g.kind)
        parks = self._parks(now)
        old = self._parks(before) if before else {}
        rows = [(kind, waiting[kind], rate(parks[kind], old.get(kind), elapsed))
                for kind in parks if parks[kind] or waiting[kind]]
        yield ''
        yield 'wait for       now     per second'
        for kind, count, parked in sorted(rows, key=lambda row: (-row[1], row[0])):
            yield f'{kind:10} {count:7,} {parked:>14}'
        if not rows:
            yield 'nothing'

    def _parks(self, look):
        return {kind: sum(p.parks[number] for p in look.ps if number < len(p.parks))
                for number, kind in self._state.kinds.items()}

    def _address_lines(self, now):
        hot = collections.Counter((g.kind, g.key) for g in now.gs if g.kind and g.kind not in NO_ADDRESS)
        if not hot:
            return
        yield ''
        yield 'threads wait at'
        self._places.refresh()
        for (kind, key), count in hot.most_common(MOST_ADDRESSES):
            yield f'{count:7,} {kind:10} {key:#016x}  {self._places.describe(key)}'

    def _thread_lines(self, now):
        old = {g.address: g for g in self._before.gs} if self._before else {}
        used = []
        for g in now.gs:
            past = old.get(g.address)
            spent = g.cpu_ns - past.cpu_ns if past and past.tid == g.tid and past.name == g.name else g.cpu_ns
            used.append((spent, g))
        used = [(spent, g) for spent, g in used if spent > 0]
        if not used:
            return
        yield ''
        yield 'CPU time of threads' + (' since the last view' if self._before else '')
        for spent, g in sorted(used, key=lambda pair: -pair[0])[:MOST_THREADS]:
            yield f'{spent / 1e6:10.1f} ms  {self._state.label(g)} {g.name}'


def rate(now, before, elapsed):
    """A second; where there was no look before, the total since the start, marked."""
    if before is None or elapsed <= 0:
        return f'{now:,}*' if now else '0'
    return f'{max(now - before, 0) / elapsed:,.0f}'


def duration(seconds):
    minutes, hours = int(seconds) // 60, int(seconds) // 3600
    if hours:
        return f'{hours}:{minutes % 60:02}:{int(seconds) % 60:02}'
    return f'{minutes}:{int(seconds) % 60:02}'
