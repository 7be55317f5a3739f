# SPDX-License-Identifier: Apache-2.0
"""Runs one program in several ways in turn, and judges whether their results agree."""

import os
import statistics
import time

from . import estimate, measure, metrics, variants, verdict

# Pairs of runs where nobody says how many: the least that show much, and more of short programs,
# which vary more and cost less. How long they take decides, not how they turn out: who goes on
# until a difference shows finds one.
LEAST_ROUNDS = 12
MOST_ROUNDS = 40
SECONDS = 10


class Program:
    """A command to measure once under an environment."""

    def __init__(self, argv, stdin_path=os.devnull, pick=None):
        self.argv = argv
        self._stdin_path = stdin_path
        self._pick = pick
        self._keep = 4096 if pick is None else 1 << 20

    def measure(self, env, library=None, timeout=None, wanted=()):
        run = measure.measure(self.argv, env, self._stdin_path, timeout, self._keep, wanted,
                              library)
        if self._pick is not None:
            run.output = self._pick(run.out.decode(errors='replace'))
        return run


class Comparison:
    """The runs of each variant, in order; `same` is 'yes', 'no' or 'varies' (1:1 disagrees with
    itself). `sequence` has every run as it came, with its variant's name."""

    def __init__(self, program, variants_, metrics_):
        self.program = program
        self.variants = variants_
        self.metrics = metrics_
        self.runs = {variant.name: [] for variant in variants_}
        self.sequence = []
        self.same = 'yes'
        self.failure = None    # in a sentence, where the program fails: its costs are not worth comparing
        self.differences = []
        self.notes = []

    @property
    def native(self):
        return self.runs['1:1']

    @property
    def libmn(self):
        return self.runs['M:N']

    def pairs(self):
        """Rounds in which every variant came to an end."""
        return min(map(len, self.runs.values()))

    def timed_out(self):
        return [name for name, runs in self.runs.items() if any(run.timed_out for run in runs)]

    def values(self, metric, name):
        return [value for value in map(metric.of, self.runs[name]) if value is not None]

    def median(self, metric, name):
        values = self.values(metric, name)
        return statistics.median(values) if values else None

    def medians(self, key):
        metric = next(each for each in self.metrics if each.key == key)
        return self.median(metric, '1:1'), self.median(metric, 'M:N')

    def log_ratios(self, metric, name='M:N'):
        """Of the pairs with 1:1, how many times better: see estimate.log_ratios()."""
        pairs = [(metric.of(a), metric.of(b)) for a, b in zip(self.native, self.runs[name])]
        known = [pair for pair in pairs if None not in pair]
        return estimate.log_ratios([a for a, _ in known], [b for _, b in known],
                                   metric.less_is_better)

    def estimate(self, metric, name='M:N'):
        return None if self.failure else estimate.estimate(self.log_ratios(metric, name))

    def made_threads(self):
        """Whether the program did; None: not known, as libmn says nothing of a process that ends by a signal or _exit()."""
        if any(run.threaded for runs in self.runs.values() for run in runs):
            return True
        found = {verdict.made_threads(run.stats) for run in self.libmn} or {None}
        return next(each for each in (True, None, False) if each in found)


class Series:
    """Measures a program's variants round by round, after one run at 1:1 that warms the caches."""

    def __init__(self, program, variants_, wanted=(), library=None, timeout=None, progress=None):
        self.result = Comparison(program, variants_, [*wanted, *metrics.BUILT_IN])
        self._wanted = wanted
        self._library = library
        self._timeout = timeout
        self._progress = progress
        self._warm = self._once(variants_[0])
        if self._warm.timed_out:
            self.result.native.append(self._warm)
        self._index = 0

    def round(self):
        """One run of each; False when there is no use in going on."""
        if self.result.timed_out() or self._only_fails():
            return False
        for variant in order(self.result.variants, self._index):
            run = self._once(variant)
            self.result.runs[variant.name].append(run)
            self.result.sequence.append((variant.name, run))
            if run.timed_out:
                return False
        self._index += 1
        return True

    def rounds(self, number=None):
        """So many rounds; without a number as many as the first one's time allows."""
        begin = time.monotonic()
        done = 0
        while done < (number or LEAST_ROUNDS) and self.round():
            done += 1
            if number is None:
                number = rounds_for(time.monotonic() - begin)
                if self._progress:
                    self._progress.expect(1 + number * len(self.result.variants))

    def _only_fails(self):
        """One round shows whether it does at M:N, too."""
        return self._index > 0 and all(run.status != 0 for run in (self._warm, *self.result.native))

    def judge(self):
        judge(self.result, self._warm)
        return self.result

    def _once(self, variant):
        if self._progress:
            self._progress()
        library = self._library if variant.libmn else None
        return self.result.program.measure(variant.environment, library, self._timeout, self._wanted)


def rounds_for(seconds):
    """How many rounds to run when one takes so long."""
    return max(LEAST_ROUNDS, min(MOST_ROUNDS, int(SECONDS / max(seconds, 1e-3))))


def order(things, index):
    """Each comes in each place equally often, so that drift hits all alike."""
    size = len(things)
    turned = things[index % size:] + things[:index % size]
    return turned if size == 2 or index // size % 2 == 0 else turned[::-1]


def compare(argv, library, runs=5, timeout=None, pick=None):
    """Measures `argv` at 1:1 and M:N. `pick`, where given, takes from stdout what must be equal."""
    both = [variants.native(), variants.libmn(library)]
    series = Series(Program(argv, pick=pick), both, library=library, timeout=timeout)
    series.rounds(runs)
    return series.judge()


def judge(result, warm):
    """Whether the variants' results agree; `warm`: a run at 1:1 beside the others."""
    stuck = result.timed_out()
    if stuck:
        result.same = 'no'
        result.differences.append(f'no end within the time limit at {" and ".join(stuck)}')
        return
    native = [warm] + result.native
    for variant in result.variants[1:]:
        runs = result.runs[variant.name]
        _judge_endings(result, native, variant.name, runs)
        _judge_output(result, native, variant.name, runs)
        complaints = {_complaint(run, variant) for run in runs}
        result.notes += sorted(f'{variant.name}: {complaint}' for complaint in complaints - {None})
    result.notes = list(dict.fromkeys(result.notes))


def _complaint(run, variant):
    text = (run.err if run.server_err is None else run.server_err).decode(errors='replace')
    if not variant.expects_threads_of_libmn():
        return None
    # A program that SIGTERM or _exit ends writes no statistics.
    if run.preloaded and not verdict.stats_of(text):
        text += f'\n{verdict.STATS} mode=mn'
    return verdict.complaint(text, threads=False)


def _judge_endings(result, native, name, runs):
    theirs = {run.ending for run in native}
    ours = {run.ending for run in runs}
    result.failure = result.failure or _failure(native, name, runs)
    if not ours <= theirs:
        result.same = 'no'
        result.differences.append(f'the endings differ: 1:1 {_either(theirs)}, {name} {_either(ours)}')
        result.differences += _last_words(name, next(run for run in runs if run.ending not in theirs))
    elif failures(native):
        result.notes += _last_words('1:1', failures(native)[0])


def failures(runs):
    return [run for run in runs if run.status != 0]


def _failure(native, name, runs):
    """The sentence, or None: it never fails."""
    theirs, ours = failures(native), failures(runs)
    if theirs:
        where = 'with libmn and without it' if ours else 'without libmn, and not with it'
        return f'The program fails {where}: {_how(theirs, native)}. There is nothing to compare.'
    if ours:
        return f'The program fails only under libmn ({name}): {_how(ours, runs)}. Without libmn it does not fail.'
    return None


def _how(failed, runs):
    some = '' if len(failed) == len(runs) else f', in {len(failed)} of {len(runs)} runs'
    return _either({run.ending for run in failed}) + some


def _judge_output(result, native, name, runs):
    theirs = {run.output for run in native}
    if {run.output for run in runs} <= theirs:
        return
    if len(theirs) > 1:
        if result.same == 'yes':
            result.same = 'varies'
        result.notes.append('the output varies from run to run at 1:1 already: not compared')
        return
    result.same = 'no'
    differing = sum(run.output not in theirs for run in runs)
    result.differences.append(f'the outputs differ: {differing} of {len(runs)} {name} runs '
                              'wrote something else on stdout than 1:1 did')


def _either(endings):
    return ' and '.join(sorted(endings))


def _last_words(name, run):
    text = run.err if run.server_err is None or run.err else run.server_err
    lines = [line for line in text.decode(errors='replace').splitlines()
             if line.strip() and not line.startswith(verdict.STATS)]
    return [f'  {name} stderr: {line}' for line in lines[-5:]]


def ratio_in_words(native, libmn, less, more):
    """How many times `libmn` is below or above `native`: '3.1x faster'."""
    if native is None or libmn is None:
        return '-'
    if native == libmn or (min(native, libmn) > 0 and estimate.within(native / libmn)):
        return 'the same'
    if min(native, libmn) <= 0:
        return less if libmn < native else more
    ratio = max(native, libmn) / min(native, libmn)
    return f'{times(ratio)}x {less if libmn < native else more}'


def times(ratio):
    return f'{ratio:,.0f}' if ratio >= 100 else f'{ratio:.1f}' if ratio >= 10 else f'{ratio:.2f}'
