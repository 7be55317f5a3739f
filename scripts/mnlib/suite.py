# SPDX-License-Identifier: Apache-2.0
"""The preload tests and programs: finding them, running them natively and under libmn, judging.

A preload test is one TEST of a GoogleTest binary and runs in a process of its own; it must pass.
A plain program must write the same and exit the same as it does natively. Either must show that
libmn was at work, see verdict.py. What differs from that a test says itself:

  TEST(UnderLibmn..., ...)      tests libmn's own doings: it has no native run
  // test: native=no            (near the top of a program) there is no native run, the oracle is
                                PROGRAM.expected beside the source, and the exit status 0
  // test: procs=1,2            runs with these MN_PROCS only
  // test: timeout=300          seconds, for a program that needs long
  // test: signal=yes           the program is meant to die of a signal
  // test: stress=60            seconds, given to the program as its argument by `make stress`
"""

import collections
import ctypes.util
import fnmatch
import os
import re
import shlex
import signal
import subprocess
import threading

from . import preload, process, verdict

# Below the 60 seconds after which a test's own watchdog ends it: first look, then kill.
TIMEOUT = 55

UNDER_LIBMN = 'UnderLibmn'
SOURCE_SUFFIXES = ('.c', '.cc')
DIRECTIVE = re.compile(r'^\W*test: (\w+=.*?)\W*$', re.MULTILINE)
DIRECTIVES = {'native', 'procs', 'timeout', 'signal', 'stress'}
TAIL_LINES = 25
# What GoogleTest says of every run.
GTEST_NOISE = re.compile(r'\[[=-]{10}\]|Note: Google Test filter|Running main|\s*$|'
                         r'\[  (PASSED|FAILED|SKIPPED)\s+\] \d+ tests?[.,]|\s*\d+ FAILED TEST')

# Each is what a machine or a user may lack; libmn must work without it. Without heal: a wake-up that is lost is seen.
FALLBACKS = [
    {'MN_SWITCH': 'ucontext'},
    {'MN_DISABLE': 'fsgsbase'},
    {'MN_DISABLE': 'guard_install'},
    {'MN_DISABLE': 'membarrier,heal'},
]

# Preloaded beside libmn, in either order; which packages have them: scripts/setup.
ALLOCATORS = ['jemalloc', 'tcmalloc_minimal', 'mimalloc']
# What makes and ends most threads and processes, and loads libraries.
BESIDE_ALLOCATORS = ['storm', 'fork_tree', 'processes', 'loading', 'exit_while_running', 'order', 'Fork.*', 'Key.*']


def beside_allocators(library):
    """An environment for each allocator and order; BadSuite when one is not installed."""
    for name in ALLOCATORS:
        soname = ctypes.util.find_library(name)
        if soname is None:
            raise BadSuite(f'lib{name} is not installed: sh scripts/setup test')
        for both in ([library, soname], [soname, library]):
            yield {'LD_PRELOAD': ':'.join(both)}


def as_in_the_foreground():
    """A shell has its background jobs ignore the keyboard's signals, and nohup a hang-up, which tests would inherit."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGQUIT, signal.SIG_DFL)
    if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN:
        signal.signal(signal.SIGHUP, lambda *_: None)    # caught, it is at its default in children


class Test:
    def __init__(self, name, argv, gtest, directives=None):
        directives = directives or {}
        self.name = name
        self.argv = argv
        self.gtest = gtest
        self.has_native = (not name.startswith(UNDER_LIBMN) and
                           directives.get('native', 'yes') == 'yes')
        self.timeout = float(directives.get('timeout', 0))
        self.procs = directives.get('procs')
        self.may_die = directives.get('signal') == 'yes'
        self.stress = directives.get('stress')
        self.expected = None    # stdout, where a file says it

    def lengthen(self):
        """For `make stress`."""
        if self.stress:
            self.argv = [*self.argv, self.stress]
            self.timeout = self.timeout or 4 * float(self.stress)

    def wants(self, procs):
        return self.procs is None or str(procs) in self.procs.split(',')


class Outcome:
    """One run of one test. `failure` is None or one line; `details` say more."""

    def __init__(self, test, where, command, failure, details, wall):
        self.name = f'{test.name} [{where}]'
        self.command = command
        self.failure = failure
        self.details = details
        self.wall = wall


class BadSuite(Exception):
    """The tests cannot even be listed."""


def gtest_names(binary, env, wrapper=()):
    """Every TEST of a GoogleTest binary, as Suite.Name."""
    listing = subprocess.run([*wrapper, binary, '--gtest_list_tests'], env=env, text=True,
                             stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, check=False, timeout=TIMEOUT)
    if listing.returncode != 0:
        raise BadSuite(f'{binary}: cannot list its tests: {process.ending(listing.returncode)}: '
                       f'{listing.stderr.strip()[-500:]}')
    names, suite = [], None
    for line in listing.stdout.splitlines():
        word = line.split('#')[0].strip()
        if line.startswith('  '):
            names.append(suite + word)
        elif word.endswith('.'):
            suite = word
    return names


def clean_environment():
    """This process's environment without what would change how tests run."""
    env = preload.native_environment()
    return {key: value for key, value in env.items()
            if not key.startswith(('MN_', 'GTEST_', 'OMP_', 'GOMP_'))}


Gap = collections.namedtuple('Gap', 'name procs reason')


def _read_gaps(root):
    path = os.path.join(root, 'test', 'gaps.txt')
    if not os.path.exists(path):
        return []
    with open(path) as file:
        return [Gap(*line.split(None, 2)) for line in file.read().splitlines()
                if line and not line.startswith('#')]


class Suite:
    """The tests under `root`, and how each ran natively: once, the first time that is needed."""

    def __init__(self, root, library, timeout=TIMEOUT):
        self._root = root
        self._library = library
        self._timeout = timeout
        self._env = clean_environment()
        self._native = {}
        self._lock = threading.Lock()
        self.gaps = _read_gaps(root)

    def preload_tests(self):
        binary = 'build/test/preload_tests'
        if not os.path.exists(os.path.join(self._root, binary)):
            raise BadSuite(f'{binary}: not built')
        return [Test(name, [binary, f'--gtest_filter={name}', '--gtest_color=no'], True)
                for name in gtest_names(os.path.join(self._root, binary), self._env)]

    def programs(self):
        """The built programs. A source without one is an error: it would be skipped silently."""
        tests = []
        folder = os.path.join(self._root, 'test', 'programs')
        for source in sorted(os.listdir(folder)) if os.path.isdir(folder) else []:
            name, suffix = os.path.splitext(source)
            if suffix not in SOURCE_SUFFIXES:
                continue
            binary = f'build/test/programs/{name}'
            if not os.path.exists(os.path.join(self._root, binary)):
                raise BadSuite(f'{binary}: not built')
            test = Test(name, [binary], False, _directives(os.path.join(folder, source)))
            if not test.has_native:
                with open(os.path.join(folder, name + '.expected')) as file:
                    test.expected = file.read()
            tests.append(test)
        return tests

    def run_native(self, test):
        """The Outcome of the native run and, for the comparison, its Result."""
        with self._lock:
            gate = self._native.setdefault(test.name, [threading.Lock(), None])
        with gate[0]:
            if gate[1] is None:
                result = self._run(test, self._env)
                outcome = self._outcome(test, 'native', {}, result,
                                        _native_failure(test, result))
                gate[1] = outcome, result
            return gate[1]

    def is_gap(self, test, procs, extra=None):
        """Whether test/gaps.txt says that libmn cannot do this yet."""
        settings = {'*', str(procs), *(extra or {}).values()}
        return any(fnmatch.fnmatch(test.name, gap.name) and gap.procs in settings for gap in self.gaps)

    def run_libmn(self, test, procs, extra=None):
        """The Outcome under libmn with MN_PROCS=procs and the options `extra`."""
        options = {'MN_STATS': '1', 'MN_PROCS': str(procs), **(extra or {})}
        native = None
        if test.has_native:
            outcome, native = self.run_native(test)
            if outcome.failure and not test.gtest:
                return self._outcome(test, _where(options), options, native,
                                     'has no oracle: its native run failed')
        result = self._run(test, {**preload.libmn_environment(self._library, self._env),
                                  **options})
        return self._outcome(test, _where(options), options, result,
                             _libmn_failure(test, result, native))

    def _run(self, test, env):
        return process.run(test.argv, env, test.timeout or self._timeout, cwd=self._root)

    def _outcome(self, test, where, options, result, failure):
        words = [f'{key}={value}' for key, value in options.items()]
        if options and 'LD_PRELOAD' not in options:
            words.append('LD_PRELOAD=' + os.path.relpath(self._library, self._root))
        command = ' '.join(words + [shlex.quote(word) for word in test.argv])
        details = _details(result) if failure else []
        return Outcome(test, where, command, failure, details, result.wall)


def _directives(source):
    with open(source, errors='replace') as file:
        head = file.read(2000)
    found = {}
    for line in DIRECTIVE.findall(head):
        for word in line.split():
            key, _, value = word.partition('=')
            if key not in DIRECTIVES:
                raise BadSuite(f'{source}: unknown directive {word!r}')
            found[key] = value
    return found


def _where(options):
    words = dict(options, LD_PRELOAD=':'.join(map(os.path.basename, options.get('LD_PRELOAD', '').split(':'))))
    return ' '.join(f'{key}={value}' for key, value in words.items() if value and key != 'MN_STATS')


def _gtest_failure(result):
    if '[  SKIPPED ]' in result.out:
        return 'skipped: a test must run'
    if result.status == 0 and '[  PASSED  ] 1 test.' not in result.out:
        return 'ended before the test did'
    return None


def _native_failure(test, result):
    if result.hang is not None:
        return result.ending()
    if test.gtest:
        return result.ending() if result.status != 0 else _gtest_failure(result)
    if result.status < 0 and not test.may_die:
        return result.ending()
    return None


def _libmn_failure(test, result, native):
    if result.hang is not None:
        return result.ending()
    if test.gtest:
        failure = result.ending() if result.status != 0 else _gtest_failure(result)
    else:
        failure = _difference(test, result, native)
    # A signal leaves no time for statistics.
    if failure or result.status < 0:
        return failure
    return verdict.complaint(result.err, native is None or verdict.makes_threads(native.err))


def _difference(test, result, native):
    status = native.status if native else 0
    if result.status != status:
        return f'{result.ending()}, natively {process.ending(status)}'
    expected = native.out if native else test.expected
    if result.out == expected:
        return None
    ours, theirs = result.out.splitlines(), expected.splitlines()
    for number, (a, b) in enumerate(zip(ours, theirs), 1):
        if a != b:
            return f'stdout differs in line {number}: {a!r}, natively {b!r}'
    return f'stdout differs: {len(ours)} lines, natively {len(theirs)}'


def _details(result):
    lines = []
    for title, text in (('stdout', result.out), ('stderr', result.err)):
        tail = [line for line in text.splitlines() if not GTEST_NOISE.match(line)]
        if tail:
            lines.append(f'{title}, {len(tail)} lines:')
            lines += ['  ' + line for line in tail[-TAIL_LINES:]]
    if result.hang:
        lines.append('where it hung:')
        lines += ['  ' + line for line in result.hang]
    return lines
