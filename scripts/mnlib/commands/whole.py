# SPDX-License-Identifier: Apache-2.0
"""The command line of mn as a whole: what it says of itself, and its commands."""

import os

from . import ALL
from .parsing import Parser

DESCRIPTION = 'Runs programs on user-level threads, and compares them with what they were before.'
EPILOG = '''
examples:
  mn run -- pigz -k big.log              run pigz with its threads as user-level threads
  mn run --procs 1 --stats -- ./server   one scheduling context; statistics at the end
  mn compare -- xz -T4 -k -c file        is M:N better for it than 1:1, how sure is that, and why
  mn compare --html report.html -- ./app the same, with a page of plots
  mn ci --baseline perf.json -- ./app    in a pipeline: fails when M:N became worse
  mn trace -- python3 app.py             a trace for Perfetto; who waited for what
  mn top 4711                            watch what the threads of a running program do
  mn stacks 4711                         where they are, and what they wait for; it goes on
  mn help compare                        how a command is used; as mn compare --help

exit status: that of the command (run, trace); 0, or 1 where M:N differs from 1:1 or the program fails (compare);
125 when mn itself fails, 126 when the command cannot be executed, 127 when there is none.
Those of ci: mn ci --help.
'''
with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'version.txt'), encoding='ascii') as file:
    VERSION = file.read().strip()


def make_parser():
    """The parser of mn, and those of its commands by their names."""
    parser = Parser(prog='mn', description=DESCRIPTION, epilog=EPILOG)
    parser.add_argument('--version', action='version', version=f'mn {VERSION}',
                        help='show the version and exit')
    names = '|'.join(command.NAME for command in ALL)
    subparsers = parser.add_subparsers(metavar=names, parser_class=Parser)
    commands = {}
    for command in ALL:
        failed = {'failed': command.FAILED} if hasattr(command, 'FAILED') else {}
        sub = subparsers.add_parser(command.NAME, help=command.HELP, **failed)
        command.add_options(sub)
        sub.set_defaults(main=command.main, parser=sub, whole=parser, known=commands)
        commands[command.NAME] = sub
    return parser, commands
