# SPDX-License-Identifier: Apache-2.0
"""Ctrl-C and its like end a measurement, and what it started with it.

A signal becomes the exception Interrupted, so that whoever started a process ends it on the way
out. Between the birth of a process and the block that ends it there must be no exception: held()
keeps the signal until then.
"""

import contextlib
import signal

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

_holding = False
_waiting = None


class Interrupted(KeyboardInterrupt):
    def __init__(self, number):
        super().__init__()
        self.number = number


def catch():
    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:    # nohup, or a shell's background
            signal.signal(number, _came)


def _came(number, _frame):
    global _waiting
    _waiting = number
    if not _holding:
        _deliver()


def _deliver():
    global _waiting
    number, _waiting = _waiting, None
    if number is not None:
        for each in SIGNALS:    # one is enough, and the way out must be walked to its end
            signal.signal(each, signal.SIG_IGN)
        raise Interrupted(number)


@contextlib.contextmanager
def held():
    """A signal waits until allow(), or the end of the block."""
    global _holding
    _holding = True
    try:
        yield
    finally:
        allow()


def allow():
    """Within held(), once there is a block that cleans up."""
    global _holding
    _holding = False
    _deliver()
