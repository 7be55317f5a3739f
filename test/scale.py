# SPDX-License-Identifier: Apache-2.0
"""More threads at once than a kernel has: what they cost, and that all of them wake.

There is no native run to compare with: glibc stops near 32,000 threads.
"""

import os

from mnlib import preload, process, suite, verdict

PROGRAM = 'build/test/programs/scale/cond_many'
TIMEOUT = 300
PROCS = 2


class Case:
    """`limits` bounds what the program reports, in its own words."""

    def __init__(self, threads, stack_kib, needs_gib, limits):
        self.threads = threads
        self.needs_gib = needs_gib
        self.limits = limits
        self.argv = [PROGRAM, str(threads), 'report'] + ([str(stack_kib)] if stack_kib else [])
        self.name = f'{threads:,} threads' + (f', {stack_kib} KiB stacks' if stack_kib else '')


CASES = [
    Case(100000, None, 2, {'kb_per_thread': 14, 'kernel_threads': 15}),
    # 12 GB of memory in all.
    Case(1000000, 64, 13, {'kb_per_thread': 12, 'kernel_threads': 15}),
]


def available_gib():
    try:
        with open('/proc/meminfo') as file:
            line = next(line for line in file if line.startswith('MemAvailable:'))
        return int(line.split()[1]) / (1 << 20)
    except (OSError, StopIteration):
        return float('inf')


def run(case, root, library):
    """(what failed or None, how to run it by hand, details, seconds)"""
    options = {'MN_STATS': '1', 'MN_PROCS': str(PROCS)}
    env = {**preload.libmn_environment(library, suite.clean_environment()), **options}
    command = ' '.join([f'{key}={value}' for key, value in options.items()] +
                       ['LD_PRELOAD=' + os.path.relpath(library, root), *case.argv])
    if not os.path.exists(os.path.join(root, PROGRAM)):
        return f'{PROGRAM}: not built', 'make tests', [], 0
    result = process.run(case.argv, env, TIMEOUT, cwd=root)
    details = result.out.splitlines() + result.err.splitlines() + (result.hang or [])
    return _failure(case, result), command, details, result.wall


def _failure(case, result):
    if result.hang is not None or result.status != 0:
        return result.ending()
    lines = result.out.splitlines()
    for line in (f'{case.threads} threads wait', f'{case.threads} threads passed'):
        if line not in lines:
            return f'did not say "{line}"'
    figures = dict(line.split(' ', 1) for line in lines if ' ' in line)
    for key, limit in case.limits.items():
        if float(figures.get(key, 'inf')) > limit:
            return f'{key} is {figures.get(key)}, more than {limit}'
    return verdict.complaint(result.err)
