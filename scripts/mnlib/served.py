# SPDX-License-Identifier: Apache-2.0
"""Runs a server under a load and says what both cost.

The server is what is compared; the load generator is never preloaded. Wall time and the figures of
--metric are the load's; CPU time, context switches, kernel threads and memory are the server's,
from its start to its end, so that what starting costs counts, too.
"""

import os
import re
import signal
import socket
import stat
import subprocess
import tempfile
import time

from . import interrupt, measure, process, proctree

START_SECONDS = 30
GRACE_SECONDS = 5
CONNECT_SECONDS = 0.25
KEEP = 1 << 16
LAST_LINES = 3
MOST_PATH = 107    # struct sockaddr_un


class ServerFailed(Exception):
    """The server cannot be measured; one line says why."""


class Address:
    """Where the server listens: PORT, HOST:PORT or the path of a unix socket."""

    def __init__(self, text):
        self.text = text
        self._path = text if '/' in text else None
        if self._path is None:
            host, _, port = text.rpartition(':')
            if not re.fullmatch('[0-9]{1,5}', port) or not 0 < int(port) < 65536:
                raise ServerFailed(f'--wait {text}: neither PORT, HOST:PORT nor the path of a socket')
            self._peer = (host.strip('[]') or '127.0.0.1', int(port))
        elif len(os.fsencode(text)) > MOST_PATH:
            raise ServerFailed(f'--wait {text}: a socket\'s path has {MOST_PATH} bytes at most')

    def answers(self):
        """Whether somebody listens there."""
        try:
            if self._path is not None:
                with socket.socket(socket.AF_UNIX) as client:
                    client.settimeout(CONNECT_SECONDS)
                    client.connect(self._path)
            else:
                socket.create_connection(self._peer, CONNECT_SECONDS).close()
            return True
        except socket.gaierror as error:
            raise ServerFailed(f'--wait {self.text}: {error.strerror}') from error
        except UnicodeError:
            raise ServerFailed(f'--wait {self.text}: no name of a host') from None
        except OSError:
            return False

    def must_be_free(self):
        if self.answers():
            raise ServerFailed(f'somebody listens at {self.text} already: end it, or choose '
                               'another address')

    def exists(self):
        return self._path is not None and os.path.exists(self._path)

    def remove_socket(self):
        """A server that was killed leaves its socket, and the next one could not bind."""
        if self.exists() and stat.S_ISSOCK(os.stat(self._path).st_mode) and not self.answers():
            os.unlink(self._path)


class Served:
    """A server, its load, and how to measure them once."""

    def __init__(self, server, load, address, load_environment, grace=GRACE_SECONDS):
        self.server = server
        self.load = load
        self.address = address
        self._load_environment = load_environment
        self._grace = grace

    def measure(self, env, library=None, timeout=None, wanted=()):
        self.address.must_be_free()
        had_socket = self.address.exists()
        run = measure.Run()
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err, interrupt.held():
            child = subprocess.Popen(self.server, env=env, stdin=subprocess.DEVNULL, stdout=out,
                                     stderr=err, start_new_session=True)
            reaped = None
            try:
                interrupt.allow()
                sampler = measure.Sampler(child.pid, library)
                self._await(child, sampler, out, err)
                run = self._under_load(sampler, timeout, wanted)
                before = sum(map(_cpu_of, proctree.descendants(child.pid)))
                died = process.wait_until(child, 0)
                stubborn = not self._stop(child)
                reaped = _reap(child)
            finally:
                if reaped is None:
                    _reap(child)
                if not had_socket:
                    self.address.remove_socket()
            status, usage = reaped
            measure.account(run, usage, sampler)
            # Of a child that nobody waited for, the kernel's final figure knows nothing.
            run.user += max(0, before - run.cpu)
            self._judge(run, status, died, stubborn)
            err.seek(0)
            run.server_err = err.read(KEEP)
            run.stats = measure.stats_in(err)
        return run

    def _await(self, child, sampler, out, err):
        deadline = time.monotonic() + START_SECONDS
        while not self.address.answers():
            sampler.sample()
            if process.wait_until(child, 0.01):
                status = os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
                code = status.si_status if status.si_code == os.CLD_EXITED else -status.si_status
                raise ServerFailed(f'the server ended ({process.ending(code)}) before it listened '
                                   f'at {self.address.text}{_last_words(out, err)}')
            if time.monotonic() > deadline:
                raise ServerFailed(f'the server does not listen at {self.address.text} after '
                                   f'{START_SECONDS} s{_last_words(out, err)}')

    def _under_load(self, sampler, timeout, wanted):
        run = measure.Run()
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err, interrupt.held():
            begin = time.monotonic()
            load = subprocess.Popen(self.load, env=self._load_environment,
                                    stdin=subprocess.DEVNULL, stdout=out, stderr=err,
                                    start_new_session=True)
            try:
                interrupt.allow()
                run.timed_out = not measure.follow(load, sampler.sample, begin, timeout)
                run.begin, run.wall = begin, time.monotonic() - begin
            finally:
                measure.end(load.pid)
                load.wait()
            run.status = load.returncode
            measure.read_output(run, out, err, KEEP, wanted)
        return run

    def _stop(self, child):
        """Whether it ended by itself, of SIGTERM, or of what it was sent before."""
        try:
            os.killpg(child.pid, signal.SIGTERM)
        except (ProcessLookupError, PermissionError):
            return True
        return process.wait_until(child, self._grace)

    @staticmethod
    def _judge(run, status, died, stubborn):
        # SIGTERM is what it was asked for; some end by it, others exit with 0 or 128 + 15.
        stopped = not died and status in (0, -signal.SIGTERM, 128 + signal.SIGTERM)
        server = 'stopped' if stopped else process.ending(status)
        run.ending = f'load {process.ending(run.status)}, server {server}'
        if stubborn:
            run.ending += ' (it did not end at SIGTERM)'
        if not stopped and run.status == 0:
            run.status = status or 1


def _reap(child):
    """Ends what is left of the group; how the server itself ended, and its costs."""
    measure.end(child.pid)
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    return child.returncode, usage


def _last_words(out, err):
    lines = []
    for file in (err, out):
        file.seek(max(0, os.fstat(file.fileno()).st_size - KEEP))
        lines = lines or [line.strip() for line in file.read().decode(errors='replace').splitlines()
                          if line.strip()]
    return ': ' + ' | '.join(lines[-LAST_LINES:]) if lines else '; it wrote nothing'


def _cpu_of(pid):
    fields = proctree.stat(pid)
    return sum(map(int, fields[11:13])) / os.sysconf('SC_CLK_TCK') if len(fields) > 12 else 0
