# SPDX-License-Identifier: Apache-2.0
"""mn run: becomes the program, with libmn preloaded."""

import os
import signal

from .. import preload
from . import common

NAME = 'run'
HELP = 'run a command on user-level threads'


def add_options(parser):
    common.add_program_options(parser)
    parser.add_argument('--stats', action='store_true',
                        help='statistics on stderr at the end (MN_STATS)')


def main(options, parser):
    library, path = common.check_command(options, parser)
    environment = preload.libmn_environment(library, procs=options.procs, stats=options.stats)
    # Python ignores these two, and what is ignored stays so across exec.
    for ignored in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(ignored, signal.SIG_DFL)
    try:
        os.execve(path, options.command, environment)
    except OSError as error:
        common.fail(f'{options.command[0]}: {error.strerror}', 126)
