# SPDX-License-Identifier: Apache-2.0
"""A pipe that a process of another user may open, and nothing else of mn's.

What opens /proc/PID/fd/N must be allowed to trace PID. So PID is not mn, which may be root's, but a process made for
this alone, which belongs to the other's user and has nothing (holder.py). mn reads the pipe by a file description of
its own: whoever takes the holder's can end neither mn nor its patience.
"""

import contextlib
import fcntl
import os
import re
import select
import subprocess
import sys
import time

from .inspect import Ended, Refused

HOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'holder.py')
PIPE_BYTES = 1 << 20
F_SETPIPE_SZ = 1031
START_SECONDS = 30    # of a machine that has much to do
END_SECONDS = 1
MOST_COMPLAINT = 1000    # bytes
READY = b'ready'


class HeldPipe:
    """`pid` and `descriptor` say what the process is to open, `reader` is where mn reads; close() ends all."""

    def __init__(self, process):
        self._held = []
        self._child = None
        try:
            said = self._start(process)
        except OSError as error:
            self.close()
            raise Refused(f'process {process.pid}: nothing can hold a pipe for it: {error.strerror}') from None
        self._await(process, said)

    def _start(self, process):
        """Starts the holder; where it says whether it is ready."""
        uid, gid = owner_of(process)
        self.descriptor, self._writer = self._pipe()
        if os.geteuid() == 0:
            os.fchown(self.descriptor, uid, gid)
        self.reader = os.open(f'/proc/self/fd/{self.descriptor}', os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        self._held.append(self.reader)
        with contextlib.suppress(OSError):    # it is slower
            fcntl.fcntl(self.reader, F_SETPIPE_SZ, PIPE_BYTES)
        life, _ = self._pipe()
        said, says = self._pipe()
        words = [sys.executable, '-ISB', HOLDER, *map(str, (uid, gid, process.pid))]
        self._child = subprocess.Popen(words, env={}, cwd='/', stdin=life, stdout=says, stderr=says,
                                       pass_fds=(self.descriptor,), start_new_session=True)
        self.pid = self._child.pid
        for descriptor in (self.descriptor, life, says):
            self._close(descriptor)
        return said

    def _pipe(self):
        both = os.pipe()
        self._held += both
        return both

    def _close(self, descriptor):
        self._held.remove(descriptor)
        os.close(descriptor)

    def _await(self, process, said):
        """Until the holder is ready; Refused or Ended where it will not be."""
        text, deadline = b'', time.monotonic() + START_SECONDS
        while text != READY:
            left = deadline - time.monotonic()
            piece = b''
            if left > 0 and select.select([said], [], [], left)[0]:
                piece = os.read(said, MOST_COMPLAINT)
            text += piece
            if not piece or len(text) > MOST_COMPLAINT:
                self.close()
                if not os.path.exists(f'/proc/{process.pid}'):
                    raise Ended
                words = text.decode(errors='replace').split('\n')
                why = next((line for line in reversed(words) if line), f'it did not begin within {START_SECONDS} s')
                raise Refused(f'process {process.pid}: nothing can hold a pipe for it: {why}')
        self._close(said)

    def only_theirs(self):
        """From now on the pipe ends when the process closes it."""
        if self._writer in self._held:
            self._close(self._writer)

    def close(self):
        while self._held:
            os.close(self._held.pop())
        if self._child is None:
            return
        self._child.kill()
        try:
            self._child.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            pass    # its tracer keeps it from ending: mn does not wait for that


def owner_of(process):
    """Effective user and group."""
    status = process.proc('status')
    found = [re.search(rf'^{name}:\s+\d+\s+(\d+)', status, re.M) for name in ('Uid', 'Gid')]
    if None in found:
        raise Ended
    return [int(match[1]) for match in found]
