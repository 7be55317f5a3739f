# SPDX-License-Identifier: Apache-2.0
"""Reads what MN_TRACE wrote: how long threads waited, for what, and who woke them.

The file is in the JSON Array Format of Chrome's trace viewer, an event on each line, so that one
that breaks off (the process was killed) can be read as far as it goes. It may be anybody's: each event is
checked, and no more than MOST_EVENTS are kept.
"""

import bisect
import collections
import json
import os
import sys

from . import files

MOST_LINE = 4096         # bytes
MOST_EVENTS = 1 << 22
MOST_WORD = 64           # characters, of a name
MOST_NUMBER = 1e18


class Damaged(Exception):
    """Not a trace of libmn's."""


# A turn of a thread. Times are microseconds; `end` is how it ended; where that is "waits", `kind`, `address` and `holder`
# (or None) say for what. And a wake-up.
Slice = collections.namedtuple('Slice', 'ts dur name end kind address holder')
Wake = collections.namedtuple('Wake', 'track ts')


class Trace:
    def __init__(self):
        self.slices = collections.defaultdict(list)     # track: Slices in order of their begin
        self.wakes = {}                                 # flow: the Wake that begins it
        self.arrivals = {}                              # (track, begin of a slice): flow
        self.begins = {}                                # track: when its slices begin
        self.gaps = []                                  # begin and end of what was not recorded
        self.unrecorded = 0
        self.complete = False
        self.cut = False                                # there are more events than were read

    @property
    def threads(self):
        return len({event.name for track in self.slices.values() for event in track})

    @property
    def count(self):
        return sum(len(track) for track in self.slices.values())

    @property
    def seconds(self):
        """From the first slice to the end of the last."""
        begins = [track[0].ts for track in self.slices.values()]
        ends = [end_of(track[-1]) for track in self.slices.values()]
        return (max(ends) - min(begins)) / 1e6 if begins else 0


def end_of(event):
    return event.ts + event.dur


def read(path):
    with files.open_regular(path) as file:
        trace = _read(file, path)
    for number, track in trace.slices.items():
        track.sort(key=lambda event: event.ts)
        trace.begins[number] = [event.ts for event in track]
    return trace


def _read(file, path):
    trace = Trace()
    for number in range(MOST_EVENTS):
        line = file.readline(MOST_LINE)
        text = line.strip()
        if number == 0 and not text.startswith(b'[{'):
            raise Damaged(f'{path} is not a trace of libmn')
        if text == b']':
            trace.complete = True
            return trace
        if not line:
            return trace
        try:
            event = json.loads(text.lstrip(b'[').rstrip(b','))
        except (ValueError, RecursionError):
            return trace   # the last line of a process that was killed
        try:
            _take(trace, event)
        except (KeyError, TypeError, AttributeError):
            raise Damaged(f'{path} is not a trace of libmn: line {number + 1} is no event') from None
    trace.cut = True
    return trace


def _take(trace, event):
    """KeyError or TypeError where it is no event."""
    phase = event['ph']
    if phase == 'X' and event['cat'] == 'gap':
        begin, length = _number(event['ts']), _number(event['dur'])
        trace.unrecorded += _number(event['args']['switches'])
        trace.gaps.append((begin, begin + length))
    elif phase == 'X':
        args, waits = event['args'], event['args']['end'] == 'waits'
        holder = _word(args['held by']) if 'held by' in args else None
        trace.slices[_number(event['tid'])].append(Slice(
            _number(event['ts']), _number(event['dur']), _word(event['name']), _word(args['end']),
            *((_word(args['for']), _word(args['address']), holder) if waits else (None,) * 3)))
    elif phase == 's':
        trace.wakes[_number(event['id'])] = Wake(_number(event['tid']), _number(event['ts']))
    elif phase == 'f':
        trace.arrivals[_number(event['tid']), _number(event['ts'])] = _number(event['id'])


def _number(value):
    if type(value) not in (int, float) or not 0 <= value <= MOST_NUMBER:
        raise TypeError
    return value


def _word(value):
    """Words come again and again: each is kept once."""
    if not isinstance(value, str):
        raise TypeError
    return sys.intern(value[:MOST_WORD])


def mend(path):
    """Gives a trace that breaks off its end: readers disagree on whether they can do without."""
    with open(files.open_existing(path, os.O_RDWR), 'rb+') as file:
        data = file.read()
        end = len(data) if data.endswith(b'}') else data.rfind(b'},\n') + 1
        file.truncate(end)
        file.seek(end)
        file.write(b'\n]\n')


class Wait:
    """All waits of one kind at one address (for a mutex: held by one thread)."""

    def __init__(self):
        self.count = 0
        self.microseconds = 0.0
        self.longest = 0.0
        self.wakers = collections.Counter()

    def add(self, length, waker):
        self.count += 1
        self.microseconds += length
        self.longest = max(self.longest, length)
        if waker:
            self.wakers[waker] += 1


def waits(trace):
    """What was waited for: {(kind, address, holder or None): Wait}.

    Only waits that ended, and during which everything was recorded: the thread may have run in
    between.
    """
    gaps = merged(trace.gaps)
    turns = collections.defaultdict(list)
    for number, track in trace.slices.items():
        for event in track:
            turns[event.name].append((event.ts, number, event))
    found = collections.defaultdict(Wait)
    for mine in turns.values():
        mine.sort(key=lambda turn: turn[0])
        for (_, _, before), (begin, number, _) in zip(mine, mine[1:]):
            if before.end != 'waits' or in_gap(gaps, end_of(before), begin):
                continue
            found[before.kind, before.address, before.holder].add(begin - end_of(before), waker(trace, number, begin))
    return dict(found)


def merged(gaps):
    """The gaps of all tracks as intervals that do not overlap: their begins, and their ends."""
    begins, ends = [], []
    for begin, end in sorted(gaps):
        if ends and begin <= ends[-1]:
            ends[-1] = max(ends[-1], end)
        else:
            begins.append(begin)
            ends.append(end)
    return begins, ends


def in_gap(gaps, begin, end):
    """Whether anything between `begin` and `end` lies in one of the merged gaps."""
    begins, ends = gaps
    last = bisect.bisect_left(begins, end) - 1
    return last >= 0 and ends[last] > begin


def waker(trace, track, begin):
    """The thread whose wake-up led to the slice that begins there; None: not known."""
    wake = trace.wakes.get(trace.arrivals.get((track, begin)))
    if wake is None:
        return None
    at = bisect.bisect_right(trace.begins.get(wake.track, []), wake.ts) - 1
    if at < 0:
        return None
    event = trace.slices[wake.track][at]
    return event.name if wake.ts <= end_of(event) else None
