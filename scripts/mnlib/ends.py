# SPDX-License-Identifier: Apache-2.0
"""How a tool begins and ends: whatever it has for streams, and whatever comes, it says a line at most, and has a status."""

import os
import signal
import sys

from .foreign import shown

INTERRUPTED = 128 + signal.SIGINT


def run(main, name, failed):
    """Ends the process with main()'s status; `failed` is that of an error which nobody foresaw."""
    _have_streams()
    if signal.getsignal(signal.SIGINT) == signal.SIG_DFL:    # scripts/mn: while modules are read, there is no use in a handler
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        try:
            status = main()
        except SystemExit as end:
            status = end.code
        sys.stdout.flush()
    except KeyboardInterrupt:
        status = INTERRUPTED
    except BrokenPipeError:
        _forget(sys.stdout)
        status = 1
    except OSError as error:
        _forget(sys.stdout)
        where = f'{error.filename}: ' if error.filename else ''
        complain(f'{name}: {where}{error.strerror or error}')
        status = failed
    sys.exit(status)


def complain(line):
    """On standard error, if that takes it."""
    try:
        print(shown(line), file=sys.stderr, flush=True)
    except OSError:
        _forget(sys.stderr)    # the status says it, too


def _have_streams():
    """Python has None for what is closed. What takes the place of stdout cannot be written to, either. A program that is
    executed finds all as it was."""
    for name, flags, mode in (('stdin', os.O_RDONLY, 'r'), ('stdout', os.O_RDONLY, 'w'), ('stderr', os.O_WRONLY, 'w')):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, flags | os.O_CLOEXEC), mode))
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors='backslashreplace')    # a locale may know fewer characters than a name has


def _forget(stream):
    """What could not be flushed would be tried again at the end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC), stream.fileno())
