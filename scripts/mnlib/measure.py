# SPDX-License-Identifier: Apache-2.0
"""Runs a command once and says what it cost.

Wall time, CPU time and context switches are the kernel's own figures (wait4). Kernel threads are
sampled from /proc, so a peak of a few milliseconds may be missed.
"""

import hashlib
import os
import resource
import select
import signal
import subprocess
import tempfile
import time

from . import interrupt, metrics, process, proctree, verdict

# Sampling starts fast, for short runs, and slows down so that it costs long ones nothing.
FIRST_SAMPLE_SECONDS = 0.002
LAST_SAMPLE_SECONDS = 0.02
TREE_SECONDS = 0.2

# Of a program's output, where figures are looked for.
METRIC_BYTES = 16 << 20


class Run:
    """One run and its costs. The keys of metrics.BUILT_IN are attributes; None: not known."""

    def __init__(self):
        self.status = None
        self.ending = None      # how it ended, in words
        self.timed_out = False
        self.output = None      # a digest of stdout
        self.out = b''          # its beginning
        self.err = b''          # the end of stderr
        self.server_err = None  # of a server under load, whose stderr is not `err`
        self.preloaded = False  # whether libmn was seen in a process
        self.threaded = False   # whether a process was seen with more than one kernel thread
        self.stats = []         # what libmn said of its processes: verdict.stats_of()
        self.begin = None       # seconds on the monotonic clock
        self.wall = self.user = self.system = None
        self.switches = self.memory = self.threads = None
        self.figures = {}       # what the program says of itself, by Metric.key

    @property
    def cpu(self):
        return None if self.user is None else self.user + self.system


class Sampler:
    """Follows the process tree: peak number of kernel threads, peak memory of one process."""

    def __init__(self, pid, library=None):
        self.pids = [pid]
        self._library = library and os.path.realpath(library)
        self.preloaded = False      # whether `library` was seen in one of them
        self._next_tree = time.monotonic() + TREE_SECONDS / 4
        self.threads = 0
        self.threaded = False       # whether one of them had several
        self.memory = 0

    def sample(self):
        if time.monotonic() >= self._next_tree:
            self.pids = proctree.descendants(self.pids[0])
            self._next_tree = time.monotonic() + TREE_SECONDS
        threads = 0
        for pid in self.pids:
            fields = proctree.status(pid)
            own = int(fields.get('Threads', '0'))
            self.threaded |= own > 1
            threads += own
            self.memory = max(self.memory, int(fields.get('VmHWM', '0').split()[0]) * 1024)
        self.threads = max(self.threads, threads)
        if self._library and not self.preloaded:
            self.preloaded = any(proctree.maps(pid, self._library) for pid in self.pids)


def measure(argv, env, stdin_path=os.devnull, timeout=None, keep=4096, wanted=(), library=None):
    """Runs `argv` with stdin from a file; keeps `keep` bytes of stdout and of stderr.

    `wanted`: the Metrics to find in its output; BadMetric when one is not there.
    `library`: to look for in the process.
    """
    run = Run()
    with open(stdin_path, 'rb') as stdin, tempfile.TemporaryFile() as out, \
            tempfile.TemporaryFile() as err, interrupt.held():
        begin = time.monotonic()
        child = subprocess.Popen(argv, env=env, stdin=stdin, stdout=out, stderr=err,
                                 start_new_session=True)
        try:
            interrupt.allow()
            sampler = Sampler(child.pid, library)
            run.timed_out = not follow(child, sampler.sample, begin, timeout)
            run.begin, run.wall = begin, time.monotonic() - begin
        finally:
            end(child.pid)
            _, status, usage = os.wait4(child.pid, 0)
            child.returncode = os.waitstatus_to_exitcode(status)
        run.status = child.returncode
        run.ending = process.ending(run.status)
        account(run, usage, sampler)
        read_output(run, out, err, keep, wanted)
    return run


def read_output(run, out, err, keep, wanted):
    if wanted and not run.timed_out:
        keep = METRIC_BYTES
    run.output = _digest(out)
    out.seek(0)
    run.out = out.read(keep)
    err.seek(max(0, os.fstat(err.fileno()).st_size - keep))
    run.err = err.read()
    run.stats = stats_in(err)
    if wanted and not run.timed_out and run.status == 0:
        run.figures, digest = metrics.evaluate(wanted, run.out, run.err)
        if os.fstat(out.fileno()).st_size <= keep:
            run.output = digest


def stats_in(err):
    """libmn's statistics in a file with the stderr of processes."""
    err.seek(max(0, os.fstat(err.fileno()).st_size - METRIC_BYTES))
    return verdict.stats_of(err.read().decode(errors='replace'))


def follow(child, sample, begin, timeout):
    """Calls `sample` now and then until the child ended: True; False at the time limit."""
    deadline = begin + timeout if timeout else None
    interval = FIRST_SAMPLE_SECONDS
    try:
        handle = os.pidfd_open(child.pid)
        poller = select.poll()
        poller.register(handle, select.POLLIN)
    except (AttributeError, OSError):
        handle = poller = None
    try:
        while True:
            if poller:
                if poller.poll(interval * 1000):
                    return True
            elif process.wait_until(child, interval):
                return True
            sample()
            if deadline and time.monotonic() > deadline:
                return False
            interval = min(interval * 1.2, LAST_SAMPLE_SECONDS)
    finally:
        if handle is not None:
            os.close(handle)


def account(run, usage, sampler):
    run.user = usage.ru_utime
    run.system = usage.ru_stime
    run.switches = usage.ru_nvcsw + usage.ru_nivcsw
    run.threads = sampler.threads or None
    run.preloaded = sampler.preloaded
    run.threaded = sampler.threaded
    # ru_maxrss starts from the memory of whoever called exec, here this interpreter. Below that
    # it says nothing, and the sampled high-water mark is the better figure.
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    peak = usage.ru_maxrss * 1024
    run.memory = peak if peak > own else sampler.memory or None


def _digest(file):
    file.seek(0)
    digest = hashlib.sha256()
    for block in iter(lambda: file.read(1 << 20), b''):
        digest.update(block)
    return digest.hexdigest()


def end(pid):
    try:
        os.killpg(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass
