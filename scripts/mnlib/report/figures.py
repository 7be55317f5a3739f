# SPDX-License-Identifier: Apache-2.0
"""A comparison as JSON, for other programs to read. schema.json says what is in it."""

import json

from .. import estimate
from ..foreign import well_formed
from . import machine, words

SCHEMA = 1


def of(result, procs, library):
    names = [variant.name for variant in result.variants]
    program = result.program
    served = {'server': program.server, 'load': program.load} if hasattr(program, 'server') else None
    begin = min((run.begin for _, run in result.sequence), default=0)
    return {
        'schema': SCHEMA,
        'verdict': words.verdict(result),
        'command': None if served else program.argv,
        'served': served,
        'machine': machine.describe(library),
        'procs': procs,
        'same': result.same,
        'failed': result.failure is not None,
        'made_threads': result.made_threads(),
        'differences': result.differences,
        'notes': result.notes,
        'interval_level': estimate.LEVEL,
        'variants': [{'name': variant.name, 'libmn': variant.libmn, 'options': variant.changes}
                     for variant in result.variants],
        'metrics': [{'name': metric.key, 'unit': metric.unit,
                     'better': 'less' if metric.less_is_better else 'more',
                     'medians': {name: result.median(metric, name) for name in names},
                     'ratios': {name: _estimate(result.estimate(metric, name)) for name in names[1:]}}
                    for metric in result.metrics],
        'runs': [_run(result, name, run, begin) for name, run in result.sequence],
    }


def _estimate(found):
    return found and {'ratio': found.ratio, 'low': found.low, 'high': found.high,
                      'pairs': found.pairs, 'shown': found.shown()}


def _run(result, name, run, begin):
    return {'variant': name, 'begin': run.begin - begin, 'status': run.status, 'ending': run.ending,
            'timed_out': run.timed_out, 'stdout_digest': run.output, 'user': run.user,
            'system': run.system, **{metric.key: metric.of(run) for metric in result.metrics}}


def write(file, result, procs, library):
    json.dump(well_formed(of(result, procs, library)), file, indent=1)
    file.write('\n')
