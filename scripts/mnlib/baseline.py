# SPDX-License-Identifier: Apache-2.0
"""The file that mn ci compares with: the ratios of another day, pair by pair.

Ratios of M:N to 1:1, not times: both sides ran on the same machine in the same minute, so they can
be held against those of another machine. The pairs are kept because a baseline is uncertain, too.
"""

import json
import math
import os

from . import estimate, files
from .foreign import well_formed
from .report import machine

SCHEMA = 1
KIND = 'mn ci baseline'
MOST_BYTES = 16 << 20
MOST_PAIRS = 100000
MOST_RATIO = 1e100
MOST_WORD = 64


class BadBaseline(Exception):
    """A file that nothing can be compared with."""


def identity(program):
    """What must be equal for two measurements to be of the same program."""
    if hasattr(program, 'server'):
        return well_formed({'server': program.server, 'load': program.load})
    return well_formed({'command': program.argv})


def write(file, result, judged, library):
    figures = {}
    for metric in judged:
        logs = result.log_ratios(metric)
        found = estimate.estimate(logs)
        if found is None:
            raise BadBaseline(f'no ratio of {metric.title} can be told: a figure is zero or negative')
        figures[metric.key] = {'ratio': round(found.ratio, 4), 'pairs': [float(f'{math.exp(each):.6g}')
                                                                       for each in logs]}
    json.dump({'schema': SCHEMA, 'kind': KIND, **identity(result.program),
               'machine': machine.describe(library), 'metrics': figures}, file, indent=1)
    file.write('\n')


def read(path, program, judged):
    """The log ratios of each metric, by its key."""
    try:
        content = json.loads(files.read_regular(path, MOST_BYTES))
    except FileNotFoundError as error:
        if os.path.lexists(path):
            raise BadBaseline(f'{path}: a symbolic link that leads nowhere') from error
        raise BadBaseline(f'{path}: no such file; --write-baseline makes it') from error
    except OSError as error:
        raise BadBaseline(f'{path}: {error.strerror}') from error
    except (ValueError, RecursionError) as error:
        raise BadBaseline(f'{path}: not JSON: {error}') from error
    if not isinstance(content, dict) or content.get('kind') != KIND:
        raise BadBaseline(f'{path}: not a baseline of mn ci')
    if content.get('schema') != SCHEMA:
        raise BadBaseline(f'{path}: schema {str(content.get("schema"))[:MOST_WORD]}, and this mn knows {SCHEMA}: '
                          '--update writes it anew')
    if any(content.get(key) != value for key, value in identity(program).items()):
        raise BadBaseline(f'{path}: the baseline of another command; --update writes it anew')
    return {metric.key: _logs(path, content, metric) for metric in judged}


def _logs(path, content, metric):
    try:
        pairs = content['metrics'][metric.key]['pairs']
        logs = [_log(ratio) for ratio in pairs]
    except KeyError as error:
        raise BadBaseline(f'{path}: nothing of {metric.key}; --update writes it anew') from error
    except (TypeError, ValueError) as error:
        raise BadBaseline(f'{path}: the pairs of {metric.key} are no ratios') from error
    if len(logs) > MOST_PAIRS:
        raise BadBaseline(f'{path}: {len(logs):,} pairs of {metric.key}: at most {MOST_PAIRS:,} make sense')
    if len(logs) < estimate.LEAST_PAIRS:
        raise BadBaseline(f'{path}: {len(logs)} pairs of {metric.key}; at least '
                          f'{estimate.LEAST_PAIRS} are needed: --update writes it anew')
    return logs


def _log(ratio):
    if type(ratio) not in (int, float) or not 1 / MOST_RATIO <= ratio <= MOST_RATIO:
        raise ValueError
    return math.log(ratio)
