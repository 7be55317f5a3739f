# SPDX-License-Identifier: Apache-2.0
"""What the commands of scripts/mn share: options, errors and standard input."""

import argparse
import contextlib
import os
import re
import sys
import threading

from .. import ends, inspect, layout, preload, settings, state
from ..foreign import shown

FAILED = 125
MAX_PROCS = 256
MOST_SECONDS = 60    # to read what a process lets mn see


def warn(message):
    ends.complain(f'mn: {message}')


def fail(message, status=FAILED):
    warn(message)
    sys.exit(status)


def say(lines, status=FAILED):
    """Prints lines to stdout, and notices when that cannot be written."""
    try:
        print('\n'.join(map(shown, lines)), flush=True)
    except BrokenPipeError:
        raise
    except OSError as error:
        # What could not be flushed would be tried again at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        fail(f'standard output: {error.strerror}', status)


def number(low, high):
    def parse(text):
        if not re.fullmatch('[0-9]{1,18}', text) or not low <= int(text) <= high:
            raise argparse.ArgumentTypeError(f'{text!r} is not a number from {low} to {high}')
        return int(text)
    return parse


def file_name(text):
    """Also keeps an empty variable of a script's from being no option at all."""
    if not text:
        raise argparse.ArgumentTypeError("'' names no file")
    return text


def add_program_options(parser):
    """Of a command that runs a program, whose command line ends the options."""
    parser.usage = f'{parser.prog} [options] -- COMMAND [ARGUMENT...]'
    parser.add_argument('--procs', type=number(1, MAX_PROCS), metavar='N',
                        help='scheduling contexts (MN_PROCS); default: one for each CPU')
    parser.add_argument('--lib', type=file_name, metavar='PATH', help='the libmn.so to use')
    # Options end where the command begins, with or without "--": "mn run ls -l" works.
    parser.add_argument('command', nargs=argparse.REMAINDER, help=argparse.SUPPRESS)


def add_force(parser):
    parser.add_argument('--force', action='store_true',
                        help='write over output files that exist; never through symbolic links, or into devices')


def check_command(options, parser):
    """The library to use and the program's path; ends mn when either will not do."""
    if options.command[:1] == ['--']:
        del options.command[0]
    if not options.command:
        fail(f'no command: {parser.usage.splitlines()[0]}', parser.failed)
    try:
        library = find_library(options, parser)
        return library, preload.check_program(options.command[0], library)
    except preload.Refused as refusal:
        fail(refusal, refusal.status if parser.failed == FAILED else parser.failed)


def find_library(options, parser):
    """The library to use; says once what of the MN_ variables it ignores, and ends mn where it would not take them."""
    library = preload.find_library(options.lib)
    try:
        for line in settings.unknown(library):
            warn(line)
        if any(name.startswith(settings.PREFIX) for name in os.environ):
            settings.check(preload.libmn_environment(library, procs=options.procs))
    except settings.BadSetting as bad:
        fail(bad, parser.failed)
    return library


def add_pid(parser):
    parser.add_argument('pid', type=number(1, 1 << 22), metavar='PID', help='of a program that runs with libmn')


@contextlib.contextmanager
def bounded(seconds, why, before=lambda: None):
    """Ends mn with a line when the block takes longer, even where it hangs in a system call: memory of a process may
    be a file of a file system that never answers."""
    def end():
        before()
        os.write(2, (shown(f'mn: {why}, for more than {seconds} s') + '\n').encode(errors='replace'))
        os._exit(FAILED)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


@contextlib.contextmanager
def inspected(pid):
    """A running program's process and its runtime's state; ends mn when they cannot be had, or not any more."""
    try:
        with bounded(MOST_SECONDS, f'process {pid}: it keeps mn from reading it'):
            process = inspect.Process(pid)
            its_state = state.State(process.layout, process.read)
        yield process, its_state
    except inspect.Refused as refusal:
        fail(refusal)
    except layout.BadLayout as bad:
        fail(f'process {pid}: {bad}')
    except layout.Unreadable as where:
        fail(f'process {pid}: its state makes no sense: it leads to {where}, where nothing is')
    except inspect.Ended:
        fail(f'process {pid}: it ended meanwhile')


def stdin_file():
    """A path that opens standard input anew for every run, where that can be done."""
    try:
        path = os.readlink('/proc/self/fd/0')
        return path if os.path.isfile(path) else os.devnull
    except OSError:
        return os.devnull
