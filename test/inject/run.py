#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Refuses each system call that libmn makes, the first time, the third, and always, with each error that is plausible.

A program (basic.c) must then do what it does natively, or end with one line of libmn's that says why. It must not hang,
crash, or do something else. Last line: "N passed, N failed". Not part of scripts/test (make inject)."""

import argparse
import concurrent.futures
import errno
import os
import random
import re
import signal
import subprocess
import sys

ROOT = os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..'))
sys.path.insert(0, os.path.join(ROOT, 'scripts'))

from mnlib import preload, suite  # noqa: E402

FOLDER = os.path.join(ROOT, 'build', 'test', 'inject')
SECONDS = 30
REFUSED = ('EPERM', 'EACCES', 'ENOSYS')    # a security module's or a filter's
# What else the kernel may say to such a call of libmn's.
MORE = {
    'mmap': ('ENOMEM', 'EAGAIN'), 'mprotect': ('ENOMEM',), 'madvise': ('EINVAL', 'ENOMEM', 'EAGAIN'),
    'munmap': ('ENOMEM',), 'epoll_create1': ('EMFILE', 'ENFILE', 'ENOMEM'), 'eventfd2': ('EMFILE', 'ENFILE', 'ENOMEM'),
    'epoll_ctl': ('ENOSPC', 'ENOMEM'), 'openat': ('ENOENT', 'EMFILE'), 'fcntl': ('EMFILE',),
    'timer_create': ('EAGAIN', 'ENOMEM'), 'rt_tgsigqueueinfo': ('EAGAIN',), 'rt_sigqueueinfo': ('EAGAIN',),
    'membarrier': ('EINVAL',), 'rseq': ('EINVAL',), 'process_vm_readv': ('EFAULT',), 'prctl': ('EINVAL',),
    'mincore': ('ENOMEM', 'EAGAIN'), 'preadv2': ('EOPNOTSUPP',), 'pwritev2': ('EOPNOTSUPP',),
}
# (first that is refused, how many: 0 is all)
WHEN = ((1, 1), (3, 1), (1, 0))
# Natively, too, the function that needs it fails.
TOLD = {'mmap': r'line \d+: pthread_create', 'rt_sigtimedwait': r'line \d+: sigwait'}
# Where libmn needs it only without something else.
ONLY_WITH = {'arch_prctl': {'MN_DISABLE': 'fsgsbase'}}
# libc has no answer to such a refusal either: its threads do not end, its pthread_kill reaches nobody.
NOT = {'exit', 'exit_group', 'rt_sigreturn', 'getpid', 'gettid'}


def numbers():
    """{name: number} of the system calls that libmn's sources name."""
    names = set()
    for top in ('runtime', 'shim'):
        for folder, _, files in os.walk(os.path.join(ROOT, top)):
            for file in files:
                with open(os.path.join(folder, file), encoding='utf-8') as source:
                    names.update(re.findall(r'\bSYS_(\w+)', source.read()))
    header = subprocess.run(['cc', '-E', '-dM', '-include', 'sys/syscall.h', '-x', 'c', '/dev/null'],
                            check=True, capture_output=True, text=True).stdout
    known = dict(re.findall(r'#define __NR_(\w+) (\d+)', header))
    return {name: known[name] for name in sorted(names & set(known) - NOT)}


class Case:
    def __init__(self, name, number, error, when, procs):
        self.name, self.number, self.error, self.when, self.procs = name, number, error, when, procs

    def __str__(self):
        first, count = self.when
        return f'{self.name} {self.error} from {first}, {count or "all"} [MN_PROCS={self.procs}]'

    def command(self, library):
        first, count = self.when
        options = {'MN_PROCS': self.procs, 'LD_PRELOAD': library, **ONLY_WITH.get(self.name, {})}
        return [os.path.join(FOLDER, 'inject'), 'libmn.so', self.number, str(getattr(errno, self.error)), str(first),
                str(count), '/usr/bin/env', *(f'{name}={value}' for name, value in options.items()),
                os.path.join(FOLDER, 'basic')]


def run(command):
    """(exit status or -signal, standard output, standard error); status None: it hung."""
    child = subprocess.Popen(command, env=suite.clean_environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                             text=True, errors='replace', start_new_session=True)
    try:
        out, err = child.communicate(timeout=SECONDS)
        return child.returncode, out, err
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        out, err = child.communicate()
        return None, out, err


def complaint(case, native, found):
    status, out, err = found
    if found[:2] == native[:2] and (err == '' or err.startswith('libmn: ')):
        return None
    if status == 1 and case.name in TOLD and re.fullmatch(TOLD[case.name] + '.*', out.splitlines()[-1]):
        return None
    if status is None:
        return f'hangs after {out.splitlines()[-1:]} {err}'
    # A clean end, with the reason.
    if status in (125, -signal.SIGABRT) and err.startswith('libmn: ') and native[1].startswith(out):
        return None
    return f'exit status {status}, {out.splitlines()[-1:]} {err}'


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--only', action='append', metavar='NAME', help='only these system calls; repeatable')
    parser.add_argument('--procs', default='1,2', metavar='1,2')
    parser.add_argument('--jobs', type=int, default=os.cpu_count(), metavar='J')
    parser.add_argument('--lib', metavar='PATH', help='the libmn.so to test')
    return parser.parse_args()


def main():
    options = arguments()
    library = preload.find_library(options.lib)
    native = run([os.path.join(FOLDER, 'basic')])
    cases = [Case(name, number, error, when, procs)
             for name, number in numbers().items() if not options.only or name in options.only
             for error in REFUSED + MORE.get(name, ()) for when in WHEN for procs in options.procs.split(',')]
    random.Random(1).shuffle(cases)
    failed = 0
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        for case, found in zip(cases, pool.map(lambda case: run(case.command(library)), cases)):
            why = complaint(case, native, found)
            if why is not None:
                failed += 1
                print(f'FAILED {case}: {why}', flush=True)
    print(f'{len(cases) - failed} passed, {failed} failed')
    return failed != 0


if __name__ == '__main__':
    sys.exit(main())
