# SPDX-License-Identifier: Apache-2.0
"""Reads what MN_TRACE wrote: how long threads waited, for what, and who woke them.

The file is in the JSON Array Format of Chrome's trace viewer, an event on each line, so that one
that breaks off (the process was killed) can be read as far as it goes, and mended.
"""

import bisect
import collections
import json


class Damaged(Exception):
    """Not a trace of libmn's."""


class Trace:
    def __init__(self):
        self.slices = collections.defaultdict(list)     # track: events in order of their begin
        self.wakes = {}                                 # flow: the event that begins it
        self.arrivals = {}                              # (track, begin of a slice): flow
        self.begins = {}                                # track: when its slices begin
        self.gaps = []                                  # begin and end of what was not recorded
        self.unrecorded = 0
        self.complete = False

    @property
    def threads(self):
        return len({event['name'] for track in self.slices.values() for event in track})

    @property
    def count(self):
        return sum(len(track) for track in self.slices.values())

    @property
    def seconds(self):
        """From the first slice to the end of the last."""
        begins = [track[0]['ts'] for track in self.slices.values()]
        ends = [end_of(track[-1]) for track in self.slices.values()]
        return (max(ends) - min(begins)) / 1e6 if begins else 0


def end_of(event):
    return event['ts'] + event['dur']


def read(path):
    trace = Trace()
    with open(path, encoding='utf-8') as file:
        for number, line in enumerate(file):
            text = line.strip()
            if number == 0 and not text.startswith('[{'):
                raise Damaged(f'{path} is not a trace of libmn')
            if text == ']':
                trace.complete = True
                break
            try:
                _take(trace, json.loads(text.lstrip('[').rstrip(',')))
            except ValueError:
                break   # the last line of a process that was killed
    for number, track in trace.slices.items():
        track.sort(key=lambda event: event['ts'])
        trace.begins[number] = [event['ts'] for event in track]
    return trace


def _take(trace, event):
    phase = event['ph']
    if phase == 'X' and event['cat'] == 'gap':
        trace.unrecorded += event['args']['switches']
        trace.gaps.append((event['ts'], end_of(event)))
    elif phase == 'X':
        trace.slices[event['tid']].append(event)
    elif phase == 's':
        trace.wakes[event['id']] = event
    elif phase == 'f':
        trace.arrivals[event['tid'], event['ts']] = event['id']


def mend(path):
    """Gives a trace that breaks off its end: readers disagree on whether they can do without."""
    with open(path, 'rb+') as file:
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
            turns[event['name']].append((event['ts'], number, event))
    found = collections.defaultdict(Wait)
    for mine in turns.values():
        mine.sort(key=lambda turn: turn[0])
        for (_, _, before), (begin, number, _) in zip(mine, mine[1:]):
            why = before['args']
            if why['end'] != 'waits' or in_gap(gaps, end_of(before), begin):
                continue
            key = (why['for'], why['address'], why.get('held by'))
            found[key].add(begin - end_of(before), waker(trace, number, begin))
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
    at = bisect.bisect_right(trace.begins.get(wake['tid'], []), wake['ts']) - 1
    if at < 0:
        return None
    event = trace.slices[wake['tid']][at]
    return event['name'] if wake['ts'] <= end_of(event) else None
