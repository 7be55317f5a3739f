# SPDX-License-Identifier: Apache-2.0
"""Computes what may take for ever, and cannot be interrupted, in a process of its own that can be ended."""

import json
import os
import select
import signal
import time

from . import interrupt

PIECE_BYTES = 1 << 16


def within(seconds, work):
    """What work() returns, of the kinds that JSON has; TimeoutError after so many seconds, ChildProcessError where the
    process ends before it has an answer."""
    with interrupt.held():
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            _answer(writer, work)
        try:
            os.close(writer)
            interrupt.allow()
            return _read(reader, time.monotonic() + seconds)
        finally:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            os.close(reader)


def _answer(writer, work):
    """Ends the process, whatever comes."""
    try:
        for number in interrupt.SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        with open(writer, 'w', closefd=False) as file:
            json.dump(work(), file)
        os._exit(0)
    finally:
        os._exit(1)


def _read(reader, deadline):
    answer = b''
    while select.select([reader], [], [], max(0, deadline - time.monotonic()))[0]:
        piece = os.read(reader, PIECE_BYTES)
        answer += piece
        if not piece:
            try:
                return json.loads(answer)
            except ValueError:
                raise ChildProcessError from None
    raise TimeoutError
