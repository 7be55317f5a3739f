# SPDX-License-Identifier: Apache-2.0
"""Runs a command with a time limit and, when it hangs, records where before it kills it."""

import os
import select
import shutil
import signal
import subprocess
import tempfile
import threading
import time

from . import proctree

GDB_SECONDS = 30
OUTPUT_LIMIT = 64 << 20

_running = {}
_running_lock = threading.Lock()


class Result:
    """How a command ended. `status` is the exit status, or -N after signal N."""

    def __init__(self, status, out, err, wall, hang):
        self.status = status
        self.out = out
        self.err = err
        self.wall = wall
        self.hang = hang    # where it hung, in lines; None when it ended by itself

    def ending(self):
        if self.hang is not None:
            return f'did not end in {self.wall:.0f} s'
        return ending(self.status)


def ending(status):
    if status >= 0:
        return f'exit status {status}'
    try:
        return f'killed by {signal.Signals(-status).name}'
    except ValueError:
        return f'killed by signal {-status}'


def run(argv, env, timeout, cwd=None, stdout=None):
    """Runs `argv` in a session of its own. `stdout`, a file, keeps the output out of the Result."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        begin = time.monotonic()
        child = subprocess.Popen(argv, env=env, cwd=cwd, stdin=subprocess.DEVNULL,
                                 stdout=stdout or out, stderr=err, start_new_session=True)
        with _running_lock:
            _running[child.pid] = child
        hang = None
        try:
            ended = wait_until(child, timeout)
            wall = time.monotonic() - begin
            if not ended:
                hang = diagnose(child.pid)
        finally:
            # Also ends what the command left behind in its session.
            _kill(child.pid)
            child.wait()
            with _running_lock:
                del _running[child.pid]
        return Result(child.returncode, _content(out), _content(err), wall, hang)


def kill_all():
    """Kills what run() has under way in other threads."""
    with _running_lock:
        for pid in _running:
            _kill(pid)


def wait_until(child, timeout):
    """Whether the child ended within `timeout` seconds. It stays a zombie: nothing is reaped."""
    deadline = time.monotonic() + timeout
    try:
        handle = os.pidfd_open(child.pid)
    except (AttributeError, OSError):
        return _poll_until(child, deadline)
    try:
        poller = select.poll()
        poller.register(handle, select.POLLIN)
        return bool(poller.poll(max(0, deadline - time.monotonic()) * 1000))
    finally:
        os.close(handle)


def _poll_until(child, deadline):
    while True:
        if os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            return True
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.01)


def diagnose(pid):
    """What `pid` and its descendants are doing, as the kernel and gdb (if there is one) see it."""
    lines = []
    for member in proctree.descendants(pid):
        lines += proctree.describe_tasks(member)
        lines += _backtraces(member)
    return lines


def _backtraces(pid):
    gdb = shutil.which('gdb')
    if gdb is None:
        return []
    # In a session of its own, with its children, so that a stuck gdb can be ended as one.
    command = [gdb, '-nx', '-batch', '-iex', 'set debuginfod enabled off', '-iex',
               'set auto-load safe-path /', '-p', str(pid), '-ex', 'thread apply all bt 40']
    with tempfile.TemporaryFile() as out:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out,
                                 stderr=subprocess.STDOUT, start_new_session=True)
        if not wait_until(child, GDB_SECONDS):
            _kill(child.pid)
        child.wait()
        text = _content(out)
    return ['  ' + line for line in text.splitlines()
            if line.startswith(('Thread', '#', 'warning'))]


def _kill(pid):
    try:
        os.killpg(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass


def _content(file):
    file.seek(0)
    return file.read(OUTPUT_LIMIT).decode(errors='replace')
