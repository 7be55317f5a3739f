# SPDX-License-Identifier: Apache-2.0
"""Tests MN_TRACE and mn trace, against the documented Trace Event Format and what the program did."""

import bisect
import glob
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest

from observed import PROCS, PROGRAMS, ROOT, Program, preload, suite, the_library

MN = os.path.join(ROOT, 'scripts', 'mn')
TRACED = os.path.join(PROGRAMS, 'traced')
# What a P may note at once, and in each of the observer's periods; see observe/recorder.cc.
RING, PER_SECOND = 32768, 500 / 0.02

NUMBER = (int, float)
# Phase: what an event of that phase must have beside ph, pid and tid, by the document "Trace Event
# Format".
FIELDS = {
    'X': {'ts': NUMBER, 'dur': NUMBER, 'name': str, 'cat': str, 'args': dict},
    's': {'ts': NUMBER, 'id': int, 'name': str, 'cat': str},
    'f': {'ts': NUMBER, 'id': int, 'name': str, 'cat': str, 'bp': str},
    'C': {'ts': NUMBER, 'name': str, 'args': dict},
    'M': {'name': str, 'args': dict},
}


def check_format(events):
    """Raises AssertionError where a reader would complain, or draw something else than was meant."""
    for event in events:
        fields = FIELDS[event['ph']]
        for name, kind in {'pid': int, 'tid': int, **fields}.items():
            assert isinstance(event[name], kind), event
        assert event['ph'] != 'C' or all(isinstance(v, NUMBER) for v in event['args'].values()), event
        assert event['ph'] != 'f' or event['bp'] == 'e', event
    tracks = {}
    for event in events:
        if event['ph'] == 'X':
            tracks.setdefault(event['tid'], []).append((event['ts'], event['ts'] + event['dur']))
    for track in tracks.values():
        track.sort()
        for (_, end), (begin, _) in zip(track, track[1:]):
            assert end <= begin + 0.0005, f'slices overlap: {end} {begin}'
    begins = {tid: [begin for begin, _ in track] for tid, track in tracks.items()}
    sources = {event['id']: event for event in events if event['ph'] == 's'}
    assert len(sources) == sum(event['ph'] == 's' for event in events), 'two arrows with one number'
    for event in events:
        if event['ph'] == 'f':
            assert event['ts'] in begins[event['tid']][slice(*around(begins, event))], event
            assert sources[event['id']]['ts'] <= event['ts'], event


def around(begins, event):
    at = bisect.bisect_left(begins[event['tid']], event['ts'])
    return max(0, at - 1), at + 2


class Traced(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix='mn-trace-')
        self.addCleanup(shutil.rmtree, self.folder)
        self.file = os.path.join(self.folder, 'trace.json')

    def trace(self, *arguments, procs='2'):
        """Runs a case; the events of its trace, which is well-formed."""
        with Program('traced', *arguments, MN_TRACE=self.file, MN_PROCS=procs) as program:
            self.assertEqual((program.end(), program.err), (0, ''))
        return self.events(self.file)

    def events(self, path):
        with open(path, encoding='utf-8') as file:
            events = json.load(file)
        check_format(events)
        return events

    def mn(self, *arguments, **options):
        return subprocess.run([sys.executable, MN, 'trace', '--lib', the_library(), *arguments],
                              text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False,
                              stdin=subprocess.DEVNULL, timeout=60, **options)


def slices(events, name=None):
    found = [event for event in events if event['ph'] == 'X' and event['cat'] == 'thread']
    return sorted((event for event in found if name in (None, event['name'])), key=lambda e: e['ts'])


def unrecorded(events):
    return sum(event['args']['switches'] for event in events if event.get('cat') == 'gap')


class Recording(Traced):
    def test_who_blocks_whom(self):
        events = self.trace('blocked', procs='1')
        waits, after = [event for event in slices(events, 'thread 1')][-2:]
        self.assertEqual((waits['args']['end'], waits['args']['for'], waits['args']['held by']),
                         ('waits', 'mutex', 'main thread'))
        self.assertEqual(waits['args']['name'], 'wants "it"')
        self.assertEqual(after['args']['end'], 'ends')
        self.assertEqual(slices(events, 'main thread')[-1]['args']['end'], 'runs')
        arrow, = (event for event in events if event['ph'] == 'f' and event['ts'] == after['ts'])
        wake, = (event for event in events if event['ph'] == 's' and event['id'] == arrow['id'])
        self.assertTrue(any(main['ts'] <= wake['ts'] <= main['ts'] + main['dur']
                            for main in slices(events, 'main thread')), wake)

    def test_every_turn_of_a_small_crowd(self):
        for procs in PROCS:
            events = self.trace('crowd', '10', '100', procs=procs)
            os.unlink(self.file)
            self.assertEqual(unrecorded(events), 0)
            self.assertEqual({event['name'] for event in slices(events)},
                             {'main thread', *(f'thread {n}' for n in range(1, 11))})
            for n in range(1, 11):
                mine = slices(events, f'thread {n}')
                self.assertEqual(mine[-1]['args']['end'], 'ends', procs)
                if procs == '1':    # elsewhere a yield may find nobody to yield to
                    self.assertGreaterEqual(len(mine), 100)
            tracks = {event['tid'] for event in slices(events)}
            self.assertLessEqual(tracks, set(range(1, int(procs) + 1)))

    def test_a_flood_is_bounded_and_counted(self):
        for procs in PROCS:
            events = self.trace('crowd', '1000', '2000', procs=procs)
            os.unlink(self.file)
            turns = slices(events)
            seconds = (turns[-1]['ts'] - turns[0]['ts']) / 1e6 + 1
            self.assertLess(len(turns), (RING + seconds * PER_SECOND) * int(procs))
            self.assertGreater(unrecorded(events), 0)
            if procs == '1':
                self.assertGreaterEqual(len(turns) + unrecorded(events), 1000 * 2000)
            last, = (event for event in events if event['name'] == 'libmn')
            self.assertEqual(last['args'], {'slices': len(turns),
                                            'switches not recorded': unrecorded(events)})

    def test_ten_thousand(self):
        events = self.trace('crowd', '10000', '1')
        self.assertGreaterEqual(len({event['name'] for event in slices(events)}), 10001)

    def test_exit_that_runs_no_destructors(self):
        self.assertEqual(slices(self.trace('_exit'), 'thread 3')[-1]['args']['end'], 'ends')


class Files(Traced):
    def test_what_exists_is_not_touched(self):
        with open(self.file, 'w', encoding='utf-8') as file:
            file.write('mine')
        with Program('traced', 'crowd', '3', MN_TRACE=self.file) as program:
            self.assertEqual(program.end(), 0)
            other = f'{self.file}.{program.child.pid}'
            self.assertEqual(program.err, f'libmn: trace: {self.file} exists: writing {other}\n')
        with open(self.file, encoding='utf-8') as file:
            self.assertEqual(file.read(), 'mine')
        self.assertEqual(len(slices(self.events(other), 'thread 3')), 1)

    def test_links_are_not_followed(self):
        os.symlink(os.path.join(self.folder, 'nothing'), self.file)
        with Program('traced', 'crowd', '3', MN_TRACE=self.file) as program:
            self.assertEqual(program.end(), 0)
        self.assertFalse(os.path.exists(self.file))
        self.assertEqual(len(slices(self.events(f'{self.file}.{program.child.pid}'), 'thread 3')), 1)

    def test_a_child_has_its_own(self):
        with Program('traced', 'forks', MN_TRACE=self.file) as program:
            self.assertEqual(program.end(), 0, program.err)
            self.assertEqual(program.err.count('\n'), 1)
        ours, theirs = self.events(self.file), self.events(*glob.glob(self.file + '.*'))
        self.assertNotEqual(ours[0]['pid'], theirs[0]['pid'])
        self.assertEqual(len({event['name'] for event in slices(ours)}), 4)
        self.assertEqual(len({event['name'] for event in slices(theirs)}), 4)

    def test_what_cannot_be_written(self):
        for place, why in ((os.path.join(self.folder, 'no', 'file'), 'no such directory'),
                           (os.path.join('/dev/null', 'file'), 'not a directory'),
                           (self.folder, 'is a directory'), ('/dev/full', 'not a file')):
            with Program('traced', 'crowd', '3', MN_TRACE=place) as program:
                self.assertEqual(program.end(), 0)
                self.assertEqual(program.out, 'done\n')
                self.assertEqual(program.err, f'libmn: trace: {place}: {why}; no more is traced\n')

    def test_no_room(self):
        env = {**preload.libmn_environment(the_library(), suite.clean_environment(), procs=2),
               'MN_TRACE': self.file}
        limit = 100000

        def at_start():
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

        done = subprocess.run([TRACED, 'crowd', '100', '1000'], env=env, text=True, preexec_fn=at_start,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60, check=False)
        self.assertEqual((done.returncode, done.stdout), (0, 'done\n'))
        self.assertEqual(done.stderr, f'libmn: trace: {self.file}: file too large; no more is traced\n')


class Command(Traced):
    def test_summary(self):
        done = self.mn('-o', self.file, '--procs', '1', '--', TRACED, 'blocked')
        self.assertEqual((done.returncode, done.stderr), (0, ''))
        self.assertRegex(done.stdout, r'mutex 0x[0-9a-f]+ held by main thread +1 .* main thread \(100%\)')
        self.events(self.file)
        again = self.mn('--read', self.file)
        self.assertEqual(again.stdout, done.stdout.split('\n', 1)[1])   # the program's line is first

    def test_status(self):
        done = self.mn('-o', self.file, '--', TRACED, 'nonsense')
        self.assertEqual((done.returncode, done.stdout),
                         (2, 'failed\nmn: there is no trace: the command made no threads, or could not '
                             'write it\n'))

    def test_killed(self):
        command = [sys.executable, MN, 'trace', '--lib', the_library(), '-o', self.file, '--', TRACED,
                   'endless']
        with subprocess.Popen(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as mn:
            self.assertEqual(mn.stdout.readline(), 'ready\n')
            while not os.path.exists(self.file) or os.path.getsize(self.file) < 1 << 16:
                self.assertIsNone(mn.poll())
            with open(self.file, encoding='utf-8') as file:
                os.kill(int(re.search(r'"pid":(\d+)', file.readline())[1]), signal.SIGKILL)
            out, err = mn.communicate(timeout=60)
        self.assertEqual((mn.returncode, err), (128 + signal.SIGKILL, ''))
        self.assertIn('the end is missing', out)
        self.assertGreater(len(slices(self.events(self.file))), 0)

    def test_refusals(self):
        with open(self.file, 'w', encoding='utf-8') as file:
            file.write('{}\n')
        for arguments, said in ((('--read', self.file), f'{self.file} is not a trace of libmn'),
                                (('--read', self.file + '.no'), f'{self.file}.no: No such file or directory'),
                                (('-o', self.folder, '--', 'true'), f'{self.folder}: not a file'),
                                (('-o', '/nowhere/t', '--', 'true'), '/nowhere/t: No such file or directory'),
                                (('--', '/nowhere/program'), '/nowhere/program: not found')):
            done = self.mn(*arguments, cwd=self.folder)
            self.assertEqual((done.stdout, done.stderr), ('', f'mn: {said}\n'))
            self.assertNotEqual(done.returncode, 0)
