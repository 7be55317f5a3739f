# SPDX-License-Identifier: Apache-2.0
"""Whether M:N has become worse: a decision that measures no longer than it must.

After so many pairs, and again after half as many more, the interval of each ratio is held against
the least one allowed. Above it: pass; below it: regression; across it: go on. Who looks several
times, or at several figures, is misled more often: 5 % are divided among all looks at all
figures (Bonferroni), so that at most one build in twenty is judged wrongly whatever happens.
"""

import time

from . import estimate

PASS, REGRESSION, UNSURE = 'pass', 'regression', 'unsure'
GROWTH = 1.5
MISTAKEN = 0.05    # at most, of all builds


class Finding:
    """Of one metric: the ratio now, the Estimate that decided, and what that came to."""

    def __init__(self, metric, now, decisive, outcome, base):
        self.metric = metric
        self.now = now              # M:N against 1:1
        self.decisive = decisive    # the same, divided by the baseline's ratio where there is one
        self.outcome = outcome
        self.base = base            # the baseline's ratio, None without one


def looks(least, most):
    """The numbers of pairs after which to look."""
    found = [least]
    while found[-1] < most:
        found.append(min(most, max(found[-1] + 1, round(found[-1] * GROWTH))))
    return found


def judge(logs, fail_below, level, against=()):
    """(Estimate, outcome) of the log ratios of one metric."""
    found = estimate.estimate(logs, level, against)
    if found is None or found.low is None:
        return found, UNSURE
    if found.low >= fail_below or found.same():
        return found, PASS
    return found, REGRESSION if found.high < fail_below else UNSURE


def findings(result, judged, fail_below, level, base):
    made = []
    for metric in judged:
        logs = result.log_ratios(metric)
        against = base.get(metric.key, ()) if base else ()
        decisive, outcome = judge(logs, fail_below, level, against)
        ratio = estimate.estimate(against).ratio if against else None
        made.append(Finding(metric, estimate.estimate(logs, level), decisive, outcome, ratio))
    return made


def overall(found):
    outcomes = {each.outcome for each in found}
    return next(each for each in (REGRESSION, UNSURE, PASS) if each in outcomes)


def measure(series, judged, least, most, max_seconds, fail_below, base=None, precise=None):
    """Runs rounds until all is decided; the Findings.

    `precise`, a factor: go on until each interval is that narrow instead, for a new baseline.
    """
    numbers = looks(least, most)
    level = 1 - MISTAKEN / (len(numbers) * len(judged))
    deadline = time.monotonic() + max_seconds
    done = 0
    found = []
    for number in numbers:
        while done < number and series.round():
            done += 1
            if time.monotonic() > deadline and done >= estimate.LEAST_PAIRS:
                break
        found = findings(series.result, judged, fail_below, level, base)
        if series.result.made_threads() is False:
            break
        narrow = precise and all(each.now and each.now.low and
                                 each.now.high / each.now.low <= precise for each in found)
        decided = narrow if precise else overall(found) != UNSURE
        if done < number or decided or time.monotonic() > deadline:
            break
    return found
