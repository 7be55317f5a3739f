#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Real programs must do under libmn what they do natively. Last line: "N passed, N failed".

programs   compressors: what libmn's run wrote equals what the native run wrote, and what it
           unpacked equals the original, byte for byte; the others: standard output and exit
           status are equal
servers    every answer under load is right, data on disk are whole, they end in time when they
           are asked to, with their native exit status (scripts/mnlib/servers)

The table is written to build/test/apps.json too, what hung or crashed to build/test/logs.
"""

import argparse
import hashlib
import os
import pathlib
import re
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile

ROOT = os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))
sys.path.insert(0, os.path.join(ROOT, 'scripts'))

from mnlib import apptable, preload, process, sample, servers, suite, verdict  # noqa: E402
from mnlib.servers import matrix  # noqa: E402

APPS = os.path.join(ROOT, 'test', 'apps')
FULL_MEBIBYTES = 112
QUICK_MEBIBYTES = 16
# One hung program must not eat the time of all that follow.
FULL_TIMEOUT = 600
QUICK_TIMEOUT = 120
LOGS = os.path.join(ROOT, 'build', 'test', 'logs')
JSON = os.path.join(ROOT, 'build', 'test', 'apps.json')
GROUPS = ['programs', 'servers']

# Compress and decompress; whether the latter surely uses threads in every release.
COMPRESSORS = {
    'pigz': (['pigz', '-p4', '-c'], ['pigz', '-d', '-p4', '-c'], True),
    'pbzip2': (['pbzip2', '-p4', '-c'], ['pbzip2', '-d', '-p4', '-c'], True),
    'lbzip2': (['lbzip2', '-n4', '-c'], ['lbzip2', '-d', '-n4', '-c'], True),
    'xz': (['xz', '-1', '-T4', '-c'], ['xz', '-d', '-T4', '-c'], False),
    'zstd': (['zstd', '-q', '-3', '-T4', '-c'], ['zstd', '-q', '-d', '-c'], False),
}


class App:
    """A command and what of its output counts: `pick` maps stdout to the comparable part."""

    def __init__(self, name, argv, pick=None, threads=True, must_write=None):
        self.name = name
        self.argv = argv
        self.pick = pick
        self.threads = threads
        self.must_write = must_write    # the digest of the right output, where it is known


class Measured:
    """One run; its output is the file `path` until the next run writes there."""

    def __init__(self, app, result, path):
        self.app = app
        self.result = result
        self.path = path
        self.digest = digest_of(path, app.pick)


def sysbench_events(out):
    return b' '.join(re.findall(rb'total number of events:\s*(\d+)', out))


def sorted_lines(out):
    return b'\n'.join(sorted(out.splitlines()))


class Programs:
    """Runs every program natively and for each MN_PROCS, and fills the table."""

    def __init__(self, options, env, table, folder):
        self._options = options
        self._env = env
        self._table = table
        self._folder = folder
        self._timeout = QUICK_TIMEOUT if options.quick else FULL_TIMEOUT

    def run(self):
        self._compressors()
        quick = self._options.quick
        threads = ['--threads=64', '--time=0']
        events = '--events=300' if quick else '--events=2000'
        self._check('sysbench', App('sysbench threads', ['sysbench', 'threads', *threads, events,
                                                         'run'], sysbench_events))
        self._check('sysbench', App('sysbench mutex', ['sysbench', 'mutex', '--threads=64',
                                                       '--mutex-loops=2000', '--mutex-locks=5000',
                                                       'run'], sysbench_events))
        for name, script, arguments in (
                ('python3: 1,000 threads, queues and locks', 'queues.py', ['1000']),
                ('python3: ring of 1,000 threads', 'ring.py', ['1000', '20000']),
                ('python3: 10,000 threads, 100 at once', 'births.py', ['10000', '100'])):
            self._check('python3', App(name, ['python3', os.path.join(APPS, script), *arguments]))
        self._search()
        self._openmp()
        self._video()
        self._java()
        self._rust()

    def _wanted(self, name):
        return wanted(self._options, name)

    def _compressors(self):
        names = [name for name in COMPRESSORS if self._wanted(name)]
        if not names:
            return
        data = os.path.join(self._folder, 'data')
        sample.write_mixed(data, QUICK_MEBIBYTES if self._options.quick else FULL_MEBIBYTES)
        original = digest_of(data)
        packed = os.path.join(self._folder, 'packed')
        for name in names:
            pack, unpack, threads = COMPRESSORS[name]
            native = self._check(name, App(f'{name} compress', pack + [data]), keep=packed)
            if native and native.result.status == 0:
                self._check(name, App(f'{name} decompress', unpack + [packed], threads=threads,
                                      must_write=original))

    def _search(self):
        if not self._wanted('ripgrep'):
            return
        tree = pathlib.Path(self._folder, 'tree')
        sample.write_tree(tree)
        self._check('rg', App('ripgrep', ['rg', '--no-config', '-uu', '-j4', '-n', 'k.?mutex b',
                                          str(tree)], sorted_lines))

    def _openmp(self):
        if not self._wanted('OpenMP'):
            return
        program = os.path.join(self._folder, 'omp')
        if self._build('OpenMP', [os.environ.get('CC', 'cc'), '-O2', '-fopenmp', '-o', program,
                                  os.path.join(APPS, 'omp.c')]):
            self._check(program, App('OpenMP', [program]))

    def _video(self):
        if not self._wanted('x264'):
            return
        video = os.path.join(self._folder, 'video.y4m')
        sample.write_video(video, 352, 288, 60 if self._options.quick else 400)
        self._check('x264', App('x264', ['x264', '--quiet', '--threads', '4', '--muxer', 'raw',
                                         '-o', '-', video]))

    def _java(self):
        if not self._wanted('java'):
            return
        if shutil.which('java') is None or shutil.which('javac') is None:
            print('java: no JDK is installed, not tested')
            return
        if self._build('java', ['javac', '-d', self._folder, os.path.join(APPS, 'Threads.java')]):
            self._check('java', App('java', ['java', '-Xmx256m', '-cp', self._folder, 'Threads']))

    def _rust(self):
        if not self._wanted('rust'):
            return
        if shutil.which('rustc') is None:
            print('rust: no rustc is installed, not tested')
            return
        program = os.path.join(self._folder, 'threads')
        if self._build('rust', ['rustc', '-O', '-o', program, os.path.join(APPS, 'threads.rs')]):
            self._check(program, App('rust', [program]))

    def _build(self, name, command):
        try:
            built = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                   env=self._env, text=True, check=False)
            if built.returncode == 0:
                return True
            self._table.fail(name, 'cannot be built', shlex.join(command),
                             built.stdout.splitlines())
        except OSError as error:
            self._table.fail(name, f'cannot be built: {error.strerror}', shlex.join(command), [])
        return False

    def _check(self, program, app, keep=None):
        """The native run, whose output stays in the file `keep`, then libmn's runs against it."""
        if not self._wanted(app.name):
            return None
        if shutil.which(program) is None:
            self._table.fail(app.name, f'{program} is not installed: sh scripts/setup test', '', [])
            return None
        native = self._measure(app, self._env, keep or os.path.join(self._folder, 'native'))
        failure = native_failure(native)
        if failure:
            self._table.fail(app.name, f'natively: {failure}', shlex.join(app.argv),
                             native.result.err.splitlines() + (native.result.hang or []))
            self._table.add(app.name, None, None, None, apptable.SECONDS, 'FAILED natively')
            return native
        for procs in self._options.procs:
            walls = self._under_libmn(app, native, procs)
            self._table.add(app.name, procs, native.result.wall,
                            statistics.median(walls) if walls else None, apptable.SECONDS,
                            f'{len(walls)} of {self._options.repeat} right')
        return native

    def _under_libmn(self, app, native, procs):
        walls = []
        env = preload.libmn_environment(self._options.lib, self._env, procs, stats=True)
        for _ in range(self._options.repeat):
            libmn = self._measure(app, env, os.path.join(self._folder, 'libmn'))
            failure = libmn_failure(libmn, native)
            if failure:
                command = f'MN_STATS=1 MN_PROCS={procs} LD_PRELOAD={self._options.lib} '
                self._table.fail(f'{app.name} [MN_PROCS={procs}]', failure,
                                 command + shlex.join(app.argv),
                                 libmn.result.err.splitlines() + (libmn.result.hang or []))
                break
            self._table.passed += 1
            walls.append(libmn.result.wall)
        return walls

    def _measure(self, app, env, path):
        with open(path, 'wb') as out:
            result = process.run(app.argv, env, self._timeout, cwd=self._folder, stdout=out)
        return Measured(app, result, path)


def wanted(options, name):
    return not options.only or any(part in name for part in options.only)


def native_failure(native):
    if native.result.hang is not None or native.result.status != 0:
        return native.result.ending()
    if native.app.must_write not in (None, native.digest):
        return 'what it unpacked differs from the original'
    return None


def libmn_failure(libmn, native):
    if libmn.result.hang is not None or libmn.result.status != native.result.status:
        return f'{libmn.result.ending()}, natively {native.result.ending()}'
    if libmn.digest != native.digest:
        return difference(libmn.path, native.path)
    return verdict.complaint(libmn.result.err, libmn.app.threads)


def difference(path, native_path):
    sizes = [os.path.getsize(p) for p in (path, native_path)]
    at = 0
    with open(path, 'rb') as ours, open(native_path, 'rb') as theirs:
        while True:
            a, b = ours.read(4096), theirs.read(4096)
            if a != b or not a:
                break
            at += len(a)
    at += len(os.path.commonprefix([a, b]))
    return f'wrote {sizes[0]} bytes, natively {sizes[1]}; they differ from byte {at} on'


def digest_of(path, pick=None):
    digest = hashlib.sha256()
    with open(path, 'rb') as file:
        if pick:
            digest.update(pick(file.read()))
            return digest.hexdigest()
        for block in iter(lambda: file.read(1 << 20), b''):
            digest.update(block)
    return digest.hexdigest()


def parse_arguments():
    def positive(text):
        if not text.isdigit() or int(text) < 1:
            raise argparse.ArgumentTypeError(f'{text!r} is not a positive number')
        return int(text)

    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('groups', nargs='*', metavar='GROUP',
                        help='programs, servers; default: both')
    parser.add_argument('--quick', action='store_true',
                        help=f'{QUICK_MEBIBYTES} MiB, short loads, and MN_PROCS=2 only')
    parser.add_argument('--procs', metavar='1,2,8',
                        type=lambda text: [positive(part) for part in text.split(',')])
    parser.add_argument('--repeat', type=positive, default=1, metavar='N')
    parser.add_argument('--only', action='append', metavar='NAME',
                        help='only programs whose name holds this; repeatable')
    parser.add_argument('--lib', metavar='PATH', help='the libmn.so to test')
    parser.add_argument('--native', action='store_true', help='run servers without libmn only')
    options = parser.parse_args()
    for group in options.groups:
        if group not in GROUPS:
            parser.error(f'{group!r} is not one of: {", ".join(GROUPS)}')
    options.groups = options.groups or GROUPS
    options.server_procs = options.procs or ([2] if options.quick else [1, 2])
    options.procs = options.procs or ([2] if options.quick else [1, 2, 8])
    return options


def main():
    options = parse_arguments()
    try:
        options.lib = preload.find_library(options.lib)
    except preload.Refused as refusal:
        print(f'apps: {refusal}\n0 passed, 1 failed')
        return 1
    table = apptable.Table()
    env = suite.clean_environment()
    if 'programs' in options.groups and not options.native:
        with tempfile.TemporaryDirectory(prefix='mn-apps-') as folder:
            Programs(options, env, table, folder).run()
    if 'servers' in options.groups:
        recipes = [recipe for recipe in servers.ALL if wanted(options, recipe.name)]
        matrix.Servers(recipes, options, env, table, LOGS).run()
    print('\n'.join(table.lines()))
    table.write_json(JSON)
    print(f'{table.passed} passed, {table.failed} failed')
    return 1 if table.failed or table.passed == 0 else 0


if __name__ == '__main__':
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
